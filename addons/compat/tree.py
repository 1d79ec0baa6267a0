"""Finding one's way between mitmproxy's layers.

    HttpLayer ─┬─ connections[client]    Http1Server or Http2Server
               ├─ streams[stream id]     HttpStream: one request and its response
               └─ connections[server]    [ServerTLSLayer ─▶] HttpClient ─▶ Http1Client or Http2Client

A layer's context lists the layers above it, itself among them.
"""

from __future__ import annotations

from typing import Any

from mitmproxy.connection import Connection
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.layers.http import HttpLayer


def http_layer(context: Context) -> HttpLayer:
    """Return the HttpLayer that a layer works for: the innermost, since CONNECT puts one into another."""
    for layer in reversed(context.layers):
        if isinstance(layer, HttpLayer):
            return layer
    raise LookupError("no HTTP here")


def speaker(http: HttpLayer, connection: Connection) -> Any:
    """Return the layer that speaks HTTP on a connection, below TLS; None before it is known."""
    top = http.connections.get(connection)
    return None if top is None else top.context.layers[-1] if connection is not http.context.client else top


def require(owner: type, *names: str) -> None:
    """Raise AttributeError unless a class has all these members, or at least declares them."""
    declared = {name for base in owner.__mro__ for name in getattr(base, "__annotations__", {})}
    for name in names:
        if not hasattr(owner, name) and name not in declared:
            raise AttributeError(f"{owner.__name__} has no {name}")
