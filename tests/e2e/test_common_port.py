"""One port for all sessions: the name that a client logs in with says which one it wants."""

from __future__ import annotations

import base64
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.support.golike import Answer
from tests.support.inprocess import InProcess
from tests.support.rawclient import Http1, secure
from tests.support.recorded import interactions
from tests.support.scripts import whole
from tests.support.upstream import HTTP_1_ONLY, Upstream
from tests.support.waiting import until
from tests.support.wiretape import Session, clean_command

HOST = "api.openai.com"
URL = f"https://{HOST}/v1"
JSON = ("Content-Type", "application/json")
PASSWORD = "a-long" + "-word"


@pytest.fixture(scope="module")
def wiretape(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InProcess]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with InProcess(tmp_path_factory.mktemp("common-port")) as command:
        command.run("daemon", f"--common-port={port}")
        yield command
        assert "Traceback" not in command.log


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    with Upstream(whole(200, [JSON], b"{}"), alpn=HTTP_1_ONLY) as server:
        yield server


def _port(wiretape: InProcess) -> int:
    port: int = wiretape.status()["daemon"]["common_port"]
    return port


def _dial(wiretape: InProcess) -> Http1:
    return Http1(socket.create_connection(("127.0.0.1", _port(wiretape)), 30))


def _login(name: str, password: str = "") -> tuple[str, str]:
    return "Proxy-Authorization", "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()


