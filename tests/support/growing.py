"""A process that lets a cassette grow: `python -m tests.support.growing CASSETTE LEDGER COUNT [WRITE]`.

It does so as fast as it can, but says how many there are after every third one and goes on when it is given a line, or
the end, on its standard input. It is killed in the middle of the write that is named, the first being 1: the kernel
leaves a part of it then, as here.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from cassette.model import Interaction, Layout, Request, Response
from cassette.store import CassetteFile

WRITER = "w1"
PAUSE_EVERY = 3
LINE = b"A line of an answer that is as long as such lines are.\n"


def an_interaction(number: int) -> Interaction:
    """Return a tiny one or one of some megabytes; the same for the same number."""
    size = 1 if number % 3 else random.Random(number).randrange(1 << 20, 2 << 20)
    response = Response("200 OK", 200, (LINE * (size // len(LINE) + 1))[:size])
    return Interaction(number, Request("GET", f"https://api.example.com/{number}"), response)


def _die_in(write: int) -> None:
    writes = 0

    def dying(handle: int, pieces: Sequence[memoryview]) -> int:
        nonlocal writes
        writes += 1
        if writes == write:
            text = b"".join(pieces)
            os.write(handle, text[: len(text) // 2])
            os.kill(os.getpid(), signal.SIGKILL)
        return writev(handle, pieces)

    writev = os.writev
    setattr(os, "writev", dying)  # noqa: B010 - to the type checker it takes more than that


def main() -> None:
    """Append what is not there yet, then wait for the end."""
    cassette, ledger, count = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
    if len(sys.argv) > 4:
        _die_in(int(sys.argv[4]))
    file = CassetteFile(cassette, ledger, Layout.CHARM)
    print("begun", flush=True)
    for number in range(count):
        if (WRITER, number) not in file.done:
            file.append(WRITER, number, an_interaction(number))
        if (number + 1) % PAUSE_EVERY == 0:
            print(number + 1, flush=True)
            sys.stdin.readline()
    print("done", flush=True)
    time.sleep(600)


if __name__ == "__main__":
    main()
