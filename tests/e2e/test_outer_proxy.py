"""Behind a corporate proxy: the one that the environment names, its exceptions, TLS to it, certificates of clients."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import quote, urlsplit

import pytest
import trustme

from cassette.headerfilter import HeaderPolicy
from proxy_cli.control import Control
from proxy_cli.messages import SessionRequest
from proxy_cli.places import Places
from tests.support.authority import authority
from tests.support.golike import GoLikeClient
from tests.support.inprocess import InProcess, shared_daemon
from tests.support.parentproxy import ParentProxy
from tests.support.rawclient import Http1, Http2, dial
from tests.support.recorded import interactions
from tests.support.scripts import whole
from tests.support.secrets import made_up, places_with
from tests.support.upstream import HTTP_1_ONLY, HTTP_2_FIRST, Upstream
from tests.support.wiretape import Session

HOST = "api.openai.com"
URL = f"https://{HOST}/v1"
USER, PASSWORD = "office", made_up("word-")
TRUST = f"--upstream-ca={authority().ca_file}"


@pytest.fixture(scope="module")
def wiretape(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InProcess]:
    with shared_daemon(tmp_path_factory, "outer-proxy") as command:
        yield command


def _login(port: int, scheme: str = "http") -> str:
    return f"{scheme}://{USER}:{quote(PASSWORD)}@127.0.0.1:{port}"


def _start(wiretape: InProcess, env: Mapping[str, str], *options: str) -> Session:
    """Open a session as in a shell with these variables."""
    name = next(wiretape._names)
    cassette = wiretape.folder / f"{name}.yaml"
    wiretape.run("start", name, f"--cassette={cassette}", *options, env=env)
    variables = json.loads(wiretape.run("env", name, "--shell", "json").stdout)
    return Session(name, cassette, variables)


def _status(session: Session, url: str = URL) -> int:
    with GoLikeClient(proxy=session.proxy, ca_file=session.bundle) as client:
        return client.request("POST", url, (), b"{}").status


@pytest.mark.parametrize("name", ["HTTPS_PROXY", "https_proxy"])
def test_proxy_of_the_environment_is_used_and_its_password_shows_nowhere(
    name: str, wiretape: InProcess
) -> None:
    with (
        Upstream(whole(200, [], b"far")) as upstream,
        ParentProxy(USER, PASSWORD, ("127.0.0.1", upstream.port)) as parent,
    ):
        session = _start(wiretape, {name: _login(parent.port)}, TRUST)
        assert _status(session) == 200
        shown = wiretape.run("status", "--json").stdout + wiretape.run("status").stdout
        described = wiretape.session(session)["upstream_proxy"]
        wiretape.close(session)

    assert {(one.method, one.target) for one in parent.asked} == {("CONNECT", f"{HOST}:443")}
    assert described == f"http://127.0.0.1:{parent.port}"
    assert PASSWORD.encode() not in shown
    assert places_with(PASSWORD, [wiretape.home, wiretape.folder]) == []
    assert [one.url for one in interactions(session.cassette.read_bytes())] == [URL]


def test_hosts_of_no_proxy_and_of_connect_to_are_reached_directly(wiretape: InProcess) -> None:
    with (
        Upstream(whole(200, [], b"near"), alpn=HTTP_1_ONLY) as near,
        Upstream(whole(200, [], b"far"), alpn=HTTP_1_ONLY) as far,
        ParentProxy(USER, PASSWORD, ("127.0.0.1", far.port)) as parent,
    ):
        env = {"HTTPS_PROXY": _login(parent.port), "NO_PROXY": "localhost:1, .corp.example", "no_proxy": "x"}
        session = _start(
            wiretape,
            env,
            TRUST,
            "--host=*.example",
            f"--connect-to=led.example:443:127.0.0.1:{near.port}",
        )
        assert _status(session, "https://llm.corp.example/v1") == 502  # a name that nobody knows here
        assert _status(session, "https://led.example/v1") == 200
        assert _status(session, "https://other.example/v1") == 200
        client = Http1(dial(session))
        name = f"127.0.0.1:{near.port}"
        assert client.ask("GET", f"http://{name}/", host=name).body == b"near"
        client.close()
        wiretape.close(session)

    assert {one.target for one in parent.asked} == {"other.example:443"}
    assert [one.authority for one in near.received] == ["led.example", name]


@pytest.mark.parametrize("name", ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"])
def test_roots_that_the_environment_names_are_trusted_of_upstreams(name: str, wiretape: InProcess) -> None:
    with Upstream(whole(200, [], b"near")) as upstream:
        session = _start(wiretape, {name: str(authority().ca_file)}, f"--connect-to={upstream.connect_to()}")
        assert _status(session) == 200
        wiretape.close(session)


@pytest.mark.parametrize("value", ["none", ""])
def test_environment_is_left_alone_when_that_is_said(value: str, wiretape: InProcess) -> None:
    with (
        Upstream(whole(200, [], b"near")) as upstream,
        ParentProxy(USER, PASSWORD, ("127.0.0.1", 1)) as parent,
    ):
        env = {"HTTPS_PROXY": _login(parent.port)}
        session = _start(wiretape, env, f"--upstream-proxy={value}", *upstream.options())
        assert _status(session) == 200
        wiretape.close(session)
    assert parent.asked == []


def test_a_session_within_a_session_uses_the_proxy_that_was_there_before(wiretape: InProcess) -> None:
    with (
        Upstream(whole(200, [], b"far")) as upstream,
        ParentProxy(USER, PASSWORD, ("127.0.0.1", upstream.port)) as parent,
    ):
        corporate = {"HTTPS_PROXY": _login(parent.port)}
        first = _start(wiretape, corporate, TRUST)
        lines = wiretape.run("env", first.name, "--shell", "sh", env=corporate).stdout.decode()
        exported = dict(line.removeprefix("export ").split("=", 1) for line in lines.splitlines())
        inside = {name: value.strip("'") for name, value in exported.items()}
        assert inside["HTTPS_PROXY"] == f"http://{first.proxy}"
        second = _start(wiretape, inside, TRUST)
        wiretape.close(first)
        assert _status(second) == 200
        third = _start(wiretape, inside, TRUST)  # its HTTPS_PROXY is of a session that is gone
        assert _status(third) == 200
        wiretape.close(second)
        wiretape.close(third)
        files = wiretape.run("env", "--shell", "dotenv", env=corporate, check=False).stdout

    assert len(parent.asked) == 2
    assert PASSWORD.encode() not in files


def test_a_listener_of_ours_is_never_an_upstream_proxy(wiretape: InProcess) -> None:
    with Upstream(whole(200, [], b"near")) as upstream:
        first = wiretape.open()
        env = {"HTTPS_PROXY": f"http://{first.proxy.replace('127.0.0.1', 'localhost')}"}  # set by hand
        second = _start(wiretape, env, *upstream.options())
        assert wiretape.session(second)["upstream_proxy"] is None
        assert _status(second) == 200
        forced = wiretape.open(f"--upstream-proxy=http://{first.proxy}", TRUST)
        with GoLikeClient(proxy=forced.proxy, ca_file=forced.bundle) as client:
            answer = client.request("POST", URL, (), b"{}")
        for session in (first, second, forced):
            wiretape.close(session)

    assert answer.status == 502
    assert b"for the proxy itself" in answer.body


def test_proxy_that_cannot_be_used_is_named_and_passed_over(wiretape: InProcess) -> None:
    with Upstream(whole(200, [], b"near")) as upstream:
        started = wiretape.run(
            "start", "socks", *upstream.options(), env={"HTTPS_PROXY": f"socks5://me:{PASSWORD}@127.0.0.1:9"}
        )
        variables = json.loads(wiretape.run("env", "socks", "--shell", "json").stdout)
        session = Session("socks", Path(), variables)
        assert _status(session) == 200
        wiretape.close(session)
    said = started.stderr.decode()
    assert "HTTPS_PROXY is not used" in said
    assert "socks5" in said
    assert PASSWORD not in said


def test_session_of_the_control_api_uses_the_daemons_proxy(tmp_path: Path) -> None:
    with (
        Upstream(whole(200, [], b"far")) as upstream,
        ParentProxy(USER, PASSWORD, ("127.0.0.1", upstream.port)) as parent,
        InProcess(tmp_path) as command,
    ):
        command.run("daemon", env={"HTTPS_PROXY": _login(parent.port)})
        request = SessionRequest(
            "api", tmp_path / "api.yaml", append=False, overwrite=False, mode="record-only", layout="charm",
            host_field="empty", headers=HeaderPolicy().to_json(), hosts=[], never_decrypt=[], max_body=1 << 20,
            drain_seconds=1.0, replay={}, trusted_ca=str(authority().ca_file),
        )  # fmt: skip
        Control(Places(command.home)).open(request)
        variables = json.loads(command.run("env", "--shell", "json").stdout)
        assert _status(Session("api", request.cassette, variables)) == 200
        command.run("stop", "api")

    assert [one.target for one in parent.asked] == [f"{HOST}:443"]


def test_proxy_that_is_spoken_to_in_tls(wiretape: InProcess) -> None:
    with (
        Upstream(whole(200, [], b"far"), alpn=HTTP_2_FIRST) as upstream,
        ParentProxy(USER, PASSWORD, ("127.0.0.1", upstream.port)) as parent,
        parent.behind_tls() as port,
    ):
        session = wiretape.open(TRUST, f"--upstream-proxy={_login(port, 'https')}", "--host=plain.example")
        assert [_status(session) for _ in range(2)] == [200, 200]
        client = Http1(dial(session))
        assert client.ask("GET", "http://plain.example/v1", host="plain.example").body == b"far"
        client.close()
        summary = wiretape.close(session)

    assert [one.target for one in parent.asked] == [f"{HOST}:443", f"{HOST}:443", "plain.example:80"]
    assert summary["interactions"] == 3


def test_base_urls_go_through_it_too(wiretape: InProcess) -> None:
    with (
        Upstream(whole(200, [], b"far"), alpn=HTTP_2_FIRST) as upstream,
        ParentProxy(USER, PASSWORD, ("127.0.0.1", upstream.port)) as parent,
    ):
        options = [TRUST, f"--reverse=https://{HOST}", "--reverse=http://plain.example"]
        session = _start(wiretape, {"HTTPS_PROXY": _login(parent.port)}, *options)
        bases = [urlsplit(one["base_url"]) for one in wiretape.session(session)["reverse"]]
        sockets = [socket.create_connection((base.hostname or "", base.port or 0), 30) for base in bases]
        first, second = Http2(sockets[0]), Http1(sockets[1])
        bodies = [first.ask("POST", "/v1", [], b"{}", host=bases[0].netloc).body for _ in range(2)]
        bodies += [second.ask("POST", "/v1", [], b"{}", host=bases[1].netloc).body for _ in range(2)]
        first.close()
        second.close()
        wiretape.close(session)

    assert bodies == [b"far"] * 4
    assert [one.target for one in parent.asked] == [f"{HOST}:443", *["http://plain.example/v1"] * 2]
    assert all(one.header("proxy-authorization") is None for one in upstream.received)
    urls = [one.url for one in interactions(session.cassette.read_bytes())]
    assert urls == [f"https://{HOST}/v1"] * 2 + ["http://plain.example/v1"] * 2


@pytest.fixture(scope="module")
def client_cert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("identity") / "client.pem"
    authority().certificate("me.example").private_key_and_cert_chain_pem.write_to_path(str(path))
    path.chmod(0o600)
    return path


@pytest.mark.parametrize("alpn", [HTTP_1_ONLY, HTTP_2_FIRST], ids=["http1", "http2"])
def test_upstream_that_demands_a_certificate_is_shown_the_sessions(
    alpn: tuple[str, ...], client_cert: Path, wiretape: InProcess
) -> None:
    with Upstream(whole(200, [], b"welcome"), alpn=alpn, demands_certificate=True) as upstream:
        known = wiretape.open(*upstream.options(), f"--client-cert={client_cert}")
        stranger = wiretape.open(*upstream.options())
        statuses = [_status(session) for session in (stranger, known, stranger, known)]
        wiretape.close(known)
        summary = wiretape.close(stranger)

    assert statuses == [502, 200, 502, 200]
    assert summary["interactions"] == 0


def test_certificate_that_is_renewed_in_place_is_shown_from_then_on(
    wiretape: InProcess, tmp_path: Path
) -> None:
    path = tmp_path / "client.pem"
    trustme.CA().issue_cert("me.example").private_key_and_cert_chain_pem.write_to_path(str(path))
    path.chmod(0o600)
    with Upstream(whole(200, [], b"welcome"), demands_certificate=True) as upstream:
        session = wiretape.open(*upstream.options(), f"--client-cert={path}")
        before = _status(session)  # an authority that the upstream does not know
        authority().certificate("me.example").private_key_and_cert_chain_pem.write_to_path(str(path))
        after = _status(session)
        wiretape.close(session)
    assert (before, after) == (502, 200)


def test_key_that_others_can_read_is_warned_of(
    client_cert: Path, wiretape: InProcess, tmp_path: Path
) -> None:
    def said(path: Path) -> str:
        started = wiretape.run("start", "warned", f"--client-cert={path}")
        wiretape.run("stop", "warned")
        (wiretape.folder / "cassettes" / "warned.yaml").unlink()
        return started.stderr.decode()

    open_to_all = tmp_path / "open.pem"
    open_to_all.write_bytes(client_cert.read_bytes())
    open_to_all.chmod(0o644)
    assert f"chmod 600 {open_to_all}" in said(open_to_all)
    assert said(client_cert) == ""
