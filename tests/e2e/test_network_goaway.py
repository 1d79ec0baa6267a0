"""An HTTP/2 upstream that says GOAWAY: what it serves goes on, what it refused is served elsewhere, no one waits."""

from __future__ import annotations

from collections.abc import Iterator

import h2.errors
import pytest

from tests.support.h2peer import EventClient, goaway
from tests.support.inprocess import InProcess, shared_daemon
from tests.support.rawclient import tunnel
from tests.support.recorded import interactions
from tests.support.scripts import Gate, Received, Reply
from tests.support.upstream import HTTP_2_FIRST, Upstream
from tests.support.waiting import until

HOST = "api.openai.com"
FOR_EVER = 2**31 - 1


@pytest.fixture(scope="module")
def wiretape(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InProcess]:
    with shared_daemon(tmp_path_factory, "goaway") as command:
        yield command


def _client(session: object) -> EventClient:
    return EventClient(tunnel(session, HOST, alpn=("h2",)))  # type: ignore[arg-type]


@pytest.mark.parametrize("last", [1, FOR_EVER], ids=["last-stream", "first-of-two"])
def test_stream_under_way_goes_on_behind_goaway_and_the_next_has_a_connection_of_its_own(
    last: int, wiretape: InProcess
) -> None:
    told = Gate("the next request on another connection")

    def script(received: Received, reply: Reply) -> None:
        reply.head(200)
        if received.target == "/first":
            reply.data(b"one ")
            reply.raw(goaway(last))
            reply.data(b"two ")  # on the wire behind GOAWAY: who has it has that too
            told.wait()
            if last != 1:
                reply.raw(goaway(1))
            reply.data(b"three")
        reply.end()

    with Upstream(script, alpn=HTTP_2_FIRST) as upstream:
        session = wiretape.open(*upstream.options())
        client = _client(session)
        first = client.begin("/first")
        client.until(lambda: client.received.get(first) == len("one two "))
        client.ask("/second")
        told.open()
        client.until(lambda: client.has_ended(first))
        client.ask("/third")
        client.close()
        summary = wiretape.close(session)

    assert [received.connection for received in upstream.received] == [1, 2, 2]
    assert client.received[first] == len("one two three")
    assert (summary["interactions"], summary["interrupted"]) == (3, 0)
    bodies = {
        one.url.rpartition("/")[2]: one.response_body for one in interactions(session.cassette.read_bytes())
    }
    assert bodies == {"first": b"one two three", "second": b"", "third": b""}


def test_refused_request_is_sent_again_with_its_body(wiretape: InProcess) -> None:
    refused = Gate("the second request at the upstream")

    def script(received: Received, reply: Reply) -> None:
        if received.target == "/refused" and received.connection == 1:
            refused.open()
            return  # never answered here
        reply.head(200)
        if received.target == "/first":
            reply.data(b"first ")
            refused.wait()
            reply.raw(goaway(1))
            reply.data(b"goes on")
        else:
            reply.data(b"got " + received.body)
        reply.end()

    with Upstream(script, alpn=HTTP_2_FIRST) as upstream:
        session = wiretape.open(*upstream.options())
        client = _client(session)
        first = client.begin("/first")
        client.until(lambda: client.received.get(first))
        again = client.begin("/refused", b"this body", method="POST")
        client.until(lambda: client.has_ended(first, again))
        client.close()
        wiretape.close(session)

    assert (client.received[first], client.received[again]) == (len("first goes on"), len("got this body"))
    assert [(one.target, one.connection) for one in upstream.received] == [
        ("/first", 1), ("/refused", 1), ("/refused", 2),
    ]  # fmt: skip
    recorded = interactions(session.cassette.read_bytes())
    assert sorted((one.request_body, one.response_body) for one in recorded) == [
        (b"", b"first goes on"), (b"this body", b"got this body"),
    ]  # fmt: skip


