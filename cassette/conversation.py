"""An interaction as a conversation: which dialect of which model, who said what, what it cost.

For people and for checks; a cassette is never written from what is read here. Nothing raises: a body that is
broken or cut gives what is there, and `Conversation.problems` says what could not be read.

    interaction ─▶ dialect, by URL or shape ─▶ request JSON ─▶ Asked
                └▶ body: JSON, server-sent events, AWS event stream ─▶ JSON values ─▶ Answered
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from urllib.parse import SplitResult, unquote, urlsplit

from cassette.dialects import anthropic, bedrock, chat, embeddings, gemini, responses
from cassette.dialects.fields import (
    Object,
    as_object,
    as_text,
    error_text,
    parse_json,
    parse_json_sequence,
    pick,
)
from cassette.dialects.model import (
    Answered,
    Asked,
    Attachment,
    Conversation,
    Message,
    ToolCall,
    ToolResult,
    Usage,
)
from cassette.eventstream import EventMessage, decode_event_stream, looks_like_event_stream
from cassette.model import Interaction, Values
from cassette.sse import parse_events

__all__ = [
    "Attachment",
    "Conversation",
    "Headline",
    "Message",
    "ToolCall",
    "ToolResult",
    "Usage",
    "read_conversation",
    "read_headline",
]

UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Headline:
    """What can be said about an interaction without reading its answer."""

    dialect: str
    model: str
    """As asked for; empty when the request names none."""
    streamed: bool


@dataclass(frozen=True, slots=True)
class _Dialect:
    name: str
    read_request: Callable[[Object], Asked]
    read_answer: Callable[[Object], Answered]
    read_stream: Callable[[Sequence[Object]], Answered]


_CHAT = _Dialect("openai-chat", chat.read_request, chat.read_answer, chat.read_stream)
_RESPONSES = _Dialect(
    "openai-responses", responses.read_request, responses.read_answer, responses.read_stream
)
_ANTHROPIC = _Dialect(
    "anthropic-messages", anthropic.read_request, anthropic.read_answer, anthropic.read_stream
)
_GEMINI = _Dialect("gemini", gemini.read_request, gemini.read_answer, gemini.read_stream)
_CONVERSE = _Dialect("bedrock-converse", bedrock.read_request, bedrock.read_answer, bedrock.read_stream)
_EMBEDDINGS = _Dialect("embeddings", embeddings.read_request, embeddings.read_answer, embeddings.read_stream)
# What nobody knows is read as chat: most inventions keep `model` and `messages`.
_UNKNOWN = _Dialect(UNKNOWN, chat.read_request, chat.read_answer, chat.read_stream)

_BY_PATH = (
    (re.compile(r"/(chat/)?completions$"), _CHAT),
    (re.compile(r"/responses(/[^/]+)?$"), _RESPONSES),
    (
        re.compile(r"/messages(/count_tokens)?$|/anthropic/models/[^/]+:(streamRawPredict|rawPredict)$"),
        _ANTHROPIC,
    ),
    (re.compile(r":(stream)?[gG]enerateContent$|:countTokens$"), _GEMINI),
    (re.compile(r"/model/[^/]+/converse(-stream)?$"), _CONVERSE),
    (re.compile(r"/embeddings$|:(batchEmbedContents|embedContent)$"), _EMBEDDINGS),
)
_INVOKE = re.compile(r"/model/[^/]+/invoke(-with-response-stream)?$")
_MODEL_IN_PATH = re.compile(r"/(?:models?|deployments)/([^/]+?)(?::[A-Za-z]+)?(?:/|$)")
_STREAM_TYPES = ("text/event-stream", "application/vnd.amazon.eventstream")
_STREAM_PATH = re.compile(r":streamGenerateContent$")
_STREAM_START = re.compile(rb"(\xef\xbb\xbf)?(data|event|id|retry)?:")


def read_headline(interaction: Interaction) -> Headline:
    """Return dialect, model and streaming; costs one look at the request's JSON and none at the answer's."""
    url = _split(interaction.request.url)
    body = as_object(parse_json(interaction.request.body))
    dialect = _dialect_of(url, body)
    model = dialect.read_request({"model": body.get("model")}).model or _model_in(url)
    return Headline(dialect.name, model, _is_stream(interaction, url))


def read_conversation(interaction: Interaction) -> Conversation:
    """Return the conversation that an interaction holds, as far as it can be read; never raises."""
    request, response = interaction.request, interaction.response
    problems: list[str] = []
    url = _split(request.url)
    body = parse_json(request.body)
    if body is None and request.body:
        problems.append("the request's body is not JSON")
    dialect = _dialect_of(url, as_object(body))
    asked = dialect.read_request(as_object(body))
    streamed = _is_stream(interaction, url)
    if streamed and response.code < 400:
        answered = dialect.read_stream(_events(response.body, problems))
    else:
        value = parse_json(response.body)
        if value is None and response.body:
            problems.append("the response's body is not JSON")
        answered = dialect.read_answer(as_object(value))
        answered = _with_error(answered, value, response.code, response.body)
    model = asked.model or _model_in(url) or answered.model
    return Conversation(
        dialect=dialect.name,
        model=model,
        answering_model=answered.model,
        streamed=streamed,
        request=asked.messages,
        tools=asked.tools,
        answer=answered.messages,
        finish_reason=answered.finish_reason,
        usage=answered.usage,
        error=answered.error,
        problems=tuple(problems),
    )


def _split(url: str) -> SplitResult:
    try:
        return urlsplit(url)
    except ValueError:  # A bracket that is no IPv6 address, for one.
        return SplitResult("", "", url, "", "")


def _dialect_of(url: SplitResult, body: Object) -> _Dialect:
    path = url.path.rstrip("/")
    for pattern, dialect in _BY_PATH:
        if pattern.search(path):
            return dialect
    # Bedrock's invoke hands the body to the model as it is: Anthropic's dialect is told by its version.
    if "anthropic_version" in body or (_INVOKE.search(path) and "anthropic" in _model_in(url)):
        return _ANTHROPIC
    return _GEMINI if isinstance(body.get("contents"), list) else _UNKNOWN


def _model_in(url: SplitResult) -> str:
    """Return the model that the path names (Gemini, Vertex, Bedrock, Azure's deployments), else nothing."""
    match = _MODEL_IN_PATH.search(url.path)
    return unquote(match[1]) if match else ""


def _is_stream(interaction: Interaction, url: SplitResult) -> bool:
    """Say whether the answer is a stream. A filter may have dropped its type: then its first bytes tell."""
    media_type = _header(interaction.response.headers, "content-type").partition(";")[0].strip().lower()
    if media_type:
        return media_type in _STREAM_TYPES or (
            _STREAM_PATH.search(url.path) is not None and interaction.response.code < 400
        )
    body = interaction.response.body
    return _STREAM_START.match(body) is not None or looks_like_event_stream(body)


def _header(headers: Values, name: str) -> str:
    values = next((values for key, values in headers.items() if key.lower() == name), ())
    return values[0] if values else ""


def _events(body: bytes, problems: list[str]) -> list[Object]:
    """Return the JSON objects of a streamed body; one without a `type` gets its event's name as that."""
    if looks_like_event_stream(body):
        stream = decode_event_stream(body)
        if stream.problem:
            problems.append(f"the response's event stream is broken: {stream.problem}")
        return [_frame_event(message) for message in stream.messages]
    if body.lstrip()[:1] == b"[":  # Gemini without `alt=sse` streams one array.
        text = body.decode("utf-8", errors="replace")
        return [as_object(value) for value in parse_json_sequence(text)]
    events: list[Object] = []
    unreadable = 0
    for event in parse_events(body, keep_unfinished=True):
        value = parse_json(event.data)
        if isinstance(value, dict):
            events.append(value if event.type == "message" else {"type": event.type, **value})
        elif event.data.strip() != "[DONE]":
            unreadable += 1
    if unreadable:
        problems.append(f"{unreadable} of the response's events are not JSON objects")
    if body and not events:
        problems.append("the response's stream holds no event with JSON")
    return events


def _frame_event(message: EventMessage) -> Object:
    payload = as_object(parse_json(message.payload))
    if message.text_header(":message-type") in ("exception", "error"):
        kind = message.text_header(":exception-type") or message.text_header(":error-code")
        said = as_text(payload.get("message")) or message.text_header(":error-message")
        return {"type": "error", "error": {"type": kind, "message": said}}
    wrapped = payload.get("bytes")
    if isinstance(wrapped, str):  # Bedrock's invoke: the model's own event, as base64.
        try:
            return as_object(parse_json(base64.b64decode(wrapped)))
        except (ValueError, binascii.Error):
            return {}
    return {"type": message.text_header(":event-type"), **payload}


def _with_error(answered: Answered, value: object, code: int, body: bytes) -> Answered:
    """Add the error of an answer that failed, which not every server reports in its dialect's own shape."""
    error = answered.error or error_text(value)
    if not error and code >= 400:
        said = pick(as_object(value), "message", "Message", "detail")
        error = as_text(said) or body[:500].decode("utf-8", errors="replace").strip()
    if error == answered.error:
        return answered
    return Answered(answered.model, answered.messages, answered.finish_reason, answered.usage, error)
