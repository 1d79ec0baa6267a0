from __future__ import annotations

from collections.abc import Mapping

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

URL = "https://api.openai.com/v1/chat/completions"


def asked(*messages: object, **body: object) -> Conversation:
    return read_conversation(interaction(URL, {"model": "gpt", "messages": messages, **body}))


def answered(response: object) -> Conversation:
    return read_conversation(interaction(URL, {"model": "gpt"}, response))


def streamed(*deltas: Mapping[str, object]) -> Message:
    body = sse(*({"choices": [{"index": 0, "delta": delta}]} for delta in deltas), done=True)
    (message,) = answered(body).answer
    return message


def test_a_whole_exchange_is_read() -> None:
    conversation = read_conversation(
        interaction(
            URL,
            {
                "model": "gpt-4o",
                "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}],
                "tools": [{"type": "function", "function": {"name": "add", "parameters": {}}}],
            },
            {
                "model": "gpt-4o-2024-08-06",
                "choices": [
                    {
                        "index": 0,
                        "finish_reason": "stop",
                        "message": {"role": "assistant", "content": "Hello"},
                    }
                ],
                "usage": {
                    "prompt_tokens": 9,
                    "completion_tokens": 12,
                    "total_tokens": 21,
                    "prompt_tokens_details": {"cached_tokens": 0},
                    "completion_tokens_details": {"reasoning_tokens": 4},
                },
            },
        )
    )
    assert conversation == Conversation(
        dialect="openai-chat",
        model="gpt-4o",
        answering_model="gpt-4o-2024-08-06",
        streamed=False,
        request=(Message("system", "Be brief."), Message("user", "Hi")),
        tools=("add",),
        answer=(Message("assistant", "Hello"),),
        finish_reason="stop",
        usage=Usage(input_tokens=9, output_tokens=12, cached=0, reasoning=4, total=21),
    )


def test_tool_calls_and_their_results_are_read() -> None:
    conversation = asked(
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {"id": "c1", "type": "function", "function": {"name": "add", "arguments": '{"a":1}'}}
            ],
        },
        {"role": "tool", "tool_call_id": "c1", "content": "2"},
    )
    assert conversation.request == (
        Message("assistant", tool_calls=(ToolCall("c1", "add", '{"a":1}'),)),
        Message("tool", tool_results=(ToolResult("c1", "", "2"),)),
    )


def test_parts_that_are_not_text_are_attachments() -> None:
    conversation = asked(
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "What is this?"},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAAAAAA"}},
                {"type": "image_url", "image_url": {"url": "https://example.com/cat.png"}},
                {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}},
                {
                    "type": "file",
                    "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,AAA="},
                },
                {"type": "file", "file": {"file_id": "file-1"}},
                {"type": "hologram"},
            ],
        }
    )
    (message,) = conversation.request
    assert message.text == "What is this?"
    assert message.attachments == (
        Attachment("image/png", 6),
        Attachment("image", None, "https://example.com/cat.png"),
        Attachment("audio/wav", 3),
        Attachment("application/pdf", 2, "a.pdf"),
        Attachment("file", None, "file-1"),
        Attachment("hologram", None),
    )


def test_deltas_of_a_stream_are_joined() -> None:
    assert streamed({"role": "assistant", "content": ""}, {"content": "Hel"}, {"content": "lo"}) == Message(
        "assistant", "Hello"
    )


def test_role_repeated_in_every_chunk_is_one_role() -> None:
    chunks = ({"role": "assistant", "content": "a"}, {"role": "assistant", "content": "b"})
    assert streamed(*chunks) == Message("assistant", "ab")


@pytest.mark.parametrize("member", ["reasoning", "reasoning_content"])
def test_reasoning_is_joined_whatever_its_member_is_called(member: str) -> None:
    message = streamed({member: "Let me "}, {member: "think."}, {"content": "42"})
    assert (message.reasoning, message.text) == ("Let me think.", "42")


def test_reasoning_sent_twice_is_shown_once() -> None:
    delta = {"reasoning": "Hm", "reasoning_details": [{"type": "reasoning.text", "text": "Hm"}]}
    assert streamed(delta).reasoning == "Hm"


def test_reasoning_in_details_alone_is_read() -> None:
    first = {"reasoning_details": [{"type": "reasoning.summary", "summary": "I "}]}
    second = {
        "reasoning_details": [{"type": "reasoning.text", "text": "add"}, {"type": "reasoning.encrypted"}]
    }
    assert streamed(first, second).reasoning == "I add"


def test_thinking_parts_of_mistral_are_reasoning() -> None:
    def part(text: str) -> dict[str, object]:
        return {"content": [{"type": "thinking", "thinking": [{"type": "text", "text": text}]}]}

    message = streamed(
        part("One "), part("two"), {"content": [{"type": "text", "text": "3"}]}, {"content": "!"}
    )
    assert (message.reasoning, message.text) == ("One two", "3!")
    whole = asked({"role": "assistant", **part("One")}).request[0]
    assert whole.reasoning == "One"


