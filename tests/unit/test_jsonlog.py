"""Log lines as JSON."""

from __future__ import annotations

import json
import logging
import sys
from datetime import datetime
from typing import Any

import pytest

from proxy_cli.jsonlog import JsonLines


def _entry(message: str, *arguments: Any, level: int = logging.INFO, failed: bool = False) -> dict[str, Any]:
    error = sys.exc_info() if failed else None
    record = logging.LogRecord("x", level, __file__, 1, message, arguments, error)
    line = JsonLines().format(record)
    assert "\n" not in line
    entry: dict[str, Any] = json.loads(line)
    assert datetime.fromisoformat(entry.pop("time")).tzinfo is not None
    return entry


def test_event_and_fields_are_taken_apart() -> None:
    assert _entry("session.opened session=%s port=%d mode=%s", "chat", 8899, "record-only") == {
        "level": "info",
        "process": "daemon",
        "event": "session.opened",
        "fields": {"session": "chat", "port": 8899, "mode": "record-only"},
    }


def test_a_childs_line_names_the_child_and_a_value_may_have_spaces() -> None:
    line = "record.failed session=chat where=journal reason=cannot write: no space, make room"
    assert _entry("%s: %s", "worker", line, level=logging.ERROR) == {
        "level": "error",
        "process": "worker",
        "event": "record.failed",
        "fields": {"session": "chat", "where": "journal", "reason": "cannot write: no space, make room"},
    }


@pytest.mark.parametrize("text", ["Traceback (most recent call last):", "a plain line", "x=1", ""])
def test_any_other_line_is_a_message(text: str) -> None:
    assert _entry(text) == {"level": "info", "process": "daemon", "message": text}
    assert _entry(f"scribe: {text}") == {"level": "info", "process": "scribe", "message": text}


def test_lines_of_a_value_and_a_traceback_stay_one_line() -> None:
    try:
        raise ValueError("bug")
    except ValueError:
        entry = _entry("replay.miss session=%s text=%s", "a", "one\ntwo", failed=True)
    assert entry["fields"] == {"session": "a", "text": "one\ntwo"}
    assert "ValueError: bug" in entry["traceback"]
