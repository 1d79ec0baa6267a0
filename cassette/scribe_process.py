"""The scribe as a process of its own: `python -P -m cassette.scribe_process`, told what to do on its standard input.

Requests and answers are JSON lines; `id` pairs them:

    {"id": 1, "do": "open", "directory": DIR}                      begin on a session's journal
    {"id": 2, "do": "writer_gone", "directory": DIR, "writer": W}  that proxy worker is dead
    {"id": 3, "do": "finish", "directory": DIR, "reason": TEXT}    read to the end, close; answers with the counts
    {"id": 4, "do": "catch_up", "directory": DIR, "patience_seconds": 10}    write what has finished by now
    {"id": 5, "do": "counts"}                                      {DIR: counts, ...}
    {"id": 6, "do": "ping"}                                        at once, whatever it is at: it is alive

The end of the input is the end of the parent: the scribe then writes what the journals hold and leaves the rest
for recovery. The log goes to standard error.
"""

from __future__ import annotations

import json
import logging
import queue
import signal
import sys
import threading
from pathlib import Path
from typing import IO, Any

from cassette.errors import CassetteError, StoreError
from cassette.priority import Priority
from cassette.scribe import SessionScribe

_log = logging.getLogger(__name__)
_BUSY_SECONDS = 0.005
_IDLE_SECONDS = 0.1
"""The pause between two looks at the journals grows from one to the other; chosen, not measured."""


class ScribeProcess:
    """All the sessions of one daemon, looked after in turn."""

    def __init__(self, answers: IO[str], priority: Priority | None = None) -> None:
        """Begin; without a `priority` that of the process stays as it is."""
        self._answers = answers
        self._priority = priority
        self._answering = threading.Lock()
        self._requests: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        self._scribes: dict[str, SessionScribe] = {}
        self._logged: dict[str, str] = {}

    def read_requests(self, lines: IO[str]) -> None:
        """Queue the requests as they come, but answer pings; runs in a thread."""
        try:
            for line in lines:
                request = json.loads(line)
                if request["do"] == "ping":
                    self._say({"id": request["id"], "result": None})
                else:
                    self._requests.put(request)
        except ValueError:  # half a line: the parent was killed while it wrote
            _log.error("scribe.input_torn")
        except OSError:  # nobody reads the answers any more
            pass
        finally:
            self._requests.put(None)

    def run(self) -> None:
        """Work until the parent is gone."""
        pause = _IDLE_SECONDS
        while True:
            try:
                request = self._requests.get(timeout=pause)
            except queue.Empty:
                busy = self._step_all()
                pause = _BUSY_SECONDS if busy else min(pause * 1.5, _IDLE_SECONDS)
                continue
            # Somebody waits, as for its end; counts are what the daemon asks for all the time.
            if self._priority and (request is None or request["do"] != "counts"):
                self._priority.hurry()
            if request is None:
                break
            try:
                self._answer(request)
            except OSError:  # nobody reads the answers any more
                break
            pause = _BUSY_SECONDS
        while self._step_all():
            pass
        for scribe in self._scribes.values():
            scribe.close()

    def _step_all(self) -> bool:
        busy = False
        for directory, scribe in self._scribes.items():
            try:
                busy |= scribe.step()
            except Exception as exc:  # one session's trouble must not stop the others
                if repr(exc) != self._logged.get(directory):
                    self._logged[directory] = repr(exc)
                    _log.exception("scribe.step_failed directory=%s", directory)
        if self._priority:
            self._priority.heed(is_behind=any(scribe.is_behind for scribe in self._scribes.values()))
        return busy

    def _answer(self, request: dict[str, Any]) -> None:
        try:
            answer = {"id": request["id"], "result": self._do(request)}
        except CassetteError as exc:
            answer = {"id": request["id"], "error": {"kind": type(exc).__name__, "message": str(exc)}}
        except Exception as exc:  # the other sessions' work must go on
            _log.exception("scribe.request_failed do=%s", request.get("do"))
            answer = {
                "id": request.get("id"),
                "error": {"kind": "StoreError", "message": f"the scribe failed: {exc!r}; see: wiretape logs"},
            }
        self._say(answer)

    def _say(self, answer: dict[str, Any]) -> None:
        with self._answering:
            self._answers.write(json.dumps(answer) + "\n")
            self._answers.flush()

    def _do(self, request: dict[str, Any]) -> Any:
        match request["do"]:
            case "open":
                directory = request["directory"]
                if directory not in self._scribes:
                    self._scribes[directory] = SessionScribe(Path(directory))
                return None
            case "writer_gone":
                self._scribe(request).writer_gone(request["writer"])
                return None
            case "finish":
                scribe = self._scribe(request)
                try:
                    scribe.finish(request["reason"])
                finally:
                    del self._scribes[request["directory"]]
                return scribe.refresh_counts().to_json()
            case "catch_up":
                self._scribe(request).catch_up(request["patience_seconds"])
                return None
            case "counts":
                return {name: scribe.refresh_counts().to_json() for name, scribe in self._scribes.items()}
            case unknown:
                raise StoreError(f"the scribe does not know the request {unknown!r}")

    def _scribe(self, request: dict[str, Any]) -> SessionScribe:
        try:
            return self._scribes[request["directory"]]
        except KeyError:
            raise StoreError("the scribe has no such session", path=Path(request["directory"])) from None


def main() -> None:
    """Run until standard input ends."""
    # A terminal's Ctrl-C goes to the whole process group; the daemon decides when its scribe ends.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(levelname)s %(message)s")
    priority = Priority()
    threading.Thread(target=priority.watch, daemon=True).start()
    process = ScribeProcess(sys.stdout, priority)
    threading.Thread(target=process.read_requests, args=(sys.stdin,), daemon=True).start()
    process.run()


if __name__ == "__main__":
    main()
