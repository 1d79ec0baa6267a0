"""The journal's files: memory-mapped segments that a proxy worker fills and the scribe reads behind it.

Storing a record is a memory copy. It survives the death of the process, not of the machine, and it does not wait
for the disk: the next segment is made ready by a thread of its own. A segment is written full of zeros before it
is mapped, because a full disk under a sparse map kills the process with SIGBUS, and because the first touch of a
page that the file system has yet to allocate cost up to 19 ms (measured).

    SESSION_DIR/<writer>-00000001.seg, -00000002.seg, ...     one writer, many segments, deleted by the reader
"""

from __future__ import annotations

import errno
import mmap
import os
import threading
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from cassette import journal
from cassette.errors import StoreError
from cassette.files import as_store_error
from cassette.journal import Kind, Record, Torn

SEGMENT_BYTES = 4 << 20
"""Small enough that two of them per session and writer cost nothing, four times the longest record."""
OVERFLOW_BYTES = 64 << 20
"""How much may wait in memory while the disk stalls; chosen, not measured."""
_SPARES = 2
_BLOCK_BYTES = 64 << 10
_MAGIC = b"wiretape journal\x01\0\0\0"
_ZEROS = bytes(1 << 20)
_OPEN_NEW = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def segment_path(directory: Path, writer: str, number: int) -> Path:
    """Return where a writer's segment lies."""
    return directory / f"{writer}-{number:08d}.seg"


def writers_in(directory: Path) -> dict[str, list[int]]:
    """Return the writers that have segments here, each with its segment numbers in order."""
    found: dict[str, list[int]] = {}
    for path in sorted(directory.glob("*.seg")):
        writer, dash, number = path.stem.rpartition("-")
        if dash and number.isdigit():
            found.setdefault(writer, []).append(int(number))
    return found


class SegmentWriter:
    """One writer's end of the journal: appends records, rolls to the next segment when one is full.

    While the disk refuses or is slow, records wait in memory, `overflow_bytes` of them at most, and follow as soon
    as a segment can be had; past that `append` raises StoreError and the caller goes on without recording.
    """

    def __init__(
        self,
        directory: Path,
        writer: str,
        *,
        segment_bytes: int = SEGMENT_BYTES,
        overflow_bytes: int = OVERFLOW_BYTES,
    ) -> None:
        """Make the first segment at once, the next ones in the background; raises StoreError."""
        self.directory = directory
        self.writer = writer
        self.error: StoreError | None = None
        """Why no segment can be had at present; None when all is well."""
        self._bytes = segment_bytes
        self._overflow_limit = overflow_bytes
        self._overflow: deque[tuple[int, int, int, bytes]] = deque()
        self._overflow_bytes = 0
        self._made = 1
        self._number = 1
        self._map = _make_segment(segment_path(directory, writer, 1), segment_bytes)
        self._at = len(_MAGIC)
        self._spares: deque[mmap.mmap] = deque()
        self._lock = threading.Lock()
        self._wanted = threading.Event()
        self._wanted.set()
        self._closed = False
        self._thread = threading.Thread(target=self._prepare, name=f"journal {writer}", daemon=True)
        self._thread.start()

    def append(self, kind: Kind, exchange: int, at_ns: int, payload: bytes = b"") -> None:
        """Store one event. When it returns, the event outlives this process, unless it had to wait in memory."""
        with self._lock:
            if len(payload) <= journal.MAX_PAYLOAD:
                self._put(kind, exchange, at_ns, payload)
                return
            last = (len(payload) - 1) // journal.MAX_PAYLOAD * journal.MAX_PAYLOAD
            for at in range(0, last, journal.MAX_PAYLOAD):
                piece = payload[at : at + journal.MAX_PAYLOAD]
                self._put(kind | journal.MORE, exchange, at_ns, piece)
            self._put(kind, exchange, at_ns, payload[last:])

    @property
    def position(self) -> int:
        """How far the writing is, in bytes of the whole journal."""
        return self._number * SEGMENT_BYTES + self._at

    @property
    def waiting_bytes(self) -> int:
        """How much waits in memory for the disk."""
        return self._overflow_bytes

    def _put(self, kind: int, exchange: int, at_ns: int, payload: bytes) -> None:
        if not self._overflow and self._store(kind, exchange, at_ns, payload):
            return
        size = journal.record_bytes(len(payload))
        if self._overflow_bytes + size > self._overflow_limit:
            raise self.error or StoreError(
                "the disk is too slow for the journal: records are lost", path=self.directory
            )
        self._overflow.append((kind, exchange, at_ns, payload))
        self._overflow_bytes += size

    def _store(self, kind: int, exchange: int, at_ns: int, payload: bytes) -> bool:
        # Room for a ROLLED record is always left, so that a reader need not guess where a segment ends.
        if self._at + journal.record_bytes(len(payload)) > self._bytes - journal.HEADER_BYTES:
            if not self._spares:
                return False
            journal.write_record(self._map, self._at, Kind.ROLLED, 0, at_ns, b"")
            self._map.close()
            self._map, self._at = self._spares.popleft(), len(_MAGIC)
            self._number += 1
            self._wanted.set()
        self._at = journal.write_record(self._map, self._at, kind, exchange, at_ns, payload)
        return True

    def _prepare(self) -> None:
        while True:
            # An error is tried again every second: when the disk is back, so is recording.
            self._wanted.wait(1 if self.error else None)
            self._wanted.clear()
            while len(self._spares) < _SPARES and not self._closed:
                try:
                    made = _make_segment(
                        segment_path(self.directory, self.writer, self._made + 1), self._bytes
                    )
                except StoreError as exc:
                    self.error = exc
                    break
                with self._lock:
                    self.error = None
                    self._made += 1
                    self._spares.append(made)
                    while self._overflow and self._store(*self._overflow[0]):
                        self._overflow_bytes -= journal.record_bytes(len(self._overflow.popleft()[3]))
            if self._closed:
                return

    def close(self) -> None:
        """Unmap; what was appended stays on disk for the reader."""
        self._closed = True
        self._wanted.set()
        self._thread.join()
        with self._lock:
            self._map.close()
            for spare in self._spares:
                spare.close()


