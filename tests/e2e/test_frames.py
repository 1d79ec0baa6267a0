"""Streamed bodies over HTTP/2, the short way and mitmproxy's own: the same frames at the client and in the journal.

An upstream whose frames the test writes, many in one write or one in many; without the lever, and with it.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator

import h2.events
import pytest
from h2.settings import SettingCodes

from tests.e2e.test_levers import of
from tests.support.framed import (
    BOTH_WAYS,
    CUTS,
    END,
    FRAME,
    LARGE,
    Answers,
    Large,
    Proxied,
    begin,
    client_of,
    data,
    left_out,
    pieces_of,
    proxied,
    records,
    trimmed,
)
from tests.support.h2peer import goaway
from tests.support.h2streams import Streams
from tests.support.oddtees import OddTees
from tests.support.rawclient import reset
from tests.support.scripts import Received, Reply
from tests.support.upstream import HTTP_2_FIRST, Upstream
from tests.support.waiting import until
from tests.support.wiretape import Session

__all__ = ["left_out", "proxied"]


@BOTH_WAYS
@CUTS
def test_frames_of_several_streams_in_one_write_keep_their_pieces(cut_every: int, proxied: Proxied) -> None:
    script = Streams()
    sent: dict[int, list[bytes]] = {1: [], 3: [], 5: []}
    with proxied.session(script) as (session, recorded):
        client = client_of(session)
        begin(client, 3)
        with script.together(cut_every=cut_every) as frames:
            for number in range(60):
                stream = (1, 3, 5)[number % 3]
                piece = b"piece %d of %d" % (number, stream) * (1 + number % 5)
                frames.data(stream, piece, padding=number % 4 if number % 7 == 0 else None)
                sent[stream].append(piece)
            frames.data(1, b"the last", end=True)
            sent[1].append(b"the last")
            frames.data(3, b"", end=True)
            frames.trailers(5, [("x-checksum", "abc")])
        client.until(lambda: client.has_ended(1, 3, 5))
        (trailers,) = client.of(5, h2.events.TrailersReceived)
        client.close()
    assert {stream: pieces_of(client, stream) for stream in sent} == sent
    assert list(trailers.headers) == [("x-checksum", "abc")]
    assert records(recorded) == {
        1: [*data(*sent[1]), *END],
        3: [*data(*sent[3]), *END],
        5: [*data(*sent[5]), ("RESPONSE_END", b'[["x-checksum","abc"]]')],
    }


@BOTH_WAYS
@pytest.mark.parametrize("seed", range(6))
def test_whatever_is_written_however_it_is_cut_arrives(seed: int, proxied: Proxied) -> None:
    chance = random.Random(seed)
    script = Streams()
    streams = (1, 3, 5, 7)
    sent: dict[int, list[bytes]] = {stream: [] for stream in streams}
    with proxied.session(script) as (session, recorded):
        client = client_of(session)
        begin(client, len(streams))
        running = list(streams)
        while running:
            with script.together(cut_every=chance.choice([0, 0, 1, 50, 5000])) as frames:
                for _ in range(chance.randrange(1, 30)):
                    stream = chance.choice(running)
                    size = chance.choice([1, 20, 200, chance.randrange(3000)])
                    piece, is_last = chance.randbytes(size), chance.random() < 0.02
                    frames.data(stream, piece, end=is_last, padding=chance.choice([None, None, None, 5]))
                    sent[stream].append(piece)
                    if is_last:
                        running.remove(stream)
                        break
            client.until(
                lambda: all(client.received.get(one, 0) == sum(map(len, sent[one])) for one in streams)
            )
        client.until(lambda: client.has_ended(*streams))
        client.close()
    assert {stream: pieces_of(client, stream) for stream in sent} == {
        stream: trimmed(pieces) for stream, pieces in sent.items()
    }
    assert records(recorded) == {
        stream: [*data(*filter(None, pieces)), *END] for stream, pieces in sent.items()
    }


@BOTH_WAYS
def test_reset_by_the_upstream_ends_its_stream_alone(proxied: Proxied) -> None:
    script = Streams()
    with proxied.session(script) as (session, recorded):
        client = client_of(session)
        begin(client, 2)
        with script.together() as frames:
            frames.data(1, b"cut ")
            frames.data(3, b"whole ")
            frames.reset(1)
            frames.data(3, b"body")
        client.until(lambda: client.was_reset(1) and client.received.get(3) == len("whole body"))
        with script.together() as frames:
            frames.data(3, b".", end=True)
        client.until(lambda: client.has_ended(3))
        client.close()
    assert pieces_of(client, 1) == [b"cut "]
    assert pieces_of(client, 3) == [b"whole ", b"body", b"."]
    assert records(recorded) == {
        1: [*data(b"cut "), ("FAILED", b"UPSTREAM_RESET")],
        3: [*data(b"whole ", b"body", b"."), *END],
    }


@BOTH_WAYS
def test_reset_by_the_client_ends_its_stream_alone(proxied: Proxied) -> None:
    script = Streams()
    with proxied.session(script) as (session, recorded):
        client = client_of(session)
        begin(client, 2)
        with script.together() as frames:
            frames.data(1, b"left ")
        client.until(lambda: client.received.get(1))
        client.cancel(1)
        until("the reset at the upstream", lambda: script.was_reset(1))
        with script.together() as frames:
            frames.data(3, b"whole ")
            frames.late_data(1, b"behind")
            frames.data(3, b"body")
            frames.data(3, b".", end=True)
        client.until(lambda: client.has_ended(3))
        client.close()
    assert pieces_of(client, 1) == [b"left "]
    assert pieces_of(client, 3) == [b"whole ", b"body", b"."]
    assert records(recorded) == {
        1: [*data(b"left "), ("FAILED", b"CLIENT_LEFT")],
        3: [*data(b"whole ", b"body", b"."), *END],
    }


@BOTH_WAYS
@CUTS
def test_body_goes_on_behind_goaway(cut_every: int, proxied: Proxied) -> None:
    script = Streams()
    with proxied.session(script) as (session, recorded):
        client = client_of(session)
        begin(client, 2)
        with script.together(cut_every=cut_every) as frames:
            frames.data(1, b"before ")
            frames.raw(goaway(3))
            frames.data(1, b"behind ")
            frames.data(3, b"too")
        client.until(lambda: client.received.get(3) and client.received.get(1) == len("before behind "))
        with script.together() as frames:
            frames.data(3, b".", end=True)
            frames.data(1, b"it", end=True)
        client.until(lambda: client.has_ended(1, 3))
        client.close()
    assert records(recorded) == {
        1: [*data(b"before ", b"behind ", b"it"), *END],
        3: [*data(b"too", b"."), *END],
    }


@BOTH_WAYS
def test_frames_are_cut_to_what_the_client_takes(proxied: Proxied) -> None:
    script = Streams()
    long, short = b"long " * 20_000, b"short " * 300
    with proxied.session(script) as (session, recorded):
        client = client_of(session)
        client.tell({SettingCodes.INITIAL_WINDOW_SIZE: 50})
        client.until(
            lambda: [one for one in client.events if isinstance(one, h2.events.SettingsAcknowledged)]
        )
        client.stalled.add(1)
        begin(client, 2)
        with script.together() as frames:
            frames.data(1, long)
            frames.data(3, short)
            frames.data(1, long, end=True)
            frames.data(3, short, end=True)
        client.until(lambda: client.has_ended(3))
        assert client.received[1] == 50
        # One step, so that the rest does not come in fifties, too.
        client.protocol.increment_flow_control_window(1 << 20, 1)
        client.acknowledge()
        client.until(lambda: client.has_ended(1))
        client.close()
    assert b"".join(pieces_of(client, 1)) == long * 2
    assert b"".join(pieces_of(client, 3)) == short * 2
    assert max(map(len, pieces_of(client, 3))) <= 50
    assert max(map(len, pieces_of(client, 1))) <= 16_384
    assert records(recorded) == {1: [*data(long, long), *END], 3: [*data(short, short), *END]}


@BOTH_WAYS
def test_client_that_does_not_read_small_frames_makes_the_upstream_wait(proxied: Proxied) -> None:
    script = Large()
    with proxied.session(script) as (session, recorded):
        client = client_of(session)
        client.pieces = None
        large = client.begin("/v1/large")
        client.stalled.add(large)
        client.until(lambda: client.received.get(large))

        def nothing_moves() -> bool:
            had = script.sent
            for _ in range(5):
                assert client.received[client.ask("/v1/other")] == len(FRAME)
            return 0 < had == script.sent

        until("the upstream to wait", nothing_moves)
        assert script.sent < LARGE
        client.acknowledge()
        client.until(lambda: client.has_ended(large), 60)
        assert client.received[large] == LARGE // len(FRAME) * len(FRAME)
        client.close()
    *pieces, end = records(recorded)[1]  # cut where the upstream's window was full
    assert b"".join(payload for _, payload in pieces) == FRAME * (LARGE // len(FRAME))
    assert [end] == END


@BOTH_WAYS
def test_client_that_leaves_ends_what_is_under_way(proxied: Proxied) -> None:
    script = Streams()
    with proxied.session(script) as (session, recorded):
        client = client_of(session)
        begin(client, 2)
        with script.together() as frames:
            frames.data(1, b"one")
            frames.data(3, b"three")
        client.until(lambda: client.received.get(1) and client.received.get(3))
        reset(client.sock)
        until("the end of the upstream's connection", script.is_closed)
    assert records(recorded) == {
        1: [*data(b"one"), ("FAILED", b"CLIENT_LEFT")],
        3: [*data(b"three"), ("FAILED", b"CLIENT_LEFT")],
    }


@BOTH_WAYS
def test_upstream_that_leaves_has_its_streams_reset(proxied: Proxied) -> None:
    script = Streams()
    with proxied.session(script) as (session, recorded):
        client = client_of(session)
        begin(client, 2)
        with script.together() as frames:
            frames.data(1, b"one")
            frames.data(3, b"three")
        assert script.reply is not None
        script.reply.leave()
        client.until(lambda: client.was_reset(1) and client.was_reset(3))
        client.close()
    assert (pieces_of(client, 1), pieces_of(client, 3)) == ([b"one"], [b"three"])
    assert records(recorded) == {
        1: [*data(b"one"), ("FAILED", b"UPSTREAM_RESET")],
        3: [*data(b"three"), ("FAILED", b"UPSTREAM_RESET")],
    }


@BOTH_WAYS
def test_more_than_the_announced_length_breaks_the_connection_off(proxied: Proxied) -> None:
    class Announcing(Streams):
        def __call__(self, received: Received, reply: Reply) -> None:
            self._connection, self.reply = reply._connection, reply  # type: ignore[attr-defined]
            reply.head(200, [("content-length", "6")])

    script = Announcing()
    with proxied.session(script) as (session, recorded):
        client = client_of(session)
        begin(client, 1)
        with script.together() as frames:
            frames.data(1, b"four")
        client.until(lambda: client.received.get(1))
        with script.together() as frames:
            frames.data(1, b"more")
        client.until(lambda: client.was_reset(1))
        client.close()
    assert pieces_of(client, 1) == [b"four"]
    assert of(recorded) == [*data(b"four"), ("FAILED", b"UPSTREAM_RESET")]


@pytest.fixture(scope="module")
def odd(left_out: str) -> Iterator[tuple[OddTees, Answers]]:
    """A worker with tees that ours are not."""
    answers = Answers()
    with Upstream(answers, alpn=HTTP_2_FIRST) as upstream, OddTees(upstream.connect_to()) as worker:
        yield worker, answers


def played(odd: tuple[OddTees, Answers], path: str) -> list[bytes]:
    """Let two pieces, and two more of which one is the last, take a tee's way; return what comes out."""
    worker, answers = odd
    script = answers.script = Streams()
    client = client_of(worker.session)
    stream = client.begin(path)
    client.until(lambda: client.of(stream, h2.events.ResponseReceived))
    with script.together() as frames:
        for piece in (b"one", b"two", b"three"):
            frames.data(stream, piece)
        frames.data(stream, b"four", end=True)
    client.until(lambda: client.has_ended(stream))
    client.close()
    return pieces_of(client, stream)


