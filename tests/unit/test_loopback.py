"""The loopback server within the process and over a real socket, with a clock that the test turns."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from typing import Any

import pytest

from addons.loopback import Loopback
from addons.playback import Playback
from cassette.model import Response
from cassette.pacing import schedule
from tests.support.responses import TEXT, response
from tests.support.talk import SSE

DEADLINE_S = 20.0
EVENTS = (b"data: 1\n\n", b"data: 2\n\n", b"data: 3\n\n")
STREAM = response(b"".join(EVENTS), SSE)
A_DAY_NS = 86_400 * 10**9


class Clock:
    """A pause that lasts until the test lets it end, for whoever has to wait at all."""

    def __init__(self) -> None:
        self._steps = asyncio.Semaphore(0)
        self.asked: list[int] = []

    async def pause(self, nanoseconds: int) -> None:
        if nanoseconds == 0:
            await asyncio.sleep(0)
            return
        self.asked.append(nanoseconds)
        await self._steps.acquire()

    def step(self) -> None:
        self._steps.release()


@pytest.fixture(params=[True, False], ids=["within", "socket"], autouse=True)
def within(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    is_within: bool = request.param
    monkeypatch.setattr(Loopback, "start", functools.partialmethod(Loopback.start, within=is_within))
    return is_within


def playback(recorded: Response, *, started_ns: int = 0, factor: float = 0) -> Playback:
    return Playback(recorded, schedule(recorded, None, factor), started_ns)


def run(test: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(asyncio.wait_for(test(), DEADLINE_S))


@contextlib.asynccontextmanager
async def served(
    pause: Callable[[int], Awaitable[None]] | None = None,
) -> AsyncIterator[tuple[Loopback, asyncio.StreamReader, asyncio.StreamWriter]]:
    loopback = Loopback() if pause is None else Loopback(pause)
    port = await loopback.start()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield loopback, reader, writer
    finally:
        writer.close()
        await loopback.close()


def ask(token: str, method: str = "POST", version: str = "HTTP/1.1") -> bytes:
    return f"{method} / {version}\r\nHost: 127.0.0.1\r\nwiretape-token: {token}\r\n\r\n".encode()


async def chunk(reader: asyncio.StreamReader) -> bytes:
    size = int(await reader.readline(), 16)
    return (await reader.readexactly(size + 2))[:size]


def test_a_response_comes_in_the_chunks_it_is_scheduled_in() -> None:
    async def test() -> None:
        async with served() as (loopback, reader, writer):
            writer.write(ask(loopback.register(playback(STREAM))))
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200 OK\r\n")
            assert b"Transfer-Encoding: chunked\r\n" in head
            assert [await chunk(reader) for _ in range(4)] == [*EVENTS, b""]

    run(test)


def test_a_piece_goes_out_when_it_is_due_and_not_before() -> None:
    async def test() -> None:
        clock = Clock()
        recorded = response(STREAM.body, SSE, duration_ns=A_DAY_NS)
        async with served(clock.pause) as (loopback, reader, writer):
            started_ns = 10**18  # far ahead, so that every wait is one
            token = loopback.register(playback(recorded, started_ns=started_ns, factor=1))
            writer.write(ask(token))
            clock.step()
            await reader.readuntil(b"\r\n\r\n")
            for event in EVENTS:
                clock.step()
                assert await chunk(reader) == event
                # The next piece is being waited for: nothing of it is there.
                with pytest.raises(TimeoutError):
                    await asyncio.wait_for(reader.read(1), 0)
            clock.step()
            assert await chunk(reader) == b""

    run(test)


def test_what_was_late_does_not_delay_what_follows() -> None:
    async def test() -> None:
        clock = Clock()
        recorded = response(STREAM.body, SSE, duration_ns=A_DAY_NS)
        async with served(clock.pause) as (loopback, reader, writer):
            # Started days ago by the monotonic clock: all is overdue, and nothing waits.
            token = loopback.register(playback(recorded, started_ns=-10 * A_DAY_NS, factor=1))
            writer.write(ask(token))
            await reader.readuntil(b"0\r\n\r\n")
            assert clock.asked == []

    run(test)


def test_one_connection_plays_one_response_after_the_other() -> None:
    async def test() -> None:
        async with served() as (loopback, reader, writer):
            for body in (b"one", b"", b"three"):
                recorded = response(body, TEXT, content_length=len(body))
                writer.write(ask(loopback.register(playback(recorded))))
                head = await reader.readuntil(b"\r\n\r\n")
                assert f"Content-Length: {len(body)}\r\n".encode() in head
                assert await reader.readexactly(len(body)) == body

    run(test)


def test_a_request_that_came_with_the_one_before_is_answered_after_it() -> None:
    async def test() -> None:
        async with served() as (loopback, reader, writer):
            tokens = [loopback.register(playback(response(body, TEXT))) for body in (b"one", b"two")]
            writer.write(b"".join(map(ask, tokens)))
            for body in (b"one", b"two"):
                await reader.readuntil(b"\r\n\r\n")
                assert [await chunk(reader), await chunk(reader)] == [body, b""]

    run(test)


def test_head_gets_the_headers_alone_and_http_1_0_the_end_of_the_connection() -> None:
    async def test() -> None:
        async with served() as (loopback, reader, writer):
            recorded = response(b"", TEXT, content_length=9)
            writer.write(ask(loopback.register(playback(recorded)), method="HEAD"))
            assert b"Content-Length: 9\r\n" in await reader.readuntil(b"\r\n\r\n")
            writer.write(ask(loopback.register(playback(STREAM)), version="HTTP/1.0"))
            whole = await reader.read()
            assert b"Transfer-Encoding" not in whole
            assert whole.partition(b"\r\n\r\n")[2] == STREAM.body

    run(test)


@pytest.mark.parametrize("token", ["", "1", "1-", "x-y", "9" * 5000 + "-1", "1-" + "0" * 32, "1-\xff"])
def test_a_request_without_the_right_token_is_refused(token: str) -> None:
    async def test() -> None:
        async with served() as (loopback, reader, writer):
            loopback.register(playback(STREAM))
            writer.write(ask(token))
            assert (await reader.read()).startswith(b"HTTP/1.1 403 ")
            assert loopback.waiting == 1

    run(test)


def test_a_token_is_good_for_one_request() -> None:
    async def test() -> None:
        async with served() as (loopback, reader, writer):
            token = loopback.register(playback(response(content_length=0)))
            writer.write(ask(token))
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
            writer.write(ask(token))
            assert (await reader.read()).startswith(b"HTTP/1.1 403 ")

    run(test)


def test_a_playback_that_is_forgotten_is_not_played() -> None:
    loopback = Loopback()
    token = loopback.register(playback(STREAM))
    loopback.forget(token)
    assert loopback.waiting == 0
    assert loopback.take(token) is None
    loopback.forget(token)


def test_a_head_without_an_end_is_cut_off() -> None:
    async def test() -> None:
        async with served() as (_, reader, writer):
            writer.write(b"GET / HTTP/1.1\r\nX: " + b"x" * 10_000)
            with contextlib.suppress(ConnectionError):
                assert await reader.read() == b""

    run(test)


def test_nothing_more_is_played_when_the_client_has_left() -> None:
    async def test() -> None:
        taken = asyncio.Event()
        stopped = asyncio.Event()

        async def pause(nanoseconds: int) -> None:
            if nanoseconds:
                taken.set()
                try:
                    await asyncio.Event().wait()
                finally:
                    stopped.set()

        recorded = response(STREAM.body, SSE, duration_ns=A_DAY_NS)
        async with served(pause) as (loopback, _, writer):
            writer.write(ask(loopback.register(playback(recorded, started_ns=10**18, factor=1))))
            await taken.wait()
            writer.close()
            await stopped.wait()

    run(test)


def test_a_client_that_does_not_read_holds_the_body_back() -> None:
    async def test() -> None:
        waiting: list[int] = []
        held = asyncio.Event()

        async def pause(_: int) -> None:
            (connection,) = loopback._connections
            assert connection._transport is not None
            waiting.append(connection._transport.get_write_buffer_size())
            if not connection._writable.is_set():
                held.set()
            await asyncio.sleep(0)

        pieces = 4096
        recorded = response(bytes(pieces * 16 * 1024), "application/octet-stream")
        async with served(pause) as (loopback, reader, writer):
            writer.write(ask(loopback.register(playback(recorded))))
            await held.wait()
            assert len(waiting) < pieces
            assert len(reader._buffer) < 256 * 1024  # type: ignore[attr-defined]
            await reader.readuntil(b"\r\n\r\n")
            assert sum([len(await chunk(reader)) for _ in range(pieces)]) == len(recorded.body)
            assert max(waiting) < 128 * 1024

    run(test)


def test_closing_breaks_off_what_is_being_played() -> None:
    async def test() -> None:
        clock = Clock()
        recorded = response(STREAM.body, SSE, duration_ns=A_DAY_NS)
        async with served(clock.pause) as (loopback, reader, writer):
            writer.write(ask(loopback.register(playback(recorded, started_ns=10**18, factor=1))))
            clock.step()
            await reader.readuntil(b"\r\n\r\n")
            await loopback.close()
            with contextlib.suppress(ConnectionError):
                assert await reader.read() == b""

    run(test)


def test_the_server_listens_on_loopback_and_sends_without_delay(*, within: bool) -> None:
    async def test() -> None:
        found: asyncio.Future[int] = asyncio.get_running_loop().create_future()

        async def pause(_: int) -> None:
            if not found.done():
                (connection,) = loopback._connections
                assert connection._transport is not None
                end: socket.socket | None = connection._transport.get_extra_info("socket")
                assert (end is None) is within
                found.set_result(end.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) if end else 1)

        async with served(pause) as (loopback, _, writer):
            assert loopback.address[0] == "127.0.0.1"
            writer.write(ask(loopback.register(playback(STREAM))))
            assert await found != 0

    run(test)
