from __future__ import annotations

from base64 import b64encode

from cassette.conversation import (
    Attachment,
    Conversation,
    Message,
    ToolCall,
    ToolResult,
    Usage,
    read_conversation,
)
from tests.support.aws_frames import chunk
from tests.support.talk import interaction, named_sse

URL = "https://api.anthropic.com/v1/messages"


def asked(*messages: object, **body: object) -> Conversation:
    return read_conversation(interaction(URL, {"model": "claude", "messages": messages, **body}))


def answered(response: object) -> Conversation:
    return read_conversation(interaction(URL, {"model": "claude"}, response))


EVENTS: tuple[dict[str, object], ...] = (
    {
        "type": "message_start",
        "message": {"model": "claude-4", "content": [], "usage": {"input_tokens": 10, "output_tokens": 1}},
    },
    {"type": "content_block_start", "index": 0, "content_block": {"type": "thinking", "thinking": ""}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": "I "}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": "see"}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "signature_delta", "signature": "xyz"}},
    {"type": "content_block_stop", "index": 0},
    {"type": "ping"},
    {"type": "content_block_start", "index": 1, "content_block": {"type": "text", "text": ""}},
    {"type": "content_block_delta", "index": 1, "delta": {"type": "text_delta", "text": "Let me "}},
    {"type": "content_block_delta", "index": 1, "delta": {"type": "text_delta", "text": "look."}},
    {
        "type": "content_block_start",
        "index": 2,
        "content_block": {"type": "tool_use", "id": "t", "name": "weather", "input": {}},
    },
    {"type": "content_block_delta", "index": 2, "delta": {"type": "input_json_delta", "partial_json": ""}},
    {
        "type": "content_block_delta",
        "index": 2,
        "delta": {"type": "input_json_delta", "partial_json": '{"a"'},
    },
    {
        "type": "content_block_delta",
        "index": 2,
        "delta": {"type": "input_json_delta", "partial_json": ": 1}"},
    },
    {"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": {"output_tokens": 20}},
    {"type": "message_stop"},
)


def test_system_texts_and_tools_are_read() -> None:
    conversation = asked(
        {"role": "user", "content": "Hi"},
        system=[{"type": "text", "text": "One."}, {"type": "text", "text": "Two."}],
        tools=[{"name": "add", "input_schema": {}}, {"type": "web_search_20250305", "name": "web_search"}],
    )
    assert conversation.request == (Message("system", "One.\n\nTwo."), Message("user", "Hi"))
    assert conversation.tools == ("add", "web_search")


def test_tool_results_and_images_in_them_are_read() -> None:
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}}
    conversation = asked(
        {
            "role": "assistant",
            "content": [{"type": "tool_use", "id": "t", "name": "shoot", "input": {"a": 1}}],
        },
        {
            "role": "user",
            "content": [
                {
                    "type": "tool_result",
                    "tool_use_id": "t",
                    "content": [image, {"type": "text", "text": "done"}],
                },
                {"type": "tool_result", "tool_use_id": "u", "content": "no such file", "is_error": True},
            ],
        },
    )
    assert conversation.request == (
        Message("assistant", tool_calls=(ToolCall("t", "shoot", '{"a": 1}'),)),
        Message(
            "user",
            tool_results=(ToolResult("t", "", "done"), ToolResult("u", "", "no such file", is_error=True)),
            attachments=(Attachment("image/png", 3),),
        ),
    )


def test_documents_are_attachments() -> None:
    (message,) = asked(
        {
            "role": "user",
            "content": [
                {"type": "document", "title": "a.txt", "source": {"type": "text", "data": "é"}},
                {"type": "document", "source": {"type": "url", "url": "https://example.com/b.pdf"}},
                {
                    "type": "document",
                    "source": {"type": "content", "content": [{"type": "text", "text": "abc"}]},
                },
                {"type": "container_upload", "file_id": "f"},
            ],
        }
    ).request
    assert message.attachments == (
        Attachment("document", 2, "a.txt"),
        Attachment("document", None, "https://example.com/b.pdf"),
        Attachment("document", 3),
        Attachment("container_upload", None),
    )


