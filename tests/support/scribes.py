"""Sessions that a scribe of the tests works on: fixtures, a clock that stands still, kills."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from cassette import scribe as scribe_module
from cassette.scribe import SessionScribe
from tests.support.journals import Session, Take

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
