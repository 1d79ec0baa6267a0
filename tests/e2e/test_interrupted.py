"""Exchanges that did not complete: told from whole ones, with who broke off, and never in the cassette."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from tests.support.inprocess import InProcess, shared_daemon
from tests.support.rawclient import Http1, Http2, reset, tunnel
from tests.support.recorded import interactions
from tests.support.scripts import Framing, Gate, Handler, Received, Reply
from tests.support.upstream import HTTP_1_ONLY, HTTP_2_FIRST, Upstream
from tests.support.waiting import until
from tests.support.wiretape import Session

HOST = "api.openai.com"
EVENT_STREAM = ("content-type", "text/event-stream")
EMPTY = b"---\nversion: 2\ninteractions: []\n"
FIRST = b"data: first\n\n"


@pytest.fixture(scope="module")
def wiretape(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InProcess]:
    with shared_daemon(tmp_path_factory, "interrupted") as command:
        yield command


def _interrupted(cassette: Path) -> Path:
    return cassette.with_name(f"{cassette.stem}.interrupted.yaml")


def _reasons(cassette: Path) -> list[str]:
    document = yaml.safe_load(_interrupted(cassette).read_bytes())
    return [item["interrupted"] for item in document["interactions"]]


def _stop(wiretape: InProcess, session: Session) -> str:
    """Stop and return what is said, once every exchange has ended by itself."""
    until("no exchange in flight", lambda: wiretape.session(session)["in_flight"] == 0)
    return wiretape.run("stop", session.name).stdout.decode()


def _stream_and_wait(gate: Gate) -> Handler:
    def script(received: Received, reply: Reply) -> None:
        reply.head(200, [EVENT_STREAM])
        reply.data(FIRST)
        gate.wait()

    return script


@pytest.mark.parametrize("leave", [Http1.close, lambda client: reset(client.sock)], ids=["close", "reset"])
def test_http1_client_that_leaves_is_named(leave: Callable[[Http1], None], wiretape: InProcess) -> None:
    gate = Gate("the client to leave")
    with Upstream(_stream_and_wait(gate), alpn=HTTP_1_ONLY) as upstream:
        session = wiretape.open(*upstream.options())
        client = Http1(tunnel(session, HOST))
        client.send(f"POST /v1 HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 2\r\n\r\n{{}}".encode())
        client.until(FIRST)
        leave(client)
        said = _stop(wiretape, session)
        gate.open()

    assert session.cassette.read_bytes() == EMPTY
    assert _reasons(session.cassette) == [f"the client left: after {len(FIRST)} bytes of body"]
    (one,) = interactions(_interrupted(session.cassette).read_bytes())
    assert (one.request_body, one.response_body) == (b"{}", FIRST)
    assert "0 interactions" in said
    assert "1 interrupted: " in said


def test_http2_client_that_resets_its_stream_is_named_and_the_others_go_on(wiretape: InProcess) -> None:
    gate = Gate("the client to leave")

    def script(received: Received, reply: Reply) -> None:
        reply.head(200, [EVENT_STREAM])
        reply.data(FIRST)
        gate.wait()
        if received.target == "/v1/stays":
            reply.end()

    with Upstream(script) as upstream:
        session = wiretape.open(*upstream.options())
        client = Http2(tunnel(session, HOST, alpn=("h2",)))
        leaves, stays = client.begin("GET", "/v1/leaves"), client.begin("GET", "/v1/stays")
        client.until(leaves, FIRST)
        client.until(stays, FIRST)
        client.cancel(leaves)
        until("the interrupted exchange", lambda: wiretape.session(session)["interrupted"] == 1)
        gate.open()
        assert client.answer(stays).body == FIRST
        client.close()
        _stop(wiretape, session)

    (one,) = interactions(session.cassette.read_bytes())
    assert one.url.endswith("/stays")
    assert _reasons(session.cassette) == [f"the client left: after {len(FIRST)} bytes of body"]


def _broken(how: str) -> Handler:
    def script(received: Received, reply: Reply) -> None:
        length = [("content-length", "1000")] if "length" in how else []
        reply.head(200, [EVENT_STREAM, *length])
        reply.data(FIRST)
        reply.reset() if "reset" in how else reply.leave()

    return script


@pytest.mark.parametrize(
    ("alpn", "how", "reason"),
    [
        (HTTP_1_ONLY, "length-cut", "the body was cut short"),
        (HTTP_1_ONLY, "length-reset", "the body was cut short"),
        (HTTP_1_ONLY, "chunked-cut", "the body was cut short"),
        (HTTP_1_ONLY, "chunked-reset", "the body was cut short"),
        (HTTP_2_FIRST, "stream-reset", "the upstream broke off"),
        (HTTP_2_FIRST, "connection-cut", "the upstream broke off"),
        (HTTP_2_FIRST, "length-reset", "the upstream broke off"),
    ],
    ids=lambda value: value if isinstance(value, str) else value[0].replace("/", ""),
)
def test_upstream_that_breaks_off_is_named(
    alpn: tuple[str, ...], how: str, reason: str, wiretape: InProcess
) -> None:
    with Upstream(_broken(how), alpn=alpn) as upstream:
        session = wiretape.open(*upstream.options())
        client: Http1 | Http2
        client = Http2(tunnel(session, HOST, alpn=alpn)) if "h2" in alpn else Http1(tunnel(session, HOST))
        with pytest.raises(OSError, match=r"(?i)closed|reset|EOF"):
            client.ask("GET", "/v1")
        client.close()
        said = _stop(wiretape, session)

    assert session.cassette.read_bytes() == EMPTY
    assert _reasons(session.cassette) == [f"{reason}: after {len(FIRST)} bytes of body"]
    (one,) = interactions(_interrupted(session.cassette).read_bytes())
    assert one.response_body == FIRST
    assert "1 interrupted: " in said


_LAST_EVENTS = {
    "chat": b"data: [DONE]\n\n",
    "anthropic": b'event: message_stop\ndata: {"type":"message_stop"}\n\n',
    "responses": b'event: response.completed\ndata: {"type":"response.completed"}\n\n',
}


@pytest.mark.parametrize("dialect", _LAST_EVENTS)
@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzip"])
def test_client_that_hangs_up_behind_the_last_event_has_a_whole_interaction(
    dialect: str, packed: bool, wiretape: InProcess
) -> None:
    text = FIRST + _LAST_EVENTS[dialect]
    body = gzip.compress(text) if packed else text
    gate = Gate("the client to leave")

    def script(received: Received, reply: Reply) -> None:
        reply.head(200, [EVENT_STREAM, *([("content-encoding", "gzip")] if packed else [])])
        reply.data(body)
        gate.wait()

    with Upstream(script, alpn=HTTP_1_ONLY) as upstream:
        session = wiretape.open(*upstream.options())
        client = Http1(tunnel(session, HOST))
        client.send(f"GET /v1 HTTP/1.1\r\nHost: {HOST}\r\nAccept-Encoding: gzip, br\r\n\r\n".encode())
        client.until(body)
        client.close()
        said = _stop(wiretape, session)
        gate.open()

    (one,) = interactions(session.cassette.read_bytes())
    assert one.response_body == text
    assert not _interrupted(session.cassette).exists()
    assert "1 interaction in" in said
    assert "interrupted" not in said


def test_client_that_hangs_up_with_the_last_byte_has_a_whole_interaction(wiretape: InProcess) -> None:
    def script(received: Received, reply: Reply) -> None:
        reply.head(200, [("content-length", "5")])
        reply.data(b"whole")
        reply.end()

    with Upstream(script, alpn=HTTP_1_ONLY) as upstream:
        session = wiretape.open(*upstream.options())
        for _ in range(20):
            client = Http1(tunnel(session, HOST))
            client.send(f"GET /v1 HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode())
            client.until(b"whole")
            reset(client.sock)
        _stop(wiretape, session)

    assert [one.response_body for one in interactions(session.cassette.read_bytes())] == [b"whole"] * 20
    assert not _interrupted(session.cassette).exists()


def test_client_that_leaves_while_it_waits_is_named(wiretape: InProcess) -> None:
    asked = Gate("the request at the upstream")
    gate = Gate("the client to leave")

    def script(received: Received, reply: Reply) -> None:
        asked.open()
        gate.wait()

    with Upstream(script, alpn=HTTP_1_ONLY) as upstream:
        session = wiretape.open(*upstream.options())
        client = Http1(tunnel(session, HOST))
        client.send(f"POST /v1 HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 2\r\n\r\n{{}}".encode())
        asked.wait()
        client.close()
        _stop(wiretape, session)
        gate.open()

    assert session.cassette.read_bytes() == EMPTY
    assert _reasons(session.cassette) == ["the client left: after 0 bytes of body"]


def test_body_that_ends_with_a_reset_is_not_recorded_as_complete(wiretape: InProcess) -> None:
    def script(received: Received, reply: Reply) -> None:
        reply.head(200, [EVENT_STREAM], framing=Framing.EOF)
        reply.data(FIRST)
        reply.reset()

    with Upstream(script, alpn=HTTP_1_ONLY) as upstream:
        session = wiretape.open(*upstream.options())
        client = Http1(tunnel(session, HOST))
        client.send(f"GET /v1 HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode())
        with pytest.raises(OSError, match=r"(?i)closed|reset|EOF|protocol"):
            client.until(b"no such bytes")
        client.close()
        _stop(wiretape, session)

    assert session.cassette.read_bytes() == EMPTY
    assert len(_reasons(session.cassette)) == 1
