"""Ordinary traffic through a session: every framing and coding arrives as it was sent and is recorded."""

from __future__ import annotations

import functools
import gzip
import hashlib
import zlib
from collections.abc import Callable, Iterator

import brotli
import pytest
import zstandard

from tests.support.door import Door
from tests.support.golike import GoLikeClient
from tests.support.inprocess import InProcess, shared_daemon
from tests.support.rawclient import Http1, Http2, tunnel
from tests.support.recorded import interactions
from tests.support.scripts import Framing, Gate, Received, Reply, gzip_pieces, pieces, whole
from tests.support.upstream import HTTP_1_ONLY, HTTP_2_FIRST, Upstream
from tests.support.waiting import until
from tests.support.wiretape import Session

HOST = "api.openai.com"
URL = f"https://{HOST}/v1/chat/completions"
JSON = ("Content-Type", "application/json")
TEXT = b'{"id":"1","choices":[]}' * 20
BOTH_PROTOCOLS = pytest.mark.parametrize("alpn", [HTTP_1_ONLY, HTTP_2_FIRST], ids=["http1", "http2"])


@pytest.fixture(scope="module")
def wiretape(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InProcess]:
    with shared_daemon(tmp_path_factory, "traffic") as command:
        yield command


def _client(session: Session) -> GoLikeClient:
    return GoLikeClient(proxy=session.proxy, ca_file=session.bundle)


def _echo(received: Received, reply: Reply) -> None:
    whole(200, [("Content-Type", "application/octet-stream")], received.body)(received, reply)


@BOTH_PROTOCOLS
def test_requests_on_one_connection_are_recorded_in_order(alpn: tuple[str, ...], wiretape: InProcess) -> None:
    bodies = [b"%d" % number * 1000 for number in range(5)]
    with Upstream(_echo, alpn=alpn) as upstream:
        session = wiretape.open(*upstream.options())
        with _client(session) as client:
            answers = [client.request("POST", URL, (), body) for body in bodies]
        summary = wiretape.close(session)
        assert upstream.connections == 1

    assert [answer.body for answer in answers] == bodies
    recorded = interactions(session.cassette.read_bytes())
    assert [(one.request_body, one.response_body) for one in recorded] == [(body, body) for body in bodies]
    assert [one.url for one in recorded] == [URL] * 5
    assert (summary["interactions"], summary["interrupted"], summary["passed"]) == (5, 0, 0)


@BOTH_PROTOCOLS
@pytest.mark.parametrize("chunked", [False, True], ids=["known-length", "unknown-length"])
def test_request_body_arrives_with_its_framing(
    alpn: tuple[str, ...], chunked: bool, wiretape: InProcess
) -> None:
    body = b"a line of the request\n" * 10_000
    with Upstream(_echo, alpn=alpn) as upstream:
        session = wiretape.open(*upstream.options())
        with _client(session) as client:
            assert client.request("POST", URL, [JSON], body, chunked=chunked).body == body
        wiretape.close(session)

    (received,) = upstream.received
    assert received.header("content-length") == (None if chunked else str(len(body)))
    (one,) = interactions(session.cassette.read_bytes())
    assert (one.request_body, one.request_length) == (body, 0 if chunked else len(body))


@BOTH_PROTOCOLS
def test_answers_without_a_body_are_recorded(alpn: tuple[str, ...], wiretape: InProcess) -> None:
    def script(received: Received, reply: Reply) -> None:
        match received.target:
            case "/head":
                reply.head(200, [("Content-Length", "1234")], end=True)
            case "/204":
                reply.head(204, end=True)
            case "/empty":
                reply.head(200, [("Content-Length", "0")], end=True)
            case _:
                reply.head(200, [("Content-Type", "text/event-stream")])
                reply.end()

    with Upstream(script, alpn=alpn) as upstream:
        session = wiretape.open(*upstream.options())
        base = f"https://{HOST}"
        with _client(session) as client:
            if "h2" not in alpn:  # that client waits for the body that Content-Length speaks of
                raw = Http1(tunnel(session, HOST))
                assert raw.ask("HEAD", "/head").header("content-length") == "1234"
                assert raw.ask("GET", "/204").status == 204
                raw.close()
            else:
                assert client.request("HEAD", f"{base}/head").header("content-length") == "1234"
                assert client.request("GET", f"{base}/204").status == 204
            assert client.request("GET", f"{base}/empty").body == b""
            assert client.request("GET", f"{base}/no-events").body == b""
        wiretape.close(session)

    recorded = interactions(session.cassette.read_bytes())
    assert [(one.method, one.code, one.response_body) for one in recorded] == [
        ("HEAD", 200, b""),
        ("GET", 204, b""),
        ("GET", 200, b""),
        ("GET", 200, b""),
    ]
    assert recorded[0].response_length == 1234


