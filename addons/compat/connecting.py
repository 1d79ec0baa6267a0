"""A limit for how long an upstream may take to be connected to and to shake hands; mitmproxy waits for ever."""

from __future__ import annotations

import asyncio
from typing import Any

from mitmproxy.connection import Connection
from mitmproxy.proxy.layers.tls import ServerTLSLayer
from mitmproxy.proxy.server import ConnectionHandler

from addons.compat.reading import reader_of
from addons.compat.streams import Commands

CONNECT_SECONDS = 30.0
"""Each for the connection and for the handshake. Go's DefaultTransport: 30 and 10 s; curl: 300 s for both."""


def limit_connecting() -> None:
    """Give an upstream up that is not there within CONNECT_SECONDS."""
    open_connection, start_tls = ConnectionHandler.open_connection, ServerTLSLayer.start_tls
    if getattr(open_connection, "_wiretape", False):
        return

    async def limited(self: ConnectionHandler, command: Any) -> None:
        loop = asyncio.get_running_loop()
        timer = loop.call_later(CONNECT_SECONDS, _give_up, self, command.connection)
        try:
            await open_connection(self, command)
        finally:
            timer.cancel()

    def start(self: ServerTLSLayer) -> Commands:
        asyncio.get_running_loop().call_later(CONNECT_SECONDS, _give_handshake_up, self.conn)
        return start_tls(self)

    limited._wiretape = True  # type: ignore[attr-defined]
    ConnectionHandler.open_connection = limited  # type: ignore[method-assign]
    ServerTLSLayer.start_tls = start  # type: ignore[method-assign, assignment]


def _give_up(handler: ConnectionHandler, server: Connection) -> None:
    io = handler.transports.get(server)
    if io is not None and io.writer is None and io.handler is not None:
        # mitmproxy reports the text of a cancellation as the error.
        io.handler.cancel(f"not connected within {CONNECT_SECONDS:.0f} s")


def _give_handshake_up(server: Connection) -> None:
    reader = reader_of(server)
    if reader is not None and server.timestamp_tls_setup is None:
        reader.end("no handshake in time")
