"""Serves clients that know no proxy: what comes in on a base URL's listener is a request to its upstream.

    POST /v1/messages, Host: 127.0.0.1:8001     becomes     POST https://api.anthropic.com/v1/messages

From here on such a request is one like those that a client sends to the proxy itself; matching, recording and the way
upstream know no difference. HTTP/1.1 is spoken, and HTTP/2 in clear text with prior knowledge (RFC 9113, 3.3), as the
AWS SDK for JavaScript does. Clients that do know the proxy may ask it for the listener: that is the same.
"""

from __future__ import annotations

from mitmproxy import exceptions, http
from mitmproxy.proxy import layer

from addons import compat, flows
from addons.access import is_loopback
from addons.live import LiveSession
from addons.reverse import Reverse
from addons.sessions import Sessions

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
"""RFC 9113, section 3.4."""
_CONTAINERS_HOST = "host.docker.internal"
"""What containers call this machine, whose loopback Docker Desktop lets them reach."""


class BaseUrls:
    """The addon that stands before all that look at where a request goes, and behind those that refuse."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    def next_layer(self, next_layer: layer.NextLayer) -> None:
        """Find out which HTTP a client begins to speak without having agreed on it in TLS."""
        client = next_layer.context.client
        session = self._sessions.of(client)
        if (
            session is None
            or client.sockname[1] not in session.reverse
            or len(next_layer.context.layers) != 1
        ):
            return
        begin = next_layer.data_client()[: len(_PREFACE)]
        if begin == _PREFACE:
            # As if it had been agreed on in TLS, which mitmproxy looks at (layers/http/__init__.py, HttpLayer).
            client.alpn, client.alpn_offers = b"h2", (b"h2", b"http/1.1")
        elif _PREFACE.startswith(begin):
            raise exceptions.AddonHalt  # nobody decides before there is more

    def http_connect(self, flow: http.HTTPFlow) -> None:
        """Refuse to be taken for a proxy."""
        session = self._sessions.of(flow.client_conn)
        reverse = session.reverse.get(flow.client_conn.sockname[1]) if session is not None else None
        if reverse is not None:
            self._refuse(flow, 405, f"this is the base URL of {reverse.url}, no proxy; see: wiretape env")

    def requestheaders(self, flow: http.HTTPFlow) -> None:
        """Lead a request to the upstream that its listener stands for."""
        session = self._sessions.of(flow.client_conn)
        if session is None or not session.reverse:
            return
        reverse = session.reverse.get(flow.client_conn.sockname[1])
        if reverse is not None and not _is_this_machine(flow.request.host):
            # A stranger's name that resolves to this machine, as a page in a browser here may have it.
            self._refuse(flow, 421, f"{flow.request.host} is not the name of this listener")
        reverse = reverse or _asked_through_proxy(session, flow.request)
        if reverse is not None:
            _lead(flow.request, reverse)

    @staticmethod
    def _refuse(flow: http.HTTPFlow, status: int, why: str) -> None:
        compat.refuse(flow, compat.own_response(flow, status, why))
        raise exceptions.AddonHalt


def _asked_through_proxy(session: LiveSession, request: http.Request) -> Reverse | None:
    if request.scheme != "http" or not _is_this_machine(request.host):
        return None
    return session.reverse.get(request.port)


def _is_this_machine(host: str) -> bool:
    if flows.is_address(host):
        return is_loopback(host)
    return host in ("localhost", _CONTAINERS_HOST) or host.endswith(".localhost")


def _lead(request: http.Request, reverse: Reverse) -> None:
    request.path = reverse.path_of(request.path)
    request.scheme = reverse.scheme
    request.port = reverse.port
    request.host = reverse.host  # and with it Host, or :authority
