"""The daemon's life: it starts once, stays private, answers, ends when nobody needs it."""

from __future__ import annotations

import json
import shutil
import socket
import stat
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.golike import GoLikeClient
from tests.support.inprocess import InProcess
from tests.support.recorded import interactions
from tests.support.scripts import whole
from tests.support.upstream import Upstream
from tests.support.waiting import has_ended, until
from tests.support.wiretape import Session, Wiretape, command_line

HOST = "api.openai.com"
URL = f"https://{HOST}/v1"
FIRST, LAST = b"data: first\n\n", b"data: last\n\n"


@pytest.fixture
def wiretape(tmp_path: Path) -> Iterator[InProcess]:
    """A daemon for one test alone."""
    with InProcess(tmp_path) as command:
        yield command


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InProcess]:
    """A daemon for the tests that leave it as it was."""
    with InProcess(tmp_path_factory.mktemp("shared")) as command:
        yield command


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    with Upstream(whole(200, [], b"ok")) as server:
        yield server


def _ask(session: Session, path: str = "") -> bytes:
    with GoLikeClient(proxy=session.proxy, ca_file=session.bundle) as client:
        return client.request("GET", URL + path).body


def _urls(cassette: Path) -> list[str]:
    return [one.url.removeprefix(URL) for one in interactions(cassette.read_bytes())]


def test_daemon_runs_once(wiretape: InProcess) -> None:
    first = wiretape.run("daemon").stdout.decode()
    pid = wiretape.daemon_pid()
    assert f"pid {pid}" in first
    assert f"pid {pid}" in wiretape.run("daemon").stdout.decode()
    second = Wiretape.run(wiretape, "daemon", "--foreground", check=False)  # in a process of its own
    assert second.returncode == 3
    assert f"a daemon is running already (pid {pid})".encode() in second.stderr
    wiretape.run("daemon", "stop")
    third = wiretape.run("daemon", "stop", check=False)
    assert (third.returncode, third.stderr) == (4, b"wiretape: no daemon is running\n")


def test_starts_at_the_same_time_share_one_daemon(wiretape: InProcess) -> None:
    starts = [wiretape.popen("start", f"s{number}") for number in range(4)]
    for start in starts:
        with start:
            assert start.wait(60) == 0
    assert {one["name"] for one in wiretape.status()["sessions"]} == {"s0", "s1", "s2", "s3"}


def test_daemon_that_nobody_needs_ends_by_itself(wiretape: InProcess) -> None:
    environment = {"WIRETAPE_LINGER_SECONDS": "0"}
    wiretape.run("start", "short", env=environment)
    pid = wiretape.daemon_pid()
    assert pid is not None
    wiretape.run("stop", "short")
    until("the end of the daemon", lambda: has_ended(pid))
    assert not (wiretape.home / "control.sock").exists()


def test_runs_in_a_row_work_although_each_daemon_is_about_to_end(wiretape: InProcess) -> None:
    environment = {"WIRETAPE_LINGER_SECONDS": "0"}
    for number in range(4):
        done = wiretape.run(
            "run", f"--cassette=row-{number}.yaml", "--", "true", env=environment, check=False
        )
        assert done.returncode == 0, done.stderr.decode()


def test_everything_is_private_whatever_the_umask(wiretape: InProcess, upstream: Upstream) -> None:
    def with_umask_0(*arguments: str) -> None:
        subprocess.run(
            [*command_line(), *arguments],
            cwd=wiretape.folder,
            env=wiretape.environment,
            check=True,
            umask=0,
            stdout=subprocess.DEVNULL,
        )

    shutil.rmtree(wiretape.home)
    with_umask_0("start", "open", "--cassette=tapes/open.yaml", *upstream.options())
    variables = json.loads(wiretape.run("env", "open", "--shell", "json").stdout)
    session = Session("open", wiretape.folder / "tapes" / "open.yaml", variables)
    _ask(session)
    open_modes = _modes(wiretape.home) | _modes(wiretape.folder / "tapes")
    with_umask_0("stop", "open")

    sockets = [path for path, mode in open_modes.items() if stat.S_ISSOCK(mode)]
    assert [path.name for path in sockets] == ["control.sock"]
    assert any(path.suffix == ".seg" for path in open_modes)
    public = {"wiretape-ca.pem", "bundle.pem"} | {
        path.name
        for path in open_modes
        if path.name.startswith(("bundle-", "upstream-roots", "mitmproxy-ca-cert"))
    }
    for path, mode in {**open_modes, **_modes(wiretape.home), **_modes(wiretape.folder / "tapes")}.items():
        if stat.S_ISDIR(mode):
            assert (path, oct(stat.S_IMODE(mode))) == (path, "0o700")
        elif path.name in public:
            assert not mode & 0o022, path
        else:
            assert (path, oct(stat.S_IMODE(mode))) == (path, "0o600")


