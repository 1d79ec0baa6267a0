"""Answers of inference routers, in the dialect of whoever asks: a whole one and a streamed one each.

Every dialect says the same words, so that a test can compare what a client printed, whatever it is.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from tests.support import aws_frames
from tests.support.scripts import Received

PLAIN = "Es sind 21 °C, „schön“ 👋"
"""What a whole answer says: text of two, three and four bytes a character."""

PIECES = ("Streams ", "kommen ", "Stück für Stück ", "👋.")
"""What a streamed answer says, piece by piece."""

STREAMED = "".join(PIECES)

JSON = "application/json"
EVENTS = "text/event-stream; charset=utf-8"
AWS_EVENTS = "application/vnd.amazon.eventstream"

Object = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Answer:
    """A body as the router sends it: one part when it is whole, and one for each piece when it streams."""

    content_type: str
    parts: tuple[bytes, ...]

    @property
    def body(self) -> bytes:
        """All of it."""
        return b"".join(self.parts)

    @property
    def streams(self) -> bool:
        """Whether it comes piece by piece."""
        return len(self.parts) > 1


def answer(request: Received) -> Answer:
    """Answer in the dialect that the path and the body speak; `ValueError` for a path that no dialect has."""
    path = urlsplit(request.target).path
    for ending, dialect in _DIALECTS.items():
        if path.endswith(ending):
            return dialect(request)
    raise ValueError(f"no dialect has {request.method} {request.authority}{request.target}")


def _wants_stream(request: Received) -> bool:
    return json.loads(request.body).get("stream") is True


def _whole(value: Object) -> Answer:
    # Characters as they are, not as escapes: what compares bodies then compares UTF-8.
    return Answer(JSON, (json.dumps(value, ensure_ascii=False).encode(),))


def _sse(value: Object, name: str = "", line_end: str = "\n") -> bytes:
    event = f"event: {name}{line_end}" if name else ""
    return f"{event}data: {json.dumps(value, ensure_ascii=False)}{line_end}{line_end}".encode()


def _streamed(
    content_type: str, before: Sequence[bytes], said: Sequence[bytes], after: Sequence[bytes]
) -> Answer:
    """Join what surrounds the pieces with the first and the last of them: each part says something."""
    first, *others = said
    return Answer(content_type, (b"".join([*before, first]), *others, b"".join(after)))


def _chat(request: Received) -> Answer:
    """OpenAI's chat completions, which half of the routers speak."""
    usage = {"prompt_tokens": 9, "completion_tokens": 12, "total_tokens": 21}
    common: Object = {"id": "chatcmpl-1", "created": 1700000000, "model": "made"}

    def chunk(delta: Object, reason: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "finish_reason": reason}
        return _sse({**common, "object": "chat.completion.chunk", "choices": [choice]})

    if not _wants_stream(request):
        message = {"role": "assistant", "content": PLAIN}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        return _whole({**common, "object": "chat.completion", "choices": [choice], "usage": usage})
    return _streamed(
        EVENTS,
        [chunk({"role": "assistant", "content": ""})],
        [chunk({"content": piece}) for piece in PIECES],
        [chunk({}, "stop"), b"data: [DONE]\n\n"],
    )


def _responses(request: Received) -> Answer:
    """OpenAI's responses, whose events are numbered and tell what they belong to."""

    def response(text: str, status: str) -> Object:
        item = message(text, status)
        return {
            "id": "resp_1", "object": "response", "created_at": 1700000000, "status": status, "model": "made",
            "output": [item] if status == "completed" else [], "parallel_tool_calls": True,
            "tool_choice": "auto", "tools": [], "error": None, "incomplete_details": None, "instructions": None,
            "metadata": {}, "temperature": 1.0, "top_p": 1.0, "usage": usage if status == "completed" else None,
        }  # fmt: skip

    def message(text: str, status: str) -> Object:
        content = [part(text)] if status == "completed" else []
        return {"type": "message", "id": "msg_1", "role": "assistant", "status": status, "content": content}

    def part(text: str) -> Object:
        return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}

    usage = {
        "input_tokens": 9, "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": 12, "output_tokens_details": {"reasoning_tokens": 0}, "total_tokens": 21,
    }  # fmt: skip
    if not _wants_stream(request):
        return _whole(response(PLAIN, "completed"))
    numbers = iter(range(1000))

    def event(kind: str, **facts: Any) -> bytes:
        return _sse({"type": kind, "sequence_number": next(numbers), **facts}, kind)

    place: Object = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
    before = [
        event("response.created", response=response("", "in_progress")),
        event("response.output_item.added", output_index=0, item=message("", "in_progress")),
        event("response.content_part.added", **place, part=part("")),
    ]
    said = [event("response.output_text.delta", **place, delta=piece, logprobs=[]) for piece in PIECES]
    after = [
        event("response.output_text.done", **place, text=STREAMED, logprobs=[]),
        event("response.content_part.done", **place, part=part(STREAMED)),
        event("response.output_item.done", output_index=0, item=message(STREAMED, "completed")),
        event("response.completed", response=response(STREAMED, "completed")),
    ]
    return _streamed(EVENTS, before, said, after)


