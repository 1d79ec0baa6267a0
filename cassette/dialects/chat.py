"""OpenAI chat completions, and everybody who speaks them.

Azure, Groq, xAI, OpenRouter, Z.ai, the Hugging Face router, Vercel, Mistral, vLLM, ... They differ in where
the reasoning goes: `reasoning_content` (DeepSeek, xAI, Z.ai, vLLM), `reasoning` with `reasoning_details`
(OpenRouter, Groq, Vercel), `thinking` parts within the content (Mistral). The legacy text completions, which
share the envelope, are read here, too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from cassette.dialects.draft import Draft, tool_names
from cassette.dialects.fields import (
    Object,
    as_count,
    as_list,
    as_object,
    as_objects,
    as_text,
    base64_size,
    error_text,
    media,
    pick,
    usage_or_none,
)
from cassette.dialects.model import Answered, Asked, Attachment, Message, Usage


def read_request(body: Object) -> Asked:
    """Return what a request asks."""
    messages = [_message(message) for message in as_objects(body.get("messages"))]
    prompt = body.get("prompt")
    prompts = prompt if isinstance(prompt, list) else [prompt]
    messages += [Message("user", text) for text in prompts if isinstance(text, str)]
    tools = [as_object(pick(tool, "function", "custom")) or tool for tool in as_objects(body.get("tools"))]
    return Asked(
        model=as_text(body.get("model")),
        messages=tuple(messages),
        tools=tool_names(tools + as_objects(body.get("functions"))),
        wants_stream=body.get("stream") is True,
    )


def read_answer(body: Object) -> Answered:
    """Return what a whole answer says: a message per choice."""
    choices = as_objects(body.get("choices"))
    messages = []
    for choice in choices:
        message = as_object(choice.get("message"))
        draft = _draft({"role": "assistant", **message})
        draft.texts.append(as_text(choice.get("text")))
        messages.append(draft.message())
    reasons = dict.fromkeys(filter(None, (as_text(choice.get("finish_reason")) for choice in choices)))
    return Answered(
        model=as_text(body.get("model")),
        messages=tuple(message for message in messages if not message.is_empty),
        finish_reason=", ".join(reasons),
        usage=_usage(as_object(body.get("usage")) or as_object(as_object(body.get("x_groq")).get("usage"))),
        error=error_text(body),
    )


@dataclass(slots=True)
class _Choice:
    """A choice of a stream while its deltas come in."""

    pieces: dict[str, list[str]] = field(default_factory=dict)
    """Text of the delta's members, by name."""
    images: list[object] = field(default_factory=list)
    details: list[object] = field(default_factory=list)
    calls: list[dict[str, list[str]]] = field(default_factory=list)
    call_at: dict[int, int] = field(default_factory=dict)
    """A delta's `index` to the position in `calls`."""
    finish_reason: str = ""

    def add(self, choice: Object) -> None:
        """Take in one chunk's share of this choice."""
        delta = as_object(choice.get("delta"))
        self.finish_reason = as_text(choice.get("finish_reason")) or self.finish_reason
        for name, value in (*delta.items(), ("content", choice.get("text"))):
            if isinstance(value, str):
                self.pieces.setdefault(name, []).append(value)
        for part in as_objects(delta.get("content")):
            name = "reasoning" if part.get("type") == "thinking" else "content"
            self.pieces.setdefault(name, []).append(_part_text(part))
        self.images += as_list(delta.get("images"))
        self.details += as_list(delta.get("reasoning_details"))
        for call in as_objects(delta.get("tool_calls")):
            self._add_call(call)

    def _add_call(self, call: Object) -> None:
        function = as_object(call.get("function"))
        call_id, name = as_text(call.get("id")), as_text(function.get("name"))
        index = as_count(call.get("index"))
        position = self.call_at.get(index, -1) if index is not None else len(self.calls) - 1
        known = self.calls[position] if 0 <= position < len(self.calls) else None
        # Some routers number every call 0, or do not number them: a new id with a name starts a new call.
        if known is None or (call_id and name and known["id"] and known["id"][0] != call_id):
            known = {"id": [], "name": [], "arguments": []}
            if index is not None:
                self.call_at[index] = len(self.calls)
            self.calls.append(known)
        if call_id and not known["id"]:
            known["id"].append(call_id)
        if name and not known["name"]:
            known["name"].append(name)
        known["arguments"].append(as_text(function.get("arguments")))

    def whole(self) -> Object:
        """Return the choice as an answer in one piece would hold it."""
        message: dict[str, object] = {name: "".join(texts) for name, texts in self.pieces.items()}
        message["role"] = "assistant"  # Some repeat the role in every chunk.
        message["images"] = self.images
        message["reasoning_details"] = self.details
        message["tool_calls"] = [
            {
                "id": "".join(call["id"]),
                "function": {"name": "".join(call["name"]), "arguments": "".join(call["arguments"])},
            }
            for call in self.calls
        ]
        return {"message": message, "finish_reason": self.finish_reason}


