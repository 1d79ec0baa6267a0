from __future__ import annotations

import pytest

from cassette.scalars import CHUNK, Style, chunks, has_unicode_break, style_of


def style(text: str) -> Style:
    return style_of(text.encode())


@pytest.mark.parametrize(
    "text",
    [
        *["null", "Null", "NULL", "~", "true", "True", "TRUE", "false", "False", "FALSE", "<<"],
        *["y", "Y", "yes", "Yes", "YES", "on", "On", "ON", "n", "N", "no", "No", "NO", "off", "Off", "OFF"],
        *["0", "-0", "+1", "12_000", "1__", "0x1F", "-0X1f", "0o17", "0O17", "0b101", "0777", "0_x1"],
        *["18446744073709551615", "0xFFFFFFFFFFFFFFFF", "-0x8000000000000000", "0b0" + "1" * 64],
        *[
            "99999999999999999999",
            "08",
            "1.",
            "1.5",
            "1e5",
            "1E+5",
            "-.5e-3",
            "1_0.5",
            ".5",
            ".5_5",
            ".5e1_0",
        ],
        *[".inf", ".Inf", ".INF", "+.inf", "-.INF", ".nan", ".NaN", ".NAN", "1e308"],
        *["1:30", "-1:2:3", "1_0:59", "190:20:30.15", "1:2."],
        *[
            "2001-01-01",
            "2001-1-1",
            "2024-02-29",
            "0000-01-01",
            "2001-01-01T1:2:3Z",
            "2001-1-1t1:2:3.5+01:00",
        ],
        *["2001-01-01 1:2:3", "2001-01-01   1:2:3,25", "2001-01-01T00:00:00-24:60"],
    ],
)
def test_text_that_reads_as_another_type_is_double_quoted(text: str) -> None:
    assert style(text) is Style.DOUBLE_QUOTED


@pytest.mark.parametrize(
    "text",
    [
        *["nULL", "tRUE", "yEs", "oN", "=", "Inf", "NaN", "inf", ".iNF", "a", "abc", "-a", "?a", ":a", "a:b"],
        *["0x", "0x_", "0o", "0o8", "0b", "0b2", "0xg", "+0xFFFFFFFFFFFFFFFF", "-0x8000000000000001"],
        *["0x10000000000000000", "0b1" + "1" * 64, "1e400", "9" * 400, ".1e400", "_1", "1.2.3", "1e", "1e5x"],
        *[".5_", "._5", ".5__5", ".", "+", "..", ".5e", ".5e_1", "--1"],
        *["1:60", "a:30", "1:2:3x", ":30"],
        *["2001-13-01", "2001-02-29", "1900-02-29", "2001-00-01", "2001-01-32", "2001-01", "201-01-01"],
        *["2001-01-01T24:00:00Z", "2001-01-01T1:60:00Z", "2001-01-01T1:2:60Z", "2001-01-01T1:2:3"],
        *["2001-01-01 1:2:3Z", "2001-01-01T1:2:3+1:00", "2001-01-01T1:2:3+25:00", "2001-01-01t1:2:3+01:61"],
        *[
            "http://localhost:8080/v1?a=b#c",
            "200 OK",
            "text/event-stream; charset=utf-8",
            "a'b",
            'a"b',
            "a#b",
        ],
        *["é", "\u00a0", "日本語", "\ufffd", "\ue000"],
    ],
)
def test_text_without_a_second_meaning_is_plain(text: str) -> None:
    assert style(text) is Style.PLAIN


@pytest.mark.parametrize(
    "text", [*"#,[]{}&*!|>'\"%@`", "#a", "[a]", '{"a":1}', "'a", "*/*", "!x", "@a", "`a"]
)
def test_leading_indicator_is_single_quoted(text: str) -> None:
    assert style(text) is Style.SINGLE_QUOTED


@pytest.mark.parametrize(
    "text", [" a", "a ", " ", "---", "---a", "...", "...a", "- a", "? a", ": a", "-", "?", ":", "1:"]
)
def test_text_with_a_meaning_at_its_ends_is_single_quoted(text: str) -> None:
    assert style(text) is Style.SINGLE_QUOTED


@pytest.mark.parametrize("text", ["a: b", "a:", "a #b", "a # b"])
def test_text_with_a_key_or_a_comment_is_single_quoted(text: str) -> None:
    assert style(text) is Style.SINGLE_QUOTED


