"""Connections on which nothing is said for long, as models that think are wont to, and many that come and go."""

from __future__ import annotations

import contextlib
import resource
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.rawclient import Http1, connect, dial, reset, secure, tunnel
from tests.support.scripts import Gate, Received, Reply
from tests.support.upstream import HTTP_1_ONLY, HTTP_2_FIRST, Upstream
from tests.support.waiting import until
from tests.support.worker_alone import WorkerAlone

HOST = "api.openai.com"
DAY = 24 * 3600


def _first_and_wait(gate: Gate) -> Any:
    def script(received: Received, reply: Reply) -> None:
        reply.head(200, [("Content-Type", "text/event-stream")])
        reply.data(b"data: first\n\n")
        gate.wait()
        reply.end()

    return script


@pytest.mark.parametrize("alpn", [HTTP_1_ONLY, HTTP_2_FIRST], ids=["http1", "http2"])
def test_silent_connection_lives_for_a_day_and_is_kept_alive_below_http(alpn: tuple[str, ...]) -> None:
    gate = Gate("a look at the connections")
    with Upstream(_first_and_wait(gate), alpn=alpn) as upstream, WorkerAlone(upstream.connect_to()) as worker:
        client = Http1(tunnel(worker.session, HOST))
        client.send(f"GET /v1 HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode())
        client.until(b"data: first\n\n")
        found = worker.look()
        gate.open()
        client.until(b"0\r\n\r\n")
        client.close()

    assert found["timeouts"] == [DAY]
    assert found["kept_alive"] == [True]
    assert found["ping_seconds"] == 0


def test_the_timeout_that_is_set_is_the_one_that_ends_a_silent_connection() -> None:
    gate = Gate("the end of the silent connection")
    soon = {"addons.compat.connections:_SILENCE_SECONDS": 1}
    upstream = Upstream(_first_and_wait(gate), alpn=HTTP_1_ONLY)
    with upstream, WorkerAlone(upstream.connect_to(), values=soon) as worker:
        client = Http1(tunnel(worker.session, HOST))
        client.send(f"GET /v1 HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode())
        client.until(b"data: first\n\n")
        with contextlib.suppress(OSError):
            assert client.rest().replace(b"\r\n", b"") == b""
        until("nothing in flight", lambda: worker.counts()["in_flight"] == 0)
        gate.open()
        client.close()


@pytest.fixture
def few_descriptors() -> Iterator[None]:
    """The limit that most systems begin with, for what is started meanwhile."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 8192:
        pytest.skip(f"needs 8192 descriptors, this system allows {hard}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (1024, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_two_thousand_connections_that_come_and_go_leave_nothing_behind(few_descriptors: None) -> None:
    left = threading.Event()

    def script(received: Received, reply: Reply) -> None:
        reply.head(200, [("Content-Type", "text/event-stream")])
        reply.data(b"data: first\n\n")
        left.wait()

    with Upstream(script, alpn=HTTP_1_ONLY) as upstream:
        where = f"127.0.0.1:{upstream.port}"
        with WorkerAlone(upstream.connect_to(HOST), hosts=[where]) as worker:
            hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
            _crowd(worker, where, 1000)  # first of all what is made once: certificates, caches, free lists
            until("the first to be gone", lambda: worker.look()["connections"] == 0)
            before, memory = worker.look(), worker.resident_bytes

            for _ in range(2):
                _crowd(worker, where, 1000)
                until("the crowd to be gone", lambda: worker.look()["connections"] == 0)

            until("all to be gone", lambda: worker.look()["connections"] == 0)
            until("their tasks gone", lambda: worker.look()["tasks"] <= before["tasks"])
            until("their descriptors gone", lambda: worker.look()["descriptors"] <= before["descriptors"])
            assert worker.counts()["in_flight"] == 0
            assert worker.resident_bytes - memory < 8 << 20  # 4 KB for each connection would be too much
            left.set()


def _crowd(worker: WorkerAlone, where: str, count: int) -> None:
    """Open so many connections, all at once, each in another state, and drop them."""
    session = worker.session
    crowd: list[socket.socket] = []
    for number in range(count):
        match number % 5:
            case 0:
                sock = dial(session)
            case 1:
                sock = connect(session, f"{HOST}:443")
            case 2:
                sock = dial(session)
                sock.sendall(
                    f"POST http://{where}/v1 HTTP/1.1\r\nHost: {where}\r\nContent-Length: 9".encode()
                )
            case 3:
                sock = dial(session)
                sock.sendall(f"GET http://{where}/v1 HTTP/1.1\r\nHost: {where}\r\n\r\n".encode())
                if number % 10 == 3:
                    Http1(sock).until(b"data: first\n\n")
            case _:
                sock = connect(session, f"{HOST}:443")
                if number % 50 == 4:
                    sock = secure(sock, session.bundle, HOST)
                    sock.sendall(f"GET /v1 HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode())
        crowd.append(sock)
    for number, sock in enumerate(crowd):
        if number % 2:
            reset(sock)
        else:
            sock.close()
