"""How exactly a stream is played back, and how soon it begins: `python -m tests.bench.replay`.

The proxy runs in a process of its own; the clients speak HTTP/1.1 in TLS through it. Nothing is asserted.
"""

from __future__ import annotations

import argparse
import asyncio
import functools
import os
import platform
import random
import ssl
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path

from addons.player import Playable
from cassette.exchange import HeaderPairs
from cassette.model import Response
from cassette.timing import Timing
from tests.support.replaying import LISTED, ScriptedPlayer, replaying
from tests.support.responses import response
from tests.support.scripts import pieces
from tests.support.talk import SSE
from tests.support.upstream import Upstream

_EVENT = (
    b'data: {"id":"chatcmpl-1","object":"chat.completion.chunk","choices":[{"delta":{"content":"%06d"}}]}\n\n'
)
_REQUEST = b"POST %s HTTP/1.1\r\nHost: " + LISTED.encode() + b"\r\nContent-Length: 2\r\n\r\n{}"


@dataclass(slots=True)
class EndlessPlayer(ScriptedPlayer):
    """`/v1/timed/N` plays a stream with the times of voice N, `/v1/N` a stream of N events at once."""

    events: int = 0

    def take(self, method: str, url: str, headers: HeaderPairs, body: bytes) -> Playable:
        number = int(url.rpartition("/")[2])
        self.factor = 1 if "/timed/" in url else 0
        return voice(self.events, number) if self.factor else Playable(stream(number))


@functools.cache
def stream(events: int) -> Response:
    """Return a stream of so many events."""
    return response(b"".join(_EVENT % number for number in range(events)), SSE)


def recorded_times(events: int, voice: int) -> Timing:
    """Return the times of a model that thinks for half a second and then speaks 20 to 100 times a second."""
    rng = random.Random(voice)
    head_ns = at_ns = rng.randrange(500_000_000, 600_000_000)
    chunks = []
    for _ in range(events):
        at_ns += rng.randrange(10_000_000, 50_000_000)
        chunks.append((at_ns, len(_EVENT % 0)))
    return Timing(head_ns, tuple(chunks))


@functools.cache
def voice(events: int, number: int) -> Playable:
    """Return a stream with times of its own; made before it is asked for, as a loaded cassette is."""
    return Playable(stream(events), recorded_times(events, number))


def serve(folder: str, streams: int, events: int, parent: Connection) -> None:
    """Run the proxy until the parent says so."""

    with (
        Upstream(pieces(200, [], [b""])) as upstream,
        replaying(Path(folder), upstream) as proxy,
    ):
        proxy.player = EndlessPlayer(events=events)
        for number in range(streams):
            voice(events, number)
        parent.send((proxy.port, str(proxy.as_session.bundle)))
        parent.recv()


class Client:
    """One connection through the proxy."""

    def __init__(self, port: int, bundle: str) -> None:
        self._port = port
        self._context = ssl.create_default_context(cafile=bundle)

    async def connect(self) -> None:
        """CONNECT and shake hands."""
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)
        self._writer.write(f"CONNECT {LISTED}:443 HTTP/1.1\r\nHost: {LISTED}:443\r\n\r\n".encode())
        await self._reader.readuntil(b"\r\n\r\n")
        await self._writer.start_tls(self._context, server_hostname=LISTED)

    async def ask(self, path: bytes) -> tuple[int, list[tuple[int, bytes]]]:
        """Send a request; return when it was sent and all that was read, with times. Monotonic nanoseconds."""
        return await self.send(_REQUEST % path)

    async def send(self, request: bytes) -> tuple[int, list[tuple[int, bytes]]]:
        """Do the same for a request that is written out; the answer must come chunked."""
        self._writer.write(request)
        sent_ns = time.monotonic_ns()
        reads: list[tuple[int, bytes]] = []
        tail = b""
        while not tail.endswith(b"0\r\n\r\n"):
            data = await self._reader.read(65536)
            reads.append((time.monotonic_ns(), data))
            tail = (tail + data)[-5:]
        return sent_ns, reads

    def close(self) -> None:
        """Hang up."""
        self._writer.close()