def _modes(folder: Path) -> dict[Path, int]:
    return {path: path.lstat().st_mode for path in [folder, *folder.rglob("*")]}


def test_listener_is_bound_to_loopback_only(shared: InProcess) -> None:
    session = shared.start("local")
    port = int(session.proxy.rpartition(":")[2])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))  # sends nothing; tells this machine's own address
        address = probe.getsockname()[0]
    if address.startswith("127."):
        pytest.skip("this machine has no address but loopback")
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((address, port), 10)
    shared.stop("local")


def test_control_api_answers_curl(shared: InProcess) -> None:
    curl = shutil.which("curl")
    if curl is None:
        pytest.skip("curl is not installed")
    shared.start("asked")

    def ask(method: str, path: str, body: str = "") -> tuple[int, Any]:
        command = [curl, "--silent", "--unix-socket", str(shared.home / "control.sock"), "-X", method]
        command += ["--write-out", "\n%{http_code}", f"http://localhost{path}"]
        done = subprocess.run(
            [*command, *(["--data", body] if body else [])], capture_output=True, check=True, timeout=60
        )
        text, _, status = done.stdout.decode().rpartition("\n")
        return int(status), json.loads(text)

    status, answer = ask("GET", "/status")
    assert answer["daemon"]["socket"] == str(shared.home / "control.sock")
    assert (status, [one["name"] for one in answer["sessions"]]) == (200, ["asked"])
    assert answer["daemon"]["pid"] == shared.daemon_pid()
    status, answer = ask("DELETE", "/sessions/nobody")
    assert (status, answer["error"]["kind"]) == (409, "ControlError")
    for method, path, body in (
        ("GET", "/nowhere", ""),
        ("POST", "/sessions", "{}"),
        ("POST", "/sessions", '{"name": 1, "cassette": "x"}'),
        ("POST", "/sessions", "[]"),
        ("POST", "/sessions", "no json"),
    ):
        status, answer = ask(method, path, body)
        assert (path, body, 400 <= status < 500, set(answer["error"])) == (
            path,
            body,
            True,
            {"kind", "message", "exit_code"},
        )
    assert ask("DELETE", "/sessions/asked", '{"drain_seconds": 0}')[1]["name"] == "asked"
    assert "Traceback" not in (shared.home / "daemon.log").read_text()


def test_home_with_a_long_path_works(wiretape: InProcess) -> None:
    home = wiretape.home / ("long" * 30)
    environment = {"WIRETAPE_HOME": str(home)}
    try:
        wiretape.run("start", "deep", "--cassette=deep.yaml", env=environment)
        assert json.loads(wiretape.run("status", "--json", env=environment).stdout)["sessions"]
        wiretape.run("stop", "deep", env=environment)
    finally:
        wiretape.run("daemon", "stop", env=environment)


def test_logs_follow_what_is_added(shared: InProcess) -> None:
    shared.start("one")
    assert b"session.opened session=one" in shared.run("logs").stdout
    assert shared.run("logs", "-n", "1").stdout.count(b"\n") == 1
    seen: list[bytes] = []
    with shared.popen("logs", "-f", "-n", "0") as logs:
        assert logs.stdout is not None
        output = logs.stdout
        reader = threading.Thread(target=lambda: seen.extend(output), daemon=True)
        reader.start()
        deadline = time.monotonic() + 60
        number = 0
        while not any(b"session.opened session=more" in line for line in seen):
            assert time.monotonic() < deadline, seen
            shared.run("start", f"more{number}")
            number += 1
        logs.terminate()
        reader.join(10)
    shared.run("stop", "--all")


def test_logs_without_a_daemon_ever_say_so(wiretape: InProcess) -> None:
    done = wiretape.run("logs", check=False)
    assert done.returncode == 4
    assert done.stderr.startswith(b"wiretape: there is no log yet")


def test_folder_named_like_a_module_of_ours_does_no_harm(tmp_path: Path, upstream: Upstream) -> None:
    folder = tmp_path / "cassette"
    folder.mkdir()
    (folder / "__init__.py").write_text("raise RuntimeError('wrong package')\n")
    (tmp_path / "json.py").write_text("raise RuntimeError('wrong module')\n")
    with Wiretape(tmp_path) as wiretape:
        session = wiretape.start("tape", *upstream.options(), cassette=folder / "t.yaml")
        _ask(session, "/x")
        wiretape.stop("tape")
    assert _urls(session.cassette) == ["/x"]
