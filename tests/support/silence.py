"""A port that answers nothing, as a host behind a firewall that drops packets."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator


@contextlib.contextmanager
def silent_port() -> Iterator[int]:
    """Yield a port of 127.0.0.1 whose queue of connections is full: Linux drops every SYN that comes then."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(0)
    waiting = []
    try:
        for _ in range(8):
            sock = socket.socket()
            sock.settimeout(0)
            with contextlib.suppress(BlockingIOError):
                sock.connect(listener.getsockname())
            waiting.append(sock)
        yield listener.getsockname()[1]
    finally:
        for sock in [listener, *waiting]:
            sock.close()
