"""Interim responses (1xx) reach the client as they come; the response behind them is the one that is recorded."""

from __future__ import annotations

from collections.abc import Iterator

import h2.events
import pytest

from tests.support.h2peer import EventClient
from tests.support.inprocess import InProcess, shared_daemon
from tests.support.rawclient import Http1, dial, tunnel
from tests.support.recorded import interactions
from tests.support.scripts import Gate, Received, Reply
from tests.support.upstream import HTTP_1_ONLY, HTTP_2_FIRST, Upstream

HOST = "api.openai.com"
LINK = ("Link", "</style.css>; rel=preload")


@pytest.fixture(scope="module")
def wiretape(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InProcess]:
    with shared_daemon(tmp_path_factory, "interim") as command:
        yield command


@pytest.mark.parametrize("status", [100, 102, 103, 199])
def test_http1_client_gets_interim_response_before_the_upstream_goes_on(
    status: int, wiretape: InProcess
) -> None:
    seen = Gate("the interim response at the client")

    def script(received: Received, reply: Reply) -> None:
        reply.inform(status, [LINK])
        seen.wait()
        reply.head(200, [("Content-Length", "5")])
        reply.data(b"final")
        reply.end()

    with Upstream(script, alpn=HTTP_1_ONLY) as upstream:
        session = wiretape.open(*upstream.options())
        client = Http1(tunnel(session, HOST))
        client.send(f"GET /v1 HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode())
        interim = client.until(b"\r\n\r\n")
        seen.open()
        final = client.answer()
        again = client.ask("GET", "/v1")
        assert again.status == status
        assert client.answer().body == b"final"
        client.close()
        wiretape.close(session)

    assert interim.startswith(b"HTTP/1.1 %d" % status)
    assert b"</style.css>; rel=preload" in interim
    assert (final.status, final.body) == (200, b"final")
    assert [(one.code, one.response_body) for one in interactions(session.cassette.read_bytes())] == [
        (200, b"final")
    ] * 2


@pytest.mark.parametrize("step", [1, 7, 1000], ids=["byte-by-byte", "in-pieces", "at-once"])
def test_several_interim_responses_come_in_order_however_they_are_cut(step: int, wiretape: InProcess) -> None:
    text = (
        b"HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n"
        b"HTTP/1.1 103 Early Hints\r\nLink: b\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
    )

    def script(received: Received, reply: Reply) -> None:
        for start in range(0, len(text), step):
            reply.raw(text[start : start + step])

    with Upstream(script, alpn=HTTP_1_ONLY) as upstream:
        session = wiretape.open(*upstream.options())
        client = Http1(tunnel(session, HOST))
        client.send(f"GET /v1 HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode())
        assert client.until(b"ok") == text
        client.close()
        wiretape.close(session)

    assert [one.code for one in interactions(session.cassette.read_bytes())] == [200]


def test_http10_client_gets_the_final_response_only(wiretape: InProcess) -> None:
    def script(received: Received, reply: Reply) -> None:
        reply.raw(b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    with Upstream(script, alpn=HTTP_1_ONLY) as upstream:
        session = wiretape.open(*upstream.options())
        client = Http1(tunnel(session, HOST))
        client.send(f"GET /v1 HTTP/1.0\r\nHost: {HOST}\r\n\r\n".encode())
        assert client.until(b"\r\n").endswith(b" 200 OK\r\n")
        client.until(b"ok")
        client.close()
        wiretape.close(session)


def test_client_that_expects_100_gets_one_even_when_the_upstream_sends_another(wiretape: InProcess) -> None:
    def script(received: Received, reply: Reply) -> None:
        reply.inform(100)
        reply.head(200, [("Content-Length", str(len(received.body)))])
        reply.data(received.body)
        reply.end()

    with Upstream(script) as upstream:
        session = wiretape.open(f"--host=127.0.0.1:{upstream.port}")
        client = Http1(dial(session))
        where = f"127.0.0.1:{upstream.port}"
        client.send(
            f"POST http://{where}/v1 HTTP/1.1\r\nHost: {where}\r\nExpect: 100-continue\r\n"
            "Content-Length: 4\r\n\r\n".encode()
        )
        assert client.answer().status == 100
        client.send(b"body")
        answer = client.answer()
        client.close()
        wiretape.close(session)

    assert (answer.status, answer.body) == (200, b"body")


def test_http2_client_gets_interim_responses_too(wiretape: InProcess) -> None:
    seen = Gate("the interim response at the client")

    def script(received: Received, reply: Reply) -> None:
        reply.inform(103, [("link", "</style.css>")])
        seen.wait()
        reply.head(200)
        reply.data(b"final")
        reply.end()

    with Upstream(script, alpn=HTTP_2_FIRST) as upstream:
        session = wiretape.open(*upstream.options())
        client = EventClient(tunnel(session, HOST, alpn=("h2",)))
        stream = client.begin("/v1")
        client.until(lambda: client.of(stream, h2.events.InformationalResponseReceived))
        seen.open()
        client.until(lambda: client.has_ended(stream))
        (interim,) = client.of(stream, h2.events.InformationalResponseReceived)
        client.close()
        wiretape.close(session)

    assert dict(interim.headers) == {":status": "103", "link": "</style.css>"}
    assert client.status(stream) == 200
    assert [one.response_body for one in interactions(session.cassette.read_bytes())] == [b"final"]
