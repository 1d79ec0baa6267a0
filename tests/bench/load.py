"""The load side as a process: upstream and clients, spoken to in lines of JSON.

It is a Go program, tests/bench/go, and where there is no Go, tests/bench/pyload.py.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.bench.contest import read_json_line
from tests.bench.machine import on_cores

_SOURCE = Path(__file__).with_name("go")


class Load:
    """Upstream and clients in one process."""

    def __init__(self, command: Sequence[str], roots: Path, cores: frozenset[int]) -> None:
        """Start it, bound to its cores from the beginning: Go runs on as many threads as it sees cores."""
        with on_cores(cores):
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                start_new_session=True,
            )
        self.roots = roots
        hello = read_json_line(self._process)
        self.port = int(hello["port"])
        self.speaks_http2 = bool(hello.get("http2"))
        self.pids: Sequence[int] = hello.get("pids", [self._process.pid])

    def run(self, task: Mapping[str, Any]) -> dict[str, float]:
        """Perform a task and return what it found; RuntimeError when it failed."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(dict(task)) + "\n")
        self._process.stdin.flush()
        return read_json_line(self._process)

    def close(self) -> None:
        """End it by the end of its input."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def build(folder: Path) -> Path | None:
    """Build the Go program in a folder; None where there is no Go. RuntimeError when it does not build."""
    go = shutil.which("go")
    if go is None:
        return None
    program = folder / "load"
    # A toolchain of the right version is not fetched: what is installed has to do.
    environment = {**os.environ, "GOTOOLCHAIN": "local", "GOFLAGS": "-mod=readonly", "GOWORK": "off"}
    done = subprocess.run(
        [go, "build", "-o", program, "."],
        cwd=_SOURCE,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"the load program does not build: {done.stderr.strip()}")
    return program


@contextlib.contextmanager
def load_side(cores: frozenset[int]) -> Iterator[Load]:
    """Run the load side on some cores."""
    with tempfile.TemporaryDirectory(prefix="wt-load-") as name:
        folder = Path(name)
        program = build(folder)
        roots = folder / "upstream.pem"
        python = [sys.executable, "-m", "tests.bench.pyload"]
        load = Load([*([str(program)] if program else python), str(roots)], roots, cores)
        try:
            yield load
        finally:
            load.close()
