from __future__ import annotations

import json

import pytest

from addons.errors import ConfigError, ControlError, ProxyError, StartError
from addons.routing import (
    Router,
    RouterTable,
    UpstreamProxy,
    parse_connect_to,
    parse_host_pattern,
    parse_upstream_proxy,
    redirect,
)
from addons.settings import router_table
from cassette.credentials import is_secret_query_key, is_secret_request_header
from tests.support.shared import SHARED, needs_shared


def router(pattern: str, *paths: str) -> Router:
    return Router(parse_host_pattern(pattern), provider=pattern, paths=paths)


def table(*, routers: str = "", hosts: str = "", never: str = "") -> RouterTable:
    return RouterTable(
        [router(text) for text in routers.split()],
        map(parse_host_pattern, hosts.split()),
        map(parse_host_pattern, never.split()),
    )


def test_a_listed_router_is_found_in_any_case_and_others_are_not() -> None:
    routers = table(routers="api.openai.com *.openai.azure.com")
    assert routers.find("API.openai.com", 443) == router("api.openai.com")
    assert routers.find("api.openai.com.", 8443) == router("api.openai.com")
    assert routers.find("a.openai.azure.com", 443) == router("*.openai.azure.com")
    assert routers.find("example.com", 443) is None
    assert routers.find("", 443) is None


def test_a_full_name_is_found_before_a_pattern_and_a_port_before_none() -> None:
    routers = table(routers="*.example.com a.example.com a.example.com:8080")
    assert routers.find("a.example.com", 443) == router("a.example.com")
    assert routers.find("a.example.com", 8080) == router("a.example.com:8080")


def test_the_never_decrypt_list_beats_routers_and_the_users_patterns() -> None:
    routers = table(
        routers="*.example.com", hosts="*.example.org", never="login.example.com *.auth.example.org"
    )
    assert routers.find("api.example.com", 443)
    assert routers.find("login.example.com", 443) is None
    assert routers.find("api.example.org", 443)
    assert routers.find("x.auth.example.org", 443) is None


def test_a_host_that_the_user_names_in_full_beats_the_never_decrypt_list() -> None:
    routers = table(hosts="github.com login.example.com:8443", never="github.com *.example.com")
    assert routers.find("github.com", 443)
    assert routers.find("login.example.com", 8443)
    assert routers.find("login.example.com", 443) is None


def test_a_host_of_the_users_is_recorded_with_all_its_paths() -> None:
    routers = RouterTable([router("openrouter.ai", "/api/")], [parse_host_pattern("openrouter.ai")])
    found = routers.find("openrouter.ai", 443)
    assert found is not None
    assert routers.records_path(found, "/settings")


def test_few_hosts_are_remembered_however_many_clients_ask_for() -> None:
    routers = table(routers="*.example.com")
    for number in range(5000):
        assert routers.find(f"a{number}.example.com", 443)
    assert routers.find("x" * 100_000, 443) is None
    assert len(routers._found) <= 1024
    assert max(len(host) for host, _ in routers._found) < 300


@pytest.mark.parametrize(
    ("paths", "path", "recorded"),
    [
        ((), "/anything", True),
        (("/api/",), "/api/v1/chat", True),
        (("/api/",), "/apis/v1", False),
        (("/api/",), "/", False),
        (("/v1",), "/v1", True),
        (("/v1",), "/v1/models", True),
        (("/v1",), "/v1?x=y", True),
        (("/v1",), "/v10", False),
        (("/v1",), "/x/v1", False),
        (("/v1", "/api"), "/api/chat", True),
        (("/accounts/*/ai/",), "/accounts/42/ai/run/@cf/x", True),
        (("/accounts/*/ai/",), "/accounts/42/dns/ai/", False),
        (("/accounts/*/ai/",), "/accounts//ai/", False),
        (("/a.b",), "/axb", False),
    ],
)
def test_paths(paths: tuple[str, ...], path: str, recorded: bool) -> None:
    assert RouterTable([]).records_path(router("example.com", *paths), path) is recorded


def test_a_pattern_covers_a_host_when_some_router_may_match_both() -> None:
    routers = table(routers="*.openai.azure.com api.openai.com", hosts="llm.example.com:8000")
    assert routers.covers(parse_host_pattern("mine.openai.azure.com"))
    assert routers.covers(parse_host_pattern("*.openai.com"))
    assert routers.covers(parse_host_pattern("llm.example.com"))
    assert not routers.covers(parse_host_pattern("llm.example.com:80"))
    assert not routers.covers(parse_host_pattern("api.opnai.com"))


def test_a_wrong_host_pattern_is_a_configuration_error_in_one_line() -> None:
    with pytest.raises(ConfigError) as refused:
        parse_host_pattern("https://api.example.com/v1")
    assert str(refused.value) == (
        "'https://api.example.com/v1' is a URL; give the host alone, for example api.example.com"
    )


def test_each_kind_of_error_has_its_exit_status() -> None:
    assert [kind("x").exit_code for kind in (ConfigError, StartError, ControlError)] == [2, 3, 4]
    assert issubclass(ConfigError, ProxyError)


