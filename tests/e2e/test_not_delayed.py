"""Not delayed: the client has each piece of a response before the upstream sends the next one.

No clock is asked. The upstream waits with the next piece until the client has reported the former one, so a
proxy that holds anything back stops everything, and the upstream's deadline fails the test.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.support.golike import GoLikeClient
from tests.support.recorded import interactions
from tests.support.scripts import Gate, Received, Reply, gzip_pieces, pieces
from tests.support.upstream import HTTP_1_ONLY, HTTP_2_FIRST, Upstream
from tests.support.wiretape import Session, Wiretape

URL = "https://api.openai.com/v1/chat/completions"
EVENT_STREAM = ("Content-Type", "text/event-stream")
PIECES = (b"data: one\n\n", b"data: two\n\n", b"data: th", b"ree\n\ndata: [DONE]\n\n")
BOTH_PROTOCOLS = pytest.mark.parametrize("alpn", [HTTP_1_ONLY, HTTP_2_FIRST], ids=["http1", "http2"])


def _client(session: Session) -> GoLikeClient:
    return GoLikeClient(proxy=session.proxy, ca_file=session.bundle)


def _report(gates: list[Gate], seen: list[bytes], piece: bytes) -> None:
    """Open the gate for the next piece once the client has all bytes of this one."""
    seen.append(piece)
    have = len(b"".join(seen))
    ends = [len(b"".join(PIECES[: number + 1])) for number in range(len(gates))]
    for gate, end in zip(gates, ends, strict=True):
        if have >= end:
            gate.open()


@BOTH_PROTOCOLS
@pytest.mark.parametrize("framing", ["unknown-length", "known-length"])
@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzip"])
def test_client_has_each_piece_before_the_next_is_sent(
    alpn: tuple[str, ...], framing: str, packed: bool, shared_wiretape: Wiretape, new_name: Callable[[], str]
) -> None:
    parts = gzip_pieces(PIECES) if packed else list(PIECES)
    headers = [EVENT_STREAM, *([("Content-Encoding", "gzip")] if packed else [])]
    if framing == "known-length":
        headers.append(("Content-Length", str(len(b"".join(parts)))))
    gates = [Gate(f"piece {number} at the client") for number in range(len(parts) - 1)]
    seen: list[bytes] = []

    def script(received: Received, reply: Reply) -> None:
        reply.head(200, headers)
        for number, part in enumerate(parts):
            reply.data(part)
            if number < len(gates):
                gates[number].wait()
        reply.end()

    name = new_name()
    with Upstream(script, alpn=alpn) as upstream:
        session = shared_wiretape.start(name, *upstream.options())
        with _client(session) as client:
            answer = client.request("POST", URL, body=b"{}", on_chunk=lambda data: _report(gates, seen, data))
        shared_wiretape.stop(name)

    assert seen == list(PIECES)
    assert answer.body == b"".join(PIECES)
    assert upstream.received[0].version == answer.proto
    (recorded,) = interactions(session.cassette.read_bytes())
    assert (recorded.response_body, recorded.uncompressed) == (answer.body, packed)


@BOTH_PROTOCOLS
def test_headers_are_there_before_the_body_is_sent(
    alpn: tuple[str, ...], shared_wiretape: Wiretape, new_name: Callable[[], str]
) -> None:
    gate = Gate("the headers at the client")

    def script(received: Received, reply: Reply) -> None:
        reply.head(200, [EVENT_STREAM])
        gate.wait()
        reply.data(b"data: late\n\n")
        reply.end()

    name = new_name()
    with Upstream(script, alpn=alpn) as upstream:
        session = shared_wiretape.start(name, *upstream.options())
        with _client(session) as client:
            answer = client.request("GET", URL, on_head=gate.open)
        shared_wiretape.stop(name)

    assert answer.body == b"data: late\n\n"


@BOTH_PROTOCOLS
def test_silent_stream_does_not_hold_up_another_client(
    alpn: tuple[str, ...], shared_wiretape: Wiretape, new_name: Callable[[], str]
) -> None:
    gate = Gate("the other client's whole answer")

    def script(received: Received, reply: Reply) -> None:
        if received.target.endswith("/silent"):
            reply.head(200, [EVENT_STREAM])
            reply.data(b"data: first\n\n")
            gate.wait()
            reply.end()
        else:
            pieces(200, [EVENT_STREAM], [b"data: quick\n\n"])(received, reply)

    def ask_meanwhile(_: bytes) -> None:
        with _client(session) as other:
            assert other.request("GET", URL + "/quick").body == b"data: quick\n\n"
        gate.open()

    name = new_name()
    with Upstream(script, alpn=alpn) as upstream:
        session = shared_wiretape.start(name, *upstream.options())
        with _client(session) as client:
            answer = client.request("GET", URL + "/silent", on_chunk=ask_meanwhile)
        shared_wiretape.stop(name)

    assert answer.body == b"data: first\n\n"