def event_times(sent_ns: int, reads: Sequence[tuple[int, bytes]]) -> list[int]:
    """Return when each event was wholly there, in nanoseconds from the request."""
    whole = b"".join(data for _, data in reads)
    ends, at = [], whole.index(b"\r\n\r\n") + 4
    while size := int(whole[at : whole.index(b"\r\n", at)], 16):
        at = whole.index(b"\r\n", at) + 2 + size
        ends.append(at)
        at += 2
    found, have, remaining = [], 0, iter(ends)
    end = next(remaining, None)
    for came_ns, data in reads:
        have += len(data)
        while end is not None and end <= have:
            found.append(came_ns - sent_ns)
            end = next(remaining, None)
    return found


def quantile(values: Sequence[float], share: float) -> float:
    """Return the value that this share of all stays below."""
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


async def measure_pace(
    port: int, bundle: str, voices: Sequence[int], events: int, *, pause_seconds: float
) -> None:
    """Play timed streams side by side and print how far each event was from its recorded time."""
    clients = [Client(port, bundle) for _ in voices]
    for client in clients:
        await client.connect()
    asked = []
    for client, number in zip(clients, voices, strict=True):
        asked.append(asyncio.create_task(client.ask(b"/v1/timed/%d" % number)))
        await asyncio.sleep(pause_seconds)
    apart = []
    for number, (sent_ns, reads) in zip(voices, await asyncio.gather(*asked), strict=True):
        due = [at_ns for at_ns, _ in recorded_times(events, number).chunks]
        apart += [
            abs(came - meant) / 1e6 for came, meant in zip(event_times(sent_ns, reads), due, strict=True)
        ]
    print(
        f"{len(voices)} streams of {events} events, {len(set(voices))} different, begun {pause_seconds} s apart:"
        f" |replayed - recorded| median {statistics.median(apart):.2f} ms,"
        f" 99th percentile {quantile(apart, 0.99):.2f} ms, at worst {max(apart):.2f} ms"
    )
    for client in clients:
        client.close()


async def measure_first_byte(port: int, bundle: str, events: int, times: int) -> None:
    """Ask again and again over one connection and print when the first byte was there, and the last."""
    client = Client(port, bundle)
    await client.connect()
    await client.ask(b"/v1/%d" % events)
    first, last = [], []
    for _ in range(times):
        sent_ns, reads = await client.ask(b"/v1/%d" % events)
        first.append((reads[0][0] - sent_ns) / 1e6)
        last.append((reads[-1][0] - sent_ns) / 1e6)
    print(
        f"{events} events at once: first byte after {statistics.median(first):.2f} ms,"
        f" 99th percentile {quantile(first, 0.99):.2f} ms; the whole after {statistics.median(last):.1f} ms"
    )
    client.close()


async def measure(port: int, bundle: str, arguments: argparse.Namespace) -> None:
    """Run everything."""
    await measure_first_byte(port, bundle, 50, 300)
    await measure_first_byte(port, bundle, 16_000, 5)
    streams, events = arguments.streams, arguments.events
    await measure_pace(port, bundle, range(streams), events, pause_seconds=0.02)
    # The worst case: all requests in one moment, and then all events.
    await measure_pace(port, bundle, [0] * streams, events, pause_seconds=0)


def main() -> None:
    """Start the proxy, measure, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--streams", type=int, default=50)
    parser.add_argument("--events", type=int, default=200)
    arguments = parser.parse_args()
    print(f"Python {platform.python_version()}, {os.cpu_count()} cores, {platform.platform()}")
    with tempfile.TemporaryDirectory() as folder:
        context = get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(target=serve, args=(folder, arguments.streams, arguments.events, theirs))
        process.start()
        port, bundle = ours.recv()
        asyncio.run(measure(port, bundle, arguments))
        ours.send("done")
        process.join()


if __name__ == "__main__":
    main()
