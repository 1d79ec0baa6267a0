"""The table says of each row what its test found, and never more."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

import pytest

from tests.support.matrix_report import NO, PROPERTY, UNTRIED, YES, facts_of, markdown, write


def report(
    outcome: Literal["passed", "failed", "skipped"], facts: dict[str, Any] | None, longrepr: Any = None
) -> pytest.TestReport:
    properties = [] if facts is None else [(PROPERTY, facts)]
    return pytest.TestReport(
        "node", ("file", 1, "test"), {}, outcome, longrepr, "call", user_properties=properties
    )


def test_row_that_failed_between_its_calls_says_so_of_the_second_only() -> None:
    row = facts_of(
        report("failed", {"place": 0, "client": "c", "plain": YES}, "line\nE   AssertionError: why")
    )
    assert row is not None
    assert (row["plain"], row["streamed"], row["note"]) == (YES, NO, "FAILED: AssertionError: why")


def test_row_that_was_skipped_says_why_and_claims_nothing() -> None:
    row = facts_of(
        report("skipped", {"place": 0, "client": "c"}, ("file", 1, "Skipped: go is not installed"))
    )
    assert row is not None
    assert (row["plain"], row["streamed"]) == (UNTRIED, UNTRIED)
    assert row["note"] == "skipped: go is not installed"


def test_tests_that_are_no_rows_are_not_in_the_table() -> None:
    assert facts_of(report("passed", None)) is None
    assert facts_of(report("failed", {})) is None


def test_table_is_aligned_and_kept_as_markdown_and_json(tmp_path: Path) -> None:
    row = facts_of(report("passed", {"place": 0, "client": "a|b", "plain": YES, "streamed": YES}))
    assert row is not None
    lines = markdown([row]).splitlines()
    assert lines[2].startswith(r"| a\|b   |")
    assert len({len(line) for line in lines}) == 1
    write(tmp_path, "a machine", [row])
    assert (tmp_path / "matrix.md").read_text() == f"a machine\n\n{markdown([row])}"
    assert json.loads((tmp_path / "matrix.json").read_text())["rows"][0]["client"] == "a|b"
