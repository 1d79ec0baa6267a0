"""A router that calls tools: answers an agent's conversation in two dialects, with ids of its own making."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterable
from typing import Any

from tests.support.scripts import Received, Reply

STEPS = (("multiply", {"a": 19, "b": 23}), ("add", {"a": 437, "b": 5}))
"""The tools that it calls, one a round; then it answers."""
WORDS = ("It ", "is ", "442.")
_EVENTS = [("Content-Type", "text/event-stream; charset=utf-8")]


def route(request: Received, reply: Reply) -> None:
    """Answer the next round of a conversation as a stream, one event a write."""
    body = json.loads(request.body)
    answered = sum(map(_results, body["messages"]))
    events = _messages(answered) if request.target.endswith("/messages") else _chat(answered)
    reply.head(200, _EVENTS)
    for event in events:
        reply.data(event)
    reply.end()


def _results(message: dict[str, Any]) -> int:
    """Count the results of tools in a message."""
    if message["role"] == "tool":
        return 1
    content = message.get("content")
    blocks = content if isinstance(content, list) else []
    return sum(block.get("type") == "tool_result" for block in blocks)


def _chat(answered: int) -> Iterable[bytes]:
    """Give the events of a chat completion, OpenAI's dialect."""
    answer = f"chatcmpl-{secrets.token_hex(12)}"

    def chunk(delta: dict[str, Any], reason: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "finish_reason": reason}
        value = {
            "id": answer,
            "object": "chat.completion.chunk",
            "created": 1,
            "model": "made",
            "choices": [choice],
        }
        return f"data: {json.dumps(value)}\n\n".encode()

    if answered < len(STEPS):
        name, arguments = STEPS[answered]
        call = {"index": 0, "id": f"call_{secrets.token_urlsafe(18)}", "type": "function"}
        yield chunk(
            {"role": "assistant", "tool_calls": [{**call, "function": {"name": name, "arguments": ""}}]}
        )
        for piece in _halves(json.dumps(arguments)):
            yield chunk({"tool_calls": [{"index": 0, "function": {"arguments": piece}}]})
        yield chunk({}, "tool_calls")
    else:
        for word in WORDS:
            yield chunk({"content": word})
        yield chunk({}, "stop")
    yield b"data: [DONE]\n\n"


def _messages(answered: int) -> Iterable[bytes]:
    """Give the events of a message, Anthropic's dialect."""

    def event(kind: str, **facts: Any) -> bytes:
        return f"event: {kind}\ndata: {json.dumps({'type': kind, **facts})}\n\n".encode()

    message: dict[str, Any] = {
        "id": f"msg_{secrets.token_hex(12)}", "type": "message", "role": "assistant", "model": "made",
        "content": [], "stop_reason": None, "stop_sequence": None,
        "usage": {"input_tokens": 1, "output_tokens": 1},
    }  # fmt: skip
    yield event("message_start", message=message)
    if answered < len(STEPS):
        name, arguments = STEPS[answered]
        block = {"type": "tool_use", "id": f"toolu_{secrets.token_hex(12)}", "name": name, "input": {}}
        deltas = [
            {"type": "input_json_delta", "partial_json": piece} for piece in _halves(json.dumps(arguments))
        ]
        reason = "tool_use"
    else:
        block = {"type": "text", "text": ""}
        deltas = [{"type": "text_delta", "text": word} for word in WORDS]
        reason = "end_turn"
    yield event("content_block_start", index=0, content_block=block)
    for delta in deltas:
        yield event("content_block_delta", index=0, delta=delta)
    yield event("content_block_stop", index=0)
    yield event(
        "message_delta", delta={"stop_reason": reason, "stop_sequence": None}, usage={"output_tokens": 9}
    )
    yield event("message_stop")


def _halves(text: str) -> tuple[str, str]:
    return text[: len(text) // 2], text[len(text) // 2 :]
