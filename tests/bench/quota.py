"""A part of a core for a process, kept by the kernel: how something scales shows on fewer cores than it uses, then.

Linux, control groups of either version (cgroups(7)), and the right to make some; usually root's.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

_PERIOD_US = 10_000
"""The kernel's is 100 ms, in which a process would stand still for longer than a request takes."""
_PATIENCE_SECONDS = 10.0


@contextlib.contextmanager
def limited(pids: Sequence[int], share: float) -> Iterator[None]:
    """Let each process have no more than a share of a core during a block; OSError where that cannot be had."""
    root, names = _controller()
    quota_us = int(share * _PERIOD_US)
    with contextlib.ExitStack() as stack:
        for pid in pids:
            group = root / f"wiretape-bench-{pid}"
            group.mkdir()
            stack.callback(_remove, group, root)
            for name, value in zip(names, _limits(names, quota_us), strict=True):
                (group / name).write_text(value)
            (group / "cgroup.procs").write_text(str(pid))
        yield


def _controller() -> tuple[Path, tuple[str, ...]]:
    """Return the folder that this machine's processor controller is mounted at, and the files that limit a group."""
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, at, kind, options, *_ = line.split()
        if kind == "cgroup" and "cpu" in options.split(","):
            return Path(at), ("cpu.cfs_period_us", "cpu.cfs_quota_us")
        if kind == "cgroup2" and "cpu" in (Path(at) / "cgroup.subtree_control").read_text().split():
            return Path(at), ("cpu.max",)
    raise OSError("no control groups for the processor here")


def _limits(names: Sequence[str], quota_us: int) -> tuple[str, ...]:
    return (str(_PERIOD_US), str(quota_us)) if len(names) == 2 else (f"{quota_us} {_PERIOD_US}",)


def _remove(group: Path, root: Path) -> None:
    """Give the processes back and remove their group."""
    until = time.monotonic() + _PATIENCE_SECONDS
    while True:
        for pid in (group / "cgroup.procs").read_text().split():
            with contextlib.suppress(ProcessLookupError):
                (root / "cgroup.procs").write_text(pid)
        try:
            group.rmdir()
        except OSError:  # one has not quite ended
            if time.monotonic() > until:
                raise
            time.sleep(0.05)
        else:
            return
