from __future__ import annotations

import contextlib
import errno
import os
import shutil
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest

from cassette import backlog, codec, emitter, lifecycle, retention, segment_reader, store, wire
from cassette import scribe as scribe_module
from cassette.emitter import EMPTY_DOCUMENT
from cassette.errors import JournalCorruptError, StoreError
from cassette.exchange import Outcome
from cassette.files import make_private_folder
from cassette.journal import Kind
from cassette.ledger import Ledger
from cassette.lifecycle import INLINE_BYTES
from cassette.model import Cassette, Layout
from cassette.scribe import BusyError, SessionScribe, recover
from cassette.segments import SegmentWriter, segment_path
from cassette.settled import Settled
from cassette.store import CassetteFile
from cassette.times_file import TimesFile
from cassette.timing import read_timing, timing_path
from tests.support.journals import Session, Take, abandon, cassette_of, put, read_all
from tests.support.waiting import until

SMALL = 4096
SIX = tuple(Take(number, (b"line %d\n" % number, b"more\n" * number)) for number in range(1, 7))


class Killed(BaseException):
    """What stands for a SIGKILL: nothing in the code under test handles it."""


@pytest.fixture
def session(tmp_path: Path) -> Session:
    return Session(tmp_path)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The scribe's clock; a test moves it, and sleeping takes a second."""
    now = [1000.0]

    class Clock:
        time_ns = staticmethod(time.time_ns)
        time = staticmethod(time.time)

        @staticmethod
        def monotonic() -> float:
            return now[0]

        @staticmethod
        def sleep(_: float) -> None:
            now[0] += 1

    monkeypatch.setattr(scribe_module, "time", Clock)
    return now


def finish(session: Session, reason: str = "the session was stopped") -> SessionScribe:
    scribe = session.scribe()
    scribe.finish(reason)
    return scribe


# what is written


def test_a_session_becomes_its_cassette(session: Session) -> None:
    session.write(*SIX)
    scribe = finish(session)

    assert session.cassette.read_bytes() == cassette_of(SIX)
    assert scribe.refresh_counts().interactions == 6
    assert scribe.counts.problem == ""
    assert not session.interrupted.exists()


def test_go_vcrs_own_layout_is_written_too(tmp_path: Path) -> None:
    session = Session(tmp_path, layout=Layout.GO_VCR)
    session.write(*SIX)
    finish(session)

    assert session.cassette.read_bytes() == cassette_of(SIX, Layout.GO_VCR)


def test_exchanges_are_in_the_cassette_while_the_session_goes_on(session: Session) -> None:
    with contextlib.closing(session.writer()) as writer, contextlib.closing(session.scribe()) as scribe:
        for count, take in enumerate(SIX, start=1):
            put(writer, [take])
            assert scribe.step()
            assert session.cassette.read_bytes() == cassette_of(SIX[:count])
            assert not scribe.step()


def test_two_writers_feed_one_cassette(session: Session) -> None:
    session.write(*SIX[:3], name="w1")
    session.write(*SIX[3:], name="w2")
    finish(session)

    assert session.cassette.read_bytes() == cassette_of(SIX)


def test_an_existing_cassette_is_gone_on_with(session: Session) -> None:
    session.cassette.write_bytes(cassette_of(SIX[:3]))
    session.write(*SIX[3:])
    finish(session)

    assert session.cassette.read_bytes() == cassette_of(SIX)
    assert [one.id for one in store.load(session.cassette).interactions] == [0, 1, 2, 3, 4, 5]


def test_dropped_exchanges_are_counted_and_nothing_else(session: Session) -> None:
    with contextlib.closing(session.writer()) as writer:
        put(writer, [SIX[0]], ended=False)
        writer.append(Kind.DROPPED, 1, 1, b"websocket")
        put(writer, [SIX[1]])
    scribe = finish(session)

    assert session.cassette.read_bytes() == cassette_of([SIX[1]])
    assert scribe.refresh_counts().dropped == 1


def test_a_body_over_many_segments_is_written(session: Session) -> None:
    long = Take(1, tuple(b"%08d\n" % number * 20 for number in range(3000)))
    session.write(long, Take(2), segment_bytes=SMALL)
    finish(session)

    assert session.cassette.read_bytes() == cassette_of([long, Take(2)])


def test_a_writer_that_comes_later_is_found(session: Session) -> None:
    long_ago = time.time() - 3600
    with contextlib.closing(session.scribe()) as scribe:
        os.utime(session.directory, (long_ago, long_ago))
        assert not scribe.step()
        assert not scribe.step()
        session.write(*SIX)
        assert scribe.step()

    assert session.cassette.read_bytes() == cassette_of(SIX)


# what broke off


def test_a_broken_exchange_goes_to_the_other_file_with_the_reason(session: Session) -> None:
    cut = Take(2, (b"half",), outcome=Outcome.UPSTREAM_RESET, reason="after 4 bytes")
    session.write(SIX[0], cut)
    scribe = finish(session)

    assert session.cassette.read_bytes() == cassette_of([SIX[0]])
    assert session.interrupted.read_bytes() == cassette_of([cut])
    (found,) = store.load(session.interrupted).interactions
    assert found.interrupted == "the upstream broke off: after 4 bytes"
    assert found.response.body == b"half"
    assert scribe.refresh_counts().interrupted == 1