@BOTH_WAYS
def test_what_a_tee_returns_is_sent(odd: tuple[OddTees, Answers]) -> None:
    assert played(odd, "/drops") == []
    assert played(odd, "/doubles") == [
        piece for piece in (b"one", b"two", b"three", b"four") for _ in range(2)
    ]
    assert b"".join(played(odd, "/empties")) == b""


@BOTH_WAYS
def test_error_in_a_tee_ends_the_connection_behind_what_was_before(odd: tuple[OddTees, Answers]) -> None:
    worker, answers = odd
    script = answers.script = Streams()
    client = client_of(worker.session)
    stream = client.begin("/raises")
    client.until(lambda: client.of(stream, h2.events.ResponseReceived))
    with script.together() as frames:
        for piece in (b"one", b"two", b"three", b"four"):
            frames.data(stream, piece)
    with pytest.raises(OSError, match=r"(?i)closed|EOF|reset"):
        client.until(lambda: client.has_ended(stream))
    assert pieces_of(client, stream) == [b"one", b"two"]
    until("the end of the upstream's connection", script.is_closed)


@BOTH_WAYS
def test_pieces_in_the_middle_of_a_body_take_the_short_way(
    odd: tuple[OddTees, Answers], left_out: str
) -> None:
    middle = b"short" if left_out == "none" else b"plain"
    assert played(odd, "/way") == [middle, middle, middle, b"plain"]


@BOTH_WAYS
def test_many_connections_at_once_keep_their_bodies_apart(proxied: Proxied) -> None:
    script = Large()
    sizes: list[int] = []

    def ask(session: Session) -> None:
        client = client_of(session)
        client.pieces = None
        both = [client.begin("/v1/large"), client.begin("/v1/other")]
        client.until(lambda: client.has_ended(*both), 60)
        sizes.extend(client.received[one] for one in both)
        client.close()

    with proxied.session(script) as (session, recorded):
        threads = [threading.Thread(target=ask, args=(session,)) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    whole = LARGE // len(FRAME) * len(FRAME)
    assert sorted(sizes) == [len(FRAME)] * 3 + [whole] * 3
    assert sum(len(payload) for kind, payload in of(recorded) if kind == "RESPONSE_DATA") == sum(sizes)
