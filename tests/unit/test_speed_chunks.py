"""The short reader of chunks against h11's own: the same pieces, whatever is cut where."""

from __future__ import annotations

import itertools
from typing import Any

import h11
import pytest
from h11._readers import ChunkedReader
from h11._receivebuffer import ReceiveBuffer
from hypothesis import given
from hypothesis import strategies as st

from addons.compat.speed_chunks import take

HEADS = st.sampled_from([b"%x", b"%X", b"0%x", b"%x ", b"%x;name=value", b"%x;q"])
CHUNKS = st.lists(st.tuples(HEADS, st.binary(min_size=1, max_size=40)), max_size=12)
ENDS = st.sampled_from(
    [b"0\r\n\r\n", b"000\r\nx-trailer: 1\r\n\r\n", b"0;last\r\n\r\n", b"", b"zz\r\n", b"-5\r\n"]
)


class _Plain:
    """h11's reader, fed as mitmproxy feeds it."""

    def __init__(self) -> None:
        self.reader: Any = ChunkedReader()
        self.buffer = ReceiveBuffer()
        self.pieces: list[bytes] = []
        self.end = ""

    def read(self, data: bytes) -> None:
        self.buffer += data
        while not self.end:
            try:
                event = self.reader(self.buffer)
            except h11.ProtocolError:
                self.end = "error"
                return
            if event is None:
                return
            if isinstance(event, h11.EndOfMessage):
                self.end = f"end {event.headers}"
            elif event.data:
                self.pieces.append(bytes(event.data))


class _Short(_Plain):
    """The short one, with h11's behind it."""

    taken = 0

    def read(self, data: bytes) -> None:
        if not self.buffer and not self.end:
            pieces, end = take(self.reader, data)
            self.pieces += pieces
            self.taken += len(pieces)
            data = data[end:]
            if not data:
                return
        super().read(data)


def _framed(chunks: list[tuple[bytes, bytes]], end: bytes) -> bytes:
    return b"".join((head % len(data)) + b"\r\n" + data + b"\r\n" for head, data in chunks) + end


@given(CHUNKS, ENDS, st.lists(st.integers(0, 600), max_size=8))
def test_pieces_and_end_are_those_of_h11(
    chunks: list[tuple[bytes, bytes]], end: bytes, cuts: list[int]
) -> None:
    body = _framed(chunks, end)
    plain, short = _Plain(), _Short()
    places = sorted({0, *(cut for cut in cuts if cut < len(body)), len(body)})
    for start, stop in itertools.pairwise(places):
        plain.read(body[start:stop])
        short.read(body[start:stop])
        assert (short.pieces, short.end) == (plain.pieces, plain.end)


@given(st.binary(max_size=200), st.integers(0, 200))
def test_whatever_comes_is_read_as_h11_reads_it(data: bytes, cut: int) -> None:
    plain, short = _Plain(), _Short()
    for part in (b"3\r\nabc\r\n", data[:cut], data[cut:]):
        plain.read(part)
        short.read(part)
    assert (short.pieces, short.end) == (plain.pieces, plain.end)


def test_plain_chunks_are_taken_and_the_end_is_left() -> None:
    short = _Short()
    short.read(_framed([(b"%x", b"data: one\n\n"), (b"%x", b"data: two\n\n")], b"0\r\n\r\n"))
    assert short.pieces == [b"data: one\n\n", b"data: two\n\n"]
    assert short.taken == 2
    assert short.end.startswith("end")


@pytest.mark.parametrize("head", [b"0x5", b"+5", b"5_0", b"", b"5\n", b"g", b"1" * 30, b"0" * 20 + b"5"])
def test_sizes_that_only_python_reads_are_left_to_h11(head: bytes) -> None:
    reader = ChunkedReader()
    assert take(reader, head + b"\r\nabcde\r\n") == ([], 0)
