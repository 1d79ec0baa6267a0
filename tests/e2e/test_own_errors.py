"""The proxy's own answers: what a client is told when there is no upstream to tell it anything."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator

import pytest

from tests.support.authority import authority
from tests.support.door import Door
from tests.support.golike import Answer
from tests.support.inprocess import InProcess, shared_daemon
from tests.support.rawclient import Http1, Http2, connect, dial, tunnel
from tests.support.rawserver import RawServer, read_until
from tests.support.recorded import interactions
from tests.support.scripts import Received, Reply, whole
from tests.support.upstream import HTTP_1_ONLY, HTTP_2_FIRST, Upstream
from tests.support.wiretape import Session

HOST = "api.openai.com"
JSON = ("content-type", "application/json")
BOTH_CLIENTS = pytest.mark.parametrize("client_class", [Http1, Http2], ids=["http1", "http2"])


@pytest.fixture(scope="module")
def wiretape(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InProcess]:
    with shared_daemon(tmp_path_factory, "own-errors") as command:
        yield command


def _client(session: Session, client_class: type[Http1 | Http2], host: str = HOST) -> Http1 | Http2:
    if client_class is Http2:
        return Http2(tunnel(session, host, alpn=("h2",)))
    return Http1(tunnel(session, host))


def _check(answer: Answer, code: str, *words: str) -> None:
    """An SDK finds the message where it looks for the provider's own."""
    assert (answer.status, answer.header("wiretape-error")) == (502, code)
    assert answer.header("content-type") == "application/json"
    error = json.loads(answer.body)["error"]
    assert (error["type"], error["code"]) == ("wiretape_proxy_error", code)
    for word in ("wiretape: ", HOST, *words):
        assert word in error["message"]


@BOTH_CLIENTS
def test_refused_connection_is_answered_and_the_next_request_goes_through(
    client_class: type[Http1 | Http2], wiretape: InProcess
) -> None:
    alpn = HTTP_2_FIRST if client_class is Http2 else HTTP_1_ONLY
    with Upstream(whole(200, [], b"back"), alpn=alpn) as upstream, Door(upstream.port) as door:
        session = wiretape.open(f"--upstream-ca={authority().ca_file}", f"--connect-to={door.connect_to()}")
        client = _client(session, client_class)
        refused = [client.ask("POST", "/v1", [JSON], b"{}") for _ in range(2)]
        door.open()
        after = client.ask("POST", "/v1", [JSON], b"{}")
        client.close()
        summary = wiretape.close(session)

    for answer in refused:
        _check(answer, "upstream_unreachable", "no answer from", "onnect call failed")
    assert (after.status, after.body) == (200, b"back")
    (one,) = interactions(session.cassette.read_bytes())
    assert one.response_body == b"back"
    assert (summary["interactions"], summary["interrupted"]) == (1, 0)
    assert summary["not_recorded"]["refused"] == 2
    assert "exchange.refused" in wiretape.log


def test_large_request_to_a_refusing_upstream_leaves_the_connection_usable(wiretape: InProcess) -> None:
    with Upstream(whole(200, [], b"back"), alpn=HTTP_1_ONLY) as upstream, Door(upstream.port) as door:
        session = wiretape.open(f"--upstream-ca={authority().ca_file}", f"--connect-to={door.connect_to()}")
        client = Http1(tunnel(session, HOST))
        answer = client.ask("POST", "/v1", [JSON], b"x" * 3_000_000)
        door.open()
        after = client.ask("POST", "/v1", [JSON], b"{}")
        client.close()
        wiretape.close(session)

    _check(answer, "upstream_unreachable")
    assert after.body == b"back"


def test_streams_of_one_connection_are_all_told(wiretape: InProcess) -> None:
    with Door(1) as door:
        session = wiretape.open(f"--connect-to={door.connect_to()}")
        client = Http2(tunnel(session, HOST, alpn=("h2",)))
        streams = [client.begin("POST", "/v1", [JSON], b"{}") for _ in range(8)]
        for stream in streams:
            _check(client.answer(stream), "upstream_unreachable")
        client.close()
        summary = wiretape.close(session)

    assert summary["not_recorded"]["refused"] == 8


@BOTH_CLIENTS
def test_unknown_name_is_answered(client_class: type[Http1 | Http2], wiretape: InProcess) -> None:
    # RFC 6761, 6.4: `.invalid` never resolves.
    session = wiretape.open(f"--connect-to={HOST}:443:nowhere.invalid:443")
    client = _client(session, client_class)
    answer = client.ask("POST", "/v1", [JSON], b"{}")
    client.close()
    summary = wiretape.close(session)

    _check(answer, "upstream_unreachable")
    assert (summary["interactions"], summary["not_recorded"]["refused"]) == (0, 1)


