"""What `wiretape doctor` finds, and how it is shown: a line each for people, JSON for machines. Pure."""

from __future__ import annotations

import enum
import json
from collections.abc import Sequence
from dataclasses import dataclass

from proxy_cli.paper import Paper, one_line


class Verdict(enum.Enum):
    """How something stands."""

    OK = "ok"
    NOTE = "note"
    """Worth knowing; nothing is wrong with it."""
    SKIPPED = "skipped"
    """It could not be tried."""
    BAD = "bad"
    """Something would not go through."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    group: str
    """What kind of thing: setup, shell, runtime, command."""
    name: str
    verdict: Verdict
    text: str
    advice: str = ""
    """What to do about it, if there is anything."""


def is_well(findings: Sequence[Finding]) -> bool:
    """Tell whether nothing is wrong."""
    return all(finding.verdict is not Verdict.BAD for finding in findings)


def as_json(findings: Sequence[Finding]) -> str:
    """Return one object: whether all is well, and the findings in their order."""
    listed = [
        {
            "group": finding.group,
            "name": finding.name,
            "verdict": finding.verdict.value,
            "text": finding.text,
            "advice": finding.advice,
        }
        for finding in findings
    ]
    return json.dumps({"ok": is_well(findings), "findings": listed}, indent=2)


def as_table(findings: Sequence[Finding], paper: Paper) -> str:
    """Return a line for each finding, and below it what to do."""
    width = max((len(finding.name) for finding in findings), default=0)
    lines = []
    for finding in findings:
        mark, colour = _MARKS[finding.verdict]
        name = f"{finding.name:{width}}"
        lines.append(f"{paper.style(f'{mark:4}', fg=colour)}  {name}  {one_line(finding.text)}")
        if finding.advice:
            lines.append(f"{'':6}{'':{width}}  → {one_line(finding.advice)}")
    return "\n".join(lines)


_MARKS = {
    Verdict.OK: ("ok", "green"),
    Verdict.NOTE: ("note", "yellow"),
    Verdict.SKIPPED: ("-", None),
    Verdict.BAD: ("BAD", "red"),
}
