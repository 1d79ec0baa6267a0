"""HTTP/1: what mitmproxy's layer for it gets wrong."""

from __future__ import annotations

from typing import Any

from mitmproxy.http import Response
from mitmproxy.proxy.commands import CloseConnection
from mitmproxy.proxy.layers.http import HttpStream, SendHttp
from mitmproxy.proxy.layers.http._events import RequestHeaders, ResponseEndOfMessage
from mitmproxy.proxy.layers.http._http1 import Http1Client

from addons.compat.streams import Commands
from addons.compat.tree import require

_ENDED = "_wiretape_ended"


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


def _ends_with_its_connection(response: Response) -> bool:
    headers = response.headers
    is_http1 = not (response.is_http2 or response.is_http3)
    return is_http1 and "content-length" not in headers and "transfer-encoding" not in headers


def end_early_responses() -> None:
    """Have a client see the end of a response that ends before its request does, as of a 413, when it comes.

    mitmproxy keeps it until the request has ended (layers/http/__init__.py, send_response); who waits for the
    response before going on with the request waits for ever, and when the upstream leaves, for nothing.
    """
    send_response, flow_done = HttpStream.send_response, HttpStream.flow_done
    if getattr(flow_done, "_wiretape", False):
        return
    require(HttpStream, "state_done", "state_stream_request_body")

    def sent(self: HttpStream, already_streamed: bool = False) -> Commands:
        yield from send_response(self, already_streamed)
        response = self.flow.response
        if (
            self.server_state == self.state_done
            and self.client_state == self.state_stream_request_body
            and response is not None
            and response.status_code != 101
        ):
            self.__dict__[_ENDED] = True
            yield SendHttp(ResponseEndOfMessage(self.stream_id), self.context.client)
            if not self.flow.request.is_http2 and _ends_with_its_connection(response):
                yield CloseConnection(self.context.client)

    def done(self: HttpStream) -> Commands:
        for command in flow_done(self):
            is_end = isinstance(command, SendHttp) and isinstance(command.event, ResponseEndOfMessage)
            if not is_end or _ENDED not in self.__dict__:
                yield command

    done._wiretape = True  # type: ignore[attr-defined]
    HttpStream.send_response = sent  # type: ignore[method-assign]
    HttpStream.flow_done = done  # type: ignore[method-assign]