@BOTH_CLIENTS
def test_certificate_that_is_not_trusted_is_answered(
    client_class: type[Http1 | Http2], wiretape: InProcess
) -> None:
    with Upstream(whole(200, [], b"never")) as upstream:
        session = wiretape.open(f"--connect-to={upstream.connect_to()}")
        client = _client(session, client_class)
        answer = client.ask("POST", "/v1", [JSON], b"{}")
        client.close()
        summary = wiretape.close(session)

    _check(answer, "upstream_unreachable", "ertificate verify failed")
    assert upstream.received == []
    assert (summary["interactions"], summary["not_recorded"]["refused"]) == (0, 1)


@BOTH_CLIENTS
def test_upstream_that_closes_before_its_answer_is_reported(
    client_class: type[Http1 | Http2], wiretape: InProcess
) -> None:
    def script(received: Received, reply: Reply) -> None:
        if received.target == "/v1/close":
            reply.leave()
        else:
            whole(200, [], b"back")(received, reply)

    alpn = HTTP_2_FIRST if client_class is Http2 else HTTP_1_ONLY
    with Upstream(script, alpn=alpn) as upstream:
        session = wiretape.open(*upstream.options())
        client = _client(session, client_class)
        answer = client.ask("POST", "/v1/close", [JSON], b"{}")
        after = client.ask("POST", "/v1/open", [JSON], b"{}")
        client.close()
        summary = wiretape.close(session)

    _check(answer, "upstream_broke_off")
    assert after.body == b"back"
    (one,) = interactions(session.cassette.read_bytes())
    assert one.url.endswith("/open")
    (broken,) = interactions(session.cassette.with_name(f"{session.name}.interrupted.yaml").read_bytes())
    assert (broken.url.endswith("/close"), broken.response_body) == (True, b"")
    assert (summary["interactions"], summary["interrupted"]) == (1, 1)


def test_request_that_is_no_json_is_answered_in_text(wiretape: InProcess) -> None:
    with Door(1) as door:
        session = wiretape.open(f"--connect-to={door.connect_to()}")
        client = Http1(tunnel(session, HOST))
        text = client.ask("GET", "/v1/models")
        json_accepted = client.ask("GET", "/v1/models", [("Accept", "application/json")])
        head = client.ask("HEAD", "/v1/models")
        after_head = client.ask("GET", "/v1/models")
        client.close()
        wiretape.close(session)

    assert text.header("content-type") == "text/plain; charset=utf-8"
    assert text.body.startswith(b"wiretape: no answer from api.openai.com:443: ")
    _check(json_accepted, "upstream_unreachable")
    assert (head.status, head.body) == (502, b"")
    assert after_head.body == text.body


def test_tunnel_that_cannot_be_opened_is_refused_in_our_words(wiretape: InProcess) -> None:
    with Door(1) as door:
        session = wiretape.open(f"--connect-to={door.connect_to()}")
        with pytest.raises(ConnectionRefusedError, match=r"(?s)502.*Wiretape-Error.*www\.example\.com"):
            connect(session, "www.example.com:443")
        wiretape.close(session)


def test_malformed_request_is_answered_and_not_logged(wiretape: InProcess) -> None:
    session = wiretape.open()
    client = Http1(dial(session))
    client.send(b"GET http://api.openai.com/?key=topsecret HTTP/1.1 and more\r\n\r\n")
    assert client.until(b"\r\n").startswith(b"HTTP/1.1 400 ")
    client.close()
    wiretape.close(session)

    assert "topsecret" not in wiretape.log


@pytest.mark.parametrize("answer", [b"SMTP ready\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n"])
def test_answer_that_is_no_http_is_reported(answer: bytes, wiretape: InProcess) -> None:
    def serve(sock: socket.socket) -> None:
        read_until(sock, b"{}")
        sock.sendall(answer)

    with RawServer(serve, tls=True) as server:
        session = wiretape.open(
            f"--upstream-ca={authority().ca_file}", f"--connect-to={HOST}:443:127.0.0.1:{server.port}"
        )
        client = Http1(tunnel(session, HOST))
        told = client.ask("POST", "/v1", [JSON], b"{}")
        client.close()
        summary = wiretape.close(session)

    _check(told, "upstream_broke_off")
    assert (summary["interactions"], summary["interrupted"]) == (0, 1)


def test_headers_that_smuggle_are_refused_in_our_words(wiretape: InProcess) -> None:
    with Upstream(whole(200, [], b"never")) as upstream:
        session = wiretape.open(*upstream.options())
        client = Http1(tunnel(session, HOST))
        client.send(
            b"POST /v1 HTTP/1.1\r\nHost: api.openai.com\r\nContent-Length: 4\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
        )
        answer = client.answer()
        client.close()
        summary = wiretape.close(session)

    assert answer.status == 400
    assert upstream.received == []
    assert summary["interactions"] == 0
