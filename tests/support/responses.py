"""Recorded responses to play."""

from __future__ import annotations

import zlib

from cassette.model import Response, Values

JSON_LINES = "application/x-ndjson"
TEXT = "text/plain"


def response(
    body: bytes = b"",
    content_type: str = "",
    code: int = 200,
    status: str = "200 OK",
    headers: Values | None = None,
    trailer: Values | None = None,
    content_length: int = -1,
    duration_ns: int = 0,
) -> Response:
    """Return a response as a cassette holds it."""
    fields = {"Content-Type": (content_type,)} if content_type else {}
    return Response(
        status,
        code,
        body,
        {**fields, **(headers or {})},
        trailer=trailer or {},
        content_length=content_length,
        duration_ns=duration_ns,
    )


def flushed(*texts: bytes, wbits: int = 31) -> list[bytes]:
    """Return what a server sends that compresses a stream: a chunk for each text, and the end."""
    packer = zlib.compressobj(wbits=wbits)
    chunks = [packer.compress(text) + packer.flush(zlib.Z_SYNC_FLUSH) for text in texts]
    return [*chunks, packer.flush()]
