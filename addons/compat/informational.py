"""Interim responses (1xx) on their way from the upstream to the client (RFC 9110, 15.2).

mitmproxy takes one on HTTP/1 for the final response and the client waits for ever (layers/http/_http1.py,
Http1Client.read_headers); on HTTP/2 it drops it. 101 is a final response there and stays one.
"""

from __future__ import annotations

import re
import time
from typing import Any

import h2.events
from mitmproxy import http
from mitmproxy.net.http import http1
from mitmproxy.proxy.events import DataReceived
from mitmproxy.proxy.layers.http import SendHttp
from mitmproxy.proxy.layers.http._events import ResponseHeaders
from mitmproxy.proxy.layers.http._http1 import Http1Client, Http1Server
from mitmproxy.proxy.layers.http._http2 import Http2Client, parse_h2_response_headers

from addons.compat.streams import Commands
from addons.compat.tree import http_layer, require

_INTERIM = re.compile(rb"HTTP/1\.\d 1(?!01)\d\d")


def forward_informational() -> None:
    """Have interim responses reach the client as they come, and the response behind them too."""
    read_headers, handle_h2_event = Http1Client.read_headers, Http2Client.handle_h2_event
    require(Http1Client, "buf", "stream_id", "request")
    require(Http2Client, "their_stream_id")
    if getattr(read_headers, "_wiretape", False):
        return

    def read(self: Http1Client, event: Any) -> Commands:
        if isinstance(event, DataReceived) and self.request is not None and _INTERIM.match(bytes(self.buf)):
            return _read_interim(self, event, read_headers)
        return read_headers(self, event)

    def handle(self: Http2Client, event: Any) -> Commands:
        if type(event) is h2.events.InformationalResponseReceived:
            return _received(self, event)
        return handle_h2_event(self, event)

    read._wiretape = True  # type: ignore[attr-defined]
    Http1Client.read_headers = read  # type: ignore[method-assign]
    Http2Client.handle_h2_event = handle  # type: ignore[method-assign]


def _read_interim(client: Http1Client, event: DataReceived, read_headers: Any) -> Commands:
    while _INTERIM.match(bytes(client.buf)):
        lines = client.buf.maybe_extract_lines()
        if not lines:
            return  # the rest of it is still to come
        assert client.stream_id is not None
        try:
            response = http1.read_response_head([bytes(line) for line in lines])
        except ValueError:
            continue  # what nobody can read nobody misses
        yield from _send(client, client.stream_id, response)
    if client.buf:
        yield from read_headers(client, event)


def _received(client: Http2Client, event: h2.events.InformationalResponseReceived) -> Commands:
    status, headers = parse_h2_response_headers(event.headers)
    now = time.time()
    response = http.Response(b"HTTP/2.0", status, b"", headers, None, None, now, now)
    yield from _send(client, client.their_stream_id[event.stream_id], response)
    return False


def _send(upstream: Http1Client | Http2Client, stream_id: int, response: http.Response) -> Commands:
    client = http_layer(upstream.context).connections[upstream.context.client]
    if isinstance(client, Http1Server):
        if client.request is None or client.request.http_version == "HTTP/1.0":
            return  # RFC 9110, 15.2: a server must not send one to an HTTP/1.0 client
        said = client.response.status_code if client.response is not None else 0
        if response.status_code == said == 100:
            return  # mitmproxy has answered `Expect: 100-continue` itself
    yield SendHttp(ResponseHeaders(stream_id, response, end_stream=False), upstream.context.client)
