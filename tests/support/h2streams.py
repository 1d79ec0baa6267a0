"""An HTTP/2 upstream whose streams a test plays by hand: many frames, of several streams, in one write.

streams = Streams()
...                                     # two requests have come, and have their heads
with streams.together() as frames:
    frames.data(1, b"one")
    frames.data(3, b"two", end=True)
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from hyperframe.frame import DataFrame

from tests.support.scripts import Pairs, Received, Reply


class Frames:
    """What is to be written together; streams go by the upstream's numbers."""

    def __init__(self, protocol: Any) -> None:
        self._protocol = protocol
        self._parts: list[bytes] = []

    def data(self, stream: int, data: bytes, *, end: bool = False, padding: int | None = None) -> None:
        """Add a DATA frame."""
        self._protocol.send_data(stream, data, end_stream=end, pad_length=padding)

    def trailers(self, stream: int, trailers: Pairs) -> None:
        """End a stream with trailers."""
        self._protocol.send_headers(stream, list(trailers), end_stream=True)

    def reset(self, stream: int) -> None:
        """Reset a stream."""
        self._protocol.reset_stream(stream, 2)

    def raw(self, frame: bytes) -> None:
        """Add a frame that hyper-h2 is not told of."""
        self._parts += [self._protocol.data_to_send(), frame]

    def late_data(self, stream: int, data: bytes) -> None:
        """Add a DATA frame of a stream that the client has reset by now."""
        self.raw(DataFrame(stream, data).serialize())

    def take(self) -> bytes:
        """Return all of it."""
        self._parts.append(self._protocol.data_to_send())
        return b"".join(self._parts)


class Streams:
    """Answers every request with a head; the rest is the test's."""

    def __init__(self) -> None:
        self._connection: Any = None
        self.reply: Reply | None = None
        """The latest."""

    def __call__(self, _request: Received, reply: Reply) -> None:
        """Send the head."""
        self._connection, self.reply = reply._connection, reply  # type: ignore[attr-defined]
        reply.head(200, [("content-type", "text/event-stream")])

    @contextlib.contextmanager
    def together(self, *, cut_every: int = 0) -> Iterator[Frames]:
        """Write what is told to the frames at once; or `cut_every` so many bytes, in writes of their own."""
        connection = self._connection
        with connection.turn:
            frames = Frames(connection.protocol)
            yield frames
            data = frames.take()
            step = cut_every or len(data)
            for at in range(0, len(data), step):
                connection.wire.send(data[at : at + step])

    def was_reset(self, stream: int) -> bool:
        """Tell whether the client has reset a stream."""
        with self._connection.turn:
            return stream in self._connection.reset_streams

    def is_closed(self) -> bool:
        """Tell whether the client has closed the connection."""
        with self._connection.turn:
            return bool(self._connection.closed)
