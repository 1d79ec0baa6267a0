"""What Go's `net/http` makes of names, lengths and status codes: go-vcr records what that package shows it.

Facts checked with Go 1.26. Texts are `str` with bytes that are not UTF-8 as lone surrogates.
"""

from __future__ import annotations

import http
import re
from collections.abc import Iterable, Sequence
from functools import lru_cache

from cassette.exchange import HeaderPairs
from cassette.model import Values

_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_VERSION = re.compile(r"HTTP/([0-9])(?:\.([0-9]))?")
_DIGITS = re.compile(r"[0-9]+")
_LARGEST_LENGTH = 2**63 - 1

# The standard library knows the same codes, but since Python 3.13 by RFC 9110's new names; Go keeps the old.
_STATUS_TEXTS = {status.value: status.phrase for status in http.HTTPStatus} | {
    413: "Request Entity Too Large",
    414: "Request URI Too Long",
    416: "Requested Range Not Satisfiable",
    418: "I'm a teapot",
    422: "Unprocessable Entity",
}


def status_text(code: int) -> str:
    """Return Go's `http.StatusText`: the name of a registered code, else the empty string."""
    return _STATUS_TEXTS.get(code, "")


@lru_cache(maxsize=1024)
def canonical_name(name: str) -> str:
    """Return Go's `textproto.CanonicalMIMEHeaderKey`: a capital first and after each `-`, the rest small.

    A name that is no token (RFC 9110, 5.6.2), one with a space or a letter beyond ASCII say, stays as it is.
    """
    if not _TOKEN.fullmatch(name):
        return name
    return "-".join(part.capitalize() for part in name.split("-"))


def group_headers(pairs: HeaderPairs) -> dict[str, list[str]]:
    """Return header fields as Go holds them: canonical name to values, in order."""
    fields: dict[str, list[str]] = {}
    for name, value in pairs:
        fields.setdefault(canonical_name(name), []).append(value)
    return fields


def ungroup_headers(fields: dict[str, list[str]]) -> HeaderPairs:
    """Return the fields as pairs; those of one name stand together."""
    return tuple((name, value) for name, values in fields.items() for value in values)


def header_values(pairs: HeaderPairs) -> Values:
    """Return header fields as a cassette holds them."""
    return {name: tuple(values) for name, values in group_headers(pairs).items()}


def list_elements(values: Iterable[str]) -> list[str]:
    """Return the elements of a header that is a comma-separated list, without the empty ones."""
    elements = (element.strip(" \t") for value in values for element in value.split(","))
    return [element for element in elements if element]


def parse_content_length(values: Sequence[str]) -> int | None:
    """Return the length that Content-Length says; None when it is absent, no number or contradicts itself."""
    distinct = {value.strip(" \t") for value in values}
    if len(distinct) != 1:
        return None
    text = distinct.pop()
    if not _DIGITS.fullmatch(text):
        return None
    digits = text.lstrip("0") or "0"
    # A number of 63 bits has 19 digits; int() raises an error for some thousands of them.
    length = int(digits) if len(digits) <= 19 else _LARGEST_LENGTH + 1
    return length if length <= _LARGEST_LENGTH else None


def parse_version(http_version: str) -> tuple[str, int, int]:
    """Return proto, major and minor: `HTTP/2` and `HTTP/2.0` are both Go's `("HTTP/2.0", 2, 0)`."""
    match = _VERSION.fullmatch(http_version)
    if match is None:
        return http_version, 0, 0
    major, minor = int(match[1]), int(match[2] or 0)
    return f"HTTP/{major}.{minor}", major, minor


def authority(url: str) -> str:
    """Return a URL's host and port as they stand there, which is Go's `URL.Host`."""
    rest = url.partition("://")[2]
    end = min((at for at in map(rest.find, "/?#") if at >= 0), default=len(rest))
    return rest[:end].rpartition("@")[2]
