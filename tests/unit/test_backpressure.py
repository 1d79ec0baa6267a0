from __future__ import annotations

import asyncio
from typing import Any

import pytest
from mitmproxy.proxy.layers.http._http_h2 import SendH2Data

from addons.compat import backpressure
from addons.compat.backpressure import FULL, StreamBuffer
from addons.compat.reading import HeldReader
from addons.compat.tree import require


class _Reader:
    def __init__(self) -> None:
        self.held = False

    def hold(self) -> None:
        self.held = True

    def release(self) -> None:
        self.held = False


def _piece(size: int) -> SendH2Data:
    return SendH2Data(bytes(size), end_stream=False)


def test_a_buffer_is_full_past_its_limit_and_has_room_again_at_half_of_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reader = _Reader()
    monkeypatch.setattr(backpressure, "_only_reader", lambda _sink, _stream: reader)
    sink: Any = object()
    buffer = StreamBuffer(sink, 1)
    quarter = FULL // 4
    for _ in range(4):
        buffer.append(_piece(quarter))
    assert (buffer.is_full, reader.held) == (False, False)

    buffer.append(_piece(1))
    assert (buffer.is_full, reader.held) == (True, True)

    first = buffer.popleft()
    buffer.appendleft(first)  # as the part of a piece that the window did not take
    buffer.popleft()
    assert (buffer.is_full, reader.held) == (True, True)

    buffer.popleft()
    buffer.popleft()
    assert (buffer.is_full, reader.held) == (False, False)


def test_a_reader_that_is_held_reads_on_once_it_is_released() -> None:
    async def read() -> bytes:
        stream = asyncio.StreamReader()
        stream.feed_data(b"data")
        reader = HeldReader(stream)
        reader.hold()
        reading = asyncio.create_task(reader.read(10))
        for _ in range(5):
            await asyncio.sleep(0)
        assert not reading.done()
        reader.release()
        return await asyncio.wait_for(reading, 10)

    assert asyncio.run(read()) == b"data"


def test_members_that_are_only_declared_count_as_there() -> None:
    class Base:
        declared: int

    class Derived(Base):
        def method(self) -> None: ...

    require(Derived, "declared", "method")
    with pytest.raises(AttributeError, match="Derived has no other"):
        require(Derived, "declared", "other")
