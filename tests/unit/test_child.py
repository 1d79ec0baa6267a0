"""A child that is spoken to in JSON lines: real processes, good ones and bad ones."""

from __future__ import annotations

import logging
import os
import signal
import textwrap
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from addons.child import Child
from addons.errors import ControlError, StartError
from cassette.errors import StoreError
from tests.support.waiting import has_ended, until

_SCRIPT = """
import json, os, sys, time
print("INFO child.started pid=%d" % os.getpid(), file=sys.stderr, flush=True)
held = []
for line in sys.stdin:
    request = json.loads(line)
    answer = {"id": request["id"]}
    match request["do"]:
        case "echo": answer["result"] = request["value"]
        case "hold": held.append(answer | {"result": request["value"]}); continue
        case "release":
            for one in reversed(held): print(json.dumps(one), flush=True)
            answer["result"] = None
        case "fail": answer["error"] = {"kind": request["kind"], "message": "no luck"}
        case "die": os._exit(3)
        case "ignore": continue
        case "chatter": print("not JSON at all", flush=True); answer["result"] = "said"
        case "log": print(request["value"], file=sys.stderr, flush=True); answer["result"] = None
    print(json.dumps(answer), flush=True)
"""


class _Family:
    """Starts children of the test script, which is a module in a folder of its own."""

    def __init__(self) -> None:
        self.dead: list[Child] = []
        self.children: list[Child] = []

    def child(self) -> Child:
        child = Child("helper", ["scripted_child"], self.dead.append)
        self.children.append(child)
        return child


@pytest.fixture
def family(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[_Family]:
    (tmp_path / "scripted_child.py").write_text(textwrap.dedent(_SCRIPT))
    # No empty entry: it would stand for the folder where the user is.
    monkeypatch.setenv(
        "PYTHONPATH", str(tmp_path), prepend=os.pathsep if "PYTHONPATH" in os.environ else None
    )
    family = _Family()
    yield family
    for child in family.children:
        child.close(10)


def test_answer_comes_back(family: _Family) -> None:
    assert family.child().call("echo", value={"text": "gr\u00fc\u00df\n"}) == {"text": "gr\u00fc\u00df\n"}


def test_answers_in_another_order_find_their_callers(family: _Family) -> None:
    child = family.child()
    results: dict[int, object] = {}

    def ask(number: int) -> None:
        results[number] = child.call("hold", value=number)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    until("all requests to be held", lambda: _release(child, results, 8))
    for thread in threads:
        thread.join(10)
    assert results == {number: number for number in range(8)}


def _release(child: Child, results: dict[int, object], count: int) -> bool:
    child.call("release")
    return len(results) == count


@pytest.mark.parametrize(("kind", "error"), [("StartError", StartError), ("StoreError", StoreError)])
def test_reported_error_is_raised_as_its_kind(kind: str, error: type[Exception], family: _Family) -> None:
    with pytest.raises(error, match="no luck"):
        family.child().call("fail", kind=kind)


def test_unknown_kind_of_error_is_one_of_control(family: _Family) -> None:
    with pytest.raises(ControlError, match="no luck"):
        family.child().call("fail", kind="Unheard")


def test_death_is_told_to_who_waits_and_once_to_the_owner(family: _Family) -> None:
    child = family.child()
    with pytest.raises(ControlError, match="the helper died"):
        child.call("die")
    until("the owner to know", lambda: family.dead == [child])
    with pytest.raises(ControlError, match="the helper died"):
        child.call("echo", value=1)


def test_killed_child_is_noticed_without_a_call(family: _Family) -> None:
    child = family.child()
    child.call("echo", value=1)
    os.kill(child.pid, signal.SIGKILL)
    until("the owner to know", lambda: family.dead == [child])


def test_child_that_is_stopped_can_be_killed_and_its_owner_knows(family: _Family) -> None:
    child = family.child()
    child.call("echo", value=1)
    os.kill(child.pid, signal.SIGSTOP)
    child.kill()
    until("the owner to know", lambda: family.dead == [child])


def test_silent_child_is_reported(family: _Family) -> None:
    child = family.child()
    child.call("echo", value=1)
    with pytest.raises(ControlError, match="does not answer"):
        child.call("ignore", timeout_seconds=0.05)
    assert child.call("echo", value=2) == 2


def test_closed_child_is_gone_and_nobody_is_alarmed(family: _Family) -> None:
    child = family.child()
    child.call("echo", value=1)
    child.close(10)
    assert has_ended(child.pid)
    assert family.dead == []
    with pytest.raises(ControlError, match="the helper died"):
        child.call("echo", value=1)


def test_line_that_is_no_answer_does_no_harm(family: _Family) -> None:
    child = family.child()
    assert child.call("chatter", timeout_seconds=10) == "said"
    assert child.call("echo", value=1, timeout_seconds=10) == 1


@pytest.mark.parametrize(
    ("line", "level", "text"),
    [
        ("WARNING disk.low bytes=1", logging.WARNING, "helper: disk.low bytes=1"),
        ("INFO fine", logging.INFO, "helper: fine"),
        ("Traceback (most recent call last):", logging.ERROR, "helper: Traceback (most recent call last):"),
    ],
)
def test_standard_error_goes_to_the_log(
    line: str, level: int, text: str, family: _Family, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    family.child().call("log", value=line)

    def is_there() -> bool:
        return any((record.levelno, record.getMessage()) == (level, text) for record in caplog.records)

    until("the line in the log", is_there)


def test_child_that_does_not_listen_is_killed(
    family: _Family, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "deaf_child.py").write_text("import time\nwhile True: time.sleep(60)\n")
    child = Child("deaf", ["deaf_child"], family.dead.append)
    child.close(0.05)
    assert has_ended(child.pid)
    assert "child.killed name=deaf" in caplog.text


def test_folder_of_the_user_does_not_shadow_our_modules(
    family: _Family, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "where-the-user-stands"
    folder.mkdir()
    (folder / "json.py").write_text("raise RuntimeError('wrong module')\n")
    monkeypatch.chdir(folder)
    assert family.child().call("echo", value=1) == 1
