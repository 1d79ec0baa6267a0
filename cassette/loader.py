"""Read cassettes: go-vcr's own files of every layout, and what people and other YAML writers made of them.

A field's type comes from the format, never from how its text looks, so `body: 0x_` and `url: yes` are texts.
Fields that the format does not know are skipped; those that are missing have Go's zero values.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Mapping
from typing import Any

from yaml.events import (
    Event,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)

from cassette.durations import parse_duration
from cassette.errors import FormatError, UnsupportedVersionError
from cassette.events import (
    BINARY_TAG,
    LIBYAML_OR_PURE,
    NULL_TAG,
    DocumentEvents,
    Parser,
    column_of,
    error_at,
    line_of,
    shown,
)
from cassette.model import Cassette, Interaction, Layout, Request, Response

_VERSION = 2
_NULLS = frozenset(["", "~", "null", "Null", "NULL"])
_UNTAGGED = frozenset([None, NULL_TAG])
_TRUE = frozenset(["true", "y", "yes", "on"])
_FALSE = frozenset(["", "false", "n", "no", "off"])
_INT = re.compile(r"[-+]?(?:0x[0-9a-f]+|0o?[0-7]+|0b[01]+|[1-9][0-9]{0,20}|0)", re.IGNORECASE)
_SHORT_INT = re.compile(r"[1-9][0-9]{0,17}")
"""Nearly all of them; they fit 64 bits."""
_MAX_INT_TEXT = 80
"""Characters; 64 binary digits need 67."""

_MESSAGE_ZERO: dict[str, Any] = {"proto": "", "proto_major": 0, "proto_minor": 0, "content_length": 0}
_REQUEST_ZERO: dict[str, Any] = {**_MESSAGE_ZERO, "url": "", "method": ""}
_RESPONSE_ZERO: dict[str, Any] = {**_MESSAGE_ZERO, "status": "", "code": 0}
"""What a field that is missing has in Go, where the model's own default is another."""

_Read = Callable[[Event], Any]


def read_cassette(data: bytes, parser: Callable[[bytes], Parser] = LIBYAML_OR_PURE) -> Cassette:
    """Return the cassette in this file, a FormatError with the line if it is none.

    Its layout is `GO_VCR` when the interactions are indented, else `CHARM`. Time and memory are linear in the
    file's size, whatever is in it. The parser is a PyYAML loader, of which only the events are used.
    """
    return _Loader(DocumentEvents(data, parser)).cassette()


class _Loader:
    """Reads one document; every method begins behind the event that it is given, and ends behind its node."""

    def __init__(self, events: DocumentEvents) -> None:
        self._events = events
        self._layout = Layout.CHARM
        self._cassette_fields: dict[str, _Read] = {
            "version": self._version,
            "interactions": self._interactions,
        }
        self._interaction_fields: dict[str, _Read] = {
            "id": _int,
            "request": self._request,
            "response": self._response,
            "interrupted": _text,
        }
        shared: dict[str, _Read] = {
            "proto": _text,
            "proto_major": _int,
            "proto_minor": _int,
            "content_length": _int,
            "transfer_encoding": self._texts,
            "trailer": self._values,
            "body": _body,
            "headers": self._values,
        }
        texts = ("host", "remote_addr", "request_uri", "url", "method")
        self._request_fields = {**shared, "form": self._values, **dict.fromkeys(texts, _text)}
        own: dict[str, _Read] = {"uncompressed": _bool, "status": _text, "code": _int, "duration": _duration}
        self._response_fields = {**shared, **own}

    def cassette(self) -> Cassette:
        root = self._events.open_document()
        if not isinstance(root, MappingStartEvent):
            raise error_at(root, "not a cassette: it begins with `version: 2` and `interactions:`")
        fields = self._fields(root, self._cassette_fields)
        if "version" not in fields:
            raise error_at(root, "not a cassette: it has no `version: 2`")
        self._events.close_document()
        return Cassette(fields.get("interactions", ()), fields["version"], self._layout)

    def _version(self, event: Event) -> int:
        version = _int(event)
        if version == 1:
            text = "version 1 is the format of go-vcr v1 and v2; record it again with go-vcr v3 or later"
        elif version != _VERSION:
            text = f"version {version} is unknown; cassettes of go-vcr v3 and v4 have version 2"
        else:
            return version
        raise UnsupportedVersionError(text, line=line_of(event))

    def _interactions(self, event: Event) -> tuple[Interaction, ...]:
        if _is_null(event):
            return ()
        if not isinstance(event, SequenceStartEvent):
            raise error_at(event, "`interactions` has to be a list")
        found: list[Interaction] = []
        while not isinstance(item := self._events.next(), SequenceEndEvent):
            if not isinstance(item, MappingStartEvent):
                raise error_at(item, "an interaction has to have `request` and `response`")
            if not found and not item.flow_style and column_of(item) > len("- "):
                self._layout = Layout.GO_VCR
            found.append(self._interaction(item))
        return tuple(found)

    def _interaction(self, event: Event) -> Interaction:
        fields = self._fields(event, self._interaction_fields)
        return Interaction(
            id=fields.get("id", 0),
            request=fields["request"] if "request" in fields else _as_request({}),
            response=fields["response"] if "response" in fields else _as_response({}),
            interrupted=fields.get("interrupted", ""),
        )

    def _request(self, event: Event) -> Request:
        return _as_request(self._fields(event, self._request_fields))

    def _response(self, event: Event) -> Response:
        return _as_response(self._fields(event, self._response_fields))

    def _fields(self, event: Event, readers: Mapping[str, _Read]) -> dict[str, Any]:
        """Read the fields that have a reader and skip the others; a null has none."""
        if _is_null(event):
            return {}
        if not isinstance(event, MappingStartEvent):
            raise error_at(event, "expected fields with names here")
        fields: dict[str, Any] = {}
        unknown: set[str] = set()
        while not isinstance(key := self._events.next(), MappingEndEvent):
            name = _key(key)
            if name in fields or name in unknown:
                raise error_at(key, f"{shown(name)} is there twice")
            value = self._events.next()
            if name in readers:
                fields[name] = readers[name](value)
            else:
                unknown.add(name)
                self._events.skip(value)
        return fields

    def _values(self, event: Event) -> dict[str, tuple[str, ...]]:
        if _is_null(event):
            return {}
        if not isinstance(event, MappingStartEvent):
            raise error_at(event, "expected names with lists of values here")
        values: dict[str, tuple[str, ...]] = {}
        while not isinstance(key := self._events.next(), MappingEndEvent):
            name = _key(key)
            if name in values:
                raise error_at(key, f"{shown(name)} is there twice")
            values[name] = self._texts(self._events.next())
        return values

    def _texts(self, event: Event) -> tuple[str, ...]:
        """Read a list of texts; one text is a list of itself, a null is an empty one."""
        if _is_null(event):
            return ()
        if not isinstance(event, SequenceStartEvent):
            return (_text(event),)
        texts = []
        while not isinstance(item := self._events.next(), SequenceEndEvent):
            texts.append(_text(item))
        return tuple(texts)


