"""What people and scripts see of the differences of two cassettes: objects in, text or plain JSON types out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from cassette.canonical import redact_values
from cassette.credentials import redact_url
from cassette.diff import Change, Difference, DifferenceKind
from cassette.model import Interaction
from cassette.textdiff import unified_diff
from proxy_cli.paper import INDENT, Paper, one_line, printable

_LONGEST_PAIR = 100
"""Characters of two values that stand side by side; longer ones are shown as a diff. Chosen, not measured."""
_COLOURS = {
    DifferenceKind.CHANGED: "yellow",
    DifferenceKind.REMOVED: "red",
    DifferenceKind.ADDED: "green",
}
_LINE_COLOURS = {"-": "red", "+": "green", "@": "cyan"}
_LABEL_WIDTH = len("finish reason")


def difference_text(difference: Difference, paper: Paper) -> str:
    """Return one difference for a person: what became of which interaction, and how its two sides changed."""
    lines = [_heading(difference, paper)]
    if difference.request:
        lines.append(f"{INDENT}request")
        # The names of the two sides stand in the heading already.
        lines += _diff_lines(difference.request.split("\n")[2:], paper)
    for change in difference.response:
        lines += _change_lines(change, paper)
    return "\n".join(lines)


def summary_text(found: Sequence[Difference], before: int, after: int, paper: Paper) -> str:
    """Return the last line: how many interactions there were, and what became of them."""
    noun = "interaction" if before == after == 1 else "interactions"
    count = f"{before} {noun}" if before == after else f"{before} and {after} {noun}"
    if not found:
        return paper.style(f"no differences; {count}", fg="green")
    kinds = Counter(difference.kind for difference in found)
    said = ", ".join(f"{kinds[kind]} {kind.value}" for kind in DifferenceKind if kinds[kind])
    return paper.style(f"{said}; {count}", fg="red")


def difference_json(difference: Difference) -> dict[str, object]:
    """Return a difference as plain JSON types; the ids are those in either cassette."""
    present = _present(difference)
    return {
        "kind": difference.kind.value,
        "before": None if difference.before is None else difference.before.id,
        "after": None if difference.after is None else difference.after.id,
        "method": present.request.method,
        "url": redact_values(redact_url(present.request.url)),
        "request": difference.request,
        "response": [
            {"what": change.what, "before": change.before, "after": change.after}
            for change in difference.response
        ],
    }


def _present(difference: Difference) -> Interaction:
    """Return the interaction that a difference is about: as it is now, or as it was."""
    present = difference.after or difference.before
    assert present is not None
    return present


def _heading(difference: Difference, paper: Paper) -> str:
    request = _present(difference).request
    ids = [str(item.id) for item in (difference.before, difference.after) if item is not None]
    number = ids[0] if len(set(ids)) == 1 else " → ".join(ids)
    kind = paper.style(difference.kind.value, fg=_COLOURS[difference.kind], bold=True)
    what = one_line(redact_values(f"{request.method} {redact_url(request.url)}"))
    return f"{kind}  interaction {number}  {paper.style(what, bold=True)}"


def _change_lines(change: Change, paper: Paper) -> Iterator[str]:
    whole = change.before + change.after
    if "\n" not in whole and len(whole) <= _LONGEST_PAIR:
        before, after = (one_line(side) or "(none)" for side in (change.before, change.after))
        pair = f"{paper.style(before, fg='red')} → {paper.style(after, fg='green')}"
        yield f"{INDENT}{change.what.ljust(_LABEL_WIDTH)}  {pair}"
        return
    yield f"{INDENT}{change.what}"
    found = unified_diff(change.before.split("\n"), change.after.split("\n"), "", "")
    lines = found.split("\n")[2:] if found else ["(they differ in what is not shown: credentials, long data)"]
    yield from _diff_lines(lines, paper)


def _diff_lines(lines: Sequence[str], paper: Paper) -> Iterator[str]:
    for line in lines:
        colour = _LINE_COLOURS.get(line[:1])
        yield INDENT * 2 + paper.style(printable(line), fg=colour, dim=None if colour else True)
