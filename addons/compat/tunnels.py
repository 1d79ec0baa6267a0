"""Tunnels: bytes passed on unseen, each direction closed by itself.

mitmproxy closes both directions of a CONNECTed tunnel when one of them ends (layers/http/__init__.py,
HttpStream.passthrough): a client that has said all it had to say would not get its answer.
"""

from __future__ import annotations

from typing import Any

from mitmproxy.proxy import events, layer, layers
from mitmproxy.proxy.layers.http import HttpStream
from mitmproxy.proxy.layers.http._events import RequestEndOfMessage
from mitmproxy.proxy.layers.http._http1 import Http1Server

from addons.compat.streams import Commands
from addons.compat.tree import http_layer


class Tunnel(layers.TCPLayer):
    """Passes bytes on without looking at them or keeping them."""


def tunnel_layer(context: Any) -> layers.TCPLayer:
    """Return the layer of a tunnel."""
    return Tunnel(context, ignore=True)


def close_by_halves() -> None:
    """Have the end of one direction of a tunnel leave the other open."""
    passthrough: Any = HttpStream.passthrough
    if getattr(passthrough, "_wiretape", False):
        return

    def passed(self: HttpStream, event: Any) -> Commands:
        if isinstance(event, (RequestEndOfMessage, events.ConnectionClosed)) and _is_tunnel(self):
            return _close(self, event)
        return passthrough(self, event)  # type: ignore[no-any-return]

    passed._wiretape = True  # type: ignore[attr-defined]
    passed.__name__ = passthrough.__name__  # HttpStream's repr compares
    HttpStream.passthrough = passed  # type: ignore[method-assign]


def _is_tunnel(stream: HttpStream) -> bool:
    child = stream.child_layer
    if isinstance(child, layer.NextLayer):
        child = child.layer
    return isinstance(child, Tunnel) and isinstance(
        http_layer(stream.context).connections.get(stream.context.client), Http1Server
    )


def _close(stream: HttpStream, event: Any) -> Commands:
    if isinstance(event, RequestEndOfMessage):
        event = events.ConnectionClosed(stream.context.client)
    assert stream.child_layer is not None
    # Whatever it commands of the client's connection goes up as it is: nothing else runs over that.
    yield from stream.child_layer.handle_event(event)
