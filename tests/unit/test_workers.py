"""The workers as one: opened together or not at all."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from addons.errors import ControlError, StartError
from cassette.errors import StoreError
from proxy_cli import workers as workers_module
from proxy_cli.workers import Worker, Workers, worker_count

SPEC = {"name": "chat", "port": 0, "reverse": ["https://a.example"]}
LISTENS = {"port": 4711, "reverse": ["4712=https://a.example"]}


class Child:
    """A worker process as the daemon speaks to it, which says what it was asked."""

    def __init__(
        self, _name: str, command: list[str], on_death: Callable[[Any], None], _options: list[str]
    ) -> None:
        self.writer = command[-1]
        self.on_death = on_death
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.errors: dict[str, Exception] = {}
        self.answers: dict[str, Any] = {"open": LISTENS, "measures": {"r": self.writer}}
        self.pid = 17

    def call(self, do: str, **arguments: Any) -> Any:
        self.asked.append((do, arguments))
        if do in self.errors:
            raise self.errors[do]
        return self.answers.get(do, {})

    def is_alive(self) -> bool:
        return True


@pytest.fixture
def succeeded() -> list[tuple[str, Worker]]:
    return []


@pytest.fixture
def workers(monkeypatch: pytest.MonkeyPatch, succeeded: list[tuple[str, Worker]]) -> Workers:
    monkeypatch.setattr(workers_module, "Child", Child)
    return Workers(3, Path("ca"), threading.RLock(), lambda *both: succeeded.append(both))


def children(workers: Workers) -> list[Any]:
    return [worker.child for worker in workers.now]


def test_first_worker_finds_the_port_and_the_others_join_it(workers: Workers) -> None:
    assert workers.open(SPEC) == LISTENS
    asked = [child.asked[0][1]["session"] for child in children(workers)]
    assert [(one["port"], one["reverse"], one["port_use"]) for one in asked] == [
        (0, SPEC["reverse"], "first"),
        (4711, LISTENS["reverse"], "joins"),
        (4711, LISTENS["reverse"], "joins"),
    ]


def test_common_port_is_opened_by_all_and_by_those_that_come_later(workers: Workers) -> None:
    workers.open_common(8899)
    victim: Any = workers.now[0].child
    victim.on_death(victim)
    uses = [child.asked[0][1]["port_use"] for child in [victim, *children(workers)]]
    assert uses == ["first", "joins", "joins", "joins"]


def test_successor_lives_where_the_common_port_is_taken(
    workers: Workers, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    workers.open_common(8899)

    def call(_child: Child, do: str, **_arguments: Any) -> Any:
        raise StartError(f"no {do}")

    monkeypatch.setattr(Child, "call", call)
    victim: Any = workers.now[0].child
    victim.on_death(victim)
    assert workers.restarts == 1
    assert "daemon.common_port_failed" in caplog.text


def test_one_worker_has_the_port_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers_module, "Child", Child)
    alone = Workers(1, Path("ca"), threading.RLock(), lambda *_: None)
    alone.open(SPEC)
    alone.prepare(SPEC)
    assert [arguments["session"]["port_use"] for _, arguments in children(alone)[0].asked] == ["alone"] * 2


def test_session_that_one_cannot_open_is_open_in_none(workers: Workers) -> None:
    first, second, third = children(workers)
    second.errors["open"] = StartError("busy")
    with pytest.raises(StartError, match="busy"):
        workers.open(SPEC)
    assert [do for do, _ in first.asked] == ["open", "close"]
    assert [do for do, _ in second.asked] == ["open"]
    assert [do for do, _ in third.asked] == ["open", "close"]


def test_what_one_cannot_make_ready_for_is_raised(workers: Workers) -> None:
    workers.prepare(SPEC)
    children(workers)[2].errors["prepare"] = StoreError("no cassette")
    with pytest.raises(StoreError, match="no cassette"):
        workers.prepare(SPEC)


def test_dead_worker_records_nothing(workers: Workers) -> None:
    for child in children(workers):
        child.answers["recording"] = {"flows": [child.writer], "waiting_bytes": 5}
    children(workers)[0].errors["recording"] = ControlError("died")
    assert workers.recording("chat") == ({"w2", "w3"}, 10)


def test_close_goes_on_where_one_is_dead(workers: Workers) -> None:
    children(workers)[1].errors["close"] = ControlError("died")
    assert set(workers.close("chat", 0)) == {"w1", "w3"}


def test_successor_has_a_name_of_its_own_and_joins_the_others(
    workers: Workers, succeeded: list[tuple[str, Worker]]
) -> None:
    before = workers.now
    victim: Any = before[1].child
    victim.on_death(victim)
    ((gone, successor),) = succeeded
    assert (gone, successor.writer, [one.writer for one in workers.now]) == ("w2", "w4", ["w1", "w4", "w3"])
    assert workers.have_changed(before)
    assert workers.restarts == 1
    workers.open_in(successor, SPEC)
    assert children(workers)[1].asked[0][1]["session"]["port_use"] == "joins"


def test_none_succeeds_when_all_are_about_to_end(
    workers: Workers, succeeded: list[tuple[str, Worker]]
) -> None:
    workers.retire()
    victim: Any = workers.now[0].child
    victim.on_death(victim)
    assert succeeded == []


def test_busy_worker_is_left_out_of_the_counts_and_its_measures_stay(workers: Workers) -> None:
    workers.refresh_measures()
    first = children(workers)[0]
    first.errors |= {"counts": ControlError("busy"), "measures": ControlError("busy")}
    workers.refresh_measures()
    assert set(workers.counts()) == {"w2", "w3"}
    assert workers.measured() == [{"r": "w1"}, {"r": "w2"}, {"r": "w3"}]


@pytest.mark.parametrize(
    ("wanted", "platform", "count"), [(1, "linux", 1), (4, "linux", 4), (4, "darwin", 1), (1, "darwin", 1)]
)
def test_more_than_one_worker_needs_linux(
    caplog: pytest.LogCaptureFixture, wanted: int, platform: str, count: int
) -> None:
    with caplog.at_level(logging.WARNING):
        assert worker_count(wanted, platform) == count
    assert bool(caplog.messages) is (wanted != count)
