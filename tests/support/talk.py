"""Interactions to read conversations from."""

from __future__ import annotations

import json

from cassette.model import Interaction, Request, Response

SSE = "text/event-stream; charset=utf-8"
_STATUS = {200: "200 OK", 400: "400 Bad Request", 401: "401 Unauthorized", 502: "502 Bad Gateway"}


def interaction(
    url: str, request: object, response: object = b"", *, code: int = 200, content_type: str = ""
) -> Interaction:
    """Return an interaction; bodies are bytes, or anything else to be written as JSON."""
    headers = {"Content-Type": (content_type,)} if content_type else {}
    return Interaction(
        0,
        Request("POST", url, _body(request)),
        Response(_STATUS[code], code, _body(response), headers),
    )


def sse(*values: object, done: bool = False) -> bytes:
    """Return a streamed body: an event per value, then `[DONE]` where it is the dialect's habit."""
    lines = [f"data: {json.dumps(value)}\n\n" for value in values]
    return "".join([*lines, "data: [DONE]\n\n"] if done else lines).encode()


def named_sse(*values: dict[str, object]) -> bytes:
    """Return a streamed body whose events carry their `type` as a name, too."""
    return "".join(f"event: {value['type']}\ndata: {json.dumps(value)}\n\n" for value in values).encode()


def _body(value: object) -> bytes:
    return value if isinstance(value, bytes) else json.dumps(value).encode()
