"""Who may use a session: this machine alone, or those who log in."""

from __future__ import annotations

import base64
import json
import socket
from collections.abc import Iterator
from urllib.parse import unquote, urlsplit

import pytest

from tests.support.inprocess import InProcess, shared_daemon
from tests.support.rawclient import Http1, dial, secure
from tests.support.recorded import interactions
from tests.support.scripts import whole
from tests.support.upstream import HTTP_1_ONLY, Upstream
from tests.support.wiretape import Session

HOST = "api.openai.com"
JSON = ("Content-Type", "application/json")
USER = "some one"
PASSWORD = "p:" + "@/ss" + "wörd" * 2
LOGIN = f"{USER}:{PASSWORD}"


@pytest.fixture(scope="module")
def wiretape(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InProcess]:
    with shared_daemon(tmp_path_factory, "access") as command:
        yield command


def _basic(login: str = LOGIN) -> str:
    return "Basic " + base64.b64encode(login.encode()).decode()


def _open(wiretape: InProcess, upstream: Upstream, *options: str, login: str | None = LOGIN) -> Session:
    """Open a session under this login; where it listens is asked of the daemon."""
    name = next(wiretape._names)
    env = {"WIRETAPE_PROXY_AUTH": login} if login is not None else {}
    cassette = wiretape.folder / f"{name}.yaml"
    wiretape.run("start", name, f"--cassette={cassette}", *upstream.options(), *options, env=env)
    variables = json.loads(wiretape.run("env", name, "--shell", "json").stdout)
    url = urlsplit(variables["HTTPS_PROXY"])
    variables["HTTPS_PROXY"] = f"http://{url.netloc.rpartition('@')[2]}"
    return Session(name, cassette, variables | {"login": unquote(url.netloc.rpartition("@")[0])})


def _connect(session: Session, *lines: str) -> tuple[socket.socket, bytes]:
    """CONNECT with these header lines; return the connection and the head of the answer."""
    sock = dial(session)
    head = "".join(f"{line}\r\n" for line in [f"CONNECT {HOST}:443 HTTP/1.1", f"Host: {HOST}:443", *lines])
    sock.sendall(head.encode() + b"\r\n")
    answer = b""
    while not answer.endswith(b"\r\n\r\n"):
        data = sock.recv(1)
        assert data, answer
        answer += data
    return sock, answer


def test_who_logs_in_is_recorded_and_the_password_is_kept_nowhere(wiretape: InProcess) -> None:
    with Upstream(whole(200, [JSON], b"{}"), alpn=HTTP_1_ONLY) as upstream:
        session = _open(wiretape, upstream, "--keep-all-headers")
        sock, answer = _connect(session, f"Proxy-Authorization: {_basic()}")
        assert answer.startswith(b"HTTP/1.1 200")
        client = Http1(secure(sock, session.bundle, HOST))
        assert [client.ask("POST", "/v1", [JSON], b"{}").status for _ in range(2)] == [200, 200]
        shown = wiretape.run("status", "--json").stdout + wiretape.run("status").stdout
        journals = b"".join(path.read_bytes() for path in wiretape.home.rglob("*") if path.is_file())
        client.close()
        wiretape.close(session)

    assert session.variables["login"] == LOGIN
    assert len(interactions(session.cassette.read_bytes())) == 2
    assert all(received.header("proxy-authorization") is None for received in upstream.received)
    secrets = [PASSWORD.encode(), _basic().split()[1].encode(), json.dumps(PASSWORD).strip('"').encode()]
    for place in (shown, journals, session.cassette.read_bytes(), wiretape.log.encode()):
        assert not [secret for secret in secrets if secret in place]


@pytest.mark.parametrize(
    "lines",
    [
        [],
        [f"Proxy-Authorization: {_basic(USER + ':' + PASSWORD[:-1])}"],
        ["Proxy-Authorization: Basic !!!"],
        ["Proxy-Authorization: Bearer " + _basic().split()[1]],
        [f"Proxy-Authorization: {_basic()}"] * 2,
        [f"Authorization: {_basic()}"],
    ],
    ids=["nothing", "wrong", "not base64", "another scheme", "twice", "another header"],
)
def test_who_does_not_log_in_gets_no_tunnel(lines: list[str], wiretape: InProcess) -> None:
    with Upstream(whole(200, [JSON], b"{}")) as upstream:
        session = _open(wiretape, upstream)
        sock, answer = _connect(session, *lines)
        with sock:
            assert answer.startswith(b"HTTP/1.1 407")
            assert b'Proxy-Authenticate: Basic realm="wiretape"' in answer
            assert b"Wiretape-Error: request_refused" in answer
        wiretape.close(session)

    assert upstream.connections == 0


