"""Against the kernel: what a scribe asks of it in a session of its own."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from cassette import priority

ROOT = Path(priority.__file__).parents[1]
SESSION_NICE = Path("/proc/self/autogroup")
BEGIN = """
import json, os, re, sys, threading, time
from pathlib import Path
from cassette.priority import Priority

def nice():
    found = re.search("nice (.*)", Path("/proc/self/autogroup").read_text())
    return int(found[1]) if found else None

def becomes(wanted, do):
    deadline = time.monotonic() + 20
    while nice() != wanted and time.monotonic() < deadline:
        do()
        time.sleep(0.01)
    return nice()

priority = Priority()
"""


def outcome(code: str, *, leads_group: bool = False) -> dict[str, int]:
    """Run code in a process that has a `priority`; return the JSON that it prints."""
    done = subprocess.run(
        [sys.executable, "-P", "-c", BEGIN + code],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        process_group=0 if leads_group else None,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    found: dict[str, int] = json.loads(done.stdout)
    return found


def session_nice() -> int | None:
    found = re.search("nice (.*)", SESSION_NICE.read_text()) if SESSION_NICE.exists() else None
    return int(found[1]) if found else None


has_sessions = pytest.mark.skipif(
    session_nice() is None, reason="the processor is not shared out among sessions here (sched(7), autogroup)"
)


def test_among_the_processes_of_a_session_it_gives_way() -> None:
    found = outcome("print(json.dumps({'nice': os.nice(0)}))")

    assert found["nice"] == min(19, os.nice(0) + 5)


@has_sessions
def test_it_asks_for_little_once_it_keeps_up_and_for_more_once_it_is_behind() -> None:
    found = outcome("""
begins = nice()
first = becomes(19, lambda: priority.heed(is_behind=False))
began = time.monotonic()
behind = becomes(5, lambda: priority.heed(is_behind=True))
took = time.monotonic() - began
back = becomes(19, lambda: priority.heed(is_behind=False))
print(json.dumps({"begins": begins, "first": first, "behind": behind, "took": took, "back": back}))
""")

    assert [found[when] for when in ("begins", "first", "behind", "back")] == [5, 19, 5, 19]
    assert found["took"] >= 0.9


@has_sessions
def test_it_asks_for_more_when_somebody_waits() -> None:
    found = outcome("""
first = becomes(19, lambda: priority.heed(is_behind=False))
print(json.dumps({"first": first, "hurried": becomes(5, priority.hurry)}))
""")

    assert found == {"first": 19, "hurried": 5}


@has_sessions
def test_it_asks_for_more_in_the_middle_of_a_long_step() -> None:
    found = outcome("""
first = becomes(19, lambda: priority.heed(is_behind=False))
threading.Thread(target=priority.watch, daemon=True).start()
print(json.dumps({"first": first, "long": becomes(5, lambda: None)}))
""")

    assert found == {"first": 19, "long": 5}


def test_the_session_of_a_shell_that_starts_it_is_left_as_it_is() -> None:
    before = session_nice()
    found = outcome(
        """
priority.hurry()
priority.watch()
print(json.dumps({"session": os.getsid(0)}))
""",
        leads_group=True,
    )

    assert found["session"] == os.getsid(0)
    assert session_nice() == before
