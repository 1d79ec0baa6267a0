"""A daemon with two proxy processes: they share each session's port, its cassette and the answers in it."""

from __future__ import annotations

import contextlib
import functools
import itertools
import json
import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cassette import load
from tests.support.asking import answer_to, question
from tests.support.inprocess import InProcess
from tests.support.rawclient import Http1, dial, tunnel
from tests.support.scripts import Gate, Received, Reply, whole
from tests.support.tapes import call, write_tape
from tests.support.upstream import HTTP_1_ONLY, Upstream
from tests.support.waiting import has_ended, until
from tests.support.wiretape import Session

HOST = "api.openai.com"
FIRST, LAST = b"data: first\n\n", b"data: last\n\n"
_MANY = 24
"""Connections of which some reach each of two workers: the odds against it are one to 2^23."""

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux shares a port among processes")


class Two(InProcess):
    """A daemon with two workers."""

    def pids(self) -> dict[str, int]:
        workers: dict[str, int] = self.status()["daemon"]["workers"]
        return workers


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Two]:
    with Two(tmp_path_factory.mktemp("two")) as command:
        command.run("daemon", "--workers=2")
        yield command


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    with Upstream(whole(200, [], b"ok"), alpn=HTTP_1_ONLY) as server:
        yield server


def _stream(gate: Gate) -> Any:
    def script(_received: Received, reply: Reply) -> None:
        reply.head(200, [("content-type", "text/event-stream")])
        reply.data(FIRST)
        gate.wait()
        reply.data(LAST)
        reply.end()

    return script


@contextlib.contextmanager
def _clients(session: Session, count: int = _MANY) -> Iterator[list[Http1]]:
    clients = [Http1(tunnel(session, HOST)) for _ in range(count)]
    try:
        yield clients
    finally:
        for client in clients:
            client.close()


def _shares(two: Two, session: Session, what: str) -> list[int]:
    return [counted[what] for counted in two.session(session)["workers"].values()]


def _urls(session: Session) -> list[str]:
    return [one.request.url.rpartition("/")[2] for one in load(session.cassette).interactions]


def test_connections_reach_both_workers_and_one_cassette_has_it_all(two: Two, upstream: Upstream) -> None:
    session = two.open(*upstream.options())
    with _clients(session) as clients:
        for number, client in enumerate(clients):
            assert client.ask("GET", f"/v1/{number}").body == b"ok"
        shares = _shares(two, session, "exchanges")
        assert (len(shares), sum(shares), min(shares) > 0) == (2, _MANY, True)
    summary = two.close(session)
    assert sorted(map(int, _urls(session))) == list(range(_MANY))
    assert [one.id for one in load(session.cassette).interactions] == list(range(_MANY))
    assert (summary["interactions"], summary["interrupted"], summary["journal_lag_bytes"]) == (_MANY, 0, 0)


def test_status_names_every_worker(two: Two) -> None:
    pids = two.pids()
    assert len(set(pids.values())) == 2
    assert two.status()["daemon"]["worker_pid"] in pids.values()
    assert ", 2 workers)" in two.run("status").stdout.decode()


