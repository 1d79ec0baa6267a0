"""GOAWAY on HTTP/2: what is under way goes on, what the upstream has not looked at is asked again elsewhere.

mitmproxy ends every stream of the connection (layers/http/_http2.py, handle_h2_event, which says so itself). What
RFC 9113, 6.8, says: streams up to `last_stream_id` may still end well, those above were not acted upon and may
be sent again on a new connection, and no new ones may be opened. A GOAWAY that names an error is followed by the
connection's end (5.4.1), so the streams up to `last_stream_id` fail with it.
"""

from __future__ import annotations

import weakref
from dataclasses import dataclass, field
from typing import Any

import h2.errors
import h2.events
from mitmproxy.connection import Connection
from mitmproxy.proxy.layers.http import GetHttpConnection, HttpStream, SendHttp
from mitmproxy.proxy.layers.http._base import HttpEvent, ReceiveHttp
from mitmproxy.proxy.layers.http._events import (
    RequestData,
    RequestHeaders,
    RequestProtocolError,
    ResponseProtocolError,
)
from mitmproxy.proxy.layers.http._http2 import Http2Client, Http2Connection, StreamState
from mitmproxy.proxy.layers.http._http_h2 import BufferedH2Connection

from addons.compat.streams import Commands
from addons.compat.tree import require

_MAX_HELD = 1 << 20
"""Of a request's body, kept until its response begins, to be sent again; chosen, not measured."""
_MAX_TRIES = 3
_TRIES = "wiretape.refused"
_HELD = "_wiretape_held"

_leaving: weakref.WeakSet[Connection] = weakref.WeakSet()
"""Connections that said GOAWAY: no new streams on them."""


@dataclass
class GoingAway(h2.events.Event):  # type: ignore[misc]
    """A GOAWAY frame, of which hyper-h2 is not told: it would close the connection."""

    last_stream_id: int
    error_code: int


@dataclass(slots=True)
class _Held:
    """What was sent of a request that has no response yet."""

    events: list[Any] = field(default_factory=list)
    size: int = 0
    lost: bool = False
    """Too long to be kept."""
    refused: bool = False

    def add(self, event: HttpEvent) -> None:
        if isinstance(event, RequestData):
            self.size += len(event.data)
        if self.size > _MAX_HELD and not self.refused:
            self.lost = True
            self.events.clear()
        if not self.lost:
            self.events.append(event)


class _Refused(ResponseProtocolError):  # noqa: N818 - an event, as its parent
    """A stream that the upstream did not act upon."""

    held: _Held


def survive_goaway() -> None:
    """Let streams end behind a GOAWAY, and send those that were refused again."""
    matches, protocol_error = GetHttpConnection.connection_spec_matches, HttpStream.handle_protocol_error
    h2_event, client_event = Http2Connection.handle_h2_event, Http2Client.handle_h2_event
    handle_event = Http2Client._handle_event
    if getattr(h2_event, "_wiretape", False):
        return
    require(BufferedH2Connection, "_receive_goaway_frame")
    require(Http2Client, "streams", "our_stream_id", "their_stream_id", "stream_queue", "close_connection")
    require(HttpStream, "make_server_connection", "state_wait_for_response_headers", "state_errored")

    def receive(_self: BufferedH2Connection, frame: Any) -> tuple[list[Any], list[Any]]:
        return [], [GoingAway(frame.last_stream_id, frame.error_code)]

    def handle_h2(self: Http2Connection, event: h2.events.Event) -> Commands:
        return _go_away(self, event) if type(event) is GoingAway else h2_event(self, event)

    def handle_client_h2(self: Http2Client, event: h2.events.Event) -> Commands:
        kind = type(event)
        if kind is h2.events.ResponseReceived:
            _held_of(self).pop(self.their_stream_id.get(event.stream_id, 0), None)
        elif kind in (h2.events.StreamEnded, h2.events.StreamReset) and self.conn in _leaving:
            return _end_one(self, client_event(self, event))
        return client_event(self, event)

    def handle(self: Http2Client, event: Any) -> Commands:
        if isinstance(event, HttpEvent):
            return _outgoing(self, event, handle_event)
        return handle_event(self, event)

    def is_suitable(self: GetHttpConnection, connection: Connection) -> bool:
        return connection not in _leaving and matches(self, connection)

    def retry(self: HttpStream, event: Any) -> Commands:
        if type(event) is _Refused:
            return _ask_again(self, event, protocol_error)
        return protocol_error(self, event)

    handle_h2._wiretape = True  # type: ignore[attr-defined]
    BufferedH2Connection._receive_goaway_frame = receive
    Http2Connection.handle_h2_event = handle_h2  # type: ignore[method-assign]
    Http2Client.handle_h2_event = handle_client_h2  # type: ignore[method-assign]
    Http2Client._handle_event = handle  # type: ignore[method-assign]
    GetHttpConnection.connection_spec_matches = is_suitable  # type: ignore[method-assign]
    HttpStream.handle_protocol_error = retry  # type: ignore[method-assign]


