"""Amazon Bedrock's own dialect: `converse` and `converse-stream`. The model is in the URL."""

from __future__ import annotations

from collections.abc import Sequence

from cassette.dialects.draft import Draft, tool_names
from cassette.dialects.fields import (
    Object,
    as_count,
    as_json_text,
    as_object,
    as_objects,
    as_text,
    base64_size,
    error_text,
    pick,
    usage_or_none,
)
from cassette.dialects.model import Answered, Asked, Attachment, Message, Usage

_MEDIA = ("image", "document", "video", "audio")


def read_request(body: Object) -> Asked:
    """Return what a request asks."""
    system = _message({"role": "system", "content": body.get("system")})
    messages = [_message(message) for message in as_objects(body.get("messages"))]
    tools = as_objects(as_object(body.get("toolConfig")).get("tools"))
    return Asked(
        messages=(*(() if system.is_empty else (system,)), *messages),
        tools=tool_names([as_object(pick(tool, "toolSpec", "systemTool")) for tool in tools]),
    )


def read_answer(body: Object) -> Answered:
    """Return what a whole answer says."""
    message = _message({"role": "assistant", **as_object(as_object(body.get("output")).get("message"))})
    usage = as_object(body.get("usage"))
    return Answered(
        messages=() if message.is_empty else (message,),
        finish_reason=as_text(body.get("stopReason")),
        usage=usage_or_none(
            Usage(
                input_tokens=as_count(usage.get("inputTokens")),
                output_tokens=as_count(usage.get("outputTokens")),
                cached=as_count(usage.get("cacheReadInputTokens")),
                total=as_count(usage.get("totalTokens")),
            )
        ),
        error=error_text(body),
    )


def read_stream(events: Sequence[Object]) -> Answered:
    """Return what a stream's events say together; an event's `type` is its frame's `:event-type`."""
    body: dict[str, object] = {}
    starts: dict[int, Object] = {}
    pieces: dict[tuple[int, str], list[str]] = {}
    for event in events:
        kind = as_text(event.get("type"))
        index = as_count(event.get("contentBlockIndex")) or 0
        if kind == "contentBlockStart":
            starts[index] = as_object(event.get("start"))
        elif kind == "contentBlockDelta":
            for name, text in _delta(as_object(event.get("delta"))):
                pieces.setdefault((index, name), []).append(text)
        elif kind in ("messageStop", "metadata"):
            body.update(event)
        elif kind == "error":
            body["error"] = event.get("error")
    blocks = []
    for index in sorted(starts.keys() | {at for at, _ in pieces}):
        texts = {name: "".join(parts) for (at, name), parts in pieces.items() if at == index}
        blocks.append(_block(starts.get(index, {}), texts))
    body["output"] = {"message": {"role": "assistant", "content": blocks}}
    return read_answer(body)


def _delta(delta: Object) -> list[tuple[str, str]]:
    """Return what one delta adds, as member and text."""
    found = {
        "text": delta.get("text"),
        "input": as_object(delta.get("toolUse")).get("input"),
        "reasoning": as_object(delta.get("reasoningContent")).get("text"),
    }
    return [(name, text) for name, text in found.items() if isinstance(text, str)]


def _block(start: Object, texts: dict[str, str]) -> Object:
    """Return a content block as a whole answer would hold it."""
    block: dict[str, object] = {}
    if "text" in texts:
        block["text"] = texts["text"]
    if "reasoning" in texts:
        block["reasoningContent"] = {"reasoningText": {"text": texts["reasoning"]}}
    if "toolUse" in start or "input" in texts:
        block["toolUse"] = {**as_object(start.get("toolUse")), "input": texts.get("input", "")}
    return block


def _message(message: Object) -> Message:
    draft = Draft(as_text(message.get("role")))
    for block in as_objects(message.get("content")):
        _add_block(draft, block)
    return draft.message()


def _add_block(draft: Draft, block: Object) -> None:
    """Add a content block: an object whose one member says what it is."""
    draft.texts.append(as_text(block.get("text")))
    reasoning = as_object(block.get("reasoningContent"))
    draft.reasonings.append(as_text(as_object(reasoning.get("reasoningText")).get("text")))
    call = as_object(block.get("toolUse"))
    if call:
        draft.call(call.get("toolUseId"), call.get("name"), call.get("input"))
    result = as_object(block.get("toolResult"))
    if result:
        texts = []
        for part in as_objects(result.get("content")):
            texts.append(as_text(part.get("text")) or as_json_text(part.get("json")))
            _add_media(draft, part)
        failed = result.get("status") == "error"
        draft.result(result.get("toolUseId"), "", "\n".join(filter(None, texts)), is_error=failed)
    _add_media(draft, block)


def _add_media(draft: Draft, block: Object) -> None:
    for kind in _MEDIA:
        media = as_object(block.get(kind))
        if media:
            source = as_object(media.get("source"))
            data = source.get("bytes")
            size = base64_size(data) if isinstance(data, str) else None
            name = as_text(media.get("name")) or as_text(as_object(source.get("s3Location")).get("uri"))
            form = as_text(media.get("format"))
            draft.attachments.append(Attachment(f"{kind}/{form}" if form else kind, size, name))
