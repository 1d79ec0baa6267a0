from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from addons import configfile, settings
from addons.errors import ConfigError
from addons.routing import ConnectTo, UpstreamProxy, parse_host_pattern
from addons.settings import Layer, Mode, Settings, build_settings, router_table
from cassette.headerfilter import HeaderPolicy, HeaderRules
from cassette.model import Layout
from tests.support.shared import SHARED, needs_shared


def built(*texts: str, base: Path = Path()) -> Settings:
    """Build from files with these texts."""
    return build_settings(
        Layer(f"file-{number}.yaml", yaml.safe_load(text) or {}, base=base)
        for number, text in enumerate(texts)
    )


def refusal(text: str) -> str:
    with pytest.raises(ConfigError) as refused:
        built(text)
    message = str(refused.value)
    assert "\n" not in message
    assert message.startswith("file-0.yaml: ")
    return message.removeprefix("file-0.yaml: ")


def test_the_defaults_alone_are_complete() -> None:
    defaults = build_settings(())
    assert defaults.session.mode is Mode.RECORD_ONLY
    assert defaults.session.host_field == "empty"
    assert defaults.session.on_record_failure == "pass"
    assert defaults.session.layout is Layout.CHARM
    assert defaults.hosts == ()
    charm = HeaderRules(keep=("Accept", "Content-Type", "User-Agent"))
    assert defaults.headers == HeaderPolicy(charm, charm)
    assert defaults.limits.max_body == 256_000_000
    assert defaults.limits.drain_seconds == 10
    assert defaults.daemon.linger_seconds == 60
    assert defaults.daemon.log_level == "info"
    assert defaults.upstream.ca is None
    assert defaults.upstream.proxy is None
    assert defaults.upstream.connect_to == ()
    assert defaults.routers.find("api.openai.com", 443)
    assert defaults.routers.find("github.com", 443) is None


@needs_shared
def test_the_known_places_where_people_log_in_are_never_decrypted_by_default() -> None:
    assert SHARED is not None
    known = json.loads((SHARED / "data" / "router-hosts.json").read_text())["never_decrypt_by_default"]
    assert set(build_settings(()).never_decrypt) == set(known)


def test_every_setting_stands_in_the_shipped_file_with_a_comment_above_it() -> None:
    path = Path(configfile.__file__).parent.parent / "config" / "default.yaml"
    lines = path.read_text().splitlines()
    for number, line in enumerate(lines):
        name = line.strip().partition(":")[0]
        is_setting = ":" in line and not line.strip().startswith(("#", "-"))
        if is_setting and name not in ("session", "limits", "daemon", "upstream", "request", "response"):
            assert lines[number - 1].strip().startswith("#"), line
    in_file = {".".join(path) for path in _leaves(yaml.safe_load(path.read_text()))}
    in_schema = {".".join(path) for path in settings._leaves(settings._SCHEMA, ()) if "PATTERN" not in path}
    assert in_file - {"headers.hosts"} == in_schema


