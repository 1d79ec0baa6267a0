"""Paths into JSON values, as a user writes them, and many of them followed at once.

    messages[*].tool_calls[*].id      members by name, `[*]` every item of an array
    input[0].id                       one item, counted from 0
    metadata.*                        every member of an object
    headers["x-request-id"]           a name in quotes may hold anything; `$.` in front changes nothing

There is no "at any depth": a tool's arguments may hold any name, and are content.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

_Mark = TypeVar("_Mark")

_STEP = re.compile(
    r"""
      \[\s*(?:(?P<any_item>\*)|(?P<item>[0-9]{1,9})|(?P<quoted>"(?:[^"\\]|\\.)*"))\s*\]
    | (?P<dot>\.)?(?P<name>[^.\[\]"*\s]+|\*(?![^.\[]))
    """,
    re.VERBOSE,
)


@dataclass(slots=True)
class PathNode(Generic[_Mark]):
    """What lies below one place: where paths go on, and the marks of those that end here."""

    names: dict[str, PathNode[_Mark]] = field(default_factory=dict)
    items: dict[int, PathNode[_Mark]] = field(default_factory=dict)
    other_names: PathNode[_Mark] | None = None
    """Where every name leads that is not in `names`."""
    other_items: PathNode[_Mark] | None = None
    marks: list[_Mark] = field(default_factory=list)

    def at_name(self, name: str) -> PathNode[_Mark] | None:
        """Return what a member leads to; None when no path goes there."""
        return self.names.get(name, self.other_names)

    def at_item(self, index: int) -> PathNode[_Mark] | None:
        """Return what an array's item leads to; None when no path goes there."""
        return self.items.get(index, self.other_items)


def path_tree(marked: Iterable[tuple[str, _Mark]]) -> PathNode[_Mark]:
    """Return the root of a tree in which every path leads to its mark; ValueError for what is no path.

    Every place has one node, which knows all paths that lead there: `a.b` and `*.b` meet in one.
    """
    return _merged([(parse_path(text), mark) for text, mark in marked])


def _merged(rests: list[tuple[tuple[Step, ...], _Mark]]) -> PathNode[_Mark]:
    """Return the node at which these paths, each without the steps up to there, go on or end."""
    node: PathNode[_Mark] = PathNode(marks=[mark for steps, mark in rests if not steps])
    by_step: dict[Step, list[tuple[tuple[Step, ...], _Mark]]] = {}
    for steps, mark in rests:
        if steps:
            by_step.setdefault(steps[0], []).append((steps[1:], mark))
    any_name, any_item = by_step.pop(AnyName(), []), by_step.pop(AnyItem(), [])
    for step, those in by_step.items():
        if isinstance(step, int):
            node.items[step] = _merged(those + any_item)
        elif isinstance(step, str):
            node.names[step] = _merged(those + any_name)
    node.other_names = _merged(any_name) if any_name else None
    node.other_items = _merged(any_item) if any_item else None
    return node


@dataclass(frozen=True, slots=True)
class AnyName:
    """The step `*`."""


@dataclass(frozen=True, slots=True)
class AnyItem:
    """The step `[*]`."""


Step = str | int | AnyName | AnyItem


def parse_path(text: str) -> tuple[Step, ...]:
    """Return the steps of a path; ValueError, which quotes it, for what is none."""
    at = 1 if text.startswith("$") and text[1:2] in (".", "[") else 0
    steps: list[Step] = []
    while at < len(text):
        match = _STEP.match(text, at)
        # A name needs a dot before it, save at the beginning; `$` counts as something before it.
        if match is None or (match["name"] is not None and (match["dot"] is not None) != (at > 0)):
            raise ValueError(_complaint(text, at))
        at = match.end()
        if match["any_item"]:
            steps.append(AnyItem())
        elif match["item"]:
            steps.append(int(match["item"]))
        elif match["quoted"]:
            steps.append(_unquoted(text, match["quoted"]))
        else:
            steps.append(AnyName() if match["name"] == "*" else match["name"])
    if not steps:
        raise ValueError("a path is empty; write one like messages[*].id")
    return tuple(steps)


def format_path(steps: Iterable[str | int]) -> str:
    """Return the path of one place, so that `parse_path` finds the same steps again; `$` for the root."""
    text = ""
    for step in steps:
        if isinstance(step, int):
            text += f"[{step}]"
        elif re.fullmatch(r"""[^.\[\]"*\s$]+""", step):
            text += f".{step}" if text else step
        else:
            text += f"[{json.dumps(step)}]"
    return text or "$"


def _unquoted(text: str, quoted: str) -> str:
    try:
        name = json.loads(quoted)
    except ValueError:
        raise ValueError(_complaint(text, text.index(quoted))) from None
    return str(name)


def _complaint(text: str, at: int) -> str:
    return f"{text!r} is no path: {text[at:]!r} is no step; write one like messages[*].id or metadata.user_id"