def _raw_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(data) + packer.flush()


_CODINGS: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "gzip": ("gzip", functools.partial(gzip.compress, mtime=0)),
    "br": ("br", brotli.compress),
    "zstd": ("zstd", zstandard.ZstdCompressor().compress),
    "deflate": ("deflate", zlib.compress),
    "raw-deflate": ("deflate", _raw_deflate),
}


@BOTH_PROTOCOLS
def test_coded_bodies_reach_the_client_as_sent_and_the_cassette_as_text(
    alpn: tuple[str, ...], wiretape: InProcess
) -> None:
    def script(received: Received, reply: Reply) -> None:
        coding, pack = _CODINGS[received.target[1:]]
        whole(200, [JSON, ("Content-Encoding", coding)], pack(TEXT))(received, reply)

    with Upstream(script, alpn=alpn) as upstream:
        session = wiretape.open(*upstream.options())
        with _client(session) as client:
            accept = [("Accept-Encoding", "gzip, br, zstd, deflate")]
            answers = [client.request("GET", f"https://{HOST}/{name}", accept) for name in _CODINGS]
        wiretape.close(session)

    for answer, (coding, pack) in zip(answers, _CODINGS.values(), strict=True):
        assert (answer.header("content-encoding"), answer.body) == (coding, pack(TEXT))
    recorded = interactions(session.cassette.read_bytes())
    assert [(one.response_body, one.uncompressed) for one in recorded] == [(TEXT, True)] * len(_CODINGS)


def test_broken_gzip_is_recorded_as_it_came(wiretape: InProcess) -> None:
    broken = gzip.compress(TEXT, mtime=0)[:-9] + b"\xff" * 9
    with Upstream(whole(200, [JSON, ("Content-Encoding", "gzip")], broken)) as upstream:
        session = wiretape.open(*upstream.options())
        with _client(session) as client:
            answer = client.request("GET", URL, [("Accept-Encoding", "gzip")])
        summary = wiretape.close(session)

    assert answer.body == broken
    (one,) = interactions(session.cassette.read_bytes())
    assert (one.response_body, one.uncompressed) == (broken, False)
    assert summary["not_recorded"]["failed"] == 0


@BOTH_PROTOCOLS
def test_large_bodies_are_exact_both_ways(alpn: tuple[str, ...], wiretape: InProcess) -> None:
    block = b"".join(hashlib.sha256(b"%d" % number).digest() for number in range(1 << 13))
    large = block * 80  # 20 MiB, text enough for no YAML scalar
    with Upstream(_echo, alpn=alpn) as upstream:
        session = wiretape.open(*upstream.options())
        with _client(session) as client:
            answer = client.request("POST", URL, (), large)
        wiretape.close(session)

    assert len(answer.body) == len(large) == 20 << 20
    assert answer.body == large
    (one,) = interactions(session.cassette.read_bytes())
    assert one.request_body == large
    assert one.response_body == large


def test_body_past_max_body_passes_and_is_not_recorded(wiretape: InProcess) -> None:
    config = wiretape.folder / "small.yaml"
    config.write_text("limits: {max_body: 1MB}\n")
    large, small = b"x" * 1_000_001, b"y" * 1_000_000
    with Upstream(_echo) as upstream:
        session = wiretape.open(*upstream.options(), f"--config={config}")
        with _client(session) as client:
            assert client.request("POST", URL, (), large).body == large
            assert client.request("POST", URL, (), small).body == small
        said = wiretape.run("stop", session.name).stdout.decode()

    (one,) = interactions(session.cassette.read_bytes())
    assert one.response_body == small
    assert "1 body past max_body, not recorded" in said
    assert f"record.too_long session={session.name}" in wiretape.log


