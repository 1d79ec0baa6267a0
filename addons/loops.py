"""Ends requests that go round in a circle: those for a name that leads to the proxy itself.

Such a name may be any that resolves to this machine, also a stranger's whose page a browser here has open. Known by
the connection: its other end is one of our own.
"""

from __future__ import annotations

import ipaddress
from typing import Any

from mitmproxy import ctx, exceptions, http
from mitmproxy.connection import Server
from mitmproxy.proxy import server_hooks

from addons import compat
from addons.access import is_loopback
from addons.live import LiveSession, PortUse
from addons.sessions import Sessions


class LoopGuard:
    """The addon that refuses what the proxy sends to itself."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions
        self._ours: set[tuple[Any, ...]] = set()
        """Our connections to servers: both ends, since a port may serve several that lead elsewhere."""

    def server_connected(self, data: server_hooks.ServerConnectionHookData) -> None:
        """Note it; one that another worker accepts, who cannot know it, is closed."""
        if data.server.sockname is not None and data.server.peername is not None:
            self._ours.add((data.server.sockname[:2], data.server.peername[:2]))
            if any(_leads_to(session, data.server) for session in self._sessions):
                compat.close_upstream(ctx.master.addons.get("proxyserver"), data.client, data.server)

    def server_disconnected(self, data: server_hooks.ServerConnectionHookData) -> None:
        """Forget it."""
        if data.server.sockname is not None and data.server.peername is not None:
            self._ours.discard((data.server.sockname[:2], data.server.peername[:2]))

    def http_connect(self, flow: http.HTTPFlow) -> None:
        """Refuse a CONNECT of our own."""
        self._check(flow)

    def requestheaders(self, flow: http.HTTPFlow) -> None:
        """Refuse a request of our own."""
        self._check(flow)

    def _check(self, flow: http.HTTPFlow) -> None:
        if (flow.client_conn.peername[:2], flow.client_conn.sockname[:2]) in self._ours:
            compat.refuse(flow, compat.own_response(flow, 508, "the request is for the proxy itself"))
            raise exceptions.AddonHalt


def _leads_to(session: LiveSession, server: Server) -> bool:
    """Tell whether a connection is to a session's port that several workers listen on."""
    assert server.peername is not None
    assert server.sockname is not None
    listen, there = session.spec.listen, server.peername
    if session.spec.port_use is PortUse.ALONE or there[1] not in (session.port, *session.reverse):
        return False
    is_local = server.sockname[0] == there[0] or is_loopback(there[0])
    return listen == there[0] or (ipaddress.ip_address(listen).is_unspecified and is_local)
