"""A replay outlives the proxy process that is killed: what was played stays played, and what was counted counts."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from tests.support.asking import answer_to, ask, question
from tests.support.tapes import call, counts, write_tape
from tests.support.waiting import until
from tests.support.wiretape import Wiretape


def kill_worker(wiretape: Wiretape) -> None:
    pid = wiretape.status()["daemon"]["worker_pid"]
    os.kill(pid, signal.SIGKILL)
    until("the next worker", lambda: wiretape.status()["daemon"]["worker_pid"] != pid)


def test_what_was_played_and_counted_outlives_the_worker(wiretape: Wiretape, tmp_path: Path) -> None:
    recorded = [call(question(text), answer_to(text)) for text in ("one", "two")]
    recorded.append(call(question("one"), b'{"answer": "one again"}'))
    tape = write_tape(tmp_path / "tape.yaml", recorded)
    session = wiretape.start("x", "--mode=replay-only", cassette=tape)
    assert ask(session, question("one")).body == answer_to("one")
    assert ask(session, question("none")).status == 501
    assert counts(wiretape, "x") == (1, 1, 2)

    kill_worker(wiretape)
    assert ask(session, question("one")).body == b'{"answer": "one again"}'
    assert ask(session, question("one")).status == 501
    assert counts(wiretape, "x") == (2, 2, 1)

    kill_worker(wiretape)
    assert ask(session, question("two")).body == answer_to("two")
    assert "3 hits, 2 misses, 0 unused" in wiretape.run("stop", "x").stdout.decode()
    assert list((wiretape.home / "decks").iterdir()) == []
