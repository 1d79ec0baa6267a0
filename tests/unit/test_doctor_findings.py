from __future__ import annotations

import json

import pytest

from proxy_cli.doctor_findings import Finding, Verdict, as_json, as_table, is_well
from proxy_cli.paper import Paper

FINDINGS = [
    Finding("setup", "daemon", Verdict.OK, "running"),
    Finding("runtime", "java 17", Verdict.BAD, "does not\ngo through", "do this"),
]


def test_people_get_a_line_each_and_what_to_do_below() -> None:
    assert as_table(FINDINGS, Paper()) == (
        "ok    daemon   running\nBAD   java 17  does not\\ngo through\n               → do this"
    )


def test_machines_get_one_object() -> None:
    read = json.loads(as_json(FINDINGS))
    assert read["ok"] is False
    assert read["findings"][1] == {
        "group": "runtime",
        "name": "java 17",
        "verdict": "bad",
        "text": "does not\ngo through",
        "advice": "do this",
    }


@pytest.mark.parametrize(
    ("verdict", "well"),
    [(Verdict.OK, True), (Verdict.NOTE, True), (Verdict.SKIPPED, True), (Verdict.BAD, False)],
)
def test_only_what_is_bad_spoils_it(verdict: Verdict, well: bool) -> None:
    assert is_well([FINDINGS[0], Finding("setup", "x", verdict, "")]) is well
