"""Reading from upstreams: when to wait with it, and who waits for whom.

After each read mitmproxy waits until *every* connection of a client has room, behind one lock (proxy/server.py,
drain_writers). An upstream that writes while it is written to then waits for us, and we for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import Any

from mitmproxy.connection import Connection, Server
from mitmproxy.proxy.server import ConnectionHandler

_KEEPALIVE_SECONDS = 15
"""Go's default (net.KeepAliveConfig). Without it a NAT forgets a call that is silent: AWS's after 350 s."""


class HeldReader:
    """A connection's stream as mitmproxy's loop reads it, which can be made to wait."""

    def __init__(self, reader: asyncio.StreamReader) -> None:
        self._reader = reader
        self._task = asyncio.current_task()
        self._free: asyncio.Event | None = None

    async def read(self, size: int) -> bytes:
        """Read as StreamReader does; while it is held, not before `release`."""
        if self._free is not None:
            await self._free.wait()
        return await self._reader.read(size)

    def exception(self) -> Exception | None:
        """Return what the connection ended with; None for FIN."""
        return self._reader.exception()

    def hold(self) -> None:
        """Read no more for now: the kernel's buffers fill up and the peer has to wait."""
        if self._free is None:
            self._free = asyncio.Event()

    def release(self) -> None:
        """Read on."""
        if self._free is not None:
            self._free.set()
            self._free = None

    def end(self, reason: str) -> None:
        """Close the connection."""
        if self._task is not None:
            self._task.cancel(reason)


_readers: dict[Connection, HeldReader] = {}
"""Of the connections that are open."""


def reader_of(connection: Connection) -> HeldReader | None:
    """Return the reader of an upstream connection; None when it is not open."""
    return _readers.get(connection)


def hold_reading() -> None:
    """Have upstream connections read through HeldReader and kept alive; wait only for whom the bytes go to."""
    handle_connection, drain_writers = ConnectionHandler.handle_connection, ConnectionHandler.drain_writers
    if getattr(drain_writers, "_wiretape", False):
        return

    async def handle(self: ConnectionHandler, connection: Connection) -> None:
        io = self.transports[connection]
        if isinstance(connection, Server) and isinstance(io.reader, asyncio.StreamReader):
            reader = HeldReader(io.reader)
            io.reader = reader  # type: ignore[assignment]
            _readers[connection] = reader
            writer: Any = io.writer
            _keep_alive(writer.get_extra_info("socket"))
        try:
            await handle_connection(self, connection)
        finally:
            _readers.pop(connection, None)

    async def drain(self: ConnectionHandler) -> None:
        task = asyncio.current_task()
        ends = list(self.transports.items())
        from_upstream = any(io.handler is task for end, io in ends if end is not self.client)
        for end, io in ends:
            if io.writer is not None and (end is self.client) is from_upstream:
                try:
                    await io.writer.drain()
                except OSError as exc:
                    if io.handler is not None:
                        io.handler.cancel(f"Error sending data: {exc}")

    drain._wiretape = True  # type: ignore[attr-defined]
    ConnectionHandler.handle_connection = handle  # type: ignore[method-assign]
    ConnectionHandler.drain_writers = drain  # type: ignore[method-assign]


def _keep_alive(end: socket.socket) -> None:
    with contextlib.suppress(OSError):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        # macOS has the idle time under another name.
        idle = getattr(socket, "TCP_KEEPIDLE", None) or getattr(socket, "TCP_KEEPALIVE", None)
        if idle is not None:
            end.setsockopt(socket.IPPROTO_TCP, idle, _KEEPALIVE_SECONDS)
        end.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, _KEEPALIVE_SECONDS)
