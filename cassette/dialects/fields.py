"""Reading JSON of which nothing is certain: every function takes any value and gives the wanted type back."""

from __future__ import annotations

import json
from collections.abc import Mapping

from cassette.dialects.model import Attachment, Usage

Object = Mapping[str, object]


def parse_json(text: str | bytes) -> object | None:
    """Return the value that `text` holds, None when it is not JSON (or is `null`); never raises."""
    try:
        value: object = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value


def parse_json_sequence(text: str) -> list[object]:
    """Return the elements of a JSON array that may be cut, or the values of JSON lines; never raises."""
    decoder = json.JSONDecoder()
    values: list[object] = []
    offset = 0
    while True:
        while offset < len(text) and text[offset] in "[,] \t\r\n":
            offset += 1
        try:
            value, offset = decoder.raw_decode(text, offset)
        except (ValueError, RecursionError):
            return values
        values.append(value)


def as_object(value: object) -> Object:
    """Return a JSON object, an empty one for anything else."""
    return value if isinstance(value, dict) else {}


def as_list(value: object) -> list[object]:
    """Return a JSON array, an empty one for anything else."""
    return value if isinstance(value, list) else []


def as_objects(value: object) -> list[Object]:
    """Return the objects of a JSON array."""
    return [item for item in as_list(value) if isinstance(item, dict)]


def as_text(value: object) -> str:
    """Return a string, the empty one for anything else."""
    return value if isinstance(value, str) else ""


def as_count(value: object) -> int | None:
    """Return an integer; None for anything else (a bool is not a count)."""
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def pick(value: Object, *names: str) -> object:
    """Return the first of the named members that is there and not null."""
    return next((value[name] for name in names if value.get(name) is not None), None)


def as_json_text(value: object) -> str:
    """Return a string as it is and anything else as JSON text; nothing for null."""
    if value is None or isinstance(value, str):
        return value or ""
    try:
        return json.dumps(value, ensure_ascii=False)
    except (ValueError, RecursionError):
        return ""


def error_text(value: object) -> str:
    """Return the error that an answer reports, in one line as `type: message`; empty when it reports none.

    Known shapes: `{"error": {"type"|"code"|"status", "message"}}` (OpenAI, Anthropic, Google),
    `{"error": "text"}`, and Google's array of one such object.
    """
    if isinstance(value, list):
        return next(filter(None, map(error_text, as_objects(value))), "")
    error = as_object(value).get("error")
    if not isinstance(error, dict):
        return as_text(error)
    kind = pick(error, "type", "status", "code")
    message = as_text(pick(error, "message", "msg", "detail"))
    label = str(kind) if isinstance(kind, (str, int)) else ""
    return ": ".join(filter(None, (label, message))) or as_json_text(error)


def base64_size(text: str) -> int:
    """Return how many bytes base64 text holds, without decoding it."""
    return len(text.rstrip("=")) * 3 // 4


def media(kind: str, url: str) -> Attachment:
    """Return the attachment that a URL stands for, a `data:` URL (RFC 2397) or any other."""
    if not url.startswith("data:"):
        return Attachment(kind, None, url)
    head, _, content = url[len("data:") :].partition(",")
    media_type, _, parameters = head.partition(";")
    size = base64_size(content) if "base64" in parameters else len(content)
    return Attachment(media_type or kind, size)


def usage_or_none(usage: Usage) -> Usage | None:
    """Return the usage, None when the provider sent no count at all."""
    return None if usage == Usage() else usage
