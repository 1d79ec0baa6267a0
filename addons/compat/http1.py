"""HTTP/1: what mitmproxy's layer for it gets wrong."""

from __future__ import annotations

from typing import Any

from mitmproxy.proxy.layers.http._events import RequestHeaders
from mitmproxy.proxy.layers.http._http1 import Http1Client

from addons.compat.streams import Commands


def frame_requests() -> None:
    """Have a streamed HTTP/2 request without Content-Length reach an HTTP/1 upstream chunked.

    mitmproxy sends its body without any framing (layers/http/_http1.py, Http1Client.send): the upstream takes
    the request for one without a body, and the body for the next request.
    """
    send = Http1Client.send
    if getattr(send, "_wiretape", False):
        return

    def framed(self: Http1Client, event: Any) -> Commands:
        if isinstance(event, RequestHeaders) and not event.end_stream:
            request = event.request
            if request.is_http2 and "content-length" not in request.headers:
                request = request.copy()
                request.headers["Transfer-Encoding"] = "chunked"
                event = RequestHeaders(event.stream_id, request, event.end_stream, event.replay_flow)
        yield from send(self, event)

    framed._wiretape = True  # type: ignore[attr-defined]
    Http1Client.send = framed  # type: ignore[method-assign]
