r"""A request's body as a value that can be compared: JSON, a form, multipart, a text, or just bytes.

    b'{"a": 1.0}'                  JSON         {"a": 1}
    b"a=1&b=x+y"                   FORM         {"a": ["1"], "b": ["x y"]}
    b"--Xy7...\r\n..."             MULTIPART    [{"headers": {...}, "text": "..."}, ...]: no boundary any more
    b"any text\r\n"               TEXT         "any text\n"
    b"\xff\xd8..."                BINARY       Blob(2048, "...")

Equal values are equal requests, and requests that mean different things have different values: numbers keep
every digit, and an object with a name twice, which every server reads in its own way (RFC 8259, section 4), is
a text; so is one that is nested deeper than any API takes. Line ends within texts are LF: what was CRLF on one
machine is LF on another.
"""

from __future__ import annotations

import enum
import hashlib
import json
import re
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any
from urllib.parse import unquote_to_bytes

from cassette.credentials import redact_form_body
from cassette.encodings import UndecodableError, decode
from cassette.forms import is_form


class Kind(enum.Enum):
    """What a body was read as."""

    NONE = "none"
    JSON = "json"
    FORM = "form"
    MULTIPART = "multipart"
    TEXT = "text"
    BINARY = "binary"


@dataclass(frozen=True, slots=True)
class Body:
    """A body that was read."""

    kind: Kind
    value: object
    """Plain JSON types, `Literal` and `Blob`."""

    @property
    def text(self) -> str:
        """Write the value on one line, names sorted: equal texts for equal values. ASCII."""
        return _encode(self.value)


@dataclass(frozen=True, slots=True)
class Literal:
    """A number that neither `int` nor `float` holds exactly, or one that is none (`NaN`)."""

    digits: str


@dataclass(frozen=True, slots=True)
class Blob:
    """Bytes that are no text."""

    size: int
    sha256: str


MAX_DEPTH = 200
"""Arrays and objects within each other; RFC 8259, section 9, leaves the limit to the reader. Chosen."""
MAX_DECODED = 64 * 1024 * 1024
"""Bytes of a compressed body that are looked at; a longer one is compared as it was sent. Chosen, not measured."""

# A recording keeps no Content-Encoding, so the formats' own first bytes tell (RFC 1952, 2.3.1; RFC 8878, 3.1.1).
_COMPRESSED = ((b"\x1f\x8b\x08", "gzip"), (b"\x28\xb5\x2f\xfd", "zstd"))
_JSON_START = re.compile(rb"(?:\xef\xbb\xbf)?[ \t\r\n]*[\[{]")
_FORM_PAIR = rb"[A-Za-z0-9%+*._~\[\]-]++=[^\s\"<>{}&;]*+"
_ANY_FORM = re.compile(rb"%s(?:&%s)*+" % (_FORM_PAIR, _FORM_PAIR))
_BOUNDARY = re.compile(r';[ \t]*boundary=(?:"([^"]{1,200})"|([^\s;"]{1,200}))', re.IGNORECASE)
_ANY_BOUNDARY = re.compile(
    rb"--([0-9A-Za-z'()+_,./:=? -]{0,199}[0-9A-Za-z'()+_,./:=?-])\r\n"
)  # RFC 2046, 5.1.1


def read_body(body: bytes, content_type: str = "") -> Body:
    """Return what a body holds; never raises. Without a Content-Type the body itself tells its kind."""
    if not body:
        return Body(Kind.NONE, None)
    for magic, coding in _COMPRESSED:
        if body.startswith(magic):
            try:
                body = decode(body, (coding,), MAX_DECODED)
            except UndecodableError:
                return _opaque(body)
    if _JSON_START.match(body) is not None:
        try:
            return _json(body)
        except (ValueError, RecursionError):
            return _opaque(body)
    if is_form(content_type) or (not content_type and _ANY_FORM.fullmatch(body) is not None):
        return Body(Kind.FORM, _form_fields(redact_form_body(body)))
    return _multipart(body, content_type) or _opaque(body)


def _json(body: bytes) -> Body:
    value = _decoder.decode(body.decode("utf-8-sig"))
    if not _is_shallow(body, value):
        raise ValueError("too deep")
    # A carriage return in a text stands there as it is or as an escape.
    if b"\r" in body or rb"\r" in body or rb"\u000" in body:
        value = _with_lf(value)
    return Body(Kind.JSON, value)


