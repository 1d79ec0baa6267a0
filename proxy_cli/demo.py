"""`wiretape demo`: show the main job from end to end, with no network and no key.

    demo client ──▶ wiretape (a session like any other) ──▶ demo router
                        │
                        ▼
                  cassettes/demo.yaml

Whatever opens and closes the session is given by the caller; here is the order of the steps and what
people see of them. The cassette goes where a session's would, under `cassettes/` in the current folder,
since it is there to be kept and looked at; a demo that ran before is not overwritten.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from proxy_cli.demo_client import demo_key
from proxy_cli.demo_router import HOST, DemoRouter

_WIDTH = 110
_MAX_LINES = 60


class OpenSession(Protocol):
    """Opens a recording session."""

    def __call__(self, cassette: Path, connect_to: str, upstream_ca: Path) -> Mapping[str, str]:
        """Return the variables that make a client use the session.

        `connect_to` is of the form HOST:PORT:ADDRESS:PORT, `upstream_ca` a PEM file to trust besides
        the usual roots.
        """


class CloseSession(Protocol):
    """Closes the session that was opened last."""

    def __call__(self) -> Path:
        """Finish the cassette and return its path."""


class Echo(Protocol):
    """Shows a line to people."""

    def __call__(self, message: str, /) -> object:
        """Print the line and a line feed, at once."""


def run_demo(open_session: OpenSession, close_session: CloseSession, echo: Echo) -> int:
    """Run the demo and return the exit status: 0, or 1 when the client failed or its key was recorded.

    The session is closed on every way out. Errors of the two callables pass through.
    """
    with DemoRouter() as router:
        echo(f"1. A router listens on 127.0.0.1:{router.port}; it plays the part of {HOST}.")
        environment = open_session(
            free_cassette(Path.cwd()), f"{HOST}:443:127.0.0.1:{router.port}", router.ca_file
        )
        try:
            echo(f"2. wiretape records at {environment['HTTPS_PROXY']}.")
            echo("3. A client, which knows only its environment, asks; what arrives, and when:")
            echo("")
            status = _run_client(environment, echo)
        finally:
            cassette = close_session()
    echo("")
    if status != 0:
        echo(f"The client failed (exit status {status}); {_display(cassette)} has what there was to record.")
        return 1
    return _show_result(cassette, echo)


def free_cassette(folder: Path) -> Path:
    """Return the path for the demo's cassette: cassettes/demo.yaml in `folder`, or demo-2.yaml, ...

    In a folder that we may not write to, the cassette goes to a new one among the temporary files.
    """
    cassettes = folder / "cassettes"
    if not os.access(cassettes if cassettes.exists() else folder, os.W_OK | os.X_OK):
        cassettes = Path(tempfile.mkdtemp(prefix="wiretape-demo-"))
    path = cassettes / "demo.yaml"
    number = 2
    while path.exists():
        path = cassettes / f"demo-{number}.yaml"
        number += 1
    return path


def excerpt(text: str, width: int = _WIDTH, max_lines: int = _MAX_LINES) -> list[str]:
    """Return lines of a cassette for display: long ones cut, and the number of those left out.

    The middle is what gets left out, so that the start of the first request and the end of the last
    response are both seen.
    """
    lines = [line if len(line) <= width else f"{line[: width - 1]}…" for line in text.splitlines()]
    if len(lines) <= max_lines:
        return lines
    head = max_lines * 3 // 4
    tail = max_lines - head - 1
    left_out = len(lines) - head - tail
    return [*lines[:head], f"  … {left_out} more lines …", *lines[-tail:]]


def _run_client(environment: Mapping[str, str], echo: Echo) -> int:
    """Run the client and pass on its lines as they come; return its exit status."""
    # What the user excluded from proxies must not make the demo's one request go to the real router.
    inherited = {name: value for name, value in os.environ.items() if name.upper() != "NO_PROXY"}
    added = {name: value for name, value in environment.items() if name.upper() != "NO_PROXY"}
    # -I: the script's own folder does not get onto the import path, nor anything of the user's.
    command = [sys.executable, "-I", str(Path(__file__).with_name("demo_client.py"))]
    with subprocess.Popen(
        command, env=inherited | added, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8"
    ) as client:
        assert client.stdout is not None
        try:
            for line in client.stdout:
                echo(f"   {line.rstrip()}")
        except BaseException:
            client.kill()
            raise
    return client.returncode


def _show_result(cassette: Path, echo: Echo) -> int:
    text = cassette.read_text(encoding="utf-8")
    path = _display(cassette)
    echo(f"4. The cassette, {path} (long lines cut here, not in the file):")
    echo("")
    for line in excerpt(text):
        echo(f"   {line}")
    echo("")
    if demo_key() in text:
        echo("The client's API key is in the cassette. That is a bug in wiretape: please report it.")
        return 1
    echo("   The client sent `Authorization: Bearer hf_…` with both requests; the key is not in the file.")
    echo("")
    echo("Next:")
    show, run = f"wiretape show {shlex.quote(path)} 0", "wiretape run -- your command"
    width = max(len(show), len(run))
    echo(f"   {show:{width}}   one exchange, readable")
    echo(f"   {run:{width}}   record a program of your own")
    return 0


def _display(path: Path) -> str:
    try:
        return str(path.absolute().relative_to(Path.cwd()))
    except ValueError:
        return str(path)
