from __future__ import annotations

import contextlib
import errno
import os
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from cassette import codec, store
from cassette import scribe as scribe_module
from cassette.emitter import EMPTY_DOCUMENT
from cassette.errors import StoreError
from cassette.exchange import Outcome
from cassette.journal import Kind
from cassette.model import Layout
from cassette.segments import SegmentWriter, segment_path
from tests.support.journals import Session, Take, cassette_of, put, read_all
from tests.support.scribes import SIX, SMALL, clock, finish, session
from tests.support.waiting import until

__all__ = ["clock", "session"]


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