@pytest.mark.parametrize(
    "text",
    [
        "\x00",
        "a\rb",
        "\x1b[0m",
        "\x7f",
        "\x80",
        "\x85",
        "\x9f",
        "\ufeff",
        "\ufffe",
        "\uffff",
        "😀",
        "\U0010ffff",
    ],
)
def test_special_character_is_double_quoted_with_and_without_a_line_feed(text: str) -> None:
    assert style(text) is Style.DOUBLE_QUOTED
    assert style(f"one\n{text}\n") is Style.DOUBLE_QUOTED


def test_tab_is_double_quoted_on_one_line_and_kept_on_several() -> None:
    assert style("a\tb") is Style.DOUBLE_QUOTED
    assert style("a\tb\n") is Style.LITERAL
    assert style("a\n\tb") is Style.LITERAL


@pytest.mark.parametrize(
    "text", ["a\n", "a\nb", "\na", "\n\na\n\n", " a\n", "a\n b", "\n  a", "null\n", "a: b\n"]
)
def test_text_with_a_line_feed_is_literal(text: str) -> None:
    assert style(text) is Style.LITERAL


@pytest.mark.parametrize("text", ["a \nb", "a\n ", "a\nb ", "a\n \nb", "a \u2028\nb"])
def test_space_before_a_break_or_the_end_forbids_a_literal(text: str) -> None:
    assert style(text) is Style.DOUBLE_QUOTED


@pytest.mark.parametrize("text", ["\n", "\n\n", " \n", "\t\n", "\n\u00a0", "\n\u2003\u3000", "\n\u2028"])
def test_blank_text_with_a_line_feed_is_double_quoted(text: str) -> None:
    assert style(text) is Style.DOUBLE_QUOTED


def test_empty_text_is_double_quoted() -> None:
    assert style("") is Style.DOUBLE_QUOTED


def test_text_that_starts_with_a_tab_and_has_a_line_feed_is_double_quoted_unlike_in_go() -> None:
    assert style("\ta\nb") is Style.DOUBLE_QUOTED


def test_unicode_line_breaks_are_single_quoted_unless_a_space_touches_them() -> None:
    assert style("a\u2028b") is Style.SINGLE_QUOTED
    assert style("\u2029") is Style.SINGLE_QUOTED
    assert style("a \u2028b") is Style.DOUBLE_QUOTED
    assert style("a\u2029 b") is Style.DOUBLE_QUOTED
    assert style("a\u2028b\n") is Style.LITERAL
    assert has_unicode_break("\u2028".encode())
    assert not has_unicode_break("\u2027".encode())


@pytest.mark.parametrize(
    "data", [b"\xff", b"a\x80", b"\xc3", b"\xed\xa0\x80", b"\xc0\x80", b"\xf4\x90\x80\x80"]
)
def test_bytes_that_are_not_utf8_are_binary(data: bytes) -> None:
    assert style_of(data) is Style.BINARY
    assert style_of(b"line\n" + data) is Style.BINARY


def test_what_decides_is_found_at_every_place_of_a_large_text() -> None:
    body = b"data: {}\n" * (CHUNK // 4)
    for at in (0, CHUNK - 4, CHUNK - 2, CHUNK, 2 * CHUNK - 1, len(body)):
        assert style_of(body[:at] + "é".encode() + body[at:]) is Style.LITERAL
        assert style_of(body[:at] + "😀".encode() + body[at:]) is Style.DOUBLE_QUOTED
        assert style_of(body[:at] + b"\xe9" + body[at:]) is Style.BINARY


@pytest.mark.parametrize("char", ["a", "é", "語", "😀"])
def test_chunks_end_between_characters_and_are_the_whole(char: str) -> None:
    for shift in range(4):
        data = b"x" * shift + char.encode() * CHUNK
        pieces = list(chunks(data))
        assert b"".join(pieces) == data
        assert all(len(piece) <= CHUNK for piece in pieces)
        for piece in pieces:
            piece.decode()


def test_chunks_of_bytes_that_are_no_characters_are_the_whole() -> None:
    data = b"\x80" * (3 * CHUNK + 1)
    assert b"".join(chunks(data)) == data


@pytest.mark.parametrize("unit", [b"1", b"1:", b"_", b"_1", b"0", b"\n", b" ", b"."])
def test_a_megabyte_of_one_thing_is_classified(unit: bytes) -> None:
    style_of(b".1" + unit * (1 << 19))
    style_of(b"1" + unit * (1 << 19))
