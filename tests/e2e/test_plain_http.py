"""Plain HTTP: a router on this machine is recorded, anything else only passes; bodies are not held back."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from tests.support.golike import GoLikeClient
from tests.support.inprocess import InProcess, shared_daemon
from tests.support.rawclient import Http1, dial
from tests.support.rawserver import RawServer, read_until
from tests.support.recorded import interactions
from tests.support.scripts import Gate, pieces, whole
from tests.support.upstream import Upstream

JSON = ("Content-Type", "application/json")


@pytest.fixture(scope="module")
def wiretape(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InProcess]:
    with shared_daemon(tmp_path_factory, "plain") as command:
        yield command


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost"])
def test_local_router_is_recorded_with_its_http_url(name: str, wiretape: InProcess) -> None:
    events = [b'{"message":1}\n', b'{"message":2}\n']
    with Upstream(pieces(200, [("Content-Type", "application/x-ndjson")], events)) as ollama:
        session = wiretape.open(f"--host={name}:{ollama.port}")
        url = f"http://{name}:{ollama.port}/api/chat"
        with GoLikeClient(proxy=session.proxy) as client:
            answers = [client.request("POST", url, [JSON], b"{}") for _ in range(2)]
        wiretape.close(session)

    assert [answer.body for answer in answers] == [b"".join(events)] * 2
    recorded = interactions(session.cassette.read_bytes())
    assert [(one.url, one.request_body, one.response_body) for one in recorded] == [
        (url, b"{}", b"".join(events))
    ] * 2


def test_listed_router_on_another_port_is_led_there_by_connect_to(wiretape: InProcess) -> None:
    with Upstream(whole(200, [JSON], b"{}")) as ollama:
        session = wiretape.open(f"--connect-to={ollama.connect_to('localhost', 11434)}")
        with GoLikeClient(proxy=session.proxy) as client:
            assert client.request("GET", "http://localhost:11434/api/tags").body == b"{}"
        wiretape.close(session)

    assert ollama.received[0].authority == "localhost:11434"
    (one,) = interactions(session.cassette.read_bytes())
    assert one.url == "http://localhost:11434/api/tags"


def test_other_host_passes_and_is_not_recorded(wiretape: InProcess) -> None:
    with Upstream(whole(200, [], b"web page")) as web:
        session = wiretape.open()
        with GoLikeClient(proxy=session.proxy) as client:
            assert client.request("GET", f"http://127.0.0.1:{web.port}/index.html").body == b"web page"
        summary = wiretape.close(session)

    assert (summary["interactions"], summary["passed"]) == (0, 1)
    assert session.cassette.read_bytes() == b"---\nversion: 2\ninteractions: []\n"


def test_request_body_reaches_the_upstream_before_the_client_has_sent_all(wiretape: InProcess) -> None:
    first = Gate("the first piece of the request at the upstream")

    def serve(sock: socket.socket) -> None:
        seen = read_until(sock, b"first")
        first.open()
        if b"second" not in seen:
            read_until(sock, b"0\r\n\r\n")
        sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        sock.recv(1)

    with RawServer(serve) as server:
        session = wiretape.open(f"--host=127.0.0.1:{server.port}")
        client = Http1(dial(session))
        where = f"127.0.0.1:{server.port}"
        client.send(
            f"POST http://{where}/v1 HTTP/1.1\r\nHost: {where}\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
        )
        client.send(b"5\r\nfirst\r\n")
        first.wait()
        client.send(b"6\r\nsecond\r\n0\r\n\r\n")
        assert client.answer().body == b"ok"
        client.close()
        wiretape.close(session)

    (one,) = interactions(session.cassette.read_bytes())
    assert one.request_body == b"firstsecond"


def test_expect_100_continue_is_answered_and_the_request_recorded(wiretape: InProcess) -> None:
    with Upstream(whole(200, [], b"ok")) as upstream:
        session = wiretape.open(f"--host=127.0.0.1:{upstream.port}")
        client = Http1(dial(session))
        where = f"127.0.0.1:{upstream.port}"
        client.send(
            f"POST http://{where}/v1 HTTP/1.1\r\nHost: {where}\r\nExpect: 100-continue\r\n"
            "Content-Length: 4\r\n\r\n".encode()
        )
        assert client.answer().status == 100
        client.send(b"body")
        assert client.answer().body == b"ok"
        client.close()
        wiretape.close(session)

    assert upstream.received[0].body == b"body"
    (one,) = interactions(session.cassette.read_bytes())
    assert (one.request_body, one.response_body, one.code) == (b"body", b"ok", 200)


def test_request_for_the_proxy_itself_does_not_run_in_circles(wiretape: InProcess) -> None:
    session = wiretape.open()
    client = Http1(dial(session))
    answer = client.ask("GET", f"http://{session.proxy}/", host=session.proxy)
    client.close()
    other = Http1(dial(session))
    origin_form = other.ask("GET", "/", host=session.proxy)
    other.close()
    wiretape.close(session)

    assert (answer.status, answer.header("wiretape-error")) == (502, "upstream_unreachable")
    assert b"the request is for the proxy itself" in answer.body
    assert origin_form.header("wiretape-error") is not None


@pytest.mark.parametrize(("unlisted", "status"), [("refuse", 403), ("tunnel", 200)])
def test_sealed_replay_treats_plain_http_to_other_hosts_as_it_is_told(
    unlisted: str, status: int, wiretape: InProcess
) -> None:
    with Upstream(whole(200, [], b"web page")) as web:
        recording = wiretape.open()
        wiretape.close(recording)
        session = wiretape.open("--mode=replay-only", f"--unlisted={unlisted}", cassette=recording.cassette)
        with GoLikeClient(proxy=session.proxy) as client:
            answer = client.request("GET", f"http://127.0.0.1:{web.port}/index.html")
        wiretape.close(session)
    assert answer.status == status
    assert len(web.received) == (unlisted == "tunnel")
