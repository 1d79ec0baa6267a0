"""Base URLs for SDKs."""

from __future__ import annotations

import pytest

from proxy_cli.base_url_variables import base_url_variables
from proxy_cli.env_undo import with_saved

BASE = "http://127.0.0.1:4711"


def variables(upstream: str, env: dict[str, str] | None = None) -> dict[str, str]:
    return base_url_variables([{"base_url": BASE, "upstream": upstream}], env or {})


@pytest.mark.parametrize(
    ("upstream", "expected"),
    [
        ("https://api.openai.com", {"OPENAI_BASE_URL": f"{BASE}/v1", "OPENAI_API_BASE": f"{BASE}/v1"}),
        ("https://api.openai.com/v1", {"OPENAI_BASE_URL": BASE, "OPENAI_API_BASE": BASE}),
        ("https://api.openai.com/v10", {}),
        ("https://api.anthropic.com", {"ANTHROPIC_BASE_URL": BASE}),
        ("https://generativelanguage.googleapis.com", {"GOOGLE_GEMINI_BASE_URL": BASE}),
        ("https://api.groq.com", {"GROQ_BASE_URL": BASE}),
        ("https://bedrock-runtime.eu-west-1.amazonaws.com", {"AWS_ENDPOINT_URL_BEDROCK_RUNTIME": BASE}),
        ("http://localhost:11434", {"OLLAMA_HOST": BASE}),
        ("https://openrouter.ai/api/v1", {}),
    ],
)
def test_variables_of_the_upstreams_sdks(upstream: str, expected: dict[str, str]) -> None:
    assert variables(upstream) == expected


def test_what_the_user_set_is_followed() -> None:
    env = {"OPENAI_BASE_URL": "https://openrouter.ai/api/v1/"}
    assert variables("https://openrouter.ai/api", env) == {"OPENAI_BASE_URL": f"{BASE}/v1"}
    assert variables("https://api.openai.com", env) == {"OPENAI_API_BASE": f"{BASE}/v1"}


def test_listener_of_a_session_that_is_gone_is_not_the_users() -> None:
    gone = "http://127.0.0.1:9/v1"
    inside = with_saved({"OPENAI_BASE_URL": gone}, {})
    assert variables("https://api.openai.com", inside)["OPENAI_BASE_URL"] == f"{BASE}/v1"
    assert "OPENAI_BASE_URL" not in variables("https://api.openai.com", {"OPENAI_BASE_URL": gone})
    session = {"OPENAI_BASE_URL": gone, "WIRETAPE_SESSION": "chat"}
    assert variables("https://api.openai.com", session)["OPENAI_BASE_URL"] == f"{BASE}/v1"
    before = {"OPENAI_BASE_URL": "https://openrouter.ai/api/v1"}
    inside = before | with_saved({"OPENAI_BASE_URL": gone}, before)
    assert variables("https://openrouter.ai/api/v1", inside)["OPENAI_BASE_URL"] == BASE


def test_each_listener_gives_its_own() -> None:
    listeners = [
        {"base_url": "http://127.0.0.1:1", "upstream": "https://api.openai.com"},
        {"base_url": "http://127.0.0.1:2", "upstream": "https://api.anthropic.com"},
    ]
    found = base_url_variables(listeners, {})
    assert found["OPENAI_BASE_URL"] == "http://127.0.0.1:1/v1"
    assert found["ANTHROPIC_BASE_URL"] == "http://127.0.0.1:2"
