"""A server on 127.0.0.1 that plays responses back to our own proxy, piece by piece and each in its time.

    client ◀── mitmproxy ◀── this ◀── Playback (a recorded response and its schedule)

mitmproxy sends a response that a hook sets in a single write; only what comes from an upstream is streamed. So
there is an upstream. Its one client is the proxy in this process, which sends what `Replayer` wrote: a head with
a token and no body. That is why it is no HTTP library's job: reading is one search for an empty line, and headers
that were recorded go out as they are, where h11 refuses the odd ones.

The proxy's connections do not leave the process (`addons.inner`); the port is there to be nobody else's, and for a
mitmproxy that would connect in another way. Requests without a token are refused: any program on this machine can
connect here.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import secrets
import time
from collections.abc import Awaitable, Callable

from addons.inner import serve_no_more, serve_within
from addons.playback import Framing, Playback
from cassette.pacing import PIECE_BYTES, due

PLAYBACK_HEADER = "Wiretape-Token"
"""Carries the token of the playback that a request asks for."""

_log = logging.getLogger(__name__)
_HEAD_END = b"\r\n\r\n"
_MAX_HEAD = 8 * 1024
_BACKLOG = 1024
_REFUSED = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"

_AHEAD_NS = 1_000_000
"""Timers are late by up to a millisecond (epoll counts in those, and asyncio rounds up: selectors.py), and the way
through the proxy takes about another. So a wait ends a millisecond early."""

_TOGETHER = 16
"""Pieces that are due go out so many in one turn of the event loop, or PIECE_BYTES of them: a few milliseconds of the
proxy's work, which others wait for. Each stays a chunk of its own."""

Pause = Callable[[int], Awaitable[None]]
"""Waits so many nanoseconds; 0 lets the others have a turn."""


async def _pause(nanoseconds: int) -> None:
    await asyncio.sleep(nanoseconds / 1e9)


class Loopback:
    """The server. It lives in the event loop of the proxy that it answers."""

    def __init__(self, pause: Pause = _pause) -> None:
        self.address = ("127.0.0.1", 0)
        """Where it listens once it is started."""
        self._pause = pause
        self._server: asyncio.Server | None = None
        self._numbers = itertools.count(1)
        self._waiting: dict[str, tuple[str, Playback]] = {}
        self._connections: set[_Connection] = set()

    async def start(self, *, within: bool = True) -> int:
        """Begin to listen on a free port and return it; `within`: for this loop's connections without a socket."""
        loop = asyncio.get_running_loop()
        # Named by host and port the socket's protocol is TCP, and only then does asyncio set TCP_NODELAY
        # (asyncio/selector_events.py); without it a piece waits for the acknowledgement of the one before it.
        self._server = await loop.create_server(self._connection, self.address[0], 0, backlog=_BACKLOG)
        self.address = self._server.sockets[0].getsockname()
        if within:
            serve_within(self.address, self._connection)
        return self.address[1]

    async def close(self) -> None:
        """Stop listening, and break off what is being played."""
        if self._server is not None:
            serve_no_more(self.address)
            self._server.close()
            for connection in list(self._connections):
                connection.abort()
            await self._server.wait_closed()
            self._server = None
        self._waiting.clear()

    def register(self, playback: Playback) -> str:
        """Keep a playback for the one request that will name the token returned here."""
        number, secret = str(next(self._numbers)), secrets.token_hex(16)
        self._waiting[number] = (secret, playback)
        return f"{number}-{secret}"

    def forget(self, token: str) -> None:
        """Drop a playback that nobody will ask for any more; nothing happens when it was taken."""
        self._waiting.pop(token.partition("-")[0], None)

    def take(self, token: str) -> Playback | None:
        """Return the playback of a token, once; None for a token that was never given out, or is used up."""
        number, _, secret = token.partition("-")
        # The number finds it, so that the secret can be compared in constant time.
        known, playback = self._waiting.get(number, ("", None))
        if playback is None or not secrets.compare_digest(known.encode(), secret.encode()):
            return None
        del self._waiting[number]
        return playback

    @property
    def waiting(self) -> int:
        """How many playbacks were registered and not asked for."""
        return len(self._waiting)

    def _connection(self) -> _Connection:
        return _Connection(self.take, self._pause, self._connections)


class _Connection(asyncio.Protocol):
    """One connection of the proxy: plays one response after the other."""

    def __init__(
        self, take: Callable[[str], Playback | None], pause: Pause, connections: set[_Connection]
    ) -> None:
        self._take = take
        self._pause = pause
        self._connections = connections
        self._transport: asyncio.Transport | None = None
        self._buffer = bytearray()
        self._writable = asyncio.Event()
        self._writable.set()
        self._playing: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._connections.add(self)

    def connection_lost(self, _exc: Exception | None) -> None:
        """Stop playing: the client has left, and mitmproxy after it."""
        self._connections.discard(self)
        if self._playing is not None:
            self._playing.cancel()

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if self._playing is None:
            self._next()
        if len(self._buffer) > _MAX_HEAD:
            self.abort()

    def abort(self) -> None:
        """Break the connection off."""
        if self._transport is not None:
            self._transport.abort()

    def _next(self) -> None:
        """Begin to answer the next request, if its head is there."""
        head, end, rest = self._buffer.partition(_HEAD_END)
        if not end:
            return
        self._buffer = rest
        request_line, *fields = head.decode("latin-1").split("\r\n")
        token = next((value for name, value in map(_field, fields) if name == PLAYBACK_HEADER.lower()), "")
        playback = self._take(token)
        if playback is None:
            assert self._transport is not None
            self._transport.write(_REFUSED)
            self._transport.close()
            return
        method, _, version = request_line.partition(" ")
        framing = playback.framing(method, http_1_0=version.endswith("HTTP/1.0"))
        self._playing = asyncio.get_running_loop().create_task(self._answer(playback, framing))

    async def _answer(self, playback: Playback, framing: Framing) -> None:
        assert self._transport is not None
        try:
            await self._play(playback, framing)
        except asyncio.CancelledError:
            raise
        except Exception as exc:  # nobody awaits this task; the client has to see that something is missing
            _log.error("loopback.failed reason=%s", type(exc).__name__)
            self.abort()
            return
        if framing is Framing.UNTIL_CLOSE:
            self._transport.close()
        self._playing = None
        self._next()

    async def _play(self, playback: Playback, framing: Framing) -> None:
        assert self._transport is not None
        await self._pause(_wait(playback, playback.schedule.head_due_ns))
        self._transport.write(playback.head(framing))
        pieces = playback.body(framing)
        piece = next(pieces, None)
        while piece is not None:
            # Even for what is due: a long body must not keep other streams from their turn.
            await self._pause(_wait(playback, piece[0]))
            together: list[bytes] = []
            while piece is not None and (not together or not _wait(playback, piece[0])):
                together.append(piece[1])
                piece = next(pieces, None)
                if len(together) == _TOGETHER or sum(map(len, together)) >= PIECE_BYTES:
                    break
            await self._writable.wait()
            # Not `writelines`: it never calls `pause_writing` in Python 3.12.0 to 3.12.8 and 3.13.0 to 3.13.1, and a
            # body would be in memory as a whole for a client that does not read (CPython issue 127655).
            self._transport.write(b"".join(together))


def _wait(playback: Playback, due_ns: int) -> int:
    """Return how many nanoseconds to wait, 0 for what is due; always counted from the start, so nothing adds up."""
    return due(due_ns - _AHEAD_NS, playback.started_ns, time.monotonic_ns())


def _field(line: str) -> tuple[str, str]:
    name, _, value = line.partition(":")
    return name.lower(), value.strip()
