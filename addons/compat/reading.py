"""Reading: when to wait with it, and who waits for whom.

After each read mitmproxy waits until *every* connection of a client has room, behind one lock (proxy/server.py,
drain_writers). An upstream that writes while it is written to then waits for us, and we for it. And while an
upstream is being connected to it reads on from the client, and keeps what comes.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
import weakref
from typing import Any

from mitmproxy.connection import Connection, Server
from mitmproxy.proxy.server import ConnectionHandler

_KEEPALIVE_SECONDS = 15
"""Go's default (net.KeepAliveConfig). Without it a NAT forgets a call that is silent: AWS's after 350 s."""


TURN_BYTES = 64 << 10
"""Read at once, so that others need not wait long: a millisecond's work at most. Chosen, not measured."""


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

    @property
    def is_held(self) -> bool:
        """Whether the next bytes have to wait for `release`."""
        return self._free is not None

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
_came_ns: dict[Connection, int] = {}
"""When bytes last came on a client's connection."""


class _Opening:
    """The upstream connections of one client that are being opened."""

    def __init__(self) -> None:
        self._connections: set[Connection] = set()
        self._none = asyncio.Event()

    def add(self, connection: Connection) -> None:
        self._connections.add(connection)
        self._none.clear()

    def discard(self, connection: Connection) -> None:
        self._connections.discard(connection)
        if not self._connections:
            self._none.set()

    async def wait(self) -> None:
        """Return when there are none."""
        if self._connections:
            await self._none.wait()


_opening: weakref.WeakKeyDictionary[ConnectionHandler, _Opening] = weakref.WeakKeyDictionary()


def reader_of(connection: Connection) -> HeldReader | None:
    """Return the reader of an upstream connection; None when it is not open."""
    return _readers.get(connection)


def last_came_ns(client: Connection) -> int:
    """Return when bytes last came from a client, in monotonic nanoseconds; now, when that is not known.

    What they are about is seen later, once the event loop gets to it: of many requests that come at once the last by
    tens of milliseconds.
    """
    return _came_ns.get(client) or time.monotonic_ns()


def _stamp(client: Connection, reader: asyncio.StreamReader) -> None:
    feed_data = reader.feed_data

    def feed(data: Any) -> None:
        _came_ns[client] = time.monotonic_ns()
        feed_data(data)

    reader.feed_data = feed  # type: ignore[method-assign]


def hold_reading() -> None:
    """Have upstream connections read through HeldReader and kept alive; wait only for whom the bytes go to."""
    handle_connection, drain_writers = ConnectionHandler.handle_connection, ConnectionHandler.drain_writers
    open_connection = ConnectionHandler.open_connection
    if getattr(drain_writers, "_wiretape", False):
        return

    async def connect(self: ConnectionHandler, command: Any) -> None:
        opening = _opening.setdefault(self, _Opening())
        opening.add(command.connection)
        try:
            await open_connection(self, command)
        finally:
            opening.discard(command.connection)

    async def handle(self: ConnectionHandler, connection: Connection) -> None:
        io = self.transports[connection]
        if connection is not self.client and self in _opening:
            _opening[self].discard(connection)
        if io.writer is not None:
            read_at_most(io.writer, TURN_BYTES)
        if isinstance(connection, Server) and isinstance(io.reader, asyncio.StreamReader):
            reader = HeldReader(io.reader)
            io.reader = reader  # type: ignore[assignment]
            _readers[connection] = reader
            writer: Any = io.writer
            if (end := writer.get_extra_info("socket")) is not None:  # none within the process
                _keep_alive(end)
        elif connection is self.client and isinstance(io.reader, asyncio.StreamReader):
            _stamp(connection, io.reader)
        try:
            await handle_connection(self, connection)
        finally:
            _readers.pop(connection, None)
            _came_ns.pop(connection, None)

    async def drain(self: ConnectionHandler) -> None:
        task = asyncio.current_task()
        ends = list(self.transports.items())
        from_upstream = any(io.handler is task for end, io in ends if end is not self.client)
        # Other streams of an HTTP/2 client must not wait; its uploads are bounded by their windows.
        if not from_upstream and self.client.alpn != b"h2" and self in _opening:
            await _opening[self].wait()
        for end, io in ends:
            if io.writer is not None and (end is self.client) is from_upstream:
                try:
                    await io.writer.drain()
                except OSError as exc:
                    if io.handler is not None:
                        io.handler.cancel(f"Error sending data: {exc}")

    drain._wiretape = True  # type: ignore[attr-defined]
    ConnectionHandler.open_connection = connect  # type: ignore[method-assign]
    ConnectionHandler.handle_connection = handle  # type: ignore[method-assign]
    ConnectionHandler.drain_writers = drain  # type: ignore[method-assign]


def read_at_most(writer: Any, size: int) -> None:
    """Have a connection read so many bytes at once; asyncio takes 256 KB (selector_events.py, max_size)."""
    if hasattr(writer.transport, "max_size"):  # not within the process
        writer.transport.max_size = size


def _keep_alive(end: socket.socket) -> None:
    with contextlib.suppress(OSError):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        # macOS has the idle time under another name.
        idle = getattr(socket, "TCP_KEEPIDLE", None) or getattr(socket, "TCP_KEEPALIVE", None)
        if idle is not None:
            end.setsockopt(socket.IPPROTO_TCP, idle, _KEEPALIVE_SECONDS)
        end.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, _KEEPALIVE_SECONDS)
