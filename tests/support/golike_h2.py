"""HTTP/2 for the client that behaves like Go's: one connection, one stream at a time."""

from __future__ import annotations

import ssl
from urllib.parse import SplitResult

import h2.config
import h2.connection
import h2.events
import h2.exceptions

from tests.support.golike_h1 import Fields, Reader
from tests.support.scripts import Pairs


class Http2Connection:
    """A connection to a server, through a tunnel or not."""

    proto = "HTTP/2.0"
    user_agent = "Go-http-client/2.0"
    reusable = True

    def __init__(self, sock: ssl.SSLSocket) -> None:
        self._sock = sock
        config = h2.config.H2Configuration(client_side=True, header_encoding="utf-8")
        self._protocol = h2.connection.H2Connection(config=config)
        self._protocol.initiate_connection()
        self._flush()

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
        stream: int = self._protocol.get_next_available_stream_id()
        pseudo = [
            (":authority", parts.netloc),
            (":method", method),
            (":path", target),
            (":scheme", parts.scheme),
        ]
        fields = [*pseudo, *((name.lower(), value) for name, value in headers)]
        self._protocol.send_headers(stream, fields, end_stream=not body)
        self._flush()
        events: list[h2.events.Event] = []
        self._send_body(stream, body, events)
        return self._read(stream, events, reader)

    def _send_body(self, stream: int, body: bytes, events: list[h2.events.Event]) -> None:
        while body:
            window: int = self._protocol.local_flow_control_window(stream)
            largest: int = self._protocol.max_outbound_frame_size
            size = min(window, largest)
            if size > 0:
                self._protocol.send_data(stream, body[:size], end_stream=size >= len(body))
                body = body[size:]
                self._flush()
            else:
                events += self._receive()

    def _read(
        self,
        stream: int,
        events: list[h2.events.Event],
        reader: Reader,
    ) -> tuple[int, Fields, Fields]:
        status = 0
        head: Fields = ()
        trailers: Fields = ()
        while True:
            for event in events:
                if getattr(event, "stream_id", stream) != stream:
                    continue
                if isinstance(event, h2.events.ResponseReceived):
                    fields = _text(event.headers)
                    status = int(dict(fields)[":status"])
                    head = tuple(pair for pair in fields if not pair[0].startswith(":"))
                    reader.start(head)
                elif isinstance(event, h2.events.DataReceived):
                    self._protocol.acknowledge_received_data(event.flow_controlled_length, stream)
                    self._flush()
                    reader.feed(event.data or b"")
                elif isinstance(event, h2.events.TrailersReceived):
                    trailers = _text(event.headers)
                elif isinstance(event, h2.events.StreamReset):
                    raise ConnectionResetError(f"the server reset the stream, code {event.error_code}")
                elif isinstance(event, h2.events.StreamEnded):
                    return status, head, trailers
            events = self._receive()

    def _receive(self) -> list[h2.events.Event]:
        data = self._sock.recv(65536)
        if not data:
            raise ConnectionResetError("the server closed the connection")
        events: list[h2.events.Event] = self._protocol.receive_data(data)
        self._flush()
        return events

    def _flush(self) -> None:
        data: bytes = self._protocol.data_to_send()
        if data:
            self._sock.sendall(data)


def _text(headers: object) -> Fields:
    # h2 hands out str pairs when it was given a header encoding; its types leave that open.
    assert isinstance(headers, list)
    return tuple((str(name), str(value)) for name, value in headers)
