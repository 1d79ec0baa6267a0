"""The order in which go-yaml writes the names of a map: letters last, digits compared as numbers."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable

_UNDECODABLE = re.compile("[\ud800-\udfff]")


def in_natural_order(names: Iterable[str]) -> list[str]:
    """Return the names in the order of go-yaml's `keyList`: `X-9` before `X-10`, `_` before `a`.

    Two names that differ only in bytes that are not UTF-8 are equal to Go, which then orders them at random;
    here the bytes decide.
    """
    found = sorted(names)
    if len(found) > 1:
        found.sort(key=functools.cmp_to_key(_compare))
    return found


def _compare(one: str, other: str) -> int:
    if not (one.isascii() and other.isascii()):
        # Go turns each byte that is not UTF-8 into this character before it compares.
        one, other = (_UNDECODABLE.sub("\ufffd", name) for name in (one, other))
    return -1 if _precedes(one, other) else 0  # A sort only asks which comes first.


def _precedes(one: str, other: str) -> bool:
    shorter = min(len(one), len(other))
    at = next((i for i in range(shorter) if one[i] != other[i]), shorter)
    if at == shorter:
        return len(one) < len(other)
    a, b = one[at], other[at]
    if a.isalpha() and b.isalpha():
        return a < b
    if a.isalpha() or b.isalpha():
        # A letter follows everything else, except behind a digit: there the number has ended.
        return a.isalpha() if at and one[at - 1].isdecimal() else b.isalpha()
    # Zeros count only behind another digit of the same number: `10` and `11`, but not `00` and `1`.
    started = "0" in {a, b} and _has_number_before(one, at)
    return (*_number(one, at, started), a) < (*_number(other, at, started), b)


def _has_number_before(name: str, at: int) -> bool:
    for char in reversed(name[:at]):
        if not char.isdecimal():
            return False
        if char != "0":
            return True
    return False


def _number(name: str, at: int, started: bool) -> tuple[int, int]:
    """Return the value and the end of the digits from `at` on, in Go's int64 arithmetic, which wraps."""
    value = int(started)
    while at < len(name) and name[at].isdecimal():
        value = (value * 10 + ord(name[at]) - ord("0") + (1 << 63)) % (1 << 64) - (1 << 63)
        at += 1
    return value, at
