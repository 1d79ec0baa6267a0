"""The proxy that the environment names, and how one of ours is told from it."""

from __future__ import annotations

import pytest

from proxy_cli.env_undo import with_saved
from proxy_cli.outer_proxy import OuterProxy, listener_variable, outer_proxy

CORPORATE = "http://me:secretword@proxy.corp.example:3128"
INSIDE = {"HTTPS_PROXY": "http://127.0.0.1:8899", "WIRETAPE_PROXY": "http://127.0.0.1:8899"}


def test_lower_case_goes_first_as_in_curl() -> None:
    env = {"HTTPS_PROXY": "http://upper:1", "https_proxy": "http://lower:2"}
    assert outer_proxy(env).url == "http://lower:2"
    assert outer_proxy(env | {"https_proxy": " "}).url == "http://upper:1"


def test_scheme_may_be_left_out() -> None:
    assert outer_proxy({"HTTPS_PROXY": "proxy.corp.example:3128"}).url == "http://proxy.corp.example:3128"


def test_nothing_named_is_none() -> None:
    assert outer_proxy({"NO_PROXY": "a", "HTTP_PROXY": "http://plain:1"}) == OuterProxy("none", None)


def test_exceptions_of_both_cases_come_with_it() -> None:
    env = {"HTTPS_PROXY": CORPORATE, "NO_PROXY": "a,b", "no_proxy": "c"}
    assert outer_proxy(env) == OuterProxy(CORPORATE, "c,a,b")
    assert outer_proxy({"HTTPS_PROXY": CORPORATE}).no_proxy == ""


def test_password_is_in_no_repr_and_in_no_complaint() -> None:
    assert "secretword" not in repr(outer_proxy({"HTTPS_PROXY": CORPORATE}))
    unusable = outer_proxy({"https_proxy": CORPORATE.replace("http", "socks5")})
    assert unusable.url == "none"
    assert "https_proxy" in unusable.unusable
    assert "secretword" not in unusable.unusable


@pytest.mark.parametrize(
    "text", ["http://127.0.0.1:8899", "http://user:word@127.0.0.1:8899/", "127.0.0.1:8899"]
)
def test_listener_of_this_shell_is_ours(text: str) -> None:
    assert outer_proxy(INSIDE | {"HTTPS_PROXY": text}).url == "none"
    kept = with_saved({"HTTPS_PROXY": text, "https_proxy": text}, {"HTTPS_PROXY": CORPORATE})
    assert outer_proxy(INSIDE | kept).url == CORPORATE


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "192.0.2.7"])
def test_listener_of_an_open_session_is_ours(host: str) -> None:
    env = {"HTTPS_PROXY": f"http://{host}:8899"}
    assert outer_proxy(env, [("192.0.2.7", 8899)]).url == "none"
    assert outer_proxy(env, [("192.0.2.7", 8898)]).url == f"http://{host}:8899"


def test_proxy_that_was_set_inside_is_the_users() -> None:
    assert outer_proxy(INSIDE | {"HTTPS_PROXY": CORPORATE}).url == CORPORATE


def test_programs_inside_are_told_which_proxy_is_ours_without_its_login() -> None:
    assert listener_variable("http://me:word@127.0.0.1:8899") == {"WIRETAPE_PROXY": "http://127.0.0.1:8899"}
    assert listener_variable("http://[fe80::1%eth0]:8899") == {"WIRETAPE_PROXY": "http://[fe80::1%eth0]:8899"}
