from __future__ import annotations

from pathlib import Path

import pytest

from addons.errors import ConfigError
from addons.home import home
from addons.settings import Mode, Settings
from cassette.model import Layout
from proxy_cli.settings import SessionOptions, find_config, load_settings
from proxy_cli.variables import hints

NONE = SessionOptions()


@pytest.fixture(autouse=True)
def _no_file_of_the_person_who_tests(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "xdg-config"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "xdg-state"))


def refusal(tmp_path: Path, env: dict[str, str], options: SessionOptions) -> str:
    with pytest.raises(ConfigError) as refused:
        load_settings(None, env, options, tmp_path)
    assert "\n" not in str(refused.value)
    return str(refused.value)


def test_options_beat_variables_beat_the_file_beats_the_defaults(tmp_path: Path) -> None:
    (tmp_path / "wiretape.yaml").write_text(
        "session: {layout: go-vcr, host_field: url, mode: passthrough}\nlimits: {drain_seconds: 1}"
    )
    env = {"WIRETAPE_HOST_FIELD": "empty", "WIRETAPE_MODE": "passthrough", "WIRETAPE_LINGER_SECONDS": "0"}
    merged = load_settings(None, env, SessionOptions(mode="record-only"), tmp_path)
    assert merged.session.mode is Mode.RECORD_ONLY
    assert merged.session.host_field == "empty"
    assert merged.session.layout is Layout.GO_VCR
    assert merged.limits.drain_seconds == 1
    assert merged.limits.max_body == 256_000_000
    assert merged.daemon.linger_seconds == 0


def test_hosts_of_every_layer_add_up(tmp_path: Path) -> None:
    (tmp_path / "wiretape.yaml").write_text("hosts: [a.example.com]")
    env = {"WIRETAPE_HOSTS": " b.example.com, c.example.com:8000 ,"}
    merged = load_settings(None, env, SessionOptions(host=("d.example.com", "*.e.example.com")), tmp_path)
    assert merged.hosts == (
        "a.example.com",
        "b.example.com",
        "c.example.com:8000",
        "d.example.com",
        "*.e.example.com",
    )


