"""Which interactions of a cassette have answered, where several workers replay it: a byte for each, in a file.

Asked before an interaction is handed out. Two system calls and a lock that nobody holds for longer; it survives the
death of a worker, whose successor goes on with what is left.
"""

from __future__ import annotations

import fcntl
import os
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cassette.files import as_store_error, write_all

_OPEN = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC


class Claims:
    """The file, open for as long as this object is there."""

    def __init__(self, path: Path, count: int) -> None:
        """Open or make it, for so many interactions; raises StoreError."""
        self.path = path
        self._count = count
        with as_store_error("share what was replayed", path):
            self._handle = os.open(path, _OPEN, 0o600)
            weakref.finalize(self, os.close, self._handle)
            with self._locked():
                there = os.fstat(self._handle).st_size
                os.lseek(self._handle, there, os.SEEK_SET)
                # Another worker may have read the cassette when it was shorter.
                write_all(self._handle, [bytes(max(0, count - there))])

    @contextmanager
    def _locked(self) -> Iterator[None]:
        fcntl.flock(self._handle, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(self._handle, fcntl.LOCK_UN)

    def claim(self, position: int) -> bool:
        """Take an interaction; False when another worker has it. Raises StoreError."""
        with as_store_error("share what was replayed", self.path), self._locked():
            if os.pread(self._handle, 1, position) == b"\1":
                return False
            os.pwrite(self._handle, b"\1", position)
            return True

    def taken(self) -> bytes:
        """Return a byte for each interaction, 1 for one that is taken; raises StoreError."""
        with as_store_error("share what was replayed", self.path):
            return os.pread(self._handle, self._count, 0)
