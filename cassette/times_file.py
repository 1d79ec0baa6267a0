"""`NAME.timing.jsonl` on disk: lines go behind the others, and nothing that goes wrong with it stops a recording.

A line is written *before* its interaction goes into the cassette, under the id that this is about to get: a scribe
that is killed in between writes both again, and of two lines for one id the later counts (`timing.read_timing`).
One that came to belong to another interaction, in a cassette that was edited, shows by its checksum.
"""

from __future__ import annotations

import json
import logging
import os
import stat
from collections import deque
from pathlib import Path
from zlib import crc32

from cassette.errors import StoreError
from cassette.files import as_store_error, write_all
from cassette.timing import Timing, timing_line, timing_path

_log = logging.getLogger(__name__)
# O_NONBLOCK for a pipe that somebody put there: opening it must not wait for a reader.
_OPEN = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_LONGEST_LINE = 8 << 20
"""Twice what `arrivals.MOST_ARRIVALS` chunks take."""
_RECENT = 100
"""More than the interactions that are written together (`backlog`)."""


class TimesFile:
    """The times beside one cassette. Opened for each line, since the user may move, edit or delete it meanwhile."""

    def __init__(self, cassette: Path) -> None:
        self.path = timing_path(cassette)
        self._recent: deque[tuple[int, int]] = deque(maxlen=_RECENT)
        """The lines that were written last: their ids and checksums."""
        self._logged = ""
        self._is_synced = True

    def put(self, id: int, timing: Timing) -> None:  # noqa: A002
        """Write the line of an interaction; never raises, a failure is logged once for each cause.

        The first interaction of a cassette begins the file anew: what stands there is of another cassette.
        """
        line = timing_line(id, timing)
        key = (id, crc32(line))
        if key in self._recent:  # its interaction could not be written, and is tried again
            return
        try:
            _append(self.path, line, anew=id == 0)
        except StoreError as exc:
            if str(exc) != self._logged:
                self._logged = str(exc)
                _log.error("times.not_kept reason=%s", exc)
            return
        self._recent.append(key)
        self._is_synced = False

    def sync(self) -> None:
        """Make the lines survive a power cut, as far as the disk lets us; never raises."""
        if self._is_synced:
            return
        self._is_synced = True
        try:
            handle = os.open(self.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)
        except OSError as exc:
            _log.warning("times.not_synced reason=%s", exc.strerror)


def remove_times(cassette: Path) -> None:
    """Remove the times of a cassette that begins anew; raises StoreError when there are some and they stay."""
    path = timing_path(cassette)
    with as_store_error("remove the times of the cassette before", path):
        path.unlink(missing_ok=True)


def _append(path: Path, line: bytes, *, anew: bool) -> None:
    with as_store_error("keep the times", path):
        handle = os.open(path, _OPEN, 0o600)
        try:
            if not stat.S_ISREG(os.fstat(handle).st_mode):
                raise StoreError("is not a regular file; move it away to have times kept", path=path)
            end = 0 if anew else _mended_end(handle)
            os.ftruncate(handle, end)
            before = b"\n" if end and os.pread(handle, 1, end - 1) != b"\n" else b""
            try:
                write_all(handle, [before, line])
            except OSError:
                os.ftruncate(handle, end)
                raise
        finally:
            os.close(handle)


def _mended_end(handle: int) -> int:
    """Return where the last whole line ends: behind it there may be the beginning of one, from a crash."""
    size = os.fstat(handle).st_size
    if size and os.pread(handle, 1, size - 1) == b"\n":
        return size
    at = max(0, size - _LONGEST_LINE)
    tail = os.pread(handle, size - at, at)
    start = tail.rfind(b"\n") + 1
    if at and not start:  # not ours
        return size
    try:
        json.loads(tail[start:])  # somebody's editor left the line end out
    except (ValueError, RecursionError):
        return at + start
    return size