def _held_of(client: Http2Client) -> dict[int, _Held]:
    """Return the requests without a response, by the client's stream id."""
    held: dict[int, _Held] = client.__dict__.setdefault(_HELD, {})
    return held


def _outgoing(client: Http2Client, event: Any, handle_event: Any) -> Commands:
    waiting = _held_of(client)
    stream_id = event.stream_id
    if isinstance(event, RequestHeaders):
        waiting[stream_id] = _Held()
    held = waiting.get(stream_id)
    if held is not None:
        held.add(event)
        if held.refused:
            return  # it is on its way to another connection, with the others
    yield from handle_event(client, event)
    if isinstance(event, RequestProtocolError):  # the client has left this stream: it is reset by now
        client.streams.pop(client.our_stream_id.get(stream_id, 0), None)
        waiting.pop(stream_id, None)


def _go_away(layer: Http2Connection, event: GoingAway) -> Commands:
    failed = event.error_code != h2.errors.ErrorCodes.NO_ERROR
    reason = f"GOAWAY, error {event.error_code}" if failed else "GOAWAY"
    if not isinstance(layer, Http2Client):
        if failed:
            yield from layer.close_connection(reason)
        return failed  # a client that opens no more streams still waits for those it has
    _leaving.add(layer.conn)
    above = [ours for ours in layer.streams if ours > event.last_stream_id]
    unanswered = (ours for ours in above if layer.streams[ours] is StreamState.EXPECTING_HEADERS)
    refused = [layer.their_stream_id[ours] for ours in unanswered]
    for theirs, queued in layer.stream_queue.items():
        _held_of(layer)[theirs] = _Held(queued)
        refused.append(theirs)
    layer.stream_queue.clear()
    for ours in above:
        theirs = layer.their_stream_id[ours]
        del layer.streams[ours]
        if theirs not in refused:
            yield ReceiveHttp(ResponseProtocolError(theirs, reason, ResponseProtocolError.code))
    for theirs in refused:
        error = _Refused(theirs, reason, ResponseProtocolError.code)
        error.held = _held_of(layer)[theirs]
        error.held.refused = True
        yield ReceiveHttp(error)
    if failed or not layer.streams:
        yield from layer.close_connection(reason)
        return True
    return False


def _end_one(layer: Http2Client, inner: Commands) -> Commands:
    stop = yield from inner
    # Not by hyper-h2's state: it has seen ends whose events are still to be handled.
    if not stop and not layer.streams:
        yield from layer.close_connection("GOAWAY")
        return True
    return stop


def _ask_again(stream: HttpStream, event: _Refused, protocol_error: Any) -> Commands:
    tries = stream.flow.metadata.get(_TRIES, 0) + 1
    stream.flow.metadata[_TRIES] = tries
    is_waiting = stream.server_state == stream.state_wait_for_response_headers
    is_gone = stream.client_state == stream.state_errored
    if event.held.lost or tries > _MAX_TRIES or is_gone or not is_waiting:
        yield from protocol_error(stream, event)
        return
    # What comes from the client in the meantime waits in the stream, which is paused by this.
    if not (yield from stream.make_server_connection()):
        stream.client_state = stream.state_errored
        return
    for sent in event.held.events:
        sent.stream_id = stream.stream_id
        yield SendHttp(sent, stream.context.server)
