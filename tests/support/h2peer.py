"""An HTTP/2 client that keeps every event, opens windows only when told to, and can say GOAWAY."""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable

import h2.config
import h2.connection
import h2.errors
import h2.events
from hyperframe.frame import GoAwayFrame

from tests.support.scripts import DEADLINE_S, Pairs


def goaway(last_stream_id: int, error_code: int = 0) -> bytes:
    """Return a GOAWAY frame, for a script's `raw`."""
    return GoAwayFrame(0, last_stream_id=last_stream_id, error_code=error_code).serialize()


class EventClient:
    """One connection; bytes of the streams in `stalled` are not acknowledged. One thread uses it."""

    def __init__(self, sock: ssl.SSLSocket) -> None:
        assert sock.selected_alpn_protocol() == "h2"
        self.sock = sock
        self.stalled: set[int] = set()
        self.events: list[h2.events.Event] = []
        self.received: dict[int, int] = {}
        """Bytes of body, by stream."""
        self.pieces: dict[int, list[bytes]] | None = None
        """What each DATA frame held, by stream, once there is a dictionary for that."""
        self._unacknowledged: dict[int, int] = {}
        config = h2.config.H2Configuration(client_side=True, header_encoding="utf-8")
        self.protocol = h2.connection.H2Connection(config=config)
        self.protocol.initiate_connection()
        # Of the connection, so that a stream that is not read leaves room for the others, as in any client.
        self.protocol.increment_flow_control_window(1 << 24)
        self._flush()

    def begin(
        self,
        target: str,
        body: bytes | None = None,
        *,
        method: str = "GET",
        headers: Pairs = (),
        end: bool = True,
    ) -> int:
        """Send a request, its body as far as the windows allow at once; return its stream."""
        stream: int = self.protocol.get_next_available_stream_id()
        pseudo = [
            (":method", method),
            (":scheme", "https"),
            (":authority", "api.openai.com"),
            (":path", target),
        ]
        self.protocol.send_headers(stream, [*pseudo, *headers], end_stream=end and body is None)
        if body is not None:
            self.protocol.send_data(stream, body, end_stream=end)
        self._flush()
        return stream

    def ask(self, target: str) -> int:
        """Send a request without a body and read its answer; return its stream."""
        stream = self.begin(target)
        self.until(lambda: self.has_ended(stream))
        return stream

    def end(self, stream: int, trailers: Pairs = ()) -> None:
        """End a request."""
        if trailers:
            self.protocol.send_headers(stream, list(trailers), end_stream=True)
        else:
            self.protocol.end_stream(stream)
        self._flush()

    def send(self, stream: int, data: bytes) -> None:
        """Send a piece of a request's body."""
        self.protocol.send_data(stream, data)
        self._flush()

    def tell(self, settings: dict[int, int]) -> None:
        """Change settings."""
        self.protocol.update_settings(settings)
        self._flush()

    def raw(self, data: bytes) -> None:
        """Send a frame past hyper-h2."""
        self.sock.sendall(data)

    def cancel(self, stream: int) -> None:
        """Reset a stream."""
        self.protocol.reset_stream(stream, h2.errors.ErrorCodes.CANCEL)
        self._flush()

    def until(self, done: Callable[[], object], deadline_s: float = DEADLINE_S) -> None:
        """Read until the condition holds; `AssertionError` past the deadline, `ConnectionResetError` at the end."""
        deadline = time.monotonic() + deadline_s
        while not done():
            self.sock.settimeout(max(0.01, deadline - time.monotonic()))
            try:
                data = self.sock.recv(1 << 20)
            except TimeoutError:
                raise AssertionError(f"not within {deadline_s:.1f} s; had {self.events!r:.2000}") from None
            if not data:
                raise ConnectionResetError("the connection was closed")
            self._take(data)

    def acknowledge(self) -> None:
        """Open the windows for all that has come, and from now on."""
        self.stalled.clear()
        for stream, size in self._unacknowledged.items():
            self.protocol.acknowledge_received_data(size, stream)
        self._unacknowledged.clear()
        self._flush()

    def of(self, stream: int, kind: type[h2.events.Event]) -> list[h2.events.Event]:
        """Return the events of one kind on a stream."""
        return [
            one for one in self.events if isinstance(one, kind) and getattr(one, "stream_id", None) == stream
        ]

    def has_ended(self, *streams: int) -> bool:
        """Tell whether all these streams ended well."""
        return all(self.of(stream, h2.events.StreamEnded) for stream in streams)

    def was_reset(self, stream: int) -> bool:
        """Tell whether a stream was reset."""
        return bool(self.of(stream, h2.events.StreamReset))

    def status(self, stream: int) -> int:
        """Return the status of the final response."""
        (head,) = self.of(stream, h2.events.ResponseReceived)
        return int(dict(head.headers)[":status"])

    def close(self) -> None:
        """Hang up."""
        self.sock.close()

    def _take(self, data: bytes) -> None:
        for event in self.protocol.receive_data(data):
            if isinstance(event, h2.events.DataReceived):
                stream = event.stream_id or 0
                self.received[stream] = self.received.get(stream, 0) + len(event.data or b"")
                if self.pieces is not None:
                    self.pieces.setdefault(stream, []).append(event.data or b"")
                size = event.flow_controlled_length or 0
                if stream in self.stalled:
                    self._unacknowledged[stream] = self._unacknowledged.get(stream, 0) + size
                elif size:
                    self.protocol.acknowledge_received_data(size, stream)
            else:
                self.events.append(event)
        self._flush()

    def _flush(self) -> None:
        data: bytes = self.protocol.data_to_send()
        if data:
            self.sock.sendall(data)
