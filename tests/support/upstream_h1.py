"""The HTTP/1.1 side of the scripted upstream: h11 reads requests and frames answers; `raw` goes past it."""

from __future__ import annotations

from collections.abc import Callable

import h11

from tests.support.scripts import Framing, Pairs, Received, Reply
from tests.support.wire import Wire

_MAX_HEAD_BYTES = 1 << 20


class _Http1Reply(Reply):
    def __init__(self, wire: Wire, protocol: h11.Connection) -> None:
        self._wire = wire
        self._protocol = protocol
        self._framing = Framing.AUTO
        self.keeps_alive = True
        """Whether another request may follow on this connection."""

    def inform(self, status: int, headers: Pairs = ()) -> None:
        self._send(h11.InformationalResponse(status_code=status, headers=_encode(headers)))

    def head(
        self,
        status: int,
        headers: Pairs = (),
        *,
        reason: str | None = None,
        framing: Framing = Framing.AUTO,
        end: bool = False,
    ) -> None:
        self._framing = framing
        text = _REASONS.get(status, "") if reason is None else reason
        if framing is Framing.EOF:
            lines = "".join(f"{name}: {value}\r\n" for name, value in headers)
            self.raw(f"HTTP/1.1 {status} {text}\r\n{lines}\r\n".encode("latin-1"))
            return
        self._send(h11.Response(status_code=status, headers=_encode(headers), reason=text.encode("latin-1")))
        if end:
            self.end()

    def data(self, data: bytes) -> None:
        if self._framing is Framing.EOF:
            self._wire.send(data)
        else:
            self._send(h11.Data(data=data))

    def end(self, trailers: Pairs = ()) -> None:
        if self._framing is Framing.EOF:
            self._wire.finish()
        else:
            self._send(h11.EndOfMessage(headers=_encode(trailers)))

    def raw(self, data: bytes) -> None:
        self.keeps_alive = False
        self._wire.send(data)

    def reset(self) -> None:
        self.keeps_alive = False
        self._wire.reset()

    def leave(self) -> None:
        self.keeps_alive = False
        self._wire.drop()

    def _send(self, event: h11.Event) -> None:
        data = self._protocol.send(event)
        if data:
            self._wire.send(data)


def serve_h1(wire: Wire, play: Callable[[Received, Reply], None], number: int) -> None:
    """Serve the requests of one connection until either side ends it."""
    protocol = h11.Connection(h11.SERVER, max_incomplete_event_size=_MAX_HEAD_BYTES)
    while (request := _read_request(wire, protocol, number)) is not None:
        if request.method == "CONNECT":
            return  # for the proxy that had this port before, in another test that goes on
        reply = _Http1Reply(wire, protocol)
        play(request, reply)
        if not reply.keeps_alive or protocol.our_state is not h11.DONE:
            return
        protocol.start_next_cycle()


def _read_request(wire: Wire, protocol: h11.Connection, number: int) -> Received | None:
    head: h11.Request | None = None
    body = bytearray()
    while True:
        try:
            event = protocol.next_event()
        except h11.RemoteProtocolError:
            return None  # the client left in the middle of its request
        if event is h11.NEED_DATA:
            if protocol.they_are_waiting_for_100_continue:
                wire.send(protocol.send(h11.InformationalResponse(status_code=100, headers=[])) or b"")
            protocol.receive_data(wire.recv())
        elif isinstance(event, h11.Request):
            head = event
        elif isinstance(event, h11.Data):
            body += event.data
        elif isinstance(event, h11.EndOfMessage) and head is not None:
            headers = _decode(head.headers.raw_items())
            return Received(
                method=head.method.decode(),
                target=head.target.decode(),
                authority=next((value for name, value in headers if name.lower() == "host"), ""),
                version=f"HTTP/{head.http_version.decode()}",
                headers=headers,
                body=bytes(body),
                trailers=_decode(event.headers.raw_items()),
                host=wire.host,
                connection=number,
            )
        else:
            return None


def _encode(headers: Pairs) -> list[tuple[bytes, bytes]]:
    return [(name.encode("latin-1"), value.encode("utf-8", "surrogateescape")) for name, value in headers]


def _decode(headers: list[tuple[bytes, bytes]]) -> tuple[tuple[str, str], ...]:
    return tuple(
        (name.decode("latin-1"), value.decode("utf-8", "surrogateescape")) for name, value in headers
    )


_REASONS = {
    200: "OK",
    201: "Created",
    202: "Accepted",
    204: "No Content",
    206: "Partial Content",
    301: "Moved Permanently",
    304: "Not Modified",
    307: "Temporary Redirect",
    400: "Bad Request",
    401: "Unauthorized",
    404: "Not Found",
    429: "Too Many Requests",
    500: "Internal Server Error",
    502: "Bad Gateway",
    503: "Service Unavailable",
    529: "Site is overloaded",
}
