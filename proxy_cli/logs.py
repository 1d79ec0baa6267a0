"""The daemon's log: written into a private file, and read: its last lines, and what is added."""

from __future__ import annotations

import logging.handlers
import os
import sys
import time
from collections import deque
from collections.abc import Iterator
from io import TextIOWrapper
from pathlib import Path

from addons.errors import ControlError, StartError

_LOOK_SECONDS = 0.2


_LONGEST_BYTES = 5 << 20
_FORMER = 2
_OPEN = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC


class PrivateLog(logging.handlers.RotatingFileHandler):
    """Appends to a log that only this user can read, and to no file that a symbolic link leads to."""

    def __init__(self, path: Path) -> None:
        """Open the log; raises StartError when that cannot be."""
        try:
            super().__init__(path, maxBytes=_LONGEST_BYTES, backupCount=_FORMER, encoding="utf-8")
        except OSError as exc:
            hint = " (a symbolic link is not followed here)" if path.is_symlink() else ""
            raise StartError(f"{path}: cannot write the log: {exc.strerror}{hint}; remove it") from exc

    def _open(self) -> TextIOWrapper:
        handle = os.open(self.baseFilename, _OPEN, 0o600)
        os.fchmod(handle, 0o600)
        return open(handle, "a", encoding=self.encoding, errors="backslashreplace")  # noqa: PTH123 - a descriptor


def tail(path: Path, lines: int, follow: bool) -> Iterator[str]:
    """Yield the last lines of a log, then, when following, every line that comes, across rotations.

    Raises ControlError when there is no log.
    """
    try:
        file = path.open(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        raise ControlError(f"there is no log yet ({path}); the daemon has not run here") from None
    except OSError as exc:
        raise ControlError(f"{path}: cannot read the log: {exc.strerror}; is WIRETAPE_HOME right?") from exc
    with file:
        yield from deque(file, maxlen=lines)
        inode = os.fstat(file.fileno()).st_ino
        while follow:
            if line := file.readline():
                yield line
                continue
            time.sleep(_LOOK_SECONDS)
            try:
                there = path.stat().st_ino
            except FileNotFoundError:
                continue
            if there != inode:
                yield from file  # what was written just before the rotation
                yield from tail(path, sys.maxsize, follow=True)
                return
