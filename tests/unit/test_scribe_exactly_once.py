from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import pytest

from cassette import backlog, emitter
from cassette.exchange import Outcome
from cassette.scribe import BusyError
from cassette.store import CassetteFile
from tests.support.journals import Session, Take, abandon, cassette_of, put, read_all
from tests.support.scribes import SIX, SMALL, Killed, clock, finish, session
from tests.support.waiting import until

__all__ = ["clock", "session"]


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
