"""TLS without layers: what a connection's bytes hold, and what is to be written for others.

What is left to the plain way then is given to it as decrypted already; it goes on as if it had done that itself.
"""

from __future__ import annotations

from typing import Any

from mitmproxy.connection import Connection
from mitmproxy.proxy.events import DataReceived
from mitmproxy.proxy.layers.tls import TLSLayer
from mitmproxy.proxy.server import ConnectionHandler
from OpenSSL import SSL

from addons.compat.speed_cork import outgoing
from addons.compat.streams import Commands

_REST = "_wiretape_rest"
_HEAD = 5
_APPLICATION_DATA = 23


def decrypt(tls: SSL.Connection, data: bytes) -> tuple[bytes, bool]:
    """Return what the bytes hold, and whether nothing else is to be done about them.

    Else TLS has something to say, or there is an end: OpenSSL tells it once more to whoever asks.
    """
    tls.bio_write(data)
    size = len(data)
    parts: list[bytes] = []
    try:
        parts.append(tls.recv(size))
        # One whole record, as most pieces of a stream are: asking for more would cost an exception.
        while size != _HEAD + int.from_bytes(data[3:_HEAD], "big") or data[0] != _APPLICATION_DATA:
            parts.append(tls.recv(size))
    except SSL.WantReadError:
        return b"".join(parts), bool(parts)
    except SSL.Error:
        return b"".join(parts), False
    return parts[0], True


def send(handler: ConnectionHandler, connection: Connection, layer: TLSLayer | None, raw: bytes) -> None:
    """Encrypt, where there is TLS, and write, as TLSLayer.send_data and ConnectionHandler.server_event do."""
    if layer is not None:
        try:  # noqa: SIM105 - on the hot path
            layer.tls.sendall(raw)
        except (SSL.ZeroReturnError, SSL.SysCallError):
            pass  # the peer has closed its direction
        raw = outgoing(layer.tls)
    io = handler.transports.get(connection)
    if raw and io is not None and io.writer is not None and not io.writer.is_closing():
        io.writer.write(raw)


def left_over(layer: TLSLayer, rest: bytes) -> DataReceived:
    """Return the event by which the plain way takes up what is decrypted and not yet handled."""
    layer.__dict__[_REST] = rest
    return DataReceived(layer.conn, b"")


def take_up_rest() -> None:
    """Have TLS layers begin with what `left_over` has for them."""
    receive = TLSLayer.receive_data
    if getattr(receive, "_wiretape_rest", False):
        return
    if "receive_data" not in TLSLayer._handle_event.__code__.co_names:
        raise AttributeError("TLSLayer hands data over in another way")

    def received(self: TLSLayer, data: bytes) -> Commands:
        rest: Any = self.__dict__.pop(_REST, None)
        if rest:
            yield from self.event_to_child(DataReceived(self.conn, rest))
        yield from receive(self, data)

    received._wiretape_rest = True  # type: ignore[attr-defined]
    TLSLayer.receive_data = received  # type: ignore[method-assign]