def _as_request(fields: dict[str, Any]) -> Request:
    return Request(**{**_REQUEST_ZERO, **fields})


def _as_response(fields: dict[str, Any]) -> Response:
    duration = fields.pop("duration", 0)
    return Response(**{**_RESPONSE_ZERO, **fields}, duration_ns=duration)


def _key(event: Event) -> str:
    if isinstance(event, ScalarEvent) and event.value == "<<" and not event.style:
        raise error_at(event, "merge keys (<<) are not allowed in a cassette")
    return _text(event)


def _is_null(event: Event) -> bool:
    return (
        isinstance(event, ScalarEvent)
        and not event.style
        and event.tag in _UNTAGGED
        and event.value in _NULLS
    )


def _scalar(event: Event) -> str:
    """Return the text of a scalar; a null is empty."""
    if not isinstance(event, ScalarEvent):
        raise error_at(event, "expected a single text or number here")
    return "" if _is_null(event) else event.value


def _body(event: Event) -> bytes:
    """Return the bytes that a text stands for: those of its base64, or its own."""
    text = _scalar(event)
    try:
        if isinstance(event, ScalarEvent) and event.tag == BINARY_TAG:
            return base64.b64decode("".join(text.split()), validate=True)
        return text.encode()
    except UnicodeEncodeError as error:
        raise error_at(event, "half of a surrogate pair is not a character") from error
    except ValueError as error:
        raise error_at(event, f"not base64: {error}") from error


def _text(event: Event) -> str:
    if isinstance(event, ScalarEvent) and event.tag is None and event.value.isascii():
        return (
            "" if not event.style and event.value in _NULLS else event.value
        )  # as `_scalar`; most texts are such
    return _body(event).decode("utf-8", "surrogateescape")


def _int(event: Event) -> int:
    text = _scalar(event).replace("_", "")
    if not text:
        return 0
    if _SHORT_INT.fullmatch(text):
        return int(text)
    digits = text.lstrip("+-")
    octal = digits[:1] == "0" and digits.isdecimal()
    if len(text) <= _MAX_INT_TEXT and _INT.fullmatch(text):
        value = int(digits, 8 if octal else 0)
        value = -value if text[0] == "-" else value
        if -(1 << 63) <= value < 1 << 63:
            return value
    raise error_at(event, f"expected an integer of 64 bits, not {shown(text)}")


def _bool(event: Event) -> bool:
    word = _scalar(event).lower()
    if word in _TRUE:
        return True
    if word in _FALSE:
        return False
    raise error_at(event, f"expected true or false, not {shown(word)}")


def _duration(event: Event) -> int:
    if _is_null(event):
        return 0
    try:
        return parse_duration(_scalar(event))
    except FormatError as error:
        raise error_at(event, error.message) from error
