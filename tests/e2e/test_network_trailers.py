"""Trailers pass in both directions and between HTTP versions, and no one waits for ever behind them."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import h2.events
import pytest
import yaml

from tests.support.door import Door
from tests.support.h2peer import EventClient
from tests.support.inprocess import InProcess, shared_daemon
from tests.support.rawclient import Http1, dial, tunnel
from tests.support.rawserver import RawServer, read_until
from tests.support.recorded import interactions
from tests.support.scripts import Received, Reply
from tests.support.upstream import HTTP_1_ONLY, HTTP_2_FIRST, Upstream

HOST = "api.openai.com"


@pytest.fixture(scope="module")
def wiretape(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InProcess]:
    with shared_daemon(tmp_path_factory, "trailers") as command:
        yield command


def _with_trailers(received: Received, reply: Reply) -> None:
    announced = [("Trailer", "X-Checksum")] if received.target == "/announced" else []
    reply.head(200, [("Content-Type", "text/plain"), *announced])
    reply.data(b"body")
    reply.end([("X-Checksum", "abc"), ("X-Two", "1"), ("X-Two", "2")])


@pytest.mark.parametrize("target", ["/announced", "/unannounced"])
def test_http1_trailers_reach_the_client_and_the_connection_is_used_again(
    target: str, wiretape: InProcess
) -> None:
    with Upstream(_with_trailers, alpn=HTTP_1_ONLY) as upstream:
        session = wiretape.open(*upstream.options())
        client = Http1(tunnel(session, HOST))
        for _ in range(2):
            client.send(f"GET {target} HTTP/1.1\r\nHost: {HOST}\r\nTE: trailers\r\n\r\n".encode())
            head = client.until(b"\r\n\r\n")
            assert (b"Trailer: X-Checksum" in head) is (target == "/announced")
            rest = client.until(b"X-Two: 2\r\n\r\n")
            assert rest == b"4\r\nbody\r\n0\r\nX-Checksum: abc\r\nX-Two: 1\r\nX-Two: 2\r\n\r\n"
        client.close()
        wiretape.close(session)

    assert upstream.connections == 1
    text = session.cassette.read_bytes()
    assert [one.response_body for one in interactions(text)] == [b"body"] * 2
    recorded = [item["response"]["trailer"] for item in yaml.safe_load(text)["interactions"]]
    assert recorded == [{"X-Checksum": ["abc"], "X-Two": ["1", "2"]}] * 2


def test_http2_trailers_reach_the_client(wiretape: InProcess) -> None:
    with Upstream(_with_trailers, alpn=HTTP_2_FIRST) as upstream:
        session = wiretape.open(*upstream.options())
        client = EventClient(tunnel(session, HOST, alpn=("h2",)))
        stream = client.begin("/announced")
        client.until(lambda: client.has_ended(stream))
        (trailers,) = client.of(stream, h2.events.TrailersReceived)
        client.close()
        wiretape.close(session)

    assert list(trailers.headers) == [("x-checksum", "abc"), ("x-two", "1"), ("x-two", "2")]
    assert [one.response_body for one in interactions(session.cassette.read_bytes())] == [b"body"]


def test_http1_upstreams_trailers_reach_an_http2_client_in_lower_case(wiretape: InProcess) -> None:
    with Upstream(_with_trailers, alpn=HTTP_1_ONLY) as upstream, Door(upstream.port) as door:
        session = wiretape.open(f"--upstream-ca={upstream.ca_file}", f"--connect-to={door.connect_to()}")
        client = EventClient(tunnel(session, HOST, alpn=("h2",)))
        client.ask("/v1")
        door.open()
        stream = client.begin("/announced")
        client.until(lambda: client.has_ended(stream))
        (trailers,) = client.of(stream, h2.events.TrailersReceived)
        client.close()
        wiretape.close(session)

    assert dict(trailers.headers)["x-checksum"] == "abc"


def _answer_with_what_came(sock: socket.socket) -> None:
    seen = read_until(sock, b"\r\n\r\n")
    body = seen.partition(b"\r\n\r\n")[2]
    while not body.endswith(b"\r\n\r\n"):
        body += sock.recv(65536)
    sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
    sock.recv(1)


def test_trailers_of_a_request_reach_the_upstream(wiretape: InProcess) -> None:
    with RawServer(_answer_with_what_came) as server:
        session = wiretape.open(f"--host=127.0.0.1:{server.port}")
        client = Http1(dial(session))
        where = f"127.0.0.1:{server.port}"
        body = b"4\r\nbody\r\n0\r\nX-Checksum: abc\r\n\r\n"
        client.send(
            f"POST http://{where}/v1 HTTP/1.1\r\nHost: {where}\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
            + body
        )
        assert client.answer().body == body
        client.close()
        wiretape.close(session)

    (one,) = interactions(session.cassette.read_bytes())
    assert one.request_body == b"body"


@pytest.mark.parametrize("alpn", [HTTP_1_ONLY, HTTP_2_FIRST], ids=["to-http1", "to-http2"])
def test_trailers_of_an_http2_request_reach_the_upstream(alpn: tuple[str, ...], wiretape: InProcess) -> None:
    def script(received: Received, reply: Reply) -> None:
        reply.head(200, [("Content-Length", "0")], end=True)

    with Upstream(script, alpn=alpn) as upstream, Door(upstream.port) as door:
        session = wiretape.open(f"--upstream-ca={upstream.ca_file}", f"--connect-to={door.connect_to()}")
        client = EventClient(tunnel(session, HOST, alpn=("h2",)))
        client.ask("/v1")
        door.open()
        stream = client.begin("/v1", b"body", method="POST", end=False)
        client.end(stream, [("x-checksum", "abc")])
        client.until(lambda: client.has_ended(stream))
        client.close()
        wiretape.close(session)

    (received,) = upstream.received
    assert (received.body, received.trailers) == (b"body", (("x-checksum", "abc"),))


def test_broken_trailers_end_the_exchange(wiretape: InProcess) -> None:
    def script(received: Received, reply: Reply) -> None:
        reply.raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\nno colon\r\n\r\n")

    with Upstream(script, alpn=HTTP_1_ONLY) as upstream:
        session = wiretape.open(*upstream.options())
        client = Http1(tunnel(session, HOST))
        client.send(f"GET /v1 HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode())
        client.until(b"body\r\n")
        with pytest.raises(OSError, match=r"(?i)closed|EOF"):
            client.until(b"\r\n\r\n")
        client.close()
        summary = wiretape.close(session)

    assert (summary["interactions"], summary["interrupted"]) == (0, 1)
