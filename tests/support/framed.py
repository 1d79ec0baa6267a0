"""A worker before an HTTP/2 upstream whose frames a test writes, and what came of them at both ends."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import h2.events
import pytest

from addons import levers
from cassette.journal import Kind
from cassette.segment_reader import SegmentReader
from tests.support.h2peer import EventClient
from tests.support.h2streams import Streams
from tests.support.journals import Session as Recorded
from tests.support.rawclient import tunnel
from tests.support.scripts import Received, Reply
from tests.support.slowdisk import SlowDisk
from tests.support.upstream import HTTP_2_FIRST, Upstream
from tests.support.wiretape import Session

HOST = "api.openai.com"
FRAME = b"data: " + b"x" * 994
LARGE = 16 << 20
CUTS = pytest.mark.parametrize("cut_every", [0, 1, 7, 100], ids=["whole", "bytes", "sevens", "hundreds"])
BOTH_WAYS = pytest.mark.parametrize("left_out", ["none", "frames"], indirect=True)


@pytest.fixture(scope="module")
def left_out(request: pytest.FixtureRequest) -> Iterator[str]:
    """Say which lever is left out."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(levers.VARIABLE, request.param)
        yield request.param


class Answers:
    """An upstream's script that each test chooses anew."""

    def __init__(self) -> None:
        self.script: Streams | Large = Streams()

    def __call__(self, received: Received, reply: Reply) -> None:
        self.script(received, reply)


class Large:
    """Answers with a long body in small frames."""

    def __init__(self) -> None:
        self.sent = 0

    def __call__(self, received: Received, reply: Reply) -> None:
        reply.head(200)
        if received.target.endswith("/large"):
            for _ in range(LARGE // len(FRAME)):
                reply.data(FRAME)
                self.sent += len(FRAME)
        else:
            reply.data(FRAME)
        reply.end()


class Proxied:
    """A worker and its upstream."""

    def __init__(self, disk: SlowDisk, folder: Path, answers: Answers) -> None:
        self._disk = disk
        self._folder = folder
        self._answers = answers
        self._number = 0

    @contextlib.contextmanager
    def session(self, script: Streams | Large) -> Iterator[tuple[Session, Recorded]]:
        """Open a session of its own; behind the block its journal is complete."""
        self._number += 1
        self._answers.script = script
        recorded = Recorded(self._folder, name=f"s{self._number}")
        session = self._disk.open(recorded)
        try:
            yield session, recorded
        finally:
            counts = self._disk.close(recorded)
        assert counts["failed"] == 0


@pytest.fixture(scope="module")
def proxied(left_out: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxied]:
    """A worker with the lever, or without it."""
    answers, folder = Answers(), tmp_path_factory.mktemp("worker")
    with Upstream(answers, alpn=HTTP_2_FIRST) as upstream, SlowDisk(folder, upstream.connect_to()) as disk:
        yield Proxied(disk, folder, answers)


def client_of(session: Session) -> EventClient:
    client = EventClient(tunnel(session, HOST, alpn=("h2",)))
    client.pieces = {}
    return client


def begin(client: EventClient, count: int) -> list[int]:
    """Begin requests one after the other; they have their heads then, and the upstream gives the same numbers."""
    streams: list[int] = []
    for _ in range(count):
        stream = client.begin(f"/v1/{len(streams)}")
        client.until(lambda one=stream: client.of(one, h2.events.ResponseReceived))  # type: ignore[misc]
        streams.append(stream)
    assert streams == [1 + 2 * which for which in range(count)]
    return streams


def pieces_of(client: EventClient, stream: int) -> list[bytes]:
    """Return what came in DATA frames, but for empty ones at the end: mitmproxy 11 sends two where 12 sends one."""
    assert client.pieces is not None
    return trimmed(client.pieces.get(stream, []))


def trimmed(pieces: list[bytes]) -> list[bytes]:
    """Leave out what is empty at the end."""
    return trimmed(pieces[:-1]) if pieces and not pieces[-1] else pieces


def records(recorded: Recorded) -> dict[int, list[tuple[str, bytes]]]:
    """Return what the journal holds of responses' bodies and ends, by stream."""
    reader = SegmentReader(recorded.directory, "w1")
    found: dict[int, list[tuple[str, bytes]]] = {}
    numbers: list[int] = []
    rests: set[int] = set()
    for record, _, _ in reader.records():
        kind = Kind(record.kind)
        if record.exchange not in numbers:
            numbers.append(record.exchange)
        if kind in (Kind.RESPONSE_DATA, Kind.RESPONSE_END, Kind.FAILED):
            payload = bytes(record.payload)
            said = payload.split(b'"')[1] if kind is Kind.FAILED else payload
            stream = 1 + 2 * numbers.index(record.exchange)
            of_stream = found.setdefault(stream, [])
            if stream in rests:  # the piece did not fit into one segment
                said = of_stream.pop()[1] + said
            of_stream.append((kind.name, said))
            (rests.add if record.more else rests.discard)(stream)
    reader.close()
    return found


def data(*pieces: bytes) -> list[tuple[str, bytes]]:
    return [("RESPONSE_DATA", piece) for piece in pieces]


END = [("RESPONSE_END", b"")]
