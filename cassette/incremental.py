"""Undo content codings chunk by chunk, to learn how much text each chunk of a body brought.

For bodies that `encodings.decode` has undone as a whole: that has checked them, and bounded their length.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

import brotli
import zstandard

_GZIP_WRAPPER = 31
_ZLIB_WRAPPER = 15
_NO_WRAPPER = -15


class _Unpacker(Protocol):
    """What the decompressors of zlib and zstandard have in common."""

    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, /) -> bytes: ...


def decoded_sizes(chunks: Iterable[bytes], codings: Sequence[str]) -> list[int] | None:
    """Return how many bytes of text each chunk adds; None when the chunks are not coded as `codings` says.

    The codings are in the order applied, as `encodings.content_codings` returns them. A decoder may hold
    bytes back until more has come: they count for the chunk that sets them free, as they did for a client.
    """
    try:
        steps = [_STEPS[name]() for name in reversed(codings)]
        return [len(_through(steps, chunk)) for chunk in chunks]
    except (KeyError, zlib.error, brotli.error, zstandard.ZstdError):
        return None


def _through(steps: Sequence[Callable[[bytes], bytes]], data: bytes) -> bytes:
    for step in steps:
        data = step(data)
    return data


class _Members:
    """A coding whose stream may be several in a row: gzip members, zstd frames."""

    def __init__(self, begin: Callable[[], _Unpacker]) -> None:
        self._begin = begin
        self._unpacker = begin()

    def __call__(self, data: bytes) -> bytes:
        text = []
        while data:
            if self._unpacker.eof:
                self._unpacker = self._begin()
            text.append(self._unpacker.decompress(data))
            data = self._unpacker.unused_data if self._unpacker.eof else b""
        return b"".join(text)


class _Deflate:
    """The zlib format or a bare deflate stream; the first two bytes tell, as in `encodings`."""

    def __init__(self) -> None:
        self._start = b""
        self._unpacker: _Unpacker | None = None

    def __call__(self, data: bytes) -> bytes:
        if self._unpacker is None:
            data = self._start + data
            if len(data) < 2:
                self._start = data
                return b""
            wrapped = data[0] & 0x0F == 8 and int.from_bytes(data[:2], "big") % 31 == 0
            self._unpacker = zlib.decompressobj(_ZLIB_WRAPPER if wrapped else _NO_WRAPPER)
        return self._unpacker.decompress(data)


def _gzip() -> Callable[[bytes], bytes]:
    return _Members(lambda: zlib.decompressobj(_GZIP_WRAPPER))


def _brotli() -> Callable[[bytes], bytes]:
    process: Callable[[bytes], bytes] = brotli.Decompressor().process
    return process


def _zstd() -> Callable[[bytes], bytes]:
    return _Members(zstandard.ZstdDecompressor().decompressobj)


_STEPS: dict[str, Callable[[], Callable[[bytes], bytes]]] = {
    "gzip": _gzip,
    "x-gzip": _gzip,
    "deflate": _Deflate,
    "br": _brotli,
    "zstd": _zstd,
}
