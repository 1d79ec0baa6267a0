"""The event loop moves bytes and waits for nobody: not for the scribe, nor for the disk.

The upstream sends the next piece when the client has the former one, so a proxy that waited for what is stopped would
wait for ever. How long a piece takes is compared within one run, with a bound that only a wait goes past.
"""

from __future__ import annotations

import itertools
import os
import signal
import statistics
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.golike import GoLikeClient
from tests.support.inprocess import InProcess
from tests.support.journals import Session as Recorded
from tests.support.scripts import Gate, Received, Reply
from tests.support.slowdisk import SlowDisk
from tests.support.upstream import HTTP_1_ONLY, HTTP_2_FIRST, Upstream
from tests.support.waiting import until
from tests.support.wiretape import Session

URL = "https://api.openai.com/v1/stream"
PIECES = 60
SIZE = 1000
LARGE = 14 << 20
"""More than the three segments that are ready."""
BOUND = 10
"""How many times as long the middle one of the pieces may take, on a machine that does other things, too."""
BOTH_PROTOCOLS = pytest.mark.parametrize("alpn", [HTTP_1_ONLY, HTTP_2_FIRST], ids=["http1", "http2"])


class Stream:
    """An upstream that sends a piece when the client has the former one."""

    def __init__(self) -> None:
        self.gates: list[Gate] = []
        self.first_bytes = 0

    def __call__(self, _request: Received, reply: Reply) -> None:
        reply.head(200, [("Content-Type", "text/event-stream")])
        reply.data(b"-" * self.first_bytes)
        for gate in self.gates:
            reply.data(b"x" * SIZE)
            gate.wait()
        reply.end()

    def median_seconds(self, session: Session, first_bytes: int = SIZE) -> float:
        """Return how long a piece took, from the one before."""
        self.first_bytes = first_bytes
        gates = self.gates = [Gate(f"piece {number}") for number in range(PIECES)]
        had, times = 0, []

        def have(data: bytes) -> None:
            nonlocal had
            had += len(data)
            pieces, rest = divmod(had - first_bytes, SIZE)
            if pieces > 0 and not rest:
                times.append(time.monotonic())
                gates[pieces - 1].open()

        with GoLikeClient(proxy=session.proxy, ca_file=session.bundle) as client:
            headers = [("Accept-Encoding", "identity")]
            assert len(client.request("GET", URL, headers, on_chunk=have).body) == first_bytes + PIECES * SIZE
        return statistics.median(after - before for before, after in itertools.pairwise(times))


@pytest.fixture
def stream() -> Stream:
    return Stream()


@pytest.fixture
def upstream(stream: Stream, alpn: tuple[str, ...]) -> Iterator[Upstream]:
    with Upstream(stream, alpn=alpn) as server:
        yield server


@BOTH_PROTOCOLS
def test_pieces_take_as_long_while_the_scribe_is_stopped(
    tmp_path: Path, stream: Stream, upstream: Upstream
) -> None:
    with InProcess(tmp_path) as wiretape:
        session = wiretape.open(*upstream.options())
        before = stream.median_seconds(session)
        scribe = wiretape.status()["daemon"]["scribe_pid"]
        os.kill(scribe, signal.SIGSTOP)
        stopped = stream.median_seconds(session)
        os.kill(scribe, signal.SIGCONT)
        summary = wiretape.close(session)
    assert stopped < BOUND * before
    assert (summary["interactions"], summary["problem"]) == (2, "")


@BOTH_PROTOCOLS
def test_pieces_take_as_long_while_the_disk_takes_nothing(
    tmp_path: Path, stream: Stream, upstream: Upstream
) -> None:
    recorded = Recorded(tmp_path)
    with SlowDisk(tmp_path, upstream.connect_to()) as disk:
        session = disk.open(recorded)
        before = stream.median_seconds(session)
        until("segments to be made ready", lambda: len(recorded.segments()) == 3)
        disk.stall()
        stalled = stream.median_seconds(session, LARGE)
        assert disk.counts(recorded)["waiting_bytes"] > 0
        disk.resume()
        counts = disk.close(recorded)
    assert stalled < BOUND * before
    assert counts["failed"] == 0
