from __future__ import annotations

import base64

import pytest

from cassette.quoting import Place, scalar_text, stays_on_line
from cassette.scalars import CHUNK

PLACE = Place(column=6, indicator=b"2")


def written(text: str | bytes, place: Place = PLACE) -> str:
    data = text if isinstance(text, bytes) else text.encode()
    return b"".join(scalar_text(data, place)).decode()


def test_plain_text_is_itself() -> None:
    assert written("200 OK") == "200 OK\n"


def test_single_quotes_double_the_quote() -> None:
    assert written("{'it''s'}") == "'{''it''''s''}'\n"


def test_double_quotes_escape_by_name_where_there_is_one() -> None:
    assert written('\0\a\b\t\n\v\f\r\x1b"\\\x85\u2028\u2029😀') == (
        r'"\0\a\b\t\n\v\f\r\e\"\\\N\L\P\U0001F600"' + "\n"
    )


def test_double_quotes_escape_by_number_in_upper_case() -> None:
    assert written("\x01\x7f\x9f\ufeff\uffff\U0010ffff") == r'"\x01\x7F\x9F\uFEFF\uFFFF\U0010FFFF"' + "\n"


def test_double_quotes_leave_printable_characters() -> None:
    assert written("é\u00a0語\ufffd/'\t") == '"é\u00a0語\ufffd/\'\\t"\n'


def test_text_that_starts_with_a_byte_order_mark_has_every_character_escaped() -> None:
    assert written('\ufeffa é\u00a0"\n語😀') == r'"\uFEFF\x61\x20\xE9\_\"\n\u8A9E\U0001F600"' + "\n"


def test_many_different_escapes_come_out_like_few() -> None:
    emoji = "".join(map(chr, range(0x1F300, 0x1F3A0)))
    assert written(emoji) == '"' + "".join(f"\\U{ord(char):08X}" for char in emoji) + '"\n'


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a\nb", "|-\n      a\n      b\n"),
        ("a\nb\n", "|\n      a\n      b\n"),
        ("a\n\n", "|+\n      a\n\n"),
        ("a\n\n\nb\n", "|\n      a\n\n\n      b\n"),
        (" a\nb\n", "|2\n       a\n      b\n"),
        ("\na", "|2-\n\n      a\n"),
        ("\n\n\ta\n\n", "|2+\n\n\n      \ta\n\n"),
    ],
)
def test_literal_is_indented_but_for_its_empty_lines(text: str, expected: str) -> None:
    assert written(text) == expected


def test_unicode_line_breaks_in_a_literal_are_followed_by_the_indentation() -> None:
    assert written("a\u2028b\n\u2029c\n") == "|\n      a\u2028      b\n\u2029      c\n"
    assert written("\u2028a\n") == "|2\n\u2028      a\n"
    assert written("a\n\u2028") == "|+\n      a\n\u2028"
    assert written("a\nb\u2028") == "|\n      a\n      b\u2028"


def test_unicode_line_breaks_in_single_quotes_are_followed_by_the_indentation() -> None:
    assert written("a\u2028b'\u2029\u2028c\u2028") == "'a\u2028      b''\u2029\u2028      c\u2028'\n"


def test_literal_that_needs_a_digit_is_double_quoted_where_the_digit_would_be_wrong() -> None:
    place = Place(column=18, indicator=b"")
    assert written(" a\nb", place) == '" a\\nb"\n'
    assert written("\na", place) == '"\\na"\n'
    assert written("a\n b", place) == "|-\n" + " " * 18 + "a\n" + " " * 19 + "b\n"


def test_base64_takes_one_line_below_70_characters_and_lines_of_70_above() -> None:
    assert written(b"\xff" * 51) == "!!binary " + "/" * 68 + "\n"
    assert written(b"\xff" * 52) == f"!!binary |\n      {'/' * 69}w\n      ==\n"
    assert written(b"\xff" * 105) == f"!!binary |\n      {'/' * 70}\n      {'/' * 70}\n"


def test_large_base64_is_the_whole_body() -> None:
    body = bytes(range(256)) * (CHUNK // 100)
    first, *lines = written(body).splitlines()
    assert first == "!!binary |"
    assert {len(line) for line in lines[:-1]} == {76}
    assert base64.b64decode("".join(line.strip() for line in lines)) == body


@pytest.mark.parametrize("unit", ["data: é\n", "\n\n\nx\n", "\n" * 7 + "語", "x\u2028", "it's [", "😀\t"])
def test_large_text_is_written_as_small_text_is(unit: str) -> None:
    repeats = 3 * CHUNK // len(unit.encode()) + 1
    head = "-\n" if "\n" in unit else "- "
    once, twice = written(head + unit + "."), written(head + unit * 2 + ".")
    start = next(at for at, (a, b) in enumerate(zip(once, twice, strict=False)) if a != b)
    step = len(twice) - len(once)
    middle = twice[start : start + step]
    assert written(head + unit * repeats + ".") == once[:start] + middle * (repeats - 1) + once[start:]


@pytest.mark.parametrize("text", ["", "a", "a b", "a" * 128, "é" * 64, "\u00a0", "\t", "😀"])
def test_short_name_without_a_break_is_a_simple_key(text: str) -> None:
    assert stays_on_line(text.encode())


@pytest.mark.parametrize("text", ["a" * 129, "é" * 65, "a\nb", "\r", "\x85", "\u2028", "\u2029"])
def test_name_over_128_bytes_or_with_a_break_is_an_explicit_key(text: str) -> None:
    assert not stays_on_line(text.encode())


def test_name_that_is_not_utf8_is_a_simple_key_while_its_base64_is_one_line() -> None:
    assert stays_on_line(b"\xff\n" + b"a" * 49)
    assert not stays_on_line(b"\xff\n" + b"a" * 50)
