"""Write interactions as go-vcr v4 writes them, byte for byte, in both of its usual layouts.

A file is its head and the text of its interactions, one after the other; the text of one depends on nothing
but itself, so an interaction can be appended at the end of a file.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterable
from dataclasses import dataclass

from cassette.durations import format_duration
from cassette.keyorder import in_natural_order
from cassette.model import Interaction, Layout, Request, Response, Values
from cassette.quoting import Place, scalar_text, stays_on_line

EMPTY_DOCUMENT = b"---\nversion: 2\ninteractions: []\n"
"""The whole file of a cassette without interactions, in every layout."""

_LARGE = 1 << 16
"""Pieces below this size are joined with their neighbours. Chosen, not measured."""
_SHORT = 256
"""Texts of up to this many characters are remembered as written: the same few come in every interaction."""
_SIMPLE_KEY = 128
"""go-yaml's limit for a key on one line, in bytes; a character has at least one."""


def document_head() -> bytes:
    """Return what stands before the first interaction, in every layout."""
    return b"---\nversion: 2\ninteractions:\n"


def interaction_text(interaction: Interaction, layout: Layout = Layout.CHARM) -> list[bytes]:
    """Return the interaction as an item of the list of interactions, in pieces to be written in this order.

    Beside the pieces themselves this needs a few megabytes, however large the bodies are. Bodies that are not
    UTF-8 become `!!binary`, as do texts with such bytes (lone surrogates of `surrogateescape`); a surrogate
    that stands for no byte is a UnicodeEncodeError.
    """
    pieces: list[bytes] = []
    _WRITERS[layout].write(interaction, pieces)
    text: list[bytes] = []
    for large, run in itertools.groupby(pieces, lambda piece: len(piece) >= _LARGE):
        if large:
            text.extend(run)
        else:
            text.append(b"".join(run))
    return text


@dataclass(frozen=True, slots=True)
class _Columns:
    """Where go-yaml puts things. A list's column is that of its dashes; `lines` are those of literals."""

    step: int
    item: int
    entry: int
    entry_lines: int
    field: int
    field_lines: int
    field_list: int
    name: int
    name_lines: int
    name_list: int
    explicit_list: int
    """Of the values whose name is an explicit key (`? name`)."""


