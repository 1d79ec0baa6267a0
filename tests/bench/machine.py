"""What the kernel says of processes and of this machine, and which cores processes may use. Linux: proc(5)."""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import platform
import statistics
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

_PROC = Path("/proc")
_TICKS = os.sysconf("SC_CLK_TCK")
_PIECE_OF_WORK = 10_000
"""Numbers that are added: some 0.2 ms."""
_SLOW = 3.0
"""So many times as long as usual; chosen, not measured."""


@dataclass(frozen=True, slots=True)
class Cores:
    """Which cores the parts of a measurement run on."""

    proxy: frozenset[int]
    """One, for the process that moves the bytes; both contestants take turns on it."""
    load: frozenset[int]
    """One, for upstream and clients."""
    helpers: frozenset[int]
    """wiretape's daemon and scribe."""


def share_out(available: Iterable[int], *, one_core: bool = False) -> Cores:
    """Give the proxy a core of its own where there are two; helpers stay with the load unless there are three.

    With `one_core` the helpers share the proxy's core, so that all of wiretape has what mitmdump has.
    """
    first, *others = sorted(available)
    proxy = frozenset((first,))
    load = frozenset(others[:1]) or proxy
    return Cores(proxy, load, proxy if one_core else frozenset(others[1:]) or load)


def pin(pid: int, cores: frozenset[int]) -> None:
    """Bind every thread of a process to some cores; threads that it starts later inherit that."""
    for task in (_PROC / str(pid) / "task").iterdir():
        with contextlib.suppress(ProcessLookupError):
            os.sched_setaffinity(int(task.name), cores)


@contextlib.contextmanager
def on_cores(cores: frozenset[int]) -> Iterator[None]:
    """Bind what this thread starts meanwhile to some cores."""
    usual = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, usual)


def cpu_seconds(pids: Iterable[int]) -> float:
    """Return what processes have spent so far, in user and in system mode."""
    spent = 0
    for pid in pids:
        # The second field is the name, in parentheses, and may hold spaces (proc_pid_stat(5)).
        fields = (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
        spent += int(fields[11]) + int(fields[12])
    return spent / _TICKS


def children(pid: int) -> dict[int, str]:
    """Return the children of a process with their command lines."""
    found: dict[int, str] = {}
    for task in (_PROC / str(pid) / "task").iterdir():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            for child in (task / "children").read_text().split():
                line = (_PROC / child / "cmdline").read_bytes()
                found[int(child)] = line.replace(b"\0", b" ").decode(errors="replace").strip()
    return found


def slowed(cores: frozenset[int], seconds: float = 5.0) -> tuple[float, float]:
    """Return for which part of the time a core is slow though nobody else is on it, and for how many ms at most.

    What else runs on the host of a virtual machine shows in no other figure; of a latency's p99 it may be all.
    """
    took: list[tuple[float, float]] = []
    with on_cores(cores):
        until = time.perf_counter() + seconds
        while (began := time.perf_counter()) < until:
            sum(range(_PIECE_OF_WORK))
            took.append((began, time.perf_counter() - began))
    usual = statistics.median(seconds for _, seconds in took)
    slow = [(began, seconds) for began, seconds in took if seconds > _SLOW * usual]
    longest = spell = 0.0
    ended = 0.0
    for began, lasted in slow:
        spell = spell + lasted if began - ended < _SLOW * usual else lasted
        ended = began + lasted
        longest = max(longest, spell)
    return sum(lasted for _, lasted in slow) / sum(lasted for _, lasted in took), longest * 1e3


def memory_mb(pid: int, field: str) -> float:
    """Return VmRSS or VmHWM of a process (proc_pid_status(5)), or its Pss, where shared pages count in part."""
    name = "smaps_rollup" if field == "Pss" else "status"
    for line in (_PROC / str(pid) / name).read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError(f"no {field} for process {pid}")


def describe(proxy: frozenset[int]) -> dict[str, str | int]:
    """Return what figures depend on, for whoever reads them later; looks at the proxy's core for some seconds."""
    share, longest_ms = slowed(proxy)
    names = [
        line.partition(":")[2].strip()
        for line in (_PROC / "cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "cpu": names[0] if names else platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "mitmproxy": importlib.metadata.version("mitmproxy"),
        "wiretape": importlib.metadata.version("wiretape"),
        "slowed": f"{share:.1%} of the time, for up to {longest_ms:.0f} ms",
        "load_average": " ".join(f"{load:.2f}" for load in os.getloadavg()),
    }
