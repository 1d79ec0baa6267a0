"""Embeddings, as OpenAI's API and Gemini's (`embedContent`) have them; the vectors are counted, not shown."""

from __future__ import annotations

from collections.abc import Sequence

from cassette.dialects.fields import (
    Object,
    as_count,
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

_FLOAT32 = 4
"""Bytes of a number in a vector that is sent as base64 (OpenAI's `encoding_format`)."""


def read_request(body: Object) -> Asked:
    """Return what is to be embedded, a user's message each; token arrays are attachments."""
    given = pick(body, "input", "inputs", "texts")
    items: list[object] = [given] if isinstance(given, str) else as_list(given)
    if items and all(isinstance(item, int) for item in items):
        items = [items]  # One text, as an array of tokens.
    messages = []
    for item in items:
        attached = () if isinstance(item, str) else (Attachment("tokens", None),)
        messages.append(Message("user", as_text(item), attachments=attached))
    for request in (body, *as_objects(body.get("requests"))):
        for part in as_objects(as_object(request.get("content")).get("parts")):
            messages.append(Message("user", as_text(part.get("text"))))  # noqa: PERF401 - two loops read better so
    return Asked(model=as_text(body.get("model")), messages=tuple(messages))


def read_answer(body: Object) -> Answered:
    """Return how many vectors came, of how many dimensions."""
    vectors = [item.get("embedding") for item in as_objects(body.get("data"))]
    vectors += [item.get("values") for item in as_objects(body.get("embeddings"))]
    if isinstance(body.get("embedding"), dict):
        vectors.append(as_object(body["embedding"]).get("values"))
    sizes = sorted({_dimensions(vector) for vector in vectors})
    usage = as_object(body.get("usage"))
    said = f"{len(vectors)} vector{'s'[: len(vectors) != 1]} of {', '.join(map(str, sizes))} dimensions"
    return Answered(
        model=as_text(body.get("model")),
        messages=(Message("assistant", said),) if vectors else (),
        usage=usage_or_none(
            Usage(
                input_tokens=as_count(usage.get("prompt_tokens")),
                total=as_count(usage.get("total_tokens")),
            )
        ),
        error=error_text(body),
    )


def read_stream(events: Sequence[Object]) -> Answered:
    """Return the last event's answer: no provider streams embeddings."""
    return read_answer(events[-1] if events else {})


def _dimensions(vector: object) -> int:
    return base64_size(vector) // _FLOAT32 if isinstance(vector, str) else len(as_list(vector))
