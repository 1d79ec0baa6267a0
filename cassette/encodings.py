"""Undo content codings (RFC 9110, 8.4.1) within a fixed amount of memory.

    Content-Encoding: gzip, br   ->   ("gzip", "br")   ->   br is undone first, then gzip

Input goes to the decompressors in small slices, and decoding stops as soon as the limit is passed, so
that a body of a few kilobytes that unpacks to gigabytes costs the limit and a constant. This module knows
nothing about messages: whether a body is to be decoded at all is `wire`'s decision.
"""

from __future__ import annotations

import io
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Protocol

import brotli
import zstandard

MAX_CODINGS = 5
"""Codings in one list; curl refuses more than five, too. Each is a pass over the whole body."""

_ZLIB_SLICE = 16 * 1024
"""zlib stops at an output limit and copies the rest of its input: small, so that the copies cost nothing."""
_BROTLI_SLICE = 16
"""The binding has no output limit before 1.2. Measured: 16 bytes give 16 MiB at most, at 22 MB/s."""
_ZSTD_SLICE = 256
"""A block of four bytes can stand for 128 KiB (RFC 8878, 3.1.1.2), so 256 bytes give 8 MiB at most."""
_ZSTD_WINDOW = 8 * 1024 * 1024
"""The largest window that a sender may use for a content coding (RFC 9659, 3)."""
_PIECE = 64 * 1024
"""What zlib may give in one call; chosen, not measured."""

_GZIP_WRAPPER = 31
_ZLIB_WRAPPER = 15
_NO_WRAPPER = -15


class UndecodableError(Exception):
    """The bytes are not what their coding says, the coding is unknown, or the text is past the limit."""


class _Zlib(Protocol):
    """What `zlib.decompressobj` returns; the standard library does not name the type."""

    @property
    def eof(self) -> bool: ...
    @property
    def unconsumed_tail(self) -> bytes: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int = ..., /) -> bytes: ...


def content_codings(values: Iterable[str]) -> tuple[str, ...]:
    """Return the codings that the lines of Content-Encoding list, lower case, in the order applied.

    `identity` and empty elements name no coding and are left out. A line that was sent twice counts once:
    Go's transport looks at the first alone, and a server that repeats it coded the body once.
    """
    return _names(element for line in dict.fromkeys(values) for element in line.split(","))


def _names(codings: Iterable[str]) -> tuple[str, ...]:
    lowered = (coding.strip(" \t").lower() for coding in codings)
    return tuple(name for name in lowered if name not in {"", "identity"})


def decode(body: bytes, codings: Sequence[str], max_bytes: int) -> bytes:
    """Undo all codings, the last one first.

    Strict as Go's gzip reader is: a body that is cut short, has bytes behind its end or a wrong checksum
    raises `UndecodableError`; several gzip members or zstd frames in a row are one text. An empty body is
    no broken stream but an empty text. `max_bytes` bounds the result of every step.
    """
    return _undo_all(body, codings, max_bytes, whole=True)


def decode_prefix(body: bytes, codings: Sequence[str], max_bytes: int) -> bytes:
    """Undo all codings of a body that may be cut short, as far as it goes.

    Raises `UndecodableError` for all else that `decode` refuses: an unknown coding, broken bytes, a text past
    the limit.
    """
    return _undo_all(body, codings, max_bytes, whole=False)


def _undo_all(body: bytes, codings: Sequence[str], max_bytes: int, *, whole: bool) -> bytes:
    names = _names(codings)
    if len(names) > MAX_CODINGS:
        raise UndecodableError(f"{len(names)} codings; at most {MAX_CODINGS} are undone")
    for name in reversed(names):
        undo = _DECODERS.get(name)
        if undo is None:
            raise UndecodableError(f"unknown content coding {name!r}")
        if body:
            body = _collect(undo(body, whole), name, max_bytes)
    return body


