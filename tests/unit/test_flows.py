from __future__ import annotations

import pytest
from mitmproxy import http
from mitmproxy.test import tflow

from addons.flows import Replay, asked_url, header_pairs, is_address, mark_replay, replay_of, target


def flow(scheme: str, host: str, port: int, path: str, host_header: str) -> http.HTTPFlow:
    found = tflow.tflow()
    found.request.scheme, found.request.host, found.request.port = scheme, host, port
    found.request.path, found.request.headers["Host"] = path, host_header
    return found


@pytest.mark.parametrize(
    ("asked", "url"),
    [
        (("https", "api.openai.com", 443, "/v1/x?a=%20", "other"), "https://api.openai.com/v1/x?a=%20"),
        (("https", "api.openai.com", 8443, "/", "api.openai.com"), "https://api.openai.com:8443/"),
        (("http", "localhost", 80, "/", "localhost"), "http://localhost/"),
        (("http", "localhost", 443, "/", "localhost"), "http://localhost:443/"),
        (("https", "203.0.113.7", 443, "/", "api.openai.com"), "https://api.openai.com/"),
        (("https", "::1", 443, "/", "[::1]"), "https://[::1]/"),
    ],
)
def test_the_url_is_the_one_that_the_client_meant(asked: tuple[str, str, int, str, str], url: str) -> None:
    found = flow(*asked)
    assert asked_url(found) == url
    assert target(found)[1] == asked[2]


def test_header_bytes_that_are_not_utf_8_survive() -> None:
    pairs = header_pairs(http.Headers([(b"A", b"caf\xe9"), (b"a", b"2")]))
    assert [(name, value.encode("utf-8", "surrogateescape")) for name, value in pairs] == [
        ("A", b"caf\xe9"),
        ("a", b"2"),
    ]
    assert header_pairs(None) == ()


def test_what_was_decided_about_a_flow_can_be_asked() -> None:
    found = tflow.tflow()
    assert replay_of(found) is None
    mark_replay(found, Replay.HELD)
    assert replay_of(found) is Replay.HELD


def test_addresses_are_told_from_names() -> None:
    assert [is_address(host) for host in ("127.0.0.1", "::1", "localhost", "")] == [True, True, False, False]
