"""What the matrix shares; which rows run; and the table at the end."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.matrix.recording import Recorder
from tests.support.matrix_report import PROPERTY, Facts, facts_of, markdown, write
from tests.support.matrix_tools import Tools, machine, matrix_cache
from tests.support.toolchains import ROOT
from tests.support.toolchains import tool_cache as tool_cache
from tests.support.wiretape import Wiretape

WHOLE = os.environ.get("WIRETAPE_MATRIX") == "1"
"""Whether every row runs, as `make matrix` has it; else those that are ready within seconds."""

RESULTS = ROOT / "build" / "matrix"

_found: list[Facts] = []
"""What the rows' tests reported to this process."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave the slow rows to `make matrix`."""
    slow = [] if WHOLE else [item for item in items if item.get_closest_marker("matrix_only")]
    if slow:
        config.hook.pytest_deselected(items=slow)
        items[:] = [item for item in items if item not in slow]


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Collect the facts of a row."""
    if facts := facts_of(report):
        _found.append(facts)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the table and write it down, where the whole matrix ran."""
    if not WHOLE or not _found:
        return
    rows = sorted(_found, key=lambda row: int(row["place"]))
    write(RESULTS, machine(), rows)
    terminalreporter.section("matrix", "=")
    terminalreporter.write_line(machine())
    terminalreporter.write(markdown(rows))
    terminalreporter.write_line(f"written to {RESULTS.relative_to(ROOT)}/matrix.md and matrix.json")


@pytest.fixture(scope="session")
def tools(tool_cache: Path) -> Tools:
    """The clients, made when they are asked for."""
    return Tools(matrix_cache(), tool_cache, quick=not WHOLE)


@pytest.fixture
def facts(request: pytest.FixtureRequest) -> Facts:
    """What the table will say of this test's row."""
    facts: Facts = {}
    request.node.user_properties.append((PROPERTY, facts))
    return facts


@pytest.fixture(scope="session")
def scrubbed() -> dict[str, str]:
    """The environment without anything that could lead a client somewhere: where programs and temporary files are."""
    kept: Sequence[str] = ("PATH", "TMPDIR")
    return {name: os.environ[name] for name in kept if name in os.environ}


@pytest.fixture(scope="session")
def matrix_wiretape(tmp_path_factory: pytest.TempPathFactory, scrubbed: dict[str, str]) -> Iterator[Wiretape]:
    """The command in a scrubbed environment, with one daemon for all rows of a process."""
    with Wiretape(tmp_path_factory.mktemp("matrix")) as command:
        own = ("WIRETAPE_HOME", "XDG_CONFIG_HOME", "PYTHONPATH")
        mine = {name: value for name, value in command.environment.items() if name in own}
        command.environment = {**scrubbed, "HOME": str(command.folder), **mine}
        command.start("keeps-the-daemon")
        yield command


@pytest.fixture
def recorder(matrix_wiretape: Wiretape, scrubbed: dict[str, str], tmp_path: Path) -> Recorder:
    """What records this test's client."""
    return Recorder(matrix_wiretape, scrubbed, tmp_path)