def test_stop_drains_both_workers(two: Two) -> None:
    gate = Gate("the session to stop accepting")
    with Upstream(_stream(gate), alpn=HTTP_1_ONLY) as upstream:
        session = two.open(*upstream.options())
        with _clients(session) as clients:
            for client in clients:
                client.send(f"GET /v1/s HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode())
                client.until(FIRST)
            assert min(_shares(two, session, "in_flight")) > 0
            with two.popen("stop", session.name, "--drain-seconds=60") as stop:
                until("the listeners to be closed", functools.partial(_is_closed, session))
                assert stop.poll() is None
                gate.open()
                for client in clients:
                    client.until(LAST)
                assert stop.wait(60) == 0
    assert [one.response.body for one in load(session.cassette).interactions] == [FIRST + LAST] * _MANY


def _is_closed(session: Session) -> bool:
    host, _, port = session.proxy.rpartition(":")
    try:
        socket.create_connection((host, int(port))).close()
    except ConnectionRefusedError:
        return True
    return False


@pytest.mark.parametrize("repeat", [False, True], ids=["once", "repeat"])
def test_each_interaction_answers_once_whichever_worker_is_asked(
    two: Two, tmp_path: Path, repeat: bool
) -> None:
    answers = [answer_to(str(number)) for number in range(_MANY)]
    tape = write_tape(tmp_path / "tape.yaml", [call(question("same"), answer) for answer in answers])
    session = two.open("--mode=replay-only", *(["--repeat"] if repeat else []), cassette=tape)
    body = json.dumps(question("same")).encode()
    with _clients(session) as clients:
        seen = [
            client.ask("POST", "/v1/chat/completions", [("Content-Type", "application/json")], body)
            for client in clients
        ]
        assert [one.body for one in seen] == answers
        again = clients[0].ask("POST", "/v1/chat/completions", [("Content-Type", "application/json")], body)
        assert again.body == answers[-1] if repeat else again.status == 501
        assert min(_shares(two, session, "hits")) > 0
    summary = two.close(session)
    assert (summary["hits"], summary["misses"], summary["unused"]) == (
        (_MANY + 1, 0, 0) if repeat else (_MANY, 1, 0)
    )
    assert list((two.home / "decks").iterdir()) == []


def test_mode_changes_in_both_workers_under_open_connections(two: Two) -> None:
    numbers = itertools.count()

    def script(received: Received, reply: Reply) -> None:
        whole(200, [], b"answer %d" % next(numbers))(received, reply)

    with Upstream(script, alpn=HTTP_1_ONLY) as upstream:
        session = two.open(*upstream.options())
        with _clients(session) as clients:
            ask = [functools.partial(one.ask, "GET", f"/v1/{at}") for at, one in enumerate(clients)]
            recorded = [one().body for one in ask]
            for _ in range(2):  # each replay begins anew
                two.run("mode", session.name, "replay-only")
                assert [one().body for one in ask] == recorded
                assert [one().status for one in ask] == [501] * _MANY
            assert len(upstream.received) == _MANY
            two.run("mode", session.name, "replay-with-new-episodes")
            assert clients[0].ask("GET", "/v1/new").status == 200
            two.run("mode", session.name, "record-only")
            assert [one().status for one in ask] == [200] * _MANY
        summary = two.close(session)
    assert (summary["interactions"], summary["hits"], summary["misses"]) == (
        2 * _MANY + 1,
        2 * _MANY,
        2 * _MANY + 1,
    )
    assert len(load(session.cassette).interactions) == 2 * _MANY + 1


def test_port_that_somebody_has_is_not_shared_with_them(two: Two, tmp_path: Path) -> None:
    names = {session["name"] for session in two.status()["sessions"]}
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        done = two.run("start", "busy", f"--port={port}", f"--cassette={tmp_path}/tape.yaml", check=False)
    assert (done.returncode, done.stderr.decode().count("--port")) == (3, 1)
    assert {session["name"] for session in two.status()["sessions"]} == names
    assert not (tmp_path / "tape.yaml").exists()
    two.run("start", "busy", f"--port={port}", f"--cassette={tmp_path}/tape.yaml")
    two.run("stop", "busy")


def test_request_for_the_proxy_itself_ends_though_another_worker_gets_it(two: Two) -> None:
    session = two.open()
    # As in test_access: a name that the resolver takes for 127.0.0.1.
    name = f"127.1:{session.proxy.rpartition(':')[2]}"
    for _ in range(8):
        client = Http1(dial(session))
        assert client.ask("GET", "/", host=name).status in (502, 508)
        client.close()
    assert two.close(session)["passed"] <= 8


def test_killed_worker_of_two_loses_nothing_that_a_client_saw_the_end_of(tmp_path: Path) -> None:
    seen: list[str] = []
    over = threading.Event()
    with Two(tmp_path) as two, Upstream(whole(200, [], b"ok"), alpn=HTTP_1_ONLY) as upstream:
        two.environment["WIRETAPE_WORKERS"] = "2"
        session = two.open(*upstream.options())

        def asks(number: int) -> None:
            for turn in itertools.count():
                if over.is_set():
                    return
                try:
                    client = Http1(tunnel(session, HOST))
                    for part in range(5):
                        name = f"{number}-{turn}-{part}"
                        if client.ask("GET", f"/v1/{name}").body == b"ok":
                            seen.append(name)
                    client.close()
                except OSError:
                    continue  # of the dead one's connections

        threads = [threading.Thread(target=asks, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        until("both to be at work", lambda: min(_shares(two, session, "exchanges")) > 5)
        before = two.pids()
        victim = next(iter(before.values()))
        os.kill(victim, signal.SIGKILL)
        until("its end", functools.partial(has_ended, victim))
        served = len(seen)
        until("the other to go on", lambda: len(seen) > served + 20)
        after = until("a successor", functools.partial(_without, two, victim))
        assert len(after) == 2
        assert len(set(before) & set(after)) == 1
        successor = next(iter(set(after) - set(before)))
        until(
            "the successor to be at work",
            lambda: two.session(session)["workers"].get(successor, {}).get("exchanges", 0) > 5,
        )
        over.set()
        for thread in threads:
            thread.join(30)
        two.close(session)

    recorded = _urls(session)
    assert set(seen) <= set(recorded)
    assert len(recorded) == len(set(recorded))


def _without(two: Two, victim: int) -> dict[str, int]:
    pids = two.pids()
    return {} if victim in pids.values() else pids


def test_successor_of_a_killed_worker_replays_what_is_left(two: Two, tmp_path: Path) -> None:
    answers = [answer_to(str(number)) for number in range(_MANY)]
    tape = write_tape(tmp_path / "tape.yaml", [call(question("same"), answer) for answer in answers])
    session = two.open("--mode=replay-only", cassette=tape)
    asked = ("POST", "/v1/chat/completions", [("Content-Type", "application/json")])
    body = json.dumps(question("same")).encode()
    seen = []
    with _clients(session, _MANY // 2) as clients:
        seen += [client.ask(*asked, body).body for client in clients]
    victim = next(iter(two.pids().values()))
    os.kill(victim, signal.SIGKILL)
    until("a successor", functools.partial(_without, two, victim))
    with _clients(session, _MANY // 2) as clients:
        seen += [client.ask(*asked, body).body for client in clients]
    summary = two.close(session)
    assert seen == answers
    assert (summary["misses"], summary["unused"]) == (0, 0)


def test_number_of_workers_is_a_setting_that_start_goes_by(tmp_path: Path) -> None:
    with InProcess(tmp_path) as command:
        done = command.run("daemon", "--workers=none", check=False)
        assert (done.returncode, b"from 1 to 64 or auto" in done.stderr) == (2, True)
        (tmp_path / "wiretape.yaml").write_text("daemon: {workers: 2}\n")
        session = command.open("--mode=passthrough")
        assert len(command.session(session)["workers"]) == 2
