"""Who does not read makes the other side wait: memory stays bounded, and neighbours go on."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator

import h2.config
import h2.connection
import h2.events
import pytest

from tests.support.authority import ServerContexts
from tests.support.door import Door
from tests.support.h2peer import EventClient
from tests.support.rawclient import Http1, dial, tunnel
from tests.support.rawserver import RawServer, read_until
from tests.support.scripts import Received, Reply
from tests.support.silence import silent_port
from tests.support.upstream import HTTP_1_ONLY, HTTP_2_FIRST, Upstream
from tests.support.waiting import until
from tests.support.worker_alone import WorkerAlone

HOST = "api.openai.com"
LARGE = 64 << 20
UPLOAD = 32 << 20
BLOCK = b"x" * 65536
MOST = 32 << 20
"""What may be on its way to a client that reads nothing: our buffer and window, and the kernel's buffers."""
UPSTREAMS = pytest.mark.parametrize(
    "alpn", [HTTP_1_ONLY, HTTP_2_FIRST], ids=["http1-upstream", "http2-upstream"]
)


class Sender:
    """An upstream with one large body; `sent` is how much of that has left."""

    def __init__(self) -> None:
        self.sent = 0

    def __call__(self, received: Received, reply: Reply) -> None:
        is_large = received.target.endswith("/large")
        size = LARGE if is_large else len(BLOCK)
        reply.head(200, [("content-length", str(size))])
        for _ in range(size // len(BLOCK)):
            reply.data(BLOCK)
            self.sent += len(BLOCK) if is_large else 0
        reply.end()


@contextlib.contextmanager
def _two_versions(upstream: Upstream, alpn: tuple[str, ...]) -> Iterator[tuple[WorkerAlone, EventClient]]:
    """A worker and an HTTP/2 client of it, whatever the upstream speaks."""
    with Door(upstream.port) as door, WorkerAlone(door.connect_to()) as worker:
        # Where the upstream cannot be asked first, a client may speak HTTP/2 to one that does not.
        if "h2" in alpn:
            door.open()
        client = EventClient(tunnel(worker.session, HOST, alpn=("h2",)))
        if "h2" not in alpn:
            client.ask("/refused")
            door.open()
        yield worker, client
        client.close()


@UPSTREAMS
def test_stalled_http2_stream_makes_its_upstream_wait_and_leaves_the_others_alone(
    alpn: tuple[str, ...],
) -> None:
    sender = Sender()
    with Upstream(sender, alpn=alpn) as upstream, _two_versions(upstream, alpn) as (worker, client):
        before = worker.resident_bytes
        large = client.begin("/large")
        client.stalled.add(large)

        def nothing_moves() -> bool:
            had = sender.sent
            for _ in range(5):
                assert client.received[client.ask("/healthy")] == len(BLOCK)
            return 0 < had == sender.sent

        until("the upstream to wait", nothing_moves)
        assert sender.sent < MOST
        assert worker.resident_bytes - before < MOST
        client.acknowledge()
        client.until(lambda: client.has_ended(large), 60)
        assert client.received[large] == LARGE


@UPSTREAMS
def test_stalled_http2_stream_that_is_reset_lets_its_upstream_go(alpn: tuple[str, ...]) -> None:
    sender = Sender()
    with Upstream(sender, alpn=alpn) as upstream, _two_versions(upstream, alpn) as (worker, client):
        for _ in range(3):
            large = client.begin("/large")
            client.stalled.add(large)
            client.until(lambda stream=large: client.received.get(stream))  # type: ignore[misc]
            client.cancel(large)
        until("no flow in flight", lambda: worker.counts()["in_flight"] == 0)
        assert client.received[client.ask("/healthy")] == len(BLOCK)
        until("its connections gone", lambda: worker.look()["upstreams"] <= 1)


def test_stalled_http1_client_makes_its_upstream_wait_and_leaves_others_alone() -> None:
    sender = Sender()
    with Upstream(sender) as upstream, WorkerAlone(hosts=[f"127.0.0.1:{upstream.port}"]) as worker:
        where = f"127.0.0.1:{upstream.port}"
        before = worker.resident_bytes
        stalled = Http1(dial(worker.session))
        stalled.send(f"GET http://{where}/large HTTP/1.1\r\nHost: {where}\r\n\r\n".encode())
        healthy = Http1(dial(worker.session))

        def nothing_moves() -> bool:
            had = sender.sent
            for _ in range(5):
                answer = healthy.ask("GET", f"http://{where}/healthy", host=where)
                assert len(answer.body) == len(BLOCK)
            return 0 < had == sender.sent

        until("the upstream to wait", nothing_moves)
        assert sender.sent < MOST
        assert worker.resident_bytes - before < MOST
        assert len(stalled.answer().body) == LARGE
        stalled.close()
        healthy.close()


class Reluctant:
    """An HTTP/2 upstream that opens no window until it is told to, and then answers."""

    def __init__(self) -> None:
        self.received = 0
        self.opened = threading.Event()

    def __call__(self, sock: socket.socket) -> None:
        config = h2.config.H2Configuration(client_side=False, header_encoding="utf-8")
        protocol = h2.connection.H2Connection(config=config)
        protocol.initiate_connection()
        sock.sendall(protocol.data_to_send())
        stream, unread = 0, 0
        sock.settimeout(0.05)
        while True:
            if stream and self.opened.is_set() and unread:
                protocol.acknowledge_received_data(unread, stream)
                unread = 0
            data = b""
            with contextlib.suppress(TimeoutError):
                data = sock.recv(65536)
            for event in protocol.receive_data(data):
                if isinstance(event, h2.events.RequestReceived):
                    stream = event.stream_id or 0
                elif isinstance(event, h2.events.DataReceived):
                    self.received += len(event.data or b"")
                    unread += event.flow_controlled_length or 0
                elif isinstance(event, h2.events.StreamEnded):
                    protocol.send_headers(stream, [(":status", "200")], end_stream=True)
            sock.sendall(protocol.data_to_send())


def test_http2_upload_to_an_upstream_that_does_not_read_makes_the_client_wait() -> None:
    upstream = Reluctant()
    server = RawServer(upstream, tls=True)
    server._contexts = ServerContexts(["h2"])
    with server, WorkerAlone(f":443:127.0.0.1:{server.port}") as worker:
        client = EventClient(tunnel(worker.session, HOST, alpn=("h2",)))
        upload = client.begin("/upload", method="POST", end=False)
        sent = 0

        def send_what_fits() -> bool:
            nonlocal sent
            had = sent
            while sent < UPLOAD and client.protocol.local_flow_control_window(upload) >= 16384:
                client.send(upload, BLOCK[:16384])
                sent += 16384
            with contextlib.suppress(AssertionError):
                client.until(lambda: client.protocol.local_flow_control_window(upload) >= 16384, 0.3)
            return had == sent > 0

        until("the client to wait", send_what_fits)
        assert sent < UPLOAD // 2
        upstream.opened.set()
        while sent < UPLOAD:
            client.until(lambda: client.protocol.local_flow_control_window(upload) >= 16384)
            send_what_fits()
        client.end(upload)
        client.until(lambda: client.has_ended(upload))
        client.close()
    assert upstream.received == UPLOAD


DUPLEX = 16 << 20
TIMES = 4


def answer_while_reading(sock: socket.socket) -> None:
    """Read a request of DUPLEX bytes and write TIMES as much, at the same time, as transcoders do."""
    sock.settimeout(None)
    rest = read_until(sock, b"\r\n\r\n").partition(b"\r\n\r\n")[2]
    sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (DUPLEX * TIMES))
    done = 0
    while True:
        sock.sendall(rest * TIMES)
        done += len(rest)
        if done == DUPLEX:
            return
        rest = sock.recv(1 << 16)
        if not rest:
            return


