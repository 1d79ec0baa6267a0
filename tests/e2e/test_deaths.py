"""Processes that die: the daemon, its worker, its scribe. Nothing that a client has seen whole is lost."""

from __future__ import annotations

import functools
import json
import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.golike import GoLikeClient
from tests.support.inprocess import InProcess
from tests.support.rawclient import Http1, tunnel
from tests.support.recorded import interactions
from tests.support.scripts import Gate, Handler, Received, Reply, whole
from tests.support.upstream import HTTP_1_ONLY, Upstream
from tests.support.waiting import has_ended, until
from tests.support.wiretape import Session

HOST = "api.openai.com"
URL = f"https://{HOST}/v1"
FIRST, LAST = b"data: first\n\n", b"data: last\n\n"


@pytest.fixture
def wiretape(tmp_path: Path) -> Iterator[InProcess]:
    """A daemon for one test alone."""
    with InProcess(tmp_path) as command:
        yield command


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InProcess]:
    """A daemon for the tests that leave it as it was."""
    with InProcess(tmp_path_factory.mktemp("shared")) as command:
        yield command


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    with Upstream(whole(200, [], b"ok")) as server:
        yield server


def _ask(session: Session, path: str = "") -> bytes:
    with GoLikeClient(proxy=session.proxy, ca_file=session.bundle) as client:
        return client.request("GET", URL + path).body


def _urls(cassette: Path) -> list[str]:
    return [one.url.removeprefix(URL) for one in interactions(cassette.read_bytes())]


def _is_replaced(wiretape: InProcess, name: str, pid: int) -> bool:
    current: int = wiretape.status()["daemon"][name]
    return current != pid


def _stream(gate: Gate) -> Handler:
    def script(received: Received, reply: Reply) -> None:
        if not received.target.endswith("/stream"):
            whole(200, [], b"ok")(received, reply)
            return
        reply.head(200, [("content-type", "text/event-stream")])
        reply.data(FIRST)
        gate.wait()
        reply.data(LAST)
        reply.end()

    return script


def _begin_stream(session: Session) -> Http1:
    client = Http1(tunnel(session, HOST))
    client.send(f"GET /v1/stream HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode())
    client.until(FIRST)
    return client


def test_killed_daemon_loses_nothing_and_the_next_start_works(wiretape: InProcess, tmp_path: Path) -> None:
    gate = Gate("the end of the test")
    with Upstream(_stream(gate), alpn=HTTP_1_ONLY) as upstream:
        session = wiretape.start("first", *upstream.options())
        for number in range(5):
            _ask(session, f"/{number}")
        streaming = _begin_stream(session)
        daemon = wiretape.status()["daemon"]
        os.kill(daemon["pid"], signal.SIGKILL)

        again = wiretape.start("second", *upstream.options())
        _ask(again, "/after")
        wiretape.stop("second")
        gate.open()
        streaming.close()
    until("the children's end", lambda: has_ended(daemon["worker_pid"]) and has_ended(daemon["scribe_pid"]))

    until("the recovery", lambda: len(_urls(session.cassette)) == 5)
    assert _urls(session.cassette) == [f"/{number}" for number in range(5)]
    (broken,) = interactions((tmp_path / "first.interrupted.yaml").read_bytes())
    assert (broken.url, broken.response_body) == (f"{URL}/stream", FIRST)
    assert _urls(again.cassette) == ["/after"]
    assert list((wiretape.home / "journals").iterdir()) == []


def test_killed_daemons_sessions_are_told_by_recover(wiretape: InProcess, upstream: Upstream) -> None:
    session = wiretape.start("lost", *upstream.options())
    _ask(session, "/kept")
    daemon = wiretape.status()["daemon"]
    for pid in (daemon["pid"], daemon["scribe_pid"], daemon["worker_pid"]):
        os.kill(pid, signal.SIGKILL)
    until("their end", lambda: all(has_ended(daemon[name]) for name in ("pid", "scribe_pid", "worker_pid")))

    done = wiretape.run("recover")
    assert done.stderr.startswith(b"wiretape: recovered session lost: ")
    assert _urls(session.cassette) == ["/kept"]
    assert wiretape.run("recover").stdout == b"nothing to recover\n"
    assert wiretape.status() == {"daemon": None, "sessions": []}


def test_killed_worker_is_replaced_and_the_sessions_go_on(shared: InProcess) -> None:
    gate = Gate("the end of the test")
    with Upstream(_stream(gate), alpn=HTTP_1_ONLY) as upstream:
        session = shared.start("of-worker", *upstream.options())
        _ask(session, "/before")
        streaming = _begin_stream(session)
        worker = shared.status()["daemon"]["worker_pid"]
        os.kill(worker, signal.SIGKILL)
        until("another worker", functools.partial(_is_replaced, shared, "worker_pid", worker))
        until("the listener", lambda: _answers(session))
        _ask(session, "/after")
        gate.open()
        streaming.close()
        summary = json.loads(shared.run("stop", "of-worker", "--json").stdout)[0]

    assert _urls(session.cassette) == ["/before", "/after"]
    assert (summary["interactions"], summary["interrupted"]) == (2, 1)


def _answers(session: Session) -> bool:
    host, _, port = session.proxy.rpartition(":")
    try:
        socket.create_connection((host, int(port))).close()
    except ConnectionRefusedError:
        return False
    return True


def test_worker_killed_while_a_session_drains_does_not_bring_it_back(shared: InProcess) -> None:
    gate = Gate("the end of the test")
    with Upstream(_stream(gate), alpn=HTTP_1_ONLY) as upstream:
        session = shared.start("drained", *upstream.options())
        streaming = _begin_stream(session)
        worker = shared.status()["daemon"]["worker_pid"]
        with shared.popen("stop", "drained", "--drain-seconds=60") as stop:
            until("the listener to be closed", lambda: not _answers(session))
            os.kill(worker, signal.SIGKILL)
            assert stop.wait(60) in (0, 1)
        gate.open()
        streaming.close()
        assert not _answers(session)
        assert shared.status()["sessions"] == []
        again = shared.start("drained", *upstream.options(), "--append")
        _ask(again, "/again")
        shared.stop("drained")

    assert _urls(session.cassette) == ["/again"]


def test_killed_scribe_is_replaced_and_writes_each_interaction_once(
    shared: InProcess, upstream: Upstream
) -> None:
    session = shared.start("of-scribe", *upstream.options())
    for number in range(3):
        _ask(session, f"/{number}")
        scribe = shared.status()["daemon"]["scribe_pid"]
        os.kill(scribe, signal.SIGKILL)
        until("another scribe", functools.partial(_is_replaced, shared, "scribe_pid", scribe))
    shared.stop("of-scribe")

    assert _urls(session.cassette) == ["/0", "/1", "/2"]