def test_who_is_refused_can_log_in_on_the_same_connection(wiretape: InProcess) -> None:
    with Upstream(whole(200, [JSON], b"{}"), alpn=HTTP_1_ONLY) as upstream:
        session = _open(wiretape, upstream)
        client = Http1(dial(session))
        target = [("Proxy-Connection", "keep-alive")]
        client.send(f"CONNECT {HOST}:443 HTTP/1.1\r\nHost: {HOST}:443\r\n\r\n".encode())
        assert client.answer().status == 407
        client.send(
            f"CONNECT {HOST}:443 HTTP/1.1\r\nHost: {HOST}\r\nProxy-Authorization: {_basic()}\r\n\r\n".encode()
        )
        assert b" 200 " in client.until(b"\r\n\r\n")
        inside = Http1(secure(client.sock, session.bundle, HOST))
        assert inside.ask("POST", "/v1", target, b"{}").status == 200
        inside.close()
        wiretape.close(session)


def test_every_plain_request_has_to_log_in(wiretape: InProcess) -> None:
    with Upstream(whole(200, [JSON], b"{}")) as upstream:
        session = _open(wiretape, upstream)
        client = Http1(dial(session))
        name = f"127.0.0.1:{upstream.port}"
        url = f"http://{name}/page"
        login = ("Proxy-Authorization", _basic())
        statuses = [
            client.ask("GET", url, [login], host=name).status,
            client.ask("GET", url, host=name).status,
            client.ask("POST", url, [JSON], b"x" * 3_000_000, host=name).status,
            client.ask("HEAD", url, host=name).status,
            client.ask("GET", url, [login], host=name).status,
        ]
        client.close()
        summary = wiretape.close(session)

    assert statuses == [200, 407, 407, 407, 200]
    assert [received.method for received in upstream.received] == ["GET", "GET"]
    assert all(received.header("proxy-authorization") is None for received in upstream.received)
    assert (summary["passed"], summary["in_flight"]) == (2, 0)


def test_a_tunnel_that_failed_lets_nobody_in(wiretape: InProcess) -> None:
    with Upstream(whole(200, [], b"web page")) as upstream:
        session = _open(wiretape, upstream)
        client = Http1(dial(session))
        client.send(
            f"CONNECT 127.0.0.1:1 HTTP/1.1\r\nHost: x\r\nProxy-Authorization: {_basic()}\r\n\r\n".encode()
        )
        assert client.answer().status == 502
        name = f"127.0.0.1:{upstream.port}"
        assert client.ask("GET", f"http://{name}/", host=name).status == 407
        client.close()
        wiretape.close(session)

    assert upstream.received == []


@pytest.mark.parametrize("address", ["0.0.0.0", "::", "192.0.2.7"])
def test_others_are_let_in_only_with_a_login(address: str, wiretape: InProcess) -> None:
    refused = wiretape.run("start", "open", f"--listen={address}", check=False)
    assert refused.returncode == 2
    (line,) = refused.stderr.decode().splitlines()
    assert address in line
    assert "WIRETAPE_PROXY_AUTH=USER:PASSWORD" in line


def test_a_session_on_all_addresses_asks_for_the_login(wiretape: InProcess) -> None:
    with Upstream(whole(200, [], b"web page")) as upstream:
        session = _open(wiretape, upstream, "--listen=0.0.0.0")
        assert session.proxy.startswith("127.0.0.1:")
        assert wiretape.session(session)["listen"] == "0.0.0.0"
        sock, answer = _connect(session)
        sock.close()
        wiretape.close(session)
    assert b" 407 " in answer


@pytest.mark.skipif(not socket.has_ipv6, reason="no IPv6 here")
def test_ipv6_loopback_is_loopback(wiretape: InProcess) -> None:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("no IPv6 address here")
    with Upstream(whole(200, [], b"web page")) as upstream:
        session = _open(wiretape, upstream, "--listen=::1", login=None)
        assert session.proxy.startswith("[::1]:")
        name = f"127.0.0.1:{upstream.port}"
        sock = socket.create_connection(("::1", int(session.proxy.rpartition(":")[2])), 20)
        client = Http1(sock)
        assert client.ask("GET", f"http://{name}/", host=name).body == b"web page"
        client.close()
        wiretape.close(session)


def test_two_sessions_do_not_share_a_port_number(wiretape: InProcess) -> None:
    with Upstream(whole(200, [], b"")) as upstream:
        session = _open(wiretape, upstream)
        port = session.proxy.rpartition(":")[2]
        refused = wiretape.run("start", "other", "--listen=127.0.0.2", f"--port={port}", check=False)
        wiretape.close(session)
    assert refused.returncode == 3
    assert "--port" in refused.stderr.decode()


def test_address_of_another_machine_is_refused_in_one_line(wiretape: InProcess) -> None:
    env = {"WIRETAPE_PROXY_AUTH": LOGIN}
    refused = wiretape.run("start", "other", "--listen=192.0.2.7", env=env, check=False)
    assert refused.returncode == 3
    (line,) = refused.stderr.decode().splitlines()
    assert "--listen" in line


def test_request_for_a_name_that_leads_to_the_proxy_does_not_go_round(wiretape: InProcess) -> None:
    session = wiretape.open()
    # As from a browser here, when a stranger's name resolves to this machine. The resolver takes this for 127.0.0.1.
    name = f"127.1:{session.proxy.rpartition(':')[2]}"
    client = Http1(dial(session))
    answer = client.ask("GET", "/", host=name)
    client.close()
    wiretape.close(session)
    assert answer.status == 508
    assert b"the proxy itself" in answer.body
