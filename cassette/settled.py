"""What of a journal is done with although no cassette shows it, so that a scribe that begins anew knows.

    ["w1", "exchange", 42]     was dropped or failed: what the journal still has of it is not to be written
    ["w1", "segment", 7]       is deleted, though older ones are still needed

One JSON line each, written before a segment is deleted that a reader would miss.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path

from cassette.files import as_store_error, write_all

_KINDS = ("exchange", "segment")


class Settled:
    """The list of one session; it lies beside the journal."""

    def __init__(self, path: Path) -> None:
        """Read what is there, if there is something; raises StoreError."""
        self.path = path
        self._handle = -1
        self._end = 0
        self._exchanges: set[tuple[str, int]] = set()
        self._segments: dict[str, set[int]] = {}
        with as_store_error("read what is done of the journal", path):
            if path.exists():
                self._read()

    def _read(self) -> None:
        data = self.path.read_bytes()
        self._end = data.rfind(b"\n") + 1  # a torn last line is cut off by the next one
        for line in data[: self._end].splitlines():
            try:
                writer, kind, number = json.loads(line)
            except (ValueError, TypeError):  # a power cut spoiled it
                continue
            if kind in _KINDS:
                self._take(writer, kind, number)

    def _take(self, writer: str, kind: str, number: int) -> None:
        if kind == "exchange":
            self._exchanges.add((writer, number))
        else:
            self.segments_of(writer).add(number)

    def has(self, writer: str, exchange: int) -> bool:
        """Tell whether an exchange is not to be written."""
        return (writer, exchange) in self._exchanges

    def segments_of(self, writer: str) -> set[int]:
        """Return the writer's segments that were deleted; the set grows as more are."""
        return self._segments.setdefault(writer, set())

    def add(self, writer: str, exchanges: Iterable[int], segment: int | None = None) -> None:
        """Note exchanges whose end is about to be deleted, and the segment if all of it is; raises StoreError.

        The list is then as it was, and the call can be made again.
        """
        entries = [(writer, "exchange", number) for number in exchanges]
        if segment is not None:
            entries.append((writer, "segment", segment))
        lines = b"".join(json.dumps(entry).encode() + b"\n" for entry in entries)
        with as_store_error("note what is done of the journal", self.path):
            if self._handle < 0:
                flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
                self._handle = os.open(self.path, flags, 0o600)
                os.ftruncate(self._handle, self._end)
            try:
                write_all(self._handle, [lines])
            except OSError:
                os.ftruncate(self._handle, self._end)
                raise
        self._end += len(lines)
        for entry in entries:
            self._take(*entry)

    def sync(self) -> None:
        """Make the list survive a power cut."""
        if self._handle >= 0:
            with as_store_error("sync what is done of the journal", self.path):
                os.fsync(self._handle)

    def close(self) -> None:
        """Close the file."""
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1
