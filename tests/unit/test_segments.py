from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from cassette import journal, segments
from cassette.errors import StoreError
from cassette.journal import Kind
from cassette.segment_reader import SegmentReader
from cassette.segments import MAGIC, SegmentWriter, is_being_written, segment_path, writers_in
from tests.support.segment_writers import a_writer, disk, numbered, payloads
from tests.support.smalldisk import small_disk

__all__ = ["a_writer", "disk", "small_disk"]


def test_records_come_back_over_many_segments(tmp_path: Path, a_writer: Callable[..., SegmentWriter]) -> None:
    writer = a_writer()
    for payload in numbered(500):
        writer.append(Kind.REQUEST_DATA, 1, 1, payload)
    writer.close()

    assert payloads(tmp_path) == numbered(500)
    assert len(writers_in(tmp_path)["w1"]) > 10


def test_segments_and_their_lock_are_private(tmp_path: Path, a_writer: Callable[..., SegmentWriter]) -> None:
    before = os.umask(0)
    try:
        a_writer()
    finally:
        os.umask(before)

    for name in ("w1-00000001.seg", "w1.live"):
        assert (tmp_path / name).stat().st_mode & 0o777 == 0o600


def test_a_segment_has_its_whole_size_on_disk_before_it_is_used(
    tmp_path: Path, a_writer: Callable[..., SegmentWriter]
) -> None:
    a_writer(segment_bytes=1 << 16)

    found = segment_path(tmp_path, "w1", 1).stat()
    assert found.st_size == 1 << 16
    assert found.st_blocks * 512 >= 1 << 16


def test_a_payload_past_the_longest_is_split(tmp_path: Path, a_writer: Callable[..., SegmentWriter]) -> None:
    writer = a_writer(segment_bytes=4 << 20)
    payload = os.urandom(2 * journal.MAX_PAYLOAD + 5)
    writer.append(Kind.RESPONSE_DATA, 1, 1, payload)
    writer.close()

    with contextlib.closing(SegmentReader(tmp_path, "w1")) as reader:
        records = [
            (len(record.payload), record.more, bytes(record.payload)) for record, _, _ in reader.records()
        ]
    assert [record[:2] for record in records] == [
        (journal.MAX_PAYLOAD, True),
        (journal.MAX_PAYLOAD, True),
        (5, False),
    ]
    assert b"".join(record[2] for record in records) == payload


@pytest.mark.parametrize("size", [journal.MAX_PAYLOAD - 1, journal.MAX_PAYLOAD, journal.MAX_PAYLOAD + 1])
def test_payloads_around_the_longest_come_back(
    tmp_path: Path, a_writer: Callable[..., SegmentWriter], size: int
) -> None:
    writer = a_writer(segment_bytes=4 << 20)
    writer.append(Kind.RESPONSE_DATA, 1, 1, b"x" * size)
    writer.close()

    assert b"".join(payloads(tmp_path)) == b"x" * size


@pytest.mark.parametrize("segment_bytes", [256, 1000, 1002, 4096])
def test_every_size_of_payload_fits_into_a_segment_however_small(
    tmp_path: Path, a_writer: Callable[..., SegmentWriter], segment_bytes: int
) -> None:
    writer = a_writer(segment_bytes=segment_bytes)
    for size in range(0, 2500, 47):
        writer.append(Kind.RESPONSE_DATA, 1, 1, b"y" * size)
    writer.close()

    assert b"".join(payloads(tmp_path)) == b"y" * sum(range(0, 2500, 47))


def test_what_was_appended_survives_a_kill(tmp_path: Path) -> None:
    code = """
import os, pathlib, signal, sys
from cassette.journal import Kind
from cassette.segments import SegmentWriter
writer = SegmentWriter(pathlib.Path(sys.argv[1]), "w1")
for number in range(1000):
    writer.append(Kind.REQUEST_DATA, 1, number, b"%d" % number)
os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False)

    assert done.returncode == -9
    assert payloads(tmp_path) == [b"%d" % number for number in range(1000)]
    assert not is_being_written(tmp_path)


def test_a_journal_is_being_written_while_its_writer_lives(
    tmp_path: Path, a_writer: Callable[..., SegmentWriter]
) -> None:
    assert not is_being_written(tmp_path)
    writer = a_writer()
    assert is_being_written(tmp_path)
    writer.close()
    assert not is_being_written(tmp_path)


def test_two_writers_of_one_name_are_refused(tmp_path: Path, a_writer: Callable[..., SegmentWriter]) -> None:
    a_writer()
    with pytest.raises(StoreError, match="another process writes this journal; give each its own name"):
        SegmentWriter(tmp_path, "w1")


def test_a_segment_that_is_there_is_never_written_over(tmp_path: Path) -> None:
    segment_path(tmp_path, "w1", 1).write_bytes(b"theirs")

    with pytest.raises(StoreError, match="cannot make a journal segment: File exists"):
        SegmentWriter(tmp_path, "w1")
    assert segment_path(tmp_path, "w1", 1).read_bytes() == b"theirs"
    assert not is_being_written(tmp_path)


def test_a_symlink_planted_for_a_segment_is_not_followed(tmp_path: Path) -> None:
    segment_path(tmp_path, "w1", 1).symlink_to(tmp_path / "elsewhere")

    with pytest.raises(StoreError, match="cannot make a journal segment"):
        SegmentWriter(tmp_path, "w1")
    assert not (tmp_path / "elsewhere").exists()


def test_a_folder_that_is_missing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="cannot lock the journal: No such file"):
        SegmentWriter(tmp_path / "none", "w1")


def test_nothing_is_recorded_behind_the_end(tmp_path: Path, a_writer: Callable[..., SegmentWriter]) -> None:
    writer = a_writer()
    writer.close()
    writer.close()

    with pytest.raises(StoreError, match="the journal is closed"):
        writer.append(Kind.REQUEST_DATA, 1, 1, b"late")
    assert payloads(tmp_path) == []


def test_the_position_grows_by_what_is_written(a_writer: Callable[..., SegmentWriter]) -> None:
    writer = a_writer(segment_bytes=segments.SEGMENT_BYTES)
    assert writer.position == len(MAGIC)
    writer.append(Kind.REQUEST_DATA, 1, 1, b"four")
    assert writer.position == len(MAGIC) + journal.record_bytes(4)


def test_other_files_are_no_segments(tmp_path: Path) -> None:
    for name in (
        "w1-00000002.seg",
        "w1-00000010.seg",
        "a-b-00000001.seg",
        "x.seg",
        "w1-²¹.seg",
        "w1-1.segx",
        "y",
    ):
        (tmp_path / name).touch()

    assert writers_in(tmp_path) == {"a-b": [1], "w1": [2, 10]}


def test_a_folder_that_is_gone_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="cannot look into the journal: No such file"):
        writers_in(tmp_path / "none")