def test_what_is_under_way_when_the_session_ends_is_interrupted(session: Session) -> None:
    session.write(SIX[0])
    session.write(SIX[1], name="w2", ended=False)
    finish(session, "the session was stopped")

    assert session.cassette.read_bytes() == cassette_of([SIX[0]])
    (found,) = store.load(session.interrupted).interactions
    assert found.interrupted == "the proxy died: the session was stopped"


def test_an_exchange_that_has_its_content_length_is_whole_without_its_end(session: Session) -> None:
    take = Take(1, (b"he", b"llo"), content_length=5)
    session.write(take, ended=False)
    finish(session)

    assert session.cassette.read_bytes() == cassette_of([take])
    assert not session.interrupted.exists()


def test_an_exchange_that_lacks_a_byte_of_its_content_length_is_interrupted(session: Session) -> None:
    session.write(Take(1, (b"he", b"ll"), content_length=5), ended=False)
    finish(session)

    assert session.cassette.read_bytes() == EMPTY_DOCUMENT
    assert len(store.load(session.interrupted).interactions) == 1


def test_what_a_dead_writer_had_under_way_is_interrupted_at_once(session: Session) -> None:
    session.write(SIX[0], ended=False)
    with contextlib.closing(session.scribe()) as scribe:
        read_all(scribe)
        assert scribe.refresh_counts().under_way == 1
        scribe.writer_gone("w1")
        scribe.step()
        assert scribe.refresh_counts().under_way == 0

    (found,) = store.load(session.interrupted).interactions
    assert found.interrupted == "the proxy died: the proxy process died"


def test_a_writer_may_be_known_to_be_gone_before_its_journal_is_read(session: Session) -> None:
    session.write(SIX[0], name="w1")
    session.write(SIX[1], name="w1b", ended=False)
    with contextlib.closing(session.scribe()) as scribe:
        scribe.writer_gone("w1b")
        read_all(scribe)

    assert session.cassette.read_bytes() == cassette_of([SIX[0]])
    assert len(store.load(session.interrupted).interactions) == 1


def test_the_journal_of_a_dead_writer_is_deleted_and_not_written_again(session: Session) -> None:
    session.write(*SIX[:3], segment_bytes=SMALL)
    with contextlib.closing(session.scribe()) as scribe, contextlib.closing(session.writer("w2")) as writer:
        scribe.writer_gone("w1")
        put(writer, SIX[3:])
        read_all(scribe)
        read_all(scribe)
        assert session.segments()[0].startswith("w2-")
        assert scribe.refresh_counts().interactions == 6
        assert scribe.counts.read_bytes == writer.position

    assert session.cassette.read_bytes() == cassette_of(SIX)


def test_a_record_that_is_torn_ends_a_dead_writers_journal(
    session: Session, caplog: pytest.LogCaptureFixture
) -> None:
    session.write(*SIX)
    path = segment_path(session.directory, "w1", 1)
    data = bytearray(path.read_bytes())
    at = data.index(b"line 5")
    data[at] ^= 1
    path.write_bytes(data)
    finish(session)

    assert session.cassette.read_bytes() == cassette_of(SIX[:4])
    assert len(store.load(session.interrupted).interactions) == 1
    assert "journal.torn session=chat writer=w1" in caplog.text


