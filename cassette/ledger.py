"""The ledger of a cassette: which appends were about to happen, so that a crash leaves none in doubt.

    ["w1", 42, 9000, 512, 2774128903]     exchange 42 of writer w1: 512 bytes at offset 9000, their CRC-32

One JSON line for each append, written before the cassette grows. It lies beside the journal, not the cassette.
"""

from __future__ import annotations

import json
import os
from dataclasses import astuple, dataclass
from pathlib import Path

from cassette.files import as_store_error, write_all

_TYPES = [str, int, int, int, int]


@dataclass(frozen=True, slots=True)
class Announcement:
    """One line of the ledger: an append that was about to happen."""

    writer: str
    exchange: int
    offset: int
    """Where in the cassette the text was to begin."""
    size: int
    """Of the text, in bytes."""
    crc: int
    """Of the text, CRC-32."""

    @property
    def key(self) -> tuple[str, int]:
        """The exchange that it is about; it may have been announced more than once."""
        return self.writer, self.exchange


class Ledger:
    """The announcements of one cassette file."""

    def __init__(self, path: Path) -> None:
        """Open or make the ledger; a torn last line is cut off. Raises StoreError."""
        self.path = path
        with as_store_error("open the ledger", path):
            flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
            self._handle = os.open(path, flags, 0o600)
            try:
                data = path.read_bytes()
                self._end = data.rfind(b"\n") + 1
                os.ftruncate(self._handle, self._end)
            except OSError:
                os.close(self._handle)
                raise

    def entries(self) -> list[Announcement]:
        """Read what stands in the ledger, in order; lines that a power cut spoiled are left out."""
        with as_store_error("read the ledger", self.path):
            lines = self.path.read_bytes().splitlines()
        return [entry for line in lines if (entry := _try_parse(line)) is not None]

    def announce(self, entry: Announcement) -> None:
        """Write one announcement down; raises StoreError, and the ledger is then as it was."""
        line = json.dumps(astuple(entry)).encode() + b"\n"
        with as_store_error("write the ledger", self.path):
            try:
                write_all(self._handle, [line])
            except OSError:
                os.ftruncate(self._handle, self._end)
                raise
        self._end += len(line)

    def sync(self) -> None:
        """Make the announcements survive a power cut."""
        with as_store_error("sync the ledger", self.path):
            os.fsync(self._handle)

    def close(self) -> None:
        """Close the file."""
        os.close(self._handle)


def _try_parse(line: bytes) -> Announcement | None:
    try:
        values = json.loads(line)
    except ValueError:
        return None
    if not isinstance(values, list) or [type(value) for value in values] != _TYPES:
        return None
    return Announcement(*values)
