from __future__ import annotations

import contextlib
import errno
import os
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from cassette.errors import StoreError
from cassette.journal import Kind
from cassette.segment_reader import SegmentReader
from cassette.segments import SegmentWriter, is_being_written, writers_in
from tests.support.segment_writers import SMALL, Disk, a_writer, append_often, disk, numbered, payloads
from tests.support.smalldisk import fill, small_disk
from tests.support.waiting import until

__all__ = ["a_writer", "disk", "small_disk"]


def test_while_no_segment_can_be_had_records_wait_and_follow_in_order(
    tmp_path: Path, a_writer: Callable[..., SegmentWriter], disk: Disk
) -> None:
    writer = a_writer()
    until("spares are made", lambda: len(writers_in(tmp_path)["w1"]) == 3)
    disk.full = True
    for payload in numbered(600):
        writer.append(Kind.REQUEST_DATA, 1, 1, payload)
    assert writer.waiting_bytes > 0
    until("the error is known", lambda: "No space left" in str(writer.error))
    disk.full = False
    until("nothing waits", lambda: writer.waiting_bytes == 0)
    for payload in numbered(10):
        writer.append(Kind.REQUEST_DATA, 1, 1, payload)

    assert writer.error is None
    assert payloads(tmp_path) == numbered(600) + numbered(10)


def test_the_ends_of_what_is_under_way_have_their_room_on_a_full_disk(
    tmp_path: Path, a_writer: Callable[..., SegmentWriter], disk: Disk
) -> None:
    writer = a_writer()
    until("spares are made", lambda: len(writers_in(tmp_path)["w1"]) == 3)
    disk.full = True
    under_way = range(1, 11)
    for number in under_way:
        writer.append(Kind.REQUEST_HEAD, number, 1, b"{}")
    while not writer.waiting_bytes:
        writer.append(Kind.RESPONSE_DATA, 99, 1, b"z" * 7)
    for number in under_way:
        writer.append(Kind.REQUEST_END, number, 2)
        writer.append(Kind.RESPONSE_END, number, 2)
        assert writer.await_stored(number, 0)
    assert not writer.await_stored(99, 0)
    with contextlib.closing(SegmentReader(tmp_path, "w1")) as reader:
        ended = [record.exchange for record, _, _ in reader.records() if record.kind == Kind.RESPONSE_END]
    assert ended == list(under_way)
    disk.full = False


def test_one_that_takes_over_begins_on_a_full_disk_and_its_records_follow(tmp_path: Path, disk: Disk) -> None:
    disk.full = True
    with pytest.raises(StoreError, match="No space left on device"):
        SegmentWriter(tmp_path, "w1", segment_bytes=SMALL)
    writer = SegmentWriter(tmp_path, "w1", segment_bytes=SMALL, takes_over=True)
    assert writer.error is not None
    writer.append(Kind.REQUEST_HEAD, 1, 5, b"head")
    assert writer.is_refused(1)
    assert writers_in(tmp_path) == {}
    assert writer.position == 0
    disk.full = False
    until("the disk to be tried again", lambda: not writer.waiting_bytes)
    assert is_being_written(tmp_path)
    assert writer.error is None
    writer.append(Kind.REQUEST_END, 1, 6, b"end")
    writer.close()
    assert payloads(tmp_path) == [b"head", b"end"]


def test_one_that_takes_over_and_never_gets_a_segment_knows_what_it_lost(tmp_path: Path, disk: Disk) -> None:
    disk.full = True
    writer = SegmentWriter(tmp_path, "w1", segment_bytes=SMALL, takes_over=True)
    writer.append(Kind.REQUEST_HEAD, 7, 5, b"head")
    writer.close()
    assert writer.lost_exchanges == {7}


def test_one_that_takes_over_on_a_good_disk_has_its_segment_at_once(tmp_path: Path) -> None:
    with contextlib.closing(SegmentWriter(tmp_path, "w1", segment_bytes=SMALL, takes_over=True)) as writer:
        writer.append(Kind.REQUEST_HEAD, 1, 5, b"head")
        assert writer.waiting_bytes == 0


