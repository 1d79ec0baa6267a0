"""The fixtures that start `wiretape`."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.wiretape import Wiretape


@pytest.fixture
def wiretape(tmp_path: Path) -> Iterator[Wiretape]:
    """The command, with a home and a daemon for this test alone."""
    with Wiretape(tmp_path) as command:
        yield command


@pytest.fixture(scope="module")
def shared_wiretape(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Wiretape]:
    """The command, with one daemon for all tests of a module: a session of its own keeps it from stopping."""
    with Wiretape(tmp_path_factory.mktemp("shared")) as command:
        command.start("keeps-the-daemon")
        yield command


@pytest.fixture(scope="session")
def new_name() -> Callable[[], str]:
    """Names for sessions and cassettes that no other test of this process uses."""
    numbers = itertools.count(1)
    return lambda: f"tape-{next(numbers)}"
