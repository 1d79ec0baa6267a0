"""What the scribe has to know of a session; it lies beside the journal, so a crash leaves it behind too."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cassette.errors import StoreError
from cassette.files import as_store_error, write_private_file
from cassette.headerfilter import HeaderPolicy
from cassette.model import Layout
from cassette.wire import HostField, WireRules

_FILE = "session.json"


@dataclass(frozen=True, slots=True)
class Recording:
    """Where a session's exchanges go and how they are turned into interactions. It holds no secret."""

    name: str
    cassette: Path
    layout: Layout
    host_field: HostField
    headers: HeaderPolicy
    max_body: int
    """Bytes; a longer body is not recorded, a body that decodes to more is kept as it came."""
    keep_timing: bool = False
    """Whether the times of chunks are kept beside the cassette."""

    @property
    def rules(self) -> WireRules:
        """Return what `wire.to_interaction` needs."""
        return WireRules(self.host_field, self.headers, self.max_body)

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return {
            "name": self.name,
            "cassette": str(self.cassette),
            "layout": self.layout.value,
            "host_field": self.host_field.value,
            "headers": self.headers.to_json(),
            "max_body": self.max_body,
            "keep_timing": self.keep_timing,
        }

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Recording:
        """Undo `to_json`."""
        return cls(
            values["name"],
            Path(values["cassette"]),
            Layout(values["layout"]),
            HostField(values["host_field"]),
            HeaderPolicy.from_json(values["headers"]),
            values["max_body"],
            values.get("keep_timing", False),  # of a session that an older version opened
        )

    def save(self, directory: Path) -> None:
        """Write it into a session's journal folder."""
        write_private_file(directory / _FILE, json.dumps(self.to_json()).encode())

    @classmethod
    def read(cls, directory: Path) -> Recording:
        """Read it from a session's journal folder; raises StoreError when it is not there or broken."""
        path = directory / _FILE
        with as_store_error("read", path):
            data = path.read_bytes()
        try:
            return cls.from_json(json.loads(data))
        except (ValueError, KeyError, TypeError, AttributeError) as exc:
            raise StoreError(
                f"is not a session's description, {exc!r}; remove its folder to give the recording up",
                path=path,
            ) from exc
