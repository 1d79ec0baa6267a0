"""Bounds for what HTTP/1 has to be read in one piece: heads, the sizes of chunks, trailers.

mitmproxy collects them without a limit, as two comments in its layers/http/_http1.py admit. On HTTP/2 the library
refuses header lists over 64 KiB.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from mitmproxy import http
from mitmproxy.net.http import http1
from mitmproxy.proxy import events
from mitmproxy.proxy.commands import CloseConnection, SendData
from mitmproxy.proxy.layers.http import _http1
from mitmproxy.proxy.layers.http._base import ReceiveHttp
from mitmproxy.proxy.layers.http._http1 import Http1Connection, Http1Server

from addons.compat.streams import ERROR_HEADER, Commands

_Head = TypeVar("_Head", http.Request, http.Response)

MAX_HEAD = 4 << 20
"""Bytes. Servers take much less: nginx 32 KiB, Node 16 KiB, Cloudflare 128 KiB. Chosen, not measured."""
MAX_FIELDS = 10_000
"""Header fields of one message, of which every one takes some 10 us of the event loop (measured). Node: 2,000."""
MAX_WAITING = 64 << 20
"""Bytes that a client may send ahead, of its next request, while it waits for a response; chosen, not measured."""
_LONGEST_MESSAGE = 300


def bound_heads() -> None:
    """Refuse endless heads, and answer malformed ones in our words in place of mitmproxy's HTML page."""
    handle_event = Http1Connection._handle_event
    if getattr(handle_event, "_wiretape", False):
        return
    for name in ("read_headers", "wait", "done"):
        if not callable(getattr(Http1Server, name)):
            raise AttributeError(f"Http1Server has no {name}")

    def handle(self: Http1Connection, event: events.Event) -> Commands:
        if isinstance(event, events.DataReceived):
            return _bounded(self, handle_event(self, event))
        return handle_event(self, event)

    handle._wiretape = True  # type: ignore[attr-defined]
    reading: Any = http1
    reading.read_request_head = _counted(http1.read_request_head)
    reading.read_response_head = _counted(http1.read_response_head)
    _http1.make_error_response = _error_response
    Http1Connection._handle_event = handle  # type: ignore[method-assign]


def _counted(read: Callable[[list[bytes]], _Head]) -> Callable[[list[bytes]], _Head]:
    def counted(lines: list[bytes]) -> _Head:
        if len(lines) > MAX_FIELDS:
            raise ValueError(f"more than {MAX_FIELDS} header fields")
        return read(lines)

    return counted


def _bounded(layer: Http1Connection, inner: Commands) -> Commands:
    yield from inner
    # What is left now is the beginning of something; bodies are passed on as they come.
    size = len(layer.buf)
    if size <= MAX_HEAD or layer.state == layer.done:
        return
    is_server = isinstance(layer, Http1Server)
    if layer.state == layer.wait and size <= MAX_WAITING:
        return
    begun = not (is_server and layer.state == layer.read_headers)
    if not begun:
        yield SendData(layer.conn, _error_response(431, "the request's head is too long"))
    yield CloseConnection(layer.conn)
    layer.state = layer.done
    layer.buf = type(layer.buf)()
    if begun and layer.stream_id is not None:
        what = "the head, or a chunk's, is too long"
        error: Any = layer.ReceiveProtocolError
        yield ReceiveHttp(error(layer.stream_id, what, error.code))


def _error_response(status_code: int, message: str = "") -> bytes:
    response: Any = http.Response.make(
        status_code,
        f"wiretape: refused the request: {message[:_LONGEST_MESSAGE]}\n".encode(errors="replace"),
        {
            "Content-Type": "text/plain; charset=utf-8",
            "Connection": "close",
            ERROR_HEADER: "request_refused",
        },
    )
    return bytes(http1.assemble_response(response))
