"""A session changes its mode while it runs: same port, same name, nobody who is connected notices.

    drain      what is being recorded may end, up to a deadline; requests go on in the old mode
    catch up   the scribe writes what has finished, so that the cassette can be replayed
    prepare    the workers begin a journal, or read the cassette
    enter      they serve in the new mode what begins from then on

What still runs then, ends in the mode that it began in. When a step fails, the session stays as it was.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from addons.errors import ConfigError, ControlError
from addons.scribe_keeper import ScribeKeeper
from cassette.errors import StoreError
from proxy_cli import recordings
from proxy_cli.messages import SessionRequest
from proxy_cli.plugin_names import MODES
from proxy_cli.session import Session, holds_interactions, what_to_do
from proxy_cli.workers import Workers

_LOOK_SECONDS = 0.02
_LONGEST_LOOK_SECONDS = 0.2
_ATTEMPTS = 3
"""How often a switch is tried when workers die over it."""


class Switcher:
    """Changes modes. Nobody else may change a session meanwhile: the caller holds its lock."""

    def __init__(
        self,
        scribe: ScribeKeeper,
        workers: Workers,
        lock: threading.RLock,
        may_write: Callable[[Session], None],
    ) -> None:
        """`may_write` raises StartError when another session has the cassette; `lock` is the one of all sessions."""
        self._scribe = scribe
        self._workers = workers
        self._lock = lock
        self._may_write = may_write

    def switch(self, session: Session, mode: str, drain_seconds: float) -> None:
        """Change the mode of a session; raises ConfigError, StartError, CassetteError, ControlError."""
        if mode not in MODES:
            raise ConfigError(f"{mode!r} is no mode; choose one of: {', '.join(MODES)}")
        request = replace(session.request, mode=mode)
        # Whoever reads the cassette is to find what was recorded.
        if session.has_journal and mode not in ("record-only", "passthrough"):
            self._drain(session, drain_seconds)
            recordings.catch_up(self._scribe, session)
        records, replays = _what_to_do(request)
        new = replace(session, request=request, records=records, replays=replays, phase=session.phase + 1)
        begins_journal = records and not session.has_journal
        with contextlib.ExitStack() as undo:
            if begins_journal:
                self._begin_journal(session, new, undo)
            elif records:
                recordings.make_cassette(new, undo, append=True, overwrite=False)
            self._prepare(session, new, undo, begins_journal=begins_journal)
            undo.pop_all()
        self._workers.enter(request.name)

    def _drain(self, session: Session, seconds: float) -> None:
        """Wait for what is being recorded now, not for what begins meanwhile."""
        deadline = time.monotonic() + seconds
        name, pause = session.request.name, _LOOK_SECONDS
        awaited, waiting_bytes = self._workers.recording(name)
        while (awaited or waiting_bytes) and time.monotonic() < deadline:
            if session.closing:
                raise ControlError(f"session {name!r} is being stopped")
            time.sleep(pause)
            pause = min(pause * 1.5, _LONGEST_LOOK_SECONDS)
            running, waiting_bytes = self._workers.recording(name)
            awaited &= running
        if waiting_bytes:
            raise StoreError(
                "the disk does not take what was recorded; see: wiretape status", path=session.directory
            )

    def _begin_journal(self, session: Session, new: Session, undo: contextlib.ExitStack) -> None:
        """Make what a session needs to record for the first time."""
        with self._lock:
            self._may_write(new)
            # From here on no other session may write it, and a scribe that dies is succeeded by one that takes it up.
            session.has_journal = True
        undo.callback(_forget_journal, session, session.written)
        recordings.make_journal(new, undo)
        recordings.make_cassette(new, undo, append=True, overwrite=False)
        recordings.begin(self._scribe, session)
        undo.callback(recordings.finish, self._scribe, session)

    def _prepare(
        self, session: Session, new: Session, undo: contextlib.ExitStack, *, begins_journal: bool
    ) -> None:
        """Have the workers make ready, and believe in the new mode: a worker's successor opens what is believed."""
        undo.callback(self._workers.abandon, new.request.name, ends_journal=begins_journal)
        for _ in range(_ATTEMPTS):
            with self._lock:  # so that one that has just come has opened the session
                workers = self._workers.now
            try:
                self._workers.prepare(new.worker_spec(session.port))
            except ControlError:
                if not self._workers.have_changed(workers):
                    raise
                continue
            with self._lock:
                if self._workers.now is workers:  # else one of them came in between, and is not ready
                    session.request, session.phase = new.request, new.phase
                    session.records, session.replays = new.records, new.replays
                    session.has_replayed |= new.replays
                    return
        raise ControlError("the worker died; see: wiretape logs")


def _what_to_do(request: SessionRequest) -> tuple[bool, bool]:
    if request.mode == "record-once":
        replays = holds_interactions(request.cassette)
        return not replays, replays
    return what_to_do(request)


def _forget_journal(session: Session, written: dict[str, Any]) -> None:
    session.has_journal = False
    session.written = written
