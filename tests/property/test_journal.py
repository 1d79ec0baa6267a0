"""What holds for any records and any bytes: what is read is a beginning of what was written."""

from __future__ import annotations

import contextlib
import tempfile
from itertools import pairwise
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from cassette import journal
from cassette.journal import Record
from cassette.segment_reader import SegmentReader
from cassette.segments import MAGIC, SegmentWriter, segment_path
from tests.support.journals import Session, Take, cassette_of
from tests.support.waiting import until

Written = tuple[int, int, int, bytes]

U64 = st.integers(0, 2**64 - 1)
RECORDS = st.lists(st.tuples(st.integers(1, 8), U64, U64, st.binary(max_size=300)), min_size=1, max_size=12)


def write(records: list[Written]) -> tuple[bytearray, list[int]]:
    """Return a buffer with these records, and where each ends."""
    buffer = bytearray(sum(journal.record_bytes(len(payload)) for *_, payload in records) + 64)
    ends, at = [], 0
    for kind, exchange, at_ns, payload in records:
        at = journal.write_record(buffer, at, kind, exchange, at_ns, payload)
        ends.append(at)
    return buffer, ends


def read(buffer: bytes) -> list[Written]:
    found = []
    at = 0
    while isinstance(record := journal.read_record(buffer, at), Record):
        found.append((record.kind, record.exchange, record.at_ns, bytes(record.payload)))
        at = record.next_at
    return found


@given(RECORDS)
def test_records_come_back(records: list[Written]) -> None:
    assert read(bytes(write(records)[0])) == records


@given(RECORDS, st.data())
def test_of_a_journal_that_is_cut_the_records_before_the_cut_are_read(
    records: list[Written], data: st.DataObject
) -> None:
    buffer, ends = write(records)
    cut = data.draw(st.integers(0, ends[-1]))
    whole = sum(end <= cut for end in ends)

    for rest in (b"", bytes(len(buffer) - cut)):
        found = read(bytes(buffer[:cut]) + rest)
        # A record may be whole without its padding, or with zeros that it has at its end anyway.
        assert found == records[: len(found)]
        assert len(found) >= whole


def read_segments(folder: str) -> list[Written]:
    with contextlib.closing(SegmentReader(Path(folder), "w1")) as reader:
        return [(r.kind, r.exchange, r.at_ns, bytes(r.payload)) for r, _, _ in reader.records()]


def _exchange(record: Written) -> int:
    return record[1]


@given(RECORDS, st.data())
def test_of_a_journal_with_a_changed_byte_the_records_before_it_are_read(
    records: list[Written], data: st.DataObject
) -> None:
    buffer, ends = write(records)
    at = data.draw(st.integers(0, ends[-1] - 1))
    buffer[at] ^= data.draw(st.integers(1, 255))
    before = sum(end <= at for end in ends)

    found = read(bytes(buffer))

    assert found[:before] == records[:before]
    assert found == records[: len(found)]


@given(st.binary(max_size=3000))
def test_garbage_is_never_an_error(garbage: bytes) -> None:
    read(garbage)
    with tempfile.TemporaryDirectory() as folder:
        segment_path(Path(folder), "w1", 1).write_bytes(MAGIC + garbage)
        with contextlib.closing(SegmentReader(Path(folder), "w1")) as reader:
            list(reader.records())


@settings(deadline=None, max_examples=40)
@given(RECORDS, st.integers(1, 4), st.integers(0), st.integers(0, 1023 - len(MAGIC)), st.booleans())
def test_of_segments_that_are_cut_or_changed_a_beginning_is_read(
    records: list[Written], repeated: int, which: int, at: int, is_cut: bool
) -> None:
    records = records * repeated
    with tempfile.TemporaryDirectory() as folder:
        with contextlib.closing(SegmentWriter(Path(folder), "w1", segment_bytes=1024)) as writer:
            for record in records:
                writer.append(*record)  # type: ignore[arg-type]
        whole = read_segments(folder)
        paths = sorted(Path(folder).glob("*.seg"))
        path = paths[which % len(paths)]
        content = bytearray(path.read_bytes())
        at += len(MAGIC)
        if is_cut:
            content[at:] = bytes(len(content) - at)
        else:
            content[at] ^= 0x55
        path.write_bytes(content)
        found = read_segments(folder)

    assert found == whole[: len(found)]
    # All that was written, in order for each exchange: the end of one may go before what waits of another.
    assert sorted(whole, key=_exchange) == sorted(records, key=_exchange)


def split(body: bytes, cuts: list[int]) -> tuple[bytes, ...]:
    edges = sorted({0, len(body), *(cut % (len(body) + 1) for cut in cuts)})
    return tuple(body[start:end] for start, end in pairwise(edges))


@settings(deadline=None, max_examples=40)
@given(
    st.one_of(st.binary(max_size=3000), st.text(max_size=1000).map(str.encode)),
    st.lists(st.integers(0, 3000), max_size=12),
    st.sampled_from([300, 1024, 4096]),
)
def test_however_a_body_is_split_the_cassette_is_the_same(body: bytes, cuts: list[int], segment: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        session = Session(Path(folder))
        session.write(Take(1, split(body, cuts), request=body), segment_bytes=segment)
        session.scribe().finish("stop")

        assert session.cassette.read_bytes() == cassette_of([Take(1, (body,), request=body)])


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 5), st.data())
def test_however_exchanges_interleave_each_is_written_when_it_ends(count: int, data: st.DataObject) -> None:
    takes = [Take(number, (b"one %d" % number, b"\ntwo\n" * number)) for number in range(1, count + 1)]
    queues = {take.number: list(take.records()) for take in takes}
    turns = data.draw(st.permutations([number for number, queue in queues.items() for _ in queue]))
    ends = sorted(takes, key=lambda take: len(turns) - turns[::-1].index(take.number))
    with tempfile.TemporaryDirectory() as folder:
        session = Session(Path(folder))
        with contextlib.closing(session.writer(segment_bytes=1024)) as writer:
            for number in turns:
                writer.append(*queues[number].pop(0))
                # What waits for the next segment is overtaken by ends, which have room of their own.
                until("there is a segment", lambda: not writer.waiting_bytes)
        session.scribe().finish("stop")

        assert session.cassette.read_bytes() == cassette_of(ends)
        assert not session.interrupted.exists()
