"""What all dialects share: which one it is, how a body is read, what happens to broken ones."""

from __future__ import annotations

import json

import pytest

from cassette.conversation import Conversation, read_conversation, read_headline
from cassette.model import Interaction, Request, Response
from cassette.store import load
from tests.support.aws_frames import chunk, event, exception
from tests.support.shared import corpus_cassettes, needs_shared
from tests.support.talk import SSE, interaction, sse

CHAT = "https://api.example.com/v1/chat/completions"


@pytest.mark.parametrize(
    ("url", "dialect"),
    [
        ("https://api.openai.com/v1/chat/completions", "openai-chat"),
        ("https://x.openai.azure.com/openai/deployments/d/chat/completions?api-version=1", "openai-chat"),
        ("https://api.openai.com/v1/completions", "openai-chat"),
        ("https://api.openai.com/v1/responses", "openai-responses"),
        ("https://api.openai.com/v1/responses/resp_1?stream=true", "openai-responses"),
        ("https://api.anthropic.com/v1/messages?beta=true", "anthropic-messages"),
        ("https://api.anthropic.com/v1/messages/count_tokens", "anthropic-messages"),
        (
            "https://h/v1/projects/p/locations/l/publishers/anthropic/models/m@1:rawPredict",
            "anthropic-messages",
        ),
        ("https://h/v1/projects/p/publishers/anthropic/models/m@1:streamRawPredict", "anthropic-messages"),
        (
            "https://bedrock-runtime.us-east-1.amazonaws.com/model/us.anthropic.x-v1%3A0/invoke",
            "anthropic-messages",
        ),
        (
            "https://bedrock-runtime.us-east-1.amazonaws.com/model/amazon.nova-v1%3A0/converse",
            "bedrock-converse",
        ),
        ("https://bedrock-runtime.us-east-1.amazonaws.com/model/m/converse-stream", "bedrock-converse"),
        ("https://h/v1beta/models/gemini-2.5-pro:generateContent", "gemini"),
        ("https://h/v1beta/models/gemini-2.5-pro:streamGenerateContent?alt=sse", "gemini"),
        ("https://api.openai.com/v1/embeddings", "embeddings"),
        ("https://h/v1beta/models/e:batchEmbedContents", "embeddings"),
        ("https://api.openai.com/v1/models", "unknown"),
        ("https://[broken/v1", "unknown"),
    ],
)
def test_dialect_is_told_by_the_path(url: str, dialect: str) -> None:
    assert read_headline(interaction(url, {})).dialect == dialect
    assert read_conversation(interaction(url, {})).dialect == dialect


def test_anthropic_body_behind_another_path_is_told_by_its_version() -> None:
    body = {"anthropic_version": "bedrock-2023-05-31", "messages": []}
    assert (
        read_headline(interaction("https://gateway/model/my-profile/invoke", body)).dialect
        == "anthropic-messages"
    )


@pytest.mark.parametrize(
    ("url", "model"),
    [
        ("https://h/v1beta/models/gemini-2.5-pro:generateContent", "gemini-2.5-pro"),
        ("https://h/model/us.anthropic.claude-haiku-4-5-v1%3A0/invoke", "us.anthropic.claude-haiku-4-5-v1:0"),
        ("https://h/v1/publishers/anthropic/models/claude@1:rawPredict", "claude@1"),
        ("https://h/openai/deployments/my-gpt/chat/completions", "my-gpt"),
        ("https://api.openai.com/v1/models", ""),
    ],
)
def test_model_is_taken_from_the_path_where_the_body_names_none(url: str, model: str) -> None:
    assert read_headline(interaction(url, {})).model == model
    assert read_conversation(interaction(url, {})).model == model


def test_model_of_the_answer_stands_in_where_nobody_asked_for_one() -> None:
    conversation = read_conversation(interaction(CHAT, {}, {"model": "served"}))
    assert (conversation.model, conversation.answering_model) == ("served", "served")


def test_stream_is_told_by_its_first_bytes_where_the_type_was_filtered_out() -> None:
    request = Request("POST", CHAT, b"{}")
    for body, streamed in (
        (b'data: {"model": "m"}\n\n', True),
        (b": keep alive\n\n", True),
        (event("messageStart", {}), True),
        (b'{"model": "m"}', False),
        (b"", False),
    ):
        assert read_headline(Interaction(0, request, Response("200 OK", 200, body))).streamed is streamed