@pytest.mark.parametrize("alpn", [HTTP_2_FIRST, HTTP_1_ONLY], ids=["upstream-http2", "upstream-http1"])
def test_streams_on_one_http2_connection_are_served_at_the_same_time(
    alpn: tuple[str, ...], wiretape: InProcess
) -> None:
    count = 32
    everyone = Gate("all requests at the upstream")
    upstream_box: list[Upstream] = []

    def script(received: Received, reply: Reply) -> None:
        if len(upstream_box[0].received) >= count:
            everyone.open()
        everyone.wait()
        pieces(200, [("Content-Type", "text/event-stream")], [b"data: ", received.body, b"\n\n"])(
            received, reply
        )

    with Upstream(script, alpn=alpn) as upstream, Door(upstream.port) as door:
        upstream_box.append(upstream)
        session = wiretape.open(f"--upstream-ca={upstream.ca_file}", f"--connect-to={door.connect_to()}")
        # Where the upstream cannot be asked first, a client may speak HTTP/2 to one that does not.
        client = Http2(tunnel(session, HOST, alpn=("h2",)))
        assert client.ask("GET", "/v1").status == 502
        door.open()
        streams = [client.begin("POST", "/v1", (), b"%03d" % number) for number in range(count)]
        answers = [client.answer(stream) for stream in streams]
        client.close()
        summary = wiretape.close(session)

    assert [answer.body for answer in answers] == [b"data: %03d\n\n" % number for number in range(count)]
    recorded = interactions(session.cassette.read_bytes())
    assert sorted(one.request_body for one in recorded) == [b"%03d" % number for number in range(count)]
    assert all(one.response_body == b"data: " + one.request_body + b"\n\n" for one in recorded)
    assert (summary["interactions"], summary["not_recorded"]["refused"]) == (count, 1)


@BOTH_PROTOCOLS
def test_event_stream_in_gzip_is_decoded_in_the_cassette_only(
    alpn: tuple[str, ...], wiretape: InProcess
) -> None:
    events = [b"data: one\n\n", b"data: two\n\n", b"data: [DONE]\n\n"]
    packed = gzip_pieces(events)
    headers = [("Content-Type", "text/event-stream"), ("Content-Encoding", "gzip")]
    with Upstream(pieces(200, headers, packed), alpn=alpn) as upstream:
        session = wiretape.open(*upstream.options())
        with _client(session) as client:
            answer = client.request("GET", URL, [("Accept-Encoding", "gzip, deflate")])
        wiretape.close(session)

    assert answer.body == b"".join(packed)
    (one,) = interactions(session.cassette.read_bytes())
    assert one.response_body == b"".join(events)


def test_body_that_ends_with_the_connection_is_recorded(wiretape: InProcess) -> None:
    script = pieces(200, [("Content-Type", "text/event-stream")], [b"data: 1\n\n"], Framing.EOF)
    with Upstream(script, alpn=HTTP_1_ONLY) as upstream:
        session = wiretape.open(*upstream.options())
        with _client(session) as client:
            assert client.request("GET", URL).body == b"data: 1\n\n"
        wiretape.close(session)

    (one,) = interactions(session.cassette.read_bytes())
    assert one.response_body == b"data: 1\n\n"


def test_status_counts_while_the_session_is_open(wiretape: InProcess) -> None:
    gate = Gate("the status while a stream is under way")

    def script(received: Received, reply: Reply) -> None:
        reply.head(200, [("Content-Type", "text/event-stream")])
        reply.data(b"data: first\n\n")
        gate.wait()
        reply.end()

    with Upstream(script, alpn=HTTP_1_ONLY) as upstream:
        session = wiretape.open(*upstream.options())
        client = Http1(tunnel(session, HOST))
        client.send(f"GET /v1 HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode())
        client.until(b"data: first\n\n")
        assert wiretape.session(session)["in_flight"] == 1
        gate.open()
        client.until(b"0\r\n\r\n")
        until("the interaction in the cassette", lambda: wiretape.session(session)["interactions"] == 1)
        assert wiretape.session(session)["in_flight"] == 0
        client.close()
        wiretape.close(session)
