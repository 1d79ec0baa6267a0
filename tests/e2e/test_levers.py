"""What only makes the proxy faster changes nothing else: the same traffic and the same journal without each lever.

A worker for each lever that is left out, for all and for none of them; what is asked of it and of its journal is the
same.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import h11
import pytest

from addons import levers
from cassette.journal import Kind
from cassette.segment_reader import SegmentReader
from tests.support.golike import GoLikeClient
from tests.support.h2peer import EventClient
from tests.support.journals import Session as Recorded
from tests.support.rawclient import Http1, tunnel
from tests.support.scripts import Framing, Gate, Received, Reply
from tests.support.slowdisk import SlowDisk
from tests.support.upstream import HTTP_1_ONLY, HTTP_2_FIRST, Upstream
from tests.support.waiting import until
from tests.support.wiretape import ROOT, Session

HOST = "api.openai.com"
URL = f"https://{HOST}/v1"
EVENTS = [b"data: %d\n\n" % number for number in range(20)]
LARGE = 16 << 20
BLOCK = b"x" * 65536


class Answers:
    """What the upstream says, by the request's path."""

    def __init__(self) -> None:
        self.sent = 0
        self.gates: list[Gate] = []

    def __call__(self, request: Received, reply: Reply) -> None:
        getattr(self, request.target.rsplit("/", 1)[1])(request, reply)

    def small(self, request: Received, reply: Reply) -> None:
        reply.head(200, [("Content-Length", str(len(request.body)))])
        reply.data(request.body)
        reply.end()

    def stream(self, _request: Received, reply: Reply) -> None:
        reply.head(200, [("Content-Type", "text/event-stream")])
        for event, gate in zip(EVENTS, self.gates, strict=True):
            reply.data(event)
            gate.wait()
        reply.end()

    def framed(self, _request: Received, reply: Reply) -> None:
        reply.head(200, [("Content-Length", "6")])
        reply.data(b"framed")
        reply.end()

    def trailers(self, _request: Received, reply: Reply) -> None:
        reply.head(200, [("Trailer", "X-Checksum")])
        for event in EVENTS:
            reply.data(event)
        reply.end([("x-checksum", "abc")])

    def cut(self, _request: Received, reply: Reply) -> None:
        """End in the middle of a chunk."""
        reply.raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n")
        reply.raw(b"6\r\nsec")
        reply.leave()

    def broken(self, _request: Received, reply: Reply) -> None:
        """Put the wrong thing behind a chunk's head."""
        reply.raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n")
        reply.raw(b"4\r\nmore\r\nnothing\r\n\r\n")
        self.gates[0].wait()

    def split(self, _request: Received, reply: Reply) -> None:
        """Send chunks byte by byte, extensions and odd sizes too."""
        body = b"4\r\nbody\r\n0003;name=value\r\nand\r\nA \r\n0123456789\r\n0\r\n\r\n"
        reply.raw(b"HTTP/1.1 200 OK\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n")
        for at in range(len(body)):
            reply.raw(body[at : at + 1])

    def endless(self, _request: Received, reply: Reply) -> None:
        reply.head(200, framing=Framing.EOF)
        for event in EVENTS:
            reply.data(event)
        reply.end()

    def reset(self, _request: Received, reply: Reply) -> None:
        reply.head(200, [("Content-Type", "text/event-stream")])
        reply.data(EVENTS[0])
        self.gates[0].wait()
        reply.reset()

    def large(self, _request: Received, reply: Reply) -> None:
        reply.head(200, [("Content-Length", str(LARGE))])
        for _ in range(LARGE // len(BLOCK)):
            reply.data(BLOCK)
            self.sent += len(BLOCK)
        reply.end()


class Proxied:
    """A worker, its upstream and its journal."""

    def __init__(self, disk: SlowDisk, folder: Path, answers: Answers) -> None:
        self._disk = disk
        self._folder = folder
        self._number = 0
        self.answers = answers

    @contextlib.contextmanager
    def session(self) -> Iterator[tuple[Session, Recorded]]:
        """Open a session of its own; behind the block its journal is complete."""
        self._number += 1
        recorded = Recorded(self._folder, name=f"s{self._number}")
        session = self._disk.open(recorded)
        try:
            yield session, recorded
        finally:
            counts = self._disk.close(recorded)
        assert counts["failed"] == 0


@pytest.fixture(
    scope="module", params=["none", *levers.NAMES, levers.ALL], ids=lambda name: f"without-{name}"
)
def worker(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Proxied, Proxied]]:
    """Proxied HTTP/1.1 and HTTP/2 upstreams, a worker for each, without what the parameter names."""
    with pytest.MonkeyPatch.context() as patch, contextlib.ExitStack() as stack:
        patch.setenv(levers.VARIABLE, request.param)
        both = []
        for alpn in (HTTP_1_ONLY, HTTP_2_FIRST):
            answers, folder = Answers(), tmp_path_factory.mktemp("worker")
            upstream = stack.enter_context(Upstream(answers, alpn=alpn))
            disk = stack.enter_context(SlowDisk(folder, upstream.connect_to()))
            both.append(Proxied(disk, folder, answers))
        yield both[0], both[1]


