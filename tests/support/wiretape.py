"""`wiretape` as a user runs it: the command in a process of its own, its state in a home of its own."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from addons import levers

ROOT = Path(__file__).resolve().parents[2]

COMMAND_DEADLINE_S = 90.0
"""No command of these tests takes that long; chosen, not measured."""

_PROXY_VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")


def clean_command(command: Sequence[str | Path]) -> list[str]:
    """Return a command that does not see the variable which makes our own modules importable, if there is one."""
    return [*(["env", "-u", "PYTHONPATH"] if "-m" in command_line() else []), *map(str, command)]


def command_line() -> list[str]:
    """Return how the command starts: the installed script, or the module where nothing is installed."""
    script = Path(sys.executable).with_name("wiretape")
    return [str(script)] if script.exists() else [sys.executable, "-P", "-m", "proxy_cli"]


@dataclass(frozen=True, slots=True)
class Session:
    """A session that is open: where its cassette will be, and what a client has to set."""

    name: str
    cassette: Path
    variables: Mapping[str, str]

    @property
    def proxy(self) -> str:
        """The listener as `host:port`."""
        return self.variables["HTTPS_PROXY"].removeprefix("http://").rstrip("/")

    @property
    def bundle(self) -> Path:
        """The file of certificates that a client has to trust."""
        return Path(self.variables["SSL_CERT_FILE"])


class Wiretape:
    """The command with a fresh home; at the end of the `with` block no daemon is left."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        """Where commands run, and where cassettes go."""
        # Not below pytest's folders: the path of a Unix socket holds about 100 bytes (sys/un.h).
        self.home = Path(tempfile.mkdtemp(prefix="wt-"))
        self.environment = _clean_environment(self.home)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pid = self.daemon_pid()
        try:
            if pid is not None:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self.run("daemon", "stop", check=False)
                _end(pid)
        finally:
            if error is not None:
                self._show_logs()
            shutil.rmtree(self.home, ignore_errors=True)

    def run(
        self,
        *arguments: str | Path,
        check: bool = True,
        env: Mapping[str, str] | None = None,
        stdin: bytes = b"",
        deadline_s: float = COMMAND_DEADLINE_S,
    ) -> subprocess.CompletedProcess[bytes]:
        """Run one command to its end; `AssertionError` with all it said when it fails and `check` is on."""
        done = subprocess.run(
            [*command_line(), *map(str, arguments)],
            cwd=self.folder,
            env={**self.environment, **(env or {})},
            input=stdin,
            capture_output=True,
            timeout=deadline_s,
            check=False,
        )
        if check and done.returncode != 0:
            said = (done.stdout + done.stderr).decode(errors="replace")
            raise AssertionError(f"wiretape {' '.join(map(str, arguments))}: exit {done.returncode}\n{said}")
        return done

    def record(
        self,
        cassette: Path,
        options: Sequence[str],
        command: Sequence[str | Path],
        *,
        stdin: bytes = b"",
        env: Mapping[str, str] | None = None,
    ) -> subprocess.CompletedProcess[bytes]:
        """Record one command with `wiretape run`; `AssertionError` when it fails."""
        arguments = ["run", f"--cassette={cassette}", *options, "--", *clean_command(command)]
        return self.run(*arguments, stdin=stdin, env=env)

    def popen(self, *arguments: str | Path, env: Mapping[str, str] | None = None) -> subprocess.Popen[bytes]:
        """Start a command and leave its pipes to the test."""
        return subprocess.Popen(
            [*command_line(), *map(str, arguments)],
            cwd=self.folder,
            env={**self.environment, **(env or {})},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )

    def start(self, name: str, *options: str, cassette: Path | None = None) -> Session:
        """Open a session and read the variables that it gives to clients."""
        path = cassette or self.folder / f"{name}.yaml"
        self.run("start", name, f"--cassette={path}", *options)
        variables = json.loads(self.run("env", name, "--shell", "json").stdout)
        return Session(name, path, variables)

    def stop(self, name: str) -> None:
        """Close a session: afterwards its cassette is complete."""
        self.run("stop", name)

    def stop_all(self) -> None:
        """Close every session."""
        self.run("stop", "--all")

    def status(self) -> dict[str, Any]:
        """Return what `status --json` says."""
        status: dict[str, Any] = json.loads(self.run("status", "--json").stdout)
        return status

    def daemon_pid(self) -> int | None:
        """Return the daemon's process id, or None when none runs."""
        done = self.run("status", "--json", check=False)
        if done.returncode != 0:
            return None
        daemon = json.loads(done.stdout).get("daemon") or {}
        pid = daemon.get("pid")
        return pid if isinstance(pid, int) else None

    def _show_logs(self) -> None:
        for log in sorted(self.home.rglob("*.log")):
            print(f"--- {log.name}\n{log.read_text(errors='replace')[-4000:]}")


def _clean_environment(home: Path) -> dict[str, str]:
    """Copy the environment without what would lead a client or the proxy elsewhere.

    Levers that were left out stay left out: all tests can be run without one.
    """
    environment = {
        name: value
        for name, value in os.environ.items()
        if name.upper() not in _PROXY_VARIABLES
        and (name == levers.VARIABLE or not name.startswith("WIRETAPE_"))
    }
    environment["WIRETAPE_HOME"] = str(home)
    # A configuration of the person who runs the tests must not leak in.
    environment["XDG_CONFIG_HOME"] = str(home / "no-config")
    if "-m" in command_line():
        environment["PYTHONPATH"] = str(ROOT)
    return environment


def _end(pid: int, deadline_s: float = 15.0) -> None:
    """Wait until a process is gone; kill it, and say so, when it does not go."""
    started = time.monotonic()
    while _is_alive(pid):
        if time.monotonic() - started > deadline_s:
            os.kill(pid, signal.SIGKILL)
            raise AssertionError(
                f"the daemon (pid {pid}) was still there {deadline_s:.0f} s after `daemon stop`"
            )
        time.sleep(0.02)


def _is_alive(pid: int) -> bool:
    # `ps` and not signal 0: a process that has ended stays as a zombie until init looks, which may take seconds.
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return bool(state.stdout.strip()) and not state.stdout.strip().startswith("Z")