def _messages(request: Received) -> Answer:
    """Anthropic's messages."""

    def message(content: Sequence[Object], reason: str | None) -> Object:
        return {
            "id": "msg_1", "type": "message", "role": "assistant", "model": "made", "content": content,
            "stop_reason": reason, "stop_sequence": None, "usage": {"input_tokens": 9, "output_tokens": 12},
        }  # fmt: skip

    def event(kind: str, **facts: Any) -> bytes:
        return _sse({"type": kind, **facts}, kind)

    if not _wants_stream(request):
        return _whole(message([{"type": "text", "text": PLAIN}], "end_turn"))
    before = [
        event("message_start", message=message([], None)),
        event("content_block_start", index=0, content_block={"type": "text", "text": ""}),
    ]
    said = [
        event("content_block_delta", index=0, delta={"type": "text_delta", "text": piece}) for piece in PIECES
    ]
    stop = {"stop_reason": "end_turn", "stop_sequence": None}
    after = [
        event("content_block_stop", index=0),
        event("message_delta", delta=stop, usage={"output_tokens": 12}),
        event("message_stop"),
    ]
    return _streamed(EVENTS, before, said, after)


def _gemini(text: str, reason: str | None = None) -> Object:
    candidate: Object = {"content": {"parts": [{"text": text}], "role": "model"}, "index": 0}
    if reason:
        candidate["finishReason"] = reason
    usage = {"promptTokenCount": 9, "candidatesTokenCount": 12, "totalTokenCount": 21}
    return {"candidates": [candidate], "usageMetadata": usage, "modelVersion": "made", "responseId": "r1"}


def _generate(request: Received) -> Answer:
    """Gemini's generateContent."""
    return _whole(_gemini(PLAIN, "STOP"))


def _stream_generate(request: Received) -> Answer:
    """Gemini's streamGenerateContent with `alt=sse`, whose lines end in CRLF."""
    *said, last = PIECES
    values = [*(_gemini(piece) for piece in said), _gemini(last, "STOP")]
    return Answer(EVENTS, tuple(_sse(value, line_end="\r\n") for value in values))


_BEDROCK_USAGE = {"inputTokens": 9, "outputTokens": 12, "totalTokens": 21}


def _converse(request: Received) -> Answer:
    """Bedrock's converse."""
    message = {"role": "assistant", "content": [{"text": PLAIN}]}
    facts = {"stopReason": "end_turn", "usage": _BEDROCK_USAGE, "metrics": {"latencyMs": 1}}
    return _whole({"output": {"message": message}, **facts})


def _converse_stream(request: Received) -> Answer:
    """Bedrock's converse-stream: frames with checksums, not text."""
    event = aws_frames.event
    before = [event("messageStart", {"role": "assistant"})]
    said = [
        event("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": piece}}) for piece in PIECES
    ]
    after = [
        event("contentBlockStop", {"contentBlockIndex": 0}),
        event("messageStop", {"stopReason": "end_turn"}),
        event("metadata", {"usage": _BEDROCK_USAGE, "metrics": {"latencyMs": 1}}),
    ]
    return _streamed(AWS_EVENTS, before, said, after)


_DIALECTS: Mapping[str, Callable[[Received], Answer]] = {
    "/chat/completions": _chat,
    "/responses": _responses,
    "/messages": _messages,
    ":generateContent": _generate,
    ":streamGenerateContent": _stream_generate,
    "/converse": _converse,
    "/converse-stream": _converse_stream,
}
"""The dialects by how their paths end."""
