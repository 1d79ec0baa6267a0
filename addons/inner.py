"""Connections that stay within the process: what a server here writes is read here, without the kernel between.

    asyncio.open_connection(HOST, PORT) ─▶ loop.create_connection ─┬─ PORT is served here ─▶ two ends, joined
                                                                   └─ any other           ─▶ a socket, as ever

A write to a socket of the same process costs a system call, a turn of the event loop and a read: for a stream of small
pieces that is more than all else (measured: tests/bench/replay.py, half of the time of 50 streams at once).
"""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Callable, Iterable
from typing import Any

Address = tuple[str, int]
ProtocolFactory = Callable[[], asyncio.Protocol]

_served: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, dict[Address, ProtocolFactory]] = (
    weakref.WeakKeyDictionary()
)


def serve_within(address: Address, factory: ProtocolFactory) -> None:
    """Serve connections that the running loop opens to an address by protocols of this factory."""
    loop = asyncio.get_running_loop()
    if loop not in _served:
        _served[loop] = {}
        _take_over(loop)
    _served[loop][address] = factory


def serve_no_more(address: Address) -> None:
    """Let connections to an address lead out of the process again; those that are open stay."""
    _served.get(asyncio.get_running_loop(), {}).pop(address, None)


def _take_over(loop: asyncio.AbstractEventLoop) -> None:
    create: Any = loop.create_connection

    async def create_connection(
        protocol_factory: ProtocolFactory, host: str | None = None, port: int | None = None, **options: Any
    ) -> Any:
        served, address = _served[loop], (host or "", port or 0)
        if address in served and not options.get("ssl"):
            # A connection over a socket is never open at once, and mitmproxy relies on it: it starts a task that opens
            # one and puts it into `transports`, and then writes there that the connection is being opened
            # (proxy/server.py, `server_event`). Its tasks are eager from Python 3.12 on: without a turn of the loop in
            # between the open connection is overwritten.
            await asyncio.sleep(0)
            if factory := served.get(address):
                return _joined(loop, address, protocol_factory(), factory())
        return await create(protocol_factory, host, port, **options)

    loop.create_connection = create_connection  # type: ignore[method-assign, assignment]


def _joined(
    loop: asyncio.AbstractEventLoop, address: Address, protocol: asyncio.Protocol, served: asyncio.Protocol
) -> tuple[_End, asyncio.Protocol]:
    """Connect the protocol that opens a connection with the one that serves the address; return the opener's end."""
    host, _ = address
    near = _End(loop, protocol, peername=address, sockname=(host, 0))
    far = _End(loop, served, peername=(host, 0), sockname=address)
    near.peer, far.peer = far, near
    for end in (far, near):
        end.protocol.connection_made(end)
    return near, protocol


class _End(asyncio.Transport):
    """One end of a connection. What is written is with the other end's protocol when `write` returns."""

    peer: _End

    def __init__(self, loop: asyncio.AbstractEventLoop, protocol: asyncio.Protocol, **extra: Any) -> None:
        super().__init__(extra)
        self.protocol = protocol
        self._loop = loop
        self._closing = False
        self._write_ended = False

    def get_protocol(self) -> asyncio.BaseProtocol:
        return self.protocol

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        assert isinstance(protocol, asyncio.Protocol)
        self.protocol = protocol

    def is_closing(self) -> bool:
        return self._closing

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if data and not (self._closing or self._write_ended or self.peer.is_closing()):
            self.peer.protocol.data_received(bytes(data))

    def writelines(self, list_of_data: Iterable[bytes | bytearray | memoryview]) -> None:
        self.write(b"".join(list_of_data))

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        if not (self._write_ended or self.peer.is_closing()):
            self._write_ended = True
            if not self.peer.protocol.eof_received():
                self.peer.close()

    def close(self) -> None:
        if not self._closing:
            self._closing = True
            self.write_eof()
            self._loop.call_soon(self.protocol.connection_lost, None)

    def abort(self) -> None:
        """End both ends at once; to the other one it looks like a reset."""
        for end, error in ((self, None), (self.peer, ConnectionResetError("broken off"))):
            end.lose(error)

    def lose(self, error: Exception | None) -> None:
        """Let this end know that the connection is gone."""
        if not self._closing:
            self._closing = True
            self._loop.call_soon(self.protocol.connection_lost, error)

    # The reader says when it has too much: that is the writer's limit.

    def pause_reading(self) -> None:
        self.peer.protocol.pause_writing()

    def resume_reading(self) -> None:
        if not self.peer.is_closing():
            self.peer.protocol.resume_writing()

    def get_write_buffer_size(self) -> int:
        return 0

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass
