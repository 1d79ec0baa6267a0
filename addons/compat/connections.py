"""Connections: accepting, finding and ending them, how long and how many there may be, where they lead."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import socket
import struct
from collections.abc import Callable, Iterator
from typing import Any

from mitmproxy import connection, options
from mitmproxy.addons.proxyserver import Proxyserver
from mitmproxy.net import tls as net_tls
from mitmproxy.proxy import layer, mode_servers, server
from mitmproxy.proxy.layers.http._upstream_proxy import HttpUpstreamProxy

_SILENCE_SECONDS = 24 * 3600
_CONNECTIONS = 1000
_READER = "wiretape_reader"


def set_options(opts: options.Options) -> None:
    """Set what only some versions know: `tcp_timeout` is an option from mitmproxy 12.2.1.

    No HTTP/2 PING every 58 s: some servers end a connection for it (gRPC's, "too_many_pings") that a client's own
    would have kept. TCP keeps idle connections alive, see reading.py.
    """
    opts.update(http2_ping_keepalive=0)
    if "tcp_timeout" in opts:
        opts.update(tcp_timeout=_SILENCE_SECONDS)


def lift_idle_timeout_of_11() -> None:
    """Let a connection be silent for a day (11.0.2: proxy/server.py:47, read when a connection is accepted)."""
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


def open_connections(proxyserver: Proxyserver) -> list[server.ConnectionHandler]:
    """Return the client connections that are open."""
    return list(proxyserver.connections.values())


def last_activity(handler: server.ConnectionHandler) -> float:
    """Return when bytes last moved on a client connection, in the terms of `time.time`."""
    return handler.timeout_watchdog.last_activity


def cut(handler: server.ConnectionHandler) -> None:
    """End a client connection at once; its flows get their `error` hook."""
    transport = handler.transports.get(handler.client)
    if transport is not None and transport.handler is not None:
        transport.handler.cancel("cut by wiretape")


def break_off(proxyserver: Proxyserver, client: connection.Client) -> None:
    """Reset a client connection here and now: not one byte more goes out, whatever is under way on it."""
    handler = proxyserver.connections.get(client.id)
    io = handler.transports.get(client) if handler is not None else None
    writer: Any = io.writer if io is not None else None
    if writer is not None:
        with contextlib.suppress(OSError):
            # A FIN would look like the end of a body that has no length.
            linger = struct.pack("ii", 1, 0)
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        writer.transport.abort()


def close_upstream(proxyserver: Proxyserver, client: connection.Client, upstream: connection.Server) -> None:
    """End a connection to an upstream before anything was said on it."""
    handler = proxyserver.connections.get(client.id)
    io = handler.transports.get(upstream) if handler is not None else None
    writer: Any = io.writer if io is not None else None
    if writer is not None:
        writer.transport.abort()


def watch_end(proxyserver: Proxyserver, client: connection.Client, upstream: connection.Server) -> None:
    """Keep what tells later how an upstream's connection ended; mitmproxy takes RST for FIN (proxy/server.py:288)."""
    handler = proxyserver.connections.get(client.id)
    transport = handler.transports.get(upstream) if handler is not None else None
    if transport is not None:
        upstream.__dict__[_READER] = transport.reader


def was_reset(upstream: connection.Server) -> bool:
    """Tell whether a connection that is watched ended with an error rather than with FIN."""
    reader = upstream.__dict__.get(_READER)
    return isinstance(reader, asyncio.StreamReader) and reader.exception() is not None


@contextlib.contextmanager
def tls_files(opts: options.Options, roots: str, client_cert: str | None) -> Iterator[None]:
    """Set the roots that upstreams are checked against, and what is shown to those that ask, for a block.

    The block does not await. The options are global and sessions differ; setting them the public way would
    configure every addon anew.
    """
    wanted = {"ssl_verify_upstream_trusted_ca": roots, "client_certs": client_cert}
    before = {name: opts._options[name].value for name in wanted}
    for name, value in wanted.items():
        opts._options[name].value = value
    try:
        yield
    finally:
        for name, value in before.items():
            opts._options[name].value = value


def forget_tls_contexts() -> None:
    """Have the files of roots and certificates read anew; mitmproxy remembers them by path (net/tls.py)."""
    net_tls.create_proxy_server_context.cache_clear()


def restore_address(target: connection.Server, address: tuple[str, int]) -> None:
    """Give a connection that was redirected its address back, so that the next request finds it again.

    Past the guard that refuses to change an open connection; without this every request opens a new one.
    """
    target.__dict__["address"] = address


def upstream_proxy_layer(context: Any) -> layer.Layer:
    """Return the layer that asks the proxy named in the server's `via` for a tunnel; it asks for its child anew."""
    return HttpUpstreamProxy.make(context, send_connect=True)[0]
