"""Which segments of a writer's journal are still needed, and how little of them: the rest of the disk is given back.

    needed by nothing under way            deleted
    needed for a few of its records only   written anew with those, in its place

So an exchange that stays open for hours keeps its own records and not what others have said meanwhile. A reader
that begins anew finds a shorter journal: what it misses is written (the ledgers know) or on the list `Settled`.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from cassette import journal
from cassette.errors import StoreError
from cassette.files import as_store_error, read_at, write_private_file
from cassette.journal import Kind
from cassette.lifecycle import Assembler
from cassette.segments import MAGIC, segment_path
from cassette.settled import Settled

_BEHIND = 4
"""So many segments behind the reading one is written anew: most are free by then. Chosen, not measured."""
_LITTLE = 4
"""It is when less than one part in so many of it is needed, so each byte is copied a few times at most."""
_RETRY_SECONDS = 1.0


class Retention:
    """The segments of one writer that were read and still exist."""

    def __init__(self, directory: Path, writer: str, settled: Settled) -> None:
        self._directory = directory
        self._writer = writer
        self._settled = settled
        self._kept: list[int] = []
        self._sizes: dict[int, int] = {}
        self._ended: dict[int, int] = {}
        """Exchanges that ended unwritten in another segment than they began in: number to the segment of the end."""
        self._looked: tuple[int, int] = (0, 0)
        self._retry_at = 0.0

    def reads(self, segment: int) -> None:
        """Note that a record of this segment was read."""
        if not self._kept or self._kept[-1] != segment:
            self._kept.append(segment)

    def ended_unwritten(self, number: int, segments: Sequence[int]) -> None:
        """Keep in mind what a scribe that begins anew could take for cut off, were only its end deleted."""
        if segments and segments[0] != segments[-1]:
            self._ended[number] = segments[-1]

    def clean(self, assembler: Assembler, reading: int, sync: Callable[[], None]) -> bool:
        """Delete and shorten what can be of the segments before the one that is read.

        Nothing may wait to be written. `sync` is called before anything is deleted. Returns whether payloads have
        moved: a file of them that is open is another one now. Raises StoreError, and can be called again.
        """
        seen = (reading, assembler.released)
        if seen == self._looked or not self._kept or self._kept[0] == reading:
            return False
        free = [number for number in self._kept if number < reading and not assembler.needs(number)]
        scattered = [
            number
            for number in self._kept
            if number <= reading - _BEHIND
            and 0 < assembler.needs(number) * _LITTLE < self._size(number)
            and time.monotonic() > self._retry_at
        ]
        if free or scattered:
            sync()
        for number in free:
            self._delete(number)
        moved = [self._shorten(number, assembler) for number in scattered]
        if all(moved):
            self._looked = seen
        return any(moved)

    def _delete(self, number: int) -> None:
        ended = self._ended_in(number)
        if self._kept[0] != number:
            self._settled.add(self._writer, ended, number)
        path = segment_path(self._directory, self._writer, number)
        with as_store_error("delete what is done of the journal", path):
            path.unlink(missing_ok=True)
        self._kept.remove(number)
        self._sizes.pop(number, None)
        self._forget(ended)

    def _shorten(self, number: int, assembler: Assembler) -> bool:
        path = segment_path(self._directory, self._writer, number)
        with as_store_error("read the journal", path), path.open("rb", buffering=0) as file:
            data = read_at(file.fileno(), os.fstat(file.fileno()).st_size, 0)
        ended = self._ended_in(number)
        pieces, moved = shortened(data, assembler.is_under_way)
        try:
            if ended:
                self._settled.add(self._writer, ended)
            write_private_file(path, *pieces)
        except StoreError:  # a full disk has no room for it at present; nothing else depends on it
            self._retry_at = time.monotonic() + _RETRY_SECONDS
            return False
        assembler.move(number, moved)
        self._sizes[number] = sum(map(len, pieces))
        self._forget(ended)
        return True

    def _size(self, number: int) -> int:
        if number not in self._sizes:
            path = segment_path(self._directory, self._writer, number)
            with as_store_error("look at the journal", path):
                self._sizes[number] = path.stat().st_size
        return self._sizes[number]

    def _ended_in(self, segment: int) -> list[int]:
        return [exchange for exchange, last in self._ended.items() if last == segment]

    def _forget(self, exchanges: Sequence[int]) -> None:
        for exchange in exchanges:
            del self._ended[exchange]


def shortened(data: bytes, keep: Callable[[int], bool]) -> tuple[list[bytes], dict[int, int]]:
    """Return a segment as pieces, with the records of some exchanges only, and where their payloads went.

    The segment must be one that the journal has rolled over from, and that was read to its end.
    """
    pieces, moved = [MAGIC], {}
    at, new_at = len(MAGIC), len(MAGIC)
    while (found := journal.glance(data, at)) is not None:
        kind, exchange, next_at = found
        if kind == Kind.ROLLED or keep(exchange):
            moved[at + journal.HEADER_BYTES] = new_at + journal.HEADER_BYTES
            pieces.append(data[at:next_at])
            new_at += next_at - at
        at = next_at
        if kind == Kind.ROLLED:
            break
    return pieces, moved
