"""Upstreams as they are named for listeners of their own."""

from __future__ import annotations

import pytest

from addons.errors import ConfigError
from addons.reverse import Reverse, parse_reverse


@pytest.mark.parametrize(
    ("text", "expected", "url"),
    [
        ("https://api.openai.com", Reverse("https", "api.openai.com", 443), "https://api.openai.com"),
        (" https://API.openai.com:443/ ", Reverse("https", "api.openai.com", 443), "https://api.openai.com"),
        (
            "8001=https://openrouter.ai/api/v1/",
            Reverse("https", "openrouter.ai", 443, "/api/v1", 8001),
            "https://openrouter.ai/api/v1",
        ),
        ("http://localhost:11434", Reverse("http", "localhost", 11434), "http://localhost:11434"),
        ("http://[::1]:8000/v1", Reverse("http", "::1", 8000, "/v1"), "http://[::1]:8000/v1"),
    ],
)
def test_upstream_is_read(text: str, expected: Reverse, url: str) -> None:
    parsed = parse_reverse(text)
    assert (parsed, parsed.url) == (expected, url)
    assert parse_reverse(str(parsed)) == parsed
    assert parse_reverse(str(parsed.at(4711))) == parsed.at(4711)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "api.openai.com",
        "ftp://api.openai.com",
        "https://",
        "https://*.openai.com",
        "https://me:word@api.openai.com",
        "https://api.openai.com/v1?key=x",
        "https://api.openai.com:0",
        "https://api.openai.com:99999",
        "0=https://api.openai.com",
        "70000=https://api.openai.com",
        "x=https://api.openai.com",
        "https://a b.example",
    ],
)
def test_wrong_upstream_gets_one_line_with_an_example(text: str) -> None:
    with pytest.raises(ConfigError, match=r"https://api\.openai\.com") as caught:
        parse_reverse(text)
    assert "word" not in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("upstream", "target", "expected"),
    [
        ("https://api.openai.com", "/v1/models?a=b", "/v1/models?a=b"),
        ("https://openrouter.ai/api/v1", "/models", "/api/v1/models"),
        ("https://openrouter.ai/api/v1", "/", "/api/v1/"),
        ("https://openrouter.ai/api/v1", "?a=b", "/api/v1/?a=b"),
        ("https://openrouter.ai/api/v1", "*", "*"),
    ],
)
def test_path_of_the_upstream_goes_in_front(upstream: str, target: str, expected: str) -> None:
    assert parse_reverse(upstream).path_of(target) == expected
