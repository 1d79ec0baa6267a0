"""HTTP streams: whose fault an end was, and errors in the proxy's own words instead of mitmproxy's HTML page."""

from __future__ import annotations

import json
import re
from collections.abc import Generator, Iterator
from typing import Any, cast

from mitmproxy import http
from mitmproxy.proxy import commands
from mitmproxy.proxy.layers.http import HttpLayer, HttpStream, SendHttp
from mitmproxy.proxy.layers.http._events import (
    RequestProtocolError,
    ResponseData,
    ResponseEndOfMessage,
    ResponseHeaders,
    ResponseProtocolError,
)

Commands = Generator[commands.Command, Any, Any]

BLAME = "wiretape.blame"
"""Key in a flow's metadata: whose fault the end was, `client`, `upstream` or `proxy`."""
_LONGEST_MESSAGE = 300
_QUOTED = re.compile(r"(?:\[?\bb['\"]|(?<=: )['\"]).*", re.DOTALL)
"""From the first quote on, to the end: what is quoted may hold quotes itself, and it may be cut short."""
ERROR_HEADER = "Wiretape-Error"
"""Marks a response as the proxy's own."""


def patch_streams() -> None:
    """Have HttpStream say who is to blame for an end, and answer errors in our words.

    mitmproxy answers with an HTML page that SDKs report as the provider's own error (layers/http/_base.py:43).
    """
    for name in ("handle_protocol_error", "check_invalid", "_handle_event"):
        if not callable(getattr(HttpStream, name, None)):
            raise AttributeError(f"HttpStream has no {name}")
    protocol_error, check_invalid = HttpStream.handle_protocol_error, HttpStream.check_invalid
    if getattr(protocol_error, "_wiretape", False):
        return

    def handle_protocol_error(self: HttpStream, event: Any) -> Commands:
        self.flow.metadata[BLAME] = "client" if isinstance(event, RequestProtocolError) else "upstream"
        result = yield from _in_our_words(self, protocol_error(self, event))
        # A failed connection would be handed to every later request of this client; with its error forgotten,
        # the next request tries anew, as a direct client's would (layers/http/__init__.py, get_connection).
        self.flow.server_conn.error = None
        return result

    def checked(self: HttpStream, request: bool) -> Commands:
        invalid = yield from _in_our_words(self, check_invalid(self, request), blame="proxy")
        return invalid

    register = HttpLayer.register_connection

    def register_connection(self: HttpLayer, command: Any) -> Commands:
        yield from register(self, command)
        command.connection.error = (
            None  # for the same reason; this one is not the first on its client connection
        )

    HttpLayer.register_connection = register_connection  # type: ignore[method-assign]
    handle_protocol_error._wiretape = True  # type: ignore[attr-defined]
    HttpStream.handle_protocol_error = handle_protocol_error  # type: ignore[method-assign]
    HttpStream.check_invalid = checked  # type: ignore[method-assign]


def _in_our_words(stream: HttpStream, inner: Commands, blame: str | None = None) -> Commands:
    """Run a generator of commands and put a whole response where it would send the client an error."""
    reply = None
    while True:
        try:
            command = inner.send(reply)
        except StopIteration as stop:
            return stop.value
        if blame and stream.flow.error:
            stream.flow.metadata[BLAME] = blame
        if _is_answerable(stream, command):
            for part in _error_response(stream, cast(SendHttp, command).event):
                reply = yield SendHttp(part, stream.context.client)
        else:
            reply = yield command


def _is_answerable(stream: HttpStream, command: commands.Command) -> bool:
    return (
        isinstance(command, SendHttp)
        and isinstance(command.event, ResponseProtocolError)
        and command.connection is stream.context.client
        and (stream.flow.response is None or stream.flow.metadata.get(BLAME) == "proxy")
        and _status(command.event) is not None
    )


def _status(event: ResponseProtocolError) -> int | None:
    """Return the status an error is answered with; None when the connection is just to be closed."""
    code: Any = event.code
    if isinstance(code, int) and not hasattr(code, "http_status_code"):  # 11.0.2: the status itself
        return code if 400 <= code < 600 and code not in (444, 499) else None
    status: int | None = code.http_status_code()  # 12: ErrorCode
    return status


def _error_response(stream: HttpStream, event: Any) -> Iterator[Any]:
    status = _status(event) or 502
    response = own_response(stream.flow, status, event.message)
    yield ResponseHeaders(stream.stream_id, response, end_stream=False)
    if stream.flow.request.method != "HEAD":
        yield ResponseData(stream.stream_id, response.content or b"")
    yield ResponseEndOfMessage(stream.stream_id)


def was_reached(flow: http.HTTPFlow) -> bool:
    """Tell whether the upstream was connected to, TLS included; a connection that is closed by now counts."""
    server = flow.server_conn
    if flow.request.scheme == "https":
        return server.timestamp_tls_setup is not None
    return server.timestamp_tcp_setup is not None


def _in_short(message: str) -> str:
    """Leave out mitmproxy's advice, which is not for our users, and most of what it quotes."""
    return message.partition(", refusing to prevent request smuggling")[0][:_LONGEST_MESSAGE]


def without_quotes(message: str) -> str:
    """Return an error's text for the log: mitmproxy quotes from heads in it, as Python shows bytes."""
    return _QUOTED.sub("...", _in_short(message))


def own_response(flow: http.HTTPFlow, status: int, message: str, code: str = "") -> http.Response:
    """Return the proxy's own answer to a request it could not serve, in JSON where the request was JSON.

    Without a `code` that says what went wrong it is the upstream that did, or for 4xx the request.
    """
    where = f"{flow.request.host}:{flow.request.port}"
    message = _in_short(message)
    if code:
        text = f"wiretape: {message}"
    elif status >= 500:
        code, text = "upstream_unreachable", f"wiretape: no answer from {where}: {message}"
        if was_reached(flow) or flow.metadata.get(BLAME) == "proxy":
            code, text = "upstream_broke_off", f"wiretape: {where} broke the exchange off: {message}"
    else:
        code, text = "request_refused", f"wiretape: refused the request: {message}"
    headers = flow.request.headers
    if "json" in headers.get("content-type", "") or "json" in headers.get("accept", ""):
        body = json.dumps({"error": {"message": text, "type": "wiretape_proxy_error", "code": code}}).encode()
        content_type = "application/json"
    else:
        body, content_type = f"{text}\n".encode(), "text/plain; charset=utf-8"
    return http.Response.make(
        status,
        body,
        {"Content-Type": content_type, "Content-Length": str(len(body)), ERROR_HEADER: code},
    )
