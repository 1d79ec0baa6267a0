from __future__ import annotations

import json

import pytest

from cassette.credentials import (
    REDACTED,
    VALUE_PATTERNS,
    is_secret_query_key,
    is_secret_request_header,
    is_secret_response_header,
    redact_form_body,
    redact_link,
    redact_url,
)
from tests.support.shared import SHARED, corpus_cassettes, needs_shared

KEY = "abcdefghij" * 5


@pytest.mark.parametrize(
    "name",
    [
        "Authorization",
        "PROXY-AUTHORIZATION",
        "x-api-key",
        "Cookie",
        "X-Goog-Api-Key",
        "cf-aig-authorization",
        "X-Stainless-OS",
        "Sec-WebSocket-Protocol",
        " Authorization ",
        # in no list, but their words tell
        "X-Acme-Api-Key",
        "x_acme_apikey",
        "X-Upstream-Token",
        "X-Client-Secret-Value",
        "X-Api-Key-2",
        "X-Forwarded-Access-Token",
        "Cf-Access-Jwt-Assertion",
        "X-Session-Cookie",
        "X-Auth",
        "OpenAI-Key",
        "X-Ms-Authorization-Auxiliary",
    ],
)
def test_credentials_in_request_headers_are_recognised(name: str) -> None:
    assert is_secret_request_header(name)


@pytest.mark.parametrize(
    "name",
    [
        "Accept",
        "Content-Type",
        "User-Agent",
        "Idempotency-Key",
        "Sec-WebSocket-Key",
        "X-Cache-Key",
        "x-ratelimit-remaining-tokens",
        "x-ratelimit-limit-token",
        "anthropic-ratelimit-tokens-remaining",
        "anthropic-ratelimit-input-tokens-limit",
        "max-tokens",
        "x-max-token",
        "x-time-per-token",
        "x-total-tokens",
        "Access-Control-Allow-Credentials",
        "Access-Control-Request-Headers",
        "x-vertex-ai-llm-request-type",
        "X-Tokenizer",
        "X-Keyboard",
        "Keep-Alive",
        "Author",
        "",
        "---",
    ],
)
def test_headers_that_hold_no_credential_are_left_alone(name: str) -> None:
    assert not is_secret_request_header(name)
    assert not is_secret_response_header(name)


@pytest.mark.parametrize(
    "name", ["Set-Cookie", "set-cookie2", "WWW-Authenticate", "X-Amzn-Remapped-Date", "Mcp-Session-Id"]
)
def test_credentials_in_response_headers_are_recognised(name: str) -> None:
    assert is_secret_response_header(name)


def test_a_response_that_echoes_a_request_credential_is_secret() -> None:
    assert is_secret_response_header("Authorization")
    assert is_secret_response_header("xi-api-key")


def test_a_header_of_a_response_only_is_no_secret_in_a_request() -> None:
    assert not is_secret_request_header("X-Amzn-Remapped-Date")


def test_a_very_long_name_is_judged_like_any_other() -> None:
    assert is_secret_request_header("x-" * 50_000 + "api-key")
    assert not is_secret_request_header("x-" * 50_000 + "ray")
    assert not is_secret_query_key("%78" * 50_000)


