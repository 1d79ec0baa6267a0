from __future__ import annotations

import contextlib
import errno
import os
from collections import deque
from pathlib import Path
from random import Random
from typing import Any

import pytest

from cassette import retention, store
from cassette.errors import StoreError
from cassette.exchange import Outcome
from cassette.journal import Kind
from cassette.lifecycle import INLINE_BYTES
from cassette.settled import Settled
from cassette.store import CassetteFile
from tests.support.journals import Session, Take, abandon, cassette_of, put, read_all
from tests.support.scribes import SIX, SMALL, Killed, clock, finish, session
from tests.support.waiting import until

__all__ = ["clock", "session"]


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