def _leaves(data: Any, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    if isinstance(data, dict) and data:
        return [leaf for name, value in data.items() for leaf in _leaves(value, (*path, name))]
    return [path]


def test_the_examples_in_the_comments_of_the_shipped_file_are_right() -> None:
    path = Path(configfile.__file__).parent.parent / "config" / "default.yaml"
    section = side = ""
    checked = 0
    for line in path.read_text().splitlines():
        word = line.strip().removesuffix(":")
        if line and line[0].isalpha() and line.endswith(":"):
            section = word
        elif word in ("request", "response") and line.endswith(":"):
            side = word
        _, found, example = line.partition("Example: ")
        if (
            not found
            or not example
            or (section == "upstream" and example.startswith(("ca:", "client_cert:")))
        ):
            continue
        levels = {"headers": f"headers: {{{side}: {{%s}}}}", "hosts": "%s", "never_decrypt": "%s"}
        top_level = example.startswith(("hosts: [", "never_decrypt:"))
        template = "%s" if top_level else levels.get(section, f"{section}: {{%s}}")
        built(template % example)
        checked += 1
    assert checked > 12


def test_lists_add_scalars_replace_and_mappings_merge() -> None:
    merged = built(
        "hosts: [a.example.com]\nlimits: {max_body: 1kB}\nheaders: {request: {keep: [X-A], replace: {a: '1'}}}",
        "hosts: [b.example.com:80]\nlimits: {max_body: 2KiB, drain_seconds: 1.5}\n"
        "headers: {request: {keep: [X-B], replace: {a: '2'}}, response: {drop: [Accept]}}\n"
        "never_decrypt: [c.example.com]",
    )
    assert merged.hosts == ("a.example.com", "b.example.com:80")
    assert merged.limits.max_body == 2048
    assert merged.limits.drain_seconds == 1.5
    assert merged.headers.request.keep == ("Accept", "Content-Type", "User-Agent", "X-A", "X-B")
    assert merged.headers.response.drop == ("Accept",)
    assert {"github.com", "c.example.com"} <= set(merged.never_decrypt)
    headers = merged.headers.for_host("a.example.com", 443)
    assert headers.filter_request((("a", "0"), ("X-B", "1"))) == (("a", "2"), ("X-B", "1"))
    assert headers.filter_response((("Accept", "0"),)) == ()


def test_dropping_a_header_takes_a_default_away() -> None:
    filtered = built("headers: {request: {drop: [user-agent]}}").headers.for_host("api.openai.com", 443)
    assert filtered.filter_request((("User-Agent", "curl"), ("Accept", "*/*"))) == (("Accept", "*/*"),)


def test_rules_for_a_host_apply_to_that_host() -> None:
    policy = built(
        'headers: {hosts: {"*.openai.azure.com": {request: {keep: [api-version]}},'
        " API.openai.com: {response: {keep: [x-request-id]}}}}",
        'headers: {hosts: {"*.openai.azure.com": {request: {keep: [x-b]}}}}',
    ).headers
    pairs = (("api-version", "1"), ("x-b", "2"))
    assert policy.for_host("a.openai.azure.com", 443).filter_request(pairs) == pairs
    assert policy.for_host("api.openai.com", 443).filter_request(pairs) == ()
    assert policy.for_host("api.openai.com", 443).filter_response((("X-Request-Id", "1"),))


def test_an_unknown_host_pattern_says_what_to_do() -> None:
    assert refusal("headers: {hosts: {api.opnai.com: {request: {keep: [a]}}}}") == (
        "headers.hosts.api.opnai.com: unknown host pattern, it covers no router; did you mean api.openai.com?"
        ' for a host of your own add hosts: ["api.opnai.com"]'
    )
    assert "unknown host pattern" in refusal("headers: {hosts: {llm.example.com: {}}}")


def test_a_host_pattern_of_a_host_of_the_users_is_known_whatever_layer_names_it() -> None:
    policy = built("headers: {hosts: {llm.example.com: {request: {keep: [a]}}}}", "hosts: ['*.example.com']")
    assert policy.headers.hosts[0][0] == "llm.example.com"


def test_hosts_are_recorded_and_never_decrypt_is_not() -> None:
    routers = built("hosts: [llm.example.com, api.github.com]\nnever_decrypt: ['*.openai.com']").routers
    assert routers.find("llm.example.com", 8000)
    assert routers.find("api.github.com", 443)
    assert routers.find("api.openai.com", 443) is None


def test_the_table_can_be_built_again_from_what_the_settings_hold() -> None:
    whole = built("hosts: [llm.example.com]\nnever_decrypt: [api.openai.com]")
    again = router_table(whole.hosts, whole.never_decrypt)
    for host in ("llm.example.com", "api.openai.com", "api.anthropic.com", "github.com", "example.com"):
        assert again.find(host, 443) == whole.routers.find(host, 443)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("1", 1),
        ("'10B'", 10),
        ("1.5 kB", 1500),
        ("256MB", 256_000_000),
        ("1GiB", 1 << 30),
        ("64 mib", 64 << 20),
    ],
)
def test_sizes(text: str, size: int) -> None:
    assert built(f"limits: {{max_body: {text}}}").limits.max_body == size


@pytest.mark.parametrize(
    "text", ["lots", "0", "-1", "true", "1.5.2MB", "5i", "[1]", "1XB", "''", "null", "0.1"]
)
def test_what_is_no_size_is_refused(text: str) -> None:
    message = refusal(f"limits: {{max_body: {text}}}")
    assert message.startswith("limits.max_body: expected a size")
    assert message.endswith("for example max_body: 256MB")


