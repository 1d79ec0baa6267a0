"""DATA frames (RFC 9113, 6.1), read and written without an object for each of them.

Works on hyper-h2's own state, which goes on wherever this stops. Only frames that change nothing but the windows and
the length of the body are read here: hyper-h2's tables have no other effect of those.
"""

from __future__ import annotations

import struct
from typing import Any

import h2.config
from h2.connection import ConnectionState, H2Connection
from h2.stream import StreamState
from mitmproxy.proxy.layers.http._http_h2 import BufferedH2Connection

HEAD = struct.Struct(">HBHI")
"""Of a frame: its length in two parts, type and flags together, the stream."""
PLAIN = 0
"""Type and flags of a DATA frame that neither ends its stream nor is padded."""
_RECEIVING = (StreamState.OPEN, StreamState.HALF_CLOSED_LOCAL)
_SENDING = (StreamState.OPEN, StreamState.HALF_CLOSED_REMOTE)
_OPEN = (ConnectionState.CLIENT_OPEN, ConnectionState.SERVER_OPEN)


def is_open(connection: H2Connection) -> bool:
    """Tell whether frames may come and go, and the next bytes begin a frame."""
    return connection.state_machine.state in _OPEN and not connection.incoming_buffer._headers_buffer


class Buffered:
    """What hyper-h2 has of a frame whose end has not come."""

    def __init__(self, connection: H2Connection) -> None:
        self._buffer: Any = connection.incoming_buffer
        # Bytes under the one name up to hyper-h2 4.1, a bytearray under the other one later.
        self._name = "data" if "data" in vars(self._buffer) else "_data"

    def take(self) -> bytes:
        """Take it out."""
        had = getattr(self._buffer, self._name)
        if not had:
            return b""
        setattr(self._buffer, self._name, type(had)())
        return bytes(had)

    def put(self, data: bytes) -> None:
        """Leave the beginning of a frame to hyper-h2."""
        self._buffer.add_data(data)


class Incoming:
    """A body that is received on a stream."""

    __slots__ = ("_connection", "_shared", "_stream", "_window")

    def __init__(self, connection: H2Connection, stream_id: int) -> None:
        self._connection = connection
        self._stream = connection.streams[stream_id]
        self._shared = connection._inbound_flow_control_window_manager
        self._window = self._stream._inbound_window_manager

    def is_open(self) -> bool:
        """Tell whether more of it may come."""
        return self._stream.state_machine.state in _RECEIVING

    def take(self, size: int) -> bool:
        """Count a frame of that many bytes; False when hyper-h2 has to look at it: it is empty, or not allowed."""
        shared, window, stream = self._shared, self._window, self._stream
        if not 0 < size <= self._connection.max_inbound_frame_size:
            return False
        if size > shared.current_window_size or size > window.current_window_size:
            return False
        length = stream._actual_content_length + size
        if stream._expected_content_length is not None and length > stream._expected_content_length:
            return False
        shared.current_window_size -= size
        window.current_window_size -= size
        stream._actual_content_length = length
        return True


class Outgoing:
    """A body that is sent on a stream."""

    __slots__ = ("_connection", "_head", "_stream", "_stream_id")

    def __init__(self, connection: BufferedH2Connection, stream_id: int) -> None:
        self._connection: Any = connection
        self._stream = connection.streams[stream_id]
        self._stream_id = stream_id
        self._head = PLAIN.to_bytes(2, "big") + stream_id.to_bytes(4, "big")

    def is_open(self) -> bool:
        """Tell whether more of it may be sent."""
        return self._stream.state_machine.state in _SENDING

    def send(self, part: bytes, out: list[bytes]) -> None:
        """Add a frame to `out`; what there is no room for is left to the connection, behind those before it."""
        connection, stream = self._connection, self._stream
        size = len(part)
        if (
            size <= connection.outbound_flow_control_window
            and size <= stream.outbound_flow_control_window
            and size <= connection.max_outbound_frame_size
            and not connection.stream_buffers.get(self._stream_id)
        ):
            connection.outbound_flow_control_window -= size
            stream.outbound_flow_control_window -= size
            out.append(size.to_bytes(3, "big") + self._head + part)
        else:
            connection._data_to_send += b"".join(out)
            out.clear()
            connection.send_data(self._stream_id, part)


def ready(connection: H2Connection) -> bytes:
    """Return what is to be sent."""
    return connection.data_to_send() if connection._data_to_send else b""


def check() -> None:
    """Raise AttributeError or TypeError unless this does to hyper-h2's state what hyper-h2 does."""
    size, bodies = len(_PIECE), (_between(), _between())
    (theirs, to_theirs), (ours, to_ours) = bodies
    to_theirs.send_data(1, _PIECE)
    frame = to_theirs.data_to_send()
    out: list[bytes] = []
    Outgoing(to_ours, 1).send(_PIECE, out)
    theirs.receive_data(frame)
    if out != [frame] or HEAD.unpack_from(frame) != (size >> 8, size & 255, PLAIN, 1):
        raise TypeError("hyper-h2 makes other frames")
    incoming = Incoming(ours, 1)
    if not (incoming.is_open() and is_open(ours) and is_open(to_ours) and incoming.take(size)):
        raise TypeError("hyper-h2 is in another state in the middle of a body")
    if _counters(ours, to_ours) != _counters(theirs, to_theirs) or ready(to_ours):
        raise TypeError("hyper-h2 counts in another way")
    buffered = Buffered(ours)
    buffered.put(frame[:-1])
    if buffered.take() + frame[-1:] != frame or ours.receive_data(b"") or buffered.take():
        raise TypeError("hyper-h2 keeps the beginnings of frames in another way")


_PIECE = b"x" * 300


def _between() -> tuple[BufferedH2Connection, BufferedH2Connection]:
    """Return both ends of a connection in the middle of a response's body, on stream 1."""
    ends = [
        BufferedH2Connection(h2.config.H2Configuration(client_side=is_client, header_encoding=False))
        for is_client in (True, False)
    ]
    client, server = ends
    for end in ends:
        end.initiate_connection()
    fields = [(":method", "GET"), (":scheme", "https"), (":authority", "a"), (":path", "/")]
    client.send_headers(1, fields, end_stream=True)
    server.receive_data(client.data_to_send())
    server.send_headers(1, [(":status", "200"), ("content-length", str(2 * len(_PIECE)))])
    client.receive_data(server.data_to_send())
    server.receive_data(client.data_to_send())
    server.data_to_send()
    return client, server


def _counters(client: H2Connection, server: H2Connection) -> list[Any]:
    incoming, outgoing = client.streams[1], server.streams[1]
    return [
        client._inbound_flow_control_window_manager.current_window_size,
        incoming._inbound_window_manager.current_window_size,
        incoming._actual_content_length,
        incoming._expected_content_length,
        incoming.state_machine.state,
        client.state_machine.state,
        server.outbound_flow_control_window,
        outgoing.outbound_flow_control_window,
        outgoing.state_machine.state,
        server.state_machine.state,
    ]
