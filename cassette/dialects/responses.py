"""The OpenAI Responses API: a list of items in, a list of items out, and a stream of named events.

An item is a message, a reasoning, a tool call (`function_call`, `web_search_call`, ...) or a tool's output
(`function_call_output`, ...). What the model did between two turns of the others is shown as one message.
"""

from __future__ import annotations

from collections.abc import Sequence

from cassette.dialects.chat import file_attachment
from cassette.dialects.draft import Draft, tool_names
from cassette.dialects.fields import (
    Object,
    as_count,
    as_list,
    as_object,
    as_objects,
    as_text,
    error_text,
    media,
    pick,
    usage_or_none,
)
from cassette.dialects.model import Answered, Asked, Attachment, Message, Usage

_ENDS = ("response.completed", "response.incomplete", "response.failed")


def read_request(body: Object) -> Asked:
    """Return what a request asks; `instructions` are its system message."""
    messages = []
    if isinstance(body.get("instructions"), str):
        messages.append(Message("system", as_text(body["instructions"])))
    given = body.get("input")
    if isinstance(given, str):
        messages.append(Message("user", given))
    return Asked(
        model=as_text(body.get("model")),
        messages=(*messages, *_messages(as_objects(given))),
        tools=tool_names(as_objects(body.get("tools"))),
        wants_stream=body.get("stream") is True,
    )


def read_answer(body: Object) -> Answered:
    """Return what a whole response says. The finish reason is its status, and why where it is incomplete."""
    reason = as_text(as_object(body.get("incomplete_details")).get("reason"))
    status = as_text(body.get("status"))
    usage = as_object(body.get("usage"))
    return Answered(
        model=as_text(body.get("model")),
        messages=_messages(as_objects(body.get("output"))),
        finish_reason=f"{status}: {reason}" if reason else status,
        usage=usage_or_none(
            Usage(
                input_tokens=as_count(usage.get("input_tokens")),
                output_tokens=as_count(usage.get("output_tokens")),
                cached=as_count(as_object(usage.get("input_tokens_details")).get("cached_tokens")),
                reasoning=as_count(as_object(usage.get("output_tokens_details")).get("reasoning_tokens")),
                total=as_count(usage.get("total_tokens")),
            )
        ),
        error=error_text(body),
    )


def read_stream(events: Sequence[Object]) -> Answered:
    """Return what a stream's events say together.

    The last event holds the whole response. Where it is missing, or has no items (some servers leave them
    out), the items are put together from the events before it.
    """
    body: dict[str, object] = {}
    items: dict[int, dict[str, object]] = {}
    pieces: dict[tuple[int, str], list[str]] = {}
    for event in events:
        kind = as_text(event.get("type"))
        index = as_count(event.get("output_index")) or 0
        if isinstance(event.get("response"), dict):
            body.update(as_object(event["response"]))
            if kind in _ENDS and as_list(body.get("output")):
                return read_answer(body)
        elif kind == "error":
            body["error"] = event.get("error") or {"code": event.get("code"), "message": event.get("message")}
        elif kind in ("response.output_item.added", "response.output_item.done"):
            items[index] = dict(as_object(event.get("item")))
            if kind == "response.output_item.done":
                for key in [key for key in pieces if key[0] == index]:
                    del pieces[key]
        elif kind.endswith(".delta") and isinstance(event.get("delta"), str):
            pieces.setdefault((index, kind), []).append(as_text(event["delta"]))
    for (index, kind), texts in pieces.items():
        _fill(items.setdefault(index, {}), kind, "".join(texts))
    body["output"] = [items[index] for index in sorted(items)]
    return read_answer(body)


def _fill(item: dict[str, object], kind: str, text: str) -> None:
    """Put the text of deltas into an item that never came whole."""
    if kind.startswith("response.reasoning_summary"):
        item.update(type="reasoning", summary=[{"type": "summary_text", "text": text}])
    elif kind.startswith("response.reasoning"):
        item.update(type="reasoning", content=[{"type": "reasoning_text", "text": text}])
    elif kind in ("response.output_text.delta", "response.refusal.delta"):
        content = [*as_list(item.get("content")), {"type": "output_text", "text": text}]
        item.update(type="message", role="assistant", content=content)
    elif "call" in kind:
        item.setdefault("type", "function_call")
        item.update(arguments=text)


def _messages(items: Sequence[Object]) -> tuple[Message, ...]:
    """Return the messages that items make up: one per message item of others, one per run of the model's."""
    drafts: list[Draft] = []
    for item in items:
        kind = as_text(item.get("type")) or "message"
        if kind.endswith("_output"):
            role = "tool"
        elif kind == "message":
            role = as_text(item.get("role"))
        else:
            role = "assistant"
        goes_on = drafts and drafts[-1].role == role and role in ("assistant", "tool")
        draft = drafts[-1] if goes_on else Draft(role)
        if not goes_on:
            drafts.append(draft)
        _add_item(draft, kind, item)
    messages = (draft.message() for draft in drafts)
    return tuple(message for message in messages if not message.is_empty)


def _add_item(draft: Draft, kind: str, item: Object) -> None:
    content = item.get("content")
    if kind == "message":
        _add_content(draft, content)
    elif kind == "reasoning":
        draft.reasonings += [as_text(part.get("text")) for part in as_objects(item.get("summary"))]
        draft.reasonings += [as_text(part.get("text")) for part in as_objects(content)]
    elif kind.endswith("_output"):
        output = Draft("tool")
        _add_content(output, item.get("output"))
        draft.attachments += output.attachments
        failed = item.get("status") == "failed"
        draft.result(item.get("call_id"), item.get("name"), output.message().text, is_error=failed)
    elif kind.endswith("_call"):
        name = item.get("name") or kind
        arguments = pick(item, "arguments", "input", "action", "queries", "code")
        draft.call(pick(item, "call_id", "id"), name, arguments)
        # A call that ran at the provider (MCP, code interpreter, file search) carries its result with it.
        result = pick(item, "output", "results", "outputs")
        if isinstance(result, str) and result:
            draft.result(item.get("id"), name, result)
    elif kind != "item_reference":
        draft.attachments.append(Attachment(kind, None))


def _add_content(draft: Draft, content: object) -> None:
    if isinstance(content, str):
        draft.texts.append(content)
    for part in as_objects(content):
        kind = as_text(part.get("type"))
        if isinstance(pick(part, "text", "refusal"), str):
            draft.texts.append(as_text(pick(part, "text", "refusal")))
        elif kind in ("input_image", "computer_screenshot"):
            source = as_text(pick(part, "image_url", "file_id"))
            draft.attachments.append(media("image", source))
        elif kind == "input_file":
            draft.attachments.append(file_attachment(part))
        elif kind:
            draft.attachments.append(Attachment(kind, None))
