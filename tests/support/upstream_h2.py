"""The HTTP/2 side of the scripted upstream: one thread reads the connection, one more plays each request."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions
import h2.settings

from tests.support.scripts import DEADLINE_S, Framing, Pairs, Received, Reply
from tests.support.wire import Wire

Play = Callable[[Received, Reply], None]


@dataclass(slots=True)
class _Stream:
    headers: list[tuple[str, str]]
    body: bytearray = field(default_factory=bytearray)
    trailers: tuple[tuple[str, str], ...] = ()


class _Connection:
    """The state that the reading thread and the scripts share, under one lock."""

    def __init__(self, wire: Wire, play: Play, number: int) -> None:
        self.wire = wire
        self._play = play
        self._number = number
        self.turn = threading.Condition()
        self.closed = False
        self.reset_streams: set[int] = set()
        self._streams: dict[int, _Stream] = {}
        # With `validate_outbound_headers` off a script may say what no honest server would.
        config = h2.config.H2Configuration(
            client_side=False,
            header_encoding="utf-8",
            validate_outbound_headers=False,
            normalize_outbound_headers=True,
        )
        self.protocol = h2.connection.H2Connection(config=config)

    def serve(self) -> None:
        with self.turn:
            self.protocol.initiate_connection()
            self.protocol.update_settings({h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS: 100})
            self.flush()
        try:
            while data := self.wire.recv():
                with self.turn:
                    for event in self.protocol.receive_data(data):
                        self._handle(event)
                    self.flush()
                    self.turn.notify_all()
        except h2.exceptions.ProtocolError as error:
            raise ConnectionAbortedError(f"the client broke HTTP/2's rules: {error!r}") from error
        finally:
            with self.turn:
                self.closed = True
                self.turn.notify_all()

    def flush(self) -> None:
        """Send what the protocol has to say; the lock is held."""
        data: bytes = self.protocol.data_to_send()
        if data:
            self.wire.send(data)

    def _handle(self, event: h2.events.Event) -> None:
        if isinstance(event, h2.events.RequestReceived):
            self._streams[event.stream_id or 0] = _Stream(headers=_text(event.headers))
        elif isinstance(event, h2.events.TrailersReceived):
            self._streams[event.stream_id or 0].trailers = tuple(_text(event.headers))
        elif isinstance(event, h2.events.DataReceived):
            self._streams[event.stream_id or 0].body += event.data or b""
            self.protocol.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, h2.events.StreamEnded):
            self._start(event.stream_id or 0)
        elif isinstance(event, h2.events.StreamReset):
            self.reset_streams.add(event.stream_id or 0)
        # A client that says GOAWAY still waits for the streams it has opened: nothing to do then.

    def _start(self, stream_id: int) -> None:
        stream = self._streams.pop(stream_id)
        pseudo = {name: value for name, value in stream.headers if name.startswith(":")}
        request = Received(
            method=pseudo[":method"],
            target=pseudo.get(":path", ""),
            authority=pseudo.get(":authority", ""),
            version="HTTP/2.0",
            headers=tuple((name, value) for name, value in stream.headers if not name.startswith(":")),
            body=bytes(stream.body),
            trailers=stream.trailers,
            host=self.wire.host,
            connection=self._number,
        )
        reply = _Http2Reply(self, stream_id)
        threading.Thread(target=self._run, args=(request, reply), daemon=True).start()

    def _run(self, request: Received, reply: Reply) -> None:
        # OSError: the client left in the middle of the script; the test sees that on the client's side.
        with contextlib.suppress(OSError):
            self._play(request, reply)


class _Http2Reply(Reply):
    def __init__(self, connection: _Connection, stream_id: int) -> None:
        self._connection = connection
        self._stream_id = stream_id

    def inform(self, status: int, headers: Pairs = ()) -> None:
        self._headers([(":status", str(status)), *headers])

    def head(
        self,
        status: int,
        headers: Pairs = (),
        *,
        reason: str | None = None,
        framing: Framing = Framing.AUTO,
        end: bool = False,
    ) -> None:
        self._headers([(":status", str(status)), *headers], end=end)

    def data(self, data: bytes) -> None:
        connection = self._connection
        rest = memoryview(data)
        while rest:
            with connection.turn:
                size = self._room()
                connection.protocol.send_data(self._stream_id, bytes(rest[:size]))
                connection.flush()
            rest = rest[size:]

    def end(self, trailers: Pairs = ()) -> None:
        with self._connection.turn:
            self._check()
            if trailers:
                self._connection.protocol.send_headers(self._stream_id, list(trailers), end_stream=True)
            else:
                self._connection.protocol.end_stream(self._stream_id)
            self._connection.flush()

    def raw(self, data: bytes) -> None:
        with self._connection.turn:
            self._connection.wire.send(data)

    def reset(self) -> None:
        connection = self._connection
        with connection.turn:
            if not connection.closed and self._stream_id not in connection.reset_streams:
                connection.protocol.reset_stream(self._stream_id, h2.errors.ErrorCodes.INTERNAL_ERROR)
                connection.flush()

    def leave(self) -> None:
        self._connection.wire.drop()

    def _headers(self, headers: list[tuple[str, str]], *, end: bool = False) -> None:
        with self._connection.turn:
            self._check()
            self._connection.protocol.send_headers(self._stream_id, headers, end_stream=end)
            self._connection.flush()

    def _room(self) -> int:
        """Wait until the client's windows let something through; the lock is held."""
        connection = self._connection

        def window() -> int:
            self._check()
            size: int = connection.protocol.local_flow_control_window(self._stream_id)
            return size

        if not connection.turn.wait_for(lambda: window() > 0, DEADLINE_S):
            raise AssertionError(f"the client opened no window within {DEADLINE_S:.0f} s")
        largest: int = connection.protocol.max_outbound_frame_size
        return min(window(), largest)

    def _check(self) -> None:
        if self._connection.closed:
            raise ConnectionResetError("the client closed the connection")
        if self._stream_id in self._connection.reset_streams:
            raise ConnectionResetError("the client reset the stream")


def serve_h2(wire: Wire, play: Play, number: int) -> None:
    """Serve one connection until the client ends it."""
    _Connection(wire, play, number).serve()


def _text(headers: object) -> list[tuple[str, str]]:
    # h2 hands out str pairs when it was given a header encoding; its types leave that open.
    assert isinstance(headers, list)
    return [(str(name), str(value)) for name, value in headers]
