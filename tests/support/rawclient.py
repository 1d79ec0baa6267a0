"""Clients that do one thing at a time, also what no honest client does: leave in the middle, send broken bytes.

`dial` and `tunnel` open connections through a session's listener; `Http1` and `Http2` speak over one of them.
"""

from __future__ import annotations

import socket
import ssl
import struct
from collections.abc import Sequence
from pathlib import Path

import h2.config
import h2.connection
import h2.errors
import h2.events

from tests.support.golike import Answer
from tests.support.scripts import DEADLINE_S, Pairs
from tests.support.wiretape import Session

_PATIENCE_S = DEADLINE_S + 10.0
"""Longer than an upstream waits, so that its script is what says why nothing came."""


def dial(session: Session) -> socket.socket:
    """Connect to a session's listener."""
    host, _, port = session.proxy.rpartition(":")
    sock = socket.create_connection((host, int(port)), _PATIENCE_S)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def connect(session: Session, target: str) -> socket.socket:
    """CONNECT to `host:port` and return the open tunnel; `ConnectionRefusedError` with the whole answer."""
    sock = dial(session)
    sock.sendall(f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n".encode())
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        data = sock.recv(1)  # one by one: what follows belongs to the tunnel
        if not data:
            raise ConnectionRefusedError(head.decode())
        head += data
    if head.split(b" ", 2)[1] != b"200":
        with sock:
            while data := sock.recv(65536):
                head += data
                if b"Wiretape" in head and head.endswith((b"}", b"\n")) and not head.endswith(b"\r\n"):
                    break
        raise ConnectionRefusedError(head.decode())
    return sock


def secure(
    sock: socket.socket, ca_file: Path, name: str | None, alpn: Sequence[str] = ("http/1.1",)
) -> ssl.SSLSocket:
    """Shake hands in a tunnel; without a name no SNI is sent and the certificate's names are not looked at."""
    context = ssl.create_default_context(cafile=str(ca_file))
    context.set_alpn_protocols(list(alpn))
    context.check_hostname = name is not None
    return context.wrap_socket(sock, server_hostname=name)


def tunnel(
    session: Session, host: str, port: int = 443, *, alpn: Sequence[str] = ("http/1.1",)
) -> ssl.SSLSocket:
    """CONNECT to a host and shake hands, trusting wiretape's CA."""
    return secure(connect(session, f"{host}:{port}"), session.bundle, host, alpn)


def reset(sock: socket.socket) -> None:
    """Leave with RST."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


class Http1:
    """HTTP/1.1 by hand: bytes go out as they are, answers are read to their framing's end."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self._seen = b""

    def send(self, data: bytes) -> None:
        """Send bytes."""
        self.sock.sendall(data)

    def ask(
        self,
        method: str,
        target: str,
        headers: Pairs = (),
        body: bytes = b"",
        *,
        host: str = "api.openai.com",
    ) -> Answer:
        """Send a request with a Content-Length if it has a body, and read the answer."""
        length = [("Content-Length", str(len(body)))] if body else []
        lines = "".join(f"{name}: {value}\r\n" for name, value in [("Host", host), *headers, *length])
        self.send(f"{method} {target} HTTP/1.1\r\n{lines}\r\n".encode() + body)
        return self.answer(method)

    def until(self, text: bytes) -> bytes:
        """Read until these bytes have come; return everything up to and with them."""
        while text not in self._seen:
            self._more()
        end = self._seen.index(text) + len(text)
        taken, self._seen = self._seen[:end], self._seen[end:]
        return taken

    def answer(self, method: str = "GET") -> Answer:
        """Read one response; `ConnectionResetError` when it ends before its framing says so."""
        head = self.until(b"\r\n\r\n").decode("latin-1").split("\r\n")
        status = int(head[0].split(" ")[1])
        headers = tuple(
            (name, value.strip()) for name, _, value in (line.partition(":") for line in head[1:] if line)
        )
        found = Answer("HTTP/1.1", status, headers, b"")
        if method == "HEAD" or status in (204, 304) or status < 200:
            return found
        if found.header("transfer-encoding") == "chunked":
            body = b""
            while size := int(self.until(b"\r\n"), 16):
                body += self.take(size)
                self.take(2)
            self.until(b"\r\n")
        elif (length := found.header("content-length")) is not None:
            body = self.take(int(length))
        else:
            body = self.rest()
        return Answer("HTTP/1.1", status, headers, body)

    def take(self, size: int) -> bytes:
        """Read so many bytes."""
        parts, have = [self._seen], len(self._seen)
        while have < size:
            data = self.sock.recv(1 << 20)
            if not data:
                raise ConnectionResetError(f"closed after {have} of {size} bytes")
            parts.append(data)
            have += len(data)
        whole = b"".join(parts)
        taken, self._seen = whole[:size], whole[size:]
        return taken

    def rest(self) -> bytes:
        """Read to the end of the connection."""
        taken, self._seen = self._seen, b""
        while data := self.sock.recv(65536):
            taken += data
        return taken

    def close(self) -> None:
        """Hang up."""
        self.sock.close()

    def _more(self) -> None:
        data = self.sock.recv(65536)
        if not data:
            raise ConnectionResetError(f"closed after {self._seen!r:.200}")
        self._seen += data


class Http2:
    """HTTP/2 with many streams on one connection, agreed on in TLS or in clear text; one thread uses it."""

    def __init__(self, sock: socket.socket) -> None:
        is_tls = isinstance(sock, ssl.SSLSocket)
        assert not isinstance(sock, ssl.SSLSocket) or sock.selected_alpn_protocol() == "h2"
        self._scheme = "https" if is_tls else "http"
        self.sock = sock
        config = h2.config.H2Configuration(client_side=True, header_encoding="utf-8")
        self._protocol = h2.connection.H2Connection(config=config)
        self._protocol.initiate_connection()
        self._heads: dict[int, tuple[tuple[str, str], ...]] = {}
        self._bodies: dict[int, bytearray] = {}
        self._ended: set[int] = set()
        self.resets: set[int] = set()
        """Streams that the other side has reset."""
        self._flush()

    def begin(
        self,
        method: str,
        target: str,
        headers: Pairs = (),
        body: bytes = b"",
        *,
        host: str = "api.openai.com",
    ) -> int:
        """Send a request on a new stream and return its number."""
        stream: int = self._protocol.get_next_available_stream_id()
        pseudo = [(":method", method), (":scheme", self._scheme), (":authority", host), (":path", target)]
        self._protocol.send_headers(stream, [*pseudo, *headers], end_stream=not body)
        self._bodies[stream] = bytearray()
        while body:
            size = min(
                self._protocol.local_flow_control_window(stream), self._protocol.max_outbound_frame_size
            )
            if size:
                self._protocol.send_data(stream, body[:size], end_stream=size >= len(body))
                body = body[size:]
                self._flush()
            else:
                self._read()
        self._flush()
        return stream

    def ask(
        self,
        method: str,
        target: str,
        headers: Pairs = (),
        body: bytes = b"",
        *,
        host: str = "api.openai.com",
    ) -> Answer:
        """Send a request and read its answer."""
        return self.answer(self.begin(method, target, headers, body, host=host))

    def answer(self, stream: int) -> Answer:
        """Read the answer on a stream to its end; `ConnectionResetError` when the stream is reset."""
        while stream not in self._ended:
            if stream in self.resets:
                raise ConnectionResetError(f"stream {stream} was reset")
            self._read()
        head = self._heads[stream]
        fields = tuple(pair for pair in head if not pair[0].startswith(":"))
        return Answer("HTTP/2.0", int(dict(head)[":status"]), fields, bytes(self._bodies[stream]))

    def until(self, stream: int, text: bytes) -> None:
        """Read until these bytes have come on a stream."""
        while text not in self._bodies[stream]:
            if stream in self.resets:
                raise ConnectionResetError(f"stream {stream} was reset")
            self._read()

    def cancel(self, stream: int) -> None:
        """Reset a stream, as a client that is no longer interested does."""
        self._protocol.reset_stream(stream, h2.errors.ErrorCodes.CANCEL)
        self._flush()

    def close(self) -> None:
        """Hang up."""
        self.sock.close()

    def _read(self) -> None:
        data = self.sock.recv(1 << 20)
        if not data:
            raise ConnectionResetError("the connection was closed")
        for event in self._protocol.receive_data(data):
            stream: int = getattr(event, "stream_id", None) or 0
            if isinstance(event, h2.events.ResponseReceived):
                self._heads[stream] = tuple((str(name), str(value)) for name, value in event.headers or ())
            elif isinstance(event, h2.events.DataReceived):
                self._bodies[stream] += event.data or b""
                if event.flow_controlled_length:
                    self._protocol.acknowledge_received_data(event.flow_controlled_length, stream)
            elif isinstance(event, h2.events.StreamEnded):
                self._ended.add(stream)
            elif isinstance(event, h2.events.StreamReset):
                self.resets.add(stream)
        self._flush()

    def _flush(self) -> None:
        data: bytes = self._protocol.data_to_send()
        if data:
            self.sock.sendall(data)
