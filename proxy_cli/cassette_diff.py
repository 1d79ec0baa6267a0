"""What `diff` does: read two cassettes, print how they differ, return the exit code."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from cassette.diff import Difference, diff
from cassette.matchrules import EVERYTHING_VOLATILE
from proxy_cli.cassette_reading import complain, load_or_complain, say, say_json
from proxy_cli.paper import paper_of_stdout
from proxy_cli.render_diff import difference_json, difference_text, summary_text

_DIFFERENT = 1
_WRONG_USE = 2


def compare_cassettes(
    before: str, after: str, *, only: str | None, ignore: Sequence[str], as_json: bool
) -> int:
    """Print the differences of two cassettes; return 0 when there are none, 1 when there are, 2 for an error."""
    try:
        rules = replace(EVERYTHING_VOLATILE, ignore_paths=tuple(ignore))
    except ValueError as exc:
        complain(f"--ignore: {exc}")
        return _WRONG_USE
    a, b = load_or_complain(before), load_or_complain(after)
    if a is None or b is None:
        return _WRONG_USE
    found = diff(a, b, rules, requests=only != "response", responses=only != "request")
    if as_json:
        say_json(
            {
                "before": before,
                "after": after,
                "equal": not found,
                "differences": [difference_json(difference) for difference in found],
            }
        )
    else:
        _say_all(found, len(a.interactions), len(b.interactions))
    return _DIFFERENT if found else 0


def _say_all(found: Sequence[Difference], before: int, after: int) -> None:
    paper = paper_of_stdout()
    for difference in found:
        say(difference_text(difference, paper) + "\n", paper)
    say(summary_text(found, before, after, paper), paper)
