"""A bound for answers of our own that a client does not read: refusals, acknowledgements of HTTP/2 frames.

What upstreams send is bounded already (reading.py, backpressure.py). But for each request that is refused, and for each
PING, a few bytes wait in memory until the client takes them; one that only sends would fill it.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

from mitmproxy.proxy.server import ConnectionHandler

MOST_UNREAD = 8 << 20
"""Bytes, past which nothing more is read from the client. More than one read of an upstream's can leave there."""


def bound_unread() -> None:
    """Have a client that does not read its answers wait with its requests."""
    drain_writers: Any = ConnectionHandler.drain_writers
    if getattr(drain_writers, "_wiretape_unread", False):
        return

    async def drain(self: ConnectionHandler) -> None:
        await drain_writers(self)
        io = self.transports.get(self.client)
        if io is None or io.writer is None or io.handler is not asyncio.current_task():
            return
        writer: Any = io.writer
        if writer.transport.get_write_buffer_size() > MOST_UNREAD:
            with contextlib.suppress(OSError):  # the next read says that it is gone
                await writer.drain()

    drain._wiretape = drain._wiretape_unread = True  # type: ignore[attr-defined]
    ConnectionHandler.drain_writers = drain  # type: ignore[method-assign]
