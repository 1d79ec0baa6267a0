"""Text for people: where it is shown, how wide, in which colours, and never a control sequence of others.

Recorded text is not trusted: whatever is shown of it goes through `printable` or `one_line`. Widths are
counted in characters.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
from dataclasses import dataclass
from textwrap import wrap

import click

INDENT = "  "
_NARROWEST_TEXT = 40
"""Columns that wrapped text keeps however narrow the terminal; chosen, not measured."""
# Control characters but tab and line feed; line and paragraph separators; bidirectional overrides, which make
# a terminal show other text than is there; byte order marks; lone surrogates, which no encoding takes.
_UNPRINTABLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff\ud800-\udfff]"
)


@dataclass(frozen=True, slots=True)
class Paper:
    """Where text is shown."""

    width: int | None = None
    """Columns of the terminal; None when it is none: then nothing is shortened or wrapped."""
    colour: bool = False

    def style(
        self, text: str, *, fg: str | None = None, bold: bool | None = None, dim: bool | None = None
    ) -> str:
        """Return the text in a style, as it is when colours are off."""
        return click.style(text, fg=fg, bold=bold, dim=dim) if self.colour else text

    def indented(self, text: str, depth: int = 1) -> str:
        """Return the text with every line indented, and wrapped on a terminal."""
        margin = INDENT * depth
        lines: list[str] = []
        for line in text.split("\n"):
            lines += self._wrapped(line, len(margin))
        return "\n".join(f"{margin}{line}" if line else "" for line in lines)

    def _wrapped(self, line: str, margin: int) -> list[str]:
        """Return the lines that one line makes; those that follow start under its first word."""
        if self.width is None or len(line) + margin <= self.width:
            return [line]
        columns = max(self.width - margin, _NARROWEST_TEXT)
        hanging = " " * min(len(line) - len(line.lstrip()), columns // 2)
        return wrap(
            line,
            columns,
            subsequent_indent=hanging,
            replace_whitespace=False,
            break_on_hyphens=False,
        ) or [""]


def paper_of_stdout() -> Paper:
    """Return the paper that stdout is: a terminal with its width, colours unless NO_COLOR or a dumb one."""
    if sys.stdout is None or not sys.stdout.isatty():
        return Paper()
    colour = not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    return Paper(shutil.get_terminal_size().columns, colour)


def printable(text: str) -> str:
    r"""Return recorded text with CRLF as LF and every other control character as an escape (`\x1b`)."""
    return _UNPRINTABLE.sub(_escape, text.replace("\r\n", "\n"))


def one_line(text: str) -> str:
    """Return recorded text that has to stay on its line: line feeds and tabs are escaped, too."""
    return _UNPRINTABLE.sub(_escape, text).replace("\n", "\\n").replace("\t", "\\t")


def _escape(match: re.Match[str]) -> str:
    code = ord(match[0])
    if 0xDC80 <= code <= 0xDCFF:  # A byte that is not UTF-8, as `cassette.model` carries it.
        code -= 0xDC00
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def format_size(size: int) -> str:
    """Return a number of bytes for a person: `886 B`, `1.2 kB`, `34 MB` (powers of 1000)."""
    if size < 1000:
        return f"{size} B"
    amount, unit = size / 1000, "kB"
    for larger in ("MB", "GB"):
        if amount < 999.5:
            break
        amount, unit = amount / 1000, larger
    return f"{amount:.1f} {unit}" if amount < 9.95 else f"{amount:.0f} {unit}"


def shorten_middle(text: str, width: int) -> str:
    """Return the text in at most `width` characters, its middle left out: a URL tells by both its ends."""
    if len(text) <= width:
        return text
    tail = (width - 1) // 2
    return f"{text[: width - 1 - tail]}…{text[len(text) - tail :]}"
