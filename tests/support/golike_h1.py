"""HTTP/1.1 for the client that behaves like Go's: one connection, one exchange at a time."""

from __future__ import annotations

import socket
from typing import Protocol
from urllib.parse import SplitResult

import h11

from tests.support.scripts import Pairs

Fields = tuple[tuple[str, str], ...]


class Reader(Protocol):
    """What takes the response's body."""

    def start(self, fields: Pairs) -> None:
        """Look at the response's headers."""

    def feed(self, data: bytes) -> None:
        """Take the next piece of the body."""


class Http1Connection:
    """A connection to a server, or to a proxy that is spoken to in the clear."""

    proto = "HTTP/1.1"
    user_agent = "Go-http-client/1.1"

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._protocol = h11.Connection(h11.CLIENT)
        self.reusable = True
        """Whether the server keeps the connection open for the next exchange."""

    def close(self) -> None:
        """Close the connection."""
        self._sock.close()

    def exchange(
        self,
        method: str,
        parts: SplitResult,
        target: str,
        headers: Pairs,
        body: bytes,
        reader: Reader,
    ) -> tuple[int, Fields, Fields]:
        """Send one request, hand out the body as it comes; return status, headers and trailers."""
        fields = [("Host", parts.netloc), *headers]
        if body and not any(name == "Content-Length" for name, _ in headers):
            fields.append(("Transfer-Encoding", "chunked"))
        self._send(h11.Request(method=method, target=target, headers=_encode(fields)))
        if body:
            self._send(h11.Data(data=body))
        self._send(h11.EndOfMessage())
        status = 0
        head: Fields = ()
        while True:
            event = self._protocol.next_event()
            if event is h11.NEED_DATA:
                self._protocol.receive_data(self._sock.recv(65536))
            elif isinstance(event, h11.Response):
                status, head = event.status_code, _decode(event.headers.raw_items())
                reader.start(head)
            elif isinstance(event, h11.Data):
                reader.feed(bytes(event.data))
            elif isinstance(event, h11.EndOfMessage):
                _, ended_by_eof = self._protocol.trailing_data
                done = self._protocol.our_state is h11.DONE and self._protocol.their_state is h11.DONE
                self.reusable = done and not ended_by_eof
                if self.reusable:
                    self._protocol.start_next_cycle()
                return status, head, _decode(event.headers.raw_items())
            elif isinstance(event, h11.ConnectionClosed):
                raise ConnectionResetError("the server closed without an answer")

    def _send(self, event: h11.Event) -> None:
        data = self._protocol.send(event)
        if data:
            self._sock.sendall(data)


def _encode(headers: Pairs) -> list[tuple[bytes, bytes]]:
    return [(name.encode("latin-1"), value.encode("utf-8", "surrogateescape")) for name, value in headers]


def _decode(headers: list[tuple[bytes, bytes]]) -> Fields:
    return tuple(
        (name.decode("latin-1"), value.decode("utf-8", "surrogateescape")) for name, value in headers
    )
