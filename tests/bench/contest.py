"""The contestants: wiretape and mitmdump, each as a user starts it, and the load side that both are measured with.

    clients ──CONNECT──▶ wiretape | mitmdump | nothing ──▶ upstream
    └─────────────────── one process, see load.py ───────────────┘

Each contestant records everything: wiretape into a cassette under its default filter, mitmdump into a file of flows.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from tests.bench.machine import Cores, children, cpu_seconds, pin
from tests.support.wiretape import Wiretape

_DEADLINE_SECONDS = 300.0
_LOOK_SECONDS = 0.1
_SESSION = "bench"


class LoadSide(Protocol):
    """Upstream and clients."""

    port: int
    roots: Path
    pids: Sequence[int]
    speaks_http2: bool

    def run(self, task: Mapping[str, Any]) -> dict[str, float]:
        """Perform a task and return what it found; RuntimeError when it failed."""


class Contestant(Protocol):
    """A way to the upstream."""

    name: str
    proxy: str
    """`host:port`, empty for the direct way."""
    roots: Path
    """What its clients have to trust."""
    workers: Sequence[int]
    """The processes that move bytes."""
    helpers: Sequence[int]

    def settle(self) -> None:
        """Wait until nothing is left to do of what has passed."""


@dataclass(slots=True)
class Direct:
    """No proxy: what the load side can do by itself."""

    roots: Path
    name: str = "direct"
    proxy: str = ""
    workers: Sequence[int] = ()
    helpers: Sequence[int] = ()

    def settle(self) -> None:
        """Do nothing."""


@dataclass(slots=True)
class Recording:
    """A session of wiretape, with a daemon of its own."""

    wiretape: Wiretape
    proxy: str
    roots: Path
    cassette: Path
    workers: Sequence[int]
    helpers: Sequence[int]
    name: str = "wiretape"
    session_name: str = _SESSION

    def session(self) -> dict[str, Any]:
        """Return what `status` says of the session."""
        found: dict[str, Any]
        (found,) = [one for one in self.wiretape.status()["sessions"] if one["name"] == self.session_name]
        return found

    def settle(self) -> None:
        """Wait until the scribe has written everything that has passed."""
        deadline = time.monotonic() + _DEADLINE_SECONDS
        while time.monotonic() < deadline:
            session = self.session()
            if not session["journal_lag_bytes"] and not session["in_flight"]:
                return
            time.sleep(_LOOK_SECONDS)
        raise RuntimeError(f"the scribe is still behind: {session}")


@dataclass(slots=True)
class Mitmdump:
    """A running mitmdump."""

    proxy: str
    roots: Path
    workers: Sequence[int]
    helpers: Sequence[int] = ()
    name: str = "mitmdump"

    def settle(self) -> None:
        """Do nothing: it writes before it goes on."""


@contextlib.contextmanager
def recording(load: LoadSide, cores: Cores, *, processes: int = 1) -> Iterator[Recording]:
    """Start wiretape by its command, record the upstream, and take everything down again."""
    with _folder() as folder, Wiretape(folder) as wiretape:
        host = f"--host=localhost:{load.port}"
        wiretape.run("daemon", f"--workers={processes}")
        session = wiretape.start(_SESSION, host, f"--upstream-ca={load.roots}")
        daemon = wiretape.status()["daemon"]["pid"]
        lines = children(daemon)
        workers = [pid for pid, line in lines.items() if "addons.worker" in line]
        if len(workers) != processes:
            raise RuntimeError(f"wiretape has {len(workers)} workers in place of {processes}")
        helpers = [daemon, *(pid for pid in lines if pid not in workers)]
        for pid in workers:
            pin(pid, cores.proxy)
        for pid in helpers:
            pin(pid, cores.helpers)
        yield Recording(wiretape, session.proxy, session.bundle, session.cassette, workers, helpers)


@contextlib.contextmanager
def mitmdump(load: LoadSide, cores: Cores, *, stores: bool = True) -> Iterator[Mitmdump]:
    """Start mitmdump with streaming on; `stores`: every flow goes to a file, with its bodies where it can do that."""
    command = Path(sys.executable).with_name("mitmdump")
    with _folder() as folder:
        port = _free_port()
        line = [command, "-q", "--listen-host=127.0.0.1", f"--listen-port={port}"]
        settings = {
            "confdir": folder / "ca",
            "ssl_verify_upstream_trusted_ca": load.roots,
            "stream_large_bodies": 1,
        }
        if stores:
            line += ["-w", folder / "flows"]
            if stores_bodies(command):
                settings["store_streamed_bodies"] = "true"
        for name, value in settings.items():
            line += ["--set", f"{name}={value}"]
        # In a session of its own, as wiretape's daemon is: Linux shares the processor out among sessions first
        # (sched(7), autogroup). What it says as it is ended says nothing.
        process = subprocess.Popen(
            list(map(str, line)), cwd=folder, start_new_session=True, stderr=subprocess.DEVNULL
        )
        try:
            roots = folder / "ca" / "mitmproxy-ca-cert.pem"
            _wait_open(port, process, roots)
            pin(process.pid, cores.proxy)
            yield Mitmdump(f"127.0.0.1:{port}", roots, [process.pid])
        finally:
            process.terminate()
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def stores_bodies(command: Path) -> bool:
    """Tell whether this mitmdump can store the bodies that it streams; from 12.0 on."""
    done = subprocess.run([command, "--options"], capture_output=True, text=True, check=True)
    return "store_streamed_bodies" in done.stdout


@dataclass(frozen=True, slots=True)
class Turn:
    """One measurement of one contestant."""

    found: Mapping[str, float]
    seconds: float
    worker_cpu: float
    """Seconds that the processes spent, from the first request until they had settled."""
    helper_cpu: float
    load_cpu: float


@dataclass(slots=True)
class Series:
    """The turns of one contestant, a turn a round."""

    turns: list[Turn] = field(default_factory=list)

    def of(self, name: str) -> list[float]:
        """Return one finding of every round."""
        return [turn.found[name] for turn in self.turns]

    def worker_cpu_us(self) -> list[float]:
        """Return what the proxy process spent for each of what was counted, in microseconds."""
        return [turn.worker_cpu / turn.found["count"] * 1e6 for turn in self.turns]

    def share(self) -> float:
        """Return the part of its core that the proxy process had."""
        return statistics.median(turn.worker_cpu / turn.seconds for turn in self.turns)

    def load_share(self) -> float:
        """Return the part of its core that the load side had."""
        return statistics.median(turn.load_cpu / turn.seconds for turn in self.turns)

    def whole_cpu_us(self) -> list[float]:
        """Return the same with the helpers."""
        return [(turn.worker_cpu + turn.helper_cpu) / turn.found["count"] * 1e6 for turn in self.turns]


def take_turn(load: LoadSide, contestant: Contestant, task: Mapping[str, Any]) -> Turn:
    """Perform a task by one way."""
    before = [cpu_seconds(pids) for pids in (contestant.workers, contestant.helpers, load.pids)]
    began = time.monotonic()
    found = load.run({**task, "proxy": contestant.proxy, "roots": str(contestant.roots)})
    seconds = time.monotonic() - began
    load_cpu = cpu_seconds(load.pids) - before[2]
    contestant.settle()
    return Turn(
        found,
        seconds,
        cpu_seconds(contestant.workers) - before[0],
        cpu_seconds(contestant.helpers) - before[1],
        load_cpu,
    )


def interleave(
    load: LoadSide, contestants: Sequence[Contestant], task: Mapping[str, Any], rounds: int
) -> dict[str, Series]:
    """Let everybody perform the same task in turns, so that what else the machine does disturbs all alike."""
    series = {contestant.name: Series() for contestant in contestants}
    for _ in range(rounds):
        for contestant in contestants:
            series[contestant.name].turns.append(take_turn(load, contestant, task))
    return series


@contextlib.contextmanager
def _folder() -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix="wt-bench-"))
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def _wait_open(port: int, process: subprocess.Popen[bytes], roots: Path) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"mitmdump ended with {process.returncode}")
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            if roots.exists():
                return
        time.sleep(_LOOK_SECONDS)
    raise RuntimeError("mitmdump opened no port")


def read_json_line(process: subprocess.Popen[str]) -> dict[str, Any]:
    """Read one answer of a process; RuntimeError when it ended instead, or reports an error."""
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        raise RuntimeError(f"the load side ended with {process.wait()}")
    answer: dict[str, Any] = json.loads(line)
    if "error" in answer:
        raise RuntimeError(str(answer["error"]))
    return answer
