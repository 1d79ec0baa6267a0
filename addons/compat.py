"""Every private part of mitmproxy that we touch, and every difference between 11.0.2 and 12: one function each.

`install` checks at start that the parts are as expected. Where one is not, the plain behaviour stays and a warning
names what is lost; recording goes on.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import json
import logging
from collections.abc import Callable, Generator, Iterator
from typing import Any, cast

from mitmproxy import connection, http, options
from mitmproxy.addons.proxyserver import Proxyserver
from mitmproxy.proxy import commands, layer, layers, mode_servers, server
from mitmproxy.proxy.layers.http import HttpStream, SendHttp
from mitmproxy.proxy.layers.http._events import (
    RequestHeaders,
    RequestProtocolError,
    ResponseData,
    ResponseEndOfMessage,
    ResponseHeaders,
    ResponseProtocolError,
)
from mitmproxy.proxy.layers.http._http1 import Http1Client
from mitmproxy.proxy.layers.http._upstream_proxy import HttpUpstreamProxy

_log = logging.getLogger(__name__)

Commands = Generator[commands.Command, Any, Any]

BLAME = "wiretape.blame"
"""Key in a flow's metadata: whose fault the end was, `client`, `upstream` or `proxy`."""
ERROR_HEADER = "Wiretape-Error"
"""Marks a response as the proxy's own."""

_SILENCE_SECONDS = 24 * 3600
_CONNECTIONS = 1000


def install() -> None:
    """Patch what has to be patched; call once, before the first connection."""
    for name, patch in (
        ("who broke an exchange off, and errors in the proxy's own words", _patch_stream),
        ("bodies of unknown length from HTTP/2 clients to HTTP/1 upstreams", _patch_request_framing),
        ("no end of a silent connection after ten minutes", _lift_idle_timeout_of_11),
    ):
        try:
            patch()
        except (AttributeError, TypeError) as exc:
            _log.warning("compat.unavailable what=%r reason=%r", name, exc)


def set_options(opts: options.Options) -> None:
    """Set what only some versions know: `tcp_timeout` is an option from mitmproxy 12.2.1."""
    if "tcp_timeout" in opts:
        opts.update(tcp_timeout=_SILENCE_SECONDS)


def _lift_idle_timeout_of_11() -> None:
    # mitmproxy 11.0.2 proxy/server.py:47; read when a connection is accepted.
    if hasattr(server, "TCP_TIMEOUT"):
        server.TCP_TIMEOUT = _SILENCE_SECONDS


def lift_connection_cap(proxyserver: Proxyserver, client: connection.Client) -> None:
    """Let one client connection have more than five upstream connections to one address (proxy/server.py:109)."""
    handler = proxyserver.connections.get(client.id)
    if handler is not None:
        handler.max_conns = collections.defaultdict(lambda: asyncio.Semaphore(_CONNECTIONS))


def accept_on(
    proxyserver: Proxyserver, port: int
) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], Any]:
    """Return the callback that serves a client connection as a regular proxy, for `asyncio.start_server`."""
    instance: mode_servers.ServerInstance[Any] = mode_servers.ServerInstance.make(
        f"regular@127.0.0.1:{port}", proxyserver
    )
    return instance.handle_stream


def connections_on(proxyserver: Proxyserver, port: int) -> list[server.ConnectionHandler]:
    """Return the client connections that came in on this port."""
    return [handler for handler in proxyserver.connections.values() if handler.client.sockname[1] == port]


def last_activity(handler: server.ConnectionHandler) -> float:
    """Return when bytes last moved on a client connection, in the terms of `time.time`."""
    return handler.timeout_watchdog.last_activity


def cut(handler: server.ConnectionHandler) -> None:
    """End a client connection at once; its flows get their `error` hook."""
    transport = handler.transports.get(handler.client)
    if transport is not None and transport.handler is not None:
        transport.handler.cancel("cut by wiretape")


@contextlib.contextmanager
def trusted_ca(opts: options.Options, path: str | None) -> Iterator[None]:
    """Set the roots that upstreams are checked against for the length of a block that does not await.

    The option is global and sessions differ; setting it the public way would configure every addon anew.
    """
    option = opts._options["ssl_verify_upstream_trusted_ca"]
    before = option.value
    option.value = path
    try:
        yield
    finally:
        option.value = before


def restore_address(target: connection.Server, address: tuple[str, int]) -> None:
    """Give a connection that was redirected its address back, so that the next request finds it again.

    Past the guard that refuses to change an open connection; without this every request opens a new one.
    """
    target.__dict__["address"] = address


def tunnel_layer(context: Any) -> layers.TCPLayer:
    """Return the layer that passes bytes on without looking at them or keeping them."""
    return layers.TCPLayer(context, ignore=True)


def upstream_proxy_layer(context: Any) -> layer.Layer:
    """Return the layer that asks the proxy named in the server's `via` for a tunnel; it asks for its child anew."""
    return HttpUpstreamProxy.make(context, send_connect=True)[0]


def _patch_request_framing() -> None:
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


def _patch_stream() -> None:
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


def own_response(flow: http.HTTPFlow, status: int, message: str) -> http.Response:
    """Return the proxy's own answer to a request it could not serve, in JSON where the request was JSON."""
    where = f"{flow.request.host}:{flow.request.port}"
    if status >= 500:
        code, text = "upstream_unreachable", f"wiretape: no answer from {where}: {message}"
        if flow.server_conn.connected or flow.metadata.get(BLAME) == "proxy":
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