def _connect(client: Http1, *headers: tuple[str, str], target: str = f"{HOST}:443") -> Answer:
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers)
    client.send(f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n{lines}\r\n".encode())
    return client.answer("HEAD") if headers and "Basic" in headers[0][1] else client.answer()


def _ask_inside(client: Http1, session: Session) -> int:
    inside = Http1(secure(client.sock, session.bundle, HOST))
    status = inside.ask("POST", "/v1", [JSON], b"{}").status
    inside.close()
    return status


def _environment(wiretape: InProcess, session: Session) -> dict[str, str]:
    """Return the environment of a client that uses the common port."""
    printed = wiretape.run("env", session.name, "--common", "--shell", "json").stdout
    variables: dict[str, str] = json.loads(printed)
    return wiretape.environment | variables


def _count(session: Session) -> int:
    return len(interactions(session.cassette.read_bytes()))


def test_the_name_chooses_the_session(wiretape: InProcess, upstream: Upstream) -> None:
    first, second = (wiretape.open(*upstream.options()) for _ in range(2))
    for session in (first, second, second):
        client = _dial(wiretape)
        assert _connect(client, _login(session.name)).status == 200
        assert _ask_inside(client, session) == 200
    wiretape.close(first)
    wiretape.close(second)

    assert (_count(first), _count(second)) == (1, 2)
    assert all(one.header("proxy-authorization") is None for one in upstream.received)


@pytest.mark.parametrize(
    ("headers", "said"),
    [
        ([], b"name one"),
        ([_login("nobody")], b"no open session has that name"),
        ([("Proxy-Authorization", "Bearer x")], b"no open session has that name"),
    ],
    ids=["none", "unknown", "another scheme"],
)
def test_who_names_no_session_is_asked_for_one(
    headers: list[tuple[str, str]], said: bytes, wiretape: InProcess, upstream: Upstream
) -> None:
    session = wiretape.open(*upstream.options())
    client = _dial(wiretape)
    name = f"127.0.0.1:{upstream.port}"
    answer = client.ask("GET", f"http://{name}/", headers, host=name)
    assert (answer.status, answer.header("proxy-authenticate")) == (407, 'Basic realm="wiretape"')
    assert said in answer.body
    assert b"wiretape env --common" in answer.body
    assert _connect(client, *headers).status == 407
    client.close()
    wiretape.close(session)
    assert upstream.connections == 0


def test_who_waits_to_be_asked_names_it_on_the_same_connection(
    wiretape: InProcess, upstream: Upstream
) -> None:
    session = wiretape.open(*upstream.options())
    client = _dial(wiretape)
    assert _connect(client).status == 407
    assert _connect(client, _login(session.name)).status == 200
    assert _ask_inside(client, session) == 200
    wiretape.close(session)
    assert _count(session) == 1


def test_every_plain_request_names_it_and_none_names_another(wiretape: InProcess, upstream: Upstream) -> None:
    name = f"127.0.0.1:{upstream.port}"
    session = wiretape.open(f"--host={name}")
    other = wiretape.open(f"--host={name}")
    client = _dial(wiretape)
    url = f"http://{name}/v1"
    statuses = [
        client.ask("GET", url, [_login(session.name)], host=name).status,
        client.ask("GET", url, host=name).status,
        client.ask("GET", url, [_login(other.name)], host=name).status,
        client.ask("GET", url, [_login(session.name)], host=name).status,
    ]
    client.close()
    wiretape.close(session)
    wiretape.close(other)

    assert statuses == [200, 407, 403, 200]
    assert (_count(session), _count(other)) == (2, 0)


def test_session_with_a_login_wants_its_password(wiretape: InProcess, upstream: Upstream) -> None:
    name = next(wiretape._names)
    cassette = wiretape.folder / f"{name}.yaml"
    wiretape.run(
        "start",
        name,
        f"--cassette={cassette}",
        *upstream.options(),
        env={"WIRETAPE_PROXY_AUTH": f"someone:{PASSWORD}"},
    )
    for wrong in (_login(name), _login(name, PASSWORD[:-1]), _login("someone", PASSWORD)):
        client = _dial(wiretape)
        assert _connect(client, wrong).status == 407
        client.close()
    session = Session(name, cassette, {})
    variables = _environment(wiretape, session)
    url = urlsplit(variables["HTTPS_PROXY"])
    assert (url.username, url.password, url.port) == (name, PASSWORD, _port(wiretape))
    client = _dial(wiretape)
    assert _connect(client, _login(name, PASSWORD)).status == 200
    client.close()
    wiretape.close(session)
    assert PASSWORD not in wiretape.log


def test_connections_of_a_session_end_with_it(wiretape: InProcess, upstream: Upstream) -> None:
    session, other = (wiretape.open(*upstream.options()) for _ in range(2))
    ending, staying = _dial(wiretape), _dial(wiretape)
    assert _connect(ending, _login(session.name)).status == 200
    assert _connect(staying, _login(other.name)).status == 200
    inside = Http1(secure(ending.sock, session.bundle, HOST))
    assert inside.ask("POST", "/v1", [JSON], b"{}").status == 200
    wiretape.close(session)
    assert inside.sock.recv(1) == b""
    inside.close()
    late = _dial(wiretape)
    assert _connect(late, _login(session.name)).status == 407
    late.close()
    assert _ask_inside(staying, other) == 200
    wiretape.close(other)
    assert (_count(session), _count(other)) == (1, 1)


def test_port_is_served_by_the_worker_that_comes_after(wiretape: InProcess, upstream: Upstream) -> None:
    session = wiretape.open(*upstream.options())
    worker = wiretape.status()["daemon"]["worker_pid"]
    os.kill(worker, signal.SIGKILL)
    until("another worker", lambda: wiretape.status()["daemon"]["worker_pid"] != worker)

    def is_served() -> bool:
        try:
            client = _dial(wiretape)
        except OSError:
            return False
        status = _connect(client, _login(session.name)).status
        client.close()
        return status == 200

    until("the session on the common port", is_served)
    wiretape.close(session)


def test_curl_finds_its_session(curl: str, wiretape: InProcess, upstream: Upstream) -> None:
    session = wiretape.open(*upstream.options())
    for extra in ([], ["--proxy-anyauth"]):  # the second waits to be asked
        command = [curl, "-sS", "--max-time", "30", *extra, "-o", os.devnull, "-w", "%{http_code}", URL]
        done = _run(command, _environment(wiretape, session))
        assert done.stdout == "200", done.stderr
    wiretape.close(session)
    assert _count(session) == 2


def test_urllib_finds_its_session(wiretape: InProcess, upstream: Upstream) -> None:
    session = wiretape.open(*upstream.options())
    code = f"import urllib.request; print(urllib.request.urlopen({URL!r}, timeout=30).status)"
    done = _run(clean_command([sys.executable, "-c", code]), _environment(wiretape, session))
    assert done.stdout.strip() == "200", done.stderr
    wiretape.close(session)


def test_httpx_finds_its_session(sdk_python: Path, wiretape: InProcess, upstream: Upstream) -> None:
    session = wiretape.open(*upstream.options())
    code = f"import httpx; print(httpx.get({URL!r}, timeout=30).status_code)"
    done = _run(clean_command([sdk_python, "-c", code]), _environment(wiretape, session))
    assert done.stdout.strip() == "200", done.stderr
    wiretape.close(session)


def _run(command: list[str], environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux shares a port among processes")
def test_several_workers_share_the_common_port_and_base_urls(tmp_path: Path, upstream: Upstream) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with InProcess(tmp_path) as command:
        command.run("daemon", "--workers=2", f"--common-port={port}")
        session = command.open(*upstream.options(), f"--reverse=https://{HOST}")
        base = urlsplit(command.session(session)["reverse"][0]["base_url"])
        for _ in range(8):
            client = _dial(command)
            assert _connect(client, _login(session.name)).status == 200
            assert _ask_inside(client, session) == 200
            client = Http1(socket.create_connection((base.hostname or "", base.port or 0), 30))
            assert client.ask("POST", "/v1", [JSON], b"{}", host=base.netloc).status == 200
            client.close()
        command.close(session)
    assert _count(session) == 16


def test_without_a_common_port_env_says_how_to_get_one(tmp_path: Path) -> None:
    with InProcess(tmp_path) as command:
        command.run("start")
        refused = command.run("env", "--common", check=False)
        command.run("stop")
    assert refused.returncode == 4
    assert "--common-port" in refused.stderr.decode()


def test_busy_common_port_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, InProcess(tmp_path) as command:
        port = taken.getsockname()[1]
        refused = command.run("daemon", f"--common-port={port}", check=False)
    assert refused.returncode == 3
    assert f"port {port}" in refused.stderr.decode()
    assert "--common-port" in refused.stderr.decode()
