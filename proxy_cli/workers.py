"""The proxy workers: each serves every session; one that dies is succeeded by another under a new writer's name."""

from __future__ import annotations

import contextlib
import functools
import itertools
import logging
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from addons import levers
from addons.child import Child
from addons.errors import ControlError, ProxyError, StartError
from cassette.errors import CassetteError

_log = logging.getLogger(__name__)
_COUNTS_SECONDS = 0.5
"""A worker may be busy; `status` does not wait for it."""
_SUCCESSOR_SECONDS = 10.0
_LOOK_SECONDS = 0.02


def worker_count(wanted: int, platform: str) -> int:
    """Return how many workers there can be: only Linux deals connections out among sockets at one port.

    Elsewhere SO_REUSEPORT gives them all to one (macOS), or does not exist.
    """
    if wanted > 1 and platform != "linux":
        _log.warning("workers.one_only wanted=%d platform=%s", wanted, platform)
        return 1
    return wanted


@dataclass(frozen=True, slots=True)
class Worker:
    """One worker process."""

    child: Child
    writer: str
    """Its name in the journals; no other worker of this daemon has it, or had it."""

    def open(self, spec: dict[str, Any]) -> dict[str, Any]:
        """Open a session; return the part of `spec` that says where it listens.

        Raises StartError, StoreError and so on.
        """
        listens: dict[str, Any] = self.child.call("open", session=spec)
        return listens

    def close(self, name: str, drain_seconds: float) -> dict[str, Any]:
        """Close a session and return its counters; raises ControlError when the worker dies over it."""
        answer: dict[str, Any] = self.child.call(
            "close", name=name, drain_seconds=drain_seconds, timeout_seconds=drain_seconds + 30
        )
        return answer