@pytest.mark.parametrize(
    ("rule", "asked", "target"),
    [
        ("api.openai.com:443:127.0.0.1:8443", ("api.openai.com", 443), ("127.0.0.1", 8443)),
        ("API.openai.com:443:127.0.0.1:8443", ("api.OPENAI.com", 443), ("127.0.0.1", 8443)),
        ("api.openai.com:443:127.0.0.1:8443", ("api.openai.com", 80), None),
        ("api.openai.com:443:127.0.0.1:8443", ("api.groq.com", 443), None),
        (":443:127.0.0.1:8443", ("any.example.com", 443), ("127.0.0.1", 8443)),
        ("::127.0.0.1:8443", ("any.example.com", 80), ("127.0.0.1", 8443)),
        ("api.openai.com:::8443", ("api.openai.com", 443), ("api.openai.com", 8443)),
        ("api.openai.com::127.0.0.1:", ("api.openai.com", 443), ("127.0.0.1", 443)),
        ("[::1]:443:[::2]:8443", ("::1", 443), ("::2", 8443)),
        ("[::1]:443:[::2]:8443", ("[0::1]", 443), ("::2", 8443)),
    ],
)
def test_connect_to_redirects_as_curl_does(
    rule: str, asked: tuple[str, int], target: tuple[str, int] | None
) -> None:
    assert parse_connect_to(rule).redirect(*asked) == target
    assert parse_connect_to(str(parse_connect_to(rule))) == parse_connect_to(rule)


def test_the_first_rule_that_applies_decides() -> None:
    rules = [parse_connect_to(text) for text in ("a.example:1:h1:11", ":1:h2:12", "::h3:13")]
    assert redirect(rules, "a.example", 1) == ("h1", 11)
    assert redirect(rules, "b.example", 1) == ("h2", 12)
    assert redirect(rules, "b.example", 2) == ("h3", 13)
    assert redirect(rules[:2], "b.example", 2) is None
    assert redirect([], "b.example", 2) is None


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "four parts"),
        ("a:1:b", "four parts"),
        ("a:1:b:2:3", "four parts"),
        ("::1:443:127.0.0.1:8443", "four parts"),
        ("a:x:b:1", "four parts"),
        ("a b:1:c:2", "four parts"),
        ("a:99999:b:1", "is no port"),
        ("a:1:b:0", "is no port"),
        ("a:1::", "leads nowhere"),
        ("*.example.com:443:b:1", "leave HOST empty"),
        ("a/b:443:c:1", "is no host"),
        ("[a]:443:c:1", "is no host"),
    ],
)
def test_a_wrong_connect_to_is_refused_with_an_example(text: str, told: str) -> None:
    with pytest.raises(ConfigError) as refused:
        parse_connect_to(text)
    assert told in str(refused.value)
    assert "127.0.0.1:8443" in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("text", "proxy", "address"),
    [
        ("http://proxy:3128", UpstreamProxy("http", "proxy", 3128), "http://proxy:3128"),
        ("HTTPS://Proxy.example.com/", UpstreamProxy("https", "proxy.example.com", 443), None),
        ("http://[::1]:8080", UpstreamProxy("http", "::1", 8080), "http://[::1]:8080"),
        ("http://me:p%40w@proxy", UpstreamProxy("http", "proxy", 80, "me:p@w"), "http://proxy:80"),
    ],
)
def test_the_url_of_a_proxy_is_read(text: str, proxy: UpstreamProxy, address: str | None) -> None:
    parsed = parse_upstream_proxy(text)
    assert parsed == proxy
    assert address in (None, parsed.address)


@pytest.mark.parametrize(
    "text",
    [
        "proxy:3128",
        "proxy",
        "",
        "http://",
        "http://:3128",
        "socks5://me:hunter2@proxy:1080",
        "http://me:hunter2@proxy:99999",
        "http://me:hunter2@proxy:0",
        "http://me:hunter2@proxy/path",
        "http://me:hunter2@proxy?x",
        "http://me:hunter2@*.example.com",
        "http://me:hunter2@[::1",
        "me:hunter2@proxy:3128",
    ],
)
def test_a_wrong_proxy_is_refused_without_showing_its_password(text: str) -> None:
    with pytest.raises(ConfigError, match=r"http://proxy\.example\.com:3128") as refused:
        parse_upstream_proxy(text)
    assert "hunter2" not in str(refused.value)


def test_the_password_of_a_proxy_shows_nowhere() -> None:
    proxy = parse_upstream_proxy("http://me:hunter2@proxy:3128")
    assert proxy.credentials == "me:hunter2"
    assert "hunter2" not in f"{proxy} {proxy!r} {proxy.address} {[proxy]}"


ROUTERS = router_table((), ())


def test_shipped_routers_stand_once_each() -> None:
    patterns = [str(entry.pattern) for entry in ROUTERS.routers]
    assert len(patterns) == len(set(patterns))
    assert len(patterns) > 150


def test_every_place_of_credentials_of_a_shipped_router_is_redacted() -> None:
    for entry in ROUTERS.routers:
        for place in entry.credentials:
            name = place.removeprefix("?")
            is_secret = is_secret_query_key if place != name else is_secret_request_header
            assert is_secret(name), (str(entry.pattern), place)


def test_local_routers_are_bound_to_their_ports() -> None:
    for host in ("127.0.0.1", "localhost"):
        for port in (11434, 1234, 8000, 8080, 30000, 3000):
            assert ROUTERS.find(host, port), (host, port)
        assert ROUTERS.find(host, 443) is None


@needs_shared
def test_every_known_router_is_shipped_and_found() -> None:
    assert SHARED is not None
    known = json.loads((SHARED / "data" / "router-hosts.json").read_text())
    for entry in known["allow"]:
        names, _, port = entry["host"].rpartition(":")
        for name in (names or entry["host"]).split("|"):
            host = name.replace("*", "some")
            found = ROUTERS.find(host, int(port) if names else 443)
            assert found is not None, host
            for path in filter(None, entry["path"].split("|")):
                assert found.records_path(path.replace("*", "some") + ("" if path.endswith("/") else "/x"))
            assert found.records_path("/") is (not entry["path"]), host
