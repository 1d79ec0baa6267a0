"""What entries of NO_PROXY cover."""

from __future__ import annotations

import pytest

from addons.no_proxy import parse_no_proxy


@pytest.mark.parametrize(
    ("text", "host"),
    [
        ("example.com", "example.com"),
        ("example.com", "a.b.example.com"),
        (".example.com", "a.example.com"),
        (".example.com", "example.com"),
        ("*.example.com", "a.example.com"),
        ("a, EXAMPLE.com.", "Example.Com"),
        ("example.com:443", "example.com"),
        ("*", "anything.example"),
        ("*", "192.0.2.7"),
        ("192.0.2.7", "192.0.2.7"),
        ("10.0.0.0/8", "10.1.2.3"),
        ("10.0.0.1/8", "10.1.2.3"),
        ("2001:db8::/32", "2001:db8::1"),
        ("[2001:db8::1]:443", "2001:0db8::1"),
        ("", "localhost"),
        ("", "127.0.0.1"),
        ("", "127.5.5.5"),
        ("", "::1"),
    ],
)
def test_covered(text: str, host: str) -> None:
    assert parse_no_proxy(text).covers(host, 443)


@pytest.mark.parametrize(
    ("text", "host"),
    [
        ("", "example.com"),
        ("example.com", "notexample.com"),
        ("example.com:8443", "example.com"),
        ("a.example.com", "example.com"),
        ("10.0.0.0/8", "11.0.0.1"),
        ("10.0.0.0/8", "10.example.com"),
        ("192.0.2.7:80", "192.0.2.7"),
        ("7", "192.0.2.7"),
        (",, ,", "example.com"),
        ("10.0.0.0/99", "10.0.0.1"),
    ],
)
def test_not_covered(text: str, host: str) -> None:
    assert not parse_no_proxy(text).covers(host, 443)
