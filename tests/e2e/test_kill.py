"""kill -9 at random moments under load: what the client saw the end of is in the cassette, once.

`make kill` does it 200 times; as part of the tests it is done a few times.
"""

from __future__ import annotations

import contextlib
import http.client
import itertools
import json
import os
import random
import signal
import ssl
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

import cassette
from cassette.files import interrupted_path
from tests.support.scripts import Received, Reply
from tests.support.upstream import Upstream
from tests.support.waiting import until
from tests.support.wiretape import Session, Wiretape

HOST = "api.openai.com"
ROUNDS = int(os.environ.get("WIRETAPE_KILLS", "8"))
SEED = int(os.environ.get("WIRETAPE_KILL_SEED", str(random.randrange(1 << 30))))
VICTIMS = (("worker",), ("scribe",), ("daemon",), ("daemon", "worker", "scribe"))
CLIENTS_PER_SESSION = 2


def answer(request: Received, reply: Reply) -> None:
    """Answer with the id that was asked for: at once with a length, or as a stream of some events."""
    asked = json.loads(request.body)
    if not asked["stream"]:
        body = json.dumps({"id": asked["id"], "text": "x" * asked["size"]}).encode()
        reply.head(200, [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
        reply.data(body)
        reply.end()
        return
    reply.head(200, [("Content-Type", "text/event-stream")])
    for number in range(8):
        reply.data(b"data: " + json.dumps({"id": asked["id"], "n": number}).encode() + b"\n\n")
        time.sleep(0.002)  # a stream takes its time: kills are to hit the middle of some
    reply.data(b"data: [DONE]\n\n")
    reply.end()


class Load:
    """Clients that ask for one thing after another and remember what they got the whole of."""

    def __init__(self, session: Session, randomness: random.Random) -> None:
        self.session = session
        self.seen: list[str] = []
        self._ids = itertools.count()
        self._ending = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, args=(random.Random(randomness.random()), number))
            for number in range(CLIENTS_PER_SESSION)
        ]
        for thread in self._threads:
            thread.start()

    def _run(self, randomness: random.Random, client: int) -> None:
        context = ssl.create_default_context(cafile=str(self.session.bundle))
        host, port = self.session.proxy.split(":")
        while not self._ending.is_set():
            connection = http.client.HTTPSConnection(host, int(port), context=context, timeout=20)
            connection.set_tunnel(HOST, 443)
            with contextlib.suppress(OSError, http.client.HTTPException), contextlib.closing(connection):
                while not self._ending.is_set():
                    self._ask(connection, randomness, f"{self.session.name}-{client}-{next(self._ids)}")
            self._ending.wait(0.05)  # the proxy is gone; it may come back

    def _ask(self, connection: http.client.HTTPSConnection, randomness: random.Random, name: str) -> None:
        body = {
            "id": name,
            "stream": randomness.random() < 0.5,
            "size": randomness.choice((10, 3_000, 200_000)),
        }
        connection.request("POST", "/v1/x", json.dumps(body), {"Content-Type": "application/json"})
        response = connection.getresponse()
        data = response.read()
        if response.status == 200 and name.encode() in data:
            self.seen.append(name)

    def end(self) -> None:
        """Let every client finish what it is at, and wait for it."""
        self._ending.set()
        for thread in self._threads:
            thread.join(60)
            assert not thread.is_alive(), "a client hangs"


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    with Upstream(answer) as server:
        yield server


def pids(wiretape: Wiretape) -> dict[str, int]:
    daemon = wiretape.status()["daemon"]
    return {"daemon": daemon["pid"], "worker": daemon["worker_pid"], "scribe": daemon["scribe_pid"]}


def named_in(path: Path) -> list[str]:
    """Return the ids of a cassette's requests, which must be whole; its own ids must have no gap."""
    if not path.exists():
        return []
    data = path.read_bytes()
    recorded = cassette.loads(data)
    assert cassette.dumps(recorded) == data
    assert [one.id for one in recorded.interactions] == list(range(len(recorded.interactions)))
    return [json.loads(one.request.body)["id"] for one in recorded.interactions if one.request.body]


@pytest.mark.parametrize("number", range(ROUNDS))
def test_nothing_is_lost_and_nothing_stands_twice_after_kill_9(
    wiretape: Wiretape, upstream: Upstream, number: int
) -> None:
    randomness = random.Random(SEED + number)
    victims = VICTIMS[number % len(VICTIMS)]
    sessions = [wiretape.start(f"s{n}", *upstream.options(HOST)) for n in range(2)]
    targets = pids(wiretape)
    loads = [Load(session, randomness) for session in sessions]
    until("some traffic", lambda: all(load.seen for load in loads))
    time.sleep(randomness.uniform(0.0, 0.5))  # the moment is to be random
    for victim in victims:
        os.kill(targets[victim], signal.SIGKILL)
    for load in loads:  # as they stand now, before anything is recovered
        named_in(load.session.cassette)
        named_in(interrupted_path(load.session.cassette))
    if "daemon" not in victims:
        before = [len(load.seen) for load in loads]
        until(
            "traffic to go on",
            lambda: all(len(load.seen) > was for load, was in zip(loads, before, strict=True)),
        )
    for load in loads:
        load.end()
    if "daemon" in victims:
        until("the other processes to end", lambda: not any(is_alive(pid) for pid in targets.values()))
        wiretape.run("recover")
    else:
        wiretape.stop_all()
    for load in loads:
        path = load.session.cassette
        whole, broken = named_in(path), named_in(interrupted_path(path))
        hint = f"seed {SEED}, round {number}, killed {victims}"
        assert not [name for name, count in Counter(whole).items() if count > 1], f"twice: {hint}"
        assert not set(load.seen) - set(whole), f"lost: {hint}"
        assert not set(whole) & set(broken), f"whole and interrupted: {hint}"
    assert list((wiretape.home / "journals").iterdir()) == []


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False
