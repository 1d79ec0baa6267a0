from __future__ import annotations

import sys
from io import StringIO

import pytest

from proxy_cli.paper import (
    Paper,
    format_size,
    one_line,
    paper_of_stdout,
    printable,
    shorten_middle,
)


class Terminal(StringIO):
    def isatty(self) -> bool:
        return True


def on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    # Called within the test: pytest puts a stdout of its own in place after the fixtures.
    monkeypatch.setattr(sys, "stdout", Terminal())
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "90")
    monkeypatch.delenv("NO_COLOR", raising=False)


def test_terminal_has_a_width_and_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    on_a_terminal(monkeypatch)
    assert paper_of_stdout() == Paper(90, colour=True)


@pytest.mark.parametrize(("name", "value"), [("NO_COLOR", "1"), ("TERM", "dumb")])
def test_colours_can_be_refused(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    on_a_terminal(monkeypatch)
    monkeypatch.setenv(name, value)
    assert paper_of_stdout() == Paper(90, colour=False)


def test_empty_no_color_refuses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    on_a_terminal(monkeypatch)
    # no-color.org: "when present and not an empty string".
    monkeypatch.setenv("NO_COLOR", "")
    assert paper_of_stdout().colour


def test_pipe_has_neither_width_nor_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", StringIO())
    assert paper_of_stdout() == Paper()


def test_style_without_colours_leaves_the_text() -> None:
    assert Paper().style("x", fg="red", bold=True) == "x"
    assert Paper(colour=True).style("x", bold=True) == "\x1b[1mx\x1b[0m"


@pytest.mark.parametrize(
    ("recorded", "shown"),
    [
        ("\x1b[2J\x1b]0;title\x07", "\\x1b[2J\\x1b]0;title\\x07"),
        ("a\r\nb\rc", "a\nb\\x0dc"),
        ("tab\tstays", "tab\tstays"),
        ("\x7f\x9b31m", "\\x7f\\x9b31m"),
        ("\u202eevil\u2066", "\\u202eevil\\u2066"),
        ("\u2028", "\\u2028"),
        ("\ud800", "\\ud800"),
        ("\udcff", "\\xff"),
        ("é 東京 🙂", "é 東京 🙂"),
    ],
)
def test_control_characters_of_recorded_text_are_escaped(recorded: str, shown: str) -> None:
    assert printable(recorded) == shown


def test_text_of_one_line_stays_on_it() -> None:
    assert one_line("a\nb\r\nc\td\x1b") == "a\\nb\\x0d\\nc\\td\\x1b"


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (1234, "1.2 kB"),
        (9949, "9.9 kB"),
        (9951, "10 kB"),
        (999_499, "999 kB"),
        (999_500, "1.0 MB"),
        (2_900_000, "2.9 MB"),
        (34_000_000, "34 MB"),
        (5_000_000_000, "5.0 GB"),
        (5_000_000_000_000, "5000 GB"),
    ],
)
def test_sizes_have_two_digits_and_a_unit(size: int, text: str) -> None:
    assert format_size(size) == text


def test_both_ends_of_a_shortened_text_stay() -> None:
    assert shorten_middle("abcdefghij", 10) == "abcdefghij"
    assert shorten_middle("abcdefghij", 9) == "abcd…ghij"
    assert shorten_middle("abcdefghij", 4) == "ab…j"
    assert shorten_middle("abcdefghij", 1) == "…"


def test_long_lines_are_wrapped_on_a_terminal_and_keep_their_indentation() -> None:
    text = "    " + "word " * 20
    lines = Paper(60).indented(text).split("\n")
    assert len(lines) > 1
    assert all(line.startswith("      word") and len(line) <= 60 for line in lines)


def test_nothing_is_wrapped_in_a_pipe() -> None:
    text = "word " * 100 + "\n\nend"
    assert Paper().indented(text) == "  " + "word " * 100 + "\n\n  end"


def test_line_of_nothing_but_spaces_survives_wrapping() -> None:
    assert Paper(50).indented("a\n" + " " * 200 + "\nb") == "  a\n\n  b"
