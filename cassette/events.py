"""The parse events of one YAML document, with everything refused that a cassette has no use for.

Events instead of a tree: libyaml's tree builder recurses, so a file of 100,000 brackets would crash the
interpreter, and aliases let a small file stand for a huge one.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Protocol

import yaml
from yaml.events import (
    AliasEvent,
    CollectionEndEvent,
    CollectionStartEvent,
    Event,
    MappingStartEvent,
    NodeEvent,
    ScalarEvent,
    SequenceStartEvent,
    StreamEndEvent,
)
from yaml.reader import ReaderError

from cassette.errors import FormatError

BINARY_TAG = "tag:yaml.org,2002:binary"
NULL_TAG = "tag:yaml.org,2002:null"
_CORE = "tag:yaml.org,2002:"
_SCALAR_TAGS = frozenset(
    ["!", BINARY_TAG, NULL_TAG, *(_CORE + name for name in ("str", "int", "float", "bool", "timestamp"))]
)
_COLLECTION_TAGS: dict[type[CollectionStartEvent], frozenset[str]] = {
    SequenceStartEvent: frozenset(["!", _CORE + "seq"]),
    MappingStartEvent: frozenset(["!", _CORE + "map"]),
}
_MAX_DEPTH = 50
"""A cassette needs six levels; the rest is for fields that other tools add. Chosen, not measured."""
_TOO_DEEP = f"nested more than {_MAX_DEPTH} levels deep"
_LIBYAML_TOO_DEEP = "exceeded maximum nesting depth"
"""What the libyaml of PyYAML 6.0.4 says of brackets, which it reads ahead, long before we see the 51st."""

_UTF_16 = (b"\xff\xfe", b"\xfe\xff")
_TAG_DIRECTIVE = re.compile(rb"(?:\A|[\r\n]|\xc2\x85|\xe2\x80[\xa8\xa9]|\xef\xbb\xbf)%TAG")
_MAX_TAG_DIRECTIVES = 100
"""libyaml compares each with all before it: 300,000 of them would take minutes. Chosen, not measured."""


class Parser(Protocol):
    """What is used of a PyYAML loader."""

    def get_event(self) -> Event | None:
        """Return the next event, None behind the last."""


LIBYAML_OR_PURE: Callable[[bytes], Parser] = getattr(yaml, "CBaseLoader", yaml.BaseLoader)
"""libyaml where PyYAML was built with it: 30 times as fast, with the same result."""


def line_of(event: Event) -> int | None:
    """Return the line on which the event starts, from 1; None if the parser does not tell."""
    return event.start_mark.line + 1 if event.start_mark is not None else None


def column_of(event: Event) -> int:
    """Return the column in which the event starts, from 0."""
    return event.start_mark.column if event.start_mark is not None else 0


def shown(text: str) -> str:
    """Return the text in quotes for a message: escaped where it is not printable, and not too long."""
    return repr(text if len(text) <= 40 else f"{text[:40]}...")


def error_at(event: Event, message: str) -> FormatError:
    """Return a FormatError with the line on which the event starts."""
    return FormatError(message, line=line_of(event))


class DocumentEvents:
    """The events inside the one document of a file, from the start of its root node on.

    Anchors, aliases, tags outside YAML's core, deep nesting, a second document and everything that is not
    YAML are a FormatError as soon as they are reached; nothing behind them has been read then.
    """

    def __init__(self, data: bytes, parser: Callable[[bytes], Parser] = LIBYAML_OR_PURE) -> None:
        self._data = data
        self._depth = 0
        if data.startswith(_UTF_16):
            raise FormatError("not UTF-8 text", line=1)
        if b"%TAG" in data and len(_TAG_DIRECTIVE.findall(data)) > _MAX_TAG_DIRECTIVES:
            raise FormatError("a cassette has no use for %TAG directives, least of all for so many")
        try:
            self._get_event = parser(data).get_event
        except (yaml.YAMLError, ValueError) as error:
            raise self._not_yaml(error) from error

    def open_document(self) -> Event:
        """Go to the document and return the first event of its root node."""
        self._next_raw()
        if isinstance(self._next_raw(), StreamEndEvent):
            raise FormatError("the file is empty; an empty cassette says `version: 2` and `interactions: []`")
        return self.next()

    def close_document(self) -> None:
        """Check that nothing follows the document."""
        self._next_raw()
        event = self._next_raw()
        if not isinstance(event, StreamEndEvent):
            raise error_at(event, "a second document starts here; a cassette is a single one")

    def next(self) -> Event:
        """Return the next event of the document."""
        try:
            event = self._get_event()
        except (yaml.YAMLError, ValueError) as error:  # as in `_next_raw`; a call less for each event
            raise self._not_yaml(error) from error
        assert event is not None, "read past the end"
        if isinstance(event, ScalarEvent):
            if event.anchor is not None or event.tag is not None:
                _check_node(event, event.tag, _SCALAR_TAGS)
        elif isinstance(event, CollectionEndEvent):
            self._depth -= 1
        elif isinstance(event, CollectionStartEvent):
            _check_node(event, event.tag, _COLLECTION_TAGS[type(event)])
            self._depth += 1
            if self._depth > _MAX_DEPTH:
                raise error_at(event, _TOO_DEEP)
        elif isinstance(event, AliasEvent):
            raise error_at(
                event, f"the alias {shown('*' + (event.anchor or ''))} is not allowed in a cassette"
            )
        return event

    def skip(self, event: Event) -> None:
        """Read to the end of the node that starts with this event."""
        if isinstance(event, ScalarEvent):
            return
        outside = self._depth - 1
        while self._depth > outside:
            self.next()

    def _next_raw(self) -> Event:
        try:
            event = self._get_event()
        except (yaml.YAMLError, ValueError) as error:
            # ValueError: escapes that stand for no character, from both of PyYAML's parsers.
            raise self._not_yaml(error) from error
        assert event is not None, "read past the end"
        return event

    def _not_yaml(self, error: Exception) -> FormatError:
        if isinstance(error, ReaderError):
            line = self._data.count(b"\n", 0, error.position) + 1
            return FormatError(f"not YAML text: {error.reason}", line=line)
        if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
            line = error.problem_mark.line + 1
            if error.problem == _LIBYAML_TOO_DEEP:
                return FormatError(_TOO_DEEP, line=line)
            return FormatError(f"not YAML: {error.problem}", line=line)
        return FormatError(f"not YAML: {error}")


def _check_node(event: NodeEvent, tag: str | None, allowed: frozenset[str]) -> None:
    if event.anchor is not None:
        raise error_at(event, f"the anchor {shown('&' + event.anchor)} is not allowed in a cassette")
    if tag is not None and tag not in allowed:
        raise error_at(event, f"the tag {shown(tag)} is not allowed here")
