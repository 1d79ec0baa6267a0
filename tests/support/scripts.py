"""What an upstream is told to do: the request it received, the reply it gives, and ready-made handlers.

A handler reads like a transcript::

    def handler(request: Received, reply: Reply) -> None:
        reply.head(200, [("Content-Type", "text/event-stream")])
        reply.data(b"data: one\\n\\n")
        gate.wait()
        reply.data(b"data: two\\n\\n")
        reply.end()
"""

from __future__ import annotations

import abc
import enum
import threading
import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

Pairs = Sequence[tuple[str, str]]

DEADLINE_S = 20.0
"""How long a script waits for the other side before it calls the test failed; chosen, not measured."""


@dataclass(frozen=True, slots=True)
class Received:
    """One request as it stood on the wire, its body complete."""

    method: str
    target: str
    """As in the request line, or `:path`."""
    authority: str
    """The Host field, or `:authority`."""
    version: str
    """`HTTP/1.1` or `HTTP/2.0`."""
    headers: tuple[tuple[str, str], ...]
    """In wire order and case, without HTTP/2's pseudo fields."""
    body: bytes
    trailers: tuple[tuple[str, str], ...] = ()
    host: str | None = None
    """The TLS server name; None in the clear."""
    connection: int = 0
    """Which of the upstream's connections it came on, from 1."""

    def header(self, name: str) -> str | None:
        """Return the first value of a header, whatever the case of its name."""
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)


class Framing(enum.Enum):
    """How an HTTP/1.1 body ends; HTTP/2 frames its bodies itself and ignores it."""

    AUTO = "Content-Length when the headers have one, else chunked"
    EOF = "the end of the connection"


class Reply(abc.ABC):
    """One response, told step by step; each step is on the wire when the call returns."""

    @abc.abstractmethod
    def inform(self, status: int, headers: Pairs = ()) -> None:
        """Send an interim (1xx) response."""

    @abc.abstractmethod
    def head(
        self,
        status: int,
        headers: Pairs = (),
        *,
        reason: str | None = None,
        framing: Framing = Framing.AUTO,
        end: bool = False,
    ) -> None:
        """Send the status line and the headers; `end` says with them that no body follows."""

    @abc.abstractmethod
    def data(self, data: bytes) -> None:
        """Send a piece of the body: a chunk of its own, a DATA frame of its own, or just bytes."""

    @abc.abstractmethod
    def end(self, trailers: Pairs = ()) -> None:
        """End the response as its framing says."""

    @abc.abstractmethod
    def raw(self, data: bytes) -> None:
        """Send bytes that no rule holds for, HTTP/1 text (which ends the connection) or HTTP/2 frames."""

    @abc.abstractmethod
    def reset(self) -> None:
        """Break off: RST on HTTP/1, RST_STREAM on HTTP/2."""

    @abc.abstractmethod
    def leave(self) -> None:
        """Close the connection here and now with a FIN and no goodbye, whatever was promised."""


Handler = Callable[[Received, Reply], None]


class Gate:
    """Something a script waits for; the test opens it. A script that waits in vain fails the test."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._event = threading.Event()

    def open(self) -> None:
        """Let the script go on."""
        self._event.set()

    def wait(self) -> None:
        """Return when the gate is open; `AssertionError` past the deadline."""
        if not self._event.wait(DEADLINE_S):
            raise AssertionError(f"waited {DEADLINE_S:.0f} s in vain for this: {self._what}")


def whole(status: int, headers: Pairs, body: bytes) -> Handler:
    """Answer with a body of known length."""

    def handler(request: Received, reply: Reply) -> None:
        bodyless = status in (204, 304) or status < 200
        length = [] if bodyless else [("Content-Length", str(len(body)))]
        if bodyless or not body or request.method == "HEAD":
            reply.head(status, [*headers, *length], end=True)
            return
        reply.head(status, [*headers, *length])
        reply.data(body)
        reply.end()

    return handler


def pieces(status: int, headers: Pairs, parts: Iterable[bytes], framing: Framing = Framing.AUTO) -> Handler:
    """Answer piece by piece: a chunk or frame of its own for each."""
    parts = tuple(parts)

    def handler(request: Received, reply: Reply) -> None:
        reply.head(status, headers, framing=framing)
        for part in parts:
            reply.data(part)
        reply.end()

    return handler


def gated(status: int, headers: Pairs, parts: Sequence[bytes], gates: Sequence[Gate]) -> Handler:
    """Answer piece by piece, each piece after the first only once its gate is open."""
    if len(gates) != len(parts) - 1:
        raise ValueError(f"{len(parts)} pieces need {len(parts) - 1} gates, not {len(gates)}")

    def handler(request: Received, reply: Reply) -> None:
        reply.head(status, headers)
        reply.data(parts[0])
        for part, gate in zip(parts[1:], gates, strict=True):
            gate.wait()
            reply.data(part)
        reply.end()

    return handler


def in_order(handlers: Iterable[Handler]) -> Handler:
    """Play one handler for each request, in order; one request too many fails the test."""
    waiting = iter(tuple(handlers))
    lock = threading.Lock()

    def handler(request: Received, reply: Reply) -> None:
        with lock:
            chosen = next(waiting, None)
        if chosen is None:
            raise AssertionError(f"no answer left for {request.method} {request.target}")
        chosen(request, reply)

    return handler


def gzip_pieces(parts: Iterable[bytes]) -> list[bytes]:
    """Compress each part so that it can be decoded without the next one; joined they are one gzip member."""
    packer = zlib.compressobj(wbits=31)
    packed = [packer.compress(part) + packer.flush(zlib.Z_SYNC_FLUSH) for part in parts]
    return [*packed[:-1], packed[-1] + packer.flush()] if packed else [packer.flush()]


def sse_events(body: bytes) -> list[bytes]:
    """Cut an event stream behind each blank line, whatever its line breaks; joined again it is the same."""
    events: list[bytes] = []
    event = b""
    for line in body.splitlines(keepends=True):
        event += line
        if not line.strip(b"\r\n"):
            events.append(event)
            event = b""
    return [*events, event] if event else events