@pytest.fixture
def http1(worker: tuple[Proxied, Proxied]) -> Proxied:
    return worker[0]


@pytest.fixture(params=[0, 1], ids=["http1", "http2"])
def either(worker: tuple[Proxied, Proxied], request: pytest.FixtureRequest) -> Proxied:
    return worker[request.param]


def of(recorded: Recorded) -> list[tuple[str, bytes]]:
    """Return what the journal holds of responses, but for their heads; and of failures the outcome alone."""
    reader = SegmentReader(recorded.directory, "w1")
    found = []
    for record, _, _ in reader.records():
        kind = Kind(record.kind)
        if kind in (Kind.RESPONSE_DATA, Kind.RESPONSE_END, Kind.DROPPED):
            found.append((kind.name, bytes(record.payload)))
        elif kind is Kind.FAILED:
            found.append((kind.name, bytes(record.payload).split(b'"')[1]))
    reader.close()
    return found


def body(recorded: Recorded) -> bytes:
    return b"".join(data for kind, data in of(recorded) if kind == "RESPONSE_DATA")


def client_of(session: Session) -> GoLikeClient:
    return GoLikeClient(proxy=session.proxy, ca_file=session.bundle)


def raw(session: Session, path: str) -> Http1:
    client = Http1(tunnel(session, HOST))
    client.send(f"GET /v1/{path} HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode())
    return client


def test_each_piece_is_there_before_the_next_and_is_a_record_of_its_own(either: Proxied) -> None:
    gates = either.answers.gates = [Gate(f"piece {number}") for number in range(len(EVENTS))]
    seen: list[bytes] = []

    def have(data: bytes) -> None:
        seen.append(data)
        gates[b"".join(seen).count(b"\n\n") - 1].open()

    with either.session() as (session, recorded), client_of(session) as client:
        answer = client.request("GET", f"{URL}/stream", [("Accept-Encoding", "identity")], on_chunk=have)
    assert answer.body == b"".join(EVENTS)
    assert of(recorded) == [*(("RESPONSE_DATA", event) for event in EVENTS), ("RESPONSE_END", b"")]


def test_many_requests_go_over_one_connection(either: Proxied) -> None:
    bodies = [b"request %d " % number * (number * 40) for number in range(16)]
    with either.session() as (session, recorded), client_of(session) as client:
        for one in bodies:
            assert client.request("POST", f"{URL}/small", body=one).body == one
    assert body(recorded) == b"".join(bodies)
    assert [kind for kind, _ in of(recorded)].count("RESPONSE_END") == len(bodies)


def test_requests_sent_ahead_are_answered_in_turn(http1: Proxied) -> None:
    with http1.session() as (session, recorded):
        client = Http1(tunnel(session, HOST))
        client.sock.settimeout(10)
        ahead = [
            f"GET /v1/{path} HTTP/1.1\r\nHost: {HOST}\r\n\r\n" for path in ("trailers", "framed", "small")
        ]
        client.send("".join(ahead).encode())
        assert client.until(b"x-checksum: abc\r\n\r\n").startswith(b"HTTP/1.1 200")
        assert client.answer().body == b"framed"
        assert client.answer().body == b""
        client.close()
    assert [kind for kind, _ in of(recorded)].count("RESPONSE_END") == len(ahead)


def test_trailers_are_passed_on_and_recorded(http1: Proxied) -> None:
    with http1.session() as (session, recorded):
        client = raw(session, "trailers")
        assert client.until(b"x-checksum: abc\r\n\r\n").endswith(b"\r\n0\r\nx-checksum: abc\r\n\r\n")
        client.close()
    assert body(recorded) == b"".join(EVENTS)
    assert of(recorded)[-1] == ("RESPONSE_END", b'[["x-checksum","abc"]]')


def test_chunks_in_any_shape_are_read(http1: Proxied) -> None:
    with http1.session() as (session, recorded), client_of(session) as client:
        assert client.request("GET", f"{URL}/split").body == b"bodyand0123456789"
    assert body(recorded) == b"bodyand0123456789"
    assert of(recorded)[-1] == ("RESPONSE_END", b"")


@pytest.mark.parametrize(("path", "whole"), [("cut", b"bodysec"), ("broken", b"bodymore")])
def test_body_that_breaks_off_has_no_end(path: str, whole: bytes, http1: Proxied) -> None:
    gates = http1.answers.gates = [Gate("the client's end")]
    with http1.session() as (session, recorded):
        client = raw(session, path)
        with pytest.raises(OSError, match=r"(?i)closed|EOF"):
            client.until(b"0\r\n\r\n")
        client.close()
        gates[0].open()
    assert body(recorded) == whole
    assert of(recorded)[-1] == ("FAILED", b"TRUNCATED")


def test_body_that_ends_with_the_connection_is_whole(http1: Proxied) -> None:
    with http1.session() as (session, recorded):
        client = raw(session, "endless")
        assert client.rest().endswith(b"".join(EVENTS))
        client.close()
    assert body(recorded) == b"".join(EVENTS)
    assert of(recorded)[-1] == ("RESPONSE_END", b"")


def test_reset_reaches_the_client(either: Proxied) -> None:
    gates = either.answers.gates = [Gate("the first piece at the client")]
    broken = pytest.raises((OSError, h11.RemoteProtocolError), match=r"(?i)closed|reset")
    with either.session() as (session, recorded), client_of(session) as client, broken:
        client.request("GET", f"{URL}/reset", on_chunk=lambda _data: gates[0].open())
    assert body(recorded) == EVENTS[0]
    assert of(recorded)[-1][0] == "FAILED"


def test_client_that_leaves_ends_the_recording(http1: Proxied) -> None:
    gates = http1.answers.gates = [Gate("the client to be gone") for _ in EVENTS]
    with http1.session() as (session, recorded):
        client = raw(session, "stream")
        client.until(EVENTS[0])
        client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()
        until("its end in the journal", lambda: of(recorded)[-1][0] == "FAILED")
        for gate in gates:
            gate.open()
    assert of(recorded)[-1] == ("FAILED", b"CLIENT_LEFT")


def test_client_that_does_not_read_makes_the_upstream_wait(http1: Proxied) -> None:
    with http1.session() as (session, recorded):
        http1.answers.sent = 0
        client = raw(session, "large")
        client.sock.settimeout(30)

        def nothing_moves() -> bool:
            had = http1.answers.sent
            with client_of(session) as other:
                for _ in range(10):
                    assert other.request("POST", f"{URL}/small", body=b"other").body == b"other"
            return 0 < had == http1.answers.sent

        until("the upstream to wait", nothing_moves)
        assert http1.answers.sent < LARGE
        assert len(client.answer().body) == LARGE
        client.close()
    assert len(body(recorded)) - of(recorded).count(("RESPONSE_DATA", b"other")) * 5 == LARGE


def test_streams_of_one_http2_connection_do_not_wait_for_each_other(worker: tuple[Proxied, Proxied]) -> None:
    proxied = worker[1]
    gates = proxied.answers.gates = [Gate(f"piece {number}") for number in range(len(EVENTS))]
    with proxied.session() as (session, recorded):
        client = EventClient(tunnel(session, HOST, alpn=("h2",)))
        slow = client.begin("/v1/stream")
        client.until(lambda: client.received.get(slow))
        for gate in gates:
            assert client.received[client.ask("/v1/trailers")] == len(b"".join(EVENTS))
            gate.open()
        client.until(lambda: client.has_ended(slow))
        assert client.received[slow] == len(b"".join(EVENTS))
        client.close()
    assert [kind for kind, _ in of(recorded)].count("RESPONSE_END") == len(EVENTS) + 1


def test_every_lever_finds_mitmproxy_as_it_expects_it() -> None:
    script = "from addons import compat; compat.install()"
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert "compat.unavailable" not in done.stderr
