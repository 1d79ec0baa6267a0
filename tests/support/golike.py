"""A client that puts on the wire what Go's net/http does: HTTP/2 by ALPN, CONNECT to the proxy, gzip unasked.

What Go's transport adds to a request (net/http's transport.go and h2_bundle.go): `User-Agent:
Go-http-client/1.1` or `/2.0` when there is none, `Accept-Encoding: gzip` when the caller set none,
Content-Length for a body; a body that came gzipped unasked is decoded without a word. One connection per host
is kept and reused.
"""

from __future__ import annotations

import socket
import ssl
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import SplitResult, urlsplit

from tests.support.golike_h1 import Http1Connection
from tests.support.golike_h2 import Http2Connection
from tests.support.goplan import GoRequest
from tests.support.scripts import DEADLINE_S, Pairs

OnChunk = Callable[[bytes], None]

_PATIENCE_S = DEADLINE_S + 10.0
"""Longer than an upstream waits, so that its script is what says why nothing came."""

_METHODS_WITH_LENGTH = ("POST", "PUT", "PATCH")
"""These say `Content-Length: 0` when they have no body (net/http's transfer.go)."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A response as the program sees it: decoded if the transport had asked for gzip by itself."""

    proto: str
    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes
    trailers: tuple[tuple[str, str], ...] = ()

    def header(self, name: str) -> str | None:
        """Return the first value of a header, whatever the case of its name."""
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)


class GoLikeClient:
    """Send requests one after another, through a proxy (`host:port`) or straight to one address for all."""

    def __init__(
        self,
        *,
        proxy: str | None = None,
        direct: tuple[str, int] | None = None,
        ca_file: Path | None = None,
        alpn: Sequence[str] = ("h2", "http/1.1"),
    ) -> None:
        if (proxy is None) == (direct is None):
            raise ValueError("say either a proxy or where to connect directly")
        self._proxy = proxy
        self._direct = direct
        self._context = ssl.create_default_context(cafile=None if ca_file is None else str(ca_file))
        self._context.set_alpn_protocols(list(alpn))
        self._http2: dict[str, Http2Connection] = {}
        self._http1: dict[str, Http1Connection] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for http2 in self._http2.values():
            http2.close()
        for http1 in self._http1.values():
            http1.close()

    def request(
        self,
        method: str,
        url: str,
        headers: Pairs = (),
        body: bytes = b"",
        on_chunk: OnChunk | None = None,
        *,
        on_head: Callable[[], None] | None = None,
        chunked: bool = False,
    ) -> Answer:
        """Perform one request; `on_chunk` gets each piece of the decoded body as soon as it is there.

        `on_head` is called when the response's headers are there.
        `chunked` hides the body's length, as a Go body of unknown length does.
        """
        parts = urlsplit(url)
        origin = f"{parts.scheme}://{parts.netloc}"
        if origin not in self._http2 and origin not in self._http1:
            self._connect(origin, parts)
        names = {name.lower() for name, _ in headers}
        unasked = "accept-encoding" not in names
        reader = _Unzip(on_chunk, on_head) if unasked else _Plain(on_chunk, on_head)
        connection: Http1Connection | Http2Connection = self._http2.get(origin) or self._http1[origin]
        fields = [*headers, *([("Accept-Encoding", "gzip")] if unasked else [])]
        if "user-agent" not in names:
            fields.append(("User-Agent", connection.user_agent))
        if not chunked and (body or method in _METHODS_WITH_LENGTH):
            fields.append(("Content-Length", str(len(body))))
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        if parts.scheme == "http" and self._proxy is not None:
            target = origin + target
        status, head, trailers = connection.exchange(method, parts, target, fields, body, reader)
        if not connection.reusable:
            self._http1.pop(origin).close()
        return Answer(connection.proto, status, head, reader.finish(), trailers)

    def _connect(self, origin: str, parts: SplitResult) -> None:
        host = parts.hostname or ""
        port = parts.port or (443 if parts.scheme == "https" else 80)
        if self._direct is not None:
            sock = socket.create_connection(self._direct, _PATIENCE_S)
        else:
            proxy_host, _, proxy_port = (self._proxy or "").rpartition(":")
            sock = socket.create_connection((proxy_host, int(proxy_port)), _PATIENCE_S)
            if parts.scheme == "https":
                _tunnel(sock, host, port)
        if parts.scheme != "https":
            self._http1[origin] = Http1Connection(sock)
            return
        tls = self._context.wrap_socket(sock, server_hostname=host)
        if tls.selected_alpn_protocol() == "h2":
            self._http2[origin] = Http2Connection(tls)
        else:
            self._http1[origin] = Http1Connection(tls)


def _tunnel(sock: socket.socket, host: str, port: int) -> None:
    sock.sendall(f"CONNECT {host}:{port} HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n".encode())
    answer = b""
    while b"\r\n\r\n" not in answer:
        data = sock.recv(4096)
        if not data:
            raise ConnectionResetError(f"the proxy closed on CONNECT after {answer!r}")
        answer += data
    status = answer.split(b" ", 2)[1]
    if status != b"200":
        raise ConnectionRefusedError(f"the proxy answered CONNECT with {answer!r}")


class _Plain:
    """Collect a body as it is."""

    def __init__(self, on_chunk: OnChunk | None, on_head: Callable[[], None] | None) -> None:
        self._on_chunk = on_chunk
        self._on_head = on_head
        self._body = bytearray()

    def start(self, fields: Pairs) -> None:
        """Look at the headers."""
        if self._on_head is not None:
            self._on_head()

    def feed(self, data: bytes) -> None:
        """Take the next piece."""
        if data:
            self._body += data
            if self._on_chunk is not None:
                self._on_chunk(data)

    def finish(self) -> bytes:
        """Return the whole body."""
        return bytes(self._body)


class _Unzip(_Plain):
    """Collect a body, decoding it if it came gzipped; a gzip stream that ends early is an `EOFError`."""

    _unpacker: zlib._Decompress | None = None

    def start(self, fields: Pairs) -> None:
        super().start(fields)
        if any(name.lower() == "content-encoding" and value.lower() == "gzip" for name, value in fields):
            self._unpacker = zlib.decompressobj(wbits=31)

    def feed(self, data: bytes) -> None:
        super().feed(data if self._unpacker is None else self._unpacker.decompress(data))

    def finish(self) -> bytes:
        if self._unpacker is not None and self._body and not self._unpacker.eof:
            raise EOFError("the gzip stream ended early")
        return super().finish()


def send(client: GoLikeClient, request: GoRequest) -> Answer:
    """Send what a Go program's plan says."""
    headers = [(name, value) for name, values in request.headers.items() for value in values]
    return client.request(request.method, request.url, headers, request.body, chunked=request.chunked)
