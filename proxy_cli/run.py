"""`wiretape run`: a session around one command, and the demo, which is such a session too."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import FrameType
from typing import Any

import click

from addons.errors import ProxyError
from proxy_cli import render
from proxy_cli.control import Control
from proxy_cli.demo import run_demo
from proxy_cli.environment import client_environment
from proxy_cli.session_options import resolve, session_request
from proxy_cli.trust import client_ca, write_upstream_roots

_NOT_EXECUTABLE, _NOT_FOUND = 126, 127
"""What shells exit with (POSIX, Shell Command Language 2.8.2)."""


def run_command(control: Control, command: list[str], name: str | None, options: dict[str, Any]) -> int:
    """Record a command and return its status; 128 + N when a signal N ended it.

    A command that cannot be run is not recorded: 127 when it is not there, 126 when it cannot be executed.
    """
    if shutil.which(command[0]) is None:
        there = Path(command[0]).exists()
        what = "cannot be executed; check its mode" if there else "command not found"
        click.echo(f"wiretape: {command[0]}: {what}", err=True)
        return _NOT_EXECUTABLE if there else _NOT_FOUND
    stem = name or re.sub(r"[^A-Za-z0-9._-]+", "-", Path(command[0]).stem).strip("-.") or "command"
    environment = _open(control, stem, options)
    session = environment["WIRETAPE_SESSION"]
    status = _wait_for(command, environment)
    try:
        summary = control.close(session)
    except ProxyError as exc:
        click.echo(f"wiretape: {exc}; what was recorded is finished by: wiretape recover", err=True)
        return status
    click.echo(f"wiretape: {render.stopped(summary)}", err=True)
    if not (summary["interactions"] or summary["interrupted"]) and summary["cassette"]:
        click.echo(_nothing_came(summary), err=True)
    return status


def _nothing_came(summary: dict[str, Any]) -> str:
    if summary["passed"] or summary["tunnels"]:
        return "wiretape: the command reached other hosts only, which are not recorded; add them with --host"
    return (
        "wiretape: nothing came through the proxy; does the command honour HTTPS_PROXY?"
        " (Node before 22.21 and aiohttp do not by themselves)"
    )


def _open(control: Control, stem: str, options: dict[str, Any]) -> dict[str, str]:
    """Open a session for this process and return the environment of its command."""
    settings = resolve(options)
    paths = client_ca(control.places.home, os.environ)
    extra = [settings.upstream.ca] if settings.upstream.ca is not None else []
    roots = write_upstream_roots(control.places.home, os.environ, extra)
    request = session_request(
        f"{stem[:50]}-{os.getpid()}", options, settings, roots, default_cassette=stem, owner_pid=os.getpid()
    )
    control.ensure_daemon(settings.daemon.linger_seconds)
    session = control.open(request)
    return os.environ | client_environment(session["port"], paths, os.environ, session["name"])


def _wait_for(command: list[str], environment: Mapping[str, str]) -> int:
    try:
        process = subprocess.Popen(command, env=environment)
    except OSError as exc:  # a script without its interpreter, a file that is no program: seen only now
        click.echo(f"wiretape: {command[0]}: cannot be executed: {exc.strerror}", err=True)
        return _NOT_EXECUTABLE
    with _passing_signals_to(process):
        status = process.wait()
    return status if status >= 0 else 128 - status


@contextlib.contextmanager
def _passing_signals_to(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """Outlive the command: its session is to be closed. A terminal's Ctrl-C reaches it by itself."""

    def forward(number: int, _frame: FrameType | None) -> None:
        process.send_signal(number)

    before = {number: signal.signal(number, forward) for number in (signal.SIGTERM, signal.SIGHUP)}
    before[signal.SIGINT] = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def run_demonstration(control: Control) -> int:
    """Run the demo through a session of its own; return 0 when it went as it should."""
    opened: list[str] = []

    def open_session(cassette: Path, connect_to: str, upstream_ca: Path) -> Mapping[str, str]:
        options = _DEMO_OPTIONS | {
            "cassette": cassette,
            "connect_to": (connect_to,),
            "upstream_ca": upstream_ca,
        }
        environment = _open(control, "demo", options)
        opened.append(environment["WIRETAPE_SESSION"])
        return {name: value for name, value in environment.items() if os.environ.get(name) != value}

    def close_session() -> Path:
        summary = control.close(opened[-1])
        if render.has_loss(summary):
            raise ProxyError(render.stopped(summary))
        return Path(summary["cassette"])

    return run_demo(open_session, close_session, click.echo)


_DEMO_OPTIONS: dict[str, Any] = {
    "append": False,
    "overwrite": False,
    "mode": "record-only",
    "host": (),
    "keep_header": (),
    "keep_all_headers": False,
    "host_field": None,
    "layout": None,
    "upstream_proxy": None,
    "config": None,
    "port": 0,
}
