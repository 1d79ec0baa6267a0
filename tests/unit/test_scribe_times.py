from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cassette import backlog, codec, store
from cassette.exchange import Outcome
from cassette.journal import Kind
from cassette.ledger import Ledger
from cassette.model import Cassette
from cassette.store import CassetteFile
from cassette.times_file import TimesFile
from cassette.timing import read_timing, timing_path
from tests.support.journals import Session, Take, abandon, cassette_of, read_all
from tests.support.scribes import SMALL, Killed, clock, finish, session

__all__ = ["clock", "session"]


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
