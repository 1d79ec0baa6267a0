"""Anthropic Messages; also on Vertex (`rawPredict`) and Bedrock (`invoke`), with the model in the URL."""

from __future__ import annotations

from collections.abc import Sequence

from cassette.dialects.draft import Draft, tool_names
from cassette.dialects.fields import (
    Object,
    as_count,
    as_json_text,
    as_list,
    as_object,
    as_objects,
    as_text,
    base64_size,
    error_text,
    pick,
    usage_or_none,
)
from cassette.dialects.model import Answered, Asked, Attachment, Message, Usage


def read_request(body: Object) -> Asked:
    """Return what a request asks; `system` is its first message."""
    system = _message({"role": "system", "content": body.get("system")})
    messages = [_message(message) for message in as_objects(body.get("messages"))]
    return Asked(
        model=as_text(body.get("model")),
        messages=(*(() if system.is_empty else (system,)), *messages),
        tools=tool_names(as_objects(body.get("tools"))),
        wants_stream=body.get("stream") is True,
    )


def read_answer(body: Object) -> Answered:
    """Return what a whole answer says."""
    message = _message({"role": "assistant", "content": body.get("content")})
    usage = as_object(body.get("usage"))
    return Answered(
        model=as_text(body.get("model")),
        messages=() if message.is_empty else (message,),
        finish_reason=as_text(body.get("stop_reason")),
        usage=usage_or_none(
            Usage(
                # A count_tokens answer has its only count at the top.
                input_tokens=as_count(pick({**body, **usage}, "input_tokens")),
                output_tokens=as_count(usage.get("output_tokens")),
                cached=as_count(usage.get("cache_read_input_tokens")),
            )
        ),
        error=error_text(body),
    )


def read_stream(events: Sequence[Object]) -> Answered:
    """Return what a stream's events say together."""
    body: dict[str, object] = {}
    usage: dict[str, object] = {}
    blocks: dict[int, dict[str, object]] = {}
    pieces: dict[tuple[int, str], list[str]] = {}
    for event in events:
        kind = as_text(event.get("type"))
        index = as_count(event.get("index")) or 0
        delta = as_object(event.get("delta"))
        if kind == "message_start":
            body = dict(as_object(event.get("message")))
            usage.update(as_object(body.get("usage")))
        elif kind == "message_delta":
            body.update(delta)
            usage.update(as_object(event.get("usage")))
        elif kind == "error":
            body["error"] = event.get("error")
        elif kind == "content_block_start":
            blocks[index] = dict(as_object(event.get("content_block")))
        elif kind == "content_block_delta":
            for name in ("text", "thinking", "partial_json"):
                if isinstance(delta.get(name), str):
                    pieces.setdefault((index, name), []).append(as_text(delta[name]))
    for (index, name), texts in pieces.items():
        block = blocks.setdefault(index, {"type": name})
        text = "".join(texts)
        if name == "partial_json":
            block["input"] = text or block.get("input")
        else:
            block[name] = as_text(block.get(name)) + text
    body["content"] = [blocks[index] for index in sorted(blocks)]
    body["usage"] = usage
    return read_answer(body)


def _message(message: Object) -> Message:
    draft = Draft(as_text(message.get("role")))
    content = message.get("content")
    if isinstance(content, str):
        draft.texts.append(content)
    for block in as_objects(content):
        _add_block(draft, block)
    return draft.message()


def _add_block(draft: Draft, block: Object) -> None:
    """Add a content block; a tool that the provider runs (`server_tool_use`, MCP) is one like any other."""
    kind = as_text(block.get("type"))
    if kind == "text":
        draft.texts.append(as_text(block.get("text")))
    elif kind == "thinking":
        draft.reasonings.append(as_text(block.get("thinking")))
    elif kind == "redacted_thinking":
        draft.reasonings.append("(redacted by the provider)")
    elif kind.endswith("tool_use"):
        draft.call(block.get("id"), block.get("name"), block.get("input"))
    elif kind.endswith("tool_result"):
        _add_result(draft, block)
    elif kind in ("image", "document"):
        draft.attachments.append(_attachment(kind, block))
    elif kind:
        draft.attachments.append(Attachment(kind, None))


def _add_result(draft: Draft, block: Object) -> None:
    content = block.get("content")
    texts = [content] if isinstance(content, str) else []
    is_error = block.get("is_error") is True
    for part in as_objects(content):
        kind = as_text(part.get("type"))
        if isinstance(part.get("text"), str):
            texts.append(as_text(part["text"]))
        elif kind in ("image", "document"):
            draft.attachments.append(_attachment(kind, part))
        elif part.get("url"):  # One hit of a web search; its encrypted content says nothing.
            texts.append(" ".join(filter(None, (as_text(part.get("title")), as_text(part.get("url"))))))
    if isinstance(content, dict):
        is_error = is_error or as_text(content.get("type")).endswith("_error")
        texts.append(as_json_text(content))
    draft.result(block.get("tool_use_id"), "", "\n".join(texts), is_error=is_error)


def _attachment(kind: str, block: Object) -> Attachment:
    source = as_object(block.get("source"))
    name = as_text(pick(block, "title")) or as_text(pick(source, "url", "file_id"))
    data = source.get("data")
    if isinstance(data, str):
        size = len(data.encode("utf-8", "replace")) if source.get("type") == "text" else base64_size(data)
        return Attachment(as_text(source.get("media_type")) or kind, size, name)
    texts = [as_text(part.get("text")) for part in as_objects(source.get("content"))]
    size_of_text = sum(len(text.encode("utf-8", "replace")) for text in texts)
    return Attachment(kind, size_of_text if as_list(source.get("content")) else None, name)
