"""A response that ends before its request does is whole at the client when it is, and the connection goes on."""

from __future__ import annotations

import socket
from pathlib import Path

import h2.config
import h2.connection
import h2.events

from cassette.journal import Kind
from cassette.segment_reader import SegmentReader
from tests.support.h2peer import EventClient
from tests.support.journals import Session as Recorded
from tests.support.rawclient import Http1, tunnel
from tests.support.rawserver import RawServer, read_until
from tests.support.slowdisk import SlowDisk

HOST = "api.openai.com"
HEAD = f"POST /v1/early HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 10\r\n\r\n".encode()


def _more(sock: socket.socket) -> bytes:
    data = sock.recv(65536)
    if not data:
        raise ConnectionResetError("the client left")
    return data


def serve(sock: socket.socket) -> None:
    seen = b""
    for number in (1, 2):
        while seen.count(b"first") < number:  # it may come together with the last of the request before
            seen += _more(sock)
        head = b"HTTP/1.1 413 Content Too Large\r\nTransfer-Encoding: chunked\r\n\r\n"
        sock.sendall(head + b"1\r\n%d\r\n0\r\n\r\n" % number)
    while seen.count(b"last!") < 2:
        seen += _more(sock)


def leave_without_a_length(sock: socket.socket) -> None:
    read_until(sock, b"first")
    sock.sendall(b"HTTP/1.1 413 No\r\nConnection: close\r\n\r\nno")


def leave(sock: socket.socket) -> None:
    read_until(sock, b"first")
    sock.sendall(
        b"HTTP/1.1 413 No\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n1\r\n0\r\n\r\n"
    )


def kinds(recorded: Recorded) -> list[Kind]:
    reader = SegmentReader(recorded.directory, "w1")
    found = [Kind(record.kind) for record, _, _ in reader.records()]
    reader.close()
    return found


def test_client_has_the_end_before_it_sends_the_rest(tmp_path: Path) -> None:
    recorded = Recorded(tmp_path)
    with (
        RawServer(serve, tls=True) as server,
        SlowDisk(tmp_path, f"{HOST}:443:127.0.0.1:{server.port}") as disk,
    ):
        client = Http1(tunnel(disk.open(recorded), HOST))
        for number in (b"1", b"2"):
            client.send(HEAD + b"first")
            assert client.answer().body == number
            client.send(b"last!")
        client.close()
        disk.close(recorded)
    assert kinds(recorded).count(Kind.RESPONSE_END) == 2
    assert kinds(recorded)[:5] == [
        Kind.REQUEST_HEAD, Kind.REQUEST_DATA, Kind.RESPONSE_HEAD, Kind.RESPONSE_DATA, Kind.RESPONSE_END,
    ]  # fmt: skip


def test_client_has_the_end_when_the_upstream_leaves_behind_it(tmp_path: Path) -> None:
    recorded = Recorded(tmp_path)
    with (
        RawServer(leave, tls=True) as server,
        SlowDisk(tmp_path, f"{HOST}:443:127.0.0.1:{server.port}") as disk,
    ):
        client = Http1(tunnel(disk.open(recorded), HOST))
        client.send(HEAD + b"first")
        assert client.answer().body == b"1"
        client.close()
        disk.close(recorded)


def test_client_has_the_end_of_a_response_that_ends_with_its_connection(tmp_path: Path) -> None:
    recorded = Recorded(tmp_path)
    with (
        RawServer(leave_without_a_length, tls=True) as server,
        SlowDisk(tmp_path, f"{HOST}:443:127.0.0.1:{server.port}") as disk,
    ):
        client = Http1(tunnel(disk.open(recorded), HOST))
        client.send(HEAD + b"first")
        assert client.answer().body == b"no"
        client.close()
        disk.close(recorded)


def answer_over_http_2(sock: socket.socket) -> None:
    """Answer each request as soon as its head and a piece of its body are there."""
    peer = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
    peer.initiate_connection()
    while True:
        sock.sendall(peer.data_to_send())
        for event in peer.receive_data(_more(sock)):
            if isinstance(event, h2.events.DataReceived) and event.data == b"first":
                assert event.stream_id is not None
                peer.send_headers(event.stream_id, [(":status", "413")])
                peer.send_data(event.stream_id, b"no", end_stream=True)


def test_http_2_client_has_the_end_before_it_sends_the_rest(tmp_path: Path) -> None:
    recorded = Recorded(tmp_path)
    with (
        RawServer(answer_over_http_2, tls=True, alpn="h2") as server,
        SlowDisk(tmp_path, f"{HOST}:443:127.0.0.1:{server.port}") as disk,
    ):
        client = EventClient(tunnel(disk.open(recorded), HOST, alpn=("h2",)))
        for _ in range(2):
            stream = client.begin("/v1/early", b"first", method="POST", end=False)
            client.until(lambda stream=stream: client.has_ended(stream))  # type: ignore[misc]
            assert client.received[stream] == 2
            client.send(stream, b"last!")
            client.end(stream)
        client.sock.close()
        disk.close(recorded)
    assert kinds(recorded).count(Kind.RESPONSE_END) == 2
