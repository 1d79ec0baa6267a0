"""Which connections are opened up and which only pass, and where upstream connections really go.

CONNECT to a router        answered at once; TLS with the client only after the upstream's handshake, so that
                           both sides speak the same HTTP version; errors come as responses inside TLS
CONNECT to any other host  a tunnel: the client sees the real certificate
"""

from __future__ import annotations

import base64
import ipaddress
import logging
from datetime import UTC, datetime
from pathlib import Path

from mitmproxy import connection, ctx, http, tls
from mitmproxy.addons.tlsconfig import TlsConfig
from mitmproxy.net.http import url
from mitmproxy.proxy import layer, server_hooks

from addons import compat
from addons.access import is_loopback
from addons.authority import Succession
from addons.live import LiveSession
from addons.loopback import Loopback
from addons.routing import redirect
from addons.sessions import Sessions

_log = logging.getLogger(__name__)


class Interceptor:
    """The addon that decides, before any byte of a connection is looked at."""

    def __init__(self, sessions: Sessions, loopback: Loopback | None = None) -> None:
        self._sessions = sessions
        self._loopback = loopback
        """Plays recorded answers; connections to it lead nowhere else."""
        self._asked: dict[str, tuple[str, int]] = {}
        """Server connections that were redirected: the address that the client asked for, by connection id."""

    def client_connected(self, client: connection.Client) -> None:
        """Lift mitmproxy's cap of five upstream connections per client connection."""
        compat.lift_connection_cap(ctx.master.addons.get("proxyserver"), client)

    def client_disconnected(self, client: connection.Client) -> None:
        """Forget a tunnel that is gone."""
        session = self._sessions.of(client)
        if session is not None:
            session.tunnels.discard(client.id)

    def http_connect(self, flow: http.HTTPFlow) -> None:
        """Answer a CONNECT to a router at once, before the upstream is asked.

        An unreachable upstream is then reported as the response to the client's request, which SDKs can show;
        the answer to a CONNECT they drop.
        """
        session = self._sessions.of(flow.client_conn)
        if session is None:
            return
        # Behind an upstream proxy nothing may be connected before the layer that asks it stands.
        behind_proxy = session.spec.proxy_for(flow.request.host, flow.request.port) is not None
        if behind_proxy or self._is_ours(session, flow.request.host, flow.request.port):
            flow.response = http.Response.make(200, b"", {})
            flow.response.reason = "Connection established"
            flow.response.headers.clear()

    def http_connect_error(self, flow: http.HTTPFlow) -> None:
        """Say in our words why a tunnel could not be opened."""
        if flow.response is not None:
            message = (flow.server_conn.error or flow.response.reason).rstrip(".")
            flow.response = compat.own_response(flow, flow.response.status_code, message)

    def next_layer(self, next_layer: layer.NextLayer) -> None:
        """Make a tunnel of what was CONNECTed to another host, whatever is spoken in it."""
        context = next_layer.context
        session = self._sessions.of(context.client)
        if session is None or len(context.layers) < 2 or context.server.address is None:
            return
        proxy = session.spec.proxy_for(*context.server.address[:2])
        if proxy is not None and context.server.via is None and not context.server.connected:
            context.server.via = proxy.spec
            next_layer.layer = compat.upstream_proxy_layer(context)
            return
        if self._is_ours(session, *context.server.address[:2]):
            return
        if _is_address(context.server.address[0]) and next_layer.data_client()[:1] == b"\x16":
            return  # TLS to a bare address: the name in its hello decides, see tls_clienthello
        if context.client.tls or context.client.sni:
            return  # opened up already, by the name in its hello
        self._count_tunnel(session, context.client)
        next_layer.layer = compat.tunnel_layer(context)

    def tls_clienthello(self, data: tls.ClientHelloData) -> None:
        """Tunnel TLS to a bare address, unless its SNI names a router."""
        session = self._sessions.of(data.context.client)
        address = data.context.server.address
        if session is None or address is None or self._is_ours(session, *address[:2]):
            return
        name = data.client_hello.sni
        if name is not None and self._is_ours(session, name, address[1]):
            return
        self._count_tunnel(session, data.context.client)
        data.ignore_connection = True

    def requestheaders(self, flow: http.HTTPFlow) -> None:
        """Lead requests to the session's upstream proxy, too: plain ones in the form that proxies are asked in.

        They go there as they are (RFC 9112, 3.2.2): many proxies allow no CONNECT to port 80, and what logs in at
        the proxy must not reach the server behind it. Through a proxy that is spoken to in TLS they are tunnelled.
        """
        session = self._sessions.of(flow.client_conn)
        if session is None or flow.server_conn.connected:
            return
        proxy = session.spec.proxy_for(flow.request.host, flow.request.port)
        if proxy is None:
            flow.server_conn.via = (
                None  # set by an earlier request of this client connection, to another host
            )
            return
        if flow.request.scheme == "http" and proxy.scheme == "http" and flow.server_conn.via is None:
            flow.request.authority = url.hostport("http", flow.request.host, flow.request.port)
            self._log_in(session, flow)
        else:
            flow.server_conn.via = proxy.spec

    def http_connect_upstream(self, flow: http.HTTPFlow) -> None:
        """Log in at the upstream proxy."""
        session = self._sessions.of(flow.client_conn)
        if session is not None:
            self._log_in(session, flow)

    def server_connect(self, data: server_hooks.ServerConnectionHookData) -> None:
        """Connect elsewhere if the session says so; never to ourselves."""
        session = self._sessions.of(data.client)
        address = data.server.address
        if session is None or address is None:
            return
        if self._loopback is not None and address[:2] == self._loopback.address[:2]:
            return
        spec = session.phase_for(data.client.id).spec
        through, proxy = spec.upstream_proxy, spec.proxy_for(*address[:2])
        if through is not None and address[:2] == (through.host, through.port):
            elsewhere = None
        elif proxy is None:
            elsewhere = redirect(spec.connect_to, *address[:2])
        else:
            elsewhere = (proxy.host, proxy.port)  # a plain request; for others the proxy is the address
        if elsewhere is not None:
            self._asked[data.server.id] = (address[0], address[1])
            data.server.address = elsewhere
        host, port = data.server.address[:2]  # type: ignore[index]
        listeners = self._sessions.listeners
        if (host, port) in listeners or (_is_loopback(host) and port in {port for _, port in listeners}):
            data.server.error = "the request is for the proxy itself"

    def server_connected(self, data: server_hooks.ServerConnectionHookData) -> None:
        """Give a redirected connection its address back, so that it is used again."""
        asked = self._asked.pop(data.server.id, None)
        if asked is not None:
            compat.restore_address(data.server, asked)

    def server_connect_error(self, data: server_hooks.ServerConnectionHookData) -> None:
        """Do the same for a connection that failed: the client is told the name that it knows."""
        asked = self._asked.pop(data.server.id, None)
        if asked is not None:
            compat.restore_address(data.server, asked)

    def tls_failed_client(self, data: tls.TlsData) -> None:
        """Say in the log that a client does not trust the CA: it is the most common trouble of all."""
        session = self._sessions.of(data.context.client)
        if session is not None:
            _log.warning(
                "client.tls_refused session=%s host=%s hint='the client does not trust the CA; see: wiretape env'",
                session.spec.name, data.context.client.sni,
            )  # fmt: skip

    @staticmethod
    def _is_ours(session: LiveSession, host: str, port: int) -> bool:
        return session.spec.routers.find(host, port) is not None

    @staticmethod
    def _count_tunnel(session: LiveSession, client: connection.Client) -> None:
        session.traffic.tunnels += 1
        session.tunnels.add(client.id)

    @staticmethod
    def _log_in(session: LiveSession, flow: http.HTTPFlow) -> None:
        proxy = session.phase_for(flow.client_conn.id).spec.upstream_proxy
        if proxy is not None and proxy.credentials is not None:
            basic = base64.b64encode(proxy.credentials.encode()).decode()
            flow.request.headers["Proxy-Authorization"] = f"Basic {basic}"


