from __future__ import annotations

import pytest

from cassette.hostpattern import HostPattern, normalize_host, parse


def matches(pattern: str, host: str, port: int = 443) -> bool:
    return parse(pattern).matches(normalize_host(host), port)


@pytest.mark.parametrize(
    ("pattern", "host"),
    [
        ("api.openai.com", "api.openai.com"),
        ("API.OpenAI.com", "api.openai.COM"),
        ("api.openai.com", "api.openai.com."),
        ("api.openai.com.", "api.openai.com"),
        ("*.example.com", "a.example.com"),
        ("*.example.com", "a.b.example.com"),
        ("*.EXAMPLE.com", "A.example.com"),
        ("runtime.*.amazonaws.com", "runtime.eu-west-1.amazonaws.com"),
        ("cdn*.example.com", "cdn.example.com"),
        ("cdn*.example.com", "cdn-eu-1.example.com"),
        ("*-aiplatform.googleapis.com", "us-east5-aiplatform.googleapis.com"),
        ("bücher.example", "xn--bcher-kva.example"),
        ("*.bücher.example", "a.XN--BCHER-KVA.example"),
        ("127.0.0.1", "127.0.0.1"),
        ("::1", "[::1]"),
        ("[0:0::1]", "::1"),
        ("my_box", "my_box"),
    ],
)
def test_pattern_matches(pattern: str, host: str) -> None:
    assert matches(pattern, host)


@pytest.mark.parametrize(
    ("pattern", "host"),
    [
        ("api.openai.com", "xapi.openai.com"),
        ("api.openai.com", "api.openai.com.evil.example"),
        ("api.openai.com", "apixopenai.com"),
        ("*.example.com", "example.com"),
        ("*.example.com", ".example.com"),
        ("*.example.com", "aexample.com"),
        ("*.example.com", "a.example.com.evil.example"),
        ("runtime.*.amazonaws.com", "runtime.a.b.amazonaws.com"),
        ("runtime.*.amazonaws.com", "runtime..amazonaws.com"),
        ("*-aiplatform.googleapis.com", "a.us-aiplatform.googleapis.com"),
        ("*.example.com", "a" * 300 + ".example.com"),
        ("::1", "::2"),
        ("localhost", "127.0.0.1"),
    ],
)
def test_pattern_does_not_match(pattern: str, host: str) -> None:
    assert not matches(pattern, host)


def test_a_port_binds_the_pattern_and_none_matches_every_port() -> None:
    assert matches("localhost:8080", "localhost", 8080)
    assert not matches("localhost:8080", "localhost", 8081)
    assert matches("localhost", "localhost", 8081)
    assert matches("[::1]:8080", "::1", 8080)
    assert not matches("[::1]:8080", "::1", 443)


def test_patterns_with_one_meaning_are_equal_and_shown_in_one_spelling() -> None:
    assert parse("API.example.com.") == parse("api.example.com") == HostPattern("api.example.com")
    assert str(parse("[0::1]:08080")) == "[::1]:8080"
    assert str(parse("::1")) == "[::1]"
    assert str(parse("*.Example.com:443")) == "*.example.com:443"


@pytest.mark.parametrize("text", ["api.openai.com", "*.example.com:80", "[::1]", "[::1]:80", "a*b.c"])
def test_the_shown_text_reads_back_as_the_same_pattern(text: str) -> None:
    assert parse(str(parse(text))) == parse(text)


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ("api.openai.com", "api.openai.com:443", True),
        ("api.openai.com:80", "api.openai.com:443", False),
        ("*.openai.azure.com", "mine.openai.azure.com", True),
        ("mine.openai.azure.com", "*.openai.azure.com:8443", True),
        ("*.azure.com", "*.openai.azure.com", True),
        ("runtime.*.amazonaws.com", "runtime.eu.amazonaws.com", True),
        ("*.openai.azure.com", "*.openai.azure.com", True),
        ("api.opnai.com", "api.openai.com", False),
        ("*.example.com", "*.example.org", False),
    ],
)
def test_overlap(one: str, other: str, expected: bool) -> None:
    assert parse(one).overlaps(parse(other)) is expected
    assert parse(other).overlaps(parse(one)) is expected


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "is missing"),
        ("  ", "is missing"),
        ("https://api.openai.com/v1", "is a URL; give the host alone, for example api.openai.com"),
        ("api.openai.com/v1", "holds a path; give the host alone, for example api.openai.com"),
        ("api openai.com", "holds a space"),
        ("a.com,b.com", "holds a comma"),
        ("*", "would cover every host"),
        ("*:443", "would cover every host"),
        ("*.*", "would cover every host"),
        ("*.", "would cover every host"),
        ("**.example.com", "one * is enough"),
        ("a..b", "is no host name"),
        ("a?.example.com", "is no host name"),
        ("a" * 64 + ".com", "is no host name"),
        ("host:", "is no port"),
        ("host:0", "is no port"),
        ("host:65536", "is no port"),
        ("host:http", "is no port"),
        ("host:*", "is no port"),
        ("host:²", "is no port"),
        ("a:b:c", "more than one colon"),
        ("[::1", "is no IPv6 address"),
        ("[abc]", "is no IPv6 address"),
        ("[127.0.0.1]", "is no IPv6 address"),
        ("[::1]8080", "behind the bracket"),
    ],
)
def test_what_is_no_pattern_is_refused_in_one_line(text: str, told: str) -> None:
    with pytest.raises(ValueError) as refused:  # noqa: PT011 - the message is what is looked at
        parse(text)
    assert told in str(refused.value)
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 250


def test_the_message_shows_no_password() -> None:
    for text in ("me:hunter2@example.com", "https://me:hunter2@example.com/"):
        with pytest.raises(ValueError, match=r"example\.com") as refused:
            parse(text)
        assert "hunter2" not in str(refused.value)


def test_what_is_no_host_is_normalised_without_an_error() -> None:
    for host in ("", ".", "[", "a:b", "\udcff", "ü" * 300, "x" * 100_000, "a..b", "é..b", "[::1"):
        assert isinstance(normalize_host(host), str)