def call(index: int | None, call_id: str | None, name: str | None, arguments: str) -> dict[str, object]:
    fields = {"index": index, "id": call_id, "function": {"name": name, "arguments": arguments}}
    return {"tool_calls": [{key: value for key, value in fields.items() if value is not None}]}


def test_arguments_of_parallel_calls_are_joined_by_index() -> None:
    message = streamed(
        call(0, "a", "add", ""),
        call(0, None, None, '{"a"'),
        call(1, "b", "mul", '{"b"'),
        call(0, None, None, ":1}"),
        call(1, None, None, ":2}"),
    )
    assert message.tool_calls == (ToolCall("a", "add", '{"a":1}'), ToolCall("b", "mul", '{"b":2}'))


def test_calls_that_are_all_numbered_zero_stay_apart() -> None:
    message = streamed(call(0, "a", "add", "{}"), call(0, "b", "mul", '{"x"'), call(0, None, None, ":1}"))
    assert message.tool_calls == (ToolCall("a", "add", "{}"), ToolCall("b", "mul", '{"x":1}'))


def test_calls_without_numbers_stay_apart() -> None:
    message = streamed(
        call(None, "a", "add", "{}"), call(None, "b", "mul", '{"x"'), call(None, None, None, ":1}")
    )
    assert message.tool_calls == (ToolCall("a", "add", "{}"), ToolCall("b", "mul", '{"x":1}'))


def test_id_repeated_with_every_piece_is_one_call() -> None:
    message = streamed(call(0, "a", "add", '{"x"'), call(0, "a", "add", ":1}"))
    assert message.tool_calls == (ToolCall("a", "add", '{"x":1}'),)


def test_every_choice_is_a_message() -> None:
    body = sse(
        {"choices": [{"index": 1, "delta": {"content": "B"}}, {"index": 0, "delta": {"content": "A"}}]},
        {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
        {"choices": [{"index": 1, "delta": {}, "finish_reason": "length"}]},
    )
    conversation = answered(body)
    assert [message.text for message in conversation.answer] == ["A", "B"]
    assert conversation.finish_reason == "stop, length"


def test_usage_of_the_last_chunk_counts() -> None:
    body = sse(
        {"choices": [], "usage": None}, {"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 2}}
    )
    assert answered(body).usage == Usage(1, 2)


def test_usage_in_groqs_own_member_counts() -> None:
    assert answered(sse({"choices": [], "x_groq": {"usage": {"prompt_tokens": 7}}})).usage == Usage(7)


def test_cache_hits_of_deepseek_are_cached_tokens() -> None:
    usage = answered({"usage": {"prompt_tokens": 9, "prompt_cache_hit_tokens": 8}}).usage
    assert usage == Usage(9, cached=8)


def test_error_within_a_stream_is_read_with_the_text_before_it() -> None:
    body = sse(
        {"choices": [{"delta": {"content": "par"}}]}, {"error": {"code": 502, "message": "Provider left"}}
    )
    conversation = answered(body)
    assert conversation.answer[0].text == "par"
    assert conversation.error == "502: Provider left"


def test_refusal_is_text() -> None:
    conversation = answered({"choices": [{"message": {"role": "assistant", "refusal": "I cannot."}}]})
    assert conversation.answer == (Message("assistant", "I cannot."),)


def test_generated_images_are_attachments() -> None:
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    assert streamed({"content": "Here"}, {"images": [image]}).attachments == (Attachment("image/png", 3),)


def test_legacy_completions_are_read() -> None:
    conversation = read_conversation(
        interaction(
            "https://api.openai.com/v1/completions",
            {"model": "davinci", "prompt": ["One", "Two"]},
            {"choices": [{"text": " three", "finish_reason": "stop"}]},
        )
    )
    assert [message.text for message in conversation.request] == ["One", "Two"]
    assert conversation.answer == (Message("assistant", " three"),)


def test_legacy_completions_are_read_from_a_stream() -> None:
    assert answered(sse({"choices": [{"text": "a"}]}, {"choices": [{"text": "b"}]})).answer[0].text == "ab"


def test_legacy_function_call_is_a_tool_call() -> None:
    conversation = asked({"role": "assistant", "function_call": {"name": "f", "arguments": "{}"}})
    assert conversation.request[0].tool_calls == (ToolCall("", "f", "{}"),)


def test_custom_tools_are_named_and_called() -> None:
    conversation = asked(
        {"role": "assistant", "tool_calls": [{"id": "1", "custom": {"name": "sql", "input": "SELECT 1"}}]},
        tools=[{"type": "custom", "custom": {"name": "sql"}}],
    )
    assert conversation.tools == ("sql",)
    assert conversation.request[0].tool_calls == (ToolCall("1", "sql", "SELECT 1"),)