def read_stream(events: Sequence[Object]) -> Answered:
    """Return what the chunks of a stream say together."""
    choices: dict[int, _Choice] = {}
    body: dict[str, object] = {}
    for event in events:
        for name in ("model", "usage", "x_groq", "error"):
            if event.get(name):
                body[name] = event[name]
        for choice in as_objects(event.get("choices")):
            choices.setdefault(as_count(choice.get("index")) or 0, _Choice()).add(choice)
    body["choices"] = [choices[index].whole() for index in sorted(choices)]
    return read_answer(body)


def _message(message: Object) -> Message:
    return _draft(message).message()


def _draft(message: Object) -> Draft:
    role = as_text(message.get("role"))
    draft = Draft(role)
    content = message.get("content")
    if isinstance(content, str):
        draft.texts.append(content)
    for part in (*as_list(content), *as_list(message.get("images"))):
        _add_part(draft, part)
    draft.texts.append(as_text(message.get("refusal")))
    draft.reasonings.append(_reasoning(message))
    for call in as_objects(message.get("tool_calls")):
        function = as_object(pick(call, "function", "custom"))
        draft.call(call.get("id"), function.get("name"), pick(function, "arguments", "input"))
    legacy = as_object(message.get("function_call"))
    if legacy:
        draft.call("", legacy.get("name"), legacy.get("arguments"))
    if role in ("tool", "function"):
        text = "\n\n".join(filter(None, draft.texts))
        draft.texts.clear()
        draft.result(message.get("tool_call_id"), message.get("name"), text)
    return draft


def _reasoning(message: Object) -> str:
    """Return the reasoning, which routers like to send twice: as text and as `reasoning_details`."""
    for name in ("reasoning", "reasoning_content"):
        text = as_text(message.get(name))
        if text:
            return text
    details = as_objects(message.get("reasoning_details"))
    return "".join(as_text(pick(detail, "text", "summary")) for detail in details)


def _part_text(part: Object) -> str:
    """Return the text of a content part; Mistral nests that of a `thinking` part once more."""
    inner = part.get("thinking")
    if isinstance(inner, list):
        return "".join(as_text(thought.get("text")) for thought in as_objects(inner))
    return as_text(pick(part, "text", "thinking", "refusal"))


def _add_part(draft: Draft, part: object) -> None:
    if isinstance(part, str):
        draft.texts.append(part)
        return
    fields = as_object(part)
    kind = as_text(fields.get("type"))
    if kind == "thinking":
        draft.reasonings.append(_part_text(fields))
    elif kind == "refusal" or isinstance(fields.get("text"), str):
        draft.texts.append(_part_text(fields))
    elif kind in ("image_url", "video_url", "audio_url"):
        value = fields.get(kind)
        draft.attachments.append(
            media(kind.removesuffix("_url"), as_text(as_object(value).get("url") or value))
        )
    elif kind == "input_audio":
        audio = as_object(fields.get("input_audio"))
        name = f"audio/{as_text(audio.get('format')) or 'unknown'}"
        draft.attachments.append(Attachment(name, base64_size(as_text(audio.get("data")))))
    elif kind == "file":
        draft.attachments.append(file_attachment(as_object(fields.get("file"))))
    elif kind:
        draft.attachments.append(Attachment(kind, None))


def file_attachment(file: Object) -> Attachment:
    """Return a file part (`file_data`, `file_id`, `filename`); the Responses API uses the same members."""
    name = as_text(pick(file, "filename", "file_id", "file_url"))
    data = as_text(file.get("file_data"))
    if not data:
        return Attachment("file", None, name)
    attached = media("file", data) if data.startswith("data:") else Attachment("file", base64_size(data))
    return Attachment(attached.kind, attached.size, name)


def _usage(usage: Object) -> Usage | None:
    into = as_object(usage.get("prompt_tokens_details"))
    out = as_object(usage.get("completion_tokens_details"))
    return usage_or_none(
        Usage(
            input_tokens=as_count(usage.get("prompt_tokens")),
            output_tokens=as_count(usage.get("completion_tokens")),
            # DeepSeek counts its cache in a member of its own.
            cached=as_count(pick({**usage, **into}, "cached_tokens", "prompt_cache_hit_tokens")),
            reasoning=as_count(out.get("reasoning_tokens")),
            total=as_count(usage.get("total_tokens")),
        )
    )
