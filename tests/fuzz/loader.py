"""A fuzz target for the loader: any bytes are a cassette or a FormatError, soon, and a cassette can be written.

    python -m tests.fuzz.loader [FOLDER] [--seconds N] [--seed N]

Guided by coverage where atheris is installed (`pip install atheris`), else a plain loop of mutations, which keeps
what brought a new message. FOLDER holds further inputs to begin with; what fails is written there, or
to build/fuzz.
"""

from __future__ import annotations

import argparse
import importlib
import random
import re
import resource
import sys
import time
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

from cassette.codec import dumps, loads
from cassette.errors import FormatError
from cassette.model import Cassette, Interaction, Layout, Request, Response
from tests.support.shared import corpus_cassettes

MAX_INPUT = 1 << 16
CPU_SECONDS = 2.0
"""For one input of that size, of which most take a few milliseconds; what is not linear takes longer."""
MEMORY_BYTES = 4 << 30
"""Of address space, for the whole process."""

_BODIES = (
    b"",
    b'{"a": [1, 2.5e3, null]}',
    b'data: {"x": "\xc3\xa9"}\n\ndata: [DONE]\n\n',
    b"\xff\xfe\0binary\n" * 9,
    b"  indented\n\n\ttab\n",
    b"\xe2\x80\xa8line\xe2\x80\xa9\xc2\x85 \xef\xbb\xbf\r\n\x1b[0m",
    b"0x_",
)
_TOKENS = (
    *(
        b"---\n",
        b"...\n",
        b"\n",
        b"\r\n",
        b"\t",
        b" ",
        b"  ",
        b"    ",
        b"- ",
        b"? ",
        b": ",
        b", ",
        b" #",
        b"#",
    ),
    *(
        b"&a ",
        b"*a",
        b"<<: ",
        b"!!binary ",
        b"!!str ",
        b"!!python/object:os.system ",
        b"! ",
        b"!<tag:x> ",
        b"!e!t ",
    ),
    *(
        b"%YAML 1.1\n",
        b"%TAG ! tag:x:\n",
        b"[",
        b"]",
        b"{",
        b"}",
        b"'",
        b'"',
        b"|",
        b"|2-\n",
        b">+\n",
        b"|9\n",
    ),
    *(
        b"\\x",
        b"\\u",
        b"\\U0010FFFF",
        b"\\uD800",
        b"\0",
        b"\x7f",
        b"\xc2\x85",
        b"\xe2\x80\xa8",
        b"\xef\xbb\xbf",
    ),
    *(
        b"\xff",
        b"\xed\xa0\x80",
        b"\xf0\x9f\x98\x80",
        b"null",
        b"~",
        b"true",
        b"9" * 30,
        b"1_000",
        b"-0x8",
        b"1h2m3s",
    ),
    *(
        b"version: 2\n",
        b"interactions:\n",
        b"interactions: []\n",
        b"request:\n",
        b"response:\n",
        b"body: ",
        b"id: ",
    ),
    *(
        b"headers:\n",
        b"duration: ",
        b"content_length: ",
        b"code: ",
        b"interrupted: ",
        b"form: {}\n",
        b"proto: ",
    ),
)
_QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"|\d+")


class SlowError(Exception):
    """An input took longer than any of its length may."""


def check(data: bytes) -> str:
    """Load what may be anything; return what was said of it, "" of a cassette. Raises when a promise is broken."""
    began = time.process_time()
    try:
        cassette = loads(data)
    except FormatError as error:
        said = str(error)
    else:
        again = loads(dumps(cassette))
        # Without interactions a file has no layout.
        assert again.interactions == cassette.interactions
        assert again.layout is cassette.layout or not cassette.interactions
        said = ""
    if (seconds := time.process_time() - began) > CPU_SECONDS:
        raise SlowError(f"{seconds:.1f} s for {len(data)} bytes")
    return said