def test_what_waits_is_stored_when_the_writer_closes(
    tmp_path: Path, a_writer: Callable[..., SegmentWriter], disk: Disk
) -> None:
    writer = a_writer()
    until("spares are made", lambda: len(writers_in(tmp_path)["w1"]) == 3)
    disk.full = True
    for payload in numbered(600):
        writer.append(Kind.REQUEST_DATA, 1, 1, payload)
    until("the error is known", lambda: writer.error is not None)
    disk.full = False
    writer.close()

    assert payloads(tmp_path) == numbered(600)


def test_what_the_disk_refuses_to_the_end_is_counted_in_the_log(
    tmp_path: Path, a_writer: Callable[..., SegmentWriter], disk: Disk, caplog: pytest.LogCaptureFixture
) -> None:
    writer = a_writer()
    disk.full = True
    for payload in numbered(900):
        writer.append(Kind.REQUEST_DATA, 1, 1, payload)
    writer.close()

    stored = payloads(tmp_path)
    assert stored == numbered(900)[: len(stored)]
    assert f"journal.lost records={900 - len(stored)}" in caplog.text
    assert "No space left on device; make room on the disk" in caplog.text


def test_past_the_limit_of_what_may_wait_records_are_refused(
    tmp_path: Path, a_writer: Callable[..., SegmentWriter], disk: Disk
) -> None:
    writer = a_writer(overflow_bytes=20_000)
    until("spares are made", lambda: len(writers_in(tmp_path)["w1"]) == 3)
    disk.full = True
    while writer.waiting_bytes == 0:
        writer.append(Kind.RESPONSE_DATA, 0, 1, b"z" * 500)
    until("the error is known", lambda: writer.error is not None)
    errors = []
    for number in range(200):
        try:
            writer.append(Kind.RESPONSE_DATA, number, 1, b"z" * 500)
        except StoreError as exc:
            errors.append(exc)

    assert 0 < len(errors) < 200
    assert len(set(map(id, errors))) == len(errors)
    assert all(str(exc).startswith(f"{tmp_path}: records are lost: ") for exc in errors)
    assert all("\n" not in str(exc) for exc in errors)


def test_an_exchange_that_lost_a_record_is_dropped_and_those_that_come_later_are_not(
    tmp_path: Path, a_writer: Callable[..., SegmentWriter], disk: Disk
) -> None:
    writer = a_writer(overflow_bytes=20_000)
    until("spares are made", lambda: len(writers_in(tmp_path)["w1"]) == 3)
    disk.full = True
    with pytest.raises(StoreError):
        writer.append(Kind.RESPONSE_DATA, 1, 1, b"z" * 40_000)
    while writer.waiting_bytes < 19_900:
        writer.append(Kind.REQUEST_DATA, 9, 1, b"z" * 10)
    with pytest.raises(StoreError):
        writer.append(Kind.REQUEST_HEAD, 2, 1, b"z" * 500)
    disk.full = False
    until("nothing waits", lambda: writer.waiting_bytes == 0)
    writer.append(Kind.REQUEST_HEAD, 3, 1, b"{}")

    with contextlib.closing(SegmentReader(tmp_path, "w1")) as reader:
        records = [(record.exchange, record.kind) for record, _, _ in reader.records()]
    assert records[-1] == (3, Kind.REQUEST_HEAD)
    assert [record for record in records if record[0] == 1][-1] == (1, Kind.DROPPED)
    assert (2, Kind.REQUEST_HEAD) not in records
    assert (2, Kind.DROPPED) not in records


def test_a_full_disk_is_waited_for(small_disk: Path) -> None:
    writer = SegmentWriter(small_disk, "w1", segment_bytes=1 << 16)
    until("spares are made", lambda: len(writers_in(small_disk)["w1"]) == 3)
    filler = fill(small_disk)
    for payload in numbered(3000):
        writer.append(Kind.REQUEST_DATA, 1, 1, payload)
    until("the error is known", lambda: "No space left" in str(writer.error))
    filler.unlink()
    writer.close()

    assert payloads(small_disk) == numbered(3000)