class SegmentReader:
    """The other end: yields one writer's records in order, behind a writer that may be alive.

    `records()` returns when nothing more is there yet; call it again later. A record that is torn ends the journal
    of a dead writer: nothing behind it can be trusted.
    """

    def __init__(self, directory: Path, writer: str) -> None:
        """Start at the writer's oldest segment that is left."""
        numbers = writers_in(directory).get(writer)
        self.directory = directory
        self.writer = writer
        self.number = numbers[0] if numbers else 1
        self._file: BinaryIO | None = None
        self._at = len(_MAGIC)
        self._data = b""
        self._data_at = 0

    def records(self) -> Iterator[tuple[Record, int, int]]:
        """Yield (record, segment number, offset of the payload in that segment)."""
        while True:
            if self._file is None:
                try:
                    self._file = segment_path(self.directory, self.writer, self.number).open(
                        "rb", buffering=0
                    )
                except FileNotFoundError:
                    return
            found = self._read()
            if found is None:
                return
            if found.kind == Kind.ROLLED:
                self._file.close()
                self._file = None
                self.number += 1
                self._at, self._data, self._data_at = len(_MAGIC), b"", 0
                continue
            payload_at = self._at + journal.HEADER_BYTES
            number = self.number
            self._at = self._data_at + found.next_at
            yield found, number, payload_at

    def _read(self) -> Record | None:
        """Read the record at the position, from the block at hand if it is whole there."""
        found = journal.read_record(memoryview(self._data), self._at - self._data_at)
        if isinstance(found, Record):
            return found
        assert self._file is not None
        for size in (_BLOCK_BYTES, journal.MAX_PAYLOAD + journal.HEADER_BYTES):
            self._data = os.pread(self._file.fileno(), size, self._at)
            self._data_at = self._at
            found = journal.read_record(memoryview(self._data), 0)
            if found is not Torn.BROKEN:
                break
        return found if isinstance(found, Record) else None

    @property
    def position(self) -> int:
        """How far the reading is, in bytes of the whole journal; comparable with the writer's `position`."""
        return self.number * SEGMENT_BYTES + self._at

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
        """Return a payload; raises StoreError when it is not there any more."""
        path = segment_path(self._directory, self._writer, number)
        with as_store_error("read the journal", path):
            if self._file is None or self._number != number:
                self.close()
                self._file = path.open("rb", buffering=0)
                self._number = number
            data = os.pread(self._file.fileno(), size, at)
        if len(data) != size:
            raise StoreError("the journal is shorter than it was", path=path)
        return data

    def close(self) -> None:
        """Close the segment at hand."""
        if self._file is not None:
            self._file.close()
            self._file = None


def _make_segment(path: Path, size: int) -> mmap.mmap:
    try:
        handle = os.open(path, _OPEN_NEW, 0o600)
        try:
            # posix_fallocate would leave the blocks to be converted at first touch, and macOS has none.
            for at in range(0, size, len(_ZEROS)):
                zeros = _ZEROS[: size - at]
                if os.pwrite(handle, zeros, at) != len(zeros):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.pwrite(handle, _MAGIC, 0)
            return mmap.mmap(handle, size)
        except OSError:
            path.unlink(missing_ok=True)
            raise
        finally:
            os.close(handle)
    except OSError as exc:
        raise StoreError(f"cannot make a journal segment: {exc.strerror}", path=path) from exc
