"""Decide whether an exchange is whole although its end was not seen.

A client may hang up as soon as it has what it wants: behind the last byte that Content-Length promised, or
behind the event that ends a stream. SDKs do the latter as a rule and leave the empty last chunk unread. Such
an exchange is recorded like a complete one; anything else that broke off is not.
"""

from __future__ import annotations

import json
import re

from cassette.encodings import UndecodableError, content_codings, decode_prefix
from cassette.exchange import Exchange, Outcome
from cassette.gohttp import group_headers, parse_content_length
from cassette.sse import ServerSentEvent, parse_events

LAST_EVENTS = frozenset(
    {
        "message_stop",  # Anthropic's Messages
        "response.completed",  # OpenAI's Responses
        "response.failed",
        "response.incomplete",
    }
)
"""Types of events behind which nothing follows. Chat completions end in `data: [DONE]` instead."""

_ENDS_IN_BLANK_LINE = re.compile(rb"(?:\r\n|\n|\r(?!\n))(?:\r\n|\n|\r)\Z")


def is_whole(exchange: Exchange, max_body: int) -> bool:
    """Tell whether the recording lacks nothing of the request and of the response.

    It is whole when it completed, when its body reached Content-Length or there could be none, and when the
    client left behind the end marker of an event stream. `max_body` bounds the memory for decoding one: a
    stream that is longer counts as cut.
    """
    if exchange.outcome is Outcome.COMPLETE:
        return True
    head = exchange.response
    if head is None or not exchange.request_ended:
        return False
    fields = group_headers(head.headers)
    if exchange.request.method == "HEAD" or head.code in {204, 304} or head.code // 100 == 1:
        return True
    if "Transfer-Encoding" not in fields:
        length = parse_content_length(fields.get("Content-Length", ()))
        if length is not None:
            return len(exchange.response_body) == length
    return exchange.outcome is Outcome.CLIENT_LEFT and _reached_last_event(exchange, fields, max_body)


def _reached_last_event(exchange: Exchange, fields: dict[str, list[str]], max_body: int) -> bool:
    media_type = fields.get("Content-Type", [""])[0].partition(";")[0].strip().lower()
    if media_type != "text/event-stream":
        return False
    try:
        text = decode_prefix(
            exchange.response_body, content_codings(fields.get("Content-Encoding", ())), max_body
        )
    except UndecodableError:
        return False
    event = _last_event(text)
    return event is not None and _ends_stream(event)


def _last_event(stream: bytes) -> ServerSentEvent | None:
    """Return the last event of a stream; None when the stream does not end in a blank line.

    Only the end is parsed: from the block of the last line that starts with `data`. Comments behind it, which
    keep the connection open, are no events.
    """
    if not _ENDS_IN_BLANK_LINE.search(stream[-4:]):
        return None
    data_at = max(stream.rfind(b"\ndata"), stream.rfind(b"\rdata"), 0)
    block_at = max(stream.rfind(blank, 0, data_at + 1) for blank in (b"\n\n", b"\n\r\n", b"\r\r"))
    events = parse_events(stream[max(block_at, 0) :])
    return events[-1] if events else None


def _ends_stream(event: ServerSentEvent) -> bool:
    """Tell whether an event ends its stream, by its name or, where it has none, by the `type` in its data."""
    if event.data.strip() == "[DONE]" or event.type in LAST_EVENTS:
        return True
    try:
        data = json.loads(event.data)
    except (ValueError, RecursionError):
        return False
    kind = data.get("type") if isinstance(data, dict) else None
    return isinstance(kind, str) and kind in LAST_EVENTS