@pytest.mark.parametrize(
    ("url", "redacted"),
    [
        ("https://h/v1?key=abc", "https://h/v1?key=REDACTED"),
        ("https://h/v1?alt=sse&key=abc&x=%2f", "https://h/v1?alt=sse&key=REDACTED&x=%2f"),
        ("https://h/v1?API_KEY=abc", "https://h/v1?API_KEY=REDACTED"),
        ("https://h/v1?api%5Fkey=abc", "https://h/v1?api%5Fkey=REDACTED"),
        ("https://h/v1?%6b%65%79=abc", "https://h/v1?%6b%65%79=REDACTED"),
        ("https://h/v1?key=a=b==", "https://h/v1?key=REDACTED"),
        ("https://h/v1?key=a?b", "https://h/v1?key=REDACTED"),
        ("https://h/v1?key=a;b", "https://h/v1?key=REDACTED"),
        ("https://h/v1?key=1&key=2", "https://h/v1?key=REDACTED&key=REDACTED"),
        ("https://h/v1?X-Amz-Signature=abc&code=1", "https://h/v1?X-Amz-Signature=REDACTED&code=REDACTED"),
        ("https://h/v1?subscription-key=abc", "https://h/v1?subscription-key=REDACTED"),
        ("https://h/v1?key=abc#top", "https://h/v1?key=REDACTED#top"),
        ("https://h/cb#access_token=abc&n=1", "https://h/cb#access_token=REDACTED&n=1"),
        ("https://h/?to=https://z/?key=abc&n=1", "https://h/?to=https://z/?key=REDACTED&n=1"),
        ("https://me:pw@h/v1", "https://REDACTED@h/v1"),
        ("https://me:p@w@h/v1", "https://REDACTED@h/v1"),
        ("//me@h/v1", "//REDACTED@h/v1"),
        ("/v1?token=abc", "/v1?token=REDACTED"),
        ("https://h/\udcff?key=\udcfe&\udcfd=1", "https://h/\udcff?key=REDACTED&\udcfd=1"),
    ],
)
def test_credentials_in_a_url_are_redacted(url: str, redacted: str) -> None:
    assert redact_url(url) == redacted


@pytest.mark.parametrize(
    "url",
    [
        "https://h/v1/models/@cf/meta/llama",
        "https://h/v1?email=me@example.com",
        "https://h/v1?key=",
        "https://h/v1?key",
        "https://h/v1?key=&x=",
        "https://h/v1&key=abc",
        "https://h/key=abc",
        "https://h/v1?max_tokens=5&page_token=abc&pageToken=abc",
        "https://h/v1?&&==&?",
        "",
        "?",
        "#",
    ],
)
def test_a_url_without_credentials_stays_the_very_same(url: str) -> None:
    assert redact_url(url) is url


def test_each_target_of_a_link_header_is_redacted_on_its_own() -> None:
    link = '<https://h/2?key=abc>; rel="next", <https://h/1?n=1>; rel="prev"'
    assert redact_link(link) == '<https://h/2?key=REDACTED>; rel="next", <https://h/1?n=1>; rel="prev"'


@pytest.mark.parametrize(
    ("body", "redacted"),
    [
        (b"a=1&token=abc&b=2", b"a=1&token=REDACTED&b=2"),
        (b"client%5Fsecret=abc", b"client%5Fsecret=REDACTED"),
        (b"Key=a=b&grant_type=x", b"Key=REDACTED&grant_type=x"),
        (b"n=1&key=\xff\xfe\n", b"n=1&key=REDACTED"),
        (b"a=1?key=abc", b"a=1?key=abc"),
        (b"a=1;key=abc", b"a=1;key=abc"),
        (b"key=&token", b"key=&token"),
        (b"", b""),
    ],
)
def test_secret_fields_of_a_form_are_redacted(body: bytes, redacted: bytes) -> None:
    assert redact_form_body(body) == redacted


@pytest.mark.parametrize(
    ("provider", "text"),
    [
        ("openai", "sk-" + KEY),
        ("openai", "sk-proj-" + KEY),
        ("anthropic", "sk-ant-" + "api03-" + KEY),
        ("openrouter", "sk-or-v1-" + "0f" * 32),
        ("hf", "hf_" + KEY),
        ("google", "AIza" + "Sy" + "a" * 33),
        ("google-oauth", "ya29." + KEY),
        ("groq", "gsk_" + KEY),
        ("xai", "xai-" + KEY),
        ("perplexity", "pplx-" + KEY),
        ("replicate", "r8_" + KEY),
        ("nvidia", "nvapi-" + KEY),
        ("fireworks", "fw_" + KEY),
        ("cerebras", "csk-" + KEY),
        ("aws-id", "AKIA" + "A2" * 8),
        ("aws-id", "ASIA" + "A2" * 8),
        ("bedrock-key", "ABSK" + KEY + "=="),
        ("github", "ghp_" + KEY),
        ("github-fine-grained", "github_pat_" + KEY),
        ("slack", "xoxb-" + KEY),
        ("jwt", "eyJ" + "hbGciOiJIUz." + "a" * 20 + "." + "b" * 20),
        ("pem", "-----BEGIN RSA " + "PRIVATE KEY-----"),
    ],
)
def test_known_credentials_are_found_wherever_they_stand_alone(provider: str, text: str) -> None:
    pattern = VALUE_PATTERNS[provider]
    for around in ("{}", "Bearer {}", '"{}"', "key={}&x", "a\\n{}\\n", "%20{}", "\\u0022{}", "({})", "{}."):
        found = pattern.search(around.format(text).encode())
        assert found is not None, around
        assert found[0].rstrip(b".").decode() == text


