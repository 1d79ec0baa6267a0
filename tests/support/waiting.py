"""Waiting for a condition, with a deadline that fails the test; no test sleeps for a fixed time."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from tests.support.scripts import DEADLINE_S

_Value = TypeVar("_Value")

_LOOK_S = 0.02


def until(what: str, look: Callable[[], _Value], deadline_s: float = DEADLINE_S) -> _Value:
    """Return what `look` returns as soon as it is true; `AssertionError` past the deadline."""
    deadline = time.monotonic() + deadline_s
    while not (found := look()):
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {deadline_s:.0f} s in vain for this: {what}")
        time.sleep(_LOOK_S)
    return found


def has_ended(pid: int) -> bool:
    """Tell whether a process is no more; one that is dead and not yet reaped by its parent counts as ended."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    try:
        state = Path(f"/proc/{pid}/stat").read_text()
    except ProcessLookupError:  # it was reaped while this was read
        return True
    except FileNotFoundError:  # it was reaped before, or the system has no /proc
        return Path("/proc/self").exists()
    return state.rpartition(")")[2].split()[0] == "Z"