def test_whole_answer_is_read() -> None:
    conversation = answered(
        {
            "model": "claude-4",
            "content": [{"type": "thinking", "thinking": "Hm"}, {"type": "text", "text": "Hi"}],
            "stop_reason": "end_turn",
            "usage": {"input_tokens": 5, "output_tokens": 6, "cache_read_input_tokens": 7},
        }
    )
    assert conversation.answer == (Message("assistant", "Hi", "Hm"),)
    assert conversation.finish_reason == "end_turn"
    assert conversation.usage == Usage(5, 6, 7)


def test_sentence_that_citations_split_is_one_text() -> None:
    parts = [{"type": "text", "text": "It is "}, {"type": "text", "text": "40 C", "citations": []}]
    assert answered({"content": parts}).answer[0].text == "It is 40 C"


def test_search_that_the_provider_ran_is_a_call_and_its_result() -> None:
    (message,) = answered(
        {
            "content": [
                {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {"query": "x"}},
                {
                    "type": "web_search_tool_result",
                    "tool_use_id": "s",
                    "content": [
                        {
                            "type": "web_search_result",
                            "title": "X",
                            "url": "https://x",
                            "encrypted_content": "e",
                        }
                    ],
                },
            ]
        }
    ).answer
    assert message.tool_calls == (ToolCall("s", "web_search", '{"query": "x"}'),)
    assert message.tool_results == (ToolResult("s", "", "X https://x"),)


def test_search_that_failed_is_a_failed_result() -> None:
    block = {
        "type": "web_search_tool_result",
        "tool_use_id": "s",
        "content": {"type": "web_search_tool_result_error", "error_code": "max_uses_exceeded"},
    }
    (result,) = answered({"content": [block]}).answer[0].tool_results
    assert result.is_error
    assert "max_uses_exceeded" in result.text


def test_redacted_thinking_is_said_to_be_there() -> None:
    assert (
        "redacted" in answered({"content": [{"type": "redacted_thinking", "data": "x"}]}).answer[0].reasoning
    )


def test_events_of_a_stream_are_put_together() -> None:
    conversation = answered(named_sse(*EVENTS))
    assert conversation.answer == (
        Message("assistant", "Let me look.", "I see", tool_calls=(ToolCall("t", "weather", '{"a": 1}'),)),
    )
    assert conversation.answering_model == "claude-4"
    assert conversation.finish_reason == "tool_use"
    assert conversation.usage == Usage(10, 20)


def test_stream_of_bedrock_reads_like_the_same_stream_of_anthropic() -> None:
    url = "https://bedrock-runtime.us-east-1.amazonaws.com/model/us.anthropic.claude/invoke-with-response-stream"
    body = b"".join(map(chunk, EVENTS))
    on_bedrock = read_conversation(
        interaction(url, {}, body, content_type="application/vnd.amazon.eventstream")
    )
    assert on_bedrock.answer == answered(named_sse(*EVENTS)).answer
    assert on_bedrock.model == "us.anthropic.claude"
    assert on_bedrock.streamed


def test_tool_use_without_arguments_in_a_stream_has_none() -> None:
    (message,) = answered(named_sse(EVENTS[0], EVENTS[10], EVENTS[11])).answer
    assert message.tool_calls == (ToolCall("t", "weather", "{}"),)


def test_stream_that_is_cut_keeps_the_arguments_so_far() -> None:
    (message,) = answered(named_sse(*EVENTS[10:13])).answer
    assert message.tool_calls == (ToolCall("t", "weather", '{"a"'),)


def test_error_within_a_stream_is_the_error() -> None:
    body = named_sse({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}})
    assert answered(body).error == "overloaded_error: Overloaded"


def test_name_of_an_event_is_its_type_where_the_data_has_none() -> None:
    body = b'event: content_block_delta\ndata: {"index": 0, "delta": {"text": "Hi"}}\n\n'
    assert answered(body).answer == (Message("assistant", "Hi"),)


def test_frame_whose_payload_is_no_base64_is_skipped() -> None:
    url = "https://bedrock-runtime.us-east-1.amazonaws.com/model/anthropic.x/invoke-with-response-stream"
    good = chunk({"type": "content_block_delta", "index": 0, "delta": {"text": "Hi"}})
    broken = chunk({"n": 1}).replace(b64encode(b'{"n": 1}'), b"{" * 12)
    assert read_conversation(interaction(url, {}, good + broken)).answer[0].text == "Hi"


def test_count_of_tokens_is_usage() -> None:
    url = URL + "/count_tokens"
    assert read_conversation(interaction(url, {}, {"input_tokens": 14})).usage == Usage(14)
