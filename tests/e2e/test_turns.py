"""A long body is read in large pieces, and in small ones while others have a little to say: they wait for less then."""

from __future__ import annotations

import statistics
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from addons import levers
from cassette.journal import Kind
from cassette.segment_reader import SegmentReader
from tests.support.golike import GoLikeClient
from tests.support.journals import Session as Recorded
from tests.support.scripts import Received, Reply
from tests.support.slowdisk import SlowDisk
from tests.support.upstream import HTTP_1_ONLY, Upstream

URL = "https://api.openai.com/v1"
LONG = 24 << 20
BLOCK = b"x" * 65536
TLS_RECORD = 16 << 10
WORDS = b"data: words\n\n"


class Talk:
    """An upstream with a long answer, and one that goes on until the long one has ended."""

    def __init__(self) -> None:
        self.has_begun = threading.Event()
        self.is_over = threading.Event()

    def __call__(self, request: Received, reply: Reply) -> None:
        if request.target.endswith("/long"):
            reply.head(200, [("Content-Length", str(LONG))])
            for _ in range(LONG // len(BLOCK)):
                reply.data(BLOCK)
        else:
            reply.head(200, [("Content-Type", "text/event-stream")])
            while not self.is_over.is_set():
                reply.data(WORDS)
                self.is_over.wait(0.002)
        reply.end()


@pytest.fixture
def talk() -> Talk:
    return Talk()


@pytest.fixture
def disk(talk: Talk, tmp_path: Path) -> Iterator[SlowDisk]:
    with Upstream(talk, alpn=HTTP_1_ONLY) as upstream, SlowDisk(tmp_path, upstream.connect_to()) as disk:
        yield disk


def sizes_of_pieces(recorded: Recorded) -> list[int]:
    """Return the lengths of the pieces of the long body, in order."""
    reader = SegmentReader(recorded.directory, "w1")
    pieces = [record.payload for record, _, _ in reader.records() if record.kind == Kind.RESPONSE_DATA]
    sizes = [len(piece) for piece in pieces if bytes(piece[:1]) == b"x"]
    reader.close()
    assert sum(sizes) == LONG
    return sizes


def test_long_body_alone_is_read_in_large_pieces(disk: SlowDisk, tmp_path: Path) -> None:
    recorded = Recorded(tmp_path)
    session = disk.open(recorded)
    with GoLikeClient(proxy=session.proxy, ca_file=session.bundle) as client:
        assert len(client.request("GET", f"{URL}/long").body) == LONG
    disk.close(recorded)

    sizes = sizes_of_pieces(recorded)
    assert TLS_RECORD < max(sizes) <= 64 << 10


@pytest.mark.skipif(
    not levers.is_wanted("reading"), reason="without the lever `reading`, asyncio reads 64 KB at once"
)
def test_long_body_is_read_in_small_pieces_while_another_stream_talks(
    disk: SlowDisk, talk: Talk, tmp_path: Path
) -> None:
    recorded = Recorded(tmp_path)
    session = disk.open(recorded)
    heard: list[bytes] = []

    def hear(data: bytes) -> None:
        heard.append(data)
        talk.has_begun.set()

    def listen() -> None:
        with GoLikeClient(proxy=session.proxy, ca_file=session.bundle) as other:
            other.request("GET", f"{URL}/talk", on_chunk=hear)

    listener = threading.Thread(target=listen)
    listener.start()
    try:
        assert talk.has_begun.wait(30)
        with GoLikeClient(proxy=session.proxy, ca_file=session.bundle) as client:
            assert len(client.request("GET", f"{URL}/long").body) == LONG
    finally:
        talk.is_over.set()
        listener.join(30)
    disk.close(recorded)

    assert heard
    assert statistics.median(sizes_of_pieces(recorded)) <= TLS_RECORD
