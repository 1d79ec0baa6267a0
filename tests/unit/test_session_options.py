"""The options that `run` and `start` share become one request."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from addons.errors import ConfigError
from proxy_cli.outer_proxy import OuterProxy
from proxy_cli.session_options import resolve, session_options, session_request
from tests.support.authority import authority


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder without settings, with nothing in the environment."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "none"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return tmp_path


def _parse(*arguments: str) -> dict[str, Any]:
    """Return the options as click hands them to a command."""
    given: dict[str, Any] = {}

    @click.command()
    @session_options
    def command(**options: Any) -> None:
        given.update(options)

    result = CliRunner().invoke(command, list(arguments), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return given


def _request(*arguments: str, name: str = "chat") -> dict[str, Any]:
    options = _parse(*arguments)
    request = session_request(name, options, resolve(options), Path("/roots.pem"), default_cassette=name)
    return request.to_json()


def test_defaults(empty_folder: Path) -> None:
    request = _request()
    assert request["cassette"] == str(empty_folder / "cassettes" / "chat.yaml")
    wanted = {
        "name": "chat",
        "mode": "record-only",
        "layout": "charm",
        "host_field": "empty",
        "append": False,
        "overwrite": False,
        "port": 0,
        "hosts": [],
        "connect_to": [],
        "upstream_proxy": None,
        "trusted_ca": "/roots.pem",
        "owner_pid": None,
    }
    assert {key: request[key] for key in wanted} == wanted


def test_every_option_arrives(empty_folder: Path) -> None:
    request = _request(
        "--cassette=tapes/x.yaml", "--mode=passthrough", "--append", "--host=llm.example.com",
        "--host=*.corp.example:8443", "--keep-header=X-Mine", "--host-field=url", "--layout=go-vcr",
        "--port=8899", "--connect-to=a.example:443:127.0.0.1:8443",
        "--upstream-proxy=http://me:word@proxy.example:3128",
    )  # fmt: skip
    assert request["cassette"] == str(empty_folder / "tapes" / "x.yaml")
    assert (request["mode"], request["append"], request["port"]) == ("passthrough", True, 8899)
    assert request["hosts"] == ["llm.example.com", "*.corp.example:8443"]
    assert (request["host_field"], request["layout"]) == ("url", "go-vcr")
    assert request["connect_to"] == ["a.example:443:127.0.0.1:8443"]
    assert request["upstream_proxy"] == "http://me:word@proxy.example:3128"
    for side in ("request", "response"):
        assert "X-Mine" in request["headers"][side]["keep"]


def test_listener_of_others_arrives_with_its_login(monkeypatch: pytest.MonkeyPatch) -> None:
    assert (_request()["listen"], _request()["login"]) == ("127.0.0.1", None)
    request = _request("--listen=0.0.0.0", "--proxy-auth=me:wo:rd")
    assert (request["listen"], request["login"]) == ("0.0.0.0", "me:wo:rd")
    monkeypatch.setenv("WIRETAPE_PROXY_AUTH", "you:word")
    assert _request("--listen=[::]")["login"] == "you:word"


def test_listener_of_others_without_a_login_is_refused(empty_folder: Path) -> None:
    (empty_folder / "wiretape.yaml").write_text("session: {listen: 192.0.2.7}\n")
    with pytest.raises(ConfigError, match=r"192\.0\.2\.7.*WIRETAPE_PROXY_AUTH"):
        resolve(_parse())


def test_login_that_is_none_is_refused_without_being_shown() -> None:
    with pytest.raises(ConfigError, match="--proxy-auth") as caught:
        resolve(_parse("--proxy-auth=secretword"))
    assert "secretword" not in str(caught.value)


def test_login_is_in_no_repr() -> None:
    options = _parse("--proxy-auth=me:secretword")
    settings = resolve(options)
    request = session_request("chat", options, settings, Path("/roots.pem"), default_cassette="chat")
    assert "secretword" not in repr(settings) + repr(request)


def test_keep_all_headers_keeps_both_sides() -> None:
    headers = _request("--keep-all-headers")["headers"]
    assert "*" in headers["request"]["keep"]
    assert "*" in headers["response"]["keep"]


def test_cassette_path_keeps_symlinks_and_home(empty_folder: Path) -> None:
    (empty_folder / "real").mkdir()
    (empty_folder / "link").symlink_to("real")
    assert _request("--cassette=link/x.yaml")["cassette"] == str(empty_folder / "link" / "x.yaml")
    assert _request("--cassette=~/x.yaml")["cassette"] == str(empty_folder / "home" / "x.yaml")
    assert _request("--cassette=/abs/x.yaml")["cassette"] == "/abs/x.yaml"


def test_settings_of_the_folder_hold_and_options_go_first(empty_folder: Path) -> None:
    (empty_folder / "wiretape.yaml").write_text(
        "session: {layout: go-vcr, host_field: url}\nhosts: [a.example]\n"
    )
    request = _request("--layout=charm", "--host=b.example")
    assert (request["layout"], request["host_field"]) == ("charm", "url")
    assert request["hosts"] == ["a.example", "b.example"]


def test_append_and_overwrite_exclude_each_other() -> None:
    with pytest.raises(click.UsageError, match="choose one"):
        resolve(_parse("--append", "--overwrite"))


def test_wrong_value_names_its_option() -> None:
    with pytest.raises(ConfigError, match="--layout"):
        resolve(_parse("--layout=wide"))


def test_ways_upstream_arrive(empty_folder: Path) -> None:
    authority().certificate("me.example").private_key_and_cert_chain_pem.write_to_path("client.pem")
    request = _request(
        "--client-cert=client.pem", "--upstream-proxy=none", "--reverse=https://api.openai.com",
        "--reverse=8001=http://llm.example:8000/v1/",
    )  # fmt: skip
    assert request["client_cert"] == str(empty_folder / "client.pem")
    assert request["upstream_proxy"] == "none"
    assert request["reverse"] == ["https://api.openai.com", "8001=http://llm.example:8000/v1"]
    # A router is recorded anyhow, with the paths that belong to its API.
    assert request["hosts"] == ["llm.example:8000"]


def test_proxy_of_the_environment_is_used_where_the_settings_name_none() -> None:
    outer = OuterProxy("http://proxy.example:3128", ".corp.example")
    wanted = []
    for arguments in ([], ["--upstream-proxy=http://mine:1"], ["--upstream-proxy=none"]):
        options = _parse(*arguments)
        settings = resolve(options)
        request = session_request("c", options, settings, Path("/r.pem"), default_cassette="c", outer=outer)
        wanted.append((request.upstream_proxy, request.no_proxy))
    assert wanted == [("http://proxy.example:3128", ".corp.example"), ("http://mine:1", None), ("none", None)]


@pytest.mark.parametrize("how", ["option", "variable"])
def test_base_url_and_login_exclude_each_other(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    login = ["--proxy-auth=me:word"] if how == "option" else []
    if how == "variable":
        monkeypatch.setenv("WIRETAPE_PROXY_AUTH", "me:word")
    with pytest.raises(ConfigError, match="--reverse"):
        resolve(_parse("--reverse=https://api.openai.com", *login))
