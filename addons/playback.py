"""One response on its way back to a client: its head and the framing of its body, as bytes for HTTP/1.

The headers are the recorded ones. The framing is made anew, for the cassette has none: a go-vcr recording shows
a response as Go's transport hands it out, transfer-decoded and mostly decompressed. Pure.
"""

from __future__ import annotations

import enum
import re
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from cassette.model import Response, Values
from cassette.pacing import Schedule

_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_UNSENDABLE = re.compile(r"[\r\n\0]+")
_REMADE = frozenset({b"content-length", b"transfer-encoding", b"trailer"})
_GZIP_WRAPPER = 31
_FAST = 1
"""A replay is local: bytes are cheap, waiting is not."""


class Framing(enum.Enum):
    """How the end of a body is told (RFC 9112, 6.3)."""

    NO_BODY = "no body"
    LENGTH = "Content-Length"
    CHUNKED = "chunked"
    UNTIL_CLOSE = "the connection's end"
    """For clients of HTTP/1.0, which know no chunks."""


@dataclass(frozen=True, slots=True)
class Playback:
    """A response and when its parts are due. The pieces can be taken once."""

    response: Response
    schedule: Schedule
    started_ns: int
    """Monotonic time of the request's end, from which everything is due."""
    compressed: bool = False
    """Whether the body goes out with gzip, which the client must have asked for."""

    def framing(self, method: str, *, http_1_0: bool) -> Framing:
        """Return how the body is framed in the answer to a request."""
        response = self.response
        if method == "HEAD" or response.code in (204, 304):
            return Framing.NO_BODY
        if response.content_length == len(response.body) and not self.compressed:
            return Framing.LENGTH
        return Framing.UNTIL_CLOSE if http_1_0 else Framing.CHUNKED

    def head(self, framing: Framing) -> bytes:
        """Return the status line with the recorded reason, and the header fields."""
        response = self.response
        reason = _text(response.status.partition(" ")[2])
        lines = [b"HTTP/1.1 %d %s" % (response.code, reason)]
        lines += [
            b"%s: %s" % (name, value)
            for name, value in header_fields(response.headers)
            if name.lower() not in _REMADE
        ]
        if self.compressed:
            lines.append(b"Content-Encoding: gzip")
        if framing is Framing.CHUNKED:
            lines.append(b"Transfer-Encoding: chunked")
        elif framing is Framing.LENGTH or (
            # A length without a body: what GET would have sent (RFC 9110, 9.3.2). Go shows 0 for 204 and 304.
            framing is Framing.NO_BODY and response.content_length >= 0 and response.code not in (204, 304)
        ):
            lines.append(b"Content-Length: %d" % response.content_length)
        return b"\r\n".join([*lines, b"", b""])

    def body(self, framing: Framing) -> Iterator[tuple[int, bytes]]:
        """Give what goes out after the head, one write each: when it is due, and the bytes.

        The end of a chunked body is a write of its own, due with the last piece.
        """
        if framing is Framing.NO_BODY:
            return
        due_ns = self.schedule.head_due_ns
        pack, finish = _packer() if self.compressed else (_as_it_is, bytes)
        frame = _chunk if framing is Framing.CHUNKED else _as_it_is
        for piece in self.schedule.pieces:
            due_ns = piece.due_ns
            yield due_ns, frame(pack(piece.data))
        if last := finish():
            yield due_ns, frame(last)
        if framing is Framing.CHUNKED:
            yield due_ns, b"0\r\n\r\n"


def header_fields(values: Values) -> list[tuple[bytes, bytes]]:
    """Return recorded header fields as they go over the wire; what is no name of a field is left out."""
    return [
        (name.encode("ascii"), _text(value))
        for name, lines in values.items()
        if _NAME.fullmatch(name)
        for value in lines
    ]


def _packer() -> tuple[Callable[[bytes], bytes], Callable[[], bytes]]:
    """Return what compresses a piece so that it can be read at once, and what ends the stream."""
    gzip = zlib.compressobj(_FAST, wbits=_GZIP_WRAPPER)

    def pack(data: bytes) -> bytes:
        return gzip.compress(data) + gzip.flush(zlib.Z_SYNC_FLUSH)

    return pack, gzip.flush


def _as_it_is(data: bytes) -> bytes:
    return data


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


def _text(value: str) -> bytes:
    """Return a field value, or a reason, as bytes that cannot end its line: a cassette may be edited by hand."""
    return _UNSENDABLE.sub(" ", value).strip().encode("utf-8", "surrogateescape")
