"""The ledger of a cassette: which appends were about to happen, so that a crash leaves none in doubt.

    ["w1", 9000, [[42, 512, 2774128903], [43, 530, 91823]]]
        exchanges 42 and 43 of writer w1: 512 bytes at offset 9000 and 530 behind them, with their CRC-32

One JSON line for each append, written before the cassette grows; an append that did not happen is taken back before
the next one is announced, so that only the last line can be in doubt. It lies beside the journal, not the cassette.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from zlib import crc32

from cassette.files import as_store_error, write_all


@dataclass(frozen=True, slots=True)
class Part:
    """The text of one exchange within an append."""

    exchange: int
    size: int
    """Bytes."""
    crc: int
    """CRC-32."""


@dataclass(frozen=True, slots=True)
class Announcement:
    """One line of the ledger: an append that was about to happen."""

    writer: str
    offset: int
    """Where in the cassette the text was to begin."""
    parts: tuple[Part, ...]
    """One behind the other; at least one."""

    @property
    def size(self) -> int:
        """Of the whole text, in bytes."""
        return sum(part.size for part in self.parts)

    @property
    def keys(self) -> frozenset[tuple[str, int]]:
        """The exchanges that it is about."""
        return frozenset((self.writer, part.exchange) for part in self.parts)

    def found_in(self, data: bytes, at: int) -> int:
        """Return how many of the parts, from the first one on, stand whole at a place of a cassette."""
        for number, part in enumerate(self.parts):
            there = data[at : at + part.size] if at >= 0 else b""
            if len(there) != part.size or crc32(there) != part.crc:
                return number
            at += part.size
        return len(self.parts)


class Ledger:
    """The announcements of one cassette file."""

    def __init__(self, path: Path) -> None:
        """Open or make the ledger; a torn last line is cut off. Raises StoreError."""
        self.path = path
        self._last_at = 0
        """Where the last announcement stands, or would."""
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
            data = self.path.read_bytes()
        found = list(_parse(data[: self._end]))
        self._last_at = found[-1][0] if found else 0
        return [entry for _, entry in found]

    def announce(self, entry: Announcement) -> None:
        """Write one announcement down; raises StoreError, and the ledger is then as it was."""
        parts = [(part.exchange, part.size, part.crc) for part in entry.parts]
        line = json.dumps((entry.writer, entry.offset, parts)).encode() + b"\n"
        with as_store_error("write the ledger", self.path):
            try:
                write_all(self._handle, [line])
            except OSError:
                os.ftruncate(self._handle, self._end)
                raise
        self._last_at = self._end
        self._end += len(line)

    def retract(self) -> None:
        """Take the last announcement back, once, because it did not come true; raises StoreError."""
        with as_store_error("write the ledger", self.path):
            os.ftruncate(self._handle, self._last_at)
        self._end = self._last_at

    def sync(self) -> None:
        """Make the announcements survive a power cut."""
        with as_store_error("sync the ledger", self.path):
            os.fsync(self._handle)

    def close(self) -> None:
        """Close the file."""
        os.close(self._handle)


def _parse(data: bytes) -> Iterator[tuple[int, Announcement]]:
    """Yield where each line that makes sense begins, and what it says."""
    at = 0
    for line in data.splitlines(keepends=True):
        entry = _try_parse(line)
        if entry is not None:
            yield at, entry
        at += len(line)


def _try_parse(line: bytes) -> Announcement | None:
    try:
        writer, offset, parts = json.loads(line)
        found = tuple(Part(*part) for part in parts)
    except (ValueError, TypeError):
        return None
    numbers = [offset, *(number for part in found for number in (part.exchange, part.size, part.crc))]
    if not found or type(writer) is not str or any(type(number) is not int for number in numbers):
        return None
    return Announcement(writer, offset, found)
