"""Which style go-yaml v4 gives a text: plain, quoted, literal or base64.

The rules are those of `go.yaml.in/yaml/v4` v4.0.0-rc.3 for a Go string in block context, never folding lines.
Everything works on bytes: one emoji in a body of 256 MB would make a decoded `str` of it four times as large.
"""

from __future__ import annotations

import enum
import math
import re
from collections.abc import Iterator

CHUNK = 1 << 18
"""Bytes handled at a time. Chosen, not measured."""

UNICODE_BREAKS = (b"\xe2\x80\xa8", b"\xe2\x80\xa9")
"""U+2028 and U+2029: line breaks to YAML 1.1 and to go-yaml, characters like others to everybody else."""


class Style(enum.Enum):
    """How a scalar is written."""

    PLAIN = enum.auto()
    SINGLE_QUOTED = enum.auto()
    DOUBLE_QUOTED = enum.auto()
    LITERAL = enum.auto()
    BINARY = enum.auto()


# Bytes that are neither special themselves nor the first of a special character.
_ORDINARY = bytes(
    byte
    for byte in range(256)
    if byte in b"\t\n" or 0x20 <= byte <= 0x7E or (0x80 <= byte < 0xF0 and byte not in b"\xc2\xef")
)
# Anything but LF, TAB, U+0020-7E, U+00A0-D7FF, U+E000-FEFE and U+FF00-FFFD, so all of the astral planes too.
_SPECIAL = re.compile(rb"[\x00-\x08\x0b-\x1f\x7f\xf0-\xf4]|\xc2[\x80-\x9f]|\xef(?:\xbb\xbf|\xbf[\xbe\xbf])")
# Go's unicode.IsSpace.
_SPACES = re.compile(
    rb"(?:[\t-\r ]|\xc2[\x85\xa0]|\xe1\x9a\x80|\xe2\x80[\x80-\x8a\xa8\xa9\xaf]|\xe2\x81\x9f|\xe3\x80\x80)*+"
)
_INDICATOR_FIRST = re.compile(rb"[#,\[\]{}&*!|>'\"%@` ]|[-?:](?: |\Z)|---|\.\.\.")