def _collect(pieces: Iterator[bytes], name: str, max_bytes: int) -> bytes:
    """Join the pieces. A BytesIO hands over its own buffer at the end, where a bytearray would be copied."""
    text = io.BytesIO()
    try:
        for piece in pieces:
            if text.tell() + len(piece) > max_bytes:
                raise UndecodableError(f"{name}: more than {max_bytes} bytes")
            text.write(piece)
    except (zlib.error, brotli.error, zstandard.ZstdError) as exc:
        raise UndecodableError(f"{name}: {exc}") from exc
    return text.getvalue()


def _slices(body: bytes, size: int) -> Iterator[bytes]:
    for start in range(0, len(body), size):
        yield body[start : start + size]


def _cut_short(name: str) -> UndecodableError:
    return UndecodableError(f"{name}: the body is cut short")


def _inflate(inflater: _Zlib, data: bytes) -> Iterator[bytes]:
    """Give all that `data` yields, in bounded pieces. A full piece means that zlib may hold back more."""
    while True:
        piece = inflater.decompress(data, _PIECE)
        yield piece
        data = inflater.unconsumed_tail
        if inflater.eof or (not data and len(piece) < _PIECE):
            return


def _gzip(body: bytes, whole: bool) -> Iterator[bytes]:
    """Undo gzip (RFC 1952), all members; whatever stands behind one has to be another."""
    inflater: _Zlib = zlib.decompressobj(_GZIP_WRAPPER)
    for part in _slices(body, _ZLIB_SLICE):
        data = part
        while data:
            if inflater.eof:
                inflater = zlib.decompressobj(_GZIP_WRAPPER)
            yield from _inflate(inflater, data)
            data = inflater.unused_data if inflater.eof else b""
    if whole and not inflater.eof:
        raise _cut_short("gzip")


def _deflate(body: bytes, whole: bool) -> Iterator[bytes]:
    """Undo deflate: the zlib format by the standard, a bare deflate stream by the habit of old servers.

    The first two bytes tell: a zlib header is method 8 and a multiple of 31 (RFC 1950, 2.2), and a bare
    stream that began with such a byte would be a stored block with padding bits set, which nobody writes.
    """
    wrapped = body[0] & 0x0F == 8 and int.from_bytes(body[:2], "big") % 31 == 0 if len(body) > 1 else True
    inflater: _Zlib = zlib.decompressobj(_ZLIB_WRAPPER if wrapped else _NO_WRAPPER)
    for part in _slices(body, _ZLIB_SLICE):
        if inflater.eof:
            raise UndecodableError("deflate: bytes behind the end")
        yield from _inflate(inflater, part)
        if inflater.unused_data:
            raise UndecodableError("deflate: bytes behind the end")
    if whole and not inflater.eof:
        raise _cut_short("deflate")


def _brotli(body: bytes, whole: bool) -> Iterator[bytes]:
    """Undo brotli (RFC 7932); the binding itself refuses bytes behind the end."""
    decoder = brotli.Decompressor()
    for part in _slices(body, _BROTLI_SLICE):
        yield decoder.process(part)
    if whole and not decoder.is_finished():
        raise _cut_short("br")


def _zstd(body: bytes, whole: bool) -> Iterator[bytes]:
    """Undo zstd (RFC 8878), all frames, skippable ones included."""
    context = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW)
    decoder = context.decompressobj(write_size=_ZLIB_SLICE)
    for part in _slices(body, _ZSTD_SLICE):
        data = part
        while data:
            if decoder.eof:
                decoder = context.decompressobj(write_size=_ZLIB_SLICE)
            yield decoder.decompress(data)
            data = decoder.unused_data if decoder.eof else b""
    if whole and not decoder.eof:
        raise _cut_short("zstd")


_DECODERS: dict[str, Callable[[bytes, bool], Iterator[bytes]]] = {
    "gzip": _gzip,
    "x-gzip": _gzip,  # RFC 9110, 8.4.1.3: the same thing
    "deflate": _deflate,
    "br": _brotli,
    "zstd": _zstd,
}
