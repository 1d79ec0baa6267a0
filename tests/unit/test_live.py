"""What a session does when its journal fails: count, say it once, and break off where that is asked for."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import functools
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from addons import live
from addons.deck_player import DeckPlayer
from addons.live import InFlight, LiveExchange, LiveSession, Phase, ReplaySpec, SessionSpec
from addons.settings import router_table
from cassette import segments
from cassette.errors import StoreError
from cassette.headerfilter import HeaderPolicy
from cassette.journal import Kind
from cassette.matchrules import MatchRules
from cassette.model import Cassette
from cassette.segment_reader import SegmentReader
from tests.support.waiting import until

SMALL = 4096


class Disk:
    """Refuses new segments while it has an error."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.error: int | None = None
        writev = os.writev

        def maybe(handle: int, buffers: Sequence[Any]) -> int:
            if self.error is not None:
                raise OSError(self.error, os.strerror(self.error))
            return writev(handle, buffers)

        monkeypatch.setattr(os, "writev", maybe)


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    writer = segments.SegmentWriter
    monkeypatch.setattr(
        live,
        "SegmentWriter",
        lambda *where, **how: writer(*where, **how, segment_bytes=SMALL, overflow_bytes=20_000),
    )
    return Disk(monkeypatch)


@contextlib.contextmanager
def a_session(directory: Path | None, *, blocks: bool = False) -> Iterator[LiveSession]:
    spec = SessionSpec("chat", directory, 0, HeaderPolicy(), router_table([], []), 1 << 20, blocks=blocks)
    session = LiveSession(spec, "w1")
    try:
        yield session
    finally:
        session.close()


def an_exchange(session: LiveSession, number: int = 1) -> LiveExchange:
    assert session.journal is not None
    return LiveExchange(session, session.journal, number)


def fill(session: LiveSession, disk: Disk, error: int = errno.ENOSPC) -> None:
    """Let the disk refuse, and use up what was ready."""
    journal = session.journal
    assert journal is not None
    until("segments to be ready", lambda: len(journal._spares) == 2)
    disk.error = error
    while not journal.waiting_bytes:
        journal.append(Kind.RESPONSE_DATA, 99, 1, b"x" * 500)
    until("the error to be known", lambda: journal.error is not None)


def test_loss_is_counted_and_each_cause_is_logged_once(
    tmp_path: Path, disk: Disk, caplog: pytest.LogCaptureFixture
) -> None:
    with a_session(tmp_path) as session:
        fill(session, disk)
        for number in (1, 2):
            exchange = an_exchange(session, number)
            exchange.put(Kind.REQUEST_HEAD, b"{}")
            exchange.put(Kind.RESPONSE_DATA, b"x" * 30_000)
            assert exchange.closed
        exchange = an_exchange(session, 3)
        exchange.give_up("response chunk", RuntimeError("text that quotes what was said"))
        assert session.traffic.failed == 3
        assert session.status()["failure"] == "RuntimeError"

    told = [line for line in caplog.messages if line.startswith("record.failed")]
    assert len(told) == 2
    assert told[0].endswith("make room on the disk")
    assert "quotes" not in caplog.text


def test_what_never_reached_the_disk_is_counted_when_the_session_ends(tmp_path: Path, disk: Disk) -> None:
    with a_session(tmp_path) as session:
        fill(session, disk)
        an_exchange(session, 1).put(Kind.REQUEST_HEAD, b"{}")
    assert session.traffic.failed == 2  # the one that filled the disk, too
    assert "make room on the disk" in session.status()["failure"]


def test_what_was_stored_is_no_failure_though_no_further_segment_can_be_had(
    tmp_path: Path, disk: Disk
) -> None:
    with a_session(tmp_path) as session:
        journal = session.journal
        assert journal is not None
        until("segments to be ready", lambda: len(journal._spares) == 2)
        disk.error = errno.ENOSPC
        for _ in range(8):
            an_exchange(session).put(Kind.RESPONSE_DATA, b"x" * 500)
        until("the error to be known", lambda: journal.error is not None)
        assert session.status()["problem"] != ""
    assert (session.traffic.failed, session.status()["failure"]) == (0, "")
    assert "problem" not in session.status()


def test_nothing_new_can_be_recorded_while_the_disk_refuses(tmp_path: Path, disk: Disk) -> None:
    with a_session(tmp_path) as session:
        assert session.cannot_record() == ""
        fill(session, disk)
        assert "make room on the disk" in session.cannot_record()
        disk.error = None
        until("the disk to be back", lambda: not session.cannot_record())
    with a_session(None) as session:
        assert session.cannot_record() == ""


def test_an_exchange_that_only_waits_in_memory_is_broken_off_where_that_is_asked_for(
    tmp_path: Path, disk: Disk
) -> None:
    broken: list[str] = []
    with a_session(tmp_path, blocks=True) as session:
        exchange = an_exchange(session)
        exchange.break_off = lambda: broken.append("it")
        exchange.put(Kind.REQUEST_HEAD, b"{}")
        assert broken == []
        fill(session, disk)
        exchange.put(Kind.RESPONSE_DATA, b"x")
        exchange.put(Kind.RESPONSE_DATA, b"x")
        assert broken == ["it"]
        assert exchange.closed
        disk.error = None
        until("the disk to be back", lambda: not session.cannot_record())

    with contextlib.closing(SegmentReader(tmp_path, "w1")) as reader:
        kinds = [record.kind for record, _, _ in reader.records() if record.exchange == 1]
    assert kinds == [Kind.REQUEST_HEAD, Kind.RESPONSE_DATA, Kind.FAILED]


