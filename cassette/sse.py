r"""Server-sent events: bytes in, events out, by the rules of the WHATWG HTML standard (section 9.2.6).

Bodies of streamed answers are read with this, for people and for checks; nothing is written back.

    b"event: ping\ndata: {}\n\n"  ->  ServerSentEvent(type="ping", data="{}", last_event_id="")
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_LINE_END = re.compile("\r\n|\n|\r")


@dataclass(frozen=True, slots=True)
class ServerSentEvent:
    """One dispatched event."""

    type: str
    """The `event` field; `message` where there is none."""
    data: str
    """The `data` lines, joined by line feeds."""
    last_event_id: str = ""
    """The `id` field of this event, or of the last one before it that had one."""


def parse_events(data: bytes, *, keep_unfinished: bool = False) -> tuple[ServerSentEvent, ...]:
    """Return the events of a stream's body; never raises.

    Line ends are CRLF, LF or CR; a leading byte order mark is dropped; bytes that are not UTF-8 become
    U+FFFD. An event without data is not dispatched. The standard also discards a last event that no
    blank line ends: `keep_unfinished` hands it out, for a body that was cut or lacks its last line.
    """
    pieces = _LINE_END.split(data.decode("utf-8", errors="replace").removeprefix("\ufeff"))
    if not pieces[-1]:
        pieces.pop()  # What follows the last line end is no line.
    events: list[ServerSentEvent] = []
    event_type, last_event_id = "", ""
    lines: list[str] = []

    def dispatch() -> None:
        if lines:
            events.append(ServerSentEvent(event_type or "message", "\n".join(lines), last_event_id))

    for line in pieces:
        if not line:
            dispatch()
            event_type, lines = "", []
            continue
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "data":
            lines.append(value)
        elif name == "event":
            event_type = value
        elif name == "id" and "\0" not in value:
            last_event_id = value
        # `retry`, comments (an empty name) and unknown fields tell a reader of the body nothing.
    if keep_unfinished:
        dispatch()
    return tuple(events)
