"""The scribe's end of the journal: records in order, behind a writer that may be alive, and payloads once more."""

from __future__ import annotations

import os
from collections.abc import Container, Iterator
from pathlib import Path
from typing import BinaryIO

from cassette import journal
from cassette.errors import JournalCorruptError
from cassette.files import as_store_error, read_at
from cassette.journal import Kind, Record, Torn
from cassette.segments import MAGIC, SEGMENT_BYTES, segment_path, writers_in

_BLOCK_BYTES = 64 << 10
_SIZE_BYTES = 4


class SegmentReader:
    """Yields one writer's records in order.

    `records()` returns when nothing more is there yet; call it again later. A record that is torn ends the journal
    of a dead writer: nothing behind it can be trusted. A segment that is missing ends it as well, unless it is one
    of those that are known to be deleted.
    """

    def __init__(self, directory: Path, writer: str, deleted: Container[int] = ()) -> None:
        """Start at the writer's oldest segment that is left."""
        numbers = writers_in(directory).get(writer)
        self.directory = directory
        self.writer = writer
        self.number = numbers[0] if numbers else 1
        self._deleted = deleted
        self.is_broken = False
        """Whether the last look ended at something that is no record: half-written, or torn by a crash."""
        self._file: BinaryIO | None = None
        self._path = directory
        self._at = len(MAGIC)
        self._data = b""
        self._data_at = 0

    def records(self) -> Iterator[tuple[Record, int, int]]:
        """Yield (record, segment number, offset of the payload in that segment).

        Raises StoreError when a segment cannot be read, JournalCorruptError when it is of another version.
        """
        while True:
            if self._file is None and not self._open():
                if self.number not in self._deleted:
                    return
                self.number += 1
                continue
            found = self._read()
            if found is None:
                return
            if found.kind == Kind.ROLLED:
                self.close()
                self.number += 1
                self._at, self._data, self._data_at = len(MAGIC), b"", 0
                continue
            payload_at = self._at + journal.HEADER_BYTES
            number = self.number
            self._at = self._data_at + found.next_at
            yield found, number, payload_at

    def _open(self) -> bool:
        path = segment_path(self.directory, self.writer, self.number)
        with as_store_error("read the journal", path):
            try:
                file = path.open("rb", buffering=0)
            except FileNotFoundError:
                return False
            begin = os.pread(file.fileno(), len(MAGIC), 0)
        if begin == MAGIC:
            self._file, self._path = file, path
            return True
        file.close()
        if begin.strip(b"\0"):
            raise JournalCorruptError(
                "is no journal segment that this version can read; finish it with the version that wrote it",
                path=path,
            )
        return False  # its writer is about to make it

    def _read(self) -> Record | None:
        """Read the record at the position, from the block at hand if it is whole there."""
        found = journal.read_record(memoryview(self._data), self._at - self._data_at)
        if isinstance(found, Record):
            return found
        assert self._file is not None
        handle = self._file.fileno()
        with as_store_error("read the journal", self._path):
            # Most looks at an idle journal find nothing: that costs one small read.
            at = self._at - self._data_at
            known = self._data[at : at + _SIZE_BYTES]
            if not known.strip(b"\0") and not os.pread(handle, _SIZE_BYTES, self._at).strip(b"\0"):
                self.is_broken = False
                return None
            for size in (_BLOCK_BYTES, journal.MAX_PAYLOAD + journal.HEADER_BYTES):
                self._data = read_at(handle, size, self._at)
                self._data_at = self._at
                found = journal.read_record(memoryview(self._data), 0)
                if found is not Torn.BROKEN:
                    break
        self.is_broken = found is Torn.BROKEN
        return found if isinstance(found, Record) else None

    @property
    def position(self) -> int:
        """How far the reading is, in bytes of the whole journal; comparable with the writer's `position`."""
        return (self.number - 1) * SEGMENT_BYTES + self._at

    def close(self) -> None:
        """Close the segment at hand."""
        if self._file is not None:
            self._file.close()
            self._file = None


class PayloadFile:
    """Reads payloads again that `records` named earlier; keeps the last segment open, since spans come in order."""

    def __init__(self, directory: Path, writer: str) -> None:
        self._directory = directory
        self._writer = writer
        self._number = 0
        self._file: BinaryIO | None = None

    def read(self, number: int, at: int, size: int) -> bytes:
        """Return a payload; raises JournalCorruptError when it is gone, StoreError when it cannot be read."""
        path = segment_path(self._directory, self._writer, number)
        with as_store_error("read the journal", path):
            try:
                if self._file is None or self._number != number:
                    self.close()
                    self._file = path.open("rb", buffering=0)
                    self._number = number
                data = read_at(self._file.fileno(), size, at)
            except FileNotFoundError as exc:
                raise JournalCorruptError("a part of the journal was deleted", path=path) from exc
        if len(data) != size:
            raise JournalCorruptError("the journal is shorter than it was", path=path)
        return data

    def close(self) -> None:
        """Close the segment at hand."""
        if self._file is not None:
            self._file.close()
            self._file = None
