from __future__ import annotations

import base64

import pytest

from addons.access import (
    Login,
    is_loopback,
    parse_listen,
    parse_login,
    proxy_url,
    require_login,
    user_of,
)
from addons.errors import ConfigError

LOGIN = Login("me", "p:" + "w@/ö")


def basic(text: str) -> str:
    return "Basic " + base64.b64encode(text.encode()).decode()


def test_a_login_is_read_up_to_its_first_colon() -> None:
    assert parse_login(LOGIN.text) == LOGIN


@pytest.mark.parametrize("text", ["", "me", "me:", ":word", ":", "me:wo\nrd", "m\0e:word", "me:\udcff"])
def test_wrong_login_is_refused_without_being_shown(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_login(text)
    assert "word" not in caught.value.message.replace("password", "").replace("a-long-word", "")


def test_password_is_in_no_repr() -> None:
    assert LOGIN.password not in repr(LOGIN)


@pytest.mark.parametrize(
    "fields",
    [[basic(LOGIN.text)], [basic(LOGIN.text).replace("Basic", "bAsIc ")], [f" {basic(LOGIN.text)} "]],
)
def test_right_login_is_let_in(fields: list[str]) -> None:
    assert LOGIN.allows(fields)


@pytest.mark.parametrize(
    "fields",
    [
        [],
        [""],
        ["Basic"],
        ["Basic ="],
        ["Basic \xff\udcff"],
        [basic("me:")],
        [basic(LOGIN.text + "x")],
        [basic(LOGIN.text[:-1])],
        [basic(LOGIN.text.upper())],
        [basic(LOGIN.text).replace("Basic", "Digest")],
        [basic(LOGIN.text), basic(LOGIN.text)],
    ],
)
def test_anything_else_is_not(fields: list[str]) -> None:
    assert not LOGIN.allows(fields)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1", "127.0.0.1"),
        ("localhost", "127.0.0.1"),
        ("::1", "::1"),
        ("[::1]", "::1"),
        (" 0.0.0.0 ", "0.0.0.0"),
        ("FE80::1%eth0", "fe80::1%eth0"),
    ],
)
def test_an_address_is_read(text: str, address: str) -> None:
    assert parse_listen(text) == address


@pytest.mark.parametrize(
    "text", ["", "*", "example.com", "127.0.0.1:80", "127.1", "http://127.0.0.1", "1.2.3.400"]
)
def test_what_is_no_address_is_refused_with_a_right_one(text: str) -> None:
    with pytest.raises(ConfigError, match=r"127\.0\.0\.1.*--port"):
        parse_listen(text)


@pytest.mark.parametrize("address", ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"])
def test_loopback_needs_no_login(address: str) -> None:
    assert is_loopback(address)
    require_login(address, None)


@pytest.mark.parametrize(
    "address", ["0.0.0.0", "::", "192.168.0.1", "10.0.0.1", "fe80::1", "::ffff:192.0.2.1"]
)
def test_any_other_address_does(address: str) -> None:
    require_login(address, LOGIN)
    with pytest.raises(ConfigError, match="WIRETAPE_PROXY_AUTH=USER:PASSWORD"):
        require_login(address, None)


@pytest.mark.parametrize(
    ("address", "login", "url"),
    [
        ("127.0.0.1", None, "http://127.0.0.1:80"),
        ("0.0.0.0", None, "http://127.0.0.1:80"),
        ("::", None, "http://[::1]:80"),
        ("192.0.2.7", LOGIN, "http://me:p%3Aw%40%2F%C3%B6@192.0.2.7:80"),
    ],
)
def test_the_url_is_that_of_clients_on_this_machine(address: str, login: Login | None, url: str) -> None:
    assert proxy_url(address, 80, login) == url


def test_user_is_what_stands_before_the_colon() -> None:
    assert user_of([basic("chat:")]) == user_of([basic("chat:a:b")]) == user_of([basic("chat")]) == "chat"


@pytest.mark.parametrize("fields", [[], ["Bearer x"], ["Basic !!!"], [basic("a:"), basic("a:")]])
def test_what_is_no_login_names_nobody(fields: list[str]) -> None:
    assert user_of(fields) is None