def test_an_answer_is_stored_to_its_end_before_its_last_bytes_go_out_where_that_is_asked_for(
    tmp_path: Path, disk: Disk
) -> None:
    went_out = 0
    for room in range(0, 160, 4):
        folder = tmp_path / str(room)
        folder.mkdir()
        disk.error = None
        with a_session(folder, blocks=True) as session:
            broken: list[str] = []
            exchange = an_exchange(session)
            exchange.break_off = functools.partial(broken.append, "it")
            exchange.put(Kind.REQUEST_HEAD, b"{}")
            exchange.put(Kind.REQUEST_END)
            exchange.put(Kind.RESPONSE_HEAD, b"{}")
            journal = session.journal
            assert journal is not None
            until("segments to be ready", functools.partial(_has_spares, journal))
            disk.error = errno.ENOSPC
            while journal.position < 2 * segments.SEGMENT_BYTES + SMALL - 300 - room:
                journal.append(Kind.RESPONSE_DATA, 99, 1, b"x" * 4)
            exchange.put(Kind.RESPONSE_DATA, b"x" * 250)
            exchange.confirm()
            is_whole = not broken  # the client has it all
            exchange.put(Kind.RESPONSE_END)
            exchange.confirm()
            assert is_whole is not bool(broken), "the client had it all before it was broken off"
        with contextlib.closing(SegmentReader(folder, "w1")) as reader:
            kinds = [record.kind for record, _, _ in reader.records() if record.exchange == 1]
        assert (Kind.RESPONSE_END in kinds) is is_whole
        went_out += is_whole
    assert 0 < went_out < 40


def _has_spares(journal: segments.SegmentWriter) -> bool:
    return len(journal._spares) == 2


def test_an_error_of_our_own_breaks_off_what_is_recorded_and_not_what_passes(tmp_path: Path) -> None:
    broken: list[str] = []
    with a_session(tmp_path, blocks=True) as session:
        recorded, passing = an_exchange(session, 1), an_exchange(session, 2)
        for exchange, name in ((recorded, "recorded"), (passing, "passing")):
            exchange.break_off = lambda name=name: broken.append(name)
            exchange.put(Kind.REQUEST_HEAD, b"{}")
        passing.end(Kind.DROPPED, b"websocket")
        for exchange in (recorded, passing):
            exchange.give_up("hook", RuntimeError())

    assert broken == ["recorded"]


def test_blocked_requests_are_counted_and_each_cause_is_logged_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with a_session(None, blocks=True) as session:
        for _ in range(3):
            session.blocked("no room")
    assert (session.traffic.blocked, session.failure) == (3, "no room")
    assert caplog.messages == ["record.blocked session=chat where=journal reason=no room"]


def test_a_journal_that_cannot_begin_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="cannot lock the journal"), a_session(tmp_path / "none"):
        pass


def a_replay(spec: SessionSpec, *, sealed: bool) -> Phase:
    replay = ReplaySpec(
        cassette=Path("none.yaml"),
        sealed=sealed,
        refuses_others=True,
        repeat=False,
        factor=0,
        compresses=False,
        match=MatchRules(),
    )
    spec = dataclasses.replace(spec, directory=None, replay=replay)
    return Phase(spec, DeckPlayer(spec, Cassette(()), {}))


def test_all_phases_share_a_journal_that_begins_with_the_first_to_record(tmp_path: Path) -> None:
    with a_session(None) as session:
        passing = session.phase
        recording = dataclasses.replace(passing.spec, directory=tmp_path)
        session.begin_journal(passing.spec)
        assert session.journal is None
        session.begin_journal(recording)
        journal = session.journal
        assert journal is not None
        session.phase = Phase(recording)
        assert (passing.records, session.phase.records) == (False, True)
        session.phase = passing
        session.begin_journal(recording)
        assert session.journal is journal


def test_connections_are_made_for_what_began_before_nothing_was_to_be_connected(tmp_path: Path) -> None:
    with a_session(tmp_path) as session:
        before = session.phase
        session.in_flight["flow"] = InFlight("client", before)
        sealed = session.phase = a_replay(before.spec, sealed=True)
        assert session.phase_for("client") is before
        assert session.phase_for("another") is sealed
        session.in_flight["flow"] = InFlight("client", sealed)
        assert session.phase_for("client") is sealed
        session.in_flight["flow"] = InFlight("client", before)
        open_again = session.phase = a_replay(before.spec, sealed=False)
        assert session.phase_for("client") is open_again


def test_counts_of_a_replay_stay_when_the_next_phase_replays_nothing(tmp_path: Path) -> None:
    with a_session(tmp_path) as session:
        before = session.phase
        assert "hits" not in session.status()
        session.phase = a_replay(before.spec, sealed=True)
        assert session.player is not None
        session.player.take("GET", "https://api.openai.com/", (), b"")
        assert (session.status()["misses"], session.status()["unused"]) == (1, 0)
        session.phase = before
        assert session.status()["misses"] == 1
        assert "unused" not in session.status()


def test_flows_are_being_recorded_until_their_exchange_is_closed(tmp_path: Path) -> None:
    with a_session(tmp_path) as session:
        exchange = an_exchange(session)
        session.in_flight["passing"] = InFlight("client", session.phase)
        session.in_flight["recorded"] = InFlight("client", session.phase, exchange)
        assert session.recording() == ["recorded"]
        exchange.end(Kind.DROPPED, b"websocket")
        assert session.recording() == []
