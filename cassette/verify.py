"""Check a cassette's bytes: that go-vcr would have written them so, and that no credential stands in them.

Pure: bytes in, findings out. A finding never shows a credential, only what it looks like and a masked form;
where a credential was found anywhere, no text of the file is shown at all. What is not checked: whether an
answer makes sense, and texts whose shape says nothing (a password in a prompt).
"""

from __future__ import annotations

import enum
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from cassette.codec import dumps, loads
from cassette.credentials import (
    REDACTED,
    VALUE_PATTERNS,
    is_secret_query_key,
    redact_form_body,
    redact_url,
)
from cassette.errors import FormatError
from cassette.exchange import HeaderPairs
from cassette.forms import is_form
from cassette.headerfilter import HeaderRules, HostFilter
from cassette.model import Cassette, Interaction, Layout, Values


class Kind(enum.Enum):
    """What a finding is about; the value is part of the JSON that scripts read."""

    FORMAT = "format"
    """The file cannot be read as a cassette."""
    ORDER = "order"
    """The ids do not count from 0."""
    LAYOUT = "layout"
    """It can be read, but go-vcr would write it with other bytes."""
    CREDENTIAL = "credential"
    INTERRUPTED = "interrupted"
    """An exchange that did not complete."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One way in which a cassette falls short."""

    kind: Kind
    message: str
    """For a person; holds no credential."""
    line: int | None = None
    """Counted from 1; None when it is not known."""
    interaction: int | None = None
    """The id."""
    field: str = ""
    """As a path: `request.headers.Authorization`."""


_ITEM_START = {
    Layout.CHARM: re.compile(rb"^- id:", re.MULTILINE),
    Layout.GO_VCR: re.compile(rb"^ {2,4}- id:", re.MULTILINE),
}
_SHORTEST_MASKED = 12
"""Characters below which a masked form shows none of them; chosen, not measured."""
_EXCERPT = 30
"""Characters shown on either side of a difference in layout; chosen, not measured."""
_SCHEMES = re.compile(r"^[A-Za-z][A-Za-z0-9-]* +(?=REDACTED$)")
# A format error quotes the beginning of a wrong value, where a credential no longer has its whole shape.
_LONG_WORD = re.compile(r"[A-Za-z0-9_+/=.-]{20,}")
_URL_PAIR = re.compile(r"[?&#]([^?&#=]*)=([^&#>]*)")
_FILTER = HostFilter(HeaderRules(), HeaderRules())
"""What a recorder does to headers when no rule is set: only credentials are touched."""


def verify(data: bytes, *, any_layout: bool = False) -> tuple[Finding, ...]:
    """Return what is wrong with a cassette, in the order of the file; nothing for a good one.

    `any_layout` leaves out the comparison with what go-vcr writes, for files of other recorders.
    """
    try:
        cassette = loads(data)
    except FormatError as exc:
        message = exc.message.removeprefix(f"line {exc.line}: ")
        message = _LONG_WORD.sub(lambda word: mask(word[0]), message)
        return (Finding(Kind.FORMAT, message, line=exc.line),)
    lines = _Lines(data, cassette)
    findings = [*_check_ids(cassette, lines)]
    for position, interaction in enumerate(cassette.interactions):
        findings += _check_interaction(position, interaction, lines)
    if not any_layout:
        secret = any(finding.kind is Kind.CREDENTIAL for finding in findings)
        findings += _check_layout(data, cassette, lines, may_show=not secret)
    findings.sort(key=lambda finding: finding.line or 0)
    return tuple(findings)


def mask(secret: str) -> str:
    """Return what may be shown of a credential: its first four characters and its length."""
    shown = secret[:4] if len(secret) >= _SHORTEST_MASKED else ""
    return f"{shown}… ({len(secret)} characters)"


class _Lines:
    """Where interactions and texts stand in the file. Loading loses that, so it is searched for."""

    def __init__(self, data: bytes, cassette: Cassette) -> None:
        self._data = data
        starts = [match.start() for match in _ITEM_START[cassette.layout].finditer(data)]
        # A layout of another writer may hide the items; then only texts can be found.
        self._starts = starts if len(starts) == len(cassette.interactions) else []

    def of(self, position: int, text: bytes = b"") -> int | None:
        """Return the line of a text within an interaction; that of its start when the text is not there."""
        start, end = 0, len(self._data)
        if self._starts:
            start = self._starts[position]
            end = self._starts[position + 1] if position + 1 < len(self._starts) else end
        found = self._data.find(text, start, end) if text else -1
        if found < 0:
            if not self._starts:
                return None
            found = start
        return self._data.count(b"\n", 0, found) + 1

    def position_at(self, line: int) -> int | None:
        """Return the position of the interaction in which a line stands."""
        before = [start for start in self._starts if self._data.count(b"\n", 0, start) < line]
        return len(before) - 1 if before else None


def _check_ids(cassette: Cassette, lines: _Lines) -> Iterator[Finding]:
    """Yield the first id that is out of order; those behind it are usually shifted, too."""
    for position, interaction in enumerate(cassette.interactions):
        if interaction.id != position:
            yield Finding(
                Kind.ORDER,
                f"the id is {interaction.id}, but {position} is next: ids count from 0, in order",
                line=lines.of(position),
                interaction=interaction.id,
                field="id",
            )
            return


