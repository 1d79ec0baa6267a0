"""What holds for any body: its pieces are the body, and times only go forward."""

from __future__ import annotations

import zlib
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from cassette.incremental import decoded_sizes
from cassette.model import Response
from cassette.pacing import schedule, split_body
from cassette.timing import Timing, read_timing, timing_line
from tests.support.aws_frames import frame
from tests.support.responses import JSON_LINES, response
from tests.support.talk import SSE

types = st.sampled_from([SSE, JSON_LINES, "application/json", "application/vnd.amazon.eventstream", ""])
lines = st.lists(
    st.sampled_from([b"data: x", b"event: y", b"", b"\n", b"\r", b"\r\n", b"\n\n", b"{", b"}"])
).map(b"".join)
framed = st.lists(st.binary(max_size=30).map(lambda payload: frame(b"", payload))).map(b"".join)
bodies = st.one_of(
    st.binary(max_size=300),
    lines,
    framed,
    st.builds(bytes.__add__, framed, st.binary(max_size=20)),
    st.integers(0, 50_000).map(bytes),
)
responses = st.builds(response, bodies, types, duration_ns=st.integers(-5, 10**12))
cuts = st.lists(st.integers(1, 400), max_size=30)
factors = st.sampled_from([0.0, 0.1, 1.0, 3.0])


def timing_for(body: bytes, sizes: list[int], head_ns: int) -> Timing:
    """Return times of chunks that make up a body, some of them at one moment."""
    chunks, at_ns, left = [], head_ns, len(body)
    for size in [*sizes, left]:
        taken = min(size, left)
        if taken:
            chunks.append((at_ns, taken))
        left -= taken
        at_ns += size % 7
    return Timing(head_ns, tuple(chunks))


@given(responses)
def test_pieces_are_the_body_and_none_is_empty(recorded: Response) -> None:
    pieces = split_body(recorded)
    assert b"".join(pieces) == recorded.body
    assert all(pieces)


@given(bodies)
def test_every_server_sent_event_but_the_last_ends_with_a_blank_line(body: bytes) -> None:
    for piece in split_body(response(body, SSE))[:-1]:
        text = piece.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        assert text.endswith(b"\n\n")
        assert b"\n\n" not in text.rstrip(b"\n").lstrip(b"\n")


@given(responses, cuts, st.integers(0, 10**9), factors)
def test_times_start_with_the_head_and_only_go_forward(
    recorded: Response, sizes: list[int], head_ns: int, factor: float
) -> None:
    for timing in (None, timing_for(recorded.body, sizes, head_ns)):
        plan = schedule(recorded, timing, factor)
        pieces = list(plan.pieces)
        times = [plan.head_due_ns, *(piece.due_ns for piece in pieces)]
        assert times == sorted(times)
        assert times[0] >= 0
        assert b"".join(piece.data for piece in pieces) == recorded.body


@given(responses, cuts, st.integers(0, 10**9))
def test_no_piece_is_due_before_its_last_byte_had_come(
    recorded: Response, sizes: list[int], head_ns: int
) -> None:
    timing = timing_for(recorded.body, sizes, head_ns)
    came_at = [at_ns for at_ns, size in timing.chunks for _ in range(size)]
    sent = 0
    for piece in schedule(recorded, timing, 1).pieces:
        sent += len(piece.data)
        assert piece.due_ns == came_at[sent - 1]


@given(st.lists(st.binary(max_size=200), max_size=8), st.lists(st.integers(0, 300), max_size=8))
def test_any_split_of_a_compressed_body_has_the_size_of_its_text(texts: list[bytes], ends: list[int]) -> None:
    packer = zlib.compressobj(wbits=31)
    packed = (
        b"".join(packer.compress(text) + packer.flush(zlib.Z_SYNC_FLUSH) for text in texts) + packer.flush()
    )
    marks = sorted({0, len(packed), *(min(end, len(packed)) for end in ends)})
    chunks = [packed[start:end] for start, end in pairwise(marks)]
    sizes = decoded_sizes(chunks, ("gzip",))
    assert sizes is not None
    assert sum(sizes) == len(b"".join(texts))


@given(st.binary(max_size=400))
def test_reading_times_never_raises(data: bytes) -> None:
    read_timing(data)


@given(st.lists(st.integers(1, 400), max_size=20), st.integers(0, 500))
def test_a_file_cut_at_any_byte_keeps_the_lines_before(sizes: list[int], cut: int) -> None:
    lines_written = [
        timing_line(number, timing_for(bytes(size), [3], 0)) for number, size in enumerate(sizes)
    ]
    data = b"".join(lines_written)[:cut]
    whole = data.count(b"\n")
    found = read_timing(data)
    assert set(range(whole)) <= set(found) <= set(range(whole + 1))
