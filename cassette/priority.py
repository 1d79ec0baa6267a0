"""How much of the processor the scribe asks for: little while it keeps up, its share when it falls behind.

Whoever has a client waiting goes first. Two things say so to the kernel (sched(7)): the nice value, which counts
among the processes of one session only where Linux shares the processor out among sessions ("autogroup"), and the
nice value of the scribe's session, which is its own for that reason. Only the second can be lowered again without
privileges; elsewhere the first has to do.
"""

from __future__ import annotations

import errno
import os
import threading
import time
from pathlib import Path

_NICE = 5
"""On a machine that is busy throughout a third of a core is left: a scribe that cannot keep up lets the journal grow.
Chosen, not measured."""
_MODEST = 19
"""Measured on two cores with 50 streams, whose clients share one core with the scribe: beside a body of 10 MB a second
their p99 is 1.2 times what it is without; 1.7 times at 5, 1.9 times in the session of the daemon."""
_PATIENCE_SECONDS = 1.0
"""How long things have to stay as they are before the share changes; chosen, not measured."""
_RETRY_SECONDS = 0.1
"""The kernel takes one change of a session's nice value in so long (kernel/sched/autogroup.c)."""
_SESSION_NICE = Path("/proc/self/autogroup")


class Priority:
    """The claim of this process to the processor; never raises, for want of it only time is lost."""

    def __init__(self) -> None:
        """Begin with the full share, in a session of this process's own."""
        os.nice(_NICE)
        self._lock = threading.Lock()
        self._nice: int | None = None
        self._wanted = _NICE
        self._heeded = self._since = self._retry_at = time.monotonic()
        try:
            os.setsid()
            self._has_session = _SESSION_NICE.exists()
        except PermissionError:  # started by hand from a shell, whose session this is
            self._has_session = False
        with self._lock:
            self._apply()

    def heed(self, *, is_behind: bool) -> None:
        """Ask for as much as it takes; to be called several times a second."""
        with self._lock:
            self._heeded = time.monotonic()
            wanted = _NICE if is_behind else _MODEST
            if wanted == self._wanted:
                self._since = self._heeded
            elif self._heeded - self._since >= _PATIENCE_SECONDS:
                self._wanted, self._since = wanted, self._heeded
            self._apply()

    def hurry(self) -> None:
        """Ask for the full share at once, until some time has passed: somebody waits."""
        with self._lock:
            self._wanted, self._since = _NICE, time.monotonic()
            self._apply()

    def watch(self) -> None:
        """Ask for the full share whenever `heed` is not called for long: one step is large. Runs in a thread."""
        while self._has_session:
            time.sleep(_PATIENCE_SECONDS / 2)
            if time.monotonic() - self._heeded >= _PATIENCE_SECONDS:
                self.hurry()

    def _apply(self) -> None:
        if not self._has_session or self._nice == self._wanted or time.monotonic() < self._retry_at:
            return
        try:
            _SESSION_NICE.write_text(str(self._wanted))
            self._nice = self._wanted
        except OSError as exc:
            self._has_session = exc.errno == errno.EAGAIN
            self._retry_at = time.monotonic() + _RETRY_SECONDS
