"""HTTP/2 without endless buffers: who does not read makes the other side wait, stream by stream.

    upstream ─▶ Http2Client or Http1Client ─▶ stream buffer ─▶ Http2Server ─▶ client, as its windows allow
                      ▲                           │
                      └── waits while it is full ─┘

mitmproxy opens windows of 2 GiB towards both sides, acknowledges at once, and keeps what a peer's windows do not
let through in a queue without a limit (layers/http/_http_h2.py, stream_buffers). Here an HTTP/2 source gets a
finite window for each stream, which is opened again only once the buffer has drained, and an HTTP/1 upstream,
whose connection serves this one stream, is not read. The window of the whole connection stays at 2 GiB, so that
a stalled stream does not stall its neighbours. For each stalled stream up to FULL + WINDOW bytes wait in memory.
"""

from __future__ import annotations

import collections
from typing import Any

from mitmproxy.proxy.commands import SendData
from mitmproxy.proxy.events import DataReceived
from mitmproxy.proxy.layers.http import SendHttp
from mitmproxy.proxy.layers.http._base import HttpEvent
from mitmproxy.proxy.layers.http._events import RequestData, RequestEndOfMessage, RequestHeaders
from mitmproxy.proxy.layers.http._http2 import Http2Client, Http2Connection, Http2Server
from mitmproxy.proxy.layers.http._http_h2 import BufferedH2Connection

from addons.compat.reading import HeldReader, reader_of
from addons.compat.streams import Commands
from addons.compat.tree import http_layer, require, speaker

FULL = 1 << 20
"""Bytes waiting for one stream's window, past which its source has to wait; chosen, not measured."""
_LOW = FULL // 2
WINDOW = 4 << 20
"""Of a stream, towards whoever sends. Go's client has the same (golang.org/x/net/http2, transportDefaultStreamFlow)."""


class StreamBuffer(collections.deque[Any]):
    """What waits for the window of one stream, and how much that is."""

    def __init__(self, sink: Http2Connection, stream_id: int) -> None:
        super().__init__()
        self._sink = sink
        self._stream_id = stream_id
        self._reader: HeldReader | None = None
        self._size = 0
        self.is_full = False

    def append(self, item: Any) -> None:
        """Take one more piece; past FULL the source has to wait."""
        super().append(item)
        self._size += len(item.data)
        if self._size > FULL and not self.is_full:
            self.is_full = True
            self._reader = _only_reader(self._sink, self._stream_id)
            if self._reader is not None:
                self._reader.hold()

    def appendleft(self, item: Any) -> None:
        """Put the rest of a piece back."""
        super().appendleft(item)
        self._size += len(item.data)

    def popleft(self) -> Any:
        """Give the next piece out; with room enough the source goes on."""
        item = super().popleft()
        self._size -= len(item.data)
        if self.is_full and self._size <= _LOW:
            self.is_full = False
            if self._reader is not None:
                self._reader.release()
        return item


class _Buffers(dict[int, StreamBuffer]):
    """The buffers of one connection, by its stream id; made as they are needed."""

    def __init__(self, sink: Http2Connection) -> None:
        super().__init__()
        self._sink = sink

    def __missing__(self, stream_id: int) -> StreamBuffer:
        self[stream_id] = StreamBuffer(self._sink, stream_id)
        return self[stream_id]


class _Drained(HttpEvent):
    """Tells a source that there is room again for one of its streams."""


_MAY_DRAIN = frozenset({DataReceived, RequestHeaders, RequestData, RequestEndOfMessage})


