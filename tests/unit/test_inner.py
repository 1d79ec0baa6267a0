from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import pytest

from addons.inner import serve_no_more, serve_within

HERE = ("127.0.0.1", 9)
"""Discard's port, where nothing listens."""
DEADLINE_S = 20.0


class Recorder(asyncio.Protocol):
    """The served end: it remembers what happens to it."""

    def __init__(self) -> None:
        self.seen: list[Any] = []
        self.lost = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.seen.append(data)

    def eof_received(self) -> bool:
        self.seen.append("eof")
        return False

    def pause_writing(self) -> None:
        self.seen.append("pause")

    def resume_writing(self) -> None:
        self.seen.append("resume")

    def connection_lost(self, exc: Exception | None) -> None:
        self.seen.append(("lost", type(exc).__name__ if exc else None))
        self.lost.set()


@contextlib.asynccontextmanager
async def connected() -> AsyncIterator[tuple[Recorder, asyncio.StreamReader, asyncio.StreamWriter]]:
    served = Recorder()
    serve_within(HERE, lambda: served)
    try:
        reader, writer = await asyncio.open_connection(*HERE)
        yield served, reader, writer
        writer.close()
    finally:
        serve_no_more(HERE)


def run(test: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(asyncio.wait_for(test(), DEADLINE_S))


def test_bytes_go_both_ways_and_keep_their_pieces() -> None:
    async def test() -> None:
        async with connected() as (served, reader, writer):
            writer.write(b"one")
            writer.writelines([b"two", b"three"])
            await writer.drain()
            assert served.seen == [b"one", b"twothree"]
            served.transport.write(b"answer")
            assert await reader.read(100) == b"answer"
            assert writer.get_extra_info("peername") == HERE
            assert writer.get_extra_info("socket") is None

    run(test)


def test_what_was_written_before_an_end_is_read_before_it() -> None:
    async def test() -> None:
        async with connected() as (served, reader, writer):
            served.transport.write(b"last words")
            served.transport.close()
            served.transport.write(b"too late")
            await served.lost.wait()
            assert await reader.read() == b"last words"
            assert reader.exception() is None
            writer.write(b"nobody is there")
            assert served.seen == [("lost", None)]

    run(test)


def test_who_leaves_is_seen_to_leave() -> None:
    async def test() -> None:
        async with connected() as (served, _, writer):
            writer.close()
            await writer.wait_closed()
            await served.lost.wait()
            assert served.seen == ["eof", ("lost", None)]

    run(test)


def test_an_end_that_is_broken_off_looks_like_a_reset() -> None:
    async def test() -> None:
        async with connected() as (served, reader, _):
            served.transport.write(b"half")
            served.transport.abort()
            await served.lost.wait()
            with pytest.raises(ConnectionResetError):
                await reader.read()

    run(test)


def test_a_reader_that_has_enough_makes_the_writer_pause() -> None:
    async def test() -> None:
        async with connected() as (served, reader, _):
            served.transport.write(bytes(200_000))
            assert served.seen == ["pause"]
            await reader.readexactly(150_000)
            assert served.seen == ["pause", "resume"]

    run(test)


def test_a_connection_is_not_open_before_the_loop_had_a_turn() -> None:
    async def test() -> None:
        async with connected():
            turned = asyncio.Event()
            asyncio.get_running_loop().call_soon(turned.set)
            _, writer = await asyncio.open_connection(*HERE)
            assert turned.is_set()
            writer.close()

    run(test)


def test_an_address_that_is_served_no_more_while_it_is_connected_to_leads_out_of_the_process() -> None:
    async def test() -> None:
        async with connected():
            asyncio.get_running_loop().call_soon(serve_no_more, HERE)
            with pytest.raises(ConnectionRefusedError):
                await asyncio.open_connection(*HERE)

    run(test)


def test_other_addresses_and_those_served_no_more_lead_out_of_the_process() -> None:
    async def test() -> None:
        greeted = asyncio.Event()

        async def greet(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            greeted.set()
            writer.close()

        server = await asyncio.start_server(greet, "127.0.0.1", 0)
        async with connected():
            _, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            await greeted.wait()
            writer.close()
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection(*HERE)
        server.close()

    run(test)
