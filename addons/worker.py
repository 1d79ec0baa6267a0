"""A proxy worker as a process of its own: `python -P -m addons.worker CA_FOLDER WRITER`.

It is told what to do on its standard input; requests and answers are JSON lines, paired by `id`:

    {"id": 1, "do": "open", "session": {...}}                       answers {"port": 4711, "reverse": [...]}
    {"id": 1, "do": "common", "port": 8899}                         opens the port of all sessions
    {"id": 2, "do": "close", "name": N, "drain_seconds": 10}        answers with the session's counters
    {"id": 3, "do": "counts"}                                       {NAME: counters, ...}
    {"id": 4, "do": "ping"}                                         {}
    {"id": 5, "do": "measures"}                                     {ROUTER: counters, ...}
    {"id": 6, "do": "recording", "name": N}                         {"flows": [...], "waiting_bytes": 0}
    {"id": 7, "do": "prepare", "session": {...}}                    make ready to serve in another mode
    {"id": 8, "do": "enter", "name": N}                             do; what begins now is served so
    {"id": 9, "do": "abandon", "name": N, "ends_journal": false}    or do not

The end of the input is the end of the parent: the worker then cuts what is left and ends. The log goes to
standard error; it holds hosts and numbers, never headers or bodies.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import logging
import resource
import signal
import sys
from pathlib import Path
from typing import Any

from addons.engine import Engine
from addons.errors import ControlError, ProxyError
from addons.live import LiveSession, PortUse
from addons.session_spec import spec_from_json
from cassette.errors import CassetteError

_log = logging.getLogger(__name__)
_MOST_DESCRIPTORS = 65536
_QUIET = ("asyncio", "hpack", "mitmproxy", "quic", "tornado")


class Worker:
    """Answers the daemon's requests with what the engine does."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Serve until the parent is gone, then cut everything."""
        reader = asyncio.StreamReader(limit=16 << 20)
        loop = asyncio.get_running_loop()
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        while line := await reader.readline():
            # A close takes as long as the drain; other sessions must not wait for it.
            task = asyncio.create_task(self._answer(json.loads(line)))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        for session in self._engine.sessions:
            await self._engine.close(session, 0)

    async def _answer(self, request: dict[str, Any]) -> None:
        answer: dict[str, Any] = {"id": request["id"]}
        try:
            answer["result"] = await self._do(request)
        except (ProxyError, CassetteError) as exc:
            answer["error"] = {"kind": type(exc).__name__, "message": str(exc)}
        except Exception as exc:  # an error of ours is an answer too; the daemon must not wait for ever
            _log.exception("worker.failed request=%s", request.get("do"))
            answer["error"] = {"kind": "ControlError", "message": f"the proxy failed: {exc!r}; see the log"}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()

    async def _do(self, request: dict[str, Any]) -> Any:
        match request["do"]:
            case "open":
                session = await self._engine.open(spec_from_json(request["session"]))
                reverse = [str(one.at(port)) for port, one in session.reverse.items()]
                return {"port": session.port, "reverse": reverse}
            case "common":
                await self._engine.open_common(request["port"], PortUse(request["port_use"]))
                return {}
            case "close":
                session = self._session(request["name"])
                await self._engine.close(session, request["drain_seconds"])
                return session.status()
            case "recording":
                session = self._session(request["name"])
                waiting = session.journal.waiting_bytes if session.journal is not None else 0
                return {"flows": session.recording(), "waiting_bytes": waiting}
            case "prepare":
                spec = spec_from_json(request["session"])
                await self._engine.prepare(self._session(spec.name), spec)
                return None
            case "enter":
                self._engine.enter(self._session(request["name"]))
                return None
            case "abandon":
                session = self._session(request["name"])
                await self._engine.abandon(session, ends_journal=request["ends_journal"])
                return None
            case "counts":
                return {session.spec.name: session.status() for session in self._engine.sessions}
            case "ping":
                return {}
            case "measures":
                return self._engine.measures.to_json()
            case unknown:
                raise ControlError(f"the worker does not know the request {unknown!r}")

    def _session(self, name: str) -> LiveSession:
        session = self._engine.sessions.named(name)
        if session is None:
            raise ControlError(f"the worker has no session {name!r}")
        return session


async def serve(ca_folder: Path, writer: str) -> None:
    """Build the engine, serve the daemon, take everything down again."""
    engine = Engine(ca_folder, writer)
    await engine.start()
    _leave_to_no_collection()
    await Worker(engine).run()
    await engine.stop()


def _leave_to_no_collection() -> None:
    """Keep what is there from the start, modules above all, out of the garbage collector's sight for good.

    A full collection stops all traffic. Measured: with 300 streams, as others are opened, 46 to 71 ms in place of 135
    to 228; with 50 19 in place of 81. Memory and CPU per request stay what they were.
    """
    gc.freeze()


def _raise_descriptor_limit() -> None:
    """Allow as many descriptors as the system lets us: the usual 1,024 are some 500 connections, both ends counted."""
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _MOST_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, _MOST_DESCRIPTORS)
    with contextlib.suppress(ValueError, OSError):  # macOS refuses what is above its own limit
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def main() -> None:
    """Run until standard input ends."""
    _raise_descriptor_limit()
    # A terminal's Ctrl-C goes to the whole process group; the daemon decides when its worker ends.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(levelname)s %(message)s")
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
    asyncio.run(serve(Path(sys.argv[1]), sys.argv[2]))


if __name__ == "__main__":
    main()