def _is_shallow(body: bytes, value: object) -> bool:
    if body.count(b"{") + body.count(b"[") <= MAX_DEPTH:
        return True
    level: list[Any] = [value]
    for _ in range(MAX_DEPTH):
        members = (item.values() if isinstance(item, dict) else item for item in level)
        level = [one for each in members for one in each if isinstance(one, (dict, list))]
        if not level:
            return True
    return False


def _no_duplicates(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a name occurs twice")
    return members


def _number(text: str) -> object:
    """Return a number that was written with a point or an exponent: equal for 1.0, 1.00 and 10e-1."""
    value = float(text)
    if repr(value) == text and not value.is_integer():
        return value
    try:
        exact = Decimal(text)
    except InvalidOperation:  # An exponent beyond all measure.
        return Literal(text)
    if exact.adjusted() < _LONGEST_INTEGER and exact == exact.to_integral_value():
        return int(exact)
    if Decimal(repr(value)) == exact:
        return value
    sign, digits, exponent = exact.as_tuple()
    text = "".join(map(str, digits)).lstrip("0")
    significant = text.rstrip("0")
    return Literal(f"{'-' * sign}{significant}e{int(exponent) + len(text) - len(significant)}")


_LONGEST_INTEGER = 400
"""Digits up to which 1e5 is the integer that it stands for. Chosen: more than a double can hold."""


def _as_list(value: Literal | Blob) -> list[object]:
    # No other value is written so: a NaN within a body is a Literal itself.
    return [float("nan"), *((value.digits,) if isinstance(value, Literal) else (value.size, value.sha256))]


_decoder = json.JSONDecoder(
    object_pairs_hook=_no_duplicates, parse_float=_number, parse_constant=Literal, strict=False
)
_encode = json.JSONEncoder(
    sort_keys=True, separators=(",", ":"), check_circular=False, default=_as_list
).encode


def _with_lf(value: object) -> object:
    if isinstance(value, str):
        return value.replace("\r\n", "\n")
    if isinstance(value, dict):
        return {name: _with_lf(member) for name, member in value.items()}
    if isinstance(value, list):
        return [_with_lf(item) for item in value]
    return value


def _form_fields(body: bytes) -> dict[str, list[str]]:
    """Return the values by name: the order of different names means nothing."""
    fields: dict[str, list[str]] = {}
    for pair in body.split(b"&"):
        if pair:
            name, _, value = pair.partition(b"=")
            fields.setdefault(_unescaped(name), []).append(_unescaped(value))
    return fields


def _unescaped(text: bytes) -> str:
    return unquote_to_bytes(text.replace(b"+", b" ")).decode("utf-8", "surrogateescape").replace("\r\n", "\n")


def _multipart(body: bytes, content_type: str) -> Body | None:
    """Return the parts of a body (RFC 2046, section 5.1); None when it is not one, or is cut."""
    named = _BOUNDARY.search(content_type) if content_type.lower().startswith("multipart/") else None
    if named is not None:
        boundary = (named[1] or named[2]).encode("utf-8", "surrogateescape")
    elif (found := _ANY_BOUNDARY.match(body)) is not None:
        boundary = found[1]
    else:
        return None
    preamble, *pieces = (b"\r\n" + body).split(b"\r\n--" + boundary)
    if preamble or len(pieces) < 2 or pieces[-1] not in (b"--", b"--\r\n"):
        return None
    parts = []
    for piece in pieces[:-1]:
        head, blank, content = piece.partition(b"\r\n\r\n")
        if not blank or not head.startswith(b"\r\n"):
            return None
        parts.append(_part(head.decode("utf-8", "surrogateescape"), content))
    return Body(Kind.MULTIPART, parts)


def _part(head: str, content: bytes) -> dict[str, object]:
    headers: dict[str, str] = {}
    for line in head.split("\r\n")[1:]:
        name, _, value = line.partition(":")
        headers[name.strip().lower()] = value.strip()
    if _JSON_START.match(content) is not None:
        try:
            return {"headers": headers, "json": _json(content).value}
        except (ValueError, RecursionError):
            pass
    opaque = _opaque(content)
    return {"headers": headers, opaque.kind.value: opaque.value}


def _opaque(body: bytes) -> Body:
    try:
        return Body(Kind.TEXT, body.decode("utf-8").replace("\r\n", "\n"))
    except UnicodeDecodeError:
        return Body(Kind.BINARY, Blob(len(body), hashlib.sha256(body).hexdigest()))
