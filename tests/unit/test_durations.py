from __future__ import annotations

import json

import pytest

from cassette.durations import format_duration, parse_duration
from cassette.errors import FormatError
from tests.support.shared import SHARED, needs_shared

WRITTEN_BY_GO = [
    (0, "0s"),
    (1, "1ns"),
    (999, "999ns"),
    (1_000, "1µs"),
    (812_500, "812.5µs"),
    (999_999, "999.999µs"),
    (324_113_458, "324.113458ms"),
    (100_000_000, "100ms"),
    (1_000_000_000, "1s"),
    (10_000_000_000, "10s"),
    (1_200_000_000, "1.2s"),
    (60_000_000_000, "1m0s"),
    (62_500_000_000, "1m2.5s"),
    (3_600_000_000_000, "1h0m0s"),
    (3_661_000_000_001, "1h1m1.000000001s"),
    (-5, "-5ns"),
    (-1_500_000_000, "-1.5s"),
    ((1 << 63) - 1, "2562047h47m16.854775807s"),
    (-(1 << 63), "-2562047h47m16.854775808s"),
]


@pytest.mark.parametrize(("nanoseconds", "text"), WRITTEN_BY_GO)
def test_duration_is_written_and_read_as_in_go(nanoseconds: int, text: str) -> None:
    assert format_duration(nanoseconds) == text
    assert parse_duration(text) == nanoseconds


@needs_shared
def test_durations_that_go_wrote_are_written_and_read_equal() -> None:
    assert SHARED is not None
    vectors = json.loads((SHARED / "vectors" / "durations-and-keys.json").read_text("utf-8"))["durations"]
    assert len(vectors) > 100
    assert [[nanoseconds, format_duration(nanoseconds)] for nanoseconds, _ in vectors] == vectors
    assert [[parse_duration(text), text] for _, text in vectors] == vectors


@pytest.mark.parametrize(
    ("text", "nanoseconds"),
    [
        ("0", 0),
        ("+0", 0),
        ("-0", 0),
        ("+5s", 5_000_000_000),
        ("1us", 1_000),
        ("1\u00b5s", 1_000),
        ("1\u03bcs", 1_000),
        (".5s", 500_000_000),
        ("1.s", 1_000_000_000),
        ("1h15m30.918s", 4_530_918_000_000),
        ("1m1ms", 60_001_000_000),
        ("0.9ns", 0),
        ("0.3333333333333333333h", 1_200_000_000_000),
        ("0.100000000000000000000h", 360_000_000_000),
        ("00000000000000000000000001s", 1_000_000_000),
        ("0.00000000000000000000000000000000000001h", 0),
    ],
)
def test_other_spellings_are_read_as_go_reads_them(text: str, nanoseconds: int) -> None:
    assert parse_duration(text) == nanoseconds


@pytest.mark.parametrize(
    "text",
    [
        "",
        "+",
        "-",
        "5",
        "s",
        ".s",
        "1",
        "1x",
        "1 s",
        " 1s",
        "1s ",
        "1s2",
        "--1s",
        "1.2.3s",
        "1e3s",
        "1\u0661s",
    ],
)
def test_text_that_is_no_duration_is_a_format_error(text: str) -> None:
    with pytest.raises(FormatError, match="is not a duration; one looks like"):
        parse_duration(text)


def test_duration_that_an_int64_cannot_hold_is_a_format_error() -> None:
    with pytest.raises(FormatError):
        parse_duration("9223372036854775808ns")
    with pytest.raises(FormatError):
        parse_duration("3000000h")


def test_endless_digits_are_a_format_error_with_a_short_message() -> None:
    with pytest.raises(FormatError) as caught:
        parse_duration("1" * 100_000 + "s")
    assert len(str(caught.value)) < 150
