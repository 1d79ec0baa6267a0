"""No credential reaches the disk: not the journal, not the cassette, not the log, not what `status` says."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from urllib.parse import urlencode

import pytest
import yaml

from tests.support.golike import GoLikeClient
from tests.support.inprocess import InProcess, shared_daemon
from tests.support.parentproxy import ParentProxy
from tests.support.rawclient import Http1, Http2, tunnel
from tests.support.recorded import interactions
from tests.support.scripts import Gate, Received, Reply
from tests.support.secrets import made_up, places_with
from tests.support.upstream import HTTP_1_ONLY, Upstream
from tests.support.waiting import until
from tests.support.wiretape import Session

HOST = "api.openai.com"
FORM = ("content-type", "application/x-www-form-urlencoded")

REQUEST_SECRETS = {
    "authorization": f"Bearer {made_up('sk-')}",
    "x-api-key": made_up("sk-ant-"),
    "cookie": f"session={made_up()}",
    "x-goog-api-key": made_up("AIza"),
    "proxy-authorization": f"Basic {made_up()}",
    "x-acme-secret-token": made_up(),
}
RESPONSE_SECRETS = {
    "set-cookie": f"__cf_bm={made_up()}; path=/",
    "www-authenticate": f"Bearer realm={made_up()}",
    "x-amzn-remapped-authorization": made_up(),
}
QUERY_SECRET = made_up()
FORM_SECRET = made_up()
LOCATION_SECRET = made_up()
ALL_SECRETS = (
    *(value.split(" ")[-1] for value in REQUEST_SECRETS.values()),
    *(value.split("=")[1].split(";")[0] for value in RESPONSE_SECRETS.values() if "=" in value),
    RESPONSE_SECRETS["x-amzn-remapped-authorization"],
    QUERY_SECRET,
    FORM_SECRET,
    LOCATION_SECRET,
)


@pytest.fixture(scope="module")
def wiretape(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InProcess]:
    with shared_daemon(tmp_path_factory, "filtering") as command:
        yield command


def _script(gate: Gate) -> Upstream:
    def script(received: Received, reply: Reply) -> None:
        location = ("location", f"https://{HOST}/next?key={LOCATION_SECRET}&page=2")
        harmless = ("x-request-id", "request-1")
        reply.head(200, [("content-type", "application/json"), location, harmless, *RESPONSE_SECRETS.items()])
        reply.data(b"{")
        if received.target.startswith("/v1/waits"):
            gate.wait()
        reply.data(b"}")
        reply.end()

    return Upstream(script)


def _leaks(wiretape: InProcess) -> Mapping[str, list[str]]:
    status = wiretape.run("status", "--json").stdout.decode() + wiretape.run("status").stdout.decode()
    found = {}
    for secret in ALL_SECRETS:
        places = places_with(secret, [wiretape.home, wiretape.folder])
        if secret in status:
            places.append("status")
        if places:
            found[secret] = places
    return found


def _talk(session: Session, wiretape: InProcess, gate: Gate, http2: bool) -> Mapping[str, list[str]]:
    """Send every kind of secret, one exchange left open; return what leaked meanwhile."""
    client: Http1 | Http2
    body = urlencode({"grant_type": "password", "client_secret": FORM_SECRET, "scope": "all"}).encode()
    headers = list(REQUEST_SECRETS.items())
    client = Http2(tunnel(session, HOST, alpn=("h2",))) if http2 else Http1(tunnel(session, HOST))
    client.ask("GET", f"/v1/models?key={QUERY_SECRET}&page=1", headers)
    client.ask("POST", "/v1/token", [FORM, *headers], body)
    if isinstance(client, Http2):
        stream = client.begin("GET", f"/v1/waits?key={QUERY_SECRET}", headers)
        client.until(stream, b"{")
    else:
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers)
        head = f"GET /v1/waits?key={QUERY_SECRET} HTTP/1.1\r\nHost: {HOST}\r\n{lines}\r\n"
        client.send(head.encode())
        client.until(b"{")
    until("two interactions in the cassette", lambda: wiretape.session(session)["interactions"] == 2)
    leaks = _leaks(wiretape)
    assert places_with("request-1", [wiretape.home / "journals"]), "the search does not see the journal"
    gate.open()
    client.answer(stream) if isinstance(client, Http2) else client.until(b"0\r\n\r\n")
    client.close()
    return leaks


@pytest.mark.parametrize("http2", [False, True], ids=["http1", "http2"])
@pytest.mark.parametrize("keep", [[], ["--keep-all-headers"]], ids=["default", "keep-all"])
def test_no_credential_is_kept_anywhere(http2: bool, keep: list[str], wiretape: InProcess) -> None:
    gate = Gate("the search while the session is open")
    with _script(gate) as upstream:
        session = wiretape.open(*upstream.options(), *keep)
        while_open = _talk(session, wiretape, gate, http2)
        wiretape.close(session)

    assert while_open == {}
    assert _leaks(wiretape) == {}
    assert upstream.received[0].header("authorization") == REQUEST_SECRETS["authorization"]
    assert QUERY_SECRET in upstream.received[0].target
    assert FORM_SECRET.encode() in upstream.received[1].body
    models, token, _ = interactions(session.cassette.read_bytes())
    assert models.url == f"https://{HOST}/v1/models?key=REDACTED&page=1"
    assert token.request_body == b"grant_type=password&client_secret=REDACTED&scope=all"
    assert yaml.safe_load(session.cassette.read_bytes())["interactions"][1]["request"]["form"] == {
        "grant_type": ["password"],
        "client_secret": ["REDACTED"],
        "scope": ["all"],
    }
    if keep:
        kept = {name.lower(): values for name, values in models.request_headers.items()}
        assert {name: kept[name] for name in REQUEST_SECRETS if name != "proxy-authorization"} == {
            name: ["REDACTED"] for name in REQUEST_SECRETS if name != "proxy-authorization"
        }
        answered = {name.lower(): values for name, values in models.response_headers.items()}
        assert {answered[name][0] for name in RESPONSE_SECRETS} == {"REDACTED"}
        assert answered["location"] == [f"https://{HOST}/next?key=REDACTED&page=2"]
        assert answered["x-request-id"] == ["request-1"]
    else:
        assert "X-Request-Id" not in models.response_headers
        assert set(models.request_headers) <= {"Accept", "Content-Type", "User-Agent"}


def test_credentials_of_exchanges_that_broke_off_are_not_kept(wiretape: InProcess) -> None:
    def script(received: Received, reply: Reply) -> None:
        reply.head(200, [("content-length", "100"), *RESPONSE_SECRETS.items()])
        reply.data(b"{")
        reply.reset()

    with Upstream(script, alpn=HTTP_1_ONLY) as upstream:
        session = wiretape.open(*upstream.options(), "--keep-all-headers")
        client = Http1(tunnel(session, HOST))
        with pytest.raises(OSError, match=r"(?i)closed|reset|EOF"):
            client.ask("GET", f"/v1?key={QUERY_SECRET}", list(REQUEST_SECRETS.items()))
        client.close()
        assert wiretape.close(session)["interrupted"] == 1

    assert _leaks(wiretape) == {}
    assert b"REDACTED" in session.cassette.with_name(f"{session.name}.interrupted.yaml").read_bytes()


def test_named_header_is_kept_as_it_is_when_the_user_says_that_it_is_safe(wiretape: InProcess) -> None:
    kept, redacted = made_up("test-"), made_up("sk-")
    config = wiretape.folder / "unsafe.yaml"
    config.write_text("headers: {request: {unsafe_keep: [X-Test-Token]}}\n")
    gate = Gate("never")
    gate.open()
    with _script(gate) as upstream:
        session = wiretape.open(*upstream.options(), f"--config={config}")
        with GoLikeClient(proxy=session.proxy, ca_file=session.bundle) as client:
            client.request(
                "GET", f"https://{HOST}/v1", [("X-Test-Token", kept), ("Authorization", f"Bearer {redacted}")]
            )
        wiretape.close(session)

    (one,) = interactions(session.cassette.read_bytes())
    assert one.request_headers["X-Test-Token"] == [kept]
    assert "Authorization" not in one.request_headers
    assert places_with(redacted, [wiretape.home, wiretape.folder]) == []


def test_rules_of_a_host_hold_for_it_alone(wiretape: InProcess) -> None:
    config = wiretape.folder / "hosts.yaml"
    config.write_text(
        json.dumps(
            {
                "headers": {
                    "hosts": {
                        "api.anthropic.com": {
                            "request": {"keep": ["anthropic-version"], "drop": ["User-Agent"]},
                            "response": {"redact": ["x-request-id"]},
                        }
                    }
                }
            }
        )
    )
    gate = Gate("never")
    gate.open()
    headers = [("Anthropic-Version", "2023-06-01"), ("User-Agent", "test/1")]
    with _script(gate) as upstream:
        session = wiretape.open(*upstream.options(), f"--config={config}", "--keep-header=x-request-id")
        with GoLikeClient(proxy=session.proxy, ca_file=session.bundle) as client:
            for host in ("api.anthropic.com", HOST):
                client.request("GET", f"https://{host}/v1", headers)
        wiretape.close(session)

    anthropic, openai = interactions(session.cassette.read_bytes())
    assert anthropic.request_headers == {"Anthropic-Version": ["2023-06-01"]}
    assert anthropic.response_headers["X-Request-Id"] == ["REDACTED"]
    assert openai.request_headers == {"User-Agent": ["test/1"]}
    assert openai.response_headers["X-Request-Id"] == ["request-1"]


def test_password_of_the_upstream_proxy_is_kept_nowhere(wiretape: InProcess) -> None:
    user, password = "office", made_up("word-")
    with ParentProxy(user, password, ("127.0.0.1", 1)) as parent:
        session = wiretape.open(f"--upstream-proxy=http://{user}:{password}@127.0.0.1:{parent.port}")
        found = places_with(password, [wiretape.home, wiretape.folder])
        status = wiretape.run("status", "--json").stdout.decode()
        wiretape.close(session)

    assert found == places_with(password, [wiretape.home, wiretape.folder]) == []
    assert password not in status


def test_log_holds_neither_urls_nor_headers_nor_bodies(wiretape: InProcess) -> None:
    word = made_up("body-")

    def script(received: Received, reply: Reply) -> None:
        reply.head(200, [("content-length", "1000"), ("x-odd", word)])
        reply.data(word.encode())
        reply.leave()

    with Upstream(script, alpn=HTTP_1_ONLY) as upstream:
        session = wiretape.open(*upstream.options())
        for _ in range(2):
            client = Http1(tunnel(session, HOST))
            with pytest.raises(OSError, match=r"(?i)closed|reset|EOF"):
                client.ask("POST", f"/v1/{word}", [("x-mine", word)], word.encode())
            client.close()
        wiretape.close(session)

    assert word not in wiretape.log
    assert places_with(word, [wiretape.home]) == []
