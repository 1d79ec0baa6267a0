"""Read the daemon's log: its last lines, and what is added."""

from __future__ import annotations

import os
import sys
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path

from addons.errors import ControlError

_LOOK_SECONDS = 0.2


def tail(path: Path, lines: int, follow: bool) -> Iterator[str]:
    """Yield the last lines of a log, then, when following, every line that comes, across rotations.

    Raises ControlError when there is no log.
    """
    try:
        file = path.open(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        raise ControlError(f"there is no log yet ({path}); the daemon has not run here") from None
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
