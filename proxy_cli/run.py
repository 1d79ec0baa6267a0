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

from addons.access import proxy_url
from addons.errors import ProxyError
from addons.settings import ReplaySettings
from proxy_cli import render
from proxy_cli.base_url_variables import base_url_variables
from proxy_cli.control import Control
from proxy_cli.demo import run_demo
from proxy_cli.env_undo import with_saved
from proxy_cli.environment import client_environment
from proxy_cli.opening import Opened, open_session

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
    opened, environment = _open(control, stem, options)
    status = _wait_for(command, environment)
    try:
        summary = control.close(opened.status["name"])
    except ProxyError as exc:
        click.echo(f"wiretape: {exc}; what was recorded is finished by: wiretape recover", err=True)
        return status
    click.echo(f"wiretape: {render.stopped(summary)}", err=True)
    if "hits" in summary:
        return status or _replay_status(summary, opened.settings.replay)
    if not (summary["interactions"] or summary["interrupted"]) and summary["cassette"]:
        click.echo(_nothing_came(summary), err=True)
    return status


def _replay_status(summary: dict[str, Any], settings: ReplaySettings) -> int:
    """Return 1 when a replay fell short in a way that is to fail a command which succeeded itself."""
    if summary["miss_messages"] and settings.fail_on_miss:  # of those that got no answer
        click.echo("wiretape: a request found no recorded answer; see: wiretape logs", err=True)
        return 1
    if summary.get("unused") and settings.fail_on_unused:
        click.echo("wiretape: not every recorded interaction was asked for", err=True)
        return 1
    return 0


def _nothing_came(summary: dict[str, Any]) -> str:
    if summary["passed"] or summary["tunnels"]:
        return "wiretape: the command reached other hosts only, which are not recorded; add them with --host"
    return (
        "wiretape: nothing came through the proxy; does the command honour HTTPS_PROXY?"
        " Where it went instead tells: wiretape doctor -- COMMAND; what takes a base URL goes with: --reverse https://HOST"
    )


def _open(control: Control, stem: str, options: dict[str, Any]) -> tuple[Opened, dict[str, str]]:
    """Open a session for this process; return it and the environment of its command."""
    name, pid = f"{stem[:50]}-{os.getpid()}", os.getpid()
    opened = open_session(control, name, options, default_cassette=stem, owner_pid=pid)
    session = opened.settings.session
    proxy = proxy_url(session.listen, opened.status["port"], session.login)
    variables = client_environment(proxy, opened.ca, os.environ, name)
    variables |= base_url_variables(opened.status["reverse"], os.environ)
    return opened, os.environ | with_saved(variables, os.environ)


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
        session, environment = _open(control, "demo", options)
        opened.append(session.status["name"])
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
    "keep_timing": False,
    "upstream_proxy": "none",
    "client_cert": None,
    "reverse": (),
    "unlisted": None,
    "fail_on_unused": False,
    "repeat": False,
    "timing": None,
    "timing_factor": None,
    "config": None,
    "port": 0,
    "listen": None,
    "proxy_auth": None,
}
