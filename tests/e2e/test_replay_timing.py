"""The times of chunks: kept while recording, across a scribe that is killed, and played back."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from itertools import accumulate
from pathlib import Path

import pytest

from cassette import load
from cassette.timing import Timing, read_timing, timing_path
from tests.support import rawclient
from tests.support.asking import Sessions, question
from tests.support.asking import sessions as sessions
from tests.support.scripts import Received, Reply, whole
from tests.support.talk import SSE
from tests.support.tapes import JSON
from tests.support.upstream import HTTP_1_ONLY, Upstream
from tests.support.waiting import has_ended, until
from tests.support.wiretape import Session, Wiretape

PIECES = [b"data: one\n\n", b"data: two\n\n", b"data: three, which is longer\n\n", b"data: [DONE]\n\n"]
GAPS = [0.15, 0.02, 0.3, 0.05]
SLACK_S = 0.05
"""A request's end is stamped at three places, by three clocks' readers; far less than what is told apart here."""


def uneven(request: Received, reply: Reply) -> None:
    """Answer in pieces with pauses before them: as events, or as plain text where that is asked for."""
    kind = SSE if json.loads(request.body)["messages"][0]["content"] == "events" else "text/plain"
    reply.head(200, [("Content-Type", kind)])
    for piece, gap in zip(PIECES, GAPS, strict=True):
        time.sleep(gap)  # the upstream takes its time: that is what is recorded
        reply.data(piece)
    reply.end()


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    with Upstream(uneven, alpn=HTTP_1_ONLY) as server:
        yield server


def stream(session: Session, text: str) -> list[tuple[float, bytes]]:
    """Ask over HTTP/1.1; return the chunks of the answer, each with the seconds from the request on."""
    body = json.dumps(question(text)).encode()
    with rawclient.tunnel(session, "api.openai.com") as sock, sock.makefile("rb") as answer:
        head = f"Host: api.openai.com\r\nContent-Type: {JSON}\r\nContent-Length: {len(body)}\r\n"
        sock.sendall(f"POST /v1/chat/completions HTTP/1.1\r\n{head}\r\n".encode() + body)
        sent = time.monotonic()
        while answer.readline() != b"\r\n":
            pass
        chunks = []
        while size := int(answer.readline(), 16):
            data = answer.read(size)
            chunks.append((time.monotonic() - sent, data))
            answer.readline()
    return chunks


def kept(cassette: Path) -> dict[int, Timing]:
    return dict(read_timing(timing_path(cassette).read_bytes()))


def kill(wiretape: Wiretape, child: str) -> None:
    pid = wiretape.status()["daemon"][f"{child}_pid"]
    os.kill(pid, signal.SIGKILL)
    until(f"the {child} to end", lambda: has_ended(pid))
    until(f"the next {child}", lambda: wiretape.status()["daemon"][f"{child}_pid"] != pid)


def test_a_stream_is_played_back_in_the_chunks_and_times_it_came_in(
    wiretape: Wiretape, upstream: Upstream, tmp_path: Path
) -> None:
    tape = tmp_path / "tape.yaml"
    recording = wiretape.start("recording", "--keep-timing", *upstream.options(), cassette=tape)
    for text in ("events", "plain"):
        assert [data for _, data in stream(recording, text)] == PIECES
        kill(wiretape, "scribe")
    stream(recording, "events")
    wiretape.stop("recording")

    times = kept(tape)
    assert set(times) == {one.id for one in load(tape).interactions} == {0, 1, 2}
    assert timing_path(tape).stat().st_mode & 0o777 == 0o600
    earliest = list(accumulate(GAPS))
    for timing in times.values():
        assert [size for _, size in timing.chunks] == [len(piece) for piece in PIECES]
        came = [at_ns / 1e9 for at_ns, _ in timing.chunks]
        assert all(at > least - SLACK_S for at, least in zip(came, earliest, strict=True))

    took = {}
    for factor in (1.0, 0.1):
        options = ["--mode=replay-only", "--timing=recorded", f"--timing-factor={factor}"]
        replaying = wiretape.start(f"x{factor}", *options, cassette=tape)
        for number, text in enumerate(("events", "plain")):
            chunks = stream(replaying, text)
            assert [data for _, data in chunks] == PIECES
            for (came_s, _), (at_ns, _) in zip(chunks, times[number].chunks, strict=True):
                assert came_s > at_ns / 1e9 * factor - SLACK_S
            took[factor, text] = chunks[-1][0]
        wiretape.stop(f"x{factor}")
    assert all(took[0.1, text] < took[1.0, text] for text in ("events", "plain"))


def test_times_begin_anew_with_the_cassette_and_go_on_with_it(sessions: Sessions) -> None:
    with Upstream(whole(200, [("Content-Type", JSON)], b'{"answer": 1}')) as upstream:
        keep = ["--keep-timing", *upstream.options()]
        sessions.ask("one", "two", options=keep)
        assert set(kept(sessions.tape)) == {0, 1}
        first = timing_path(sessions.tape).read_bytes()

        sessions.ask("three", options=[*keep, "--append"])
        assert set(kept(sessions.tape)) == {0, 1, 2}
        assert timing_path(sessions.tape).read_bytes().startswith(first)

        # New episodes have their times, too; where nothing is recorded the option asks for nothing.
        sessions.ask("one", "four", options=[*keep, "--mode=replay-with-new-episodes"])
        assert set(kept(sessions.tape)) == {0, 1, 2, 3}
        sessions.ask("one", options=["--keep-timing", "--mode=replay-only"])
        assert set(kept(sessions.tape)) == {0, 1, 2, 3}

        sessions.ask("one", options=[*keep, "--overwrite"])
        assert set(kept(sessions.tape)) == {0}
        sessions.ask("one", options=[*upstream.options(), "--overwrite"])
        assert not timing_path(sessions.tape).exists()


def test_the_variable_and_the_setting_keep_times_too(
    wiretape: Wiretape, upstream: Upstream, tmp_path: Path
) -> None:
    config = tmp_path / "settings.yaml"
    config.write_text("session: {keep_timing: true}\n")
    wiretape.environment["WIRETAPE_KEEP_TIMING"] = "yes"
    by_variable = wiretape.start("a", *upstream.options())
    del wiretape.environment["WIRETAPE_KEEP_TIMING"]
    by_setting = wiretape.start("b", f"--config={config}", *upstream.options())
    for session in (by_variable, by_setting):
        stream(session, "plain")
    wiretape.stop_all()
    for session in (by_variable, by_setting):
        assert set(kept(session.cassette)) == {0}
