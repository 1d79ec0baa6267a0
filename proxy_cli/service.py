"""The daemon as a service of the user: a systemd user unit on Linux, a launchd agent on macOS.

The file is written, then the system's own tool is told; where that tool is missing, or there is no user manager to
talk to (as in a container), the file stands and what is left to do is said.
"""

from __future__ import annotations

import os
import plistlib
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from addons.errors import StartError
from cassette.files import as_store_error, write_private_file

_UNIT = "wiretape.service"
_LABEL = "wiretape.daemon"
_TOOL_SECONDS = 60
_STOP_SECONDS = 120
"""How long systemd waits for the daemon to drain and finish cassettes before it kills it."""
_PASSED_ON = ("WIRETAPE_HOME", "WIRETAPE_CONFIG")
"""Variables that say which installation it is; others, a password for instance, do not belong into a file."""


@dataclass(frozen=True, slots=True)
class Service:
    """A service as one system has it: where its file is, what is in it, what its tool is told."""

    path: Path
    content: bytes
    tool: str
    install: tuple[tuple[str, ...], ...]
    uninstall: tuple[tuple[str, ...], ...]
    is_active: tuple[str, ...]
    """Exits with 0 while it runs."""


def service(env: Mapping[str, str], platform: str = sys.platform) -> Service:
    """Return this user's service; raises StartError where there is neither systemd nor launchd."""
    command = [sys.executable, "-P", "-m", "proxy_cli", "daemon", "--foreground"]
    passed = {name: env[name] for name in _PASSED_ON if env.get(name)}
    home = Path(env.get("HOME") or Path.home())
    if platform == "darwin":
        return _launchd(home, command, passed)
    if platform.startswith("linux"):
        return _systemd(Path(env.get("XDG_CONFIG_HOME") or home / ".config"), command, passed)
    raise StartError(f"no services are known on {platform}; run it yourself: wiretape daemon --foreground")


def _systemd(config: Path, command: Sequence[str], passed: Mapping[str, str]) -> Service:
    variables = "".join(f"Environment={_quoted(f'{name}={value}')}\n" for name, value in passed.items())
    content = f"""\
[Unit]
Description=wiretape, a recording proxy for LLM traffic

[Service]
Type=exec
ExecStart={" ".join(_quoted(word).replace("$", "$$") for word in command)}
{variables}Restart=on-failure
KillMode=mixed
TimeoutStopSec={_STOP_SECONDS}
UMask=0077
NoNewPrivileges=yes

[Install]
WantedBy=default.target
"""
    systemctl = ("systemctl", "--user")
    return Service(
        config / "systemd" / "user" / _UNIT,
        content.encode(),
        "systemctl",
        install=((*systemctl, "daemon-reload"), (*systemctl, "enable", "--now", _UNIT)),
        uninstall=((*systemctl, "disable", "--now", _UNIT),),
        is_active=(*systemctl, "is-active", "--quiet", _UNIT),
    )


def _quoted(text: str) -> str:
    """Quote a word for a unit file (systemd.syntax(7)); `%` begins a specifier (systemd.unit(5))."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return f'"{escaped}"'


def _launchd(home: Path, command: Sequence[str], passed: Mapping[str, str]) -> Service:
    path = home / "Library" / "LaunchAgents" / f"{_LABEL}.plist"
    agent = {
        "Label": _LABEL,
        "ProgramArguments": list(command),
        "EnvironmentVariables": dict(passed),
        "RunAtLoad": True,
        "KeepAlive": {"SuccessfulExit": False},
        "ExitTimeOut": _STOP_SECONDS,
        "Umask": 0o077,
    }
    domain = f"gui/{os.getuid()}"
    return Service(
        path,
        plistlib.dumps(agent),
        "launchctl",
        install=(("launchctl", "bootstrap", domain, str(path)),),
        uninstall=(("launchctl", "bootout", f"{domain}/{_LABEL}"),),
        is_active=("launchctl", "print", f"{domain}/{_LABEL}"),
    )


def install(one: Service) -> str:
    """Write the file and start the service, now and at every login; raises StoreError for the file.

    Returns the command that failed, for the user to repeat, and why; nothing when all went well.
    """
    with as_store_error("make the folder", one.path.parent):
        one.path.parent.mkdir(parents=True, exist_ok=True)
    write_private_file(one.path, one.content)
    return _tell(one.install)


def uninstall(one: Service) -> str:
    """Stop the service and delete the file; returns what `install` does. Raises StartError when there is none."""
    if not one.path.exists():
        raise StartError(f"there is no service: {one.path} does not exist")
    failed = _tell(one.uninstall)
    with as_store_error("delete", one.path):
        one.path.unlink()
    return failed


def is_active(one: Service) -> bool:
    """Tell whether the system says that it runs."""
    return shutil.which(one.tool) is not None and _run(one.is_active).returncode == 0


def _tell(commands: Sequence[Sequence[str]]) -> str:
    for command in commands:
        line = " ".join(command)
        if shutil.which(command[0]) is None:
            return f"{line}    ({command[0]} is not here)"
        done = _run(command)
        if done.returncode != 0:
            said = done.stderr.decode(errors="replace").strip().splitlines()
            return f"{line}    ({said[-1] if said else f'exit status {done.returncode}'})"
    return ""


def _run(command: Sequence[str]) -> subprocess.CompletedProcess[bytes]:
    try:
        return subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=_TOOL_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as exc:
        return subprocess.CompletedProcess(command, 1, b"", str(exc).encode())