class SessionTls(TlsConfig):
    """mitmproxy's TLS addon, with the roots of the session for its upstreams."""

    name = "tlsconfig"

    def __init__(self, sessions: Sessions) -> None:
        super().__init__()
        self._sessions = sessions
        self._succession = Succession()
        self._changed_at: dict[Path, int] = {}
        """Of the certificates that upstreams are shown, by path; short-lived ones are replaced in place."""

    def tls_start_client(self, tls_start: tls.TlsData) -> None:
        """Sign with the CA whose turn it is."""
        folder = Path(ctx.options.confdir)
        self.certstore = self._succession.turn(self.certstore, folder, datetime.now(UTC))
        super().tls_start_client(tls_start)

    def tls_start_server(self, tls_start: tls.TlsData) -> None:
        """Check the upstream against the roots of the session that the client came in on."""
        session = self._sessions.of(tls_start.context.client)
        roots = session.spec.trusted_ca if session is not None else None
        if session is None or roots is None:
            super().tls_start_server(tls_start)
        else:
            shown = session.spec.client_cert
            if shown is not None and self._is_renewed(shown):
                compat.forget_tls_contexts()
            with compat.tls_files(ctx.options, str(roots), str(shown) if shown is not None else None):
                super().tls_start_server(tls_start)

    def _is_renewed(self, path: Path) -> bool:
        """Tell whether a file has changed since it was last asked about; one that cannot be seen has not."""
        try:
            changed_at = path.stat().st_mtime_ns
        except OSError:
            return False
        before = self._changed_at.setdefault(path, changed_at)
        self._changed_at[path] = changed_at
        return before != changed_at


def _is_loopback(host: str) -> bool:
    return host == "localhost" or (_is_address(host) and is_loopback(host))


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
