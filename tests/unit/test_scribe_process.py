from __future__ import annotations

import contextlib
import io
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest

from cassette import scribe_process, store
from cassette.emitter import EMPTY_DOCUMENT
from cassette.exchange import Outcome
from cassette.recovery import recover
from cassette.scribe import SessionScribe
from cassette.scribe_process import ScribeProcess
from tests.support.journals import Session, Take, cassette_of, put
from tests.support.waiting import until

ROOT = Path(scribe_process.__file__).parents[1]
SIX = tuple(Take(number, (b"line %d\n" % number,)) for number in range(1, 7))


class Scribe:
    """The real process."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "cassette.scribe_process"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        self._id = 0

    def send(self, do: str, **arguments: Any) -> None:
        self._id += 1
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({"id": self._id, "do": do, **arguments}) + "\n")
        self.process.stdin.flush()

    def call(self, do: str, **arguments: Any) -> dict[str, Any]:
        """Send a request and return the whole answer."""
        self.send(do, **arguments)
        assert self.process.stdout is not None
        answer: dict[str, Any] = json.loads(self.process.stdout.readline())
        assert answer.pop("id") == self._id
        return answer

    def end(self) -> str:
        """End it by the end of its input; return its log."""
        _, log = self.process.communicate(timeout=30)
        return log

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate(timeout=30)


@pytest.fixture
def scribe() -> Iterator[Scribe]:
    scribe = Scribe()
    yield scribe
    scribe.kill()


@pytest.fixture
def session(tmp_path: Path) -> Session:
    return Session(tmp_path)


def test_it_has_a_session_of_its_own_and_gives_way_to_others(scribe: Scribe) -> None:
    scribe.call("ping")

    pid = scribe.process.pid
    assert os.getsid(pid) == pid
    assert os.getpriority(os.PRIO_PROCESS, pid) == min(19, os.getpriority(os.PRIO_PROCESS, 0) + 5)


def test_it_gives_way_to_who_has_a_client_waiting(scribe: Scribe) -> None:
    scribe.call("ping")

    assert os.getpriority(os.PRIO_PROCESS, scribe.process.pid) > os.getpriority(os.PRIO_PROCESS, 0)


def test_a_session_goes_through_the_process(scribe: Scribe, session: Session) -> None:
    directory = str(session.directory)
    assert scribe.call("open", directory=directory) == {"result": None}
    with contextlib.closing(session.writer()) as writer:
        put(writer, SIX)
        until("all is written", lambda: session.cassette.read_bytes() == cassette_of(SIX))
        counts = scribe.call("counts")["result"][directory]
        assert counts["interactions"] == 6
        assert counts["read_bytes"] == writer.position
    answer = scribe.call("finish", directory=directory, reason="the session was stopped")

    assert answer["result"]["interactions"] == 6
    assert answer["result"]["problem"] == ""
    assert not session.directory.exists()
    assert scribe.call("counts") == {"result": {}}
    assert scribe.end() == ""
    assert scribe.process.returncode == 0


def test_several_sessions_are_looked_after_at_once(scribe: Scribe, tmp_path: Path) -> None:
    sessions = [Session(tmp_path, name=f"chat{number}") for number in range(5)]
    for session in sessions:
        session.write(*SIX)
        scribe.call("open", directory=str(session.directory))

    for session in sessions:
        until("all is written", lambda session=session: session.cassette.read_bytes() == cassette_of(SIX))  # type: ignore[misc]


def test_a_dead_writer_can_be_told_of_right_after_opening(scribe: Scribe, session: Session) -> None:
    session.write(SIX[0], ended=False)
    scribe.call("open", directory=str(session.directory))
    assert scribe.call("writer_gone", directory=str(session.directory), writer="w1") == {"result": None}

    until("it is interrupted", session.interrupted.exists)
    until("it is written", lambda: session.interrupted.read_bytes() != EMPTY_DOCUMENT)
    assert len(store.load(session.interrupted).interactions) == 1


def test_opening_twice_is_no_error(scribe: Scribe, session: Session) -> None:
    for _ in range(2):
        assert scribe.call("open", directory=str(session.directory)) == {"result": None}


def test_errors_are_answers(scribe: Scribe, tmp_path: Path) -> None:
    missing = str(tmp_path / "none")

    assert scribe.call("open", directory=missing)["error"]["kind"] == "StoreError"
    assert scribe.call("finish", directory=missing, reason="")["error"] == {
        "kind": "StoreError",
        "message": f"{missing}: the scribe has no such session",
    }
    assert "does not know the request 'dance'" in scribe.call("dance")["error"]["message"]
    assert scribe.call("open")["error"]["kind"] == "StoreError"
    assert scribe.call("counts") == {"result": {}}


def test_a_session_that_another_process_works_on_is_refused(scribe: Scribe, session: Session) -> None:
    with contextlib.closing(session.scribe()):
        answer = scribe.call("open", directory=str(session.directory))
    assert answer["error"]["kind"] == "BusyError"
    assert scribe.call("open", directory=str(session.directory)) == {"result": None}


def test_a_cassette_that_cannot_be_written_is_a_problem_of_its_session(
    scribe: Scribe, session: Session
) -> None:
    session.write(*SIX)
    session.cassette.write_bytes(b"notes")
    directory = str(session.directory)
    assert scribe.call("open", directory=directory) == {"result": None}
    assert "is not a cassette" in scribe.call("counts")["result"][directory]["problem"]
    answer = scribe.call("finish", directory=directory, reason="stop")["result"]

    assert "is not a cassette" in answer["problem"]
    assert session.directory.exists()
    session.cassette.unlink()
    assert [one.interactions for one in recover(session.journals)] == [6]


def test_when_its_input_ends_it_writes_what_there_is(scribe: Scribe, session: Session) -> None:
    scribe.call("open", directory=str(session.directory))
    session.write(*SIX)
    scribe.end()

    assert session.cassette.read_bytes() == cassette_of(SIX)
    assert session.directory.exists()


def test_half_a_request_of_a_parent_that_was_killed_ends_it(scribe: Scribe, session: Session) -> None:
    session.write(*SIX)
    scribe.call("open", directory=str(session.directory))
    assert scribe.process.stdin is not None
    scribe.process.stdin.write('{"id": 2, "do": "cou')
    log = scribe.end()

    assert scribe.process.returncode == 0
    assert log == "ERROR scribe.input_torn\n"
    assert session.cassette.read_bytes() == cassette_of(SIX)


def test_a_parent_that_reads_no_answers_any_more_ends_it(scribe: Scribe, session: Session) -> None:
    session.write(*SIX)
    scribe.call("open", directory=str(session.directory))
    assert scribe.process.stdout is not None
    scribe.process.stdout.close()
    scribe.send("counts")
    scribe.process.wait(30)

    assert session.cassette.read_bytes() == cassette_of(SIX)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_for_the_whole_group_do_not_end_it(
    scribe: Scribe, session: Session, number: signal.Signals
) -> None:
    scribe.call("counts")
    scribe.process.send_signal(number)
    session.write(*SIX)

    assert scribe.call("open", directory=str(session.directory)) == {"result": None}
    assert scribe.call("finish", directory=str(session.directory), reason="")["result"]["interactions"] == 6


def test_killed_again_and_again_under_load_it_writes_everything_once(session: Session) -> None:
    random = Random(7)
    takes = [
        Take(
            number,
            tuple(b"line %d of %d\n" % (line, number) * 20 for line in range(random.randrange(1, 60))),
            outcome=Outcome.CLIENT_LEFT if number % 17 == 0 else Outcome.COMPLETE,
        )
        for number in range(1, 601)
    ]
    rounds = [takes[at : at + 60] for at in range(0, 600, 60)]
    with contextlib.closing(session.writer(segment_bytes=1 << 18)) as writer:
        for some in rounds:
            scribe = Scribe()
            scribe.call("open", directory=str(session.directory))
            size = session.cassette.stat().st_size
            enough = random.randrange(20_000)
            put(writer, some)
            until("it is at work", lambda: session.cassette.stat().st_size > size + enough)  # noqa: B023 - called here
            os.kill(scribe.process.pid, signal.SIGKILL)
            scribe.kill()
    list(recover(session.journals))

    whole = [take for take in takes if take.outcome is Outcome.COMPLETE]
    broken = [take for take in takes if take.outcome is not Outcome.COMPLETE]
    assert session.cassette.read_bytes() == cassette_of(whole)
    assert session.interrupted.read_bytes() == cassette_of(broken)
    assert list(session.cassette.parent.glob(".*")) == []


def test_one_sessions_trouble_does_not_stop_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    bad, good = Session(tmp_path, name="bad"), Session(tmp_path, name="good")
    good.write(*SIX)
    step = SessionScribe.step

    def maybe(self: SessionScribe) -> bool:
        if self.directory == bad.directory:
            raise RuntimeError("trouble")
        return step(self)

    monkeypatch.setattr(SessionScribe, "step", maybe)
    answers = io.StringIO()
    process = ScribeProcess(answers)
    requests = [{"id": n, "do": "open", "directory": str(one.directory)} for n, one in enumerate((bad, good))]
    process.read_requests(io.StringIO("".join(json.dumps(request) + "\n" for request in requests)))
    process.run()

    assert good.cassette.read_bytes() == cassette_of(SIX)
    assert caplog.text.count("scribe.step_failed") == 1


def test_a_ping_is_answered_while_the_disk_is_waited_for(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting, disk = threading.Event(), threading.Event()

    def slow(*_: object) -> bool:
        waiting.set()
        assert disk.wait(30)
        return False

    monkeypatch.setattr(SessionScribe, "step", slow)
    requests_end, requests = os.pipe()
    answers, answers_end = os.pipe()
    with (
        os.fdopen(requests_end) as asked,
        os.fdopen(requests, "w") as asking,
        os.fdopen(answers_end, "w") as telling,
        os.fdopen(answers) as told,
    ):
        process = ScribeProcess(telling)
        threads = [
            threading.Thread(target=process.read_requests, args=(asked,)),
            threading.Thread(target=process.run),
        ]
        for thread in threads:
            thread.start()

        def ask(number: int, do: str) -> None:
            asking.write(json.dumps({"id": number, "do": do, "directory": str(session.directory)}) + "\n")
            asking.flush()

        ask(1, "open")
        assert waiting.wait(30)
        ask(2, "counts")
        ask(3, "ping")
        assert [json.loads(told.readline())["id"] for _ in range(2)] == [1, 3]
        disk.set()
        assert json.loads(told.readline())["id"] == 2
        asking.close()
        for thread in threads:
            thread.join(30)


def test_an_error_that_nobody_thought_of_is_an_answer(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> bool:
        raise RuntimeError("trouble")

    monkeypatch.setattr(SessionScribe, "finish", fail)
    answers = io.StringIO()
    process = ScribeProcess(answers)
    directory = str(session.directory)
    requests = [
        {"id": 1, "do": "open", "directory": directory},
        {"id": 2, "do": "finish", "directory": directory, "reason": ""},
        {"id": 3, "do": "counts"},
    ]
    process.read_requests(io.StringIO("".join(json.dumps(request) + "\n" for request in requests)))
    process.run()

    told = [json.loads(line) for line in answers.getvalue().splitlines()]
    assert told[1]["error"]["message"] == "the scribe failed: RuntimeError('trouble'); see: wiretape logs"
    assert told[2] == {"id": 3, "result": {}}
