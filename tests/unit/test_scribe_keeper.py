"""The scribe is succeeded when it dies or hangs, and has its work before anybody asks it."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from addons.errors import ControlError
from addons.scribe_keeper import ScribeKeeper
from cassette.errors import StoreError
from tests.support.waiting import until


@contextlib.contextmanager
def a_keeper(silence_seconds: float = 60) -> Iterator[tuple[ScribeKeeper, list[int]]]:
    taken_up: list[int] = []
    keeper = ScribeKeeper(
        threading.RLock(), lambda: taken_up.append(keeper.pid), silence_seconds=silence_seconds
    )
    try:
        yield keeper, taken_up
    finally:
        keeper.close(10)


def test_who_insists_is_answered_by_the_successor_of_a_dead_scribe() -> None:
    with a_keeper() as (keeper, taken_up):
        assert keeper.call("counts") == {}
        os.kill(keeper.pid, signal.SIGKILL)
        assert keeper.insist("counts") == {}
        assert (taken_up, keeper.restarts) == ([keeper.pid], 1)


def test_error_of_a_scribe_that_lives_is_raised_at_once(tmp_path: Path) -> None:
    with a_keeper() as (keeper, _), pytest.raises(StoreError, match="no such session"):
        keeper.insist("finish", directory=str(tmp_path), reason="")


def test_scribe_that_hangs_is_killed_and_succeeded() -> None:
    with a_keeper(silence_seconds=0.1) as (keeper, taken_up):
        hung = keeper.pid
        keeper.call("ping")
        os.kill(hung, signal.SIGSTOP)
        until("a successor", lambda: taken_up)
        assert taken_up == [keeper.pid] != [hung]
        assert keeper.call("ping") is None


def test_scribe_that_is_to_end_has_no_successor() -> None:
    with a_keeper() as (keeper, taken_up):
        keeper.close(10)
        with pytest.raises(ControlError):
            keeper.call("counts")
    assert taken_up == []
