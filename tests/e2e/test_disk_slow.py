"""A disk whose writes take seconds, and a scribe that hangs: the traffic does not wait for either."""

from __future__ import annotations

import functools
import os
import signal
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from cassette import store
from cassette.recovery import recover
from tests.support.golike import GoLikeClient
from tests.support.inprocess import InProcess
from tests.support.journals import Session as Recorded
from tests.support.scripts import Received, Reply, whole
from tests.support.slowdisk import SlowDisk
from tests.support.upstream import Upstream
from tests.support.waiting import until
from tests.support.wiretape import Session

HOST = "api.openai.com"
MB = 1 << 20


def answer(request: Received, reply: Reply) -> None:
    """Answer `/v1/SIZE/NAME` with so many bytes."""
    whole(200, [("Content-Type", "text/plain")], b"x" * int(request.target.split("/")[2]))(request, reply)


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    with Upstream(answer) as server:
        yield server


@pytest.fixture
def slow(tmp_path: Path, upstream: Upstream) -> Iterator[SlowDisk]:
    with SlowDisk(tmp_path, upstream.connect_to()) as disk:
        yield disk


def ask(session: Session, size: int, name: str) -> None:
    with GoLikeClient(proxy=session.proxy, ca_file=session.bundle) as client:
        answered = client.request("GET", f"https://{HOST}/v1/{size}/{name}")
    assert answered.body == b"x" * size


def names(cassette: Path) -> list[str]:
    return [one.request.url.rpartition("/")[2] for one in store.load(cassette).interactions]


def test_clients_get_all_bytes_while_the_disk_takes_none_and_nothing_is_lost(
    slow: SlowDisk, tmp_path: Path
) -> None:
    recorded = Recorded(tmp_path)
    session = slow.open(recorded)
    ask(session, 10, "before")
    until("segments to be made ready", lambda: len(recorded.segments()) == 3)
    slow.stall()
    for number in range(3):
        ask(session, 8 * MB, f"stalled-{number}")
    assert slow.counts(recorded)["waiting_bytes"] > 8 * MB
    assert slow.counts(recorded)["problem"] == ""
    slow.resume()
    assert slow.close(recorded)["failed"] == 0
    list(recover(recorded.journals))

    assert names(recorded.cassette) == ["before", *(f"stalled-{number}" for number in range(3))]


def test_others_go_on_while_a_session_is_opened_or_closed_on_a_disk_that_stalls(
    slow: SlowDisk, tmp_path: Path
) -> None:
    first, second = Recorded(tmp_path, name="first"), Recorded(tmp_path, name="second")
    session = slow.open(first)
    until("segments to be made ready", lambda: len(first.segments()) == 3)
    slow.stall()
    opening = threading.Thread(target=slow.open, args=(second,))
    opening.start()
    until("it to wait for its first segment", lambda: len(second.segments()) == 1)
    ask(session, 10, "while-opening")
    assert opening.is_alive()
    slow.resume()
    opening.join(20)

    until("segments to be made ready", lambda: len(second.segments()) == 3)
    slow.stall()
    ask(session, 16 * MB, "waiting")
    closing = threading.Thread(target=slow.close, args=(first,))
    closing.start()
    until("its port to be closed", lambda: _is_closed(session))
    other = slow.counts(second)
    assert other["exchanges"] == 0
    assert closing.is_alive()
    slow.resume()
    closing.join(20)
    assert not closing.is_alive()
    slow.close(second)
    list(recover(first.journals))

    assert names(first.cassette) == ["while-opening", "waiting"]


def _is_closed(session: Session) -> bool:
    host, port = session.proxy.rsplit(":", 1)
    try:
        # No request: one that comes just before would be recorded, or be cut in its handshake.
        socket.create_connection((host, int(port))).close()
    except ConnectionError:
        return True
    return False


def test_scribe_that_hangs_keeps_nobody_waiting_is_succeeded_and_each_interaction_is_written_once(
    tmp_path: Path, upstream: Upstream
) -> None:
    with InProcess(tmp_path) as wiretape:
        session = wiretape.open(*upstream.options())
        ask(session, 10, "before")
        until("it to be written", lambda: wiretape.session(session)["interactions"] == 1)
        scribe = wiretape.status()["daemon"]["scribe_pid"]
        os.kill(scribe, signal.SIGSTOP)
        lags = []
        for number in range(3):
            ask(session, 100_000, f"hung-{number}")
            lags.append(wiretape.session(session)["journal_lag_bytes"])
        assert 100_000 < lags[0] < lags[1] < lags[2]
        meanwhile = wiretape.open(*upstream.options())
        ask(meanwhile, 10, "meanwhile")
        assert wiretape.status()["daemon"]["scribe_pid"] == scribe
        until("another scribe", functools.partial(_is_replaced, wiretape, scribe), deadline_s=60)
        until("it to catch up", lambda: wiretape.session(session)["journal_lag_bytes"] == 0)
        ask(session, 10, "after")
        summary = wiretape.close(session)
        assert wiretape.close(meanwhile)["interactions"] == 1

        assert summary["problem"] == ""
        assert f"scribe.hung pid={scribe}" in wiretape.log
    assert names(session.cassette) == ["before", *(f"hung-{number}" for number in range(3)), "after"]
    assert names(meanwhile.cassette) == ["meanwhile"]


def _is_replaced(wiretape: InProcess, pid: int) -> bool:
    current: int = wiretape.status()["daemon"]["scribe_pid"]
    return current != pid
