"""A server that speaks no protocol of its own: a function gets each connection as a socket, in the clear or TLS."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

from tests.support.authority import ServerContexts
from tests.support.scripts import DEADLINE_S

Serve = Callable[[socket.socket], None]


class RawServer:
    """Serve on a loopback port of its own; what `serve` raises beside OSError is raised at the block's end."""

    def __init__(self, serve: Serve, *, tls: bool = False, alpn: str = "http/1.1") -> None:
        self._serve = serve
        self._contexts = ServerContexts([alpn]) if tls else None
        self._sockets: list[socket.socket] = []
        self._failures: list[BaseException] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for sock in [self._listener, *self._sockets]:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()
        if self._failures and error is None:
            raise self._failures[0]

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            sock.settimeout(DEADLINE_S)
            self._sockets.append(sock)
            threading.Thread(target=self._run, args=(sock,), daemon=True).start()

    def _run(self, sock: socket.socket) -> None:
        try:
            if self._contexts is not None:
                sock = self._contexts.default.wrap_socket(sock, server_side=True)
                self._sockets.append(sock)
            self._serve(sock)
        except OSError:
            pass  # the client left; the test sees that on its side
        except BaseException as error:  # whatever it is, it must reach the test
            self._failures.append(error)
        finally:
            sock.close()


def read_until(sock: socket.socket, text: bytes) -> bytes:
    """Read until what came holds these bytes; `ConnectionResetError` at the end of the connection."""
    seen = b""
    while text not in seen:
        data = sock.recv(65536)
        if not data:
            raise ConnectionResetError(f"closed after {seen!r:.200}")
        seen += data
    return seen