class _Flow:
    """The flow control of one HTTP/2 connection, as a source of bytes and as a sink."""

    def __init__(self, layer: Http2Connection) -> None:
        self._layer = layer
        self._acknowledge = layer.h2_conn.acknowledge_received_data
        self._unacknowledged: dict[int, int] = {}
        self._client: Http2Server | None = None
        """The sink of an upstream's bytes; it stays the same."""
        self.waiting: dict[int, Http2Connection] = {}
        """Sources that wait for room in this sink, by the client's stream id."""

    def acknowledge(self, size: int, stream_id: int) -> None:
        """Open the window again for bytes that were passed on; keep it shut while they wait on the other side."""
        layer = self._layer
        theirs = layer.their_stream_id[stream_id] if isinstance(layer, Http2Client) else stream_id
        sink = self._client or self._find_sink(theirs)
        if sink is not None and _is_full(sink, theirs):
            self._unacknowledged[stream_id] = self._unacknowledged.get(stream_id, 0) + size
            _flow_of(sink).waiting[theirs] = layer
        else:
            if self._unacknowledged:
                size += self._unacknowledged.pop(stream_id, 0)
            self._acknowledge(size, stream_id)

    def drained(self, stream_id: int) -> bytes:
        """Open the window again; return what is to be sent for it."""
        size = self._unacknowledged.pop(stream_id, 0)
        if size:
            self._acknowledge(size, stream_id)
        data: bytes = self._layer.h2_conn.data_to_send()
        return data

    def _find_sink(self, stream_id: int) -> Http2Connection | None:
        """Return where the bytes of a stream go, if HTTP/2 is spoken there."""
        context = self._layer.context
        http = http_layer(context)
        if isinstance(self._layer, Http2Client):
            client = http.connections.get(context.client)
            self._client = client if isinstance(client, Http2Server) else None
            return self._client
        stream = http.streams.get(stream_id)
        sink = speaker(http, stream.context.server) if stream is not None else None
        return sink if isinstance(sink, Http2Connection) else None


def bound_http2() -> None:
    """Have HTTP/2 sources wait for their sinks."""
    require(BufferedH2Connection, "stream_buffers", "acknowledge_received_data", "data_to_send")
    require(Http2Client, "our_stream_id", "their_stream_id", "stream_queue")
    init, handle_event = Http2Connection.__init__, Http2Connection._handle_event
    if getattr(handle_event, "_wiretape", False):
        return

    def create(self: Http2Connection, *args: Any) -> None:
        init(self, *args)
        self.h2_conn.stream_buffers = _Buffers(self)  # type: ignore[assignment]
        self.h2_conn.local_settings.initial_window_size = WINDOW
        self.h2_conn.local_settings.acknowledge()
        flow = self.__dict__["_wiretape_flow"] = _Flow(self)
        self.h2_conn.acknowledge_received_data = flow.acknowledge

    def handle(self: Http2Connection, event: Any) -> Commands:
        kind = type(event)
        if kind is _Drained:
            return _open_again(self, event)
        if _flow_of(self).waiting and kind in _MAY_DRAIN:
            return _releasing(self, handle_event(self, event))
        return handle_event(self, event)

    handle._wiretape = True  # type: ignore[attr-defined]
    Http2Connection.__init__ = create  # type: ignore[method-assign, assignment]
    Http2Connection._handle_event = handle  # type: ignore[method-assign]


def _flow_of(layer: Http2Connection) -> _Flow:
    flow: _Flow = layer.__dict__["_wiretape_flow"]
    return flow


def _is_full(sink: Http2Connection, stream_id: int) -> bool:
    if not sink.h2_conn.stream_buffers and type(sink) is Http2Server:
        return False
    ours: Any = stream_id
    if isinstance(sink, Http2Client):
        ours = sink.our_stream_id.get(stream_id)
        if ours is None:
            return stream_id in sink.stream_queue  # it waits for the upstream to allow one more stream
    buffer: Any = sink.h2_conn.stream_buffers.get(ours)
    return buffer is not None and buffer.is_full


def _only_reader(sink: Http2Connection, stream_id: int) -> HeldReader | None:
    """Return the reader of the HTTP/1 upstream that serves this one stream."""
    if not isinstance(sink, Http2Server):
        return None
    stream = http_layer(sink.context).streams.get(stream_id)
    if stream is None or stream.context.server.alpn == b"h2":
        return None
    return reader_of(stream.context.server)


def _releasing(sink: Http2Connection, inner: Commands) -> Commands:
    yield from inner
    waiting = _flow_of(sink).waiting
    for stream_id, source in list(waiting.items()):
        if not _is_full(sink, stream_id):
            del waiting[stream_id]
            yield SendHttp(_Drained(stream_id), source.conn)


def _open_again(source: Http2Connection, event: _Drained) -> Commands:
    data = _flow_of(source).drained(event.stream_id)
    if data:
        yield SendData(source.conn, data)
