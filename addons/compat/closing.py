"""Ends of connections: the client sees the same end as we did, in order or broken, and never none.

mitmproxy ends TLS without close_notify (layers/tls.py, send_close), which Go and curl take for a broken
connection where only its end tells a body's, and ends a broken one with a FIN like any other.
"""

from __future__ import annotations

import contextlib
import logging
import socket
import struct
import sys
import traceback
import weakref
from pathlib import Path
from typing import Any

from mitmproxy.connection import Client, Connection
from mitmproxy.proxy.layers.http import HttpStream
from mitmproxy.proxy.layers.http._events import ResponseProtocolError
from mitmproxy.proxy.layers.tls import TLSLayer
from mitmproxy.proxy.server import ConnectionHandler
from mitmproxy.proxy.tunnel import TunnelState
from OpenSSL import SSL

from addons.compat.connections import was_reset
from addons.compat.streams import Commands
from addons.compat.tree import require

_log = logging.getLogger(__name__)
_CRASH = "mitmproxy has crashed!"
_AT_ONCE = struct.pack("ii", 1, 0)

_ragged: weakref.WeakSet[Connection] = weakref.WeakSet()
"""TLS connections that the peer ended without close_notify."""
_broken: weakref.WeakSet[Connection] = weakref.WeakSet()
"""Client connections whose response broke off in the middle."""
_to_reset: weakref.WeakSet[Connection] = weakref.WeakSet()
_crashed: weakref.WeakSet[Connection] = weakref.WeakSet()


def ended_cleanly(connection: Connection) -> bool:
    """Tell whether a peer closed its connection in order.

    Under TLS that is with close_notify: without it a body that ends with the connection is not complete
    (RFC 9112, 9.8).
    """
    if connection in _ragged:
        return False
    return isinstance(connection, Client) or not was_reset(connection)  # type: ignore[arg-type]


def has_crashed(client: Client) -> bool:
    """Tell whether mitmproxy failed while it served this client."""
    return client in _crashed


def pass_ends_on() -> None:
    """Have TLS closed with close_notify, unless the response behind it broke off; reset where the upstream did."""
    send_close, receive_close = TLSLayer.send_close, TLSLayer.receive_close
    if getattr(send_close, "_wiretape", False):
        return
    require(TLSLayer, "tls", "tls_interact", "tunnel_state")
    protocol_error, close_connection = HttpStream.handle_protocol_error, ConnectionHandler.close_connection

    def notify(self: TLSLayer, command: Any) -> Commands:
        if self.conn not in _broken and self.tunnel_state is TunnelState.OPEN and self.tls is not None:
            with contextlib.suppress(SSL.Error):
                self.tls.shutdown()
            yield from self.tls_interact()
        yield from send_close(self, command)

    def note(self: TLSLayer) -> Commands:
        if not self.tls.get_shutdown() & SSL.RECEIVED_SHUTDOWN:
            _ragged.add(self.conn)
        return receive_close(self)

    def broke_off(self: HttpStream, event: Any) -> Commands:
        if isinstance(event, ResponseProtocolError) and self.flow.response is not None:
            client = self.context.client
            if not self.flow.request.is_http2:  # on HTTP/2 the stream is reset and the connection stays
                _broken.add(client)
                if not client.tls and was_reset(self.flow.server_conn):
                    _to_reset.add(client)
        return protocol_error(self, event)

    def close(self: ConnectionHandler, connection: Connection, half_close: bool = False) -> None:
        if connection in _to_reset and not half_close:
            writer: Any = self.transports[connection].writer
            with contextlib.suppress(OSError):
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
        close_connection(self, connection, half_close)

    notify._wiretape = True  # type: ignore[attr-defined]
    TLSLayer.send_close = notify  # type: ignore[method-assign]
    TLSLayer.receive_close = note  # type: ignore[method-assign]
    HttpStream.handle_protocol_error = broke_off  # type: ignore[method-assign]
    ConnectionHandler.close_connection = close  # type: ignore[method-assign]


def end_after_crash() -> None:
    """Have a client whose layer raised lose its connection; mitmproxy logs the error and leaves it waiting."""
    log = ConnectionHandler.log
    if _CRASH not in ConnectionHandler.server_event.__code__.co_consts:
        raise AttributeError("ConnectionHandler.server_event reports a crash in other words")
    if getattr(log, "_wiretape", False):
        return

    def watched(self: ConnectionHandler, message: str, *args: Any, **kwargs: Any) -> None:
        if message == _CRASH:
            _end_crashed(self)
        else:
            log(self, message, *args, **kwargs)

    watched._wiretape = True  # type: ignore[attr-defined]
    ConnectionHandler.log = watched  # type: ignore[method-assign]


def _end_crashed(handler: ConnectionHandler) -> None:
    # Neither the error's text nor mitmproxy's log entry: they quote events, and so bodies.
    if handler.client not in _crashed:
        _crashed.add(handler.client)
        _log.error("mitmproxy.crashed %s", _where())
    _broken.add(handler.client)
    io = handler.transports.get(handler.client)
    if io is None:
        return
    if io.handler is not None:
        io.handler.cancel("mitmproxy crashed")
    elif io.writer is not None:
        io.writer.close()


def _where() -> str:
    """Name the exception that is being handled and the place it comes from."""
    kind, _error, trace = sys.exc_info()
    last = traceback.extract_tb(trace)[-1] if trace is not None else None
    place = f"{Path(last.filename).name}:{last.lineno}" if last is not None else "unknown"
    return f"error={kind.__name__ if kind is not None else None} at={place}"
