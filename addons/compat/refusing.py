"""Requests that are answered before anything of them is looked at.

A response that an addon sets leaves once the request is there in full, so mitmproxy keeps a body of any length in
memory for it, and a request that is to be streamed cannot be answered at all (layers/http/__init__.py,
state_consume_request_body, start_request_stream).
"""

from __future__ import annotations

from mitmproxy import http
from mitmproxy.proxy.layers.http import DropStream, HttpStream, SendHttp
from mitmproxy.proxy.layers.http._events import ResponseData, ResponseEndOfMessage, ResponseHeaders

from addons.compat.streams import Commands

_RESPONSE = "wiretape.refusal"


def refuse(flow: http.HTTPFlow, response: http.Response) -> None:
    """Answer a request, or a CONNECT, from its first hook; its body is read and forgotten, no later hook is called.

    If `answer_refused` is not installed the connection is closed without an answer.
    """
    flow.metadata[_RESPONSE] = response
    flow.kill()


def answer_refused() -> None:
    """Have those who are refused told so."""
    check_killed = HttpStream.check_killed
    if getattr(check_killed, "_wiretape", False):
        return

    def checked(self: HttpStream, emit_error_hook: bool) -> Commands:
        response = self.flow.metadata.get(_RESPONSE)
        if response is None:
            return (yield from check_killed(self, emit_error_hook))
        body = response.raw_content if self.flow.request.method != "HEAD" else b""
        yield SendHttp(ResponseHeaders(self.stream_id, response, not body), self.context.client)
        if body:
            yield SendHttp(ResponseData(self.stream_id, body), self.context.client)
        yield SendHttp(ResponseEndOfMessage(self.stream_id), self.context.client)
        self.flow.live = False
        self.client_state = self.server_state = self.state_errored
        yield DropStream(self.stream_id)
        return True

    checked._wiretape = True  # type: ignore[attr-defined]
    HttpStream.check_killed = checked  # type: ignore[method-assign]
