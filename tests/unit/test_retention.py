from __future__ import annotations

import contextlib
from pathlib import Path

from cassette import journal
from cassette.journal import HEADER_BYTES, Kind, Record
from cassette.retention import shortened
from cassette.segments import MAGIC, SegmentWriter, segment_path
from tests.support.waiting import until

SMALL = 4096


def a_segment(folder: Path) -> bytes:
    """Return a segment of three exchanges that the journal has rolled over from."""
    with contextlib.closing(SegmentWriter(folder, "w1", segment_bytes=SMALL)) as writer:
        for number in range(60):
            writer.append(Kind.RESPONSE_DATA, number % 3, number, b"%d " % number * 20)
        until("it to be stored", lambda: not writer.waiting_bytes)
    return segment_path(folder, "w1", 1).read_bytes()


def records_of(data: bytes) -> list[Record]:
    at, found = len(MAGIC), []
    while isinstance(record := journal.read_record(data, at), Record):
        found.append(record)
        at = record.next_at
    return found


def test_a_shortened_segment_has_the_records_that_are_needed_and_where_it_goes_on(tmp_path: Path) -> None:
    data = a_segment(tmp_path)
    pieces, _ = shortened(data, lambda number: number == 1)
    short = b"".join(pieces)

    wanted = [(r.exchange, r.at_ns, r.payload) for r in records_of(data) if r.exchange == 1]
    *kept, last = records_of(short)
    assert [(r.exchange, r.at_ns, r.payload) for r in kept] == wanted
    assert last.kind == Kind.ROLLED
    assert short.startswith(MAGIC)
    assert len(short) < len(data) // 2


def test_it_is_known_where_the_payloads_went(tmp_path: Path) -> None:
    data = a_segment(tmp_path)
    pieces, moved = shortened(data, lambda number: number == 2)
    short = b"".join(pieces)

    at = len(MAGIC)
    for record in records_of(data):
        if record.exchange == 2:
            new_at = moved[at + HEADER_BYTES]
            assert short[new_at : new_at + len(record.payload)] == record.payload
        at = record.next_at


def test_shortening_again_changes_nothing_more(tmp_path: Path) -> None:
    pieces, _ = shortened(a_segment(tmp_path), lambda number: number == 1)
    short = b"".join(pieces)
    again, moved = shortened(short, lambda number: number == 1)

    assert b"".join(again) == short
    assert all(old == new for old, new in moved.items())


def test_what_was_cut_off_ends_a_segment(tmp_path: Path) -> None:
    data = a_segment(tmp_path)
    second = records_of(data)[1].next_at
    pieces, _ = shortened(data[: second + 7], lambda number: True)

    assert b"".join(pieces) == data[:second]
