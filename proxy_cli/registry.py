"""The daemon's sessions: opened, watched and closed across the proxy worker and the scribe.

    open    journal folder ─▶ worker binds the port ─▶ cassette is made ─▶ scribe reads behind
    close   worker drains and cuts ─▶ scribe reads to the end ─▶ journal deleted

A worker or scribe that dies is started anew and takes up every session where the journal stands.
"""

from __future__ import annotations

import contextlib
import logging
import re
import secrets
import shutil
import threading
import time
from pathlib import Path
from typing import Any

from addons.access import parse_login, proxy_url
from addons.child import Child
from addons.errors import ConfigError, ControlError, StartError
from addons.measures import Measures, total
from cassette import store
from cassette.errors import CassetteError
from cassette.files import interrupted_path, make_private_folder
from cassette.model import Layout
from proxy_cli.messages import SessionRequest, StoppingError
from proxy_cli.session import Session, is_alive, what_to_do

_log = logging.getLogger(__name__)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_COUNTS_SECONDS = 0.5
"""The scribe may be at a long body; `status` does not wait for it."""
SILENCE_SECONDS = 10.0
"""A process that pings get no answer from for so long hangs; it is at its disk or at a body for far less between two
answers, which come from a thread of their own. Chosen, not measured."""
_PING_SECONDS = 1.0
_FINISH_ATTEMPTS = 2
_SUCCESSOR_SECONDS = 10.0
_LOOK_SECONDS = 0.02
_FINISH_SECONDS = 600.0
"""How long the scribe may take for what is left in a journal."""