def test_what_waits_of_an_exchange_that_is_lost_makes_room_for_others(
    tmp_path: Path, a_writer: Callable[..., SegmentWriter], disk: Disk
) -> None:
    writer = a_writer(overflow_bytes=20_000)
    until("spares are made", lambda: len(writers_in(tmp_path)["w1"]) == 3)
    disk.full = True
    for kind, number in ((Kind.REQUEST_HEAD, 1), (Kind.REQUEST_HEAD, 2)):
        writer.append(kind, number, 1, b"{}")
    with pytest.raises(StoreError):
        append_often(writer, 1)
    assert writer.waiting_bytes < 1000
    for _ in range(20):
        writer.append(Kind.RESPONSE_DATA, 2, 1, b"y" * 500)
    disk.full = False
    until("nothing waits", lambda: writer.waiting_bytes == 0)

    with contextlib.closing(SegmentReader(tmp_path, "w1")) as reader:
        records = [(record.exchange, record.kind) for record, _, _ in reader.records()]
    assert [kind for number, kind in records if number == 1][-1] == Kind.DROPPED
    assert records.count((2, Kind.RESPONSE_DATA)) == 20


def test_exchanges_of_which_the_disk_never_took_a_part_are_known_in_the_end(
    tmp_path: Path, a_writer: Callable[..., SegmentWriter], disk: Disk
) -> None:
    writer = a_writer(overflow_bytes=20_000)
    until("spares are made", lambda: len(writers_in(tmp_path)["w1"]) == 3)
    disk.full = True
    writer.append(Kind.REQUEST_HEAD, 1, 1, b"{}")
    for number in (2, 3, 4):
        for _ in range(10):
            writer.append(Kind.RESPONSE_DATA, number, 1, b"z" * 500)
    with pytest.raises(StoreError):
        append_often(writer, 5)
    writer.close()

    assert 1 not in writer.lost_exchanges
    assert {4} <= writer.lost_exchanges <= {3, 4}
    assert is_being_written(tmp_path) is False


def test_the_log_says_what_is_wrong_with_the_disk_once_and_when_it_is_over(
    tmp_path: Path, a_writer: Callable[..., SegmentWriter], disk: Disk, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    writer = a_writer()
    until("spares are made", lambda: len(writers_in(tmp_path)["w1"]) == 3)
    for _ in range(2):
        disk.full = True
        for payload in numbered(100):
            writer.append(Kind.REQUEST_DATA, 1, 1, payload)
        until("the error is known", lambda: writer.error is not None)
        assert writer.is_refused(1) is (writer.waiting_bytes > 0)
        writer._wanted.set()
        disk.full = False
        until("it is over", lambda: caplog.messages[-1:] == ["journal.resumed writer=w1"])
        assert not writer.is_refused(1)
    assert [line.partition(" ")[0] for line in caplog.messages] == ["journal.refused", "journal.resumed"] * 2
    assert "make room on the disk" in caplog.messages[0]


def test_what_the_disk_refuses_just_as_the_writer_closes_is_tried_once_more(
    tmp_path: Path, a_writer: Callable[..., SegmentWriter], monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = a_writer()
    until("spares are made", lambda: len(writers_in(tmp_path)["w1"]) == 3)
    writev, is_asked, is_closing = os.writev, threading.Event(), threading.Event()

    def late(handle: int, buffers: Sequence[Any]) -> int:
        if is_asked.is_set():
            return writev(handle, buffers)
        is_asked.set()
        is_closing.wait(30)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "writev", late)
    for payload in numbered(500):
        writer.append(Kind.REQUEST_DATA, 1, 1, payload)
    assert is_asked.wait(30)
    closer = threading.Thread(target=writer.close)
    closer.start()
    until("it closes", lambda: writer._closed)
    is_closing.set()
    closer.join()

    assert payloads(tmp_path) == numbered(500)
