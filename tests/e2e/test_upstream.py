"""The scripted upstream itself, met directly: what the other tests build on."""

from __future__ import annotations

import socket
import ssl

import h11
import pytest

from tests.support.golike import GoLikeClient, send
from tests.support.recorded import interactions
from tests.support.scenarios import SCENARIOS, Scenario
from tests.support.scripts import (
    Framing,
    Gate,
    Handler,
    Received,
    Reply,
    gated,
    gzip_pieces,
    in_order,
    pieces,
    whole,
)
from tests.support.upstream import HTTP_1_ONLY, HTTP_2_FIRST, Upstream

EVENT_STREAM = [("Content-Type", "text/event-stream")]
PROTOCOLS = pytest.mark.parametrize("alpn", [HTTP_1_ONLY, HTTP_2_FIRST], ids=["http1", "http2"])


def directly(upstream: Upstream, *, alpn: tuple[str, ...] = HTTP_2_FIRST) -> GoLikeClient:
    return GoLikeClient(direct=("127.0.0.1", upstream.port), ca_file=upstream.ca_file, alpn=alpn)


@PROTOCOLS
def test_whole_response_arrives_as_scripted(alpn: tuple[str, ...]) -> None:
    script = whole(
        201, [("Content-Type", "application/json"), ("X-Twice", "a"), ("X-Twice", "b")], b'{"a":1}'
    )
    with Upstream(script, alpn=alpn) as upstream, directly(upstream) as client:
        answer = client.request("POST", "https://api.example/v1?q=1", [("X-Mine", "yes")], b"hello")

    assert (answer.status, answer.body) == (201, b'{"a":1}')
    assert [value for name, value in answer.headers if name.lower() == "x-twice"] == ["a", "b"]
    assert answer.header("content-length") == "7"
    received = upstream.received[0]
    assert answer.proto == received.version == ("HTTP/2.0" if "h2" in alpn else "HTTP/1.1")
    assert (received.method, received.target, received.authority) == ("POST", "/v1?q=1", "api.example")
    assert (received.host, received.body) == ("api.example", b"hello")
    assert (received.header("x-mine"), received.header("accept-encoding")) == ("yes", "gzip")


@PROTOCOLS
@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzip"])
def test_next_piece_is_sent_only_when_the_client_has_the_former(alpn: tuple[str, ...], packed: bool) -> None:
    parts = [b"data: one\n\n", b"data: two\n\n", b"data: three\n\n"]
    gates = [Gate("the first piece at the client"), Gate("the second piece at the client")]
    headers = [*EVENT_STREAM, ("Content-Encoding", "gzip")] if packed else EVENT_STREAM
    seen: list[bytes] = []

    def on_chunk(data: bytes) -> None:
        seen.append(data)
        if len(seen) <= len(gates):
            gates[len(seen) - 1].open()

    script = gated(200, headers, gzip_pieces(parts) if packed else parts, gates)
    with Upstream(script, alpn=alpn) as upstream, directly(upstream) as client:
        answer = client.request("GET", "https://api.example/", on_chunk=on_chunk)

    assert seen == parts
    assert answer.body == b"".join(parts)


@PROTOCOLS
def test_one_connection_serves_many_requests(alpn: tuple[str, ...]) -> None:
    bodies = [b"x" * size for size in (1, 70_000, 300_000)]
    script = in_order([pieces(200, EVENT_STREAM, [body]) for body in bodies])
    with Upstream(script, alpn=alpn) as upstream, directly(upstream) as client:
        assert [client.request("POST", "https://api.example/", (), body).body for body in bodies] == bodies
        assert [request.body for request in upstream.received] == bodies
        assert upstream.connections == 1


@PROTOCOLS
def test_trailers_and_interim_responses_arrive(alpn: tuple[str, ...]) -> None:
    def script(request: Received, reply: Reply) -> None:
        reply.inform(103, [("link", "</style.css>")])
        reply.head(200, [("Trailer", "X-Sum")])
        reply.data(b"text")
        reply.end([("x-sum", "4")])

    with Upstream(script, alpn=alpn) as upstream, directly(upstream) as client:
        answer = client.request("GET", "https://api.example/")

    assert (answer.status, answer.body) == (200, b"text")
    assert [(name.lower(), value) for name, value in answer.trailers] == [("x-sum", "4")]


def _broken(end: str) -> Handler:
    def script(request: Received, reply: Reply) -> None:
        reply.head(200, [("Content-Length", "100")])
        reply.data(b"only this")
        reply.reset() if end == "reset" else reply.leave()

    return script


@PROTOCOLS
@pytest.mark.parametrize("end", ["reset", "leave"])
def test_body_that_is_cut_short_is_an_error_at_the_client(alpn: tuple[str, ...], end: str) -> None:
    # h11 says RemoteProtocolError for a body that is short, ssl and sockets say OSError.
    cut_short = pytest.raises(
        (OSError, h11.RemoteProtocolError), match=r"(?i)reset|closed|without sending|EOF"
    )
    with Upstream(_broken(end), alpn=alpn) as upstream, directly(upstream) as client, cut_short:
        client.request("GET", "https://api.example/")


def test_body_without_framing_ends_with_the_connection() -> None:
    script = pieces(200, EVENT_STREAM, [b"data: 1\n\n", b"data: 2\n\n"], Framing.EOF)
    with Upstream(script, alpn=HTTP_1_ONLY) as upstream, directly(upstream) as client:
        answer = client.request("GET", "https://api.example/")
        again = client.request("GET", "https://api.example/")

    assert answer.header("transfer-encoding") is None
    assert answer.body == again.body == b"data: 1\n\ndata: 2\n\n"


def test_raw_bytes_reach_the_client_untouched() -> None:
    text = b"HTTP/1.1 200 Fine By Me\r\nx-ODD:  two  spaces\r\nContent-Length: 2\r\n\r\nok"
    with Upstream(lambda _, reply: reply.raw(text), alpn=HTTP_1_ONLY) as upstream:
        context = ssl.create_default_context(cafile=str(upstream.ca_file))
        with (
            socket.create_connection(("127.0.0.1", upstream.port)) as sock,
            context.wrap_socket(sock, server_hostname="api.example") as tls,
        ):
            tls.sendall(b"GET / HTTP/1.1\r\nHost: api.example\r\n\r\n")
            got = b""
            while data := tls.recv(4096):
                got += data
    assert got == text


def test_plain_http_is_served_on_the_same_port() -> None:
    with Upstream(whole(200, [], b"plain")) as upstream, directly(upstream) as client:
        assert client.request("GET", "http://localhost:8080/").body == b"plain"
    assert (upstream.received[0].authority, upstream.received[0].host) == ("localhost:8080", None)


def test_failure_of_a_script_is_raised_at_the_end() -> None:
    upstream = Upstream(in_order([]))
    with directly(upstream) as client, pytest.raises(ConnectionResetError):
        client.request("GET", "https://api.example/")

    with pytest.raises(AssertionError, match="no answer left for GET /"), upstream:
        pass


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_made_traffic_is_answered_as_go_vcr_recorded_it(scenario: Scenario) -> None:
    recorded = interactions(scenario.fixture.read_bytes())
    with Upstream(scenario.handler, alpn=scenario.alpn) as upstream, directly(upstream) as client:
        answers = [send(client, request) for request in scenario.requests]

    assert [answer.body for answer in answers] == [one.response_body for one in recorded]
    assert [answer.status for answer in answers] == [one.code for one in recorded]
    assert [answer.proto for answer in answers] == [one.proto for one in recorded]
