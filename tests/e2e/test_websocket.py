"""WebSockets to a router pass both ways; they are counted and not recorded."""

from __future__ import annotations

import base64
import hashlib
import os
import socket
from collections.abc import Iterator

import pytest

from tests.support.authority import authority
from tests.support.inprocess import InProcess, shared_daemon
from tests.support.rawclient import Http1, tunnel
from tests.support.rawserver import RawServer, read_until

HOST = "api.openai.com"
_GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, 1.3


@pytest.fixture(scope="module")
def wiretape(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InProcess]:
    with shared_daemon(tmp_path_factory, "websocket") as command:
        yield command


def _frame(text: bytes, mask: bytes = b"") -> bytes:
    """Build a short text frame (RFC 6455, 5.2); clients mask, servers do not."""
    if not mask:
        return bytes([0x81, len(text)]) + text
    masked = bytes(byte ^ mask[index % 4] for index, byte in enumerate(text))
    return bytes([0x81, 0x80 | len(text)]) + mask + masked


def _serve(sock: socket.socket) -> None:
    head = read_until(sock, b"\r\n\r\n").decode()
    key = next(
        line.split(": ")[1] for line in head.split("\r\n") if line.lower().startswith("sec-websocket-key")
    )
    accept = base64.b64encode(hashlib.sha1((key + _GUID).encode()).digest()).decode()
    sock.sendall(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: " + accept.encode() + b"\r\n\r\n"
    )
    for _ in range(3):
        size = sock.recv(2)[1] & 0x7F
        mask, masked = sock.recv(4), sock.recv(size)
        text = bytes(byte ^ mask[index % 4] for index, byte in enumerate(masked))
        sock.sendall(_frame(b"echo " + text))


def test_websocket_passes_both_ways_and_is_counted(wiretape: InProcess) -> None:
    with RawServer(_serve, tls=True) as server:
        session = wiretape.open(
            f"--upstream-ca={authority().ca_file}", f"--connect-to={HOST}:443:127.0.0.1:{server.port}"
        )
        client = Http1(tunnel(session, HOST))
        key = base64.b64encode(os.urandom(16)).decode()
        client.send(
            f"GET /v1/realtime HTTP/1.1\r\nHost: {HOST}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n".encode()
        )
        assert client.until(b"\r\n\r\n").startswith(b"HTTP/1.1 101 ")
        for text in (b"one", b"two", b"three"):
            client.send(_frame(text, b"\x01\x02\x03\x04"))
            client.until(_frame(b"echo " + text))
        client.close()
        summary = wiretape.close(session)

    assert summary["not_recorded"]["websockets"] == 1
    assert (summary["interactions"], summary["interrupted"]) == (0, 0)
    assert b"realtime" not in session.cassette.read_bytes()
    assert f"record.websocket_passed session={session.name}" in wiretape.log
