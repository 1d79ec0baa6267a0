"""The daemon as a service: what is written, checked by systemd's own tool, and what the system's tool is told."""

from __future__ import annotations

import os
import plistlib
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from addons.errors import StartError
from proxy_cli import service

_needs_systemd = pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd-analyze is not here")


def _tool(folder: Path, name: str, exit_status: int) -> None:
    """Put a program of that name where it is found; it notes what it is told."""
    folder.mkdir(exist_ok=True)
    tool = folder / name
    tool.write_text(f'#!/bin/sh\necho "$@" >> {folder}/told\necho it failed >&2\nexit {exit_status}\n')
    tool.chmod(0o755)


@_needs_systemd
def test_systemd_understands_the_unit(tmp_path: Path) -> None:
    odd = '/home/x/a b%c$d"e'
    one = service.service({"HOME": str(tmp_path), "WIRETAPE_HOME": odd}, "linux")
    unit = tmp_path / "wiretape.service"
    unit.write_bytes(one.content)
    done = subprocess.run(
        ["systemd-analyze", "verify", "--user", str(unit)],
        env=os.environ | {"XDG_RUNTIME_DIR": str(tmp_path)},
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, b"")


def test_unit_runs_this_interpreter_and_names_the_home_but_no_password(tmp_path: Path) -> None:
    env = {"HOME": str(tmp_path), "WIRETAPE_HOME": "/srv/a", "WIRETAPE_PROXY_AUTH": "me:" + "p" * 9}
    text = service.service(env, "linux").content.decode()
    assert f'ExecStart="{sys.executable}" "-P" "-m" "proxy_cli" "daemon" "--foreground"\n' in text
    assert 'Environment="WIRETAPE_HOME=/srv/a"\n' in text
    assert "ppppp" not in text


def test_launchd_agent_is_a_property_list(tmp_path: Path) -> None:
    one = service.service({"HOME": str(tmp_path), "WIRETAPE_HOME": "/srv/a"}, "darwin")
    agent = plistlib.loads(one.content)
    assert agent["ProgramArguments"][0] == sys.executable
    assert agent["EnvironmentVariables"] == {"WIRETAPE_HOME": "/srv/a"}
    assert one.path.parent == tmp_path / "Library" / "LaunchAgents"


def test_other_systems_are_told_what_to_do() -> None:
    with pytest.raises(StartError, match="wiretape daemon --foreground"):
        service.service({}, "sunos5")


def test_install_and_uninstall_tell_the_systems_tool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tools = tmp_path / "bin"
    _tool(tools, "systemctl", 0)
    monkeypatch.setenv("PATH", f"{tools}:{os.environ['PATH']}")
    one = service.service({"HOME": str(tmp_path)}, "linux")
    assert service.install(one) == ""
    assert stat.S_IMODE(one.path.stat().st_mode) == 0o600
    assert one.path.read_bytes() == one.content
    assert service.is_active(one)
    assert service.uninstall(one) == ""
    assert not one.path.exists()
    assert (tools / "told").read_text().splitlines() == [
        "--user daemon-reload",
        "--user enable --now wiretape.service",
        "--user is-active --quiet wiretape.service",
        "--user disable --now wiretape.service",
    ]
    with pytest.raises(StartError, match="there is no service"):
        service.uninstall(one)


def test_failing_tool_leaves_the_file_and_says_what_to_repeat(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tools = tmp_path / "bin"
    _tool(tools, "systemctl", 1)
    monkeypatch.setenv("PATH", f"{tools}:{os.environ['PATH']}")
    one = service.service({"HOME": str(tmp_path)}, "linux")
    assert service.install(one) == "systemctl --user daemon-reload    (it failed)"
    assert one.path.exists()
    assert not service.is_active(one)


def test_missing_tool_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    one = service.service({"HOME": str(tmp_path)}, "linux")
    assert service.install(one) == "systemctl --user daemon-reload    (systemctl is not here)"
    assert one.path.exists()
