"""Print what recording costs in memory and time: `make bench`. Nothing is asserted here.

    1 GB streamed body        growth of the worker's resident memory, at its highest
    20,000 requests           growth after the first 5,000, of the worker and of the scribe
    a 128 MB recorded body    the scribe's highest resident memory
    start, status             wall time of the commands

The upstream and the client are processes of their own; everything is on loopback.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import platform
import ssl
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.support.wiretape import command_line

MB = 1 << 20
BODY_PIECE = bytes(range(256)) * 256


def resident_mb(pid: int, field: str = "VmRSS") -> float:
    """Return resident memory of a process, or its highest with the field VmHWM (proc_pid_status(5))."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError(f"no {field} for process {pid}")


class Bench:
    """A daemon of its own with one session, and a client that goes through it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.home = Path(tempfile.mkdtemp(prefix="wt-bench-"))
        self.environment = os.environ | {"WIRETAPE_HOME": str(self.home)}
        self.upstream = subprocess.Popen(
            [sys.executable, "-m", "tests.bench.upstream", str(folder)], stdout=subprocess.PIPE, text=True
        )
        assert self.upstream.stdout is not None
        self.upstream_port = int(self.upstream.stdout.readline())

    def wiretape(self, *arguments: str) -> str:
        """Run a command and return what it printed."""
        done = subprocess.run(
            [*command_line(), *arguments],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            sys.stderr.write(done.stdout + done.stderr)
        return done.stdout

    def start(self, name: str, *options: str) -> tuple[int, str]:
        """Open a session; return its port and the CA bundle."""
        session = json.loads(
            self.wiretape(
                "start",
                name,
                "--json",
                f"--upstream-ca={self.folder}/upstream-ca.pem",
                f"--connect-to=api.openai.com:443:127.0.0.1:{self.upstream_port}",
                *options,
            )
        )
        return session["port"], self.wiretape("ca", "bundle").strip()

    def connection(self, port: int, bundle: str) -> http.client.HTTPSConnection:
        """Return a keep-alive connection to the upstream through the session."""
        context = ssl.create_default_context(cafile=bundle)
        connection = http.client.HTTPSConnection("127.0.0.1", port, context=context)
        connection.set_tunnel("api.openai.com", 443)
        return connection

    def pids(self) -> tuple[int, int]:
        """Return the process ids of the worker and of the scribe."""
        daemon = self.status()["daemon"]
        return daemon["worker_pid"], daemon["scribe_pid"]

    def status(self) -> dict[str, Any]:
        """Return `wiretape status --json`."""
        answer: dict[str, Any] = json.loads(self.wiretape("status", "--json"))
        return answer

    def wait_written(self, name: str, interactions: int) -> None:
        """Wait until the scribe has written so many interactions."""
        deadline = time.monotonic() + 300
        while time.monotonic() < deadline:
            session = next(one for one in self.status()["sessions"] if one["name"] == name)
            if session["interactions"] >= interactions:
                return
            time.sleep(0.2)
        raise RuntimeError(f"{name}: not written in time: {session}")

    def close(self) -> None:
        """End everything that was started."""
        self.wiretape("daemon", "stop")
        self.upstream.terminate()
        self.upstream.wait()


def fetch(connection: http.client.HTTPSConnection, path: str, body: bytes = b"{}") -> int:
    """Send a request and read its answer to the end; return the answer's length."""
    connection.request("POST", path, body, {"Content-Type": "application/json"})
    response = connection.getresponse()
    size = 0
    while piece := response.read(MB):
        size += len(piece)
    return size


def one_gigabyte(bench: Bench, size_mb: int) -> None:
    """Stream one long body, longer than max_body, and print how the worker grew."""
    port, bundle = bench.start("long")
    connection = bench.connection(port, bundle)
    fetch(connection, "/small")
    worker, _ = bench.pids()
    before = resident_mb(worker)
    started = time.monotonic()
    size = fetch(connection, f"/bytes/{size_mb * MB}")
    seconds = time.monotonic() - started
    grown = resident_mb(worker, "VmHWM") - before
    print(
        f"{size / MB:.0f} MB streamed: worker grew by {grown:.1f} MB at most; {size / MB / seconds:.0f} MB/s"
    )
    bench.wiretape("stop", "long")


def many_requests(bench: Bench, first: int, last: int) -> None:
    """Send many requests over one connection and print how the processes grew after the first ones."""
    port, bundle = bench.start("many")
    connection = bench.connection(port, bundle)
    started = time.monotonic()
    for _ in range(first):
        fetch(connection, "/small")
    bench.wait_written("many", first)
    pids = bench.pids()
    before = [resident_mb(pid) for pid in pids]
    for _ in range(last - first):
        fetch(connection, "/small")
    bench.wait_written("many", last)
    after = [resident_mb(pid) for pid in pids]
    grown = [now - then for now, then in zip(after, before, strict=True)]
    rate = last / (time.monotonic() - started)
    print(
        f"{last} requests: after the first {first} the worker grew by {grown[0]:.1f} MB,"
        f" the scribe by {grown[1]:.1f} MB; {rate:.0f} requests/s on one connection"
    )
    bench.wiretape("stop", "many")


def recorded_body(bench: Bench, size_mb: int) -> None:
    """Record one long body and print the scribe's highest memory."""
    port, bundle = bench.start("body")
    connection = bench.connection(port, bundle)
    _, scribe = bench.pids()
    before = resident_mb(scribe)
    fetch(connection, f"/text/{size_mb * MB}")
    bench.wait_written("body", 1)
    grown = resident_mb(scribe, "VmHWM") - before
    print(
        f"a recorded body of {size_mb} MB: the scribe grew by {grown:.0f} MB, {grown / size_mb:.1f} times it"
    )
    bench.wiretape("stop", "body")


def commands(bench: Bench) -> None:
    """Print the wall time of commands: the best of several, since other work disturbs only in one direction."""
    bench.wiretape("daemon", "stop")
    started = time.monotonic()
    bench.start("first")
    first = time.monotonic() - started
    times = []
    for _ in range(10):
        started = time.monotonic()
        bench.wiretape("status")
        times.append(time.monotonic() - started)
    print(f"start, with a new daemon: {first:.2f} s; status: {min(times):.3f} s at best of 10")


def main() -> None:
    """Run everything, or a part."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--body-mb", type=int, default=1024)
    parser.add_argument("--requests", type=int, default=20_000)
    parser.add_argument("--first", type=int, default=5_000)
    parser.add_argument("--recorded-mb", type=int, default=128)
    arguments = parser.parse_args()
    print(f"Python {platform.python_version()}, {os.cpu_count()} cores, {platform.platform()}")
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder))
        try:
            one_gigabyte(bench, arguments.body_mb)
            many_requests(bench, arguments.first, arguments.requests)
            recorded_body(bench, arguments.recorded_mb)
            commands(bench)
        finally:
            bench.close()


if __name__ == "__main__":
    main()
