"""Write AWS event stream messages, as an upstream does."""

from __future__ import annotations

import json
import struct
import zlib
from base64 import b64encode
from collections.abc import Mapping


def string_header(name: str, value: str) -> bytes:
    """Return a header of type string."""
    return raw_header(name, 7, struct.pack(">H", len(value.encode())) + value.encode())


def raw_header(name: str, kind: int, value: bytes) -> bytes:
    """Return a header of any type, its value as the wire has it."""
    return bytes([len(name.encode())]) + name.encode() + bytes([kind]) + value


def frame(headers: bytes, payload: bytes) -> bytes:
    """Return a message with both checksums."""
    prelude = struct.pack(">II", 16 + len(headers) + len(payload), len(headers))
    body = prelude + struct.pack(">I", zlib.crc32(prelude)) + headers + payload
    return body + struct.pack(">I", zlib.crc32(body))


def event(event_type: str, value: object) -> bytes:
    """Return an event with a JSON payload, as `converse-stream` sends it."""
    headers = (
        string_header(":event-type", event_type)
        + string_header(":content-type", "application/json")
        + string_header(":message-type", "event")
    )
    return frame(headers, json.dumps(value).encode())


def chunk(value: Mapping[str, object]) -> bytes:
    """Return a model's own event, as `invoke-with-response-stream` wraps it."""
    return event("chunk", {"bytes": b64encode(json.dumps(value).encode()).decode(), "p": "abcdef"})


def exception(kind: str, message: str) -> bytes:
    """Return an exception, which ends a stream."""
    headers = string_header(":exception-type", kind) + string_header(":message-type", "exception")
    return frame(headers, json.dumps({"message": message}).encode())
