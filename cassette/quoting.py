"""The text of a scalar in the style that `scalars` chose, as go-yaml v4 writes it.

Text comes out in pieces, so a body of 256 MB needs no second copy of itself beside what is written.
"""

from __future__ import annotations

import base64
import functools
import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass

from cassette.scalars import CHUNK, UNICODE_BREAKS, Style, chunks, has_unicode_break, style_of

_BOM = b"\xef\xbb\xbf"
_BASE64_LINE = 70

_NAMED_ESCAPES = {
    "\0": "0",
    "\a": "a",
    "\b": "b",
    "\t": "t",
    "\n": "n",
    "\v": "v",
    "\f": "f",
    "\r": "r",
    "\x1b": "e",
    '"': '"',
    "\\": "\\",
    "\x85": "N",
    "\xa0": "_",
    "\u2028": "L",
    "\u2029": "P",
}
_LONG_FIRST = frozenset(b"\xc2\xe2\xef\xf0\xf1\xf2\xf3\xf4")
_UNESCAPED = bytes(byte for byte in range(0x20, 0x100) if byte not in b'"\x7f' and byte not in _LONG_FIRST)
_LONG_ESCAPES = re.compile(
    rb"\xc2[\x80-\x9f]|\xe2\x80[\xa8\xa9]|\xef\xbb\xbf|\xef\xbf[\xbe\xbf]|[\xf0-\xf4][\x80-\xbf]{3}"
)
_MANY = 50
"""From here on one walk through the text beats a replacement per character. Chosen, not measured."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a scalar stands."""

    column: int
    """Where its lines begin, when it has several."""
    indicator: bytes
    """The digit that go-yaml writes before a literal's first line when that starts with a space or a break.

    Empty where the digit is wrong, as in the lists of its default layout: it says 4, the lines stand 2 to the
    right. No reader can load that, so such a text is double-quoted there.
    """


def scalar_text(data: bytes, place: Place) -> Iterator[bytes]:
    """Yield a scalar, without a space before it, up to and including the end of its line."""
    style = style_of(data)
    match style:
        case Style.PLAIN:
            yield data
            yield b"\n"
        case Style.SINGLE_QUOTED:
            yield b"'"
            yield from _single_quoted(data, place)
            yield b"'\n"
        case Style.LITERAL if place.indicator or not _starts_blank(data):
            yield from _literal(data, place)
        case Style.BINARY:
            yield from _binary(data, place)
        case _:
            yield b'"'
            yield from _double_quoted(data)
            yield b'"\n'


def stays_on_line(data: bytes) -> bool:
    """Tell whether go-yaml writes this text as a simple key: no line break in it, and 128 bytes at most.

    A carriage return and U+0085 count as line breaks, and the tag of base64 counts 8 bytes.
    """
    if style_of(data) is Style.BINARY:
        return _base64_length(data) < _BASE64_LINE
    return len(data) <= 128 and not any(end in data for end in (b"\n", b"\r", b"\xc2\x85", *UNICODE_BREAKS))


def _single_quoted(data: bytes, place: Place) -> Iterator[bytes]:
    quoted = (chunk.replace(b"'", b"''") for chunk in chunks(data))
    if not has_unicode_break(data):
        return quoted
    return _indented(quoted, b" " * place.column, UNICODE_BREAKS, at_line_start=False)


def _double_quoted(data: bytes) -> Iterator[bytes]:
    if data.startswith(_BOM):
        # go-yaml looks for the byte order mark at the start of the text, whichever character it has come to.
        for chunk in chunks(data):
            yield "".join(map(_escaped, chunk.decode())).encode()
        return
    for chunk in chunks(data):
        text = chunk.replace(b"\\", b"\\\\")
        remarkable = frozenset(text.translate(None, _UNESCAPED))
        for byte in remarkable & _ASCII_ESCAPES.keys():
            text = text.replace(*_ASCII_ESCAPES[byte])
        yield _with_long_escapes(text) if remarkable & _LONG_FIRST else text


def _with_long_escapes(text: bytes) -> bytes:
    """Escape the characters of several bytes."""
    different = set(_LONG_ESCAPES.findall(text))
    if len(different) > _MANY:
        return _LONG_ESCAPES.sub(lambda found: _escaped(found[0].decode()).encode(), text)
    for char in different:
        text = text.replace(char, _escaped(char.decode()).encode())
    return text


def _literal(data: bytes, place: Place) -> Iterator[bytes]:
    breaks = (b"\n", *UNICODE_BREAKS) if has_unicode_break(data) else (b"\n",)
    final = next((len(end) for end in breaks if data.endswith(end)), 0)
    chomping = b"-" if not final else b"+" if data[-final - 3 : -final].endswith(breaks) else b""
    yield b"|" + (place.indicator if _starts_blank(data) else b"") + chomping + b"\n"
    yield from _indented(chunks(data), b" " * place.column, breaks, at_line_start=True)
    if not final:
        yield b"\n"


def _binary(data: bytes, place: Place) -> Iterator[bytes]:
    if _base64_length(data) < _BASE64_LINE:
        yield b"!!binary " + base64.b64encode(data) + b"\n"
        return
    yield b"!!binary |\n"
    indent = b" " * place.column
    step = CHUNK // 105 * 105  # 105 bytes make two full lines.
    for start in range(0, len(data), step):
        text = base64.b64encode(data[start : start + step])
        lines = (text[at : at + _BASE64_LINE] for at in range(0, len(text), _BASE64_LINE))
        yield b"".join(itertools.chain.from_iterable((indent, line, b"\n") for line in lines))


def _indented(
    texts: Iterator[bytes], indent: bytes, breaks: tuple[bytes, ...], *, at_line_start: bool
) -> Iterator[bytes]:
    """Indent every line that is not empty; in the texts, no space stands before a break."""
    for text in texts:
        lines = text
        for end in breaks:
            lines = lines.replace(end, end + indent)
        for end in breaks:
            lines = lines.replace(indent + end, end)
        if at_line_start and not text.startswith(breaks):
            lines = indent + lines
        at_line_start = text.endswith(breaks)
        # What follows the last break is not known yet: it may be another one, or nothing.
        yield lines.removesuffix(indent) if at_line_start else lines


def _starts_blank(data: bytes) -> bool:
    return data.startswith((b" ", b"\n", *UNICODE_BREAKS))


def _base64_length(data: bytes) -> int:
    return (len(data) + 2) // 3 * 4


@functools.lru_cache(maxsize=4096)
def _escaped(char: str) -> str:
    named = _NAMED_ESCAPES.get(char)
    if named is not None:
        return "\\" + named
    code = ord(char)
    if code <= 0xFF:
        return f"\\x{code:02X}"
    return f"\\u{code:04X}" if code <= 0xFFFF else f"\\U{code:08X}"


_ASCII_ESCAPES = {byte: (bytes([byte]), _escaped(chr(byte)).encode()) for byte in (*range(0x20), *b'"', 0x7F)}
"""All but the backslash, which has to be escaped before the others bring their own."""
