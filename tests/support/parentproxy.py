"""A small HTTP proxy that wants a password: what stands between a session and its upstreams in an office."""

from __future__ import annotations

import base64
import contextlib
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

from tests.support.authority import ServerContexts
from tests.support.wire import Wire

_PATIENCE_S = 30.0


@dataclass(frozen=True, slots=True)
class Asked:
    """The head of one request that the proxy got."""

    method: str
    target: str
    headers: dict[str, str]
    """Names in lower case."""


class ParentProxy:
    """Serve CONNECT and plain requests of those who log in; every host is led to one address."""

    def __init__(self, user: str, password: str, lead_to: tuple[str, int]) -> None:
        self._expected = "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
        self._lead_to = lead_to
        self.asked: list[Asked] = []
        self._sockets: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    @contextlib.contextmanager
    def behind_tls(self) -> Iterator[int]:
        """Serve TLS for 127.0.0.1 in front of the proxy, too, on the port that is given."""
        contexts = ServerContexts(("http/1.1",))
        with socket.create_server(("127.0.0.1", 0)) as listener:
            threading.Thread(target=self._accept_tls, args=(listener, contexts), daemon=True).start()
            yield listener.getsockname()[1]
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)

    def _accept_tls(self, listener: socket.socket, contexts: ServerContexts) -> None:
        with contextlib.suppress(OSError):
            while True:
                sock, _ = listener.accept()
                sock.settimeout(_PATIENCE_S)
                inner = socket.create_connection(("127.0.0.1", self.port), _PATIENCE_S)
                self._sockets += [sock, inner]
                threading.Thread(target=_unwrap, args=(Wire(sock, contexts), inner), daemon=True).start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for sock in self._sockets:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            sock.settimeout(_PATIENCE_S)
            self._sockets.append(sock)
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        upstream: socket.socket | None = None
        with contextlib.suppress(OSError), client:
            while True:
                head = _read_head(client)
                if head is None:
                    return
                asked = _parse(head)
                self.asked.append(asked)
                if asked.headers.get("proxy-authorization") != self._expected:
                    client.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
                    continue
                if upstream is None:
                    upstream = socket.create_connection(self._lead_to, _PATIENCE_S)
                    self._sockets.append(upstream)
                if asked.method == "CONNECT":
                    client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
                    threading.Thread(target=_pass, args=(upstream, client), daemon=True).start()
                    _pass(client, upstream)
                    return
                _forward(asked, client, upstream)


def _unwrap(wire: Wire, inner: socket.socket) -> None:
    """Pass on what comes in TLS, and back; ends with the inner connection."""

    def back() -> None:
        with contextlib.suppress(OSError):
            while data := inner.recv(65536):
                wire.send(data)
        wire.finish()

    with contextlib.suppress(OSError):
        wire.open()
        threading.Thread(target=back, daemon=True).start()
        while data := wire.recv():
            inner.sendall(data)
        inner.shutdown(socket.SHUT_WR)


def _read_head(sock: socket.socket) -> bytes | None:
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        data = sock.recv(1)  # one by one: what follows belongs to the body or to the tunnel
        if not data:
            return None
        head += data
    return head


def _parse(head: bytes) -> Asked:
    first, *lines = head.decode("latin-1").rstrip("\r\n").split("\r\n")
    method, target, _ = first.split(" ")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    return Asked(method, target, headers)


def _forward(asked: Asked, client: socket.socket, upstream: socket.socket) -> None:
    """Pass one plain request on in origin form, and its answer back; both with a Content-Length or no body."""
    parts = urlsplit(asked.target)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    kept = {name: value for name, value in asked.headers.items() if not name.startswith("proxy-")}
    lines = "".join(f"{name}: {value}\r\n" for name, value in kept.items())
    upstream.sendall(f"{asked.method} {path} HTTP/1.1\r\n{lines}\r\n".encode("latin-1"))
    _pass_bytes(client, upstream, int(asked.headers.get("content-length", 0)))
    answer = _read_head(upstream) or b""
    client.sendall(answer)
    lengths = [line for line in answer.split(b"\r\n") if line.lower().startswith(b"content-length:")]
    _pass_bytes(upstream, client, int(lengths[0].split(b":")[1]) if lengths else 0)


def _pass_bytes(source: socket.socket, sink: socket.socket, size: int) -> None:
    while size:
        data = source.recv(min(size, 65536))
        if not data:
            return
        sink.sendall(data)
        size -= len(data)


def _pass(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
