from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from cassette import journal
from cassette.errors import JournalCorruptError
from cassette.journal import HEADER_BYTES, Kind
from cassette.segment_reader import PayloadFile, SegmentReader
from cassette.segments import MAGIC, SegmentWriter, segment_path, writers_in

SMALL = 4096


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[SegmentReader]:
    with contextlib.closing(SegmentReader(tmp_path, "w1")) as reader:
        yield reader


def write(directory: Path, *payloads: bytes, segment_bytes: int = SMALL) -> None:
    with contextlib.closing(SegmentWriter(directory, "w1", segment_bytes=segment_bytes)) as writer:
        for payload in payloads:
            writer.append(Kind.REQUEST_DATA, 1, 1, payload)


def read(reader: SegmentReader) -> list[bytes]:
    return [bytes(record.payload) for record, _, _ in reader.records()]


def numbered(count: int) -> list[bytes]:
    return [b"record %d" % number for number in range(count)]


def test_nothing_is_read_before_there_is_a_segment(tmp_path: Path, reader: SegmentReader) -> None:
    assert read(reader) == []
    write(tmp_path, b"one")
    assert read(reader) == [b"one"]


def test_a_segment_that_is_being_made_is_waited_for(tmp_path: Path, reader: SegmentReader) -> None:
    segment_path(tmp_path, "w1", 1).write_bytes(bytes(100))
    assert read(reader) == []
    segment_path(tmp_path, "w1", 1).unlink()
    write(tmp_path, b"one")
    assert read(reader) == [b"one"]


def test_it_follows_a_writer_that_lives(tmp_path: Path, reader: SegmentReader) -> None:
    seen = []
    with contextlib.closing(SegmentWriter(tmp_path, "w1", segment_bytes=SMALL)) as writer:
        for payload in numbered(400):
            writer.append(Kind.REQUEST_DATA, 1, 1, payload)
            seen += read(reader)
    seen += read(reader)

    assert seen == numbered(400)
    assert read(reader) == []
    assert reader.position == writer.position


@pytest.mark.parametrize("size", [60_000, (64 << 10) - HEADER_BYTES, 64 << 10, 200_000, journal.MAX_PAYLOAD])
def test_records_longer_than_a_look_at_the_file_are_read(
    tmp_path: Path, reader: SegmentReader, size: int
) -> None:
    payloads = [b"a" * 1000, b"b" * size, b"c", b"d" * size, b""]
    write(tmp_path, *payloads, segment_bytes=4 << 20)

    assert read(reader) == payloads


def test_payloads_lie_where_they_are_said_to(tmp_path: Path, reader: SegmentReader) -> None:
    write(tmp_path, *numbered(500))

    found = [(number, at, bytes(record.payload)) for record, number, at in reader.records()]

    assert len({number for number, _, _ in found}) > 3
    with contextlib.closing(PayloadFile(tmp_path, "w1")) as payloads:
        for number, at, payload in found + found[::-7]:
            assert payloads.read(number, at, len(payload)) == payload


def test_it_begins_with_the_oldest_segment_that_is_left(tmp_path: Path) -> None:
    write(tmp_path, *numbered(500))
    for number in (1, 2):
        segment_path(tmp_path, "w1", number).unlink()

    with contextlib.closing(SegmentReader(tmp_path, "w1")) as reader:
        assert reader.number == 3
        seen = read(reader)

    assert seen == numbered(500)[-len(seen) :]
    assert 0 < len(seen) < 500


def test_a_record_that_is_half_written_is_read_when_it_is_whole(
    tmp_path: Path, reader: SegmentReader
) -> None:
    write(tmp_path, b"one", b"two")
    path = segment_path(tmp_path, "w1", 1)
    whole = path.read_bytes()
    second = len(MAGIC) + journal.record_bytes(3)
    for end in range(second + 1, second + HEADER_BYTES):
        # The header is stored at once, but not in one piece for who looks at the same moment.
        path.write_bytes(whole[:end] + bytes(len(whole) - end))
        seen = read(reader)
        assert seen == ([b"one"] if end == second + 1 else [])
    assert reader.is_broken
    path.write_bytes(whole)

    assert read(reader) == [b"two"]
    assert not reader.is_broken


def test_behind_a_record_that_is_torn_nothing_is_read(tmp_path: Path, reader: SegmentReader) -> None:
    write(tmp_path, b"one", b"two", b"three")
    path = segment_path(tmp_path, "w1", 1)
    torn = bytearray(path.read_bytes())
    torn[len(MAGIC) + journal.record_bytes(3) + HEADER_BYTES] ^= 1
    path.write_bytes(torn)

    assert read(reader) == [b"one"]
    assert read(reader) == []
    assert reader.is_broken


def test_a_segment_of_another_version_is_refused(tmp_path: Path, reader: SegmentReader) -> None:
    write(tmp_path, b"one")
    path = segment_path(tmp_path, "w1", 1)
    data = bytearray(path.read_bytes())
    data[MAGIC.index(b"\x01")] = 2
    path.write_bytes(data)

    with pytest.raises(
        JournalCorruptError, match=r"w1-00000001\.seg: is no journal segment that this version"
    ):
        read(reader)


def test_a_writer_has_its_segments_to_itself(tmp_path: Path, reader: SegmentReader) -> None:
    write(tmp_path, b"one")
    with contextlib.closing(SegmentWriter(tmp_path, "w1-00000002", segment_bytes=SMALL)) as other:
        other.append(Kind.REQUEST_DATA, 1, 1, b"theirs")

    assert read(reader) == [b"one"]
    assert set(writers_in(tmp_path)) == {"w1", "w1-00000002"}


def test_a_payload_that_was_deleted_is_an_error_that_names_the_file(tmp_path: Path) -> None:
    payloads = PayloadFile(tmp_path, "w1")

    with pytest.raises(JournalCorruptError, match=r"w1-00000007\.seg: a part of the journal was deleted"):
        payloads.read(7, 48, 3)


def test_a_payload_past_the_end_is_an_error(tmp_path: Path) -> None:
    write(tmp_path, b"one")
    with (
        contextlib.closing(PayloadFile(tmp_path, "w1")) as payloads,
        pytest.raises(JournalCorruptError, match="shorter than it was"),
    ):
        payloads.read(1, SMALL - 2, 3)


def test_a_missing_segment_ends_the_journal_unless_it_is_known_to_be_deleted(tmp_path: Path) -> None:
    with contextlib.closing(SegmentWriter(tmp_path, "w1", segment_bytes=4096)) as writer:
        for number in range(1, 41):
            writer.append(Kind.REQUEST_DATA, number, 1, b"x" * 1000)
    for number in (2, 3, 5):
        segment_path(tmp_path, "w1", number).unlink()

    def exchanges(*deleted: int) -> list[int]:
        with contextlib.closing(SegmentReader(tmp_path, "w1", set(deleted))) as reader:
            return [record.exchange for record, _, _ in reader.records()]

    assert exchanges() == [1, 2, 3]
    assert exchanges(2) == [1, 2, 3]
    assert exchanges(2, 3) == [1, 2, 3, 10, 11, 12]
    assert exchanges(2, 3, 5) == [1, 2, 3, 10, 11, 12, *range(16, 41)]