def seeds(folder: Path | None = None) -> list[bytes]:
    """Return the inputs to begin with: ours in both layouts, real ones where there are any, and a folder's."""
    made = []
    for layout in Layout:
        interactions = tuple(
            Interaction(
                number,
                Request(
                    "POST", "https://h/v1?a=1", body=body, headers={"Accept": ("*/*",)}, form={"a": ("1", "")}
                ),
                Response(
                    "200 OK", 200, body, {"Content-Type": ("text/plain", "x: y")}, duration_ns=1_500_000
                ),
                "client-left: after 3 bytes" if number == 1 else "",
            )
            for number, body in enumerate(_BODIES)
        )
        made += [dumps(Cassette((one,), layout=layout)) for one in interactions]
        made.append(dumps(Cassette(interactions, layout=layout)))
    made.append(b"a: &a [x, x]\nb: &b [*a, *a]\nc: &c [*b, *b]\nversion: 2\n")
    made.append(
        b'{"version": 2, "interactions": [{"id": 0, "request": {}, "response": {"body": "\\u00e9"}}]}'
    )
    files = [*corpus_cassettes(), *(sorted(folder.iterdir()) if folder is not None else [])]
    made += [path.read_bytes() for path in files if path.is_file() and path.stat().st_size <= MAX_INPUT]
    return made


def mutate(pool: list[bytes], chance: random.Random) -> bytes:
    """Return an input like one of the pool, changed in a few places."""
    data = chance.choice(pool)
    for _ in range(chance.choice((1, 1, 2, 3, 8))):
        at = chance.randint(0, len(data))
        end = min(len(data), at + chance.choice((0, 1, 4, 40, 400)))
        match chance.randrange(7):
            case 0:  # other bytes
                data = data[:at] + chance.randbytes(chance.randint(0, 4)) + data[end:]
            case 1 | 2:  # a word of YAML
                data = data[:at] + chance.choice(_TOKENS) + data[end:]
            case 3:  # a word, very often
                data = data[:at] + chance.choice(_TOKENS) * chance.choice((10, 1000, 20_000)) + data[at:]
            case 4:  # a part again
                data = data[:end] + data[at:end] * chance.choice((1, 2, 500)) + data[end:]
            case 5:  # the rest of another one
                other = chance.choice(pool)
                data = data[:at] + other[chance.randint(0, len(other)) :]
            case _:  # a line moved in or out
                data = data[:at].rstrip(b" ") + b" " * chance.randint(0, 12) + data[at:].lstrip(b" ")
    return data[:MAX_INPUT]


def inputs(pool: list[bytes], chance: random.Random) -> Iterator[bytes]:
    """Yield the pool, then what comes of it, without end; the pool may grow meanwhile."""
    yield from list(pool)
    while True:
        yield mutate(pool, chance)


def run(pool: list[bytes], seed: int, goes_on: Callable[[int], bool]) -> tuple[int, int]:
    """Check inputs while `goes_on(how many)`; return how many there were and how many different messages."""
    heard: set[str] = set()
    number = 0
    for data in inputs(pool, random.Random(seed)):
        if not goes_on(number):
            break
        try:
            said = _QUOTED.sub("", check(data))
        except BaseException as error:
            error.add_note(f"the input was {data!r:.2000}")
            error.failed_input = data  # type: ignore[attr-defined]
            raise
        if said not in heard:
            heard.add(said)
            pool.append(data)
        number += 1
    return number, len(heard)


def _guided(atheris: Any, arguments: list[str]) -> None:
    atheris.instrument_all()
    atheris.Setup([sys.argv[0], f"-max_len={MAX_INPUT}", *arguments], check)
    atheris.Fuzz()


def main() -> None:
    """Fuzz for as long as the arguments say; exits with 1 at the first input that breaks a promise."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--seed", type=int, default=time.time_ns())
    options = parser.parse_args()
    folder = options.folder or Path("build/fuzz")
    try:
        atheris = importlib.import_module("atheris")
    except ImportError:
        pass
    else:
        folder.mkdir(parents=True, exist_ok=True)
        for data in seeds():
            (folder / sha256(data).hexdigest()[:16]).write_bytes(data)
        _guided(
            atheris, [f"-max_total_time={options.seconds}", f"-timeout={int(CPU_SECONDS * 5)}", str(folder)]
        )
        return
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    until = time.monotonic() + options.seconds
    try:
        number, heard = run(seeds(options.folder), options.seed, lambda _number: time.monotonic() < until)
    except Exception as error:
        data = error.failed_input  # type: ignore[attr-defined]
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"failed-{sha256(data).hexdigest()[:16]}.yaml"
        path.write_bytes(data)
        sys.exit(f"seed {options.seed}: {type(error).__name__}: {error}; the input is in {path}")
    print(f"{number} inputs, {heard} different messages, nothing found (seed {options.seed})")


if __name__ == "__main__":
    main()