def test_an_exchange_that_lost_records_to_a_full_disk_is_not_taken_for_whole(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    writev, full = os.writev, threading.Event()

    def maybe(handle: int, buffers: Sequence[Any]) -> int:
        if full.is_set():
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return writev(handle, buffers)

    monkeypatch.setattr(os, "writev", maybe)
    with contextlib.closing(
        SegmentWriter(session.directory, "w2", segment_bytes=SMALL, overflow_bytes=SMALL)
    ) as journal:
        put(journal, [SIX[0]])
        full.set()
        with pytest.raises(StoreError):
            put(journal, [Take(2, tuple(b"%d" % n * 200 for n in range(400)))])
        full.clear()
    scribe = finish(session)

    assert session.cassette.read_bytes() == cassette_of([SIX[0]])
    assert not session.interrupted.exists()
    assert scribe.refresh_counts().dropped == 1


# the times of chunks

TIMED = tuple(Take(number, tuple(b"%d" % number * size for size in (3, 1, number))) for number in range(1, 7))


def timed_records(take: Take) -> list[tuple[Kind, int, int, bytes]]:
    """Return an exchange's records, with a chunk of the answer every 100 ns."""
    records: list[tuple[Kind, int, int, bytes]] = []
    for kind, number, at_ns, payload in take.records():
        later_ns = 100 * len(records) if kind is Kind.RESPONSE_DATA else 0
        records.append((kind, number, at_ns + later_ns, payload))
    return records


def write_timed(session: Session, takes: Sequence[Take]) -> None:
    session.recording = replace(session.recording, keep_timing=True)
    session.recording.save(session.directory)
    with contextlib.closing(session.writer(segment_bytes=SMALL)) as journal:
        for take in takes:
            for record in timed_records(take):
                journal.append(*record)


def has_right_times(session: Session) -> bool:
    """Tell whether every interaction has its own times, and there are no others."""
    found = read_timing(timing_path(session.cassette).read_bytes())
    recorded = store.load(session.cassette).interactions
    assert set(found) == {one.id for one in recorded}
    for one in recorded:
        assert found[one.id].fits(one.response.body)
        (take,) = [take for take in TIMED if take.exchange.request.url == one.request.url]
        assert [size for _, size in found[one.id].chunks] == list(map(len, take.pieces))
        times = [at_ns for at_ns, _ in found[one.id].chunks]
        assert times == [5_000_000 + 100 * number for number in (4, 5, 6)]
        assert found[one.id].head_ns == 5_000_000
    return True


def test_times_are_kept_of_whole_exchanges_only(session: Session) -> None:
    broken = Take(9, (b"half",), outcome=Outcome.CLIENT_LEFT)
    write_timed(session, (*TIMED[:2], broken, *TIMED[2:]))
    finish(session)

    assert session.cassette.read_bytes() == cassette_of(TIMED)
    assert has_right_times(session)
    lines = timing_path(session.cassette).read_bytes().splitlines()
    assert len(lines) == len(TIMED)
    assert not timing_path(session.interrupted).exists()


def test_no_times_are_kept_unless_they_are_asked_for(session: Session) -> None:
    session.write(*TIMED)
    finish(session)

    assert not timing_path(session.cassette).exists()


@pytest.mark.parametrize("fatal", range(1, 7))
@pytest.mark.parametrize("together", [1, 4])
@pytest.mark.parametrize("where", ["put", "announce", "_append"])
@pytest.mark.parametrize("when", ["before", "after"])
def test_times_outlive_a_scribe_that_is_killed(
    session: Session, monkeypatch: pytest.MonkeyPatch, when: str, where: str, together: int, fatal: int
) -> None:
    monkeypatch.setattr(backlog, "_MOST_ENTRIES", together)
    write_timed(session, TIMED)
    owner = {"put": TimesFile, "announce": Ledger, "_append": CassetteFile}[where]
    method, calls = getattr(owner, where), iter(range(1, 100))

    def deadly(*arguments: Any, **named: Any) -> Any:
        is_fatal = next(calls) == fatal
        if is_fatal and when == "before":
            raise Killed
        result = method(*arguments, **named)
        if is_fatal:
            raise Killed
        return result

    with monkeypatch.context() as patched:
        patched.setattr(owner, where, deadly)
        scribe = session.scribe()
        with contextlib.suppress(Killed):  # there are fewer appends than that
            read_all(scribe)
        abandon(scribe)
    finish(session)

    assert session.cassette.read_bytes() == cassette_of(TIMED)
    assert has_right_times(session)


def test_a_cassette_that_is_deleted_meanwhile_has_the_times_of_the_new_one_only(session: Session) -> None:
    write_timed(session, TIMED[:3])
    scribe = session.scribe()
    read_all(scribe)
    session.cassette.unlink()
    with contextlib.closing(session.writer("w2")) as journal:
        for record in timed_records(TIMED[4]):
            journal.append(*record)
    scribe.finish("the session was stopped")

    assert len(store.load(session.cassette).interactions) == 1
    assert has_right_times(session)


def test_an_interaction_that_is_taken_out_meanwhile_costs_times_and_pairs_none_wrongly(
    session: Session,
) -> None:
    write_timed(session, TIMED[:3])
    scribe = session.scribe()
    read_all(scribe)
    first, _, third = store.load(session.cassette).interactions
    session.cassette.write_bytes(codec.dumps(Cassette((first, replace(third, id=1)))))
    with contextlib.closing(session.writer("w2")) as journal:
        for record in timed_records(TIMED[4]):
            journal.append(*record)
    scribe.finish("the session was stopped")

    found = read_timing(timing_path(session.cassette).read_bytes())
    recorded = store.load(session.cassette).interactions
    assert [found[one.id].fits(one.response.body) for one in recorded] == [True, False, True]


def test_times_that_cannot_be_kept_stop_no_recording(session: Session, tmp_path: Path) -> None:
    timing_path(session.cassette).symlink_to(tmp_path / "elsewhere")
    write_timed(session, TIMED)
    scribe = finish(session)

    assert session.cassette.read_bytes() == cassette_of(TIMED)
    assert (scribe.counts.problem, scribe.counts.failed) == ("", 0)
    assert not (tmp_path / "elsewhere").exists()


# exactly once


@pytest.mark.parametrize(
    ("together", "fatal"),
    [
        *((1, number) for number in range(1, 8)),
        *((2, number) for number in range(1, 6)),
        (64, 1),
        (64, 2),
        (64, 3),
    ],
)
@pytest.mark.parametrize("method", ["_append", "append_all"])
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_scribe_killed_at_any_append_is_taken_over(
    session: Session, monkeypatch: pytest.MonkeyPatch, when: str, method: str, together: int, fatal: int
) -> None:
    monkeypatch.setattr(backlog, "_MOST_ENTRIES", together)
    mixed = (*SIX[:3], Take(9, (b"half",), outcome=Outcome.CLIENT_LEFT), *SIX[3:])
    session.write(*mixed, segment_bytes=SMALL)
    calls = iter(range(1, 100))

    def deadly(method: Callable[..., Any]) -> Callable[..., Any]:
        def killed(*arguments: Any) -> Any:
            is_fatal = next(calls) == fatal
            if is_fatal and when == "before":
                raise Killed
            result = method(*arguments)
            if is_fatal:
                raise Killed
            return result

        return killed

    with monkeypatch.context() as patched:
        patched.setattr(CassetteFile, method, deadly(getattr(CassetteFile, method)))
        scribe = session.scribe()
        with pytest.raises(Killed):
            read_all(scribe)
        abandon(scribe)
    finish(session)

    assert session.cassette.read_bytes() == cassette_of(SIX)
    assert session.interrupted.read_bytes() == cassette_of([mixed[3]])


@pytest.mark.parametrize("together", [1, 2, 3])
def test_a_scribe_killed_in_the_middle_of_an_append_is_taken_over(
    session: Session, monkeypatch: pytest.MonkeyPatch, together: int
) -> None:
    monkeypatch.setattr(backlog, "_MOST_ENTRIES", together)
    session.write(*SIX[:3])
    scribe = session.scribe()
    read_all(scribe)
    abandon(scribe)
    whole = cassette_of(SIX[:3])
    assert session.cassette.read_bytes() == whole
    ledger = (session.directory / "cassette.ledger").read_bytes()
    in_doubt = 1 if together == 2 else together  # by the last append: three, or the last one
    before = len(cassette_of(SIX[: 3 - in_doubt])) if in_doubt < 3 else len(emitter.document_head())
    ends = {
        *range(before, len(whole), 11),
        *(len(cassette_of(SIX[:count])) for count in range(4 - in_doubt, 4)),
    }
    for end in sorted(ends):
        session.cassette.write_bytes(whole[:end])
        (session.directory / "cassette.ledger").write_bytes(ledger)
        scribe = session.scribe()
        read_all(scribe)
        abandon(scribe)
        assert session.cassette.read_bytes() == whole, end


def test_a_scribe_taken_over_after_its_segments_were_deleted_goes_on_behind_them(session: Session) -> None:
    takes = tuple(Take(number, (b"x" * 900,)) for number in range(1, 40))
    with contextlib.closing(session.writer(segment_bytes=SMALL)) as writer:
        put(writer, takes[:30])
        until("there is room", lambda: not writer.waiting_bytes)
        scribe = session.scribe()
        read_all(scribe)
        abandon(scribe)
        assert session.segments()[0] > "w1-00000005.seg"
        put(writer, takes[30:])
    finish(session)

    assert session.cassette.read_bytes() == cassette_of(takes)


def test_a_scribe_that_is_taken_over_counts_what_was_written_before(session: Session) -> None:
    session.write(*SIX, Take(9, outcome=Outcome.CLIENT_LEFT))
    scribe = session.scribe()
    read_all(scribe)
    abandon(scribe)
    scribe = session.scribe()

    assert (scribe.refresh_counts().interactions, scribe.counts.interrupted) == (6, 1)
    read_all(scribe)
    assert (scribe.refresh_counts().interactions, scribe.counts.interrupted) == (6, 1)
    scribe.close()


def test_thousands_of_interactions_are_taken_over(session: Session) -> None:
    takes = tuple(Take(number) for number in range(1, 1501))
    session.write(*takes, segment_bytes=1 << 20)
    scribe = session.scribe()
    read_all(scribe)
    abandon(scribe)
    finish(session)

    assert session.cassette.read_bytes() == cassette_of(takes)


def test_only_one_may_work_on_a_session(session: Session) -> None:
    with contextlib.closing(session.scribe()), pytest.raises(BusyError, match="another process is writing"):
        session.scribe()
    session.scribe().close()


def test_a_session_that_cannot_be_taken_up_is_not_left_locked(session: Session) -> None:
    (session.directory / "cassette.ledger").mkdir()
    for _ in range(2):
        with contextlib.closing(session.scribe()) as scribe:
            assert "cannot open the ledger" in scribe.counts.problem


# segments


def test_segments_are_deleted_once_all_of_them_is_written(session: Session) -> None:
    takes = tuple(Take(number, (b"x" * 900,)) for number in range(1, 40))
    with (
        contextlib.closing(session.writer(segment_bytes=SMALL)) as writer,
        contextlib.closing(session.scribe()) as scribe,
    ):
        for take in takes:
            put(writer, [take])
            until("there is room", lambda: not writer.waiting_bytes)
            read_all(scribe)
            assert len(session.segments()) <= 5
    assert session.cassette.read_bytes() == cassette_of(takes)


def test_an_exchange_under_way_keeps_its_segments(session: Session) -> None:
    begin, *rest = Take(1, (b"late",)).records()
    with (
        contextlib.closing(session.writer(segment_bytes=SMALL)) as writer,
        contextlib.closing(session.scribe()) as scribe,
    ):
        writer.append(*begin)
        put(writer, [Take(number, (b"x" * 900,)) for number in range(2, 20)])
        read_all(scribe)
        assert session.segments()[0] == "w1-00000001.seg"
        for record in rest:
            writer.append(*record)
        read_all(scribe)
        assert session.segments()[0] > "w1-00000003.seg"


def test_the_cassettes_are_synced_before_a_segment_is_deleted(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    session.write(*(Take(number, (b"x" * 900,)) for number in range(1, 20)), segment_bytes=SMALL)
    told: list[str] = []
    sync, unlink = CassetteFile.sync, Path.unlink

    def synced(self: CassetteFile) -> None:
        told.append("sync")
        sync(self)

    def unlinked(self: Path, *, missing_ok: bool = False) -> None:
        if self.suffix == ".seg":
            told.append("unlink")
        unlink(self, missing_ok=missing_ok)

    monkeypatch.setattr(CassetteFile, "sync", synced)
    monkeypatch.setattr(Path, "unlink", unlinked)
    finish(session)

    assert told[0] == "sync"
    assert "unlink" in told
    assert "sync" in told[told.index("unlink") :]


def test_a_cassette_that_cannot_be_synced_keeps_its_journal(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    session.write(*SIX)
    scribe = session.scribe()

    def refuse(_: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patched:
        scribe.step()
        patched.setattr(os, "fsync", refuse)
        assert not scribe.finish("stop")

    assert "cannot sync the cassette: Input/output error" in scribe.counts.problem
    assert session.segments() != []
    finish(session)
    assert session.cassette.read_bytes() == cassette_of(SIX)


# a disk that refuses


def refuse_appends(patched: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> int:
        raise StoreError("cannot write the cassette: No space left on device", path=Path("chat.yaml"))

    patched.setattr(CassetteFile, "append_all", refuse)


def test_a_disk_that_refuses_is_told_and_tried_again(
    session: Session, monkeypatch: pytest.MonkeyPatch, clock: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    session.write(*SIX)
    with contextlib.closing(session.scribe()) as scribe:
        with monkeypatch.context() as patched:
            refuse_appends(patched)
            for _ in range(3):
                assert not scribe.step()
                clock[0] += 2
        assert scribe.counts.problem == "chat.yaml: cannot write the cassette: No space left on device"
        assert caplog.text.count("scribe.blocked") == 1
        read_all(scribe)
        assert scribe.counts.problem == ""

    assert session.cassette.read_bytes() == cassette_of(SIX)


def test_a_disk_that_refuses_is_tried_once_in_a_second(
    session: Session, monkeypatch: pytest.MonkeyPatch, clock: list[float]
) -> None:
    session.write(*SIX)
    with contextlib.closing(session.scribe()) as scribe:
        with monkeypatch.context() as patched:
            refuse_appends(patched)
            scribe.step()
        clock[0] += 0.5
        assert not scribe.step()
        assert session.cassette.read_bytes() == EMPTY_DOCUMENT
        clock[0] += 0.6
        assert scribe.step()


def test_a_session_that_ends_while_the_disk_refuses_keeps_its_journal(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    session.write(*SIX[:5])
    session.write(SIX[5], name="w2", ended=False)
    scribe = session.scribe()
    with monkeypatch.context() as patched:
        refuse_appends(patched)
        assert not scribe.finish("stop")
    assert "No space left" in scribe.counts.problem
    assert not session.interrupted.exists()

    assert [(one.interactions, one.interrupted, one.problem) for one in recover(session.journals)] == [
        (5, 1, "")
    ]
    assert session.cassette.read_bytes() == cassette_of(SIX[:5])


def test_a_disk_that_comes_back_as_the_session_ends_loses_nothing(
    session: Session, monkeypatch: pytest.MonkeyPatch, clock: list[float]
) -> None:
    session.write(*SIX)
    scribe = session.scribe()
    with monkeypatch.context() as patched:
        refuse_appends(patched)
        scribe.step()
    assert scribe.finish("stop")

    assert session.cassette.read_bytes() == cassette_of(SIX)
    assert not session.interrupted.exists()


def test_a_cassette_that_cannot_be_appended_to_when_the_scribe_starts_is_waited_for(
    session: Session, clock: list[float]
) -> None:
    session.write(*SIX)
    session.cassette.write_bytes(b"notes")
    with contextlib.closing(session.scribe()) as scribe:
        assert "is not a cassette" in scribe.counts.problem
        clock[0] += 2
        assert not scribe.step()
        session.cassette.unlink()
        clock[0] += 2
        read_all(scribe)
        assert scribe.counts.problem == ""

    assert session.cassette.read_bytes() == cassette_of(SIX)


def test_an_exchange_that_cannot_be_converted_does_not_stop_the_others(
    session: Session, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    session.write(*SIX[:3])
    convert = wire.to_interaction

    def maybe(exchange: Any, *arguments: Any, **named: Any) -> Any:
        if exchange.request.url.endswith("/2"):
            raise ValueError("secret")
        return convert(exchange, *arguments, **named)

    monkeypatch.setattr(backlog, "to_interaction", maybe)
    scribe = finish(session)

    assert session.cassette.read_bytes() == cassette_of([SIX[0], SIX[2]])
    assert scribe.counts.failed == 1
    assert "secret" not in caplog.text


def test_a_record_of_another_version_fails_its_exchange_alone(session: Session) -> None:
    with contextlib.closing(session.writer()) as writer:
        put(writer, [SIX[0]], ended=False)
        writer.append(Kind.FAILED, 1, 1, b'["NEW_OUTCOME", ""]')
        put(writer, [SIX[1]])
    scribe = finish(session)

    assert session.cassette.read_bytes() == cassette_of([SIX[1]])
    assert scribe.counts.failed == 1


def test_a_part_of_the_journal_that_is_gone_fails_its_exchange_alone(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = Take(1, (b"a" * 60_000, b"b" * 60_000))
    session.write(long, SIX[1])

    def gone(*_: object) -> bytes:
        raise JournalCorruptError("a part of the journal was deleted")

    monkeypatch.setattr(segment_reader.PayloadFile, "read", gone)
    scribe = finish(session)

    assert session.cassette.read_bytes() == cassette_of([SIX[1]])
    assert scribe.counts.failed == 1


def test_one_writer_with_much_to_read_does_not_keep_the_others_waiting(
    session: Session, clock: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    session.write(*SIX[:5], name="w1")
    session.write(SIX[5], name="w2")
    feed = lifecycle.Assembler.feed

    def slow(self: Any, *arguments: Any) -> Any:
        clock[0] += 0.02
        return feed(self, *arguments)

    monkeypatch.setattr(lifecycle.Assembler, "feed", slow)
    with contextlib.closing(session.scribe()) as scribe:
        scribe.step()
        scribe.step()
        scribe.step()
        assert store.load(session.cassette).interactions[1].request.url.endswith("/6")


def test_catching_up_writes_what_has_finished_though_more_is_being_written(session: Session) -> None:
    with contextlib.closing(session.writer()) as writer, contextlib.closing(session.scribe()) as scribe:
        put(writer, SIX[:3])
        put(writer, [SIX[3]], ended=False)
        scribe.catch_up(10)
        assert session.cassette.read_bytes() == cassette_of(SIX[:3])
        assert not scribe.step()


def test_catching_up_says_when_the_journal_is_too_long_or_the_disk_refuses(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    session.write(*SIX)
    with contextlib.closing(session.scribe()) as scribe:
        with pytest.raises(StoreError, match="try again in a moment"):
            scribe.catch_up(-1)

        def full(*_: object) -> None:
            raise StoreError("cannot append: no space left on device", path=session.cassette)

        with monkeypatch.context() as patched:
            patched.setattr(CassetteFile, "append_all", full)
            with pytest.raises(StoreError, match="no space left"):
                scribe.catch_up(10)
        scribe.catch_up(10)
        assert session.cassette.read_bytes() == cassette_of(SIX)


# what an exchange that stays open keeps of the journal


def test_an_open_stream_keeps_only_what_it_needs_of_the_journal(session: Session) -> None:
    stream, *others = [Take(number, (b"x" * 900,) * 3) for number in range(1, 61)]
    whole = list(stream.records())
    with contextlib.closing(session.writer(segment_bytes=SMALL)) as writer:
        for record in whole[:-2]:
            writer.append(*record)
        with contextlib.closing(session.scribe()) as scribe:
            for other in others:
                put(writer, [other])
                until("there is room", lambda: not writer.waiting_bytes)
                read_all(scribe)
                # One or two with the stream, the one being written, two made ready.
                assert len(session.segments()) <= 5
            for record in whole[-2:]:
                writer.append(*record)
            read_all(scribe)

    assert session.cassette.read_bytes() == cassette_of([*others, stream])


@pytest.mark.parametrize("begins_anew", [False, True])
def test_a_stream_that_says_a_little_now_and_then_keeps_little_of_the_journal(
    session: Session, begins_anew: bool
) -> None:
    pieces = tuple(b"%d " % number * 500 for number in range(100, 200))
    stream = Take(1, pieces)
    others = [Take(number, (b"x" * 9000,) * 3) for number in range(2, len(pieces) + 2)]
    assert len(b"".join(pieces)) > 2 * INLINE_BYTES
    records = deque(stream.records())
    with contextlib.closing(session.writer(segment_bytes=1 << 15)) as writer:
        scribe = session.scribe()
        for other in others:
            writer.append(*records.popleft())
            put(writer, [other])
            until("there is room", lambda: not writer.waiting_bytes)
            read_all(scribe)
            if begins_anew:
                abandon(scribe)
                scribe = session.scribe()
                read_all(scribe)
        on_disk = sum(path.stat().st_size for path in session.directory.glob("*.seg"))
        assert on_disk < len(b"".join(pieces)) + 10 * (1 << 15)
        while records:
            writer.append(*records.popleft())
        read_all(scribe)
        abandon(scribe)

    assert session.cassette.read_bytes() == cassette_of([*others, stream])


def test_a_full_disk_that_has_no_room_to_shorten_the_journal_stops_nothing_else(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream, *others = [Take(number, (b"x" * 900,) * 3) for number in range(1, 61)]

    def full(*_: object) -> None:
        raise StoreError("cannot write: No space left on device")

    with contextlib.closing(session.writer(segment_bytes=SMALL)) as writer:
        put(writer, [stream], ended=False)
        with contextlib.closing(session.scribe()) as scribe:
            scribe.step()
            monkeypatch.setattr(retention, "write_private_file", full)
            for other in others:
                put(writer, [other])
                until("there is room", lambda: not writer.waiting_bytes)
                read_all(scribe)
            assert scribe.counts.problem == ""
    assert store.load(session.cassette).interactions[-1].request.url.endswith("/60")


def test_a_scribe_that_begins_anew_finds_its_way_over_deleted_segments(session: Session) -> None:
    stream, *others = [Take(number, (b"x" * 900,) * 3) for number in range(1, 31)]
    whole = list(stream.records())
    with contextlib.closing(session.writer(segment_bytes=SMALL)) as writer:
        for record in whole[:-1]:
            writer.append(*record)
        for other in others:
            put(writer, [other])
            until("there is room", lambda: not writer.waiting_bytes)
            scribe = session.scribe()
            read_all(scribe)
            assert scribe.refresh_counts().under_way == 1
            abandon(scribe)
        writer.append(*whole[-1])
    finish(session)

    assert session.cassette.read_bytes() == cassette_of([*others, stream])
    assert not session.interrupted.exists()


def test_a_dropped_exchange_whose_end_is_deleted_is_not_taken_for_a_broken_one(session: Session) -> None:
    stream, dropped, *others = [Take(number, (b"x" * 900,) * 3) for number in range(1, 21)]
    with contextlib.closing(session.writer(segment_bytes=SMALL)) as writer:
        put(writer, [stream, dropped], ended=False)
        put(writer, others[:9])
        writer.append(Kind.DROPPED, dropped.number, 1, b"longer than max_body")
        put(writer, others[9:])
        until("all is there", lambda: not writer.waiting_bytes)
        scribe = session.scribe()
        read_all(scribe)
        abandon(scribe)
        assert len(session.segments()) < 8
    finish(session)

    assert session.cassette.read_bytes() == cassette_of(others)
    assert [one.request.url[-2:] for one in store.load(session.interrupted).interactions] == ["/1"]


@pytest.mark.parametrize("seed", range(6))
def test_killed_at_any_deletion_it_writes_everything_once(
    session: Session, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    random = Random(seed)
    takes = [
        Take(
            number,
            tuple(
                bytes([65 + number % 26]) * random.choice((5, 300, 2500)) for _ in range(random.randint(1, 5))
            ),
            outcome=random.choice((Outcome.COMPLETE,) * 6 + (Outcome.CLIENT_LEFT,)),
        )
        for number in range(1, 61)
    ]
    fates = {take.number: random.choice(("ends",) * 6 + ("dropped",)) for take in takes}
    under_way = {take.number: deque(take.records()) for take in takes}
    in_order: list[Take] = []
    kills = 0
    unlink, rename, add = Path.unlink, Path.replace, Settled.add

    def killed(real: Any) -> Any:
        def maybe(*arguments: Any, **options: Any) -> None:
            nonlocal kills
            before = random.random() < 0.5
            # A twin's end is that of the process here: `abandon` closes what a kill would only leave.
            if not _is_hidden(arguments[0]) and random.random() < 0.3:
                kills += 1
                if not before:
                    real(*arguments, **options)
                raise Killed
            real(*arguments, **options)

        return maybe

    monkeypatch.setattr(Path, "unlink", killed(unlink))
    monkeypatch.setattr(Path, "replace", killed(rename))
    monkeypatch.setattr(Settled, "add", killed(add))
    with contextlib.closing(session.writer(segment_bytes=SMALL)) as writer:
        scribe = session.scribe()
        while under_way:
            # Exchanges close to each other in time, and the oldest one left to the last.
            number = random.choice(list(under_way)[: 1 + (random.random() < 0.98) * 5][-5:])
            records = under_way[number]
            if len(records) == 1 and fates[number] == "dropped":
                writer.append(Kind.DROPPED, number, 1, b"too long")
                records.clear()
            else:
                writer.append(*records.popleft())
            if not records:
                del under_way[number]
                in_order += [takes[number - 1]] if fates[number] == "ends" else []
            until("there is room", lambda: not writer.waiting_bytes)
            try:
                scribe.step()
            except Killed:
                abandon(scribe)
                scribe = session.scribe()
        abandon(scribe)
    monkeypatch.undo()
    finish(session)

    assert kills > 3
    whole = [take for take in in_order if take.outcome is Outcome.COMPLETE]
    broken = [take for take in in_order if take.outcome is not Outcome.COMPLETE]
    assert session.cassette.read_bytes() == cassette_of(whole)
    assert [one.request.url for one in store.load(session.interrupted).interactions] == [
        take.exchange.request.url for take in broken
    ]


def _is_hidden(subject: Any) -> bool:
    return isinstance(subject, Path) and subject.name.startswith(".wiretape-")


# the end, and what a crash leaves


def test_the_journal_is_deleted_when_the_session_is_finished(session: Session) -> None:
    session.write(*SIX)
    finish(session)

    assert not session.directory.exists()


def test_a_kill_while_the_journal_is_deleted_writes_nothing_twice(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    session.write(*SIX)

    def killed(directory: Path) -> None:
        (directory / "cassette.ledger").unlink()
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(shutil, "rmtree", killed)
        with pytest.raises(Killed):
            session.scribe().finish("stop")
    list(recover(session.journals))

    assert session.cassette.read_bytes() == cassette_of(SIX)


def test_a_session_whose_writer_lives_is_not_finished(session: Session, clock: list[float]) -> None:
    with contextlib.closing(session.writer()) as writer:
        put(writer, SIX[:2])
        scribe = session.scribe()
        assert not scribe.finish("stop")
        assert "a proxy still records here; when it has ended: wiretape recover" in scribe.counts.problem
        put(writer, SIX[2:])
    list(recover(session.journals))

    assert session.cassette.read_bytes() == cassette_of(SIX)


def test_recovering_finishes_every_session(tmp_path: Path) -> None:
    sessions = [Session(tmp_path, name=f"chat{number}") for number in range(3)]
    for session in sessions[:2]:
        session.write(*SIX[:2])
        session.write(SIX[2], name="w2", ended=False)
    sessions[2].write(*SIX)

    found = list(recover(sessions[0].journals))

    assert [(one.name, one.interactions, one.interrupted, one.problem) for one in found] == [
        ("chat0", 2, 1, ""),
        ("chat1", 2, 1, ""),
        ("chat2", 6, 0, ""),
    ]
    assert [one.cassette for one in found] == [session.cassette for session in sessions]
    assert list(sessions[0].journals.iterdir()) == []
    assert list(recover(sessions[0].journals)) == []


def test_recovering_tells_what_it_wrote_and_not_what_was_there(session: Session) -> None:
    session.write(*SIX)
    scribe = session.scribe()
    scribe.step()
    abandon(scribe)
    session.write(Take(7), Take(8), name="w2")

    (found,) = recover(session.journals)

    assert found.interactions == 2


def test_recovering_leaves_alone_what_another_process_works_on(session: Session) -> None:
    session.write(*SIX)
    with contextlib.closing(session.scribe()):
        assert list(recover(session.journals, patience_seconds=0)) == []
    assert len(list(recover(session.journals))) == 1


def test_recovering_leaves_alone_a_journal_that_is_being_written(session: Session) -> None:
    with contextlib.closing(session.writer()) as writer:
        put(writer, SIX[:3])
        assert list(recover(session.journals, patience_seconds=0)) == []
        put(writer, SIX[3:])
    list(recover(session.journals))

    assert session.cassette.read_bytes() == cassette_of(SIX)


def test_recovering_waits_for_a_proxy_that_is_about_to_end(session: Session) -> None:
    writer = session.writer()
    put(writer, SIX)
    threading.Timer(0.1, writer.close).start()

    (found,) = recover(session.journals, patience_seconds=30)

    assert found.interactions == 6


def test_recovering_does_not_touch_a_session_that_is_being_opened(session: Session) -> None:
    assert list(recover(session.journals)) == []
    assert (session.directory / "session.json").exists()


def test_recovering_removes_a_folder_that_a_crash_left_half_deleted(session: Session) -> None:
    (session.directory / "session.json").unlink()
    hour_ago = time.time() - 3600
    os.utime(session.directory, (hour_ago, hour_ago))

    assert list(recover(session.journals)) == []
    assert not session.directory.exists()


def test_recovering_says_what_is_wrong_and_goes_on(tmp_path: Path) -> None:
    broken, mangled, good = (Session(tmp_path, name=name) for name in ("a", "b", "c"))
    for session in (broken, mangled, good):
        session.write(*SIX)
    (broken.directory / "session.json").write_bytes(b"{")
    mangled.cassette.write_bytes(b"notes")

    found = {one.name: one for one in recover(good.journals)}

    assert "is not a session's description" in found["a-1"].problem
    assert found["b"].problem.startswith(f"{mangled.cassette}: is not a cassette")
    assert found["c"].problem == ""
    assert mangled.cassette.read_bytes() == b"notes"
    mangled.cassette.unlink()
    assert [one.interactions for one in recover(good.journals) if one.name == "b"] == [6]


def test_there_may_be_nothing_to_recover(tmp_path: Path) -> None:
    assert list(recover(tmp_path / "none")) == []
    make_private_folder(tmp_path / "journals")
    (tmp_path / "journals" / "a file").touch()
    assert list(recover(tmp_path / "journals")) == []


def test_what_is_written_can_be_loaded_and_dumped_unchanged(session: Session) -> None:
    session.write(*SIX)
    finish(session)
    data = session.cassette.read_bytes()

    assert codec.dumps(codec.loads(data)) == data


def test_a_long_body_takes_the_memory_of_a_few_copies(session: Session) -> None:
    long_bytes, piece = 32 << 20, b"data: %s\n\n" % (b"x" * 8000)
    begin, request, request_end, head, _, end = Take(1).records()
    with contextlib.closing(session.writer(segment_bytes=4 << 20)) as writer:
        for record in (begin, request, request_end, head):
            writer.append(*record)
        for _ in range(long_bytes // len(piece)):
            writer.append(Kind.RESPONSE_DATA, 1, 1, piece)
            until("the disk keeps up", lambda: writer.waiting_bytes < 1 << 20)
        writer.append(*end)
    code = """
import pathlib, resource, sys
from cassette.scribe import SessionScribe
def highest(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
scribe = SessionScribe(pathlib.Path(sys.argv[1]))
before = highest()
assert scribe.finish("stop")
print(highest() - before)
"""
    root = Path(scribe_module.__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "-c", code, session.directory],
        stdout=subprocess.PIPE,
        check=True,
        env={**os.environ, "PYTHONPATH": str(root)},
    )

    assert session.cassette.stat().st_size > long_bytes
    assert int(done.stdout) < 4 * long_bytes + (64 << 20)