class Workers:
    """The workers that there are at present."""

    def __init__(
        self, count: int, ca_folder: Path, lock: threading.RLock, succeeded: Callable[[str, Worker], None]
    ) -> None:
        """Start so many. `succeeded` is told who is gone and who came; it is called under `lock`."""
        self._ca_folder = ca_folder
        self._lock = lock
        self._succeeded = succeeded
        self._generations = itertools.count(1)
        self._stopping = False
        self._common_port: int | None = None
        self._measured: dict[str, dict[str, Any]] = {}
        self.restarts = 0
        """How often one died and was succeeded."""
        with lock:
            self._workers: tuple[Worker, ...] = tuple(self._start() for _ in range(count))

    def _start(self) -> Worker:
        writer = f"w{next(self._generations)}"
        command = ["addons.worker", str(self._ca_folder), writer]
        return Worker(Child("worker", command, self._died, levers.interpreter_options()), writer)

    def _died(self, child: Child) -> None:
        with self._lock:
            if self._stopping:
                return
            gone = next(worker for worker in self._workers if worker.child is child)
            successor = self._start()
            self.restarts += 1
            self._workers = tuple(successor if worker is gone else worker for worker in self._workers)
            self._open_common_again(successor)
            self._succeeded(gone.writer, successor)

    def have_changed(self, before: tuple[Worker, ...]) -> bool:
        """Tell whether one that was there `before` is succeeded; waits a little where one is dead."""
        deadline = time.monotonic() + _SUCCESSOR_SECONDS
        while self._workers is before and time.monotonic() < deadline:
            if all(worker.child.is_alive() for worker in before):
                return False
            time.sleep(_LOOK_SECONDS)
        # `_died` holds the lock until the new one has opened every session.
        with self._lock:
            return self._workers is not before

    @property
    def now(self) -> tuple[Worker, ...]:
        """The workers that are there now; another tuple once one of them has a successor."""
        return self._workers

    def open_common(self, port: int) -> None:
        """Open the port that all sessions have in common, in successors too; raises StartError when it is busy."""
        self._common_port = port
        for worker in self._workers:
            worker.child.call("common", port=port, port_use=self._use_of(worker))

    def _open_common_again(self, worker: Worker) -> None:
        if self._common_port is not None:
            try:
                worker.child.call("common", port=self._common_port, port_use=self._use)
            except (ControlError, StartError) as exc:
                _log.error("daemon.common_port_failed port=%s reason=%s", self._common_port, exc)

    def open(self, spec: dict[str, Any]) -> dict[str, Any]:
        """Open a session in each of them, at the same ports; return the part of `spec` that says which.

        Nothing is left open when one fails.
        """
        first, *others = self._workers
        listens = first.open(spec | {"port_use": self._use_of(first)})
        spec = spec | listens
        opened = [first]
        outcomes = _each(others, functools.partial(self.open_in, spec=spec))
        opened += [worker for worker, outcome in outcomes if not isinstance(outcome, Exception)]
        if len(opened) < len(self._workers):
            _each(opened, lambda worker: self._close_quietly(worker, spec["name"], 0.0))
            _raise_first(outcomes)
        return {name: spec[name] for name in ("port", "reverse")}

    def open_in(self, successor: Worker, spec: dict[str, Any]) -> None:
        """Open a session in a worker that has just come, at the port that the others have."""
        successor.open(spec | {"port_use": self._use})

    def _use_of(self, worker: Worker) -> str:
        """Return how a worker uses a port that none of them has yet."""
        return "first" if len(self._workers) > 1 and worker is self._workers[0] else self._use

    @property
    def _use(self) -> str:
        return "alone" if len(self._workers) == 1 else "joins"

    def close(self, name: str, drain_seconds: float) -> dict[str, dict[str, Any]]:
        """Close a session in all of them at once; return the counters by writer, of those that lived to tell."""
        outcomes = _each(self._workers, lambda worker: self._close_quietly(worker, name, drain_seconds))
        return {worker.writer: counted for worker, counted in outcomes if isinstance(counted, dict)}

    @staticmethod
    def _close_quietly(worker: Worker, name: str, drain_seconds: float) -> dict[str, Any] | None:
        try:
            return worker.close(name, drain_seconds)
        except ControlError as exc:
            _log.error("session.close_failed session=%s worker=%s reason=%s", name, worker.writer, exc)
            return None

    def prepare(self, spec: dict[str, Any]) -> None:
        """Have all of them make ready to serve a session in another mode; raises what one of them cannot."""
        spec = spec | {"port_use": self._use}
        _raise_first(_each(self._workers, lambda worker: worker.child.call("prepare", session=spec)))

    def enter(self, name: str) -> None:
        """Have those that are ready serve a session so. One that is dead is succeeded by one that does anyway."""
        self._tell_all("enter", name)

    def abandon(self, name: str, *, ends_journal: bool) -> None:
        """Have them forget what they made ready; `ends_journal`: a journal too that the session had not before."""
        self._tell_all("abandon", name, ends_journal=ends_journal)

    def _tell_all(self, do: str, name: str, **arguments: Any) -> None:
        for worker in self._workers:
            try:
                worker.child.call(do, name=name, **arguments)
            except (ControlError, CassetteError) as exc:
                _log.error("session.%s_failed session=%s worker=%s reason=%s", do, name, worker.writer, exc)

    def recording(self, name: str) -> tuple[set[str], int]:
        """Return the flows of a session that are being recorded, and how many bytes wait for the disk.

        A worker that does not answer has none: what a dead one recorded is over.
        """
        flows: set[str] = set()
        waiting_bytes = 0
        for worker in self._workers:
            with contextlib.suppress(ControlError):
                answer = worker.child.call("recording", name=name)
                flows.update(answer["flows"])
                waiting_bytes += answer["waiting_bytes"]
        return flows, waiting_bytes

    def counts(self) -> dict[str, dict[str, Any]]:
        """Return the counters of all sessions, by writer; one that is busy is left out."""
        return self._ask_all("counts")

    def refresh_measures(self) -> None:
        """Ask them what they measured."""
        now = self._ask_all("measures")
        with self._lock:
            self._measured |= now

    def measured(self) -> list[dict[str, Any]]:
        """Return what each of them measured, those that died included, as last seen."""
        with self._lock:
            return list(self._measured.values())

    def _ask_all(self, what: str) -> dict[str, dict[str, Any]]:
        answers = {}
        for worker in self._workers:
            with contextlib.suppress(ControlError):
                answers[worker.writer] = worker.child.call(what, timeout_seconds=_COUNTS_SECONDS)
        return answers

    def retire(self) -> None:
        """Let none that dies have a successor any more."""
        with self._lock:
            self._stopping = True

    def end(self, timeout_seconds: float) -> None:
        """End them."""
        for worker in self._workers:
            worker.child.close(timeout_seconds)


def _each(workers: Sequence[Worker], do: Callable[[Worker], Any]) -> list[tuple[Worker, Any]]:
    """Do something with all of them at once; return what came of it for each, an error as it is."""

    def outcome(worker: Worker) -> Any:
        try:
            return do(worker)
        except (ProxyError, CassetteError) as exc:
            return exc

    with ThreadPoolExecutor(max(1, len(workers))) as pool:
        return list(zip(workers, pool.map(outcome, workers), strict=True))


def _raise_first(outcomes: Sequence[tuple[Worker, Any]]) -> None:
    for _, outcome in outcomes:
        if isinstance(outcome, Exception):
            raise outcome
