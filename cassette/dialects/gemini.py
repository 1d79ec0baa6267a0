"""Google's Gemini API, on AI Studio and on Vertex: `generateContent` and `streamGenerateContent`.

Protocol buffers' JSON takes member names in camel case and with underscores alike; so does this.
"""

from __future__ import annotations

from collections.abc import Sequence

from cassette.dialects.draft import Draft
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
    """Return what a request asks; the model and the wish for a stream are in the URL."""
    system = _message(as_object(pick(body, "systemInstruction", "system_instruction")), "system")
    contents = body.get("contents")
    messages = [_message(content, "user") for content in as_objects(contents) or [as_object(contents)]]
    given = (message for message in (system, *messages) if not message.is_empty)
    return Asked(model=as_text(body.get("model")), messages=tuple(given), tools=_tools(body))


def read_answer(body: Object) -> Answered:
    """Return what a whole answer says: a message per candidate. A blocked prompt's reason ends it, too."""
    candidates = as_objects(body.get("candidates"))
    messages = (_message(as_object(candidate.get("content")), "model") for candidate in candidates)
    blocked = as_object(pick(body, "promptFeedback", "prompt_feedback"))
    reasons = [as_text(pick(candidate, "finishReason", "finish_reason")) for candidate in candidates]
    reasons.append(as_text(pick(blocked, "blockReason", "block_reason")))
    usage = as_object(pick(body, "usageMetadata", "usage_metadata"))
    return Answered(
        model=as_text(pick(body, "modelVersion", "model_version")),
        messages=tuple(message for message in messages if not message.is_empty),
        finish_reason=", ".join(dict.fromkeys(filter(None, reasons))),
        usage=usage_or_none(
            Usage(
                # A countTokens answer has its only count at the top.
                input_tokens=as_count(pick({**body, **usage}, "promptTokenCount", "totalTokens")),
                output_tokens=as_count(usage.get("candidatesTokenCount")),
                cached=as_count(usage.get("cachedContentTokenCount")),
                reasoning=as_count(usage.get("thoughtsTokenCount")),
                total=as_count(usage.get("totalTokenCount")),
            )
        ),
        error=error_text(body),
    )


def read_stream(events: Sequence[Object]) -> Answered:
    """Return what the chunks of a stream say together; each is shaped like a whole answer."""
    body: dict[str, object] = {}
    usage: dict[str, object] = {}
    parts: dict[int, list[object]] = {}
    reasons: dict[int, str] = {}
    for event in events:
        body.update({name: value for name, value in event.items() if value})
        usage.update(as_object(pick(event, "usageMetadata", "usage_metadata")))
        for candidate in as_objects(event.get("candidates")):
            index = as_count(candidate.get("index")) or 0
            parts.setdefault(index, []).extend(as_list(as_object(candidate.get("content")).get("parts")))
            reason = as_text(pick(candidate, "finishReason", "finish_reason"))
            reasons[index] = reason or reasons.get(index, "")
    body["usageMetadata"] = usage
    body["candidates"] = [
        {"content": {"role": "model", "parts": _joined(parts[index])}, "finishReason": reasons[index]}
        for index in sorted(parts)
    ]
    return read_answer(body)


def _joined(parts: list[object]) -> list[object]:
    """Join the thoughts that follow each other: a stream splits them anywhere."""
    joined: list[object] = []
    thoughts: list[str] = []
    for part in map(as_object, parts):
        if part.get("thought") is True:
            thoughts.append(as_text(part.get("text")))
            continue
        if thoughts:
            joined.append({"thought": True, "text": "".join(thoughts)})
            thoughts = []
        joined.append(part)
    if thoughts:
        joined.append({"thought": True, "text": "".join(thoughts)})
    return joined


def _tools(body: Object) -> tuple[str, ...]:
    names: list[str] = []
    for tool in as_objects(body.get("tools")):
        for name, value in tool.items():
            declared = as_objects(value) if name in ("functionDeclarations", "function_declarations") else []
            names += [as_text(function.get("name")) for function in declared] or [name]
    return tuple(names)


def _message(content: Object, default_role: str) -> Message:
    role = as_text(content.get("role")) or default_role
    if default_role == "system":
        role = "system"  # SDKs send a system instruction with the role `user`.
    draft = Draft("assistant" if role == "model" else role)
    parts = content.get("parts")
    for part in as_objects(parts) or [as_object(parts)]:
        _add_part(draft, part)
    return draft.message()


def _add_part(draft: Draft, part: Object) -> None:
    text = as_text(part.get("text"))
    if text:
        (draft.reasonings if part.get("thought") is True else draft.texts).append(text)
    call = as_object(pick(part, "functionCall", "function_call"))
    if call:
        draft.call(call.get("id"), call.get("name"), call.get("args", {}))
    response = as_object(pick(part, "functionResponse", "function_response"))
    if response:
        draft.result(response.get("id"), response.get("name"), _result_text(response.get("response")))
    code = as_object(pick(part, "executableCode", "executable_code"))
    if code:
        draft.call(code.get("id"), "executableCode", code.get("code"))
    outcome = as_object(pick(part, "codeExecutionResult", "code_execution_result"))
    if outcome:
        failed = as_text(outcome.get("outcome")) not in ("", "OUTCOME_OK")
        draft.result(outcome.get("id"), "executableCode", as_text(outcome.get("output")), is_error=failed)
    blob = as_object(pick(part, "inlineData", "inline_data"))
    if blob:
        kind = as_text(pick(blob, "mimeType", "mime_type")) or "data"
        draft.attachments.append(Attachment(kind, base64_size(as_text(blob.get("data")))))
    file = as_object(pick(part, "fileData", "file_data"))
    if file:
        kind = as_text(pick(file, "mimeType", "mime_type")) or "file"
        draft.attachments.append(Attachment(kind, None, as_text(pick(file, "fileUri", "file_uri"))))


def _result_text(response: object) -> str:
    """Return a function's result; SDKs wrap a text as `{"result": text}`."""
    members = as_object(response)
    only = next(iter(members.values())) if len(members) == 1 else None
    return only if isinstance(only, str) else as_json_text(response)
