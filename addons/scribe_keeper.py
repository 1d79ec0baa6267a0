"""The scribe as its parent has it: watched, succeeded when it dies or hangs, and asked again then."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Any

from addons.child import Child
from addons.errors import ControlError
from cassette.errors import CassetteError

_log = logging.getLogger(__name__)
SILENCE_SECONDS = 10.0
"""A process that pings get no answer from for so long hangs; it is at its disk or at a body for far less between two
answers, which come from a thread of their own. Chosen, not measured."""
_PING_SECONDS = 1.0
_ATTEMPTS = 2
_SUCCESSOR_SECONDS = 10.0
_LOOK_SECONDS = 0.02


class ScribeKeeper:
    """Keeps one scribe running."""

    def __init__(
        self, lock: threading.RLock, take_up: Callable[[], None], *, silence_seconds: float = SILENCE_SECONDS
    ) -> None:
        """Start it. `take_up` gives a successor its work; it is called under `lock`, before others can ask it.

        A scribe that does not answer a ping for `silence_seconds` is killed and succeeded.
        """
        self._lock = lock
        self._take_up = take_up
        self._silence_seconds = silence_seconds
        self._closed = threading.Event()
        self.restarts = 0
        """How often one died and was succeeded."""
        self._scribe = self._start()
        threading.Thread(target=self._watch, name="scribe watch", daemon=True).start()

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._scribe.pid

    def _start(self) -> Child:
        return Child("scribe", ["cassette.scribe_process"], self._died)

    def _watch(self) -> None:
        """Kill a scribe that hangs. One that only waits, for the disk or over a long body, answers all the same."""
        watched, silent_since = self._scribe, None
        while not self._closed.wait(_PING_SECONDS):
            if self._scribe is not watched:
                watched, silent_since = self._scribe, None
            try:
                watched.call("ping", timeout_seconds=_PING_SECONDS)
            except ControlError:
                now = time.monotonic()
                # Since the first ping that it left unanswered: this process may have been stopped as well.
                silent_since = silent_since or now
                if now - silent_since >= self._silence_seconds and watched.is_alive():
                    _log.error("scribe.hung pid=%d silent_seconds=%.0f", watched.pid, now - silent_since)
                    watched.kill()
                    silent_since = None
            else:
                silent_since = None

    def _died(self, _child: Child) -> None:
        with self._lock:
            if self._closed.is_set():  # while sessions are closed one is needed
                return
            self._scribe = self._start()
            self.restarts += 1
            self._take_up()

    def call(self, do: str, *, timeout_seconds: float = 30.0, **arguments: Any) -> Any:
        """Ask the scribe that there is; raises what it reports, and ControlError when it dies or is silent."""
        return self._scribe.call(do, timeout_seconds=timeout_seconds, **arguments)

    def insist(self, do: str, *, timeout_seconds: float = 30.0, **arguments: Any) -> Any:
        """Do as `call`; a scribe that dies over it is succeeded by one that is asked again."""
        for attempt in range(1, _ATTEMPTS + 1):
            scribe = self._scribe
            try:
                return scribe.call(do, timeout_seconds=timeout_seconds, **arguments)
            except (ControlError, CassetteError):
                if attempt == _ATTEMPTS or not self._has_successor(scribe):
                    raise
        raise AssertionError("not reached")

    def _has_successor(self, scribe: Child) -> bool:
        """Wait a little for the scribe that takes over from a dead one."""
        deadline = time.monotonic() + _SUCCESSOR_SECONDS
        while self._scribe is scribe and time.monotonic() < deadline and not scribe.is_alive():
            time.sleep(_LOOK_SECONDS)
        # `_died` holds the lock until the new one has taken up every session.
        with self._lock:
            return self._scribe is not scribe

    def close(self, timeout_seconds: float) -> None:
        """End it; it writes what the journals hold."""
        with self._lock:
            self._closed.set()
        self._scribe.close(timeout_seconds)
