"""The journal's records: how one event of an exchange stands in a segment, and how it is read back.

Pure: works on any buffer. `segments` owns the files. A record is

    | size u32 | crc u32 | kind u32 | exchange u64 | at_ns u64 | payload ... | padding to 4 |

little-endian; `size` counts header and payload without the padding, the checksum covers all but itself. A buffer
is zero where nothing was written, so a size of zero is the end. The header is stored after the payload: a writer
that dies in between leaves either zeros or a checksum that does not match, never a record that looks whole.
"""

from __future__ import annotations

import enum
import json
import struct
from dataclasses import dataclass
from typing import Any
from zlib import crc32

from cassette.exchange import HeaderPairs, Outcome, RequestHead, ResponseHead

_HEADER = struct.Struct("<IIIQQ")
_CHECKED = struct.Struct("<IIQQ")
HEADER_BYTES = _HEADER.size
MAX_PAYLOAD = 1 << 20
"""Longer payloads are split over several records; chosen, not measured."""
MORE = 0x100
"""Flag beside the kind: the payload goes on in the exchange's next record of this kind."""


class Kind(enum.IntEnum):
    """What a record tells; the payload's form stands behind each."""

    REQUEST_HEAD = 1  # JSON, see encode_request_head
    REQUEST_DATA = 2  # bytes
    REQUEST_END = 3  # JSON list of trailers, or nothing
    RESPONSE_HEAD = 4  # JSON, see encode_response_head
    RESPONSE_DATA = 5  # bytes, as they came: transfer-decoded, content-encoded
    RESPONSE_END = 6  # JSON list of trailers, or nothing
    FAILED = 7  # JSON [outcome, reason]
    DROPPED = 8  # text: why it is not to be recorded
    ROLLED = 9  # the journal goes on in the next segment


@dataclass(frozen=True, slots=True)
class Record:
    """One record as read; `at_ns` is monotonic time of the writing process."""

    kind: int
    exchange: int
    at_ns: int
    more: bool
    payload: memoryview | bytes
    next_at: int
    """Where in the buffer the next record starts."""


class Torn(enum.Enum):
    """Why no record could be read."""

    END = "end"
    """Nothing was written here yet."""
    BROKEN = "broken"
    """There is something whose checksum does not match: being written just now, or torn by a crash."""


def record_bytes(payload_bytes: int) -> int:
    """Return the space that a record with a payload of this size takes, padding included."""
    return (HEADER_BYTES + payload_bytes + 3) & ~3


def write_record(  # noqa: PLR0917 - on the hot path, where keywords cost
    buffer: Any, at: int, kind: int, exchange: int, at_ns: int, payload: bytes
) -> int:
    """Store one record at an offset of a writable buffer and return the offset behind it.

    The buffer must have `record_bytes(len(payload))` bytes of room there; a payload is at most MAX_PAYLOAD long.
    """
    size = HEADER_BYTES + len(payload)
    crc = crc32(payload, crc32(_CHECKED.pack(size, kind, exchange, at_ns)))
    if payload:
        buffer[at + HEADER_BYTES : at + size] = payload
    _HEADER.pack_into(buffer, at, size, crc, kind, exchange, at_ns)
    return at + ((size + 3) & ~3)


def read_record(buffer: memoryview | bytes, at: int) -> Record | Torn:
    """Read the record at an offset, or say why there is none. Never raises, whatever the bytes are."""
    room = len(buffer) - at
    if room < HEADER_BYTES:
        return Torn.END
    size, crc, kind, exchange, at_ns = _HEADER.unpack_from(buffer, at)
    if size == 0:
        return Torn.END
    if size < HEADER_BYTES or size > room:
        return Torn.BROKEN
    payload = buffer[at + HEADER_BYTES : at + size]
    if crc32(payload, crc32(_CHECKED.pack(size, kind, exchange, at_ns))) != crc:
        return Torn.BROKEN
    return Record(kind & ~MORE, exchange, at_ns, bool(kind & MORE), payload, at + ((size + 3) & ~3))


def glance(buffer: memoryview | bytes, at: int) -> tuple[int, int, int] | None:
    """Return (kind, exchange, where the next record starts) of the record at an offset; None where there is none.

    For records that were read before: the checksum is not looked at. Never raises.
    """
    room = len(buffer) - at
    if room < HEADER_BYTES:
        return None
    size, _, kind, exchange, _ = _HEADER.unpack_from(buffer, at)
    if not HEADER_BYTES <= size <= room:
        return None
    return kind & ~MORE, exchange, at + ((size + 3) & ~3)


def _dump(value: object) -> bytes:
    # Lone surrogates (bytes that were not UTF-8) survive as \udcXX escapes.
    return json.dumps(value, ensure_ascii=True, separators=(",", ":")).encode("ascii")


def encode_request_head(head: RequestHead) -> bytes:
    """Return the payload of a REQUEST_HEAD record."""
    return _dump([head.method, head.url, head.http_version, head.headers])


def decode_request_head(payload: bytes) -> RequestHead:
    """Read the payload of a REQUEST_HEAD record."""
    method, url, http_version, headers = json.loads(payload)
    return RequestHead(method, url, http_version, _pairs(headers))


def encode_response_head(head: ResponseHead) -> bytes:
    """Return the payload of a RESPONSE_HEAD record."""
    return _dump([head.http_version, head.code, head.reason, head.headers])


def decode_response_head(payload: bytes) -> ResponseHead:
    """Read the payload of a RESPONSE_HEAD record."""
    http_version, code, reason, headers = json.loads(payload)
    return ResponseHead(http_version, code, reason, _pairs(headers))


def encode_trailers(trailers: HeaderPairs) -> bytes:
    """Return the payload of an END record; no trailers, no bytes."""
    return _dump(trailers) if trailers else b""


def decode_trailers(payload: bytes) -> HeaderPairs:
    """Read the payload of an END record."""
    return _pairs(json.loads(payload)) if payload else ()


def encode_failure(outcome: Outcome, reason: str) -> bytes:
    """Return the payload of a FAILED record."""
    return _dump([outcome.name, reason])


def decode_failure(payload: bytes) -> tuple[Outcome, str]:
    """Read the payload of a FAILED record."""
    name, reason = json.loads(payload)
    return Outcome[name], reason


def _pairs(items: list[list[str]]) -> HeaderPairs:
    return tuple((name, value) for name, value in items)
