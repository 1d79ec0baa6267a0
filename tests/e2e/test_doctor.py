"""`wiretape doctor`: real runtimes through a private session, and a command with what goes past the proxy."""

from __future__ import annotations

import json
import shutil
import socket
import sys
from pathlib import Path
from typing import Any

import pytest

from proxy_cli.doctor_sockets import Watch
from tests.support.scripts import whole
from tests.support.upstream import Upstream
from tests.support.wiretape import Wiretape

# Connects past the proxy and stays until somebody has looked: the listener closes the connection then.
_PAST = "import socket, sys; socket.create_connection((sys.argv[1], int(sys.argv[2]))).recv(1)"


def doctor(wiretape: Wiretape, *arguments: str, env: dict[str, str] | None = None) -> tuple[int, Any]:
    done = wiretape.run("doctor", "--json", *arguments, check=False, env=env)
    assert done.returncode in (0, 1), done.stderr.decode()
    read = json.loads(done.stdout)
    assert read["ok"] is (done.returncode == 0)
    return done.returncode, read["findings"]


def runtimes(findings: list[dict[str, str]]) -> dict[str, str]:
    return {one["name"].split()[0]: one["verdict"] for one in findings if one["group"] == "runtime"}


def needed(*names: str) -> list[str]:
    for name in names:
        if shutil.which("python3" if name == "python" else name) is None:
            pytest.skip(f"{name} is not installed")
    return [f"--runtime={name}" for name in names]


def test_python_node_and_curl_go_through_whatever_the_users_settings(wiretape: Wiretape) -> None:
    env = {"WIRETAPE_UPSTREAM_PROXY": "http://127.0.0.1:9", "WIRETAPE_MODE": "passthrough"}
    code, findings = doctor(wiretape, *needed("python", "node", "curl"), env=env)
    assert (code, runtimes(findings)) == (0, {"python": "ok", "node": "ok", "curl": "ok"}), findings
    # It needs no daemon, starts none that stays, and makes no CA in the user's home.
    assert wiretape.status()["daemon"] is None
    assert not (wiretape.home / "ca").exists()


def test_other_runtimes_go_through_where_they_are_installed(wiretape: Wiretape) -> None:
    names = [name for name in ("go", "java", "git", "deno", "bun") if shutil.which(name)]
    if not names:
        pytest.skip("none of Go, Java, git, Deno and Bun is installed")
    code, findings = doctor(wiretape, *(f"--runtime={name}" for name in names))
    assert (code, runtimes(findings)) == (0, dict.fromkeys(sorted(names), "ok")), findings


def test_client_that_ignores_the_variables_is_named(wiretape: Wiretape) -> None:
    # curl's own configuration goes before the variables.
    home = wiretape.folder / "home"
    home.mkdir()
    (home / ".curlrc").write_text('noproxy = "*"\n')
    code, findings = doctor(wiretape, *needed("curl"), env={"HOME": str(home), "CURL_HOME": str(home)})
    [found] = [one for one in findings if one["group"] == "runtime"]
    assert (code, found["verdict"]) == (1, "bad")
    assert "curlrc" in found["advice"]


def test_java_is_said_not_to_log_in_where_the_session_wants_it(wiretape: Wiretape) -> None:
    runtimes_wanted = needed("java", "python")
    wiretape.run("start", "guarded", "--mode=passthrough", env={"WIRETAPE_PROXY_AUTH": "me:" + "w0rd" * 3})
    code, findings = doctor(wiretape, "guarded", *runtimes_wanted)
    assert (code, runtimes(findings)) == (1, {"java": "bad", "python": "ok"})
    assert any("cannot log in" in one["text"] for one in findings)
    assert "w0rd" not in json.dumps(findings)
    assert {"name": "session guarded", "verdict": "ok"}.items() <= findings[1].items()


def _settings(folder: Path, upstream: Upstream) -> dict[str, str]:
    path = folder / "doctor.yaml"
    rules = {"upstream": {"ca": str(upstream.ca_file), "connect_to": [upstream.connect_to()]}}
    path.write_text(json.dumps(rules))
    return {"WIRETAPE_CONFIG": str(path)}


def test_command_whose_traffic_arrives_is_well(wiretape: Wiretape) -> None:
    code = (
        "import urllib.request\n"
        "for _ in range(2): urllib.request.urlopen('https://api.openai.com/v1/models').read()\n"
        "print('its own output')\n"
    )
    with Upstream(whole(200, [], b"ok")) as upstream:
        env = _settings(wiretape.folder, upstream)
        done = wiretape.run("doctor", "--", sys.executable, "-c", code, env=env)
    said = done.stdout.decode()
    assert said.startswith("its own output\n")
    assert "2 exchanges with api.openai.com\n" in said
    assert "no connection was seen\n" in said or not Watch.is_possible()
    assert list(wiretape.folder.glob("**/*.yaml")) == [wiretape.folder / "doctor.yaml"]


@pytest.mark.skipif(not Watch.is_possible(), reason="sockets of processes can be seen on Linux only")
def test_command_that_goes_past_the_proxy_is_found_and_named(wiretape: Wiretape) -> None:
    with socket.create_server(("127.0.0.2", 0)) as server:
        host, port = server.getsockname()
        # It stays connected for as long as the watch may need; then its own alarm ends it.
        code = f"import signal; signal.alarm(3); {_PAST}"
        status, findings = doctor(wiretape, "--", sys.executable, "-c", code, host, str(port))
    assert status == 1
    [past] = [one for one in findings if one["name"] == "past the proxy"]
    assert f"connected to {host}:{port}" in past["text"]
    assert past["text"].startswith("python")
    assert "trust_env=True" in past["advice"]
    [arrived] = [one for one in findings if one["name"] == "arrived"]
    assert (arrived["verdict"], "nothing came" in arrived["text"]) == ("bad", True)


def test_command_that_is_not_there_is_bad(wiretape: Wiretape) -> None:
    status, findings = doctor(wiretape, "--", "no-such-command-at-all")
    assert (status, findings[-1]["verdict"]) == (1, "bad")
    assert wiretape.run("doctor", "--", check=False).returncode == 2
