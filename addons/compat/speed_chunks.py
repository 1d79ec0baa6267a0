"""The chunked coding (RFC 9112, 7.1), read in one go: what is plain is cut into pieces, the rest is h11's.

Works on the state of h11's own reader, which goes on wherever this one stops.
"""

from __future__ import annotations

import re
from typing import Any

from h11._readers import ChunkedReader

_HEAD = re.compile(rb"0{0,5}([1-9A-Fa-f][0-9A-Fa-f]{0,14})[ \t]*\r\n")
"""Of a chunk that is not the last one and has no extension; h11 allows 20 digits."""
_END = b"\r\n"
_COUNTS = isinstance(getattr(ChunkedReader(), "_bytes_to_discard", None), int)
"""Whether h11 keeps the number of bytes to come behind a chunk, as 0.14 does, or the bytes themselves, as 0.16."""


def take(reader: Any, data: bytes) -> tuple[list[bytes], int]:
    """Return the pieces of chunks that `data` holds, and where they end: behind it, or at what h11 has to read.

    A chunk that is cut in two gives two pieces, as h11 gives them. The reader's state is then that of this place.
    """
    pieces: list[bytes] = []
    if reader._reading_trailer:
        return pieces, 0
    at, size = 0, len(data)
    missing = reader._bytes_to_discard
    if missing:
        end = _END[-missing:] if _COUNTS else bytes(missing)
        if not data.startswith(end):
            return pieces, 0
        at = len(end)
    left: int = reader._bytes_in_chunk
    missing = b""
    while at < size:
        if not left:
            head = _HEAD.match(data, at)
            if head is None:
                break
            left = int(head[1], 16)
            at = head.end()
        end_at = at + left
        if end_at > size:
            if at < size:
                pieces.append(data[at:])
            left -= size - at
            at = size
            break
        pieces.append(data[at:end_at])
        left = 0
        at = end_at + 2
        if data[end_at:at] != _END:
            # Cut in two, or wrong: both are h11's.
            at, missing = end_at, _END
            break
    reader._bytes_in_chunk = left
    reader._bytes_to_discard = len(missing) if _COUNTS else missing
    return pieces, at