def test_every_variable_sets_something(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("-----BEGIN CERTIFICATE-----")
    merged = load_settings(
        None,
        {
            "WIRETAPE_DRAIN_SECONDS": "0.5",
            "WIRETAPE_HOSTS": "a.example.com",
            "WIRETAPE_HOST_FIELD": "url",
            "WIRETAPE_LAYOUT": "go-vcr",
            "WIRETAPE_LINGER_SECONDS": "7",
            "WIRETAPE_LOG_LEVEL": "debug",
            "WIRETAPE_MAX_BODY": "1MiB",
            "WIRETAPE_MODE": "passthrough",
            "WIRETAPE_UPSTREAM_CA": "ca.pem",
            "WIRETAPE_UPSTREAM_PROXY": "http://proxy:3128",
        },
        NONE,
        tmp_path,
    )
    assert merged.limits.drain_seconds == 0.5
    assert merged.hosts == ("a.example.com",)
    assert merged.session.host_field == "url"
    assert merged.session.layout is Layout.GO_VCR
    assert merged.daemon.linger_seconds == 7
    assert merged.daemon.log_level == "debug"
    assert merged.limits.max_body == 1 << 20
    assert merged.session.mode is Mode.PASSTHROUGH
    assert merged.upstream.ca == tmp_path / "ca.pem"
    assert merged.upstream.proxy is not None


def test_empty_and_foreign_variables_change_nothing(tmp_path: Path) -> None:
    env = {"WIRETAPE_MODE": "", "WIRETAPE_HOSTS": " ", "WIRETAPE_OTHER": "x", "MODE": "x"}
    assert load_settings(None, env, NONE, tmp_path) == load_settings(None, {}, NONE, tmp_path)


def test_every_option_sets_something(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("-----BEGIN CERTIFICATE-----")
    merged = load_settings(
        None,
        {},
        SessionOptions(
            mode="passthrough",
            host=("a.example.com",),
            keep_header=("X-Request-Id", "openai-*"),
            host_field="url",
            layout="go-vcr",
            upstream_ca=Path("ca.pem"),
            connect_to=("a.example.com:443:127.0.0.1:8443",),
            upstream_proxy="http://proxy:3128",
        ),
        tmp_path,
    )
    assert merged.session.mode is Mode.PASSTHROUGH
    assert merged.session.host_field == "url"
    assert merged.session.layout is Layout.GO_VCR
    assert merged.upstream.ca == tmp_path / "ca.pem"
    assert merged.upstream.connect_to[0].to_port == 8443
    assert merged.upstream.proxy is not None
    assert merged.routers.find("a.example.com", 443)
    pairs = (("Accept", "1"), ("x-request-id", "2"), ("OpenAI-Version", "3"))
    assert merged.headers.for_host("a.example.com", 443).filter_request(pairs) == pairs
    assert merged.headers.for_host("a.example.com", 443).filter_response(pairs) == pairs


def kept(merged: Settings, *pairs: tuple[str, str]) -> tuple[tuple[str, str], ...]:
    return merged.headers.for_host("api.openai.com", 443).filter_request(pairs)


def test_keeping_all_headers_keeps_no_credential(tmp_path: Path) -> None:
    merged = load_settings(None, {}, SessionOptions(keep_all_headers=True), tmp_path)
    assert kept(merged, ("X-Any", "1"), ("Authorization", "Bearer 1")) == (
        ("X-Any", "1"),
        ("Authorization", "REDACTED"),
    )


def test_keeping_a_credential_by_name_keeps_no_value(tmp_path: Path) -> None:
    merged = load_settings(None, {}, SessionOptions(keep_header=("Authorization",)), tmp_path)
    assert kept(merged, ("Authorization", "Bearer 1")) == (("Authorization", "REDACTED"),)


@pytest.mark.parametrize(
    ("env", "options", "told"),
    [
        ({"WIRETAPE_ON_RECORD_FAILURE": "x"}, NONE, "WIRETAPE_ON_RECORD_FAILURE: expected pass or block"),
        ({"WIRETAPE_MODE": "x"}, NONE, "WIRETAPE_MODE: expected record-only, record-once, replay-only,"),
        ({"WIRETAPE_HOSTS": "a.b,*"}, NONE, "WIRETAPE_HOSTS: '*' would cover every host"),
        ({"WIRETAPE_DRAIN_SECONDS": "x"}, NONE, "WIRETAPE_DRAIN_SECONDS: expected a number of seconds"),
        (
            {},
            SessionOptions(mode="replay"),
            "--mode: expected record-only, record-once, replay-only, replay-with-new-episodes or passthrough",
        ),
        ({}, SessionOptions(host=("https://x.y/",)), "--host: 'https://x.y/' is a URL; give the host alone"),
        ({}, SessionOptions(host=("",)), "--host: a host is missing"),
        ({}, SessionOptions(keep_header=("a b",)), "--keep-header: expected the name of a header"),
        ({}, SessionOptions(host_field="x"), "--host-field: expected empty or url"),
        ({}, SessionOptions(layout="x"), "--layout: expected charm or go-vcr"),
        ({}, SessionOptions(upstream_ca="nothing.pem"), "--upstream-ca: "),
        ({}, SessionOptions(upstream_ca=""), "--upstream-ca: expected the path"),
        ({}, SessionOptions(connect_to=("x",)), "--connect-to: 'x' does not have four parts"),
        ({}, SessionOptions(upstream_proxy="proxy"), "--upstream-proxy: the proxy is not a URL"),
    ],
)
def test_a_wrong_value_names_the_variable_or_the_option(
    tmp_path: Path, env: dict[str, str], options: SessionOptions, told: str
) -> None:
    assert refusal(tmp_path, env, options).startswith(told)


def test_the_file_that_was_named_comes_before_the_folders(tmp_path: Path) -> None:
    users = tmp_path / "xdg-config" / "wiretape"
    users.mkdir(parents=True)
    assert find_config(None, {}, tmp_path) is None
    (users / "config.yaml").write_text("")
    assert find_config(None, {}, tmp_path) == users / "config.yaml"
    (tmp_path / "wiretape.yaml").write_text("")
    assert find_config(None, {}, tmp_path) == tmp_path / "wiretape.yaml"
    assert find_config(None, {"WIRETAPE_CONFIG": "v.yaml"}, tmp_path) == tmp_path / "v.yaml"
    assert find_config(Path("o.yaml"), {"WIRETAPE_CONFIG": "v.yaml"}, tmp_path) == tmp_path / "o.yaml"
    assert find_config(Path("~/o.yaml"), {}, tmp_path) == tmp_path / "home" / "o.yaml"


def test_a_file_that_was_named_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"o\.yaml: cannot be read"):
        load_settings(Path("o.yaml"), {}, NONE, tmp_path)
    assert "v.yaml: cannot be read" in refusal(tmp_path, {"WIRETAPE_CONFIG": "v.yaml"}, NONE)


def test_paths_in_a_file_are_relative_to_that_file(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "w.yaml").write_text("upstream: {ca: ca.pem}")
    (folder / "ca.pem").write_text("-----BEGIN CERTIFICATE-----")
    assert load_settings(Path("folder/w.yaml"), {}, NONE, tmp_path).upstream.ca == folder / "ca.pem"


def test_home_is_the_variable_or_the_folder_of_the_platform(tmp_path: Path) -> None:
    assert home({"WIRETAPE_HOME": str(tmp_path)}) == tmp_path
    assert home({"WIRETAPE_HOME": "x"}) == Path.cwd() / "x"
    assert home({"WIRETAPE_HOME": ""}) == home({})
    assert home({}).is_absolute()
    assert home({}).name == "wiretape"


def test_a_variable_that_is_nearly_one_of_ours_is_hinted_at() -> None:
    assert hints({"WIRETAPE_HOST": "x", "WIRETAPE_MODE": "x", "PATH": ""}) == [
        "WIRETAPE_HOST is not a setting; did you mean WIRETAPE_HOSTS?"
    ]
    assert hints({"wiretape_mode": "x"}) == ["wiretape_mode is not a setting; did you mean WIRETAPE_MODE?"]
    assert hints({"WIRETAPE_SOMETHING_ELSE": "x", "WIRETAPE_HOME": "", "WIRETAPE_SESSION": "s"}) == []
