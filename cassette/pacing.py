r"""How a recorded response goes out again: its body in pieces at event boundaries, each with its time.

    b"data: 1\n\ndata: 2\n\n"  ─▶  b"data: 1\n\n", b"data: 2\n\n"  ─▶  due 0.2 s, 0.4 s behind the request's end

A client that streams waits for whole events, so an event is due when the last of its bytes had come. Pure: no
clock is read here, and nothing waits. Splitting is lazy, so that a long body does not delay its own first piece.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from cassette.eventstream import looks_like_event_stream
from cassette.model import Response
from cassette.timing import Timing

AT_ONCE = 0.0
"""The factor under which nothing waits."""
PIECE_BYTES = 16 * 1024
"""Where a long body without events is cut: what fits into one TLS record (RFC 8446, 5.1)."""

_JSON_LINES = frozenset(
    [
        "application/json-lines",
        "application/json-seq",
        "application/jsonl",
        "application/jsonlines",
        "application/ndjson",
        "application/stream+json",
        "application/x-jsonlines",
        "application/x-ndjson",
    ]
)
# A line end is CRLF, LF or CR (WHATWG HTML, 9.2.6); the first one of a blank line's two must not be half a CRLF.
_BLANK_LINE = re.compile(rb"\n[\r\n]+|\r(?!\n)[\r\n]+")
_LINE_END = re.compile(rb"\n[\r\n]*")
_FIRST_FIELD = re.compile(rb"(?:\xef\xbb\xbf)?(?:data|event|id|retry)?:")
_TWO_OBJECTS = re.compile(rb"\{[^\r\n]*\}\r?\n\{")


@dataclass(frozen=True, slots=True)
class ScheduledPiece:
    """Bytes that go out together, and when, counted from the end of the request."""

    due_ns: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Schedule:
    """When a response's head and the pieces of its body are due."""

    head_due_ns: int
    pieces: Iterator[ScheduledPiece]
    """In order, to be taken once; times never go back. Together they are the body."""


def due(due_ns: int, started_ns: int, now_ns: int) -> int:
    """Return how many nanoseconds are left until something is due, 0 when it is; `started_ns` is the request's end.

    Always counted from the start: what went out late makes the next wait shorter.
    """
    return max(0, started_ns + due_ns - now_ns)


def split_body(response: Response) -> tuple[bytes, ...]:
    """Return the body in pieces: one for each event, for each JSON line, for each AWS event-stream message.

    Blank lines and empty lines go with the piece before them. What has no such boundaries, or is still
    content-encoded, is cut by size. None of the pieces is empty; joined they are the body.
    """
    return tuple(_split(response))


def schedule(response: Response, timing: Timing | None, factor: float) -> Schedule:
    """Say when the head and each piece go out, times multiplied by `factor`, which is not negative.

    With recorded times an event is due with the chunk that completed it; a body without events goes out in the
    chunks it came in. Without them, or when they do not fit the body, the recorded `duration` is spread evenly:
    the first of four pieces after a quarter of it, together with the head, the last at its end.
    """
    if factor == AT_ONCE:
        return Schedule(0, (ScheduledPiece(0, piece) for piece in _split(response)))
    if timing is not None and timing.fits(response.body):
        return Schedule(round(timing.head_ns * factor), _as_recorded(response, timing, factor))
    return _evenly(response, factor)


def _evenly(response: Response, factor: float) -> Schedule:
    pieces = split_body(response)
    duration_ns = max(0, response.duration_ns) * factor
    count = max(1, len(pieces))
    scheduled = (
        ScheduledPiece(round(duration_ns * number / count), piece) for number, piece in enumerate(pieces, 1)
    )
    return Schedule(round(duration_ns / count), scheduled)


def _as_recorded(response: Response, timing: Timing, factor: float) -> Iterator[ScheduledPiece]:
    chunks = iter(timing.chunks)
    if _boundaries(response) is None:
        end = 0
        for at_ns, size in chunks:
            start, end = end, end + size
            for piece in _by_size(response.body[start:end]):
                yield ScheduledPiece(round(at_ns * factor), piece)
        return
    sent = came = at_ns = 0
    for piece in _split(response):
        sent += len(piece)
        while came < sent:
            at_ns, size = next(chunks)
            came += size
        yield ScheduledPiece(round(at_ns * factor), piece)


def _split(response: Response) -> Iterator[bytes]:
    boundaries = _boundaries(response)
    return _by_size(response.body) if boundaries is None else _at(boundaries, response.body)


def _boundaries(response: Response) -> Iterator[int] | None:
    """Return where in the body events end, without the body's own end; None when it has none."""
    body = response.body
    if _header(response, "content-encoding").strip().lower() not in ("", "identity"):
        return None
    media_type = _header(response, "content-type").partition(";")[0].strip().lower()
    if media_type == "text/event-stream" or (not media_type and _FIRST_FIELD.match(body)):
        return (found.end() for found in _BLANK_LINE.finditer(body))
    if media_type in _JSON_LINES or (not media_type and _TWO_OBJECTS.match(body)):
        return (found.end() for found in _LINE_END.finditer(body))
    if looks_like_event_stream(body):
        return _message_ends(body)
    return None


def _message_ends(body: bytes) -> Iterator[int]:
    """Give the ends of AWS messages; what follows a message whose prelude is broken belongs together."""
    end = 0
    while looks_like_event_stream(body[end : end + 12]):
        length = int.from_bytes(body[end : end + 4], "big")
        if not 0 < length <= len(body) - end:
            return
        end += length
        yield end


def _at(boundaries: Iterator[int], body: bytes) -> Iterator[bytes]:
    start = 0
    for end in boundaries:
        yield body[start:end]
        start = end
    if start < len(body):
        yield body[start:]


def _by_size(body: bytes) -> Iterator[bytes]:
    for start in range(0, len(body), PIECE_BYTES):
        yield body[start : start + PIECE_BYTES]


def _header(response: Response, name: str) -> str:
    """Return the first value of a header, whatever the case of its name: cassettes are edited by hand."""
    return next((values[0] for key, values in response.headers.items() if values and key.lower() == name), "")
