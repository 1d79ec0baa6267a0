"""An hour of mixed load in ten minutes: `make soak`. Prints a series of what must not grow; nothing is asserted.

    short      requests one after the other, on a connection that is kept and on new ones
    streams    of several lengths and rates, one that lasts as long as the soak, some whose client leaves half-way
    sessions   opened, used and closed beside the one that stays

Memory is resident, in MB, of daemon, worker and scribe; then their descriptors and threads; journals and cassettes
are what they take on the disk, in MB; lag is what the scribe has yet to read, in kB.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import os
import platform
import random
import ssl
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import Any

from tests.bench.memory import Bench, resident_mb

MB = 1 << 20
HOST = "api.openai.com"
EVERY_SECONDS = 15
PROCESSES = ("daemon", "worker", "scribe")


@dataclass
class Counts:
    """What the clients did so far."""

    requests: int = 0
    left: int = 0
    errors: int = 0
    sessions: int = 0


@dataclass(frozen=True)
class Sample:
    """One line of the series."""

    seconds: int
    requests: int
    left: int
    sessions: int
    errors: int
    rss_mb: tuple[float, ...]
    descriptors: tuple[int, ...]
    threads: tuple[int, ...]
    journal_mb: float
    segments: int
    cassette_mb: float
    lag_kb: int


class Client:
    """One connection through a session, HTTP/1.1 by hand."""

    def __init__(self, port: int, context: ssl.SSLContext) -> None:
        self._port = port
        self._context = context

    async def __aenter__(self) -> Client:
        """CONNECT, and shake hands."""
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)
        self._writer.write(f"CONNECT {HOST}:443 HTTP/1.1\r\nHost: {HOST}:443\r\n\r\n".encode())
        await self._reader.readuntil(b"\r\n\r\n")
        await self._writer.start_tls(self._context, server_hostname=HOST)
        return self

    async def __aexit__(self, *_: object) -> None:
        """Leave, whatever is under way."""
        self._writer.transport.abort()

    async def ask(self, path: str, *, pieces: int | None = None) -> None:
        """Read an answer to its end, or leave after some pieces."""
        head = f"POST {path} HTTP/1.1\r\nHost: {HOST}\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n"
        self._writer.write(head.encode() + b"{}")
        answer = await self._reader.readuntil(b"\r\n\r\n")
        if b" 200 " not in answer:
            raise ConnectionError(answer.split(b"\r\n")[0].decode())
        if b"chunked" not in answer.lower():
            length = int(answer.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            await self._reader.readexactly(length)
            return
        for number in itertools.count():
            size = int(await self._reader.readuntil(b"\r\n"), 16)
            await self._reader.readexactly(size + 2)
            if not size or number == pieces:
                return


class Soak:
    """The load and what is seen of it."""

    def __init__(self, bench: Bench, seconds: float) -> None:
        self._bench = bench
        self._until = time.monotonic() + seconds
        self._started = time.monotonic()
        self._counts = Counts()
        self._random = random.Random(1)
        self._port, bundle = bench.start("soak")
        self._context = ssl.create_default_context(cafile=bundle)
        self._seconds = seconds
        daemon = bench.status()["daemon"]
        self._pids = (daemon["pid"], daemon["worker_pid"], daemon["scribe_pid"])
        self.samples: list[Sample] = []

    async def run(self) -> None:
        """Let everybody do their work, and print the series."""
        every = [self._repeat(self._keep_alive) for _ in range(4)]
        every += [self._repeat(self._new_connection) for _ in range(2)]
        every += [self._repeat(self._stream) for _ in range(6)]
        every += [self._repeat(self._leave) for _ in range(2)]
        await asyncio.gather(*every, self._long_stream(), self._sessions(), self._watch())

    async def _repeat(self, work: Callable[[], Awaitable[None]]) -> None:
        while time.monotonic() < self._until:
            try:
                await work()
            except (OSError, asyncio.IncompleteReadError, ValueError):
                self._counts.errors += 1
                await asyncio.sleep(0.2)

    def _client(self, port: int | None = None) -> Client:
        return Client(port or self._port, self._context)

    async def _keep_alive(self) -> None:
        async with self._client() as client:
            for _ in range(self._random.randrange(1, 200)):
                await client.ask("/small")
                self._counts.requests += 1
                await asyncio.sleep(self._random.uniform(0.02, 0.2))
                if time.monotonic() > self._until:
                    return

    async def _new_connection(self) -> None:
        async with self._client() as client:
            await client.ask(self._random.choice(("/small", "/text/200000")))
            self._counts.requests += 1
        await asyncio.sleep(self._random.uniform(0.1, 0.5))

    async def _stream(self) -> None:
        path = self._random.choice(("/stream/400/5/200", "/stream/50/20/4000", "/stream/20/200/50"))
        async with self._client() as client:
            await client.ask(path)
            self._counts.requests += 1

    async def _leave(self) -> None:
        async with self._client() as client:
            await client.ask("/stream/100/10/300", pieces=self._random.randrange(40))
            self._counts.left += 1

    async def _long_stream(self) -> None:
        async with self._client() as client:
            await client.ask(f"/stream/{int(self._seconds * 2)}/500/100")

    async def _sessions(self) -> None:
        for number in itertools.count():
            if time.monotonic() > self._until:
                return
            name = f"extra-{number}"
            port, _ = await asyncio.to_thread(self._bench.start, name)
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                async with self._client(port) as client:
                    for _ in range(20):
                        await client.ask("/small")
            await asyncio.to_thread(self._bench.wiretape, "stop", name)
            (self._bench.folder / "cassettes" / f"{name}.yaml").unlink()
            self._counts.sessions += 1
            await asyncio.sleep(5)

    async def _watch(self) -> None:
        print(" ".join(field.name for field in fields(Sample)), flush=True)
        while time.monotonic() < self._until:
            await asyncio.sleep(min(EVERY_SECONDS, max(0.1, self._until - time.monotonic())))
            sample = await asyncio.to_thread(self._look)
            self.samples.append(sample)
            print(" ".join(shown(value) for value in astuple(sample)), flush=True)

    def _look(self) -> Sample:
        (session,) = [one for one in self._bench.status()["sessions"] if one["name"] == "soak"]
        segments = list(self._bench.home.glob("journals/*/*.seg"))
        return Sample(
            round(time.monotonic() - self._started),
            self._counts.requests,
            self._counts.left,
            self._counts.sessions,
            self._counts.errors,
            tuple(resident_mb(pid) for pid in self._pids),
            tuple(len(list(Path(f"/proc/{pid}/fd").iterdir())) for pid in self._pids),
            tuple(threads(pid) for pid in self._pids),
            sum(on_disk(path) for path in segments) / MB,
            len(segments),
            sum(on_disk(path) for path in self._bench.folder.glob("cassettes/*")) / MB,
            session["journal_lag_bytes"] // 1000,
        )


def threads(pid: int) -> int:
    """Return how many threads a process has."""
    return len(list(Path(f"/proc/{pid}/task").iterdir()))


def on_disk(path: Path) -> int:
    """Return the bytes that a file takes; none when it has just been deleted."""
    try:
        return path.stat().st_blocks * 512
    except FileNotFoundError:
        return 0


def shown(value: Any) -> str:
    """Return a value of the series as text."""
    if isinstance(value, tuple):
        return "/".join(shown(one) for one in value)
    return f"{value:.1f}" if isinstance(value, float) else str(value)


def growth(samples: list[Sample]) -> str:
    """Compare the middle of the second quarter with that of the last: what starts up has done so by then."""
    quarter = max(1, len(samples) // 4)
    early, late = samples[quarter : 2 * quarter], samples[-quarter:]

    def mean(some: list[Sample], name: str, which: int) -> float:
        values: list[float] = [getattr(sample, name)[which] for sample in some]
        return sum(values) / len(values)

    parts = []
    for name in ("rss_mb", "descriptors", "threads"):
        for which, process in enumerate(PROCESSES):
            before, after = mean(early, name, which), mean(late, name, which)
            parts.append(f"{process} {name} {before:.1f} -> {after:.1f}")
    journal = [sum(sample.journal_mb for sample in some) / len(some) for some in (early, late)]
    parts.append(f"journal_mb {journal[0]:.1f} -> {journal[1]:.1f}")
    return "\n".join(parts)


def main() -> None:
    """Run it and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=10)
    arguments = parser.parse_args()
    print(f"Python {platform.python_version()}, {os.cpu_count()} cores, {platform.platform()}")
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder))
        try:
            soak = Soak(bench, arguments.minutes * 60)
            asyncio.run(soak.run())
            print(growth(soak.samples))
            print(bench.wiretape("stop", "soak").strip())
        finally:
            bench.close()


if __name__ == "__main__":
    main()