@pytest.mark.parametrize("provider", sorted(set(VALUE_PATTERNS) - {"pem"}))
def test_the_inside_of_a_longer_run_is_no_credential(provider: str) -> None:
    shapes = {
        "aws-id": "AKIA" + "A2" * 8,
        "bedrock-key": "ABSK" + KEY,
        "google": "AIza" + "a" * 35,
        "openrouter": "sk-or-v1-" + "0f" * 32,
        "jwt": "eyJ" + "a" * 10 + "." + "a" * 20 + "." + "b" * 20,
        "google-oauth": "ya29." + KEY,
        "anthropic": "sk-ant-" + "api03-" + KEY,
        "openai": "sk-" + KEY,
        "hf": "hf_" + KEY,
        "groq": "gsk_" + KEY,
        "xai": "xai-" + KEY,
        "perplexity": "pplx-" + KEY,
        "replicate": "r8_" + KEY,
        "nvidia": "nvapi-" + KEY,
        "fireworks": "fw_" + KEY,
        "cerebras": "csk-" + KEY,
        "github": "ghp_" + KEY,
        "github-fine-grained": "github_pat_" + KEY,
        "slack": "xoxb-" + KEY,
    }
    assert VALUE_PATTERNS[provider].search(shapes[provider].encode())
    assert not VALUE_PATTERNS[provider].search(f"abc{shapes[provider]}".encode())


@pytest.mark.parametrize("text", ["task-" + KEY, "AKIA" + "A2" * 8 + "+/aa", "x/AKIA" + "A2" * 8, REDACTED])
def test_what_only_looks_like_a_credential_is_not_reported(text: str) -> None:
    assert not any(pattern.search(text.encode()) for pattern in VALUE_PATTERNS.values())


@needs_shared
@pytest.mark.parametrize("cassette", corpus_cassettes(), ids=lambda path: "/".join(path.parts[-2:]))
def test_no_pattern_matches_in_a_real_cassette(cassette: object) -> None:
    data = cassette.read_bytes()  # type: ignore[attr-defined]
    assert {name for name, pattern in VALUE_PATTERNS.items() if pattern.search(data)} == set()


@needs_shared
def test_every_listed_header_and_key_is_secret() -> None:
    assert SHARED is not None
    known = json.loads((SHARED / "data" / "redaction.json").read_text())
    for name, note in known["request_headers_redact"].items():
        assert is_secret_request_header(name.replace("*", "os").title()) == (note != "keep"), name
    for name in known["response_headers_redact"]:
        assert is_secret_response_header(name.replace("*", "date").title()), name
    for key in known["query_keys"]:
        assert is_secret_query_key(key), key
        assert is_secret_query_key(key.swapcase()), key
    assert set(known["value_patterns"]) <= set(VALUE_PATTERNS)


def test_very_long_urls_and_forms_are_redacted_in_full() -> None:
    count = 100_000
    assert redact_url("https://h/?" + "key=a&" * count) == "https://h/?" + f"key={REDACTED}&" * count
    assert redact_url("https://h/?" + "key=?" * count) == f"https://h/?key={REDACTED}"
    assert redact_url("https://h/" + "?" * count + "key=a") == "https://h/" + "?" * count + f"key={REDACTED}"
    assert redact_url("//" + "a@" * count + "h/") == f"//{REDACTED}@h/"
    assert redact_form_body(b"key=a&" * count) == b"key=REDACTED&" * count
    assert redact_link("<" * count) == "<" * count
