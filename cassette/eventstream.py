"""AWS event streams (`application/vnd.amazon.eventstream`): bytes in, messages out, checksums verified.

Amazon Bedrock streams its answers this way. A message (Smithy, "Amazon Event Stream Specification"; integers
big-endian, CRC-32 as in zlib):

    total length u32 | headers length u32 | prelude CRC u32 | headers | payload | message CRC u32

The prelude CRC covers the two lengths, the message CRC all before it. A stream that is broken or cut yields
the messages before that point and says what was wrong: a recording may well hold one.
"""

from __future__ import annotations

import datetime as dt
import struct
import uuid
import zlib
from collections.abc import Mapping
from dataclasses import dataclass

HeaderValue = bool | int | bytes | str | dt.datetime | uuid.UUID

_PRELUDE = struct.Struct(">III")
_CRC = struct.Struct(">I")
_SMALLEST = _PRELUDE.size + _CRC.size
MAX_HEADERS = 128 * 1024
"""The specification's limit for a message's headers, in bytes."""
MAX_MESSAGE = 24 * 1024 * 1024 + MAX_HEADERS + _SMALLEST
"""The specification's limit for a payload is 24 MiB."""
_INTEGERS = {2: struct.Struct(">b"), 3: struct.Struct(">h"), 4: struct.Struct(">i"), 5: struct.Struct(">q")}
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


@dataclass(frozen=True, slots=True)
class EventMessage:
    """One message whose two checksums were right."""

    headers: Mapping[str, HeaderValue]
    payload: bytes

    def text_header(self, name: str) -> str:
        """Return a header's value when it is a string, else the empty string."""
        value = self.headers.get(name)
        return value if isinstance(value, str) else ""


@dataclass(frozen=True, slots=True)
class EventStream:
    """The messages of a body, and what was wrong with the rest of it (empty when nothing was)."""

    messages: tuple[EventMessage, ...]
    problem: str = ""


class _BrokenMessageError(Exception):
    """What is wrong with a message; does not leave this module."""


def looks_like_event_stream(data: bytes) -> bool:
    """Say whether `data` starts with a prelude whose checksum is right; text practically never does."""
    if len(data) < _PRELUDE.size:
        return False
    return zlib.crc32(data[:8]) == int(_PRELUDE.unpack_from(data)[2])


def decode_event_stream(data: bytes) -> EventStream:
    """Return the messages of a body up to its end or to the first one that is broken; never raises."""
    messages: list[EventMessage] = []
    offset = 0
    while offset < len(data):
        try:
            message, length = _read_message(data, offset)
        except _BrokenMessageError as exc:
            return EventStream(tuple(messages), f"message {len(messages)} at byte {offset}: {exc}")
        messages.append(message)
        offset += length
    return EventStream(tuple(messages))


def _read_message(data: bytes, offset: int) -> tuple[EventMessage, int]:
    """Return the message at `offset` and its length."""
    rest = len(data) - offset
    if rest < _PRELUDE.size:
        raise _BrokenMessageError(f"cut in its prelude, {rest} of {_PRELUDE.size} bytes are there")
    total, headers_length, prelude_crc = _PRELUDE.unpack_from(data, offset)
    if zlib.crc32(data[offset : offset + 8]) != prelude_crc:
        raise _BrokenMessageError("the checksum of its prelude is wrong")
    if not _SMALLEST <= total <= MAX_MESSAGE or headers_length > min(MAX_HEADERS, total - _SMALLEST):
        raise _BrokenMessageError(f"impossible lengths: {total} bytes with {headers_length} of headers")
    if rest < total:
        raise _BrokenMessageError(f"cut, {rest} of {total} bytes are there")
    end = offset + total - _CRC.size
    if zlib.crc32(memoryview(data)[offset:end]) != _CRC.unpack_from(data, end)[0]:
        raise _BrokenMessageError("its checksum is wrong")
    headers_at = offset + _PRELUDE.size
    headers = _read_headers(data[headers_at : headers_at + headers_length])
    return EventMessage(headers, data[headers_at + headers_length : end]), total


def _read_headers(block: bytes) -> dict[str, HeaderValue]:
    """Return a message's headers: per header a name (u8 length), a type (u8) and a value."""
    headers: dict[str, HeaderValue] = {}
    offset = 0
    try:
        while offset < len(block):
            name_length = block[offset]
            name = block[offset + 1 : offset + 1 + name_length].decode("utf-8")
            offset += 1 + name_length
            headers[name], offset = _read_value(block, block[offset], offset + 1)
    except (IndexError, struct.error, UnicodeDecodeError, OverflowError) as exc:
        raise _BrokenMessageError("its headers are malformed") from exc
    return headers


def _read_value(block: bytes, kind: int, offset: int) -> tuple[HeaderValue, int]:
    """Return the value of a header of type `kind` that starts at `offset`, and where it ends."""
    if kind in (0, 1):
        return kind == 0, offset
    if kind in _INTEGERS:
        integer = _INTEGERS[kind]
        return int(integer.unpack_from(block, offset)[0]), offset + integer.size
    if kind in (6, 7):
        end = offset + 2 + int(struct.unpack_from(">H", block, offset)[0])
        raw = _exactly(block, offset + 2, end)
        return (raw if kind == 6 else raw.decode("utf-8")), end
    if kind == 8:
        milliseconds = int(struct.unpack_from(">q", block, offset)[0])
        return _EPOCH + dt.timedelta(milliseconds=milliseconds), offset + 8
    if kind == 9:
        return uuid.UUID(bytes=_exactly(block, offset, offset + 16)), offset + 16
    raise _BrokenMessageError(f"a header has the unknown type {kind}")


def _exactly(block: bytes, start: int, end: int) -> bytes:
    if end > len(block):
        raise IndexError(end)
    return block[start:end]