_WORDS = frozenset(
    b"null Null NULL ~ true True TRUE false False FALSE << .nan .NaN .NAN .inf .Inf .INF +.inf +.Inf +.INF "
    b"-.inf -.Inf -.INF y Y yes Yes YES on On ON n N no No NO off Off OFF".split()
)
_LONGEST_WORD = max(map(len, _WORDS))
_BASE_60 = re.compile(rb"[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])++(?:\.[0-9_]*)?")
_FLOAT = re.compile(rb"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_POINT_FLOAT = re.compile(rb"\.[0-9][0-9_]*(?:[eE][-+]?[0-9][0-9_]*)?")
_PREFIXED_INT = re.compile(rb"([-+]?)0(?:[xX]([0-9a-fA-F]+)|[oO]([0-7]+)|[bB]([01]+))")
# Go's time.Parse: one or two digits but in the year and the zone, any number of spaces, `,` as well as `.`.
_TIMESTAMP = re.compile(
    rb"([0-9]{4})-([0-9]{1,2})-([0-9]{1,2})"
    rb"(?:(?:[Tt](?P<zoned>)| +)([0-9]{1,2}):([0-9]{1,2}):([0-9]{1,2})(?:[.,][0-9]+)?"
    rb"(?(zoned)(?:Z|[-+]([0-9]{2}):([0-9]{2}))))?"
)


def chunks(data: bytes) -> Iterator[bytes]:
    """Yield the data in pieces of about `CHUNK` bytes; no piece ends inside a UTF-8 character."""
    if len(data) <= CHUNK:
        yield data
        return
    start = 0
    while start < len(data):
        end = min(start + CHUNK, len(data))
        if end < len(data):
            # A character has at most three continuation bytes; where there are more, it is not UTF-8.
            end = next((at for at in range(end, end - 4, -1) if data[at] & 0xC0 != 0x80), end)
        yield data[start:end]
        start = end


def style_of(data: bytes) -> Style:
    """Return the style that go-yaml writes this text in, in block context.

    One departure: a text that starts with a tab and holds a line feed is double-quoted; the literal that
    go-yaml writes for it cannot be read by anything.
    """
    if not data:
        return Style.DOUBLE_QUOTED
    if not _is_utf8(data):
        return Style.BINARY
    special = any(_has_special(chunk) for chunk in chunks(data))
    if b"\n" in data:
        awkward = special or data[:1] == b"\t" or data[-1:] == b" " or _has_space_before_break(data)
        return Style.DOUBLE_QUOTED if awkward or _is_blank(data) else Style.LITERAL
    if special or b"\t" in data or _reads_as_other_type(data):
        return Style.DOUBLE_QUOTED
    if has_unicode_break(data):
        awkward = _has_space_before_break(data) or any(end + b" " in data for end in UNICODE_BREAKS)
        return Style.DOUBLE_QUOTED if awkward else Style.SINGLE_QUOTED
    if _INDICATOR_FIRST.match(data) or data[-1:] in {b" ", b":"} or b": " in data or b" #" in data:
        return Style.SINGLE_QUOTED
    return Style.PLAIN


def has_unicode_break(data: bytes) -> bool:
    """Tell whether U+2028 or U+2029 is in the text."""
    return not data.isascii() and any(end in data for end in UNICODE_BREAKS)


def _is_utf8(data: bytes) -> bool:
    if data.isascii():
        return True
    try:
        for chunk in chunks(data):
            chunk.decode()
    except UnicodeDecodeError:
        return False
    return True


def _has_special(chunk: bytes) -> bool:
    # Deleting bytes by a table is ten times as fast as the expression, which then has little to do.
    return bool(chunk.translate(None, _ORDINARY)) and _SPECIAL.search(chunk) is not None


def _has_space_before_break(data: bytes) -> bool:
    return b" \n" in data or (has_unicode_break(data) and any(b" " + end in data for end in UNICODE_BREAKS))


def _is_blank(data: bytes) -> bool:
    spaces = _SPACES.match(data)
    return spaces is not None and spaces.end() == len(data)


def _reads_as_other_type(data: bytes) -> bool:
    """Tell whether YAML 1.1 or go-yaml would read it as a null, a bool, a number, a date or a merge key."""
    if len(data) <= _LONGEST_WORD and data in _WORDS:  # the lookup hashes all of the text
        return True
    if data[:1] == b".":
        # Here go-yaml leaves the underscores to ParseFloat, which wants them between digits, as Python does.
        return _POINT_FLOAT.fullmatch(data) is not None and _is_finite(data)
    if data[0] not in b"+-0123456789":
        return False
    if _BASE_60.fullmatch(data) or _is_timestamp(data):
        return True
    digits = data.replace(b"_", b"")
    if _FLOAT.fullmatch(digits):
        # Integers and octals of any length match as well; what overflows a float64 is text to go-yaml.
        return _is_finite(digits)
    prefixed = _PREFIXED_INT.fullmatch(digits)
    return prefixed is not None and _fits_64_bits(*prefixed.groups())


def _is_finite(number: bytes) -> bool:
    try:
        return math.isfinite(float(number))
    except ValueError:
        return False


def _fits_64_bits(sign: bytes, hexadecimal: bytes | None, octal: bytes | None, binary: bytes | None) -> bool:
    digits, base = next((found, of) for found, of in ((hexadecimal, 16), (octal, 8), (binary, 2)) if found)
    significant = digits.lstrip(b"0")
    if len(significant) > 64:
        return False
    value = int(significant or b"0", base)
    # Unsigned numbers may have 64 bits; with a sign it is an int64.
    return value < 1 << 64 if not sign else value < 1 << 63 or (sign == b"-" and value == 1 << 63)


def _is_timestamp(data: bytes) -> bool:
    found = _TIMESTAMP.fullmatch(data)
    if found is None:
        return False
    year, month, day = (int(part) for part in found.group(1, 2, 3))
    hour, minute, second, zone_hour, zone_minute = (int(part or b"0") for part in found.group(5, 6, 7, 8, 9))
    leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    month_days = (31, 29 if leap else 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
    return (
        1 <= month <= 12
        and 1 <= day <= month_days[month - 1]
        and hour < 24
        and minute < 60
        and second < 60
        # Go lets zones of exactly 24 hours and 60 minutes pass, since some people write them.
        and zone_hour <= 24
        and zone_minute <= 60
    )
