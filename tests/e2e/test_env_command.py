"""`wiretape env` as shells, workflows and containers use it: the values arrive, and can be undone."""

from __future__ import annotations

import itertools
import json
import shlex
import shutil
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.wiretape import Wiretape, command_line

PASSWORD = "w0rd" * 4
USERS = {
    "NO_PROXY": "corp.example",
    "NODE_OPTIONS": "--no-warnings",
    "JAVA_TOOL_OPTIONS": "-Xmx64m",
    "HTTPS_PROXY": "http://corp.example:3128",
}


@pytest.fixture(scope="module")
def wiretape(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Wiretape]:
    with Wiretape(tmp_path_factory.mktemp("env-command")) as command:
        command.run("start", "open", "--mode=passthrough")
        login = {"WIRETAPE_PROXY_AUTH": f"me:{PASSWORD}"}
        command.run("start", "guarded", "--mode=passthrough", "--listen=::1", env=login)
        yield command


def in_shell(wiretape: Wiretape, script: str, shell: str = "sh") -> dict[str, str]:
    """Run a script in which `$W` is wiretape; return the variables at its end."""
    environment = {**wiretape.environment, **USERS, "W": shlex.join(command_line())}
    done = subprocess.run(
        [shell, "-euc", f"{script}\nenv -0"],
        env=environment,
        cwd=wiretape.folder,
        capture_output=True,
        check=True,
    )
    pairs = (line.partition("=") for line in done.stdout.decode().split("\0") if line)
    return {name: value for name, _, value in pairs if name not in {"_", "SHLVL", "PWD", "OLDPWD"}}


def test_unset_gives_back_what_was_there_before_two_sessions(wiretape: Wiretape) -> None:
    before = in_shell(wiretape, ":")
    inside = in_shell(wiretape, 'eval "$($W env open)"; eval "$($W env guarded)"')
    after = in_shell(wiretape, 'eval "$($W env open)"; eval "$($W env guarded)"; eval "$($W env --unset)"')
    assert inside["WIRETAPE_SESSION"] == "guarded"
    assert inside["NODE_OPTIONS"].startswith("--no-warnings --require=")
    assert inside["NODE_OPTIONS"].count("--require") == 1
    assert after == before


def test_unset_works_inside_run_and_without_a_session(wiretape: Wiretape) -> None:
    script = f'eval "$({shlex.join(command_line())} env --unset)"; env'
    done = wiretape.run("run", "--mode=passthrough", "--", "sh", "-c", script, env=USERS)
    lines = done.stdout.decode().splitlines()
    assert "HTTPS_PROXY=http://corp.example:3128" in lines
    assert not any(line.startswith(("PERL_LWP_ENV_PROXY=", "WIRETAPE_SE", "WIRETAPE_SA")) for line in lines)


def test_unset_says_when_there_is_nothing_to_undo(wiretape: Wiretape) -> None:
    done = wiretape.run("env", "--unset")
    assert (done.stdout, b"nothing to undo" in done.stderr) == (b"", True)


def test_unset_is_refused_in_formats_that_cannot_remove(wiretape: Wiretape) -> None:
    saved = {"WIRETAPE_SAVED": '{"A": null}'}
    assert wiretape.run("env", "--unset", "--format=github", env=saved, check=False).returncode == 2
    assert json.loads(wiretape.run("env", "--unset", "--format=json", env=saved).stdout)["A"] is None


def test_shell_is_another_name_for_format(wiretape: Wiretape) -> None:
    one, other = (wiretape.run("env", "open", option, "json").stdout for option in ("--shell", "--format"))
    assert one == other
    assert "WIRETAPE_SAVED" not in json.loads(one)


def test_github_gets_variables_on_one_side_and_masks_on_the_other(wiretape: Wiretape) -> None:
    done = wiretape.run("env", "guarded", "--format", "github")
    lines = done.stdout.decode().splitlines()
    assert any(line.startswith(f"HTTPS_PROXY=http://me:{PASSWORD}@[::1]:") for line in lines)
    assert not any(line.startswith(("NODE_OPTIONS=", "::")) for line in lines)
    assert f"::add-mask::{PASSWORD}" in done.stderr.decode().splitlines()


def test_docker_gets_files_that_any_user_of_a_container_can_read(wiretape: Wiretape) -> None:
    done = wiretape.run("env", "open", "--format", "docker", env=USERS)
    words = shlex.split(done.stdout.decode())
    mounts = [word.split(":") for flag, word in itertools.pairwise(words) if flag == "-v"]
    inside = {target: Path(source) for source, target, _ in mounts}
    variables = dict(word.split("=", 1) for flag, word in itertools.pairwise(words) if flag == "-e")
    assert variables["HTTPS_PROXY"].startswith("http://host.docker.internal:")
    assert variables["NO_PROXY"] == "corp.example"
    assert variables["JAVA_TOOL_OPTIONS"].startswith("-Dhttps.proxyHost=host.docker.internal ")
    for name in ("SSL_CERT_FILE", "NODE_EXTRA_CA_CERTS"):
        assert "BEGIN CERTIFICATE" in inside[variables[name]].read_text()
    assert variables["NODE_OPTIONS"].removeprefix("--require=") in inside
    assert {stat.S_IMODE(source.stat().st_mode) for source in inside.values()} == {0o644}
    assert not any(b"PRIVATE KEY" in source.read_bytes() for source in inside.values())
    assert stat.S_IMODE(wiretape.home.stat().st_mode) == 0o700
    assert "--listen" in done.stderr.decode()


@pytest.mark.skipif(shutil.which("fish") is None, reason="fish is not installed")
def test_fish_sets_and_unsets(wiretape: Wiretape) -> None:
    before = in_shell(wiretape, ":", "fish")
    after = in_shell(wiretape, "eval $W env open | source; eval $W env --unset | source", "fish")
    assert after == before
