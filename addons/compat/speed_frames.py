"""A short way for the pieces of a streamed response's body, HTTP/2 on both sides.

    upstream ─▶ decrypt ─▶ unframe ─▶ tee (the recorder) ─▶ frame ─▶ encrypt ─▶ client

As `speed_relay` for HTTP/1.1. Only DATA frames that are plainly in the middle of a body take it, as many as there are
at the beginning of what came; from the first other frame on (the last one of a body, a padded one, a head, a reset,
whatever the connection says of itself) the bytes take the plain way, from the state in which they would have found
the layers. Of several streams each goes its own way. Who does not read makes the upstream wait as ever: what there
is no room for goes through mitmproxy's own buffers, and the windows are opened by `backpressure`.
"""

from __future__ import annotations

import logging
import time
from typing import Any

from mitmproxy.connection import Connection
from mitmproxy.proxy import layers
from mitmproxy.proxy.events import DataReceived
from mitmproxy.proxy.layers.http import HttpClient, HttpLayer, HttpStream
from mitmproxy.proxy.layers.http._http2 import Http2Client, Http2Connection, Http2Server, StreamState
from mitmproxy.proxy.layers.modes import HttpProxy
from mitmproxy.proxy.layers.tls import TLSLayer
from mitmproxy.proxy.server import ConnectionHandler
from mitmproxy.proxy.tunnel import TunnelState

from addons.compat import speed_data
from addons.compat.speed_data import HEAD, PLAIN, Buffered, Incoming, Outgoing
from addons.compat.speed_tls import decrypt, left_over, send, take_up_rest
from addons.compat.streams import Commands
from addons.compat.tree import http_layer, require, speaker

_log = logging.getLogger(__name__)
_WAY = "_wiretape_frames"
_MOST_BEGUN = 1 << 17
"""Bytes of a frame that are waited for here: what mitmproxy tells upstreams that a frame may have (_http_h2.py)."""
_CRASH = "mitmproxy has crashed!"
_KNOWN = frozenset({HttpProxy, HttpLayer, HttpStream, HttpClient, Http2Client, Http2Server})
_TLS = frozenset({layers.ClientTLSLayer, layers.ServerTLSLayer})
"""Layers whose part is known here; any other, a proxy's upstream for one, and all goes the plain way."""


class _Body:
    """The way of one response's body."""

    __slots__ = ("_stream", "_streaming", "flow", "incoming", "outgoing", "source", "stream_id")

    def __init__(self, stream: HttpStream, source: Http2Client, sink: Http2Server, stream_id: int) -> None:
        self._stream = stream
        self._streaming = stream.server_state
        self.source = source
        self.stream_id = stream_id
        """The upstream's."""
        self.flow: Any = stream.flow
        self.incoming = Incoming(source.h2_conn, stream_id)
        self.outgoing = Outgoing(sink.h2_conn, stream.stream_id)

    def is_open(self) -> bool:
        """Tell whether the plain way would pass a piece of it on now."""
        stream = self._stream
        return (
            stream.server_state is self._streaming
            and not stream._paused
            and self.source.streams.get(self.stream_id) is StreamState.HEADERS_RECEIVED
            and self.incoming.is_open()
            and self.outgoing.is_open()
        )