def _check_interaction(position: int, interaction: Interaction, lines: _Lines) -> Iterator[Finding]:
    def finding(kind: Kind, message: str, field: str, text: str | bytes = "") -> Finding:
        raw = text if isinstance(text, bytes) else text.encode("utf-8", "surrogateescape")
        return Finding(kind, message, lines.of(position, raw), interaction.id, field)

    if interaction.interrupted:
        message = f"the exchange did not complete ({interaction.interrupted}); replaying it would repeat that"
        yield finding(Kind.INTERRUPTED, message, "interrupted", "interrupted:")
    for field, message, secret in _credentials(interaction):
        yield finding(Kind.CREDENTIAL, message, field, secret)


_Credential = tuple[str, str, str | bytes]
"""Field, message, and the credential itself, to be searched for in the file and shown nowhere."""


def _credentials(interaction: Interaction) -> Iterator[_Credential]:
    request, response = interaction.request, interaction.response
    yield from _in_url("request.url", request.url, redact_url(request.url))
    for name, values in request.form.items():
        for value in values:
            if is_secret_query_key(name) and not _is_redacted(value):
                yield _named(f"request.form.{name}", value)
            else:
                yield from _in_text(f"request.form.{name}", value)
    content_type = next((v[0] for k, v in request.headers.items() if k.lower() == "content-type" and v), "")
    body = request.body
    if is_form(content_type) and (redacted := redact_form_body(body)) != body:
        yield "request.body", f"a value that must be {REDACTED} stands in the form", b""
        body = redacted
    yield from _in_text("request.body", body)
    for where, headers in (("headers", request.headers), ("trailer", request.trailer)):
        yield from _in_headers(f"request.{where}", headers, _FILTER.redact_request)
    for where, headers in (("headers", response.headers), ("trailer", response.trailer)):
        yield from _in_headers(f"response.{where}", headers, _FILTER.redact_response)
    yield from _in_text("response.body", response.body)
    for field, text in (
        ("request.host", request.host),
        ("request.request_uri", redact_url(request.request_uri)),
        ("response.status", response.status),
    ):
        yield from _in_text(field, text)


def _in_headers(
    where: str, headers: Values, redact: Callable[[HeaderPairs], HeaderPairs]
) -> Iterator[_Credential]:
    for name, values in headers.items():
        for value in values:
            stored = redact(((name, value),))[0][1]
            if stored != REDACTED:
                yield from _in_url(f"{where}.{name}", value, stored)
            elif not _is_redacted(value):
                yield _named(f"{where}.{name}", value)


def _in_url(field: str, text: str, redacted: str) -> Iterator[_Credential]:
    """Yield what was redacted in a URL or in a text with URLs, and what else is in it."""
    if redacted != text:
        pairs = [(key, value) for key, value in _URL_PAIR.findall(text) if is_secret_query_key(key)]
        clear = [(key, value) for key, value in pairs if not _is_redacted(value)]
        for key, value in clear:
            yield field, f"the query key {key!r} must be {REDACTED}, it is {mask(value)}", value
        if not clear:
            yield field, f"the user information before the host must be {REDACTED}", b""
    yield from _in_text(field, redacted)


def _in_text(field: str, text: str | bytes) -> Iterator[_Credential]:
    """Yield the credentials of a known shape: each once, with all the shapes that it fits."""
    data = text if isinstance(text, bytes) else text.encode("utf-8", "surrogateescape")
    kinds: dict[bytes, list[str]] = {}
    for kind, pattern in VALUE_PATTERNS.items():
        for secret in dict.fromkeys(match[0] for match in pattern.finditer(data)):
            kinds.setdefault(secret, []).append(kind)
    for secret, fitting in kinds.items():
        shown = mask(secret.decode("ascii", "replace"))
        yield field, f"looks like a credential ({' or '.join(fitting)}): {shown}", secret


def _named(field: str, value: str) -> _Credential:
    return field, f"must be {REDACTED}, it is {mask(value)}", value


def _is_redacted(value: str) -> bool:
    """Say whether nothing is left of a value; a scheme (`Bearer REDACTED`) gives nothing away."""
    return not value or _SCHEMES.sub("", value) == REDACTED


def _check_layout(data: bytes, cassette: Cassette, lines: _Lines, *, may_show: bool) -> Iterator[Finding]:
    """Yield the first line that go-vcr would write differently."""
    expected = dumps(cassette)
    if expected == data:
        return
    found_lines, expected_lines = data.split(b"\n"), expected.split(b"\n")
    pairs = zip(found_lines, expected_lines, strict=False)
    shorter = min(len(found_lines), len(expected_lines))
    index = next((index for index, (a, b) in enumerate(pairs) if a != b), shorter)
    position = lines.position_at(index + 1)
    where = None if position is None else cassette.interactions[position].id
    message = "go-vcr would write this line differently"
    if may_show:
        found = found_lines[index] if index < len(found_lines) else None
        wanted = expected_lines[index] if index < len(expected_lines) else None
        message += f": {_difference(found, wanted)}"
    yield Finding(Kind.LAYOUT, message, line=index + 1, interaction=where)


def _difference(found: bytes | None, wanted: bytes | None) -> str:
    """Describe how two lines differ, around the first character that does; None is no line at all."""
    if found is None or wanted is None:
        return "expected more lines" if found is None else "expected the end of the file"
    a, b = found.decode("utf-8", "replace"), wanted.decode("utf-8", "replace")
    at = next((index for index, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
    return f"expected {_excerpt(b, at)}, found {_excerpt(a, at)}"


def _excerpt(line: str, at: int) -> str:
    """Return a line as a quoted text, cut to what stands around one of its characters."""
    start, end = max(0, at - _EXCERPT), at + _EXCERPT
    head, tail = "…" if start else "", "…" if end < len(line) else ""
    return f"{head}{line[start:end]!r}{tail}"