def test_request_that_is_refused_in_the_middle_of_its_body_arrives_whole(wiretape: InProcess) -> None:
    gone = Gate("the first half at the upstream")

    def script(received: Received, reply: Reply) -> None:
        reply.head(200)
        if received.target == "/first":
            reply.data(b"first")
            gone.wait()
            reply.raw(goaway(1))
        else:
            reply.data(received.body)
        reply.end()

    with Upstream(script, alpn=HTTP_2_FIRST) as upstream:
        session = wiretape.open(*upstream.options())
        client = _client(session)
        first = client.begin("/first")
        client.until(lambda: client.received.get(first))
        slow = client.begin("/slow", b"first half, ", method="POST", end=False)
        gone.open()
        client.until(lambda: client.has_ended(first))
        client.send(slow, b"second half")
        client.end(slow)
        client.until(lambda: client.has_ended(slow))
        client.close()
        wiretape.close(session)

    assert [(one.target, one.body, one.connection) for one in upstream.received] == [
        ("/first", b"", 1), ("/slow", b"first half, second half", 2),
    ]  # fmt: skip
    assert len(interactions(session.cassette.read_bytes())) == 2


def test_goaway_with_an_error_ends_what_is_under_way_and_the_refused_is_sent_again(
    wiretape: InProcess,
) -> None:
    refused = Gate("the second request at the upstream")
    code = int(h2.errors.ErrorCodes.ENHANCE_YOUR_CALM)

    def script(received: Received, reply: Reply) -> None:
        if received.connection == 1 and received.target == "/refused":
            refused.open()
            return
        reply.head(200)
        reply.data(b"data")
        if received.target == "/first":
            refused.wait()
            reply.raw(goaway(1, code))
        else:
            reply.end()

    with Upstream(script, alpn=HTTP_2_FIRST) as upstream:
        session = wiretape.open(*upstream.options())
        client = _client(session)
        first = client.begin("/first")
        client.until(lambda: client.received.get(first))
        again = client.begin("/refused")
        client.until(lambda: client.was_reset(first) and client.has_ended(again))
        client.close()
        until("the exchanges", lambda: wiretape.session(session)["in_flight"] == 0)
        summary = wiretape.close(session)

    assert (summary["interactions"], summary["interrupted"]) == (1, 1)


def test_upstream_that_refuses_for_ever_is_reported(wiretape: InProcess) -> None:
    def script(received: Received, reply: Reply) -> None:
        reply.raw(goaway(0))

    with Upstream(script, alpn=HTTP_2_FIRST) as upstream:
        session = wiretape.open(*upstream.options())
        client = _client(session)
        stream = client.begin("/v1")
        client.until(lambda: client.has_ended(stream) or client.was_reset(stream))
        assert client.status(stream) == 502
        client.close()
        wiretape.close(session)

    assert 2 <= len(upstream.received) <= 6


def test_idle_connection_that_said_goaway_is_not_used_again(wiretape: InProcess) -> None:
    def script(received: Received, reply: Reply) -> None:
        reply.head(200)
        reply.end()
        if received.connection == 1:
            reply.raw(goaway(1))

    with Upstream(script, alpn=HTTP_2_FIRST) as upstream:
        session = wiretape.open(*upstream.options())
        client = _client(session)
        for _ in range(5):
            assert client.status(client.ask("/v1")) == 200
        client.close()
        summary = wiretape.close(session)

    assert summary["interactions"] == 5


def test_client_that_says_goaway_still_gets_its_answers(wiretape: InProcess) -> None:
    gate = Gate("GOAWAY of the client")

    def script(received: Received, reply: Reply) -> None:
        reply.head(200)
        reply.data(b"first ")
        gate.wait()
        reply.data(b"last")
        reply.end()

    with Upstream(script, alpn=HTTP_2_FIRST) as upstream:
        session = wiretape.open(*upstream.options())
        client = _client(session)
        stream = client.begin("/v1")
        client.until(lambda: client.received.get(stream))
        client.raw(goaway(0))
        gate.open()
        client.until(lambda: client.has_ended(stream))
        client.close()
        wiretape.close(session)

    assert client.received[stream] == len("first last")
