"""Private files: made 0600 in folders 0700, never wider, and never through a symlink someone planted."""

from __future__ import annotations

import contextlib
import errno
import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from zlib import crc32

from cassette.errors import StoreError

_ADVICE = {
    errno.ENOSPC: "make room on the disk",
    errno.EDQUOT: "make room within the quota",
    errno.EFBIG: "raise the limit on the size of a file (ulimit -f)",
    errno.EACCES: "change its mode or its owner",
    errno.EPERM: "change its mode or its owner",
    errno.EROFS: "choose a place that is not read-only",
    errno.EMFILE: "raise the limit on open files (ulimit -n)",
    errno.EISDIR: "choose a file",
    errno.ENOTDIR: "choose a path through folders",
    errno.ENAMETOOLONG: "choose a shorter name",
}
_CANNOT_SYNC_FOLDER = frozenset({errno.EINVAL, errno.ENOTSUP, errno.EACCES})
"""From file systems that cannot sync a folder, and for folders that may be entered but not read."""
_MOST_PIECES = 512
"""Half of Linux's and macOS's IOV_MAX."""
BYTES_AT_ONCE = 64 << 10
"""What one call of the kernel is given to read or to write. While it copies, a kernel without preemption gives the
processor to nobody: a client on the scribe's core waited for 3 to 11 ms whenever 10 MB went into a cassette in one
call (measured: Linux 6.18, ext4)."""


@contextlib.contextmanager
def as_store_error(doing: str, path: Path) -> Iterator[None]:
    """Turn an OSError into a StoreError: one line with the file, what was being done, why not, what to do."""
    try:
        yield
    except OSError as exc:
        why = exc.strerror or str(exc)
        advice = _ADVICE.get(exc.errno or 0)
        raise StoreError(f"cannot {doing}: {why}" + (f"; {advice}" if advice else ""), path=path) from exc


def make_private_folder(path: Path) -> None:
    """Make a folder, and its parents, that only this user can enter; one that is there keeps its mode."""
    with as_store_error("make the folder", path):
        missing = []
        at = path
        while not at.exists():
            missing.append(at)
            at = at.parent
        for folder in reversed(missing):
            folder.mkdir(mode=0o700, exist_ok=True)
            sync_folder(folder.parent)


def write_all(handle: int, pieces: Sequence[bytes], *, at_once: int = BYTES_AT_ONCE) -> None:
    """Write the pieces one behind the other; raises OSError when the disk refuses, some may be written then.

    `at_once`: the most bytes that one call of the kernel is given.
    """
    for left in _portions(pieces, at_once):
        while left:
            # A short write is no error yet: the next one says why (POSIX, write).
            written = os.writev(handle, left)
            while left and written >= len(left[0]):
                written -= len(left.pop(0))
            if left:
                left[0] = left[0][written:]


def _portions(pieces: Sequence[bytes], at_once: int) -> Iterator[list[memoryview]]:
    portion: list[memoryview] = []
    room = at_once
    for piece in pieces:
        left = memoryview(piece)
        while left:
            portion.append(left[:room])
            left = left[room:]
            room -= len(portion[-1])
            if not room or len(portion) == _MOST_PIECES:
                yield portion
                portion, room = [], at_once
    if portion:
        yield portion


def read_at(handle: int, size: int, at: int) -> bytes:
    """Read so many bytes from a place on, fewer where the file ends before; raises OSError."""
    found = [os.pread(handle, min(size, BYTES_AT_ONCE), at)]
    left = size - len(found[0])
    while left and found[-1]:
        found.append(os.pread(handle, min(left, BYTES_AT_ONCE), at + size - left))
        left -= len(found[-1])
    return found[0] if len(found) == 1 else b"".join(found)


def write_private_file(path: Path, *pieces: bytes, mode: int = 0o600) -> None:
    """Replace a file at once by these pieces: a reader sees the old content or the new, and so does a crash.

    The content is synced before the name is switched, and the folder after it.
    """
    with as_store_error("write", path):
        handle, temporary = tempfile.mkstemp(prefix=temporary_prefix(path), dir=path.parent)  # made 0600
        try:
            try:
                os.fchmod(handle, mode)
                write_all(handle, pieces)
                os.fsync(handle)
            finally:
                os.close(handle)
            Path(temporary).replace(path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
        sync_folder(path.parent)


def remove_leftovers(path: Path) -> None:
    """Remove what a `write_private_file` or a `Twin` for this path left behind when it was killed."""
    with contextlib.suppress(OSError):
        for leftover in path.parent.glob(f"{temporary_prefix(path)}*"):
            leftover.unlink(missing_ok=True)


def temporary_prefix(path: Path) -> str:
    """Return what the names of the hidden files begin with that are to take this one's place."""
    # Not the name itself, which may be as long as a name can be.
    return f".wiretape-{crc32(os.fsencode(path.name)):08x}-"


def sync_folder(path: Path) -> None:
    """Make the names in a folder survive a power cut, where the file system can; raises OSError."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
    except OSError as exc:
        if exc.errno not in _CANNOT_SYNC_FOLDER:
            raise


def interrupted_path(cassette: Path) -> Path:
    """Return where the exchanges go that did not complete: `NAME.interrupted.yaml` beside `NAME.yaml`."""
    stem = cassette.stem if cassette.suffix in (".yaml", ".yml") else cassette.name
    return cassette.with_name(f"{stem}.interrupted.yaml")
