from __future__ import annotations

import json

import pytest

from cassette.conversation import (
    Attachment,
    Conversation,
    Message,
    ToolCall,
    ToolResult,
    Usage,
    read_conversation,
)
from tests.support.talk import interaction, sse

WHOLE = "https://generativelanguage.googleapis.com/v1beta/models/gemini-2.5-pro:generateContent"
STREAM = "https://generativelanguage.googleapis.com/v1beta/models/gemini-2.5-pro:streamGenerateContent"


def asked(*contents: object, **body: object) -> Conversation:
    return read_conversation(interaction(WHOLE, {"contents": contents, **body}))


def answered(response: object) -> Conversation:
    return read_conversation(interaction(WHOLE, {}, response))


def chunk_of(*parts: object, **candidate: object) -> dict[str, object]:
    return {"candidates": [{"content": {"role": "model", "parts": parts}, **candidate}]}


CHUNKS = (
    chunk_of({"text": "I ", "thought": True}),
    chunk_of({"text": "think", "thought": True}),
    chunk_of({"text": "Hel"}),
    {
        **chunk_of({"text": "lo"}, {"functionCall": {"name": "add", "args": {"a": 1}}}, finishReason="STOP"),
        "modelVersion": "gemini-2.5-pro-001",
        "usageMetadata": {"promptTokenCount": 1, "candidatesTokenCount": 2, "totalTokenCount": 6},
    },
)
READ = Message("assistant", "Hello", "I think", tool_calls=(ToolCall("", "add", '{"a": 1}'),))


def test_system_instruction_is_a_system_message_whatever_role_it_carries() -> None:
    conversation = asked(systemInstruction={"role": "user", "parts": [{"text": "Be brief."}]})
    assert conversation.request == (Message("system", "Be brief."),)


def test_function_calls_and_responses_are_read() -> None:
    conversation = asked(
        {"role": "user", "parts": [{"text": "2+3?"}]},
        {"role": "model", "parts": [{"functionCall": {"id": "1", "name": "add", "args": {"a": 2}}}]},
        {
            "role": "user",
            "parts": [{"functionResponse": {"id": "1", "name": "add", "response": {"result": "5"}}}],
        },
        {"role": "user", "parts": [{"functionResponse": {"name": "add", "response": {"a": 1, "b": 2}}}]},
    )
    assert conversation.request == (
        Message("user", "2+3?"),
        Message("assistant", tool_calls=(ToolCall("1", "add", '{"a": 2}'),)),
        Message("user", tool_results=(ToolResult("1", "add", "5"),)),
        Message("user", tool_results=(ToolResult("", "add", '{"a": 1, "b": 2}'),)),
    )


def test_names_with_underscores_are_read_alike() -> None:
    conversation = asked(
        {"parts": [{"inline_data": {"mime_type": "image/png", "data": "AAAA"}}]},
        {"role": "model", "parts": [{"function_call": {"name": "add"}}]},
        system_instruction={"parts": [{"text": "Be brief."}]},
        tools=[{"function_declarations": [{"name": "add"}]}],
    )
    assert conversation.tools == ("add",)
    assert conversation.request == (
        Message("system", "Be brief."),
        Message("user", attachments=(Attachment("image/png", 3),)),
        Message("assistant", tool_calls=(ToolCall("", "add", "{}"),)),
    )


def test_tools_of_google_go_by_their_kind() -> None:
    tools = [{"functionDeclarations": [{"name": "a"}, {"name": "b"}]}, {"googleSearch": {}}]
    assert asked(tools=tools).tools == ("a", "b", "googleSearch")


def test_files_are_attachments() -> None:
    part = {"fileData": {"mimeType": "video/mp4", "fileUri": "gs://bucket/a.mp4"}}
    assert asked({"parts": [part]}).request[0].attachments == (
        Attachment("video/mp4", None, "gs://bucket/a.mp4"),
    )


def test_code_that_the_provider_ran_is_a_call_and_its_result() -> None:
    (message,) = answered(
        chunk_of(
            {"executableCode": {"language": "PYTHON", "code": "print(1)"}},
            {"codeExecutionResult": {"outcome": "OUTCOME_FAILED", "output": "1"}},
        )
    ).answer
    assert message.tool_calls == (ToolCall("", "executableCode", "print(1)"),)
    assert message.tool_results == (ToolResult("", "executableCode", "1", is_error=True),)


def test_thoughts_are_reasoning() -> None:
    body = chunk_of({"text": "Hm", "thought": True}, {"text": "Hi"}, finishReason="STOP")
    conversation = answered(
        {**body, "usageMetadata": {"thoughtsTokenCount": 9, "cachedContentTokenCount": 3}}
    )
    assert conversation.answer == (Message("assistant", "Hi", "Hm"),)
    assert conversation.finish_reason == "STOP"
    assert conversation.usage == Usage(cached=3, reasoning=9)


@pytest.mark.parametrize(
    "body",
    [
        sse(*CHUNKS),
        json.dumps(CHUNKS).encode(),
        b"[" + b"\n,\r\n".join(json.dumps(c).encode() for c in CHUNKS),
    ],
    ids=["events", "array", "cut array"],
)
def test_chunks_of_a_stream_are_put_together(body: bytes) -> None:
    content_type = "text/event-stream" if body.startswith(b"data") else "application/json; charset=UTF-8"
    conversation = read_conversation(interaction(STREAM, {}, body, content_type=content_type))
    assert conversation.streamed
    assert conversation.answer == (READ,)
    assert conversation.finish_reason == "STOP"
    assert conversation.answering_model == "gemini-2.5-pro-001"
    assert conversation.usage == Usage(1, 2, total=6)


def test_every_candidate_is_a_message() -> None:
    body = sse(
        {
            "candidates": [
                {"index": i, "content": {"parts": [{"text": text}]}} for i, text in ((0, "A"), (1, "B"))
            ]
        }
    )
    assert [message.text for message in answered(body).answer] == ["A", "B"]


def test_reason_of_a_blocked_prompt_is_the_finish_reason() -> None:
    assert answered({"promptFeedback": {"blockReason": "SAFETY"}}).finish_reason == "SAFETY"


def test_gemini_behind_another_path_is_told_by_its_contents() -> None:
    body = {"contents": [{"parts": [{"text": "Hi"}]}]}
    conversation = read_conversation(interaction("https://gateway.example/gemini", body))
    assert (conversation.dialect, conversation.request) == ("gemini", (Message("user", "Hi"),))


def test_count_of_tokens_is_usage() -> None:
    url = WHOLE.replace("generateContent", "countTokens")
    assert read_conversation(interaction(url, {}, {"totalTokens": 31})).usage == Usage(31)
