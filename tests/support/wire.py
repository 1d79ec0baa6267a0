"""One accepted connection as a stream of bytes, in the clear or under TLS, that two threads may use at once.

`ssl.SSLSocket` cannot be read in one thread while another writes (OpenSSL's objects are not made for it), so
TLS runs over memory buffers here, under a lock, and the socket itself is used from both sides, which is safe.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import threading

from tests.support.authority import ServerContexts

_READ_BYTES = 65536
_TLS_HANDSHAKE_RECORD = 0x16
"""The first byte of a ClientHello's record (RFC 8446, 5.1); no HTTP request starts with it."""


class Wire:
    """A connection that a client opened. `recv` and the sending side may be used from two threads."""

    def __init__(self, sock: socket.socket, contexts: ServerContexts) -> None:
        self._sock = sock
        self._contexts = contexts
        self._lock = threading.Lock()
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._tls: ssl.SSLObject | None = None
        self.host: str | None = None
        """The server name that the client asked for; None in the clear."""
        self.alpn: str | None = None

    def open(self) -> None:
        """Look at the first byte, and shake hands if it starts TLS. `OSError` when the client goes away."""
        first = self._sock.recv(1, socket.MSG_PEEK)
        if not first:
            raise ConnectionResetError("the client left before it said anything")
        if first[0] != _TLS_HANDSHAKE_RECORD:
            return
        tls = self._contexts.default.wrap_bio(self._incoming, self._outgoing, server_side=True)
        while True:
            try:
                tls.do_handshake()
            except ssl.SSLWantReadError:
                self._flush()
                self._feed()
            else:
                break
        self._tls = tls
        self._flush()
        self.host = self._contexts.host_of(tls.context)
        self.alpn = tls.selected_alpn_protocol()

    def recv(self) -> bytes:
        """Return the next bytes, or `b""` once the client has closed its side."""
        if self._tls is None:
            return self._sock.recv(_READ_BYTES)
        while True:
            with self._lock:
                try:
                    return self._tls.read(_READ_BYTES)
                except ssl.SSLWantReadError:
                    pass
                except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
                    return b""
            try:
                self._feed()
            except ConnectionResetError:
                return b""

    def send(self, data: bytes) -> None:
        """Hand the bytes to the kernel, at once and as one write. `OSError` when the connection is gone."""
        if self._tls is None:
            self._sock.sendall(data)
            return
        with self._lock:
            self._tls.write(data)
            self._flush()

    def finish(self) -> None:
        """Say goodbye: close_notify under TLS, then FIN."""
        with contextlib.suppress(OSError):
            if self._tls is not None:
                with self._lock:
                    with contextlib.suppress(ssl.SSLError):
                        self._tls.unwrap()
                    self._flush()
            self._sock.shutdown(socket.SHUT_WR)

    def drop(self) -> None:
        """Send FIN without a word from TLS, as a crashed server's kernel does."""
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        """Send RST: the linger time of zero throws away what is not sent yet."""
        with contextlib.suppress(OSError):
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._sock.close()

    def close(self) -> None:
        """Give the socket back; a thread that waits in `recv` gets `b""` or an `OSError`."""
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)
        self._sock.close()

    def _feed(self) -> None:
        data = self._sock.recv(_READ_BYTES)
        if data:
            with self._lock:
                self._incoming.write(data)
        else:
            self._incoming.write_eof()

    def _flush(self) -> None:
        pending = self._outgoing.read()
        if pending:
            self._sock.sendall(pending)
