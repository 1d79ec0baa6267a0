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
from tests.support.talk import interaction, named_sse

URL = "https://api.openai.com/v1/responses"


def asked(**body: object) -> Conversation:
    return read_conversation(interaction(URL, {"model": "gpt", **body}))


def answered(response: object) -> Conversation:
    return read_conversation(interaction(URL, {"model": "gpt"}, response))


def text_item(text: str) -> dict[str, object]:
    return {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": text}]}


def test_instructions_and_a_plain_input_are_messages() -> None:
    conversation = asked(instructions="Be brief.", input="Hi", tools=[{"type": "function", "name": "add"}])
    assert conversation.request == (Message("system", "Be brief."), Message("user", "Hi"))
    assert conversation.tools == ("add",)


def test_items_of_the_model_between_two_turns_are_one_message() -> None:
    conversation = asked(
        input=[
            {"role": "user", "content": [{"type": "input_text", "text": "2+3, 2*3?"}]},
            {"type": "reasoning", "summary": [{"type": "summary_text", "text": "Use tools."}]},
            {"type": "function_call", "call_id": "a", "name": "add", "arguments": "{}"},
            {"type": "function_call", "call_id": "b", "name": "mul", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "a", "output": "5"},
            {"type": "function_call_output", "call_id": "b", "output": [{"type": "input_text", "text": "6"}]},
        ]
    )
    assert conversation.request == (
        Message("user", "2+3, 2*3?"),
        Message(
            "assistant",
            reasoning="Use tools.",
            tool_calls=(ToolCall("a", "add", "{}"), ToolCall("b", "mul", "{}")),
        ),
        Message("tool", tool_results=(ToolResult("a", "", "5"), ToolResult("b", "", "6"))),
    )


def test_two_turns_of_the_user_stay_apart() -> None:
    turns = [{"role": "user", "content": "a"}, {"role": "user", "content": "b"}]
    assert [message.text for message in asked(input=turns).request] == ["a", "b"]


def test_images_and_files_are_attachments() -> None:
    content = [
        {"type": "input_image", "image_url": "data:image/jpeg;base64,AAAA"},
        {"type": "input_image", "file_id": "file-1"},
        {"type": "input_file", "filename": "a.pdf", "file_data": "AAAA"},
    ]
    (message,) = asked(input=[{"role": "user", "content": content}]).request
    assert message.attachments == (
        Attachment("image/jpeg", 3),
        Attachment("image", None, "file-1"),
        Attachment("file", 3, "a.pdf"),
    )


def test_screenshot_that_a_tool_returned_is_an_attachment() -> None:
    output = {"type": "computer_screenshot", "image_url": "data:image/png;base64,AAAA"}
    item = {"type": "computer_call_output", "call_id": "c", "output": [output]}
    assert asked(input=[item]).request[0].attachments == (Attachment("image/png", 3),)


def test_whole_response_is_read() -> None:
    conversation = answered(
        {
            "model": "gpt-2025",
            "status": "completed",
            "output": [
                {"type": "web_search_call", "id": "ws", "action": {"type": "search", "query": "x"}},
                text_item("Found."),
            ],
            "usage": {
                "input_tokens": 1,
                "output_tokens": 2,
                "total_tokens": 3,
                "input_tokens_details": {"cached_tokens": 4},
                "output_tokens_details": {"reasoning_tokens": 5},
            },
        }
    )
    call = ToolCall("ws", "web_search_call", '{"type": "search", "query": "x"}')
    assert conversation.answer == (Message("assistant", "Found.", tool_calls=(call,)),)
    assert conversation.answering_model == "gpt-2025"
    assert conversation.finish_reason == "completed"
    assert conversation.usage == Usage(1, 2, 4, 5, 3)


def test_result_of_a_tool_that_ran_at_the_provider_is_read() -> None:
    item = {"type": "mcp_call", "id": "m", "name": "roll", "arguments": "{}", "output": "4"}
    (message,) = answered({"output": [item]}).answer
    assert message.tool_calls == (ToolCall("m", "roll", "{}"),)
    assert message.tool_results == (ToolResult("m", "roll", "4"),)


def test_why_a_response_is_incomplete_is_its_finish_reason() -> None:
    body = {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}
    assert answered(body).finish_reason == "incomplete: max_output_tokens"


def test_failed_response_tells_its_error() -> None:
    body = named_sse(
        {
            "type": "response.failed",
            "response": {"status": "failed", "error": {"code": "server_error", "message": "Oops"}},
        }
    )
    conversation = answered(body)
    assert (conversation.finish_reason, conversation.error) == ("failed", "server_error: Oops")


def test_last_event_of_a_stream_holds_the_response() -> None:
    body = named_sse(
        {"type": "response.created", "response": {"status": "in_progress", "output": []}},
        {"type": "response.output_text.delta", "output_index": 0, "delta": "par"},
        {"type": "response.completed", "response": {"status": "completed", "output": [text_item("whole")]}},
    )
    conversation = answered(body)
    assert conversation.answer == (Message("assistant", "whole"),)
    assert conversation.finish_reason == "completed"


def test_stream_without_its_end_is_put_together_from_deltas() -> None:
    body = named_sse(
        {"type": "response.created", "response": {"model": "m", "status": "in_progress"}},
        {
            "type": "response.output_item.added",
            "output_index": 0,
            "item": {"type": "reasoning", "summary": []},
        },
        {"type": "response.reasoning_summary_text.delta", "output_index": 0, "delta": "Hm, "},
        {"type": "response.reasoning_summary_text.delta", "output_index": 0, "delta": "well"},
        {
            "type": "response.output_item.added",
            "output_index": 1,
            "item": {"type": "function_call", "call_id": "c", "name": "add", "arguments": ""},
        },
        {"type": "response.function_call_arguments.delta", "output_index": 1, "delta": '{"a"'},
        {"type": "response.function_call_arguments.delta", "output_index": 1, "delta": ":1"},
        {"type": "response.output_text.delta", "output_index": 2, "delta": "Hel"},
        {"type": "response.output_text.delta", "output_index": 2, "delta": "lo"},
    )
    conversation = answered(body)
    assert conversation.answer == (
        Message("assistant", "Hello", "Hm, well", tool_calls=(ToolCall("c", "add", '{"a":1'),)),
    )
    assert conversation.finish_reason == "in_progress"


def test_items_count_where_the_last_event_leaves_them_out() -> None:
    body = named_sse(
        {"type": "response.output_text.delta", "output_index": 0, "delta": "whole"},
        {"type": "response.output_item.done", "output_index": 0, "item": text_item("whole")},
        {"type": "response.completed", "response": {"status": "completed", "output": []}},
    )
    assert answered(body).answer == (Message("assistant", "whole"),)


def test_error_event_is_the_error() -> None:
    body = named_sse({"type": "error", "code": "rate_limit", "message": "Slow down"})
    assert answered(body).error == "rate_limit: Slow down"