@contextlib.contextmanager
def writing(client: Http1, where: str) -> Iterator[None]:
    """Write the request from a thread of its own while the block reads."""
    head = f"POST http://{where}/v1 HTTP/1.1\r\nHost: {where}\r\nContent-Length: {DUPLEX}\r\n\r\n"

    def write() -> None:
        with contextlib.suppress(OSError):
            client.send(head.encode())
            for _ in range(DUPLEX // len(BLOCK)):
                client.send(BLOCK)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            client.sock.shutdown(socket.SHUT_RDWR)
        client.close()
        writer.join()


def test_upstream_that_answers_while_it_is_written_to_does_not_lock_up() -> None:
    with RawServer(answer_while_reading) as server, WorkerAlone(
        hosts=[f"127.0.0.1:{server.port}"]
    ) as worker:  # fmt: skip
        client = Http1(dial(worker.session))
        with writing(client, f"127.0.0.1:{server.port}"):
            assert len(client.answer().body) == DUPLEX * TIMES


def test_upload_waits_at_the_client_while_the_upstream_is_being_connected_to() -> None:
    soon = {"addons.compat.connecting:CONNECT_SECONDS": 2.0}
    with silent_port() as port, WorkerAlone(hosts=[f"127.0.0.1:{port}"], values=soon) as worker:
        before = worker.resident_bytes
        client = Http1(dial(worker.session))
        where = f"127.0.0.1:{port}"
        client.send(
            f"POST http://{where}/v1 HTTP/1.1\r\nHost: {where}\r\nContent-Length: {LARGE}\r\n\r\n".encode()
        )
        client.sock.settimeout(0.5)
        with pytest.raises(TimeoutError):
            client.send(bytes(LARGE))
        assert worker.resident_bytes - before < MOST
        client.sock.settimeout(10)
        assert b" 502 " in client.until(b"\r\n")
        client.close()
