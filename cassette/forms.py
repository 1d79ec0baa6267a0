"""Form values of a request as Go's `Request.ParseForm` finds them, which is what go-vcr records as `form`.

Two departures, both where ParseForm fails and go-vcr, with it, records nothing at all: a broken pair is left
out and the others are kept, and a part past Go's limits adds nothing.
"""

from __future__ import annotations

import re
from urllib.parse import unquote_to_bytes

from cassette.model import Values

MAX_BODY = 10 * 1024 * 1024
"""Bytes of a form body that Go reads at most (`net/http`, parsePostForm)."""
MAX_PAIRS = 10_000
"""Pairs that Go's `url.ParseQuery` takes at most (`urlmaxqueryparams`, since Go 1.26)."""

_FORM_TYPE = "application/x-www-form-urlencoded"
_METHODS_WITH_FORM_BODY = frozenset({"POST", "PUT", "PATCH"})
_BROKEN_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})")


def is_form(content_type: str) -> bool:
    """Tell whether a Content-Type value, parameters and all, names a URL-encoded form."""
    return content_type.partition(";")[0].strip(" \t").lower() == _FORM_TYPE


def parse_form(method: str, url: str, content_type: str, body: bytes) -> Values:
    """Return the values by key: those of a URL-encoded body first, then the query's.

    Every method has its query read, only POST, PUT and PATCH (spelled so) their body. Multipart adds nothing.
    """
    fields: dict[str, list[str]] = {}
    if method in _METHODS_WITH_FORM_BODY and is_form(content_type) and len(body) <= MAX_BODY:
        _add_query(fields, body)
    _add_query(fields, url.partition("?")[2].encode("utf-8", "surrogateescape"))
    return {key: tuple(values) for key, values in fields.items()}


def _add_query(fields: dict[str, list[str]], query: bytes) -> None:
    """Add the pairs of `a=1&b=2` as `url.ParseQuery` reads them.

    A pair with a semicolon or a broken escape is left out, one without `=` has the empty value.
    """
    if query.count(b"&") >= MAX_PAIRS:
        return
    for pair in query.split(b"&"):
        if not pair or b";" in pair or _BROKEN_ESCAPE.search(pair):
            continue
        key, _, value = pair.partition(b"=")
        fields.setdefault(_unescape(key), []).append(_unescape(value))


def _unescape(text: bytes) -> str:
    return unquote_to_bytes(text.replace(b"+", b" ")).decode("utf-8", "surrogateescape")