class Registry:
    """All sessions, and the two children that serve them. Methods may be called from several threads."""

    def __init__(self, journals: Path, ca_folder: Path, *, silence_seconds: float = SILENCE_SECONDS) -> None:
        """Start the children; they are ready when the first session opens.

        A scribe that does not answer a ping for `silence_seconds` is killed and succeeded.
        """
        self._journals = journals
        self._silence_seconds = silence_seconds
        self._closed = threading.Event()
        self._ca_folder = ca_folder
        self._sessions: dict[str, Session] = {}
        self._lock = threading.RLock()
        self._stopping = False
        self._generation = 0
        self._restarts = {"worker": 0, "scribe": 0}
        self._measured: dict[str, Any] = {}
        """What the worker measured, as last seen."""
        self._measured_before: list[dict[str, Any]] = []
        make_private_folder(journals)
        self._scribe = self._start_scribe()
        self._worker = self._start_worker()
        threading.Thread(target=self._watch_scribe, name="scribe watch", daemon=True).start()

    def _watch_scribe(self) -> None:
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

    def _start_scribe(self) -> Child:
        return Child("scribe", ["cassette.scribe_process"], self._scribe_died)

    def _start_worker(self) -> Child:
        self._generation += 1
        return Child("worker", ["addons.worker", str(self._ca_folder), self._writer], self._worker_died)

    @property
    def _writer(self) -> str:
        return f"w{self._generation}"

    def open(self, request: SessionRequest) -> dict[str, Any]:
        """Open a session and return its status.

        Raises ConfigError for a name that cannot be, StartError when it or its port or its cassette is in use,
        StoreError when the cassette cannot be written. Nothing is left behind then.
        """
        if not _NAME.fullmatch(request.name):
            raise ConfigError(
                f"{request.name!r} cannot name a session: use letters, digits, dots, dashes, 64 at most"
            )
        with self._lock:
            self._refuse_twice(request)
            directory = self._journals / f"{request.name}-{secrets.token_hex(4)}"
            session = Session(request, directory, *what_to_do(request))
            self._refuse_two_writers(session)
            with contextlib.ExitStack() as undo:
                if session.records:
                    make_private_folder(directory)
                    undo.callback(shutil.rmtree, directory, ignore_errors=True)
                    session.description().save(directory)
                session.port = self._open_in_worker(session, request.port)
                undo.callback(self._close_in_worker, session, 0.0)
                if session.records:
                    self._make_cassette(session, undo)
                    self._scribe.call("open", directory=str(directory))
                undo.pop_all()
            self._sessions[request.name] = session
        _log.info("session.opened session=%s port=%d mode=%s", request.name, session.port, request.mode)
        return session.status()

    def _refuse_twice(self, request: SessionRequest) -> None:
        if self._stopping:
            raise StoppingError("the daemon is stopping; try again in a moment")
        if request.name in self._sessions:
            raise StartError(
                f"session {request.name!r} is open already; stop it with: wiretape stop {request.name},"
                " or choose another name"
            )

    def _refuse_two_writers(self, session: Session) -> None:
        cassette = session.request.cassette
        for other in self._sessions.values():
            if session.records and other.records and other.request.cassette.resolve() == cassette.resolve():
                raise StartError(
                    f"{cassette} is being written by session {other.request.name!r}; choose another --cassette"
                )

    def _open_in_worker(self, session: Session, port: int) -> int:
        answer = self._worker.call(
            "open",
            session=session.worker_spec(port),
        )
        return int(answer["port"])

    def _close_in_worker(self, session: Session, drain_seconds: float) -> dict[str, Any]:
        name = session.request.name
        answer: dict[str, Any] = self._worker.call(
            "close", name=name, drain_seconds=drain_seconds, timeout_seconds=drain_seconds + 30
        )
        return answer

    @staticmethod
    def _make_cassette(session: Session, undo: contextlib.ExitStack) -> None:
        request = session.request
        layout = Layout(request.layout)
        is_new = not request.cassette.exists()
        # New episodes go behind the old ones.
        append = request.append or session.replays
        store.create(request.cassette, layout, append=append, overwrite=request.overwrite and not append)
        if is_new:
            undo.callback(request.cassette.unlink, missing_ok=True)
        if request.overwrite:
            interrupted_path(request.cassette).unlink(missing_ok=True)

    def close(self, name: str, drain_seconds: float | None = None) -> dict[str, Any]:
        """Close a session and return its summary; raises ControlError when there is none of that name."""
        with self._lock:
            session = self._sessions.get(name)
            if session is None or session.closing:
                raise ControlError(f"no session {name!r} is open; see: wiretape status")
            session.closing = True
        drain = session.request.drain_seconds if drain_seconds is None else drain_seconds
        try:
            session.add_traffic(self._close_in_worker(session, drain))
        except ControlError as exc:
            _log.error("session.close_failed session=%s reason=%s", name, exc)
        if session.records:
            self._finish(session)
        with self._lock:
            del self._sessions[name]
        _log.info("session.closed session=%s", name)
        return session.status()

    def _finish(self, session: Session) -> None:
        """Have the scribe read to the end; one that dies over it is succeeded by one that is asked again."""
        directory = str(session.directory)
        for attempt in range(_FINISH_ATTEMPTS):
            scribe = self._scribe
            try:
                session.written = scribe.call(
                    "finish",
                    directory=directory,
                    reason="the session was stopped",
                    timeout_seconds=_FINISH_SECONDS,
                )
            except (ControlError, CassetteError) as exc:
                session.written["problem"] = str(exc)
                if attempt + 1 < _FINISH_ATTEMPTS and self._has_successor(scribe):
                    continue
            return

    def _has_successor(self, scribe: Child) -> bool:
        """Wait a little for the scribe that takes over from a dead one."""
        deadline = time.monotonic() + _SUCCESSOR_SECONDS
        while self._scribe is scribe and time.monotonic() < deadline and not scribe.is_alive():
            time.sleep(_LOOK_SECONDS)
        # `_scribe_died` holds the lock until the new one has taken up every session.
        with self._lock:
            return self._scribe is not scribe

    def retire(self) -> bool:
        """Take no more sessions, unless one is open or just being opened; tell whether that is so from now on."""
        with self._lock:
            self._stopping = self._stopping or not self._sessions
            return self._stopping

    def close_all(self) -> None:
        """Close every session, all draining at once, and end the children."""
        with self._lock:
            self._stopping = True
            names = list(self._sessions)
        threads = [threading.Thread(target=self._close_quietly, args=(name,)) for name in names]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        with self._lock:
            self._closed.set()
        self._worker.close(10)
        self._scribe.close(60)

    def _close_quietly(self, name: str) -> None:
        with contextlib.suppress(ControlError):  # closed by somebody else in the meantime
            self.close(name)

    def refresh(self) -> None:
        """Ask the children for their counters; one that is busy keeps what it said last."""
        traffic = self._ask(self._worker, "counts")
        measured = self._ask(self._worker, "measures")
        written = self._ask(self._scribe, "counts")
        with self._lock:
            self._measured = measured or self._measured
            for session in self._sessions.values():
                if session.request.name in traffic:
                    session.add_traffic(traffic[session.request.name])
                session.written = written.get(str(session.directory), session.written)

    @staticmethod
    def _ask(child: Child, what: str) -> dict[str, Any]:
        try:
            answer: dict[str, Any] = child.call(what, timeout_seconds=_COUNTS_SECONDS)
        except ControlError:
            return {}
        return answer

    def measures(self) -> Measures:
        """Return what all workers measured, those that died included, as last seen."""
        with self._lock:
            return total([*self._measured_before, self._measured])

    def restarts(self) -> dict[str, int]:
        """Return how often a child died and was succeeded."""
        return dict(self._restarts)

    def problems(self) -> list[str]:
        """Return why not all is well, a line each: a child that does not answer, a session that cannot write."""
        found = []
        for child in (self._worker, self._scribe):
            try:
                child.call("ping", timeout_seconds=_PING_SECONDS)
            except ControlError as exc:
                found.append(str(exc))
        found += [f"session {one['name']!r}: {one['problem']}" for one in self.statuses() if one["problem"]]
        return found

    def statuses(self) -> list[dict[str, Any]]:
        """Return the status of every session."""
        with self._lock:
            return [session.status() for session in self._sessions.values()]

    def proxy_of(self, name: str) -> str:
        """Return the URL for clients of a session, with the password where there is one; else ControlError."""
        with self._lock:
            session = self._sessions.get(name)
        if session is None:
            raise ControlError(f"no session {name!r} is open; see: wiretape status")
        login = parse_login(session.request.login) if session.request.login else None
        return proxy_url(session.request.listen, session.port, login)

    def __len__(self) -> int:
        """Return how many sessions are open."""
        return len(self._sessions)

    def orphans(self) -> list[str]:
        """Return the sessions whose owner has died without closing them."""
        with self._lock:
            owners = {
                name: session.request.owner_pid
                for name, session in self._sessions.items()
                if not session.closing
            }
        return [name for name, pid in owners.items() if pid is not None and not is_alive(pid)]

    def pids(self) -> dict[str, int]:
        """Return the children's process ids."""
        return {"worker": self._worker.pid, "scribe": self._scribe.pid}

    def _scribe_died(self, _child: Child) -> None:
        with self._lock:
            if self._closed.is_set():  # while sessions are closed one is needed
                return
            self._scribe = self._start_scribe()
            self._restarts["scribe"] += 1
            for session in self._sessions.values():
                if session.records:
                    self._take_up_in_scribe(session)

    def _take_up_in_scribe(self, session: Session) -> None:
        directory = str(session.directory)
        try:
            self._scribe.call("open", directory=directory)
            for writer in session.gone_writers:
                self._scribe.call("writer_gone", directory=directory, writer=writer)
        except (ControlError, CassetteError) as exc:
            session.written["problem"] = str(exc)
            _log.error("session.scribe_failed session=%s reason=%s", session.request.name, exc)

    def _worker_died(self, _child: Child) -> None:
        with self._lock:
            if self._stopping:
                return
            gone = self._writer
            self._worker = self._start_worker()
            self._restarts["worker"] += 1
            self._measured_before.append(self._measured)
            self._measured = {}
            for session in self._sessions.values():
                if session.closing:  # its listener is closed for good
                    continue
                session.gone_writers.append(gone)
                session.keep_counted()
                try:
                    self._open_in_worker(session, session.port)
                    if session.records:
                        self._scribe.call("writer_gone", directory=str(session.directory), writer=gone)
                except (ControlError, CassetteError, StartError) as exc:
                    session.traffic["problem"] = str(exc)
                    _log.error("session.worker_failed session=%s reason=%s", session.request.name, exc)
