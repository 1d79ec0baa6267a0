"""Requests as lines that a person can read, and the difference of two of them. Nothing here knows about matching.

A credential is never shown: what has the shape of a known key is REDACTED, and so is what a name gives away,
there with a number, so that two different ones are still seen to differ.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import re
from collections import Counter
from collections.abc import Sequence
from itertools import islice

from cassette.bodies import Blob, Body, Kind, Literal
from cassette.canonical import redact_values
from cassette.credentials import REDACTED, is_secret_request_header

MAX_COMPARED = 1024 * 1024
"""Bytes of a body up to which it is laid out in lines. This and the following are chosen, not measured."""
MAX_LINES = 2000
"""Lines of either side that are compared, from the first that differs on."""
MAX_SHOWN_LINES = 120
MAX_SHOWN_LINE = 300
"""Characters shown of a line."""

_WIDTH = 100
"""Characters after which a text is broken, at the end of a sentence."""
_LONGEST_WORD = 256
_LONG_WORD = re.compile(rf"\S{{{_LONGEST_WORD},}}")
# A line feed within a JSON text: `\\n`, not the end of `\\\\n`.
_LINE_END = re.compile(r"(?<!\\)((?:\\\\)*\\n)(?!\"?,?$)")
_SENTENCE_END = re.compile(r"(?<=[.!?]) (?=\S)")
_PIECE = re.compile(rf".{{1,{_WIDTH}}}(?:\s|$)|.{{1,{_WIDTH}}}")
_HUNK = re.compile(r"^@@ -(\d+)(,\d+)? \+(\d+)(,\d+)? @@")
_WORD = re.compile(r"\w+|[^\w\s]")


class Drawing:
    """Lays bodies out in lines. Those that are to be compared come from one: it numbers what it hides."""

    def __init__(self) -> None:
        self._hidden: dict[str, str] = {}

    def lines(self, body: Body) -> list[str]:
        """Return the lines of a body: JSON by name, two spaces per level, long texts broken at their line ends."""
        if body.kind is Kind.NONE:
            return ["(no body)"]
        if body.kind is Kind.TEXT:
            lines = _abbreviated(redact_values(str(body.value))).split("\n")
            return [piece for line in lines for piece in _pieces(line)]
        value = self._shown(body.value)
        text = json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False)
        return [piece for line in text.split("\n") for piece in _broken(line)]

    def _shown(self, value: object, name: str = "") -> object:
        if isinstance(value, str):
            if name and value != REDACTED and is_secret_request_header(name):
                return self._hidden.setdefault(value, f"{REDACTED}-{len(self._hidden) + 1}")
            return _abbreviated(redact_values(value))
        if isinstance(value, dict):
            return {redact_values(key): self._shown(member, key) for key, member in value.items()}
        if isinstance(value, list):
            return [self._shown(item, name) for item in value]
        if isinstance(value, Blob):
            return f"<{value.size} bytes, sha256 {value.sha256[:16]}>"
        return value.digits if isinstance(value, Literal) else value


def _abbreviated(text: str) -> str:
    """Return a text in which base64 and the like are cut, with a sum by which they can still be told apart."""
    return _LONG_WORD.sub(_cut, text)


def _cut(match: re.Match[str]) -> str:
    word = match[0]
    checksum = hashlib.sha256(word.encode("utf-8", "surrogatepass")).hexdigest()
    return f"{word[:32]}…({len(word)} characters, sha256 {checksum[:16]})"


def _broken(line: str) -> list[str]:
    """Break a line of JSON where its text has line ends and, when it is long, after sentences."""
    lines = _LINE_END.sub("\\1\n", line).split("\n")
    pieces = [piece for part in lines for piece in _pieces(part)] if len(line) > _WIDTH else lines
    margin = " " * (len(line) - len(line.lstrip()) + 4)
    return [pieces[0], *(margin + piece for piece in pieces[1:])]


def _pieces(line: str) -> list[str]:
    """Break a long line after sentences and, where one is long still, between words."""
    if len(line) <= _WIDTH:
        return [line]
    return [piece for part in _SENTENCE_END.sub(" \n", line).split("\n") for piece in _PIECE.findall(part)]


def unified_diff(before: Sequence[str], after: Sequence[str], before_name: str, after_name: str) -> str:
    """Return the differences of two lists of lines with three lines around each; empty when there are none.

    At most `MAX_LINES` of either are compared from the first that differs on, and `MAX_SHOWN_LINES` shown:
    the last line says so. The time is bounded by that.
    """
    same = next((at for at, (a, b) in enumerate(zip(before, after, strict=False)) if a != b), None)
    if same is None:
        if len(before) == len(after):
            return ""
        same = min(len(before), len(after))
    start = max(0, same - 3)
    found = difflib.unified_diff(
        before[start : start + MAX_LINES],
        after[start : start + MAX_LINES],
        before_name,
        after_name,
        lineterm="",
    )
    lines = [_shifted(line, start) for line in islice(found, MAX_SHOWN_LINES)]
    if next(found, None) is not None:
        lines.append(f"… (more differs; {MAX_SHOWN_LINES} lines are shown)")
    elif max(len(before), len(after)) > start + MAX_LINES:
        lines.append(f"… (what follows line {start + MAX_LINES} was not compared)")
    return "\n".join(lines)


def _shifted(line: str, offset: int) -> str:
    match = _HUNK.match(line)
    if match is None:
        return line if len(line) <= MAX_SHOWN_LINE else f"{line[:MAX_SHOWN_LINE]}…"
    before, after = int(match[1]) + offset, int(match[3]) + offset
    return f"@@ -{before}{match[2] or ''} +{after}{match[4] or ''} @@"


def words(body: Body) -> Counter[str]:
    """Return how often each word occurs in a body: what its likeness to others is judged by."""
    return Counter(_WORD.findall(body.text))


def likeness(a: Counter[str], b: Counter[str]) -> float:
    """Return the share of words that two bodies have in common: 0 for none, 1 for all (Dice's coefficient)."""
    both = a.total() + b.total()
    return 2 * (a & b).total() / both if both else 1.0
