"""Connections that break: the client sees what it would have seen directly, the recorder knows a part from a whole."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.support.door import Door
from tests.support.h2peer import EventClient
from tests.support.inprocess import InProcess, shared_daemon
from tests.support.rawclient import Http1, connect, dial, tunnel
from tests.support.rawserver import RawServer
from tests.support.recorded import interactions
from tests.support.scripts import Framing, Received, Reply
from tests.support.silence import silent_port
from tests.support.upstream import HTTP_1_ONLY, Upstream
from tests.support.waiting import until
from tests.support.wiretape import Session
from tests.support.worker_alone import WorkerAlone

HOST = "api.openai.com"
BODY = b"data: first\n\n"


@pytest.fixture(scope="module")
def wiretape(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InProcess]:
    with shared_daemon(tmp_path_factory, "broken") as command:
        yield command


def script(received: Received, reply: Reply) -> None:
    """Send a body without a length and end it as the path says."""
    reply.head(200, [("Content-Type", "text/event-stream")], framing=Framing.EOF)
    reply.data(BODY)
    match received.target.rpartition("/")[2]:
        case "close":
            reply.end()
        case "fin":
            reply.leave()
        case "reset":
            reply.reset()


def strict(session: Session) -> ssl.SSLSocket:
    """A tunnel whose end without close_notify is an error, as it is to Go, curl and Java."""
    context = ssl.create_default_context(cafile=str(session.bundle))
    sock = connect(session, f"{HOST}:443")
    return context.wrap_socket(sock, server_hostname=HOST, suppress_ragged_eofs=False)


def _reasons(cassette: Path) -> list[str]:
    interrupted = cassette.with_name(f"{cassette.stem}.interrupted.yaml")
    if not interrupted.exists():
        return []
    return [item["interrupted"] for item in yaml.safe_load(interrupted.read_bytes())["interactions"]]


@pytest.mark.parametrize(
    ("how", "reasons"),
    [
        ("close", []),
        ("fin", [f"the body was cut short: after {len(BODY)} bytes of body"]),
        ("reset", [f"the upstream broke off: after {len(BODY)} bytes of body"]),
    ],
)
def test_body_that_ends_with_its_tls_connection_ends_as_the_upstream_ended_it(
    how: str, reasons: list[str], wiretape: InProcess
) -> None:
    with Upstream(script, alpn=HTTP_1_ONLY) as upstream:
        session = wiretape.open(*upstream.options())
        client = Http1(strict(session))
        client.send(f"GET /v1/{how} HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode())
        client.until(BODY)
        if how == "close":
            assert client.rest() == b""
        else:
            with pytest.raises((ssl.SSLEOFError, ConnectionResetError)):
                client.rest()
        client.close()
        until("the exchange", lambda: wiretape.session(session)["in_flight"] == 0)
        wiretape.close(session)

    assert _reasons(session.cassette) == reasons
    assert len(interactions(session.cassette.read_bytes())) == (how == "close")


@pytest.mark.parametrize("how", ["close", "fin", "reset"])
def test_body_that_ends_with_its_plain_connection_ends_as_the_upstream_ended_it(
    how: str, wiretape: InProcess
) -> None:
    with Upstream(script) as upstream:
        session = wiretape.open(f"--host=127.0.0.1:{upstream.port}")
        client = Http1(dial(session))
        where = f"127.0.0.1:{upstream.port}"
        client.send(f"GET http://{where}/v1/{how} HTTP/1.1\r\nHost: {where}\r\n\r\n".encode())
        client.until(BODY)
        if how == "reset":
            with pytest.raises(ConnectionResetError):
                client.rest()
        else:
            assert client.rest() == b""
        client.close()
        until("the exchange", lambda: wiretape.session(session)["in_flight"] == 0)
        wiretape.close(session)

    # Of a FIN nobody can tell whether it was meant; the client takes it for the end, too.
    assert len(interactions(session.cassette.read_bytes())) == (how != "reset")
    assert len(_reasons(session.cassette)) == (how == "reset")


def test_broken_end_of_an_unframed_body_resets_the_stream_of_an_http2_client(wiretape: InProcess) -> None:
    with Upstream(script, alpn=HTTP_1_ONLY) as upstream, Door(upstream.port) as door:
        session = wiretape.open(f"--upstream-ca={upstream.ca_file}", f"--connect-to={door.connect_to()}")
        client = EventClient(tunnel(session, HOST, alpn=("h2",)))
        client.ask("/refused")
        door.open()
        stream = client.begin("/v1/fin")
        client.until(lambda: client.was_reset(stream))
        whole = client.ask("/v1/close")
        assert client.received[whole] == len(BODY)
        client.close()
        wiretape.close(session)


def test_client_does_not_wait_for_ever_when_mitmproxy_crashes() -> None:
    def trailers(received: Received, reply: Reply) -> None:
        reply.head(200)
        reply.data(b"body")
        reply.end([("x-checksum", "abc")])

    with Upstream(trailers) as upstream:
        # Without our patch for them, trailers make mitmproxy raise.
        host = f"127.0.0.1:{upstream.port}"
        with WorkerAlone(hosts=[host], without=["read_trailers"]) as worker:
            client = Http1(dial(worker.session))
            client.send(f"GET http://{host}/v1 HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
            assert client.rest().endswith(b"4\r\nbody\r\n")
            until("nothing in flight", lambda: worker.counts()["in_flight"] == 0)
            client.close()


SOON = {"addons.compat.connecting:CONNECT_SECONDS": 1.0}


def test_upstream_that_answers_no_connection_is_given_up() -> None:
    with silent_port() as port, WorkerAlone(f":443:127.0.0.1:{port}", values=SOON) as worker:
        client = Http1(tunnel(worker.session, HOST))
        answer = client.ask("GET", "/v1")
        client.close()

    assert (answer.status, answer.header("wiretape-error")) == (502, "upstream_unreachable")
    assert b"not connected within 1 s" in answer.body


def test_upstream_that_shakes_no_hands_is_given_up() -> None:
    def read_only(sock: socket.socket) -> None:
        while sock.recv(65536):
            pass

    with RawServer(read_only) as server, WorkerAlone(
        f":443:127.0.0.1:{server.port}", values=SOON
    ) as worker:  # fmt: skip
        client = Http1(tunnel(worker.session, HOST))
        answer = client.ask("GET", "/v1")
        client.close()

    assert (answer.status, answer.header("wiretape-error")) == (502, "upstream_unreachable")