class _Writer:
    """Writes the interactions of one layout."""

    def __init__(self, columns: _Columns) -> None:
        self._columns = columns
        digit = b"%d" % columns.step
        # The digit counts from the parent's column: right only where the lines stand one step from there.
        self._entry_place = Place(columns.entry_lines, digit if columns.step == 2 else b"")
        self._field_place = Place(columns.field_lines, digit)
        self._name_place = Place(columns.name_lines, digit)
        self._item_digit = digit if columns.step == 2 else b""
        self._item = b" " * columns.item
        self._entry = b" " * columns.entry
        self._field = b" " * columns.field
        self._name = b" " * columns.name

    def write(self, interaction: Interaction, out: list[bytes]) -> None:
        out.append(b"%b- id: %d\n%brequest:\n" % (self._item, interaction.id, self._entry))
        self._write_request(interaction.request, out)
        out.append(b"%bresponse:\n" % self._entry)
        self._write_response(interaction.response, out)
        if interaction.interrupted:
            out.append(b"%binterrupted: " % self._entry)
            _write_text(interaction.interrupted, self._entry_place, out)

    def _write_request(self, request: Request, out: list[bytes]) -> None:
        self._write_proto(request, out)
        out.append(b"%bcontent_length: %d\n" % (self._field, request.content_length))
        self._write_framing(request, out)
        self._write_field(b"host", request.host, out)
        if request.remote_addr:
            self._write_field(b"remote_addr", request.remote_addr, out)
        if request.request_uri:
            self._write_field(b"request_uri", request.request_uri, out)
        if request.body:
            self._write_body(request.body, out)
        if request.form:
            self._write_values(b"form", request.form, out)
        if request.headers:
            self._write_values(b"headers", request.headers, out)
        self._write_field(b"url", request.url, out)
        self._write_field(b"method", request.method, out)

    def _write_response(self, response: Response, out: list[bytes]) -> None:
        self._write_proto(response, out)
        self._write_framing(response, out)
        out.append(b"%bcontent_length: %d\n" % (self._field, response.content_length))
        if response.uncompressed:
            out.append(b"%buncompressed: true\n" % self._field)
        self._write_body(response.body, out)
        self._write_values(b"headers", response.headers, out)
        self._write_field(b"status", response.status, out)
        out.append(b"%bcode: %d\n" % (self._field, response.code))
        self._write_field(b"duration", format_duration(response.duration_ns), out)

    def _write_proto(self, message: Request | Response, out: list[bytes]) -> None:
        self._write_field(b"proto", message.proto, out)
        out.append(b"%bproto_major: %d\n" % (self._field, message.proto_major))
        out.append(b"%bproto_minor: %d\n" % (self._field, message.proto_minor))

    def _write_framing(self, message: Request | Response, out: list[bytes]) -> None:
        if message.transfer_encoding:
            out.append(b"%btransfer_encoding:\n" % self._field)
            column = self._columns.field_list
            self._write_items(message.transfer_encoding, column, b" " * column, out)
        if message.trailer:
            self._write_values(b"trailer", message.trailer, out)

    def _write_field(self, key: bytes, text: str, out: list[bytes]) -> None:
        out.append(b"%b%b: " % (self._field, key))
        _write_text(text, self._field_place, out)

    def _write_body(self, body: bytes, out: list[bytes]) -> None:
        out.append(b"%bbody: " % self._field)
        out.extend(scalar_text(body, self._field_place))

    def _write_values(self, key: bytes, values: Values, out: list[bytes]) -> None:
        if not values:
            out.append(b"%b%b: {}\n" % (self._field, key))
            return
        out.append(b"%b%b:\n" % (self._field, key))
        for name in in_natural_order(values):
            self._write_name(name, values[name], out)

    def _write_name(self, name: str, items: tuple[str, ...], out: list[bytes]) -> None:
        key = _simple_key(name) if len(name) <= _SIMPLE_KEY else None
        if key is not None:
            out.append(b"%b%b:%b" % (self._name, key, b"\n" if items else b" []\n"))
            column = self._columns.name_list
            self._write_items(items, column, b" " * column, out)
            return
        out.append(self._name + b"? ")
        out.extend(scalar_text(_encoded(name), self._name_place))
        column = self._columns.explicit_list
        out.append(self._name + (b":" if items else b": []\n"))
        self._write_items(items, column, b" " * (column - self._columns.name - 1), out)

    def _write_items(self, items: Iterable[str], column: int, lead: bytes, out: list[bytes]) -> None:
        """Write a list's items; `lead` is what brings the first one to its column."""
        place = Place(column + 2, self._item_digit)
        for item in items:
            out.append(lead + b"- ")
            _write_text(item, place, out)
            lead = b" " * column


def _write_text(text: str, place: Place, out: list[bytes]) -> None:
    if len(text) <= _SHORT:
        out.append(_short_text(text, place))
    else:
        out.extend(scalar_text(_encoded(text), place))


@functools.lru_cache(maxsize=1024)
def _simple_key(name: str) -> bytes | None:
    """Return the name as a key on one line, None if go-yaml writes it as an explicit key."""
    data = _encoded(name)
    if not stays_on_line(data):
        return None
    return b"".join(scalar_text(data, Place(0, b""))).removesuffix(b"\n")


@functools.lru_cache(maxsize=4096)
def _short_text(text: str, place: Place) -> bytes:
    return b"".join(scalar_text(_encoded(text), place))


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


_WRITERS = {
    Layout.CHARM: _Writer(
        _Columns(
            step=2,
            item=0,
            entry=2,
            entry_lines=4,
            field=4,
            field_lines=6,
            field_list=4,
            name=6,
            name_lines=8,
            name_list=6,
            explicit_list=8,
        )
    ),
    Layout.GO_VCR: _Writer(
        _Columns(
            step=4,
            item=4,
            entry=6,
            entry_lines=8,
            field=8,
            field_lines=12,
            field_list=12,
            name=12,
            name_lines=16,
            name_list=16,
            explicit_list=16,
        )
    ),
}
