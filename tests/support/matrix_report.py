"""The table of the matrix: what each row's test found, as Markdown for people and as JSON for programs.

A test keeps its row's facts in a plain dict, which travels with the test's report through pytest-xdist to the
process that prints. Every fact but `place`, the row's number, is a column.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

PROPERTY = "matrix"
"""Under this name a test's report has the facts."""

COLUMNS = ("client", "version", "runtime", "plain", "streamed", "how", "note")

YES = "yes"
NO = "**no**"
UNTRIED = "-"

Facts = dict[str, Any]


def facts_of(report: pytest.TestReport) -> Facts | None:
    """Return what the report of a row's test says in the end; None when it has nothing final to say."""
    facts = dict(report.user_properties).get(PROPERTY)
    final = report.when == "call" or (report.when == "setup" and not report.passed)
    if not isinstance(facts, dict) or "place" not in facts or not final:
        return None
    row = {**dict.fromkeys(COLUMNS, ""), **facts, "outcome": report.outcome}
    if report.skipped:
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        row.update(plain=UNTRIED, streamed=UNTRIED, note=f"skipped: {reason.removeprefix('Skipped: ')}")
    elif report.failed:
        row.update({name: NO for name in ("plain", "streamed") if not row[name]})
        row["note"] = f"FAILED: {_first_line(report)}"
    return row


def markdown(rows: Iterable[Mapping[str, Any]]) -> str:
    """Return the table, its columns aligned."""
    cells = [COLUMNS, *([_cell(row[name]) for name in COLUMNS] for row in rows)]
    widths = [max(len(line[place]) for line in cells) for place in range(len(COLUMNS))]
    lines = [_line(line, widths) for line in cells]
    return "\n".join([lines[0], _line(["-" * width for width in widths], widths), *lines[1:]]) + "\n"


def write(folder: Path, machine: str, rows: Sequence[Facts]) -> None:
    """Write `matrix.json` and `matrix.md` into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    value = {"machine": machine, "rows": rows}
    (folder / "matrix.json").write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n")
    (folder / "matrix.md").write_text(f"{machine}\n\n{markdown(rows)}")


def _first_line(report: pytest.TestReport) -> str:
    return next((line for line in report.longreprtext.splitlines()[::-1] if line.startswith("E ")), "E")[
        1:
    ].strip()


def _cell(value: object) -> str:
    return str(value).replace("|", "\\|").replace("\n", " ")


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    padded = (cell.ljust(width) for cell, width in zip(cells, widths, strict=True))
    return f"| {' | '.join(padded)} |"
