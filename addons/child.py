"""A child process of the daemon that is spoken to in JSON lines: the proxy worker and the scribe."""

from __future__ import annotations

import contextlib
import itertools
import json
import logging
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from typing import Any

from addons.errors import ConfigError, ControlError, ProxyError, StartError
from cassette.errors import CassetteError, FormatError, StoreError

_log = logging.getLogger(__name__)
_KINDS: dict[str, type[ProxyError] | type[CassetteError]] = {
    kind.__name__: kind for kind in (ConfigError, ControlError, FormatError, StartError, StoreError)
}


class Child:
    """One process; requests may come from several threads, answers are paired by id.

    Its standard error goes to the daemon's log, line by line. When it ends without being told, `on_death` is
    called once, from a thread of its own.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        on_death: Callable[[Child], None],
        options: Sequence[str] = (),
    ) -> None:
        """Start `python -P OPTION... -m COMMAND...`.

        -P keeps a folder named `cassette` where the user stands out of it.
        """
        self.name = name
        self._on_death = on_death
        self._process = subprocess.Popen(
            [sys.executable, "-P", *options, "-m", *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            errors="backslashreplace",
        )
        self._ids = itertools.count(1)
        self._waiting: dict[int, _Answer] = {}
        self._lock = threading.Lock()
        self._closing = False
        self._dead = False
        threading.Thread(target=self._read_answers, name=f"{name} answers", daemon=True).start()
        self._logger = threading.Thread(target=self._read_log, name=f"{name} log", daemon=True)
        self._logger.start()

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    def is_alive(self) -> bool:
        """Tell whether the process runs."""
        return self._process.poll() is None

    def kill(self) -> None:
        """End the process at once, even one that is stopped; `on_death` is called as for any other death."""
        self._process.kill()

    def call(self, do: str, *, timeout_seconds: float = 30.0, **arguments: Any) -> Any:
        """Send a request and return its result.

        Raises what the child reports (StartError, StoreError, ...), and ControlError when it dies or is silent.
        """
        answer = _Answer()
        request_id = next(self._ids)
        line = json.dumps({"id": request_id, "do": do, **arguments}) + "\n"
        with self._lock:
            if self._dead:
                raise ControlError(f"the {self.name} died; see: wiretape logs")
            self._waiting[request_id] = answer
        assert self._process.stdin is not None
        try:
            with self._lock:
                self._process.stdin.write(line)
                self._process.stdin.flush()
            if not answer.there.wait(timeout_seconds):
                raise ControlError(f"the {self.name} does not answer; see: wiretape logs")
        except (OSError, ValueError):  # ValueError: `close` was faster
            raise ControlError(f"the {self.name} died; see: wiretape logs") from None
        finally:
            with self._lock:
                self._waiting.pop(request_id, None)
        if answer.message is None:
            raise ControlError(f"the {self.name} died; see: wiretape logs")
        if "error" in answer.message:
            error = answer.message["error"]
            raise _KINDS.get(error["kind"], ControlError)(error["message"])
        return answer.message["result"]

    def _read_answers(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            try:
                message = json.loads(line)
                number = message["id"]
            except (ValueError, TypeError, KeyError):  # a library that prints; not even its text is logged
                _log.warning("child.chatter name=%s bytes=%d", self.name, len(line))
                continue
            with self._lock:
                answer = self._waiting.get(number)
            if answer is not None:
                answer.message = message
                answer.there.set()
        self._process.wait()
        with self._lock:
            self._dead = True
            for answer in self._waiting.values():
                answer.there.set()
        if not self._closing:
            _log.error("child.died name=%s pid=%d status=%d", self.name, self.pid, self._process.returncode)
            self._on_death(self)

    def _read_log(self) -> None:
        assert self._process.stderr is not None
        for line in self._process.stderr:
            level, _, message = line.rstrip("\n").partition(" ")
            number = logging.getLevelNamesMapping().get(level)
            if number is None:
                number, message = logging.ERROR, line.rstrip("\n")
            _log.log(number, "%s: %s", self.name, message)

    def close(self, timeout_seconds: float) -> None:
        """End the process by the end of its input; kill it when it does not listen."""
        self._closing = True
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        try:
            self._process.wait(timeout_seconds)
        except subprocess.TimeoutExpired:
            _log.error("child.killed name=%s pid=%d", self.name, self.pid)
            self._process.kill()
            self._process.wait()
        self._logger.join(1)


class _Answer:
    def __init__(self) -> None:
        self.there = threading.Event()
        self.message: dict[str, Any] | None = None
