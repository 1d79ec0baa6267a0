"""Each dialect's requests match where they vary harmlessly, and nowhere else."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest

from cassette.canonical import Level
from cassette.conversation import read_headline
from cassette.jsonpaths import parse_path
from cassette.match import Deck
from cassette.matchrules import MatchRules
from cassette.model import Interaction, Request, Response
from cassette.profiles import AUTO, PROFILES, check_profile, chosen_profiles
from tests.support.calls import CHAT, hit, miss, recorded

Body = dict[str, Any]
Edit = Callable[[Body], object]

RESPONSES = "https://api.openai.com/v1/responses"
MESSAGES = "https://api.anthropic.com/v1/messages"
GEMINI = "https://generativelanguage.googleapis.com/v1beta/models/gemini-2.5-pro:generateContent?key=REDACTED"
CONVERSE = "https://bedrock-runtime.us-east-1.amazonaws.com/model/us.amazon.nova-pro-v1%3A0/converse"
INVOKE = "https://bedrock-runtime.us-east-1.amazonaws.com/model/us.anthropic.claude-opus-4-6-v1/invoke"

_CLAUDE: Body = {
    "max_tokens": 100,
    "system": [
        {"type": "text", "text": "x-anthropic-billing-header: cc_version=2.1.278.abc; cch=00000;"},
        {"type": "text", "text": "Be kind.", "cache_control": {"type": "ephemeral"}},
    ],
    "messages": [
        {"role": "user", "content": [{"type": "text", "text": "Add 2 and 3."}]},
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "A sum.", "signature": "EqQBCg"},
                {"type": "redacted_thinking", "data": "Zm9v"},
                {"type": "tool_use", "id": "toolu_01A", "name": "add", "input": {"a": 2, "id": "x"}},
                {"type": "tool_use", "id": "toolu_01B", "name": "mul", "input": {"a": 2}},
            ],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "toolu_01A", "content": "5"},
                {"type": "tool_result", "tool_use_id": "toolu_01B", "content": "6"},
            ],
        },
    ],
}
BODIES: dict[str, tuple[str, Body]] = {
    "openai-chat": (
        CHAT,
        {
            "model": "gpt-5",
            "user": "u-1",
            "stream": True,
            "stream_options": {"include_usage": True},
            "messages": [
                {"role": "user", "content": "Add 2 and 3."},
                {
                    "role": "assistant",
                    "reasoning_details": [{"type": "reasoning.encrypted", "data": "Zm9v", "index": 0}],
                    "tool_calls": [
                        {"id": "call_A", "type": "function", "function": {"name": "add", "arguments": "{}"}},
                        {"id": "call_B", "type": "function", "function": {"name": "mul", "arguments": "{}"}},
                    ],
                },
                {"role": "tool", "tool_call_id": "call_A", "content": "5"},
                {"role": "tool", "tool_call_id": "call_B", "content": "6"},
            ],
        },
    ),
    "openai-responses": (
        RESPONSES,
        {
            "model": "gpt-5",
            "prompt_cache_key": "k-1",
            "previous_response_id": "resp_1",
            "input": [
                {"role": "user", "content": "Add 2 and 3."},
                {"type": "item_reference", "id": "rs_1"},
                {"type": "reasoning", "id": "rs_2", "summary": [], "encrypted_content": "Zm9v"},
                {
                    "type": "function_call",
                    "id": "fc_1",
                    "call_id": "call_A",
                    "name": "add",
                    "arguments": "{}",
                },
                {"type": "function_call_output", "call_id": "call_A", "output": "5"},
            ],
        },
    ),
    "anthropic": (MESSAGES, {"model": "claude", "metadata": {"user_id": "u-1"}, **_CLAUDE}),
    "anthropic on bedrock": (INVOKE, {"anthropic_version": "bedrock-2023-05-31", **_CLAUDE}),
    "gemini": (
        GEMINI,
        {
            "contents": [
                {"role": "user", "parts": [{"text": "Add 2 and 3."}]},
                {
                    "role": "model",
                    "parts": [
                        {
                            "functionCall": {"id": "1", "name": "add", "args": {"a": 2}},
                            "thoughtSignature": "Zm9v",
                        },
                        {"functionCall": {"id": "2", "name": "mul", "args": {"a": 2}}},
                    ],
                },
                {
                    "role": "user",
                    "parts": [
                        {"functionResponse": {"id": "1", "name": "add", "response": {"result": "5"}}},
                        {"functionResponse": {"id": "2", "name": "mul", "response": {"result": "6"}}},
                    ],
                },
            ]
        },
    ),
    "bedrock": (
        CONVERSE,
        {
            "requestMetadata": {"team": "a"},
            "messages": [
                {"role": "user", "content": [{"text": "Add 2 and 3."}]},
                {
                    "role": "assistant",
                    "content": [
                        {"toolUse": {"toolUseId": "tooluse_A", "name": "add", "input": {"a": 2}}},
                        {"toolUse": {"toolUseId": "tooluse_B", "name": "mul", "input": {"a": 2}}},
                    ],
                },
                {
                    "role": "user",
                    "content": [
                        {"toolResult": {"toolUseId": "tooluse_A", "content": [{"text": "5"}]}},
                        {"toolResult": {"toolUseId": "tooluse_B", "content": [{"text": "6"}]}},
                        {"cachePoint": {"type": "default"}},
                    ],
                },
            ],
        },
    ),
}


def put(path: str, value: Any) -> Edit:
    """Set a member or an item; the path has no wildcards."""

    def edit(body: Body) -> None:
        *parents, last = parse_path(path)
        place: Any = body
        for step in parents:
            place = place[step]
        place[last] = value

    return edit


def drop(path: str) -> Edit:
    def edit(body: Body) -> None:
        *parents, last = parse_path(path)
        place: Any = body
        for step in parents:
            place = place[step]
        del place[last]

    return edit


def renamed(**names: str) -> Edit:
    """Replace texts wherever they stand as whole values."""

    def edit(body: Body) -> None:
        text = json.dumps(body)
        for old, new in names.items():
            text = text.replace(f'"{old}"', f'"{new}-"')
        body.clear()
        body.update(json.loads(text.replace('-"', '"')))

    return edit


HARMLESS: list[tuple[str, Edit]] = [
    ("openai-chat", renamed(call_A="call_X", call_B="call_Y")),
    ("openai-chat", renamed(call_A="call_B", call_B="call_A")),
    ("openai-chat", put("user", "u-2")),
    ("openai-chat", drop("user")),
    ("openai-chat", put("metadata", {"run": "7"})),
    ("openai-chat", put("store", value=False)),
    ("openai-chat", put("stream_options.include_obfuscation", value=False)),
    ("openai-chat", put("messages[0].cache_control", {"type": "ephemeral"})),
    ("openai-chat", put("messages[1].reasoning_details[0].data", "YmFy")),
    ("openai-responses", put("prompt_cache_key", "k-2")),
    ("openai-responses", put("safety_identifier", "s")),
    ("openai-responses", put("client_metadata", {"installation": "i"})),
    ("openai-responses", renamed(call_A="call_Z", fc_1="fc_9", rs_2="rs_9")),
    ("openai-responses", put("input[2].encrypted_content", "YmFy")),
    ("anthropic", renamed(toolu_01A="toolu_01X", toolu_01B="toolu_01Y")),
    ("anthropic", put("metadata.user_id", "u-2")),
    ("anthropic", drop("metadata")),
    ("anthropic", drop("system[1].cache_control")),
    ("anthropic", put("messages[2].content[1].cache_control", {"type": "ephemeral", "ttl": "1h"})),
    ("anthropic", put("messages[1].content[0].signature", "ZZZ")),
    ("anthropic", put("system[0].text", "x-anthropic-billing-header: cc_version=2.1.300.def; cch=12345;")),
    ("anthropic on bedrock", renamed(toolu_01A="toolu_01X", toolu_01B="toolu_01Y")),
    ("gemini", put("labels", {"team": "b"})),
    ("gemini", put("contents[1].parts[0].thoughtSignature", "YmFy")),
    ("gemini", renamed(**{"1": "uuid-1", "2": "uuid-2"})),
    ("bedrock", renamed(tooluse_A="tooluse_X", tooluse_B="tooluse_Y")),
    ("bedrock", drop("requestMetadata")),
    ("bedrock", drop("messages[2].content[2]")),
    ("bedrock", put("system", [{"cachePoint": {"type": "default"}}])),
]

DIFFERENT: list[tuple[str, Edit]] = [
    ("openai-chat", put("model", "gpt-5-mini")),
    ("openai-chat", put("temperature", 0.5)),
    ("openai-chat", put("stream", value=False)),
    ("openai-chat", put("service_tier", "flex")),
    ("openai-chat", put("stream_options.include_usage", value=False)),
    ("openai-chat", drop("stream_options")),
    ("openai-chat", put("messages[0].content", "Add 2 and 4.")),
    ("openai-chat", put("messages[2].content", "6")),
    ("openai-chat", put("messages[2].tool_call_id", "call_B")),
    ("openai-chat", put("messages[3].tool_call_id", "call_A")),
    ("openai-chat", drop("messages[3]")),
    ("openai-chat", put("tools", [])),
    ("openai-chat", put("messages[1].tool_calls[0].function.arguments", '{"user":"u"}')),
    ("openai-responses", put("previous_response_id", "resp_2")),
    ("openai-responses", drop("previous_response_id")),
    ("openai-responses", put("input[1].id", "rs_9")),
    ("openai-responses", put("input[4].output", "6")),
    ("openai-responses", put("input[4].call_id", "call_B")),
    ("openai-responses", put("include", ["reasoning.encrypted_content"])),
    ("anthropic", put("model", "claude-2")),
    ("anthropic", put("max_tokens", 101)),
    ("anthropic", put("messages[1].content[2].input.id", "y")),
    ("anthropic", put("messages[1].content[2].input.cache_control", "y")),
    ("anthropic", put("messages[1].content[0].thinking", "A product.")),
    ("anthropic", put("messages[1].content[1].data", "YmFy")),
    ("anthropic", put("messages[2].content[0].tool_use_id", "toolu_01B")),
    ("anthropic", put("messages[2].content[0].is_error", value=True)),
    ("anthropic", put("system[1].text", "Be rude.")),
    ("anthropic", drop("system[0]")),
    ("anthropic on bedrock", put("messages[2].content[0].content", "6")),
    ("gemini", put("contents[1].parts[0].functionCall.args.a", 3)),
    ("gemini", put("contents[2].parts[0].functionResponse.id", "2")),
    ("gemini", put("cachedContent", "cachedContents/2")),
    ("gemini", drop("contents[1].parts[0].thoughtSignature")),
    ("bedrock", put("messages[2].content[0].toolResult.toolUseId", "tooluse_B")),
    ("bedrock", put("messages[2].content[1].toolResult.status", "error")),
    ("bedrock", put("inferenceConfig", {"temperature": 0})),
]


def edited(name: str, edit: Edit) -> tuple[str, Body, Body]:
    url, body = BODIES[name]
    other = copy.deepcopy(body)
    edit(other)
    assert other != body
    return url, body, other


@pytest.mark.parametrize(("name", "edit"), HARMLESS)
def test_request_that_varies_harmlessly_matches(name: str, edit: Edit) -> None:
    url, body, other = edited(name, edit)
    assert hit(Deck(recorded(body, url=url)), other, url).how is Level.RULES
    assert hit(Deck(recorded(other, url=url)), body, url).how is Level.RULES


@pytest.mark.parametrize(("name", "edit"), DIFFERENT)
def test_request_for_something_else_does_not_match(name: str, edit: Edit) -> None:
    url, body, other = edited(name, edit)
    miss(Deck(recorded(body, url=url)), other, url)
    miss(Deck(recorded(other, url=url)), body, url)


@pytest.mark.parametrize(("name", "edit"), HARMLESS)
def test_without_profiles_nothing_varies_harmlessly(name: str, edit: Edit) -> None:
    url, body, other = edited(name, edit)
    miss(Deck(recorded(body, url=url), MatchRules(profiles=())), other, url)


@pytest.mark.parametrize(
    ("url", "body", "profiles"),
    [
        (CHAT, b"", ("openai-chat",)),
        ("https://openrouter.ai/api/v1/chat/completions", b"", ("openai-chat",)),
        (
            "https://x.openai.azure.com/openai/deployments/d/chat/completions?api-version=1",
            b"",
            ("openai-chat",),
        ),
        ("https://api.openai.com/v1/embeddings", b"", ("openai-chat",)),
        (RESPONSES, b"", ("openai-responses",)),
        (MESSAGES, b"", ("anthropic",)),
        (INVOKE, b"", ("anthropic",)),
        (GEMINI, b"", ("gemini",)),
        (CONVERSE, b"", ("bedrock",)),
        ("https://llm.example/ask", b'{"anthropic_version": "1"}', ("anthropic",)),
        ("https://llm.example/ask", b'{"prompt": "x"}', ()),
        ("https://llm.example/" + "x" * 4000, b"", ()),
    ],
)
def test_auto_is_the_profile_of_the_dialect(url: str, body: bytes, profiles: tuple[str, ...]) -> None:
    assert chosen_profiles((AUTO,), url, body) == profiles


def test_profile_can_be_named_for_a_url_that_tells_nothing() -> None:
    url, (_, body) = "https://llm.example/ask", BODIES["openai-responses"]
    other = {**body, "client_metadata": {"a": "b"}}
    miss(Deck(recorded(body, url=url)), other, url)
    assert hit(Deck(recorded(body, url=url), MatchRules(profiles=("openai-responses",))), other, url)


def test_auto_and_a_named_profile_are_added() -> None:
    assert chosen_profiles(("gemini", AUTO), CHAT, b"") == ("gemini", "openai-chat")
    assert chosen_profiles(("openai-chat", AUTO), CHAT, b"") == ("openai-chat",)


def test_every_profile_is_chosen_for_a_dialect_that_exists() -> None:
    known = {
        read_headline(Interaction(0, Request("POST", url), Response("", 0))).dialect
        for url in (CHAT, RESPONSES, MESSAGES, GEMINI, CONVERSE, "https://h/v1/embeddings")
    }
    assert {dialect for profile in PROFILES.values() for dialect in profile.dialects} == known


@pytest.mark.parametrize("name", PROFILES)
def test_places_of_a_profile_are_paths(name: str) -> None:
    profile = PROFILES[name]
    for path in (*profile.ignored, *profile.issued, *(path for path, _ in profile.volatile)):
        assert parse_path(path)
    assert check_profile(name) == name


def test_unknown_profile_is_named_with_those_there_are() -> None:
    with pytest.raises(ValueError, match=r"'openai'.*openai-chat"):
        check_profile("openai")
