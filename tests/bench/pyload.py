"""The load side where there is no Go: `python -m tests.bench.pyload CA-FILE`. The same lines of JSON as tests/bench/go.

The upstream is a process of its own, the clients are another one; CLOCK_MONOTONIC is one clock for both
(clock_gettime(2)). It manages some thousands of requests a second where Go manages tens of thousands.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import os
import random
import ssl
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import trustme

HOST = "localhost"
_AT = len(b'data: {"at":')
_QUESTION = b'{"model":"made","messages":[{"role":"user","content":"' + b"words " * 150 + b'"}]}'
_PIECE = 64 << 10
Task = dict[str, Any]


def event(size: int) -> bytes:
    """Return an SSE event of a length, with the time in it."""
    begin = b'data: {"at":%019d,"delta":"' % time.monotonic_ns()
    return begin + b"x" * (size - len(begin) - 4) + b'"}\n\n'


async def _serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(asyncio.IncompleteReadError, OSError):
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            await reader.readexactly(int(head.partition(b"content-length:")[2].partition(b"\r")[0]))
            kind, *numbers = head.split(b" ")[1].strip(b"/").split(b"/")
            await _answer(writer, kind, *map(int, numbers))
    writer.close()


async def _answer(writer: asyncio.StreamWriter, kind: bytes, *numbers: int) -> None:
    if kind in (b"json", b"bytes"):
        (left,) = numbers
        sort = b"application/json" if kind == b"json" else b"application/octet-stream"
        head = b"HTTP/1.1 200 OK\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n" % (sort, left)
        filling = b"x" if kind == b"json" else b"\0"
        begin, end = (b'{"a":"', b'"}') if kind == b"json" else (b"", b"")
        writer.write(head + begin)
        left -= len(begin) + len(end)
        while left > 0:
            writer.write(filling * min(left, _PIECE))
            left -= _PIECE
            await writer.drain()
        writer.write(end)
        return
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
    if kind == b"ticks":
        count, rate, phase_us, size = numbers
        begin_s = time.monotonic() + phase_us / 1e6
        for number in range(count):
            pause = begin_s + number / rate - time.monotonic() if rate else 0
            if pause > 0:
                await asyncio.sleep(pause)
            await _chunk(writer, event(size))
    else:
        lasting_ms, size, _which = numbers
        until = time.monotonic() + lasting_ms / 1e3
        while time.monotonic() < until:
            await _chunk(writer, event(size))
    writer.write(b"0\r\n\r\n")


async def _chunk(writer: asyncio.StreamWriter, data: bytes) -> None:
    writer.write(b"%x\r\n%s\r\n" % (len(data), data))
    await writer.drain()


def upstream(ca_file: str, ready: Connection) -> None:
    """Serve until the process is ended."""

    async def run() -> None:
        ca = trustme.CA()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        ca.issue_cert(HOST).configure_cert(context)
        ca.cert_pem.write_to_path(ca_file)
        server = await asyncio.start_server(_serve, "127.0.0.1", 0, ssl=context)
        ready.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(run())


class Client:
    """One connection, HTTP/1.1 by hand."""

    def __init__(self, task: Task, port: int) -> None:
        self._proxy = task.get("proxy") or f"127.0.0.1:{port}"
        self._is_proxied = bool(task.get("proxy"))
        self._target = f"{HOST}:{port}"
        self._context = ssl.create_default_context(cafile=task["roots"])

    async def __aenter__(self) -> Client:
        """CONNECT, and shake hands."""
        host, _, port = self._proxy.rpartition(":")
        self._reader, self._writer = await asyncio.open_connection(host, int(port), limit=1 << 20)
        if self._is_proxied:
            self._writer.write(f"CONNECT {self._target} HTTP/1.1\r\nHost: {self._target}\r\n\r\n".encode())
            answer = await self._reader.readuntil(b"\r\n\r\n")
            if b" 200" not in answer.split(b"\r\n")[0]:
                raise ConnectionError(f"CONNECT was answered with {answer!r}")
        await self._writer.start_tls(self._context, server_hostname=HOST)
        return self

    async def __aexit__(self, *_: object) -> None:
        """Leave."""
        self._writer.close()

    async def ask(self, path: str) -> AsyncIterator[bytes]:
        """Send a request and yield the body as it comes."""
        head = (
            f"POST {path} HTTP/1.1\r\nHost: {self._target}\r\nUser-Agent: load\r\nAccept: */*\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(_QUESTION)}\r\n\r\n"
        )
        self._writer.write(head.encode() + _QUESTION)
        answer = (await self._reader.readuntil(b"\r\n\r\n")).lower()
        if not answer.startswith(b"http/1.1 200"):
            raise ConnectionError(f"{path} was answered with {answer[:80]!r}")
        if b"chunked" in answer:
            while size := int(await self._reader.readuntil(b"\r\n"), 16):
                yield (await self._reader.readexactly(size + 2))[:-2]
            await self._reader.readexactly(2)
            return
        left = int(answer.partition(b"content-length:")[2].partition(b"\r")[0])
        while left:
            piece = await self._reader.read(min(left, _PIECE))
            if not piece:
                raise ConnectionError(f"the answer to {path} broke off")
            left -= len(piece)
            yield piece

    async def fetch(self, path: str) -> int:
        """Read a whole answer and return its length."""
        size = 0
        async for piece in self.ask(path):
            size += len(piece)
        return size


def quantiles(values: list[float]) -> dict[str, float]:
    """Return median and 99th percentile, in milliseconds."""
    if not values:
        return {"samples": 0}
    values.sort()
    at = [values[min(len(values) - 1, int(len(values) * share))] for share in (0.5, 0.99)]
    return {"samples": len(values), "p50_ms": at[0], "p99_ms": at[1], "max_ms": values[-1]}


async def _everyone(task: Task, port: int, work: Callable[[int, Client], Awaitable[None]]) -> None:
    async with contextlib.AsyncExitStack() as stack:
        clients = [
            await stack.enter_async_context(Client(task, port)) for _ in range(task.get("connections", 1))
        ]
        await asyncio.gather(*(work(number, client) for number, client in enumerate(clients)))


async def requests(task: Task, port: int) -> dict[str, float]:
    """Ask for small bodies over connections that are kept, for a time or up to a count."""
    taken: list[tuple[float, float]] = []
    left = task.get("count") or math.inf
    times: dict[str, float] = {}

    async def work(_: int, client: Client) -> None:
        nonlocal left
        began = times.setdefault("began", time.monotonic())
        until = math.inf if task.get("count") else began + task.get("warm_seconds", 0) + task["seconds"]
        while left > 0 and time.monotonic() < until:
            left -= 1
            sent = time.monotonic()
            await client.fetch(f"/json/{task['size']}")
            taken.append((sent, time.monotonic()))

    await _everyone(task, port, work)
    warm = times["began"] + task.get("warm_seconds", 0)
    counted = [(sent, end) for sent, end in taken if sent >= warm]
    last = max(end for _, end in counted)
    found = quantiles([(end - sent) * 1e3 for sent, end in counted])
    return found | {"per_second": len(counted) / (last - warm), "count": len(taken)}


async def connects(task: Task, port: int) -> dict[str, float]:
    """Open a connection for each request."""
    count = 0
    began = time.monotonic()

    async def work() -> None:
        nonlocal count
        while time.monotonic() < began + task["seconds"]:
            async with Client(task, port) as client:
                await client.fetch("/json/100")
            count += 1

    await asyncio.gather(*(work() for _ in range(task["connections"])))
    return {"per_second": count / (time.monotonic() - began), "count": count}


async def first(task: Task, port: int) -> dict[str, float]:
    """Ask for short streams one after the other."""
    took: list[float] = []
    async with Client(task, port) as client:
        for _ in range(task["count"]):
            sent = time.monotonic()
            ends = [time.monotonic() async for _ in client.ask(f"/ticks/3/1000/0/{task['size']}")]
            took.append((ends[0] - sent) * 1e3)
    return quantiles(took[len(took) // 10 :])


async def ticks(task: Task, port: int) -> dict[str, float]:
    """Open streams at a pace and take the age that each event has when it is there."""
    heard: list[list[tuple[int, float]]] = []
    """When each event of each stream was sent, and how old it was when it was there, in milliseconds."""
    count = int((task["warm_seconds"] + task["seconds"]) * task["rate"])
    done = asyncio.Event()
    bigs = flowing = 0
    from_ns = math.inf
    """Known when all streams flow: what opening them costs is measured elsewhere."""

    async def big() -> None:
        nonlocal bigs
        async with Client(task, port) as client:
            while not done.is_set():
                await client.fetch(f"/json/{task['big_size']}")
                bigs += 1
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(done.wait(), task["big_every_seconds"])

    async def work(_: int, client: Client) -> None:
        nonlocal flowing, from_ns
        phase = random.randrange(1_000_000 // task["rate"])
        mine: list[tuple[int, float]] = []
        heard.append(mine)
        buffer, is_first = b"", True
        async for piece in client.ask(f"/ticks/{count}/{task['rate']}/{phase}/{task['size']}"):
            now = time.monotonic_ns()
            if is_first:
                flowing, is_first = flowing + 1, False
                if flowing == task["connections"]:
                    from_ns = now + int(task["warm_seconds"] * 1e9)
            *events, buffer = (buffer + piece).split(b"\n\n")
            sent = [int(one[_AT : _AT + 19]) for one in events]
            mine.extend((at, (now - at) / 1e6) for at in sent)

    beside = asyncio.create_task(big()) if task.get("big_every_seconds") else None
    await _everyone(task, port, work)
    done.set()
    if beside is not None:
        await beside
    # The streams all end within moments here, which costs what ends of requests do.
    until_ns = min(stream[-1][0] for stream in heard)
    counted = [(at, age) for stream in heard for at, age in stream if from_ns <= at]
    with_ends = quantiles([age for _, age in counted])
    steady = quantiles([age for at, age in counted if at < until_ns])
    return steady | {"p99_with_ends_ms": with_ends["p99_ms"], "big": bigs}


async def flat(task: Task, port: int) -> dict[str, float]:
    """Let streams send as fast as they can and count the events that come through."""
    whole, counted, last = 0, 0, 0.0
    warm = math.inf

    async def work(number: int, client: Client) -> None:
        nonlocal whole, counted, last, warm
        warm = min(warm, time.monotonic() + task["warm_seconds"])
        lasting = int((task["warm_seconds"] + task["seconds"]) * 1e3)
        async for piece in client.ask(f"/flat/{lasting}/{task['size']}/{number}"):
            whole += len(piece)
            if (now := time.monotonic()) >= warm:
                counted += len(piece)
                last = now

    await _everyone(task, port, work)
    return {"per_second": counted / task["size"] / (last - warm), "count": whole / task["size"]}


async def bulk(task: Task, port: int) -> dict[str, float]:
    """Fetch one long body."""
    async with Client(task, port) as client:
        began = time.monotonic()
        size = await client.fetch(f"/bytes/{task['size']}")
        seconds = time.monotonic() - began
    return {"mb_per_second": size / 1e6 / seconds, "seconds": seconds, "count": size / 1e6}


DUTIES: dict[str, Callable[[Task, int], Awaitable[dict[str, float]]]] = {
    "requests": requests,
    "connects": connects,
    "first": first,
    "ticks": ticks,
    "flat": flat,
    "bulk": bulk,
}


async def perform(line: str, port: int) -> dict[str, Any]:
    """Perform one task; an error is an answer, too."""
    try:
        task = json.loads(line)
        return dict(await DUTIES[task["duty"]](task, port))
    except (OSError, asyncio.IncompleteReadError, KeyError, ValueError) as exc:
        return {"error": repr(exc)}


def main() -> None:
    """Start the upstream, answer tasks until the input ends."""
    context = get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=upstream, args=(str(Path(sys.argv[1])), theirs), daemon=True)
    process.start()
    port = ours.recv()
    print(json.dumps({"port": port, "pids": [os.getpid(), process.pid]}), flush=True)
    for line in sys.stdin:
        print(json.dumps(asyncio.run(perform(line, port))), flush=True)
    process.terminate()
    process.join()


if __name__ == "__main__":
    main()
