"""Replay through a real mitmproxy: the addons and the loopback, real clients, an upstream that must stay alone."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
import zlib
from typing import Any

import pytest
from mitmproxy.proxy.layers.http import HttpStream

from addons.playback import Playback
from addons.player import Missed, Playable
from tests.support import rawclient
from tests.support.replay_fixtures import BOTH, JSON, URL, client, tunnel
from tests.support.replay_fixtures import alone as alone
from tests.support.replay_fixtures import proxy as proxy
from tests.support.replay_fixtures import running as running
from tests.support.replay_fixtures import upstream as upstream
from tests.support.replaying import LISTED, ReplayingProxy, ScriptedPlayer
from tests.support.responses import JSON_LINES, TEXT, response
from tests.support.scripts import Gate
from tests.support.talk import SSE
from tests.support.upstream import HTTP_1_ONLY, HTTP_2_FIRST
from tests.support.waiting import until

EVENTS = (b"data: one\n\n", b"data: two\n\n", b"data: three\n\n", b"data: [DONE]\n\n")
A_DAY_NS = 86_400 * 10**9


@BOTH
@pytest.mark.parametrize(
    ("body", "content_type", "expected"),
    [
        (b"".join(EVENTS), SSE, list(EVENTS)),
        (b'{"a":1}\n{"b":2}\n', JSON_LINES, [b'{"a":1}\n', b'{"b":2}\n']),
        (b'{"a": 1}', JSON, [b'{"a": 1}']),
    ],
    ids=["sse", "json-lines", "json"],
)
@pytest.mark.usefixtures("alone")
def test_each_event_reaches_the_client_as_a_piece_of_its_own(
    proxy: ReplayingProxy, alpn: tuple[str, ...], body: bytes, content_type: str, expected: list[bytes]
) -> None:
    proxy.play(Playable(response(body, content_type)))
    seen: list[bytes] = []
    with client(proxy, alpn) as go:
        answer = go.request("POST", URL, body=b"{}", on_chunk=seen.append)
    assert seen == expected
    assert (answer.status, answer.body, answer.header("content-type")) == (200, body, content_type)
    assert answer.proto == ("HTTP/2.0" if alpn is HTTP_2_FIRST else "HTTP/1.1")


@BOTH
@pytest.mark.usefixtures("alone")
def test_a_piece_is_at_the_client_before_the_next_one_is_due(
    proxy: ReplayingProxy, alpn: tuple[str, ...]
) -> None:
    # The head, each event, and the end wait for a gate; the client opens the next one with what it has got.
    gates = [Gate(f"write {number}") for number in range(len(EVENTS) + 2)]
    waiting = iter(gates)

    async def pause(nanoseconds: int) -> None:
        assert nanoseconds > 0
        await asyncio.get_running_loop().run_in_executor(None, next(waiting).wait)

    recorded = response(b"".join(EVENTS), SSE, duration_ns=A_DAY_NS)
    player = proxy.play(Playable(recorded), pause=pause)
    player.factor = 1
    seen: list[bytes] = []

    def got(data: bytes) -> None:
        seen.append(data)
        gates[len(seen) + 1].open()

    gates[0].open()
    with client(proxy, alpn) as go:
        answer = go.request("POST", URL, body=b"{}", on_head=gates[1].open, on_chunk=got)
    assert seen == list(EVENTS)
    assert answer.body == recorded.body


@BOTH
@pytest.mark.usefixtures("alone")
def test_times_count_from_when_the_request_came_and_not_from_when_it_was_matched(
    proxy: ReplayingProxy, alpn: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    moments: list[int] = []
    register = proxy.loopback.register

    class Clocked(ScriptedPlayer):
        def take(self, *asked: Any) -> Playable | Missed:
            moments.append(time.monotonic_ns())
            return super().take(*asked)

    def registered(playback: Playback) -> str:
        moments.append(playback.started_ns)
        return register(playback)

    proxy.play()
    proxy.player = Clocked(script=[Playable(response(b"{}", JSON))])
    monkeypatch.setattr(proxy.loopback, "register", registered)
    asked_ns = time.monotonic_ns()
    with client(proxy, alpn) as go:
        go.request("POST", URL, body=b"{}")
    matched_ns, started_ns = moments
    assert asked_ns < started_ns < matched_ns


@BOTH
@pytest.mark.usefixtures("alone")
def test_the_player_is_asked_with_the_request_as_the_client_sent_it(
    proxy: ReplayingProxy, alpn: tuple[str, ...]
) -> None:
    player = proxy.play(Playable(response(b"{}", JSON)))
    url = f"https://{LISTED}/v1/models?key=a%20b&x="
    with client(proxy, alpn) as go:
        go.request("POST", url, [("Authorization", "Bearer " + "k" * 20)], b'{"stream": true}')
    (taken,) = player.taken
    assert (taken.method, taken.url, taken.body) == ("POST", url, b'{"stream": true}')
    assert ("authorization", "Bearer " + "k" * 20) in [(name.lower(), value) for name, value in taken.headers]


@BOTH
@pytest.mark.usefixtures("alone")
def test_requests_on_one_connection_get_one_answer_after_the_other(
    proxy: ReplayingProxy, alpn: tuple[str, ...]
) -> None:
    bodies = [b"first", b"", b"third"]
    proxy.play(*(Playable(response(body, TEXT, content_length=len(body))) for body in bodies))
    with client(proxy, alpn) as go:
        answers = [go.request("POST", URL, body=b"{}") for _ in bodies]
    assert [answer.body for answer in answers] == bodies
    assert [answer.header("content-length") for answer in answers] == ["5", "0", "5"]


@BOTH
@pytest.mark.usefixtures("alone")
def test_a_miss_is_explained_and_not_tried_again(proxy: ReplayingProxy, alpn: tuple[str, ...]) -> None:
    proxy.play(
        Missed("no recorded interaction matches; the nearest differs in its body"), Playable(response())
    )
    with client(proxy, alpn) as go:
        answer = go.request("POST", URL, body=b"{}")
        assert go.request("POST", URL, body=b"{}").status == 200
    assert answer.status == 501
    assert answer.header("wiretape-error") == "replay_miss"
    assert answer.header("x-should-retry") == "false"
    error = json.loads(answer.body)["error"]
    assert error["message"] == "wiretape: no recorded interaction matches; the nearest differs in its body"
    assert error["code"] == "replay_miss"


@pytest.mark.usefixtures("alone")
def test_a_miss_of_a_head_request_leaves_the_connection_usable(proxy: ReplayingProxy) -> None:
    proxy.play(Missed("nothing"), Playable(response(b"next", TEXT)))
    http = tunnel(proxy)
    assert http.ask("HEAD", "/v1/models").status == 501
    assert http.ask("GET", "/v1/models").body == b"next"
    http.close()


@BOTH
@pytest.mark.parametrize(
    ("code", "status", "headers"),
    [
        (429, "429 Too Many Requests", {"Retry-After": ("7",), "X-Ratelimit-Remaining-Requests": ("0",)}),
        (400, "400 Bad Request", {}),
        (529, "529 Overloaded Today", {"Request-Id": ("req_1",)}),
    ],
)
@pytest.mark.usefixtures("alone")
def test_errors_are_replayed_with_their_status_and_headers(
    proxy: ReplayingProxy,
    alpn: tuple[str, ...],
    code: int,
    status: str,
    headers: dict[str, tuple[str, ...]],
) -> None:
    body = b'{"error": {"message": "slow down"}}'
    proxy.play(Playable(response(body, JSON, code, status, headers, content_length=len(body))))
    with client(proxy, alpn) as go:
        answer = go.request("POST", URL, body=b"{}")
    assert (answer.status, answer.body) == (code, body)
    expected = {"content-type": JSON, "content-length": str(len(body))}
    expected |= {name.lower(): values[0] for name, values in headers.items()}
    assert {name.lower(): value for name, value in answer.headers} == expected


@pytest.mark.usefixtures("alone")
def test_the_recorded_reason_stands_in_the_status_line(proxy: ReplayingProxy) -> None:
    proxy.play(Playable(response(b"{}", JSON, 429, "429 Slow Down", content_length=2)))
    http = tunnel(proxy)
    http.send(f"GET /v1/models HTTP/1.1\r\nHost: {LISTED}\r\n\r\n".encode())
    assert http.until(b"\r\n") == b"HTTP/1.1 429 Slow Down\r\n"
    http.close()


@BOTH
@pytest.mark.usefixtures("alone")
def test_answers_without_a_body_leave_the_connection_usable(
    proxy: ReplayingProxy, alpn: tuple[str, ...]
) -> None:
    proxy.play(
        Playable(response(b"", TEXT, content_length=42)),
        Playable(response(code=204, status="204 No Content", content_length=0)),
        Playable(response(code=304, status="304 Not Modified", content_length=0)),
        Playable(response(b"and on", TEXT)),
    )
    if alpn is HTTP_2_FIRST:
        session = proxy.as_session
        http2 = rawclient.Http2(rawclient.tunnel(session, LISTED, alpn=["h2"]))
        answers = [http2.ask(method, "/v1/x") for method in ("HEAD", "DELETE", "GET", "GET")]
        http2.close()
    else:
        http1 = tunnel(proxy)
        answers = [http1.ask(method, "/v1/x") for method in ("HEAD", "DELETE", "GET", "GET")]
        http1.close()
    assert [answer.status for answer in answers] == [200, 204, 304, 200]
    assert [answer.header("content-length") for answer in answers] == ["42", None, None, None]
    assert [answer.body for answer in answers] == [b"", b"", b"", b"and on"]


@pytest.mark.parametrize("head", ["HTTP/1.0\r\n", f"HTTP/1.1\r\nHost: {LISTED}\r\nConnection: close\r\n"])
@pytest.mark.usefixtures("alone")
def test_a_client_that_wants_the_end_of_the_connection_gets_it(proxy: ReplayingProxy, head: str) -> None:
    proxy.play(Playable(response(b"".join(EVENTS), SSE)))
    http = tunnel(proxy)
    http.send(f"GET /v1/models {head}\r\n".encode())
    answer, body = http.until(b"\r\n\r\n"), http.rest()
    if "1.0" in head:
        assert b"chunked" not in answer
        assert body == b"".join(EVENTS)
    else:
        assert body.endswith(b"\r\n0\r\n\r\n")
    http.close()


@BOTH
@pytest.mark.parametrize(
    ("asked", "allowed", "coded"),
    [
        ("gzip, br", True, "gzip"),
        ("gzip", False, None),
        ("br", True, None),
        ("gzip;q=0, *", True, None),
        ("*", True, "gzip"),
    ],
)
@pytest.mark.usefixtures("alone")
def test_a_body_is_compressed_if_the_client_asks_and_the_session_allows(
    proxy: ReplayingProxy, alpn: tuple[str, ...], asked: str, allowed: bool, coded: str | None
) -> None:
    proxy.play(Playable(response(b"".join(EVENTS), SSE))).compresses = allowed
    with client(proxy, alpn) as go:
        answer = go.request("POST", URL, [("Accept-Encoding", asked)], b"{}")
    assert answer.header("content-encoding") == coded
    body = zlib.decompress(answer.body, wbits=31) if coded else answer.body
    assert body == b"".join(EVENTS)


@BOTH
@pytest.mark.usefixtures("alone")
def test_each_event_of_a_compressed_stream_can_be_read_when_it_comes(
    proxy: ReplayingProxy, alpn: tuple[str, ...]
) -> None:
    body, kept = b"".join(EVENTS), {"Vary": ("Origin", "Accept-Encoding"), "X-Two": ("a", "b")}
    proxy.play(Playable(response(body, SSE, headers=kept, content_length=len(body)))).compresses = True
    unpacker = zlib.decompressobj(wbits=31)
    seen: list[bytes] = []
    with client(proxy, alpn) as go:
        answer = go.request(
            "POST",
            URL,
            [("Accept-Encoding", "identity;q=0, gzip;q=0.1")],
            b"{}",
            on_chunk=lambda data: seen.append(unpacker.decompress(data)),
        )
    assert [data for data in seen if data] == list(EVENTS)
    assert unpacker.eof
    told = {(name.lower(), value) for name, value in answer.headers} - {("transfer-encoding", "chunked")}
    recorded = {(name.lower(), value) for name, values in kept.items() for value in values}
    assert told == recorded | {("content-type", SSE), ("content-encoding", "gzip")}


@pytest.mark.usefixtures("alone")
def test_trailers_reach_clients_that_speak_http_2(proxy: ReplayingProxy) -> None:
    proxy.play(Playable(response(b"x", TEXT, trailer={"Grpc-Status": ("0",)})))
    with client(proxy, HTTP_2_FIRST) as go:
        assert go.request("POST", URL, body=b"{}").trailers == (("grpc-status", "0"),)


@pytest.mark.usefixtures("alone")
def test_trailers_do_not_harm_clients_that_cannot_have_them(proxy: ReplayingProxy) -> None:
    proxy.play(Playable(response(b"x", TEXT, trailer={"Grpc-Status": ("0",)})))
    with client(proxy, HTTP_1_ONLY) as go:
        answer = go.request("POST", URL, body=b"{}")
    assert (answer.body, answer.trailers) == (b"x", ())


@BOTH
@pytest.mark.usefixtures("alone")
def test_playing_stops_when_the_client_leaves(proxy: ReplayingProxy, alpn: tuple[str, ...]) -> None:
    stopped = threading.Event()
    pauses = 0

    async def pause(_: int) -> None:
        nonlocal pauses
        pauses += 1
        if pauses > 2:  # the head and the first event are out
            try:
                await asyncio.Event().wait()
            finally:
                stopped.set()

    player = proxy.play(Playable(response(b"".join(EVENTS), SSE, duration_ns=A_DAY_NS)), pause=pause)
    player.factor = 1
    session = proxy.as_session
    if alpn is HTTP_2_FIRST:
        http2 = rawclient.Http2(rawclient.tunnel(session, LISTED, alpn=["h2"]))
        stream = http2.begin("GET", "/v1/x")
        http2.until(stream, EVENTS[0])
        http2.cancel(stream)
        until("the stream to be stopped", stopped.is_set)
        http2.close()
    else:
        http1 = tunnel(proxy)
        http1.send(f"GET /v1/x HTTP/1.1\r\nHost: {LISTED}\r\n\r\n".encode())
        http1.until(EVENTS[0])
        http1.close()
        until("the stream to be stopped", stopped.is_set)


@pytest.mark.usefixtures("alone")
def test_many_streams_of_one_connection_play_at_the_same_time(proxy: ReplayingProxy) -> None:
    streams = 20
    held = 0
    go_on = asyncio.Event()

    async def pause(_: int) -> None:
        nonlocal held
        if not go_on.is_set():
            held += 1
            if held == streams:  # every one of them is at its head
                go_on.set()
            await go_on.wait()

    proxy.play(*(Playable(response(b"%d" % number, TEXT)) for number in range(streams)), pause=pause)
    http2 = rawclient.Http2(rawclient.tunnel(proxy.as_session, LISTED, alpn=["h2"]))
    begun = [http2.begin("GET", "/v1/x") for _ in range(streams)]
    assert sorted(int(http2.answer(stream).body) for stream in begun) == list(range(streams))
    http2.close()


@pytest.mark.usefixtures("alone")
def test_a_loopback_that_breaks_off_is_the_hosts_fault_and_not_127_0_0_1(proxy: ReplayingProxy) -> None:
    async def pause(_: int) -> None:
        for connection in list(proxy.loopback._connections):
            connection.abort()
        await asyncio.sleep(0)

    proxy.play(Playable(response(b"{}", JSON)), pause=pause)
    with client(proxy, HTTP_1_ONLY) as go:
        answer = go.request("POST", URL, [("Content-Type", JSON)], b"{}")
    assert answer.status == 502
    assert LISTED in json.loads(answer.body)["error"]["message"]


@pytest.mark.usefixtures("alone")
def test_a_loopback_that_cannot_be_reached_leaves_no_playback_behind(
    proxy: ReplayingProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        monkeypatch.setattr(proxy.loopback, "address", closed.getsockname())
        proxy.play(Playable(response(b"{}", JSON)))
        with client(proxy, HTTP_1_ONLY) as go:
            assert go.request("POST", URL, body=b"{}").status == 502


@BOTH
@pytest.mark.parametrize("sealed", [True, False])
@pytest.mark.usefixtures("alone")
def test_a_body_past_the_limit_is_let_go_and_answered_with_413(
    proxy: ReplayingProxy, alpn: tuple[str, ...], *, sealed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    player = proxy.play(Playable(response(b"{}", JSON)))
    player.max_body, player.sealed = 100_000, sealed
    held: list[int] = []
    consume = HttpStream.state_consume_request_body

    def watched(self: HttpStream, event: Any) -> Any:
        yield from consume(self, event)
        held.append(len(self.request_body_buf))

    monkeypatch.setattr(HttpStream, "state_consume_request_body", watched)
    with client(proxy, alpn) as go:
        answer = go.request("POST", URL, body=bytes(3_000_000))
        assert (answer.status, answer.header("wiretape-error")) == (413, "request_too_long")
        assert "is too long" in json.loads(answer.body)["error"]["message"]
        assert go.request("POST", URL, body=bytes(100_000)).status == 200
    assert 0 < max(held) <= 100_000
    assert [len(taken.body) for taken in player.taken] == [100_000]