@pytest.mark.parametrize("text", ["ten", "-1", ".inf", ".nan", "true", "[1]", "null", "'1e999'"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    message = refusal(f"daemon: {{linger_seconds: {text}}}")
    assert message.startswith("daemon.linger_seconds: expected a number of seconds")
    assert message.endswith("for example linger_seconds: 60")


@pytest.mark.parametrize("mode", list(Mode))
def test_modes_have_the_names_of_go_vcr(mode: Mode) -> None:
    assert built(f"session: {{mode: {mode.value}}}").session.mode is mode


def test_rules_of_matching_are_checked_where_they_are_set() -> None:
    rules = built(
        "replay: {ignore_paths: [metadata.x], volatile: [uuid], patterns: {build: 'b[0-9]+'}}"
    ).replay.match
    assert rules.ignore_paths == ("metadata.x",)
    assert rules.patterns == (("build", "b[0-9]+"),)
    assert "'moon' is no built-in pattern" in refusal("replay: {volatile: [moon]}")
    assert "replay.repeat: expected true or false, not 'perhaps'" in refusal("replay: {repeat: perhaps}")
    assert "replay.timing_factor: expected a number" in refusal("replay: {timing_factor: fast}")


def test_recorded_times_count_only_when_they_are_asked_for() -> None:
    assert built("replay: {timing_factor: 0.5}").replay.to_json()["factor"] == 0
    assert built("replay: {timing: recorded, timing_factor: 0.5}").replay.to_json()["factor"] == 0.5


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("sesion: {}", "sesion: unknown key; did you mean session?"),
        ("mode: record-only", "mode: unknown key; did you mean session.mode?"),
        ("session: {layuot: charm}", "session.layuot: unknown key; did you mean layout?"),
        (
            "headers: {request: {unsafe: [x]}}",
            "headers.request.unsafe: unknown key; did you mean unsafe_keep?",
        ),
        ("headers: {keep: [x]}", "headers.keep: unknown key; did you mean headers.request.keep?"),
        ("limits: {zzz: 1}", "limits.zzz: unknown key; known here: max_body, drain_seconds"),
        ("1: 2", "1: unknown key"),
        ("session: charm", "session: expected a mapping (with mode, host_field, layout, "),
        (
            "session: {layout: chram}",
            "session.layout: expected charm or go-vcr, not 'chram'; did you mean charm?",
        ),
        ("session: {layout: null}", "session.layout: expected charm or go-vcr, not nothing"),
        ("session: {host_field: 1}", "session.host_field: expected empty or url, not 1"),
        (
            "session: {on_record_failure: stop}",
            "session.on_record_failure: expected pass or block, not 'stop'",
        ),
        ("daemon: {log_level: loud}", "daemon.log_level: expected debug, info, warning or error, not 'loud'"),
        ("hosts: api.example.com", "hosts: expected a list; for example hosts: [api.example.com]"),
        ("hosts: [1]", "hosts: expected a host or a pattern of hosts, not 1"),
        ("hosts: ['*']", "hosts: '*' would cover every host"),
        ("never_decrypt: [https://x/]", "never_decrypt: 'https://x/' is a URL"),
        ("headers: {request: {keep: Accept}}", "headers.request.keep: expected a list; for example keep: ["),
        ("headers: {request: {keep: [a b]}}", "headers.request.keep: expected the name of a header"),
        ("headers: {request: {keep: [{a: b}]}}", "headers.request.keep: expected the name of a header"),
        ("headers: {request: {redact: ['Ä']}}", "headers.request.redact: expected the name of a header"),
        ("headers: {request: {unsafe_keep: [x-*]}}", "headers.request.unsafe_keep: 'x-*' is a glob"),
        ("headers: {request: {unsafe_keep: ['a?']}}", "headers.request.unsafe_keep: 'a?' is a glob"),
        ("headers: {request: {replace: [a]}}", "headers.request.replace: expected a mapping"),
        ("headers: {request: {replace: {a: 1}}}", "headers.request.replace: the value for a is not a text"),
        (
            'headers: {request: {replace: {a: "b\\r\\nc: d"}}}',
            "headers.request.replace: the value for a holds a line",
        ),
        ("headers: {hosts: {'https://x': {}}}", "headers.hosts.https://x: 'https://x' is a URL"),
        ("headers: {hosts: {api.x.ai: {keep: [a]}}}", "headers.hosts.api.x.ai.keep: unknown key"),
        ("upstream: {ca: nothing.pem}", "upstream.ca: nothing.pem cannot be read: No such file"),
        ("upstream: {ca: 1}", "upstream.ca: expected the path of a PEM file"),
        ("upstream: {proxy: 'socks5://p:1'}", "upstream.proxy: a proxy over socks5 is not supported"),
        ("upstream: {proxy: 1}", "upstream.proxy: expected the URL of a proxy"),
        ("upstream: {connect_to: [a]}", "upstream.connect_to: 'a' does not have four parts"),
        ("upstream: {connect_to: [1]}", "upstream.connect_to: expected HOST:PORT:ADDR:PORT"),
    ],
)
def test_a_wrong_setting_names_itself_and_what_is_right(text: str, told: str) -> None:
    assert refusal(text).startswith(told)


