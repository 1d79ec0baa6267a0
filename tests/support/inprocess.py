"""The same commands without a process for each: click runs them here, the daemon is a real one as ever.

A test that opens and closes a session saves half a second this way. What depends on the process that a command
is (signals, exit status, `run`) is tested with `Wiretape.popen` and `Wiretape` itself.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from proxy_cli.cli import main
from tests.support.wiretape import COMMAND_DEADLINE_S, Session, Wiretape

_NEVER_LOGGED = ("crashed", "Traceback", "Addon error", "record.failed", "control.failed", "worker.failed")
"""What stands in the log when something of ours, or of mitmproxy, went wrong."""


class InProcess(Wiretape):
    """The command, called as a function. Not for two threads at once: standard output is redirected."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._names = (f"s{number}" for number in itertools.count(1))

    def open(self, *options: str, cassette: Path | None = None) -> Session:
        """Open a session under a name of its own."""
        return self.start(next(self._names), *options, cassette=cassette)

    def close(self, session: Session, *options: str) -> dict[str, Any]:
        """Close a session and return its summary, whether or not something was lost."""
        (summary,) = json.loads(self.run("stop", session.name, "--json", *options, check=False).stdout)
        assert isinstance(summary, dict)
        return summary

    def session(self, session: Session) -> dict[str, Any]:
        """Return what `status --json` says of one session."""
        found: dict[str, Any]
        (found,) = [one for one in self.status()["sessions"] if one["name"] == session.name]
        return found

    @property
    def log(self) -> str:
        """The daemon's log so far."""
        return (self.home / "daemon.log").read_text(encoding="utf-8")

    def run(
        self,
        *arguments: str | Path,
        check: bool = True,
        env: Mapping[str, str] | None = None,
        stdin: bytes = b"",
        deadline_s: float = COMMAND_DEADLINE_S,
    ) -> subprocess.CompletedProcess[bytes]:
        """Run one command to its end; what is not a message for people is raised as it is."""
        wanted: dict[str, str | None] = dict.fromkeys(os.environ)
        wanted.update(self.environment)
        wanted.update(env or {})
        command = list(map(str, arguments))
        with contextlib.chdir(self.folder):
            result = CliRunner(env=wanted).invoke(main, command, input=stdin, catch_exceptions=False)
        if check and result.exit_code != 0:
            raise AssertionError(f"wiretape {' '.join(command)}: exit {result.exit_code}\n{result.output}")
        return subprocess.CompletedProcess(
            command, result.exit_code, result.stdout_bytes, result.stderr_bytes
        )


@contextlib.contextmanager
def shared_daemon(factory: pytest.TempPathFactory, name: str) -> Iterator[InProcess]:
    """One daemon for a module's tests; at the end nothing may have crashed unseen."""
    with InProcess(factory.mktemp(name)) as command:
        yield command
        told = [line for line in command.log.splitlines() if any(word in line for word in _NEVER_LOGGED)]
        assert told == []
