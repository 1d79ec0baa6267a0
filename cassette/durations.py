"""Go's textual durations, as `time.Duration.String` writes and `time.ParseDuration` reads them."""

from __future__ import annotations

import re

from cassette.errors import FormatError

_UNITS = {
    "ns": 1,
    "us": 1_000,
    "\u00b5s": 1_000,  # MICRO SIGN, the one Go writes
    "\u03bcs": 1_000,  # GREEK SMALL LETTER MU
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "m": 60 * 1_000_000_000,
    "h": 3600 * 1_000_000_000,
}
_TERM = re.compile(r"([0-9]*)(?:\.([0-9]*))?(ns|us|\u00b5s|\u03bcs|ms|s|m|h)")
_LIMIT = 1 << 63
"""A Go duration is an int64 of nanoseconds."""
_MAX_FRACTION = (_LIMIT - 1) // 10
_MAX_DIGITS = 4000
"""No duration needs them, and Python refuses to convert more than 4,300."""


def format_duration(nanoseconds: int) -> str:
    """Write a duration as Go's `Duration.String` does: `0s`, `812.5µs`, `324.113458ms`, `1m2.5s`."""
    if nanoseconds == 0:
        return "0s"
    sign = "-" if nanoseconds < 0 else ""
    rest = abs(nanoseconds)
    if rest < 1_000:
        return f"{sign}{rest}ns"
    if rest < 1_000_000:
        return f"{sign}{_decimal(rest, 3)}\u00b5s"
    if rest < 1_000_000_000:
        return f"{sign}{_decimal(rest, 6)}ms"
    minutes, below = divmod(rest, _UNITS["m"])
    text = f"{_decimal(below, 9)}s"
    if minutes:
        hours, minutes = divmod(minutes, 60)
        text = f"{hours}h{minutes}m{text}" if hours else f"{minutes}m{text}"
    return sign + text


def parse_duration(text: str) -> int:
    """Return the nanoseconds of a duration as Go's `ParseDuration` reads it; FormatError if it would not.

    A sign, then numbers with an optional fraction and a unit each: `1h15m30.918s`. Only `0` needs no unit.
    A fraction of a nanosecond is cut off. The result fits in an int64.
    """
    unsigned = text.removeprefix("-") if text.startswith("-") else text.removeprefix("+")
    if unsigned == "0":
        return 0
    total = 0
    at = 0
    while at < len(unsigned) or at == 0:
        term = _TERM.match(unsigned, at)
        if term is None or not (term[1] or term[2]) or term.end() - at > _MAX_DIGITS:
            raise _refusal(text)
        unit = _UNITS[term[3]]
        total += int(term[1] or "0") * unit + _fraction(term[2] or "", unit)
        at = term.end()
    if total > _LIMIT or (total == _LIMIT and not text.startswith("-")):
        raise _refusal(text)
    return -total if text.startswith("-") else total


def _decimal(value: int, digits: int) -> str:
    """Return `value` divided by ten to the power of `digits`, without trailing zeros."""
    whole, fraction = divmod(value, 10**digits)
    return f"{whole}.{fraction:0{digits}d}".rstrip("0").rstrip(".")


def _fraction(digits: str, unit: int) -> int:
    """Return the nanoseconds that the digits behind a point stand for, with the rounding of Go's float64."""
    value = 0
    scale = 1.0
    for digit in digits:
        if value > _MAX_FRACTION or value * 10 + int(digit) > _LIMIT:
            break  # Go ignores the digits that its int64 cannot take.
        value = value * 10 + int(digit)
        scale *= 10
    return int(float(value) * (float(unit) / scale))


def _refusal(text: str) -> FormatError:
    shown = text if len(text) <= 40 else f"{text[:40]}..."
    return FormatError(f"{shown!r} is not a duration; one looks like 324.1ms or 1m2.5s")