def test_error_page_of_a_stream_request_is_shown_as_an_error() -> None:
    conversation = read_conversation(interaction(CHAT, {}, b"<h1>Bad Gateway</h1>", code=502))
    assert conversation.error == "<h1>Bad Gateway</h1>"
    assert conversation.problems == ("the response's body is not JSON",)


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (
            {"error": {"message": "No auth", "type": "invalid_request_error"}},
            "invalid_request_error: No auth",
        ),
        (
            {"type": "error", "error": {"type": "overloaded_error", "message": "Busy"}},
            "overloaded_error: Busy",
        ),
        ({"error": {"code": 400, "message": "Bad", "status": "INVALID_ARGUMENT"}}, "INVALID_ARGUMENT: Bad"),
        ([{"error": {"code": 429, "message": "Slow"}}], "429: Slow"),
        ({"error": "model not found"}, "model not found"),
        ({"message": "Too many tokens"}, "Too many tokens"),
        ({"detail": "Not Found"}, "Not Found"),
    ],
)
def test_error_of_every_known_shape_is_read(body: object, error: str) -> None:
    assert read_conversation(interaction(CHAT, {}, body, code=400)).error == error


def test_error_sent_with_the_type_of_a_stream_is_read_as_json() -> None:
    body = json.dumps({"error": {"message": "No"}}).encode()
    assert read_conversation(interaction(CHAT, {}, body, code=401, content_type=SSE)).error == "No"


def test_broken_request_is_a_problem_and_the_answer_is_still_read() -> None:
    answer = {"choices": [{"message": {"role": "assistant", "content": "hi"}}]}
    conversation = read_conversation(interaction(CHAT, b'{"messages": [', answer))
    assert conversation.problems == ("the request's body is not JSON",)
    assert conversation.answer[0].text == "hi"


def test_stream_that_is_cut_gives_the_text_up_to_there() -> None:
    body = sse({"choices": [{"delta": {"content": "Hel"}}]}, {"choices": [{"delta": {"content": "lo"}}]})
    conversation = read_conversation(interaction(CHAT, {}, body[:-4]))
    assert conversation.answer[0].text == "Hel"
    assert conversation.problems == ("1 of the response's events are not JSON objects",)


def test_event_stream_that_is_cut_gives_the_text_up_to_there() -> None:
    frames = chunk({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hi"}})
    url = "https://bedrock-runtime.us-east-1.amazonaws.com/model/anthropic.x/invoke-with-response-stream"
    conversation = read_conversation(
        interaction(url, {}, frames + frames[:20], content_type="application/vnd.amazon.eventstream")
    )
    assert conversation.answer[0].text == "Hi"
    assert "message 1" in conversation.problems[0]


def test_exception_within_an_event_stream_is_the_error() -> None:
    url = "https://bedrock-runtime.us-east-1.amazonaws.com/model/m/converse-stream"
    body = exception("throttlingException", "Too many requests")
    assert read_conversation(interaction(url, {}, body)).error == "throttlingException: Too many requests"


def test_unknown_dialect_still_shows_model_and_messages() -> None:
    body = {"model": "m", "messages": [{"role": "user", "content": "hello"}]}
    conversation = read_conversation(interaction("https://api.example.com/v2/talk", body, {"text": "?"}))
    assert (conversation.dialect, conversation.model) == ("unknown", "m")
    assert conversation.request[0].text == "hello"
    assert conversation.answer == ()


def test_json_nested_too_deeply_is_a_problem_and_no_error() -> None:
    deep = b"[" * 100_000
    assert read_conversation(interaction(CHAT, deep, deep)).problems == (
        "the request's body is not JSON",
        "the response's body is not JSON",
    )


def _of_the_corpus() -> list[tuple[str, Conversation]]:
    return [
        (f"{path.parent.name}/{path.name}#{item.id}", read_conversation(item))
        for path in corpus_cassettes()
        for item in load(path).interactions
    ]


@needs_shared
def test_every_real_interaction_has_model_answer_and_usage() -> None:
    conversations = _of_the_corpus()
    assert len(conversations) > 150
    for name, conversation in conversations:
        assert conversation.dialect != "unknown", name
        assert conversation.model, name
        assert conversation.request, name
        assert any(message.text or message.tool_calls for message in conversation.answer), name
        assert conversation.finish_reason, name
        assert conversation.usage is not None, name
        assert conversation.usage.input_tokens, name
        assert conversation.usage.output_tokens, name
        assert (conversation.error, conversation.problems) == ("", ()), name


@needs_shared
def test_arguments_of_every_real_tool_call_are_whole_json() -> None:
    calls = [call for _, talk in _of_the_corpus() for message in talk.answer for call in message.tool_calls]
    assert len(calls) > 50
    for call in calls:
        assert call.name
        assert isinstance(json.loads(call.arguments), dict)
