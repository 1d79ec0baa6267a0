"""A scripted server on loopback: TLS for any host, HTTP/1.1 and HTTP/2, one thread a connection.

The first byte tells TLS from plain HTTP, ALPN tells HTTP/2 from HTTP/1.1, so one port serves all of them.
What goes wrong in a script is kept in `failures` and raised when the `with` block ends: none fails unseen.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.support.authority import ServerContexts, authority
from tests.support.scripts import Handler, Received, Reply
from tests.support.upstream_h1 import serve_h1
from tests.support.upstream_h2 import serve_h2
from tests.support.wire import Wire

HTTP_2_FIRST = ("h2", "http/1.1")
HTTP_1_ONLY = ("http/1.1",)


class Upstream:
    """Serve on a loopback port of its own, from `with` to its end."""

    def __init__(
        self, handler: Handler, *, alpn: Sequence[str] = HTTP_2_FIRST, demands_certificate: bool = False
    ) -> None:
        self._handler = handler
        self._contexts = ServerContexts(alpn, demands_certificate=demands_certificate)
        self._lock = threading.Lock()
        self._wires: set[Wire] = set()
        self._connections = 0
        self._closed = False
        self.received: list[Received] = []
        """Every request, in the order in which they were complete."""
        self.failures: list[BaseException] = []
        """What the handlers raised."""
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def ca_file(self) -> Path:
        """The certificate that a client has to trust."""
        return authority().ca_file

    @property
    def connections(self) -> int:
        """How many connections were opened so far."""
        with self._lock:
            return self._connections

    def connect_to(self, host: str = "", port: int = 443) -> str:
        """Say it as `--connect-to` wants it: requests for this host (empty: any) and port come here."""
        return f"{host}:{port}:127.0.0.1:{self.port}"

    def options(self, *hosts: str, port: int = 443) -> list[str]:
        """Return the options of a session whose requests for these hosts (none given: any) come here."""
        routes = [f"--connect-to={self.connect_to(host, port)}" for host in hosts or ("",)]
        return [f"--upstream-ca={self.ca_file}", *routes]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
        if self.failures and error is None:
            raise self.failures[0]
        if self.failures and error is not None:
            error.add_note(f"the upstream's script failed, too: {self.failures[0]!r}")

    def close(self) -> None:
        """Stop listening and cut every connection."""
        with self._lock:
            self._closed = True
            wires = list(self._wires)
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for wire in wires:
            wire.close()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            wire = Wire(sock, self._contexts)
            with self._lock:
                if self._closed:
                    sock.close()
                    return
                self._connections += 1
                self._wires.add(wire)
                number = self._connections
            threading.Thread(target=self._serve, args=(wire, number), daemon=True).start()

    def _serve(self, wire: Wire, number: int) -> None:
        try:
            wire.open()
            serve = serve_h2 if wire.alpn == "h2" else serve_h1
            serve(wire, self._play, number)
        except OSError:
            # The client broke off, or `close` cut the connection: what that means is for the test to see.
            pass
        finally:
            with self._lock:
                self._wires.discard(wire)
            wire.close()

    def _play(self, request: Received, reply: Reply) -> None:
        with self._lock:
            self.received.append(request)
        try:
            self._handler(request, reply)
        except OSError:
            raise
        except BaseException as error:  # whatever it is, it must reach the test
            with self._lock:
                self.failures.append(error)
            reply.reset()
