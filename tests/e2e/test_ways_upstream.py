"""How upstreams are reached: whom a session trusts, where it connects, through which proxy."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.authority import authority
from tests.support.golike import GoLikeClient
from tests.support.inprocess import InProcess, shared_daemon
from tests.support.parentproxy import ParentProxy
from tests.support.rawclient import Http1, connect, dial, secure, tunnel
from tests.support.recorded import interactions
from tests.support.scripts import Received, Reply, whole
from tests.support.upstream import HTTP_1_ONLY, HTTP_2_FIRST, Upstream
from tests.support.waiting import until
from tests.support.wiretape import Session

HOST = "api.openai.com"
URL = f"https://{HOST}/v1"
USER, PASSWORD = "office user", "p:ss/w0rd" + "-of-the-proxy"
BOTH_PROTOCOLS = pytest.mark.parametrize("alpn", [HTTP_1_ONLY, HTTP_2_FIRST], ids=["http1", "http2"])


@pytest.fixture(scope="module")
def wiretape(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InProcess]:
    with shared_daemon(tmp_path_factory, "upstreams") as command:
        yield command


def _client(session: Session) -> GoLikeClient:
    return GoLikeClient(proxy=session.proxy, ca_file=session.bundle)


@BOTH_PROTOCOLS
def test_sessions_trust_each_its_own_authorities(alpn: tuple[str, ...], wiretape: InProcess) -> None:
    with Upstream(whole(200, [], b"trusted"), alpn=alpn) as upstream:
        trusting = wiretape.open(*upstream.options())
        other = wiretape.open(f"--connect-to={upstream.connect_to()}")
        statuses = []
        for _ in range(2):  # what one session has learnt must not help the other
            for session in (other, trusting):
                with _client(session) as client:
                    statuses.append(client.request("GET", URL).status)
        refused = wiretape.close(other)
        wiretape.close(trusting)

    assert statuses == [502, 200, 502, 200]
    assert refused["not_recorded"]["refused"] == 2
    assert len(interactions(trusting.cassette.read_bytes())) == 2


@BOTH_PROTOCOLS
def test_connect_to_leaves_url_host_and_sni_alone(alpn: tuple[str, ...], wiretape: InProcess) -> None:
    with Upstream(whole(200, [], b"ok"), alpn=alpn) as upstream, Upstream(whole(200, [], b"other")) as other:
        session = wiretape.open(
            f"--upstream-ca={upstream.ca_file}",
            f"--connect-to={upstream.connect_to(HOST, 443)}",
            f"--connect-to={other.connect_to('api.anthropic.com', 443)}",
        )
        with _client(session) as client:
            bodies = [client.request("GET", URL).body for _ in range(8)]
            assert client.request("GET", "https://api.anthropic.com/v1").body == b"other"
        wiretape.close(session)

    assert bodies == [b"ok"] * 8
    assert upstream.connections == 1
    assert {(one.authority, one.host) for one in upstream.received} == {(HOST, HOST)}
    assert [one.url for one in interactions(session.cassette.read_bytes())] == [
        *[URL] * 8,
        "https://api.anthropic.com/v1",
    ]


def _proxy_option(parent: ParentProxy, password: str = PASSWORD) -> str:
    user, word = (text.replace(" ", "%20").replace("/", "%2F") for text in (USER, password))
    return f"--upstream-proxy=http://{user}:{word.replace(':', '%3A')}@127.0.0.1:{parent.port}"


@BOTH_PROTOCOLS
def test_routers_are_reached_through_the_upstream_proxy(alpn: tuple[str, ...], wiretape: InProcess) -> None:
    with (
        Upstream(whole(200, [], b"far"), alpn=alpn) as upstream,
        ParentProxy(USER, PASSWORD, ("127.0.0.1", upstream.port)) as parent,
    ):
        session = wiretape.open(f"--upstream-ca={authority().ca_file}", _proxy_option(parent))
        with _client(session) as client:
            answers = [client.request("POST", URL, (), b"{}") for _ in range(3)]
        wiretape.close(session)

    assert [answer.body for answer in answers] == [b"far"] * 3
    assert {(one.method, one.target) for one in parent.asked} == {("CONNECT", f"{HOST}:443")}
    assert upstream.received[0].version == answers[0].proto
    assert upstream.received[0].header("proxy-authorization") is None
    assert [one.url for one in interactions(session.cassette.read_bytes())] == [URL] * 3


def test_tunnels_go_through_the_upstream_proxy(wiretape: InProcess) -> None:
    with (
        Upstream(whole(200, [], b"theirs")) as upstream,
        ParentProxy(USER, PASSWORD, ("127.0.0.1", upstream.port)) as parent,
    ):
        session = wiretape.open(_proxy_option(parent))
        tls = secure(connect(session, "www.example.com:443"), authority().ca_file, "www.example.com")
        client = Http1(tls)
        assert client.ask("GET", "/", host="www.example.com").body == b"theirs"
        client.close()
        assert wiretape.close(session)["tunnels"] == 1

    assert [one.target for one in parent.asked] == ["www.example.com:443"]


@pytest.mark.parametrize("host", ["ollama.example.com", "www.example.com"], ids=["router", "other"])
def test_plain_requests_go_through_the_upstream_proxy(host: str, wiretape: InProcess) -> None:
    with (
        Upstream(whole(200, [], b"far"), alpn=HTTP_1_ONLY) as upstream,
        ParentProxy(USER, PASSWORD, ("127.0.0.1", upstream.port)) as parent,
    ):
        session = wiretape.open("--host=ollama.example.com", _proxy_option(parent))
        client = Http1(dial(session))
        answers = [client.ask("POST", f"http://{host}/api", (), b"{}", host=host) for _ in range(3)]
        client.close()
        wiretape.close(session)

    assert [answer.body for answer in answers] == [b"far"] * 3
    assert {one.header("proxy-authorization") for one in upstream.received} == {None}
    assert {one.target for one in upstream.received} == {"/api"}
    assert [(one.method, one.target) for one in parent.asked] == [("POST", f"http://{host}/api")] * 3
    recorded = [one.url for one in interactions(session.cassette.read_bytes())]
    assert recorded == ([f"http://{host}/api"] * 3 if host.startswith("ollama") else [])


def test_upstream_proxy_that_refuses_is_reported_without_its_password(wiretape: InProcess) -> None:
    with ParentProxy(USER, PASSWORD, ("127.0.0.1", 1)) as parent:
        session = wiretape.open(_proxy_option(parent, "wrong-word"))
        with _client(session) as client:
            answer = client.request("POST", URL, [("Content-Type", "application/json")], b"{}")
        summary = wiretape.close(session)

    assert (answer.status, answer.header("wiretape-error")) == (502, "upstream_unreachable")
    assert b"407" in answer.body
    assert (summary["interactions"], summary["not_recorded"]["refused"]) == (0, 1)
    assert "wrong-word" not in wiretape.log + answer.body.decode()


@BOTH_PROTOCOLS
def test_upstream_that_breaks_off_behind_the_upstream_proxy_is_told_from_one_that_is_not_there(
    alpn: tuple[str, ...], wiretape: InProcess
) -> None:
    def script(received: Received, reply: Reply) -> None:
        reply.head(200, [("content-length", "100")])
        reply.data(b"some")
        reply.leave()

    with (
        Upstream(script, alpn=alpn) as upstream,
        ParentProxy(USER, PASSWORD, ("127.0.0.1", upstream.port)) as parent,
    ):
        session = wiretape.open(f"--upstream-ca={authority().ca_file}", _proxy_option(parent))
        client = Http1(tunnel(session, HOST))
        with pytest.raises(OSError, match=r"(?i)closed|reset|EOF"):
            client.ask("GET", "/v1")
        client.close()
        until("the end of the exchange", lambda: wiretape.session(session)["in_flight"] == 0)
        summary = wiretape.close(session)

    assert (summary["interactions"], summary["interrupted"]) == (0, 1)
