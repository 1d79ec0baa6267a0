"""How soon a replaying session is open and answers, by way of the daemon: `python -m tests.bench.opening`.

The cassette has 3 MB of chat completions, half of them streams. Nothing is asserted.
"""

from __future__ import annotations

import asyncio
import json
import os
import platform
import statistics
import tempfile
import time
from pathlib import Path

from cassette.model import Interaction
from tests.bench.replay import Client, quantile
from tests.support.replaying import LISTED
from tests.support.talk import SSE
from tests.support.tapes import JSON, call, write_tape
from tests.support.wiretape import Session, Wiretape

CASSETTE_BYTES = 3_000_000
TIMES = 7
_EVENT = 'data: {"id":"chatcmpl-1","object":"chat.completion.chunk","choices":[{"delta":{"content":"word %d"}}]}\n\n'


def question(number: int) -> dict[str, object]:
    """Return the body of one call: a system prompt, tools, some words."""
    prompt = "You are exact, and you speak in whole sentences. " * 20
    tools = [
        {"type": "function", "function": {"name": f"tool_{n}", "parameters": {"type": "object"}}}
        for n in range(8)
    ]
    messages = [{"role": "system", "content": prompt}, {"role": "user", "content": f"Question {number}?"}]
    return {"model": "made", "messages": messages, "tools": tools, "stream": number % 2 == 0}


def recorded(number: int) -> Interaction:
    """Return one call with its answer."""
    if number % 2:
        return call(question(number), json.dumps({"answer": "a word " * 300}).encode())
    return call(question(number), "".join(_EVENT % n for n in range(40)).encode(), content_type=SSE)


def opened(wiretape: Wiretape, name: str, *options: str, cassette: Path) -> tuple[float, Session]:
    """Open a session; return how long the command took, in milliseconds."""
    began = time.monotonic()
    wiretape.run("start", name, f"--cassette={cassette}", *options)
    took = (time.monotonic() - began) * 1e3
    variables = json.loads(wiretape.run("env", name, "--shell", "json").stdout)
    return took, Session(name, cassette, variables)


async def measure_first_byte(session: Session, count: int) -> None:
    """Ask for everything once, over one connection, and print when the first byte was there."""
    client = Client(int(session.proxy.rpartition(":")[2]), str(session.bundle))
    await client.connect()
    took = []
    for number in range(count):
        body = json.dumps(question(number)).encode()
        head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: {LISTED}\r\nContent-Type: {JSON}\r\n"
        request = f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body
        sent_ns, reads = await client.send(request)
        if not reads[0][1].startswith(b"HTTP/1.1 200"):
            raise SystemExit(f"question {number} was not answered: {reads[0][1][:200]!r}")
        took.append((reads[0][0] - sent_ns) / 1e6)
    client.close()
    print(
        f"{count} different calls, first byte after {statistics.median(took):.2f} ms,"
        f" 99th percentile {quantile(took, 0.99):.2f} ms, at worst {max(took):.2f} ms"
    )


def main() -> None:
    """Make a cassette, open it some times, ask."""
    print(f"Python {platform.python_version()}, {os.cpu_count()} cores, {platform.platform()}")
    with tempfile.TemporaryDirectory() as folder, Wiretape(Path(folder)) as wiretape:
        each = len(write_tape(Path(folder) / "two.yaml", [recorded(0), recorded(1)]).read_bytes()) / 2
        count = int(CASSETTE_BYTES / each)
        tape = write_tape(Path(folder) / "tape.yaml", map(recorded, range(count)))
        wiretape.start("keeper")
        plain, replaying = [], []
        for number in range(TIMES):
            plain.append(opened(wiretape, f"plain-{number}", cassette=Path(folder) / f"new-{number}.yaml")[0])
            took, session = opened(wiretape, f"replay-{number}", "--mode=replay-only", cassette=tape)
            replaying.append(took)
        apart = statistics.median(replaying) - statistics.median(plain)
        print(
            f"`start` of a new recording {statistics.median(plain):.0f} ms; of a replay of"
            f" {tape.stat().st_size / 1e6:.1f} MB, {count} interactions, {apart:.0f} ms more (medians of {TIMES})"
        )
        asyncio.run(measure_first_byte(session, count))


if __name__ == "__main__":
    main()
