"""`wiretape start --foreground`: a session that lasts as long as the command does, for containers and supervisors."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from addons.errors import ControlError
from proxy_cli.control import Control

_LOOK_SECONDS = 0.5
_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


@contextmanager
def until_signal() -> Iterator[threading.Event]:
    """Give an event that a signal to end sets; from now on such a signal does nothing else."""
    ended = threading.Event()

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        ended.set()

    before = {number: signal.signal(number, on_signal) for number in _SIGNALS}
    try:
        yield ended
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def stay(control: Control, name: str, ended: threading.Event) -> dict[str, Any] | None:
    """Wait until `ended` is set, close the session and return its summary; None when somebody else closed it.

    Raises ControlError when the daemon goes away.
    """
    while not ended.wait(_LOOK_SECONDS):
        if all(session["name"] != name for session in control.status()["sessions"]):
            return None
    try:
        return control.close(name)
    except ControlError:
        if control.is_running() and all(one["name"] != name for one in control.status()["sessions"]):
            return None  # closed by somebody else in the meantime
        raise
