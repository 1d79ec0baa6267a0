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
from pathlib import Path
from typing import Any

from addons.access import LOOPBACK, Login, parse_login, proxy_url
from addons.errors import ConfigError, ControlError, StartError
from addons.measures import Measures, total
from addons.scribe_keeper import SILENCE_SECONDS, ScribeKeeper
from cassette.errors import CassetteError
from cassette.files import make_private_folder
from proxy_cli import recordings
from proxy_cli.messages import SessionRequest, StoppingError
from proxy_cli.session import Session, is_alive, what_to_do
from proxy_cli.switching import Switcher
from proxy_cli.workers import Worker, Workers

_log = logging.getLogger(__name__)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_PING_SECONDS = 1.0
_ANY_WORD = "wiretape"
"""A password for sessions without one, on the common port: what is sent is not looked at."""
_COUNTS_SECONDS = 0.5
"""The scribe may be at a long body; `status` does not wait for it."""


class Registry:
    """All sessions, and the children that serve them. Methods may be called from several threads."""

    def __init__(
        self,
        journals: Path,
        ca_folder: Path,
        *,
        workers: int = 1,
        silence_seconds: float = SILENCE_SECONDS,
        common_port: int | None = None,
    ) -> None:
        """Start the children; they are ready when the first session opens.

        Raises StartError when `common_port`, which all sessions share, is busy.
        """
        self._common_port = common_port
        # With one worker too: its successor is to know what was replayed.
        self._decks = journals.parent / "decks"
        self._journals = journals
        self._sessions: dict[str, Session] = {}
        self._lock = threading.RLock()
        self._stopping = False
        make_private_folder(journals)
        shutil.rmtree(self._decks, ignore_errors=True)  # of a daemon that was killed
        make_private_folder(self._decks)
        with self._lock:
            self._scribe = ScribeKeeper(self._lock, self._take_up, silence_seconds=silence_seconds)
            self._workers = Workers(workers, ca_folder, self._lock, self._worker_succeeded)
        self._switcher = Switcher(self._scribe, self._workers, self._lock, self._refuse_two_writers)
        if common_port is not None:
            try:
                self._workers.open_common(common_port)
            except BaseException:
                self.close_all()
                raise

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
            records, replays = what_to_do(request)
            session = Session(
                request,
                directory,
                records,
                replays,
                decks=self._decks,
                has_journal=records,
                has_replayed=replays,
            )
            if records:
                self._refuse_two_writers(session)
            with contextlib.ExitStack() as undo:
                if records:
                    recordings.make_journal(session, undo)
                session.opened(self._workers.open(session.worker_spec(request.port)))
                undo.callback(self._workers.close, request.name, 0.0)
                # Whoever succeeds the scribe from now on takes it up.
                self._sessions[request.name] = session
                undo.callback(self._sessions.pop, request.name)
                if records:
                    # New episodes go behind the old ones.
                    append = request.append or replays
                    recordings.make_cassette(session, undo, append=append, overwrite=request.overwrite)
                    recordings.begin(self._scribe, session)
                undo.pop_all()
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
        for name, other in self._sessions.items():
            is_other = name != session.request.name and other.has_journal
            if is_other and other.request.cassette.resolve() == cassette.resolve():
                raise StartError(
                    f"{cassette} is being written by session {other.request.name!r}; choose another --cassette"
                )

    def switch(self, name: str, mode: str, drain_seconds: float | None = None) -> dict[str, Any]:
        """Change the mode of a session and return its status.

        Raises ControlError when there is none of that name or it is being changed, ConfigError for an unknown mode,
        StartError or CassetteError when it cannot be; the session then stays as it was.
        """
        with self._lock:
            session = self._open_session(name)
            if not session.changing.acquire(blocking=False):
                raise ControlError(f"the mode of session {name!r} is being changed; try again in a moment")
        try:
            drain = session.request.drain_seconds if drain_seconds is None else drain_seconds
            self._switcher.switch(session, mode, drain)
        finally:
            session.changing.release()
        _log.info("session.switched session=%s mode=%s", name, mode)
        self.refresh()
        return session.status()

    def _open_session(self, name: str) -> Session:
        session = self._sessions.get(name)
        if session is None or session.closing:
            raise ControlError(f"no session {name!r} is open; see: wiretape status")
        return session

    def close(self, name: str, drain_seconds: float | None = None) -> dict[str, Any]:
        """Close a session and return its summary; raises ControlError when there is none of that name."""
        with self._lock:
            session = self._open_session(name)
            session.closing = True
        drain = session.request.drain_seconds if drain_seconds is None else drain_seconds
        with session.changing:  # a change that is under way is over in a moment
            for writer, counts in self._workers.close(name, drain).items():
                session.count(writer, counts)
            if session.has_journal:
                recordings.finish(self._scribe, session)
        session.forget_decks()
        with self._lock:
            del self._sessions[name]
        _log.info("session.closed session=%s", name)
        return session.status()

    def retire(self) -> bool:
        """Take no more sessions, unless one is open or just being opened; tell whether that is so from now on."""
        with self._lock:
            self._stopping = self._stopping or not self._sessions
            return self._stopping

    def close_all(self) -> None:
        """Close every session, all draining at once, and end the children."""
        with self._lock:
            self._stopping = True
            self._workers.retire()
            names = list(self._sessions)
        threads = [threading.Thread(target=self._close_quietly, args=(name,)) for name in names]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self._workers.end(10)
        self._scribe.close(60)

    def _close_quietly(self, name: str) -> None:
        with contextlib.suppress(ControlError):  # closed by somebody else in the meantime
            self.close(name)

    def refresh(self) -> None:
        """Ask the children for their counters; one that is busy keeps what it said last."""
        traffic = self._workers.counts()
        self._workers.refresh_measures()
        written = self._written()
        with self._lock:
            for name, session in self._sessions.items():
                for writer, counted in traffic.items():
                    if name in counted and writer not in session.gone_writers:
                        session.count(writer, counted[name])
                session.written = written.get(str(session.directory), session.written)

    def _written(self) -> dict[str, Any]:
        try:
            answer: dict[str, Any] = self._scribe.call("counts", timeout_seconds=_COUNTS_SECONDS)
        except ControlError:
            return {}
        return answer

    def measures(self) -> Measures:
        """Return what all workers measured, those that died included, as last seen."""
        return total(self._workers.measured())

    def restarts(self) -> dict[str, int]:
        """Return how often a child died and was succeeded."""
        return {"worker": self._workers.restarts, "scribe": self._scribe.restarts}

    def problems(self) -> list[str]:
        """Return why not all is well, a line each: a child that does not answer, a session that cannot write."""
        found = []
        for ask in (*(worker.child.call for worker in self._workers.now), self._scribe.call):
            try:
                ask("ping", timeout_seconds=_PING_SECONDS)
            except ControlError as exc:
                found.append(str(exc))
        found += [f"session {one['name']!r}: {one['problem']}" for one in self.statuses() if one["problem"]]
        return found

    def statuses(self) -> list[dict[str, Any]]:
        """Return the status of every session."""
        with self._lock:
            return [session.status() for session in self._sessions.values()]

    def listeners(self) -> list[tuple[str, int]]:
        """Return the addresses that clients connect to as a proxy."""
        common = [(LOOPBACK, self._common_port)] if self._common_port is not None else []
        with self._lock:
            return [*common, *((one.request.listen, one.port) for one in self._sessions.values())]

    def proxy_of(self, name: str) -> str:
        """Return the URL for clients of a session, with the password where there is one; else ControlError."""
        session, login = self._with_login(name)
        return proxy_url(session.request.listen, session.port, login)

    def common_proxy_of(self, name: str) -> str | None:
        """Return the same for the port that all sessions have in common; None where there is no such port.

        It has a password in any case: urllib sends nothing without one, and requests neither (both measured).
        """
        _, login = self._with_login(name)
        if self._common_port is None:
            return None
        return proxy_url(LOOPBACK, self._common_port, Login(name, login.password if login else _ANY_WORD))

    def _with_login(self, name: str) -> tuple[Session, Login | None]:
        with self._lock:
            session = self._sessions.get(name)
        if session is None:
            raise ControlError(f"no session {name!r} is open; see: wiretape status")
        return session, parse_login(session.request.login) if session.request.login else None

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
        """Return the children's process ids; of several workers the first one's."""
        return {"worker": self._workers.now[0].child.pid, "scribe": self._scribe.pid}

    def workers(self) -> dict[str, int]:
        """Return all workers' process ids, by the names under which sessions count them."""
        return {worker.writer: worker.child.pid for worker in self._workers.now}

    def _take_up(self) -> None:
        """Give a new scribe its work."""
        for session in self._sessions.values():
            if session.has_journal:
                recordings.take_up(self._scribe, session)

    def _worker_succeeded(self, gone: str, successor: Worker) -> None:
        """Let a new worker serve what a dead one did."""
        going_on = [session for session in self._sessions.values() if not session.closing]
        for session in going_on:  # the listener of another one is closed for good
            session.writer_gone(gone)
            try:
                # Clients are waiting: it opens even where the disk refuses.
                spec = session.worker_spec(session.port) | {"takes_over": True}
                self._workers.open_in(successor, spec)
                session.problem = ""
            except (ControlError, CassetteError, StartError) as exc:
                session.problem = str(exc)
                _log.error("session.worker_failed session=%s reason=%s", session.request.name, exc)
        # Behind all listeners: a scribe that hangs would keep clients waiting.
        for session in going_on:
            if session.has_journal:
                recordings.say_gone(self._scribe, session, gone)