class _Way:
    """The way from one upstream connection to its client."""

    def __init__(self, http: HttpLayer, source: Http2Client, sink: Http2Server) -> None:
        self._http = http
        self._source = source
        self._sink = sink
        self._buffered = Buffered(source.h2_conn)
        above = {*source.context.layers, *sink.context.layers}
        if any(type(one) not in _KNOWN and type(one) not in _TLS for one in above):
            raise LookupError("other layers")
        self._layers = tuple(above)
        self._from_tls = self._tls_of(source.conn)
        self._to_tls = self._tls_of(sink.conn)

    def _tls_of(self, connection: Connection) -> TLSLayer:
        (found,) = [one for one in self._layers if isinstance(one, TLSLayer) and one.conn is connection]
        return found

    def is_open(self) -> bool:
        """Tell whether nothing has to be waited for, and both connections are as they are between two frames."""
        for one in self._layers:
            if one._paused:
                return False
        source, sink = self._source, self._sink
        return (
            self._from_tls.tunnel_state is TunnelState.OPEN
            and self._to_tls.tunnel_state is TunnelState.OPEN
            and speed_data.is_open(source.h2_conn)
            and speed_data.is_open(sink.h2_conn)
        )

    def pass_on(self, handler: ConnectionHandler, data: bytes) -> DataReceived | None:
        """Pass on what is in the middle of bodies; return the event for the plain way, if there is to be one."""
        data, is_all = decrypt(self._from_tls.tls, data)
        if not data:
            return left_over(self._from_tls, b"")
        data = self._buffered.take() + data
        source, sink = self._source, self._sink
        source.last_activity = time.time()
        out: list[bytes] = []
        sizes: dict[int, int] = {}
        try:
            at, is_begun = self._tee(data, out, sizes)
        except Exception:  # as ConnectionHandler.server_event does; what was sent before it goes out, as ever
            handler.log(_CRASH, logging.ERROR, exc_info=True)
            at = -1
        if raw := speed_data.ready(sink.h2_conn) + b"".join(out):
            send(handler, sink.conn, self._to_tls, raw)
        if at < 0:
            return None  # the client must see no end
        for stream_id, size in sizes.items():
            source.h2_conn.acknowledge_received_data(size, stream_id)
        if raw := speed_data.ready(source.h2_conn):
            send(handler, source.conn, self._from_tls, raw)
        rest = data[at:]
        if rest and is_begun:
            self._buffered.put(rest)
            rest = b""
        return None if is_all and not rest else left_over(self._from_tls, rest)

    def _tee(self, data: bytes, out: list[bytes], sizes: dict[int, int]) -> tuple[int, bool]:
        """Frame anew what `data` begins with; return how far that is, and whether the rest only begins a frame.

        What was received is added to `sizes`, by stream.
        """
        bodies: dict[int, _Body | None] = {}
        at, end = 0, len(data)
        while end - at >= HEAD.size:
            high, low, kind, number = HEAD.unpack_from(data, at)
            if kind != PLAIN:
                return at, False
            if number not in bodies:
                bodies[number] = self._body(number)
            body = bodies[number]
            if body is None:
                return at, False
            size = high << 8 | low
            begin = at + HEAD.size
            if begin + size > end:
                return at, size <= _MOST_BEGUN
            if not body.incoming.take(size):
                return at, False
            at = begin + size
            piece = data[begin:at]
            tee = body.flow.response.stream
            passed: Any = tee(piece) if callable(tee) else piece
            for part in (passed,) if isinstance(passed, bytes) else passed:
                body.outgoing.send(part, out)
            sizes[number] = sizes.get(number, 0) + size
        return at, True

    def _body(self, number: int) -> _Body | None:
        """Return the body that comes on an upstream's stream, if it may take this way now."""
        source = self._source
        stream = self._http.streams.get(source.their_stream_id.get(number, 0))
        if stream is None:
            return None
        body: _Body | None = stream.__dict__.get(_WAY)
        # Of a request that was sent again the first upstream may still say something.
        if body is None or body.stream_id != number or body.source is not source:
            if stream.server_state != stream.state_stream_response_body:
                return None
            try:
                body = stream.__dict__[_WAY] = _Body(stream, source, self._sink, number)
            except KeyError:  # one of the connections has forgotten the stream
                return None
        return body if body.is_open() else None


def pass_frames_on() -> None:
    """Have the bodies of streamed HTTP/2 responses take the short way."""
    start, server_event = HttpStream.start_response_stream, ConnectionHandler.server_event
    if getattr(start, "_wiretape_frames", False):
        return
    require(HttpStream, "state_stream_response_body")
    if not {"server_state", "stream_id"} <= set(HttpStream.__init__.__code__.co_names):
        raise AttributeError("HttpStream has other attributes")
    require(Http2Connection, "streams", "h2_conn", "is_open_for_us")
    require(Http2Client, "their_stream_id", "last_activity")
    require(ConnectionHandler, "transports", "timeout_watchdog", "log")
    speed_data.check()
    take_up_rest()

    def started(self: HttpStream) -> Commands:
        yield from start(self)
        server = self.context.server
        # By the first piece of its first body the layers are where they stay until the connection's end.
        if server.alpn == b"h2" and _WAY not in server.__dict__:
            server.__dict__[_WAY] = _way(self)

    async def handled(self: ConnectionHandler, event: Any) -> None:
        if type(event) is DataReceived and (way := event.connection.__dict__.get(_WAY)) is not None:
            async with self._server_event_lock:
                if way.is_open():
                    self.timeout_watchdog.register_activity()
                    try:
                        event = way.pass_on(self, event.data)
                    except Exception:  # else the task that reads would be gone, or its bytes
                        self.log(_CRASH, logging.ERROR, exc_info=True)
                        event = None
            if event is None:
                return
        await server_event(self, event)

    started._wiretape = getattr(start, "_wiretape", False)  # type: ignore[attr-defined]
    started._wiretape_frames = True  # type: ignore[attr-defined]
    HttpStream.start_response_stream = started  # type: ignore[method-assign]
    ConnectionHandler.server_event = handled  # type: ignore[method-assign]


def _way(stream: HttpStream) -> _Way | None:
    """Return the way from a stream's upstream to its client; None where it is the plain one."""
    context = stream.context
    http = http_layer(context)
    source, sink = speaker(http, context.server), http.connections.get(context.client)
    if type(source) is not Http2Client or type(sink) is not Http2Server or source.conn is not context.server:
        return None
    try:
        return _Way(http, source, sink)
    except (LookupError, ValueError):
        return None
