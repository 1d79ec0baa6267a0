from __future__ import annotations

from cassette.conversation import (
    Attachment,
    Conversation,
    Message,
    ToolCall,
    ToolResult,
    Usage,
    read_conversation,
)
from tests.support.aws_frames import event, exception
from tests.support.talk import interaction

URL = "https://bedrock-runtime.eu-west-1.amazonaws.com/model/eu.amazon.nova-pro-v1%3A0/converse"


def asked(*messages: object, **body: object) -> Conversation:
    return read_conversation(interaction(URL, {"messages": messages, **body}))


def test_request_is_read_with_the_model_of_the_url() -> None:
    conversation = asked(
        {"role": "user", "content": [{"text": "Hi"}]},
        system=[{"text": "Be brief."}, {"cachePoint": {"type": "default"}}],
        toolConfig={"tools": [{"toolSpec": {"name": "add"}}, {"cachePoint": {"type": "default"}}]},
    )
    assert conversation.model == "eu.amazon.nova-pro-v1:0"
    assert conversation.request == (Message("system", "Be brief."), Message("user", "Hi"))
    assert conversation.tools == ("add",)


def test_tools_and_media_are_read() -> None:
    conversation = asked(
        {"role": "assistant", "content": [{"toolUse": {"toolUseId": "t", "name": "add", "input": {"a": 1}}}]},
        {
            "role": "user",
            "content": [
                {
                    "toolResult": {
                        "toolUseId": "t",
                        "status": "error",
                        "content": [
                            {"text": "no"},
                            {"json": {"code": 1}},
                            {"image": {"format": "png", "source": {"bytes": "AAAA"}}},
                        ],
                    }
                },
                {"document": {"format": "pdf", "name": "a", "source": {"s3Location": {"uri": "s3://b/a"}}}},
            ],
        },
    )
    assert conversation.request == (
        Message("assistant", tool_calls=(ToolCall("t", "add", '{"a": 1}'),)),
        Message(
            "user",
            tool_results=(ToolResult("t", "", 'no\n{"code": 1}', is_error=True),),
            attachments=(Attachment("image/png", 3), Attachment("document/pdf", None, "a")),
        ),
    )


def test_whole_answer_is_read() -> None:
    content = [{"reasoningContent": {"reasoningText": {"text": "Hm"}}}, {"text": "Hi"}]
    conversation = read_conversation(
        interaction(
            URL,
            {},
            {
                "output": {"message": {"role": "assistant", "content": content}},
                "stopReason": "end_turn",
                "usage": {"inputTokens": 1, "outputTokens": 2, "totalTokens": 3, "cacheReadInputTokens": 4},
            },
        )
    )
    assert conversation.answer == (Message("assistant", "Hi", "Hm"),)
    assert conversation.finish_reason == "end_turn"
    assert conversation.usage == Usage(1, 2, 4, total=3)


def test_frames_of_a_stream_are_put_together() -> None:
    def delta(index: int, value: dict[str, object]) -> bytes:
        return event("contentBlockDelta", {"contentBlockIndex": index, "delta": value})

    body = b"".join(
        (
            event("messageStart", {"role": "assistant"}),
            delta(0, {"reasoningContent": {"text": "H"}}),
            delta(0, {"reasoningContent": {"text": "m"}}),
            delta(1, {"text": "Hel"}),
            delta(1, {"text": "lo"}),
            event("contentBlockStop", {"contentBlockIndex": 1}),
            event(
                "contentBlockStart",
                {"contentBlockIndex": 2, "start": {"toolUse": {"toolUseId": "t", "name": "add"}}},
            ),
            delta(2, {"toolUse": {"input": '{"a"'}}),
            delta(2, {"toolUse": {"input": ":1}"}}),
            event("messageStop", {"stopReason": "tool_use"}),
            event("metadata", {"usage": {"inputTokens": 1, "outputTokens": 2, "totalTokens": 3}}),
        )
    )
    conversation = read_conversation(interaction(URL + "-stream", {}, body))
    assert conversation.streamed
    assert conversation.answer == (
        Message("assistant", "Hello", "Hm", tool_calls=(ToolCall("t", "add", '{"a":1}'),)),
    )
    assert conversation.finish_reason == "tool_use"
    assert conversation.usage == Usage(1, 2, total=3)


def test_exception_in_a_stream_keeps_the_text_before_it() -> None:
    body = event("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": "par"}})
    body += exception("modelStreamErrorException", "broke")
    conversation = read_conversation(interaction(URL + "-stream", {}, body))
    assert conversation.answer[0].text == "par"
    assert conversation.error == "modelStreamErrorException: broke"
