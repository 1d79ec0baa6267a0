"""One session of the daemon: what it counts over workers and modes."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from addons.errors import StartError
from cassette.emitter import EMPTY_DOCUMENT
from cassette.errors import FormatError
from proxy_cli.session import Session, holds_interactions, merged, what_to_do
from tests.support.asking import answer_to, question
from tests.support.tapes import call, write_tape
from tests.unit.test_messages import REQUEST


def a_session(**changes: Any) -> Session:
    return Session(REQUEST, Path("/journals/chat"), records=True, replays=False, **changes)


def test_counters_of_a_dead_worker_stay_and_what_it_had_under_way_does_not() -> None:
    session = a_session(has_journal=True)
    session.count("w1", {"cut": 1, "in_flight": 3, "journal_bytes": 5000, "passed": 2})
    session.writer_gone("w1")
    session.count("w2", {"cut": 0, "in_flight": 1, "journal_bytes": 100, "passed": 1})
    session.written = {"read_bytes": 60}
    status = session.status()
    assert (status["cut"], status["in_flight"], status["passed"], status["journal_lag_bytes"]) == (
        1,
        1,
        3,
        40,
    )
    assert session.gone_writers == ["w1"]


def test_worker_that_dies_before_it_was_asked_has_counted_nothing() -> None:
    session = a_session()
    session.writer_gone("w1")
    assert session.status()["in_flight"] == 0


def test_hits_are_told_of_sessions_that_replay_or_did() -> None:
    session = a_session(has_journal=True)
    assert "hits" not in session.status()
    session.count("w1", {"hits": 2, "misses": 1, "miss_messages": ["why"]})
    session.has_replayed = True
    status = session.status()
    assert (status["hits"], status["misses"], status["miss_messages"]) == (2, 1, ["why"])
    assert "unused" not in status
    session.replays = True
    assert session.status()["unused"] == 0


def test_numbers_add_up_and_the_last_text_holds() -> None:
    one = {"failed": 1, "failure": "the disk is full", "miss_messages": list("abc")}
    two = {"failed": 2, "failure": "", "miss_messages": list("def"), "hits": 1}
    assert merged([one, two]) == {
        "failed": 3, "failure": "the disk is full", "miss_messages": list("bcdef"), "hits": 1,
    }  # fmt: skip
    assert merged([]) == {}


def test_cassette_holds_something_when_there_is_an_interaction(tmp_path: Path) -> None:
    tape = tmp_path / "tape.yaml"
    assert not holds_interactions(tape)
    tape.write_bytes(EMPTY_DOCUMENT)
    assert not holds_interactions(tape)
    tape.write_bytes(b"version: 2\ninteractions: []\n" + b"# another writer's\n" * 10)
    assert not holds_interactions(tape)
    write_tape(tape, [call(question("one"), answer_to("one"))])
    assert holds_interactions(tape)
    tape.write_bytes(b"no cassette")
    with pytest.raises(FormatError):
        holds_interactions(tape)


@pytest.mark.parametrize(
    ("mode", "there", "what"),
    [
        ("record-only", True, (True, False)),
        ("record-once", False, (True, False)),
        ("record-once", True, (False, True)),
        ("replay-only", True, (False, True)),
        ("replay-with-new-episodes", False, (True, False)),
        ("replay-with-new-episodes", True, (True, True)),
        ("passthrough", True, (False, False)),
    ],
)
def test_modes_are_go_vcrs(tmp_path: Path, mode: str, there: bool, what: tuple[bool, bool]) -> None:
    tape = tmp_path / "tape.yaml"
    if there:
        tape.write_bytes(EMPTY_DOCUMENT)
    assert what_to_do(dataclasses.replace(REQUEST, mode=mode, cassette=tape)) == what


def test_nothing_is_replayed_where_nothing_was_recorded(tmp_path: Path) -> None:
    request = dataclasses.replace(REQUEST, mode="replay-only", cassette=tmp_path / "tape.yaml")
    with pytest.raises(StartError, match="--mode record-only"):
        what_to_do(request)
