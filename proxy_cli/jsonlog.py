"""Log lines as JSON objects, one a line, for what collects logs.

    session.opened session=chat port=8899          {"time": ..., "level": "info", "process": "daemon",
                                                    "event": "session.opened",
                                                    "fields": {"session": "chat", "port": 8899}}

A line that is not made of an event and its fields comes as `message`.
"""

from __future__ import annotations

import json
import logging
import re
from datetime import UTC, datetime
from typing import Any

_LINE = re.compile(
    r"(?:(?P<process>worker|scribe): )?(?P<event>[a-z_]+(?:\.[a-z_]+)+)(?P<fields>(?: \w+=.*)?)", re.S
)
_NEXT_FIELD = re.compile(r" (?=[a-z_]+=)")


class JsonLines(logging.Formatter):
    """Formats a record as one line of JSON."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, without its end."""
        text = record.getMessage()
        entry: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "process": "daemon",
        }
        parts = _LINE.fullmatch(text)
        if parts is None:
            process, colon, rest = text.partition(": ")
            if colon and process in ("worker", "scribe"):
                entry["process"], text = process, rest
            entry["message"] = text
        else:
            entry["process"] = parts["process"] or "daemon"
            entry["event"] = parts["event"]
            entry["fields"] = dict(map(_field, _NEXT_FIELD.split(parts["fields"])[1:]))
        if record.exc_info:
            entry["traceback"] = self.formatException(record.exc_info)
        return json.dumps(entry, ensure_ascii=False)


def _field(text: str) -> tuple[str, str | int]:
    name, _, value = text.partition("=")
    return name, int(value) if re.fullmatch(r"-?[0-9]{1,18}", value) else value