def test_the_layer_that_is_wrong_is_named() -> None:
    with pytest.raises(ConfigError, match=r"^file-1\.yaml: session\.layout: "):
        built("session: {layout: charm}", "session: {layout: x}")
    with pytest.raises(ConfigError, match=r"^file-1\.yaml: headers\.hosts\.nowhere\.example: "):
        built("hosts: [llm.example.com]", "headers: {hosts: {nowhere.example: {}}}")


def test_variables_and_options_are_named_without_a_key() -> None:
    bad = {"limits": {"max_body": "x"}}
    with pytest.raises(
        ConfigError, match=r"^WIRETAPE_MAX_BODY: expected .*; for example WIRETAPE_MAX_BODY=256MB$"
    ):
        build_settings([Layer("WIRETAPE_MAX_BODY", bad, kind="variable")])
    with pytest.raises(ConfigError, match=r"^--max-body: expected .*; for example --max-body 256MB$"):
        build_settings([Layer("--max-body", bad, kind="option")])


def test_empty_sections_and_lists_change_nothing() -> None:
    assert built(
        "session:\nhosts:\nheaders: {request: {keep: }, hosts: {api.openai.com: }}\nupstream: {}"
    ) == built("headers: {hosts: {api.openai.com: {}}}")


def test_the_upstream_part(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("text before\n-----BEGIN CERTIFICATE-----\n")
    upstream = built(
        "upstream: {ca: ca.pem, proxy: 'http://me:hunter2@proxy:3128', connect_to: ['a.example:443:127.0.0.1:1']}",
        "upstream: {connect_to: ['b.example:443:127.0.0.1:2']}",
        base=tmp_path,
    ).upstream
    assert upstream.ca == tmp_path / "ca.pem"
    assert isinstance(upstream.proxy, UpstreamProxy)
    assert upstream.proxy.address == "http://proxy:3128"
    assert upstream.connect_to == (
        ConnectTo("a.example", 443, "127.0.0.1", 1),
        ConnectTo("b.example", 443, "127.0.0.1", 2),
    )
    assert "hunter2" not in repr(upstream)


def test_a_file_that_is_no_certificate_is_refused(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("not one")
    with pytest.raises(ConfigError, match=r"upstream\.ca: .*ca\.pem is no PEM file of certificates"):
        built("upstream: {ca: ca.pem}", base=tmp_path)


def test_a_wrong_proxy_does_not_show_its_password() -> None:
    assert "hunter2" not in refusal("upstream: {proxy: 'socks5://me:hunter2@proxy:1'}")
    assert "hunter2" not in refusal("upstream: {proxy: ['http://me:hunter2@proxy:1']}")


def test_what_the_settings_say_in_full_shows_no_router_and_fits_a_line() -> None:
    text = repr(build_settings(()))
    assert "RouterTable" not in text
    assert "\n" not in text


def test_every_pattern_of_a_policy_is_understood_by_the_router_table_too() -> None:
    for pattern, _, _ in built("headers: {hosts: {'*.openai.azure.com:443': {}}}").headers.hosts:
        assert parse_host_pattern(pattern).matches("a.openai.azure.com", 443)


def test_importing_brings_nothing_slow_with_it() -> None:
    loaded = subprocess.run(
        [sys.executable, "-c", "import sys, addons.settings; print(sorted(sys.modules))"],
        capture_output=True,
        check=True,
        cwd=Path(settings.__file__).parent.parent,
        text=True,
    ).stdout
    modules = set(ast.literal_eval(loaded))
    assert not {"mitmproxy", "click", "asyncio", "platformdirs"} & modules
