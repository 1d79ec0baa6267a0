"""The client's end of the control API, and the start of a daemon when none runs."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from addons.errors import ControlError, ProxyError, StartError
from proxy_cli.messages import API, SessionRequest, StoppingError, error_from_json
from proxy_cli.places import Places

_ANSWER_SECONDS = 900.0
"""A close waits for the drain and for the scribe."""
_START_SECONDS = 30.0
_LOOK_SECONDS = 0.02


class GoneError(ControlError):
    """Nobody listens, or no longer."""


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str, timeout_seconds: float) -> None:
        super().__init__("localhost", timeout=timeout_seconds)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class Control:
    """Asks the daemon of one home."""

    def __init__(self, places: Places) -> None:
        self.places = places
        self._ensured = False
        self._linger_seconds: float | None = None
        self._options: Mapping[str, str | None] | None = None

    def is_running(self) -> bool:
        """Tell whether a daemon listens; a socket that a dead one left behind does not count."""
        self._require_own_socket()
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            try:
                probe.connect(str(self.places.socket))
            except OSError:
                return False
            return True

    def status(self) -> dict[str, Any]:
        """Return the daemon's status and its sessions'; raises ControlError when none runs."""
        answer: dict[str, Any] = self._ask("GET", "/status")
        spoken = answer["daemon"]["api"]
        if spoken != API:
            raise ControlError(
                f"the running daemon is of version {answer['daemon']['version']}; stop it: wiretape daemon stop"
            )
        return answer

    def readiness(self) -> dict[str, Any]:
        """Return `{"problems": [...]}`, empty when all is well; raises ControlError when none runs."""
        answer: dict[str, Any] = self._ask("GET", "/ready", good=(200, 503))
        return answer

    def open(self, request: SessionRequest) -> dict[str, Any]:
        """Open a session; raises what the daemon reports. One that is just ending is waited for, and replaced."""
        deadline = time.monotonic() + _START_SECONDS
        while True:
            try:
                answer: dict[str, Any] = self._ask("POST", "/sessions", request.to_json())
            except (StoppingError, GoneError):
                if not self._ensured or time.monotonic() > deadline:
                    raise
                time.sleep(_LOOK_SECONDS)
                self.ensure_daemon(self._linger_seconds, self._options)
            else:
                return answer

    def close(self, name: str, drain_seconds: float | None = None) -> dict[str, Any]:
        """Close a session and return its summary."""
        body = {} if drain_seconds is None else {"drain_seconds": drain_seconds}
        answer: dict[str, Any] = self._ask("DELETE", f"/sessions/{quote(name, safe='')}", body)
        return answer

    def switch(self, name: str, mode: str, drain_seconds: float | None = None) -> dict[str, Any]:
        """Change the mode of a session and return its status."""
        body = {"mode": mode} | ({} if drain_seconds is None else {"drain_seconds": drain_seconds})
        answer: dict[str, Any] = self._ask("PUT", f"/sessions/{quote(name, safe='')}/mode", body)
        return answer

    def proxy_of(self, name: str) -> str:
        """Return the URL for clients of a session, with the password where there is one: not to be shown."""
        answer: dict[str, str] = self._ask("GET", f"/sessions/{quote(name, safe='')}/proxy")
        return answer["proxy"]

    def common_proxy_of(self, name: str) -> str:
        """Return the same for the port that all sessions have in common; ControlError where there is none."""
        answer: dict[str, str | None] = self._ask("GET", f"/sessions/{quote(name, safe='')}/proxy")
        common = answer["common_proxy"]
        if common is None:
            raise ControlError(
                "the daemon has no common port; stop it, and start it with: wiretape daemon --common-port 8899"
            )
        return common

    def shut_down(self) -> None:
        """End the daemon and wait until it is gone: its sessions drain and close."""
        self._ask("POST", "/shutdown")
        deadline = time.monotonic() + _ANSWER_SECONDS
        while self.places.socket.exists() and time.monotonic() < deadline:
            if not self.is_running():
                return
            time.sleep(_LOOK_SECONDS)

    def _require_own_socket(self) -> None:
        """Refuse a folder that somebody else made where our socket should be (the temporary folder is shared)."""
        folder = self.places.socket.parent
        try:
            there = folder.lstat()
        except OSError:
            return
        if there.st_uid != os.getuid() or not stat.S_ISDIR(there.st_mode):
            what = (
                f"belongs to user {there.st_uid}, not to you"
                if there.st_uid != os.getuid()
                else "is no folder"
            )
            raise ControlError(f"{folder} {what}; set WIRETAPE_HOME to another path, not a long one")

    def _ask(
        self, method: str, path: str, body: dict[str, Any] | None = None, *, good: tuple[int, ...] = (200,)
    ) -> Any:
        self._require_own_socket()
        connection = _UnixConnection(str(self.places.socket), _ANSWER_SECONDS)
        try:
            data = json.dumps(body).encode() if body is not None else None
            connection.request(method, path, data)
            response = connection.getresponse()
            answer = json.loads(response.read())
        except (FileNotFoundError, ConnectionRefusedError):
            raise GoneError("no daemon is running; start one with: wiretape start") from None
        except (BrokenPipeError, ConnectionResetError) as exc:
            raise GoneError(f"the daemon broke off; see: wiretape logs ({exc!r})") from exc
        except PermissionError as exc:
            raise ControlError(f"{self.places.socket} belongs to another user") from exc
        except (OSError, http.client.HTTPException, ValueError) as exc:
            raise ControlError(f"the daemon broke off; see: wiretape logs ({exc!r})") from exc
        finally:
            connection.close()
        if response.status not in good:
            raise error_from_json(answer)
        return answer

    def ensure_daemon(
        self, linger_seconds: float | None, options: Mapping[str, str | None] | None = None
    ) -> None:
        """Start a daemon when none runs, and wait until it answers; None: one that does not end by itself.

        `options` are those of `wiretape daemon`, by their names in Python.
        Raises StartError with the last line of what it said when it does not come up.
        """
        self._ensured, self._linger_seconds, self._options = True, linger_seconds, options
        if self.is_running():
            return
        command = [sys.executable, "-P", "-m", "proxy_cli", "daemon", "--foreground"]
        for name, value in (options or {}).items():
            if value is not None:
                command.append(f"--{name.replace('_', '-')}={value}")
        environment = os.environ | {"WIRETAPE_HOME": str(self.places.home)}
        if linger_seconds is not None:
            command.append("--linger")
            environment["WIRETAPE_LINGER_SECONDS"] = str(linger_seconds)
        process = subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            start_new_session=True,
            cwd="/",
            text=True,
        )
        assert process.stderr is not None
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline:
            if self.is_running():
                process.stderr.close()
                return
            if process.poll() is not None:
                # Another one may have been started at the same time and won.
                with contextlib.suppress(ProxyError):
                    self.status()
                    return
                said = process.stderr.read().strip().splitlines()
                reason = said[-1] if said else "see: wiretape logs"
                raise StartError(f"the daemon did not start: {reason.removeprefix('wiretape: ')}")
            time.sleep(_LOOK_SECONDS)
        raise StartError("the daemon did not start in time; see: wiretape logs")
