"""HTTP/1 bodies: trailers behind them, and whether one that ends with its connection is whole.

mitmproxy raises NotImplementedError on trailers and leaves the client waiting (layers/http/_http1.py, read_body),
and takes every end of a connection for the end of such a body.
"""

from __future__ import annotations

from typing import Any

import h11
from h11._readers import ChunkedReader, Http10Reader
from h11._receivebuffer import ReceiveBuffer
from mitmproxy import http
from mitmproxy.proxy.commands import SendData
from mitmproxy.proxy.layers.http import _http1
from mitmproxy.proxy.layers.http._events import (
    RequestEndOfMessage,
    RequestTrailers,
    ResponseEndOfMessage,
    ResponseTrailers,
)
from mitmproxy.proxy.layers.http._http1 import Http1Client, Http1Connection, Http1Server
from mitmproxy.proxy.layers.http._http_h2 import BufferedH2Connection

from addons.compat.closing import ended_cleanly
from addons.compat.streams import Commands
from addons.compat.tree import require

_PENDING = "_wiretape_trailers"


class _ChunkedBody(ChunkedReader):
    """Puts trailers into the message, where mitmproxy's streams look for them."""

    layer: Http1Connection | None = None

    def __call__(self, buf: ReceiveBuffer) -> h11.Data | h11.EndOfMessage | None:
        event = super().__call__(buf)
        if type(event) is h11.EndOfMessage and event.headers:
            layer = self.layer
            assert layer is not None
            message = layer.response if isinstance(layer, Http1Client) else layer.request
            assert message is not None
            message.trailers = http.Headers(event.headers.raw_items())
            return h11.EndOfMessage()
        return event


class _EndlessBody(Http10Reader):
    """Tells a connection that was closed in order from one that broke."""

    layer: Http1Connection | None = None

    def read_eof(self) -> h11.EndOfMessage:
        if self.layer is not None and not ended_cleanly(self.layer.conn):
            raise h11.RemoteProtocolError("the connection broke; only its end could have told the body's")
        return super().read_eof()


def read_trailers() -> None:
    """Have HTTP/1 trailers read, passed on and recorded, and no broken body taken for a whole one."""
    make_body_reader, read_body = _http1.make_body_reader, Http1Connection.read_body
    if getattr(read_body, "_wiretape", False):
        return
    require(Http1Connection, "body_reader", "mark_done", "request", "response")
    h2_send_trailers = BufferedH2Connection.send_trailers

    def make(expected_size: int | None) -> Any:
        if expected_size is None:
            return _ChunkedBody()
        return _EndlessBody() if expected_size == -1 else make_body_reader(expected_size)

    def read(self: Http1Connection, event: Any) -> Commands:
        reader: Any = self.body_reader
        if type(reader) is _ChunkedBody or type(reader) is _EndlessBody:
            reader.layer = self
        return read_body(self, event)

    def lower(self: BufferedH2Connection, stream_id: int, trailers: list[tuple[bytes, bytes]]) -> None:
        # Those of an HTTP/1 upstream may have capitals, which HTTP/2 does not allow (RFC 9113, 8.2.1).
        h2_send_trailers(self, stream_id, [(name.lower(), value) for name, value in trailers])

    read._wiretape = True  # type: ignore[attr-defined]
    _http1.make_body_reader = make
    Http1Connection.read_body = read  # type: ignore[method-assign]
    BufferedH2Connection.send_trailers = lower  # type: ignore[method-assign]
    Http1Server.send = _sending(Http1Server.send, ResponseTrailers, ResponseEndOfMessage)  # type: ignore[method-assign]
    Http1Client.send = _sending(Http1Client.send, RequestTrailers, RequestEndOfMessage)  # type: ignore[method-assign]


def _sending(send: Any, trailers_type: type, end_type: type) -> Any:
    def with_trailers(self: Any, event: Any) -> Commands:
        kind = type(event)
        if kind is trailers_type:
            setattr(self, _PENDING, event.trailers)
            return _nothing()
        if kind is end_type and (trailers := self.__dict__.pop(_PENDING, None)):
            message = self.request if end_type is RequestEndOfMessage else self.response
            # Only the chunked coding has a place for them (RFC 9110, 6.5).
            if "chunked" in message.headers.get("transfer-encoding", "").lower():
                return _end(self, trailers)
        return send(self, event)  # type: ignore[no-any-return]

    return with_trailers


def _end(layer: Http1Connection, trailers: http.Headers) -> Commands:
    yield SendData(layer.conn, b"0\r\n" + bytes(trailers) + b"\r\n")
    is_client = isinstance(layer, Http1Client)
    yield from layer.mark_done(request=is_client, response=not is_client)


def _nothing() -> Commands:
    yield from ()
