from __future__ import annotations

from collections.abc import Callable

import pytest
import yaml
from yaml.events import MappingEndEvent, MappingStartEvent, ScalarEvent

from cassette.errors import FormatError
from cassette.events import LIBYAML_OR_PURE, DocumentEvents, Parser, column_of, line_of, shown

PARSERS = pytest.mark.parametrize(
    "parser", [pytest.param(LIBYAML_OR_PURE, id="default"), pytest.param(yaml.BaseLoader, id="pure")]
)
Make = Callable[[bytes], Parser]


def read(data: bytes, parser: Make) -> None:
    events = DocumentEvents(data, parser)
    events.skip(events.open_document())
    events.close_document()


@PARSERS
def test_events_of_a_document_come_with_their_place(parser: Make) -> None:
    events = DocumentEvents(b"# about\n---\na:\n  b: c\n", parser)
    root = events.open_document()
    assert isinstance(root, MappingStartEvent)
    assert isinstance(events.next(), ScalarEvent)
    inner = events.next()
    assert (line_of(inner), column_of(inner)) == (4, 2)
    events.skip(inner)
    assert isinstance(events.next(), MappingEndEvent)
    events.close_document()


@PARSERS
@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "the file is empty"),
        (b"# only this\n", "the file is empty"),
        (b"a: 1\n---\nb: 2\n", "line 2: a second document"),
        (b"a: &x 1\n", "line 1: the anchor '&x' is not allowed"),
        (b"a: &x [1]\n", "line 1: the anchor '&x' is not allowed"),
        (b"a: b\nc: *x\n", r"line 2: the alias '\*x' is not allowed"),
        (b"a: !!python/object:os.system x\n", "line 1: the tag 'tag:yaml.org,2002:python/object"),
        (b"a: !local x\n", "line 1: the tag '!local' is not allowed"),
        (b"a: !!set {x}\n", "line 1: the tag 'tag:yaml.org,2002:set' is not allowed"),
        (b"a: !!seq x\n", "line 1: the tag 'tag:yaml.org,2002:seq' is not allowed"),
        (b"a: !!map [x]\n", "line 1: the tag 'tag:yaml.org,2002:map' is not allowed"),
        (b"a: b\nc: [d\n", "not YAML: "),
        (b"a: b\nc: d: e\n", "line 2: not YAML: mapping values are not allowed"),
        (b'a: "\\q"\n', "line 1: not YAML: found unknown escape character"),
        (b"a: b\nc: \xff\n", "line 2: not YAML text: "),
        (b"a: b\nc: \x00\n", "line 2: not YAML text: "),
        (b"a: b\nc: \x7f\n", "line 2: not YAML text: "),
        (b'a: "\\U00110000"\n', "not YAML: "),
        (b"a: !!%FF x\n", "not YAML: "),
        (b"a: !!%ED%A0%80 x\n", "not YAML: "),
        (b"%YAML 3.0\n---\na: b\n", "not YAML: "),
        ("a: b\n".encode("utf-16"), "line 1: not UTF-8 text"),
    ],
)
def test_what_a_cassette_has_no_use_for_is_a_format_error(data: bytes, message: str, parser: Make) -> None:
    with pytest.raises(FormatError, match=message):
        read(data, parser)


@PARSERS
@pytest.mark.parametrize(
    "data",
    [
        b"\xef\xbb\xbfa: b\n",
        b"%YAML 1.1\n---\na: b\n...\n",
        b"a: !!str b\nc: !!seq [!!binary eA==, !!int 1, !!null '']\n? !!map {}\n: ! b\n",
        b"%TAG !y! tag:yaml.org,2002:\n---\na: !y!str b\n",
        b"a: {b: [c, {d: [e]}]}",
        "a: é😀\n".encode(),
    ],
)
def test_harmless_yaml_is_read(data: bytes, parser: Make) -> None:
    read(data, parser)


@PARSERS
@pytest.mark.parametrize("unit", [b"[", b"{a: ", b"[{a: ", b"- ", b"? ", b"- ? "])
def test_deep_nesting_ends_with_a_format_error(unit: bytes, parser: Make) -> None:
    with pytest.raises(FormatError, match="line 1: nested more than 50 levels deep"):
        read(unit * 100_000, parser)


@PARSERS
def test_fifty_levels_are_read_and_one_more_is_not(parser: Make) -> None:
    read(b"[" * 50 + b"]" * 50, parser)
    with pytest.raises(FormatError, match="nested more than 50 levels deep"):
        read(b"[" * 51 + b"]" * 51, parser)


@PARSERS
def test_a_small_file_that_stands_for_a_huge_one_ends_at_its_first_anchor(parser: Make) -> None:
    laughs = b"a: &a [x, x]\n" + b"".join(
        b"%c: &%c [*%c, *%c]\n" % (c + 1, c + 1, c, c) for c in range(97, 121)
    )
    with pytest.raises(FormatError, match="line 1: the anchor"):
        read(laughs, parser)


@PARSERS
@pytest.mark.parametrize("end", [b"\n", b"\r", b"\xc2\x85", b"\xe2\x80\xa8"])
def test_a_flood_of_tag_directives_ends_with_a_format_error(end: bytes, parser: Make) -> None:
    flood = b"".join(b"%%TAG !a%d! tag:a%s" % (number, end) for number in range(100_000))
    with pytest.raises(FormatError, match="%TAG directives"):
        read(flood + b"---\na: b\n", parser)
    with pytest.raises(FormatError, match="%TAG directives"):
        read(b"a: b\n...\n" + flood + b"---\n", parser)


def test_tag_directives_in_a_text_are_text() -> None:
    read(b"a: |\n" + b"  %TAG ! x\n" * 1000, LIBYAML_OR_PURE)


def test_shown_text_is_short_and_printable() -> None:
    assert shown("a\n\ud800") == r"'a\n\ud800'"
    assert len(shown("x" * 1000)) < 50
