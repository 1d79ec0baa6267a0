"""What passes over the control API survives the way there and back."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from addons.errors import ConfigError, ControlError, ProxyError, StartError
from cassette.errors import StoreError
from proxy_cli.messages import SessionRequest, StoppingError, error_from_json, error_to_json, parse_switch

REQUEST = SessionRequest(
    name="chat",
    cassette=Path("/tapes/chat.yaml"),
    append=False,
    overwrite=True,
    mode="record-only",
    layout="charm",
    host_field="empty",
    headers={"request": {"keep": ["Accept"]}},
    hosts=["llm.example.com"],
    never_decrypt=[],
    max_body=1000,
    drain_seconds=2.5,
    replay={"repeat": False},
    port=8899,
    trusted_ca="/home/roots.pem",
    connect_to=["a:443:b:8443"],
    upstream_proxy="http://user:word@proxy:3128",
    owner_pid=17,
)


def test_request_comes_back_as_it_was() -> None:
    assert SessionRequest.from_json(json.loads(json.dumps(REQUEST.to_json()))) == REQUEST


def test_repr_of_a_request_shows_no_password() -> None:
    assert "word" not in repr(REQUEST)


@pytest.mark.parametrize("values", [{}, {"cassette": 1}, {"cassette": "x", "surprise": 1}])
def test_other_objects_are_no_requests(values: dict[str, object]) -> None:
    with pytest.raises(ControlError, match="not a session request"):
        SessionRequest.from_json(values)


def test_change_of_mode_may_say_how_long_it_waits() -> None:
    assert parse_switch({"mode": "replay-only"}) == ("replay-only", None)
    assert parse_switch({"mode": "replay-only", "drain_seconds": 0.5}) == ("replay-only", 0.5)


@pytest.mark.parametrize(
    "body", [{}, {"mode": 1}, {"mode": "x", "drain_seconds": "1"}, {"mode": "x", "drain_seconds": True}]
)
def test_other_bodies_are_no_change_of_mode(body: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match="expected a mode"):
        parse_switch(body)


@pytest.mark.parametrize("kind", [ConfigError, ControlError, StartError, StoppingError])
def test_error_comes_back_as_its_kind(kind: type[ProxyError]) -> None:
    body = error_to_json(kind("say this"))
    error = error_from_json(json.loads(json.dumps(body)))
    assert (type(error), str(error)) == (kind, "say this")
    assert body["error"]["exit_code"] == kind.exit_code


def test_error_of_the_store_comes_back_with_its_file() -> None:
    error = error_from_json(error_to_json(StoreError("is full", path=Path("/tapes/chat.yaml"))))
    assert isinstance(error, StartError)
    assert "/tapes/chat.yaml" in str(error)
    assert "is full" in str(error)


def test_error_of_our_own_is_named_as_one() -> None:
    error = error_from_json(error_to_json(ValueError("odd")))
    assert "internal error" in str(error)


@pytest.mark.parametrize("body", [{}, {"error": None}, {"error": {"kind": "Unheard", "message": "of"}}])
def test_unknown_errors_are_errors_of_the_control_api(body: dict[str, object]) -> None:
    assert type(error_from_json(body)) is ControlError
