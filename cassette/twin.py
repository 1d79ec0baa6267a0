"""Let a cassette grow in one step: no reader, and no crash, ever sees a part of an interaction.

write(2) lets a file grow page by page. So a second, hidden file beside the cassette, its *twin*, gets what it lacks
and the new text, and the two change places:

    cassette  [1][2]         [1][2]            [1][2][3]     the names are exchanged: renameat2(2), RENAME_EXCHANGE
    twin      [1]      ─▶    [1][2][3]   ─▶    [1][2]

That costs what the last two interactions cost, however many there are. Who still reads what was the cassette keeps
it as it was: a twin is written to only under a write lease (fcntl(2), F_SETLEASE), which the kernel grants when nobody
else has the file open; else, and first of all, the twin is a fresh copy. macOS has no leases but clones in no time.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import functools
import logging
import os
import secrets
import signal
import stat
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from cassette.files import BYTES_AT_ONCE, sync_folder, temporary_prefix, write_all

_log = logging.getLogger(__name__)
_OPEN_NEW = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
_NOT_HERE = frozenset(
    {
        errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP,  # the file system cannot
        errno.EBUSY, errno.EXDEV,  # the file itself is mounted there, as containers have it
        errno.EACCES, errno.EPERM, errno.EROFS,  # the folder is not ours to write in
        errno.ENOLCK, errno.ENAMETOOLONG,
    }
)  # fmt: skip
_NOT_NOW = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EAGAIN})
"""No room for a second file; or a program that looks into every new one."""
_LINUX_EXCHANGE, _MACOS_SWAP = 2, 2
"""RENAME_EXCHANGE (linux/fs.h) and RENAME_SWAP (macOS, sys/stdio.h)."""
_LINUX_HERE = -100
"""AT_FDCWD (linux/fcntl.h)."""
_PUT_BACK = 10

Exchange = Callable[[Path, Path], None]
"""Makes two names change places in one step; raises OSError."""


class NoTwinError(Exception):
    """The cassette cannot have a twin; nothing has happened to it."""

    def __init__(self, *, for_good: bool) -> None:
        super().__init__()
        self.for_good = for_good
        """Whether it is of no use to try again."""


class ChangedError(Exception):
    """Somebody else changed the cassette meanwhile; their file is in its place."""


@dataclass(frozen=True, slots=True)
class Standing:
    """What tells a file from another, and from what it was before somebody wrote to it."""

    device: int
    inode: int
    size: int
    changed_ns: int
    """When its content changed the last time."""

    @classmethod
    def of(cls, found: os.stat_result) -> Self:
        """Pick it from what stat(2) says."""
        return cls(found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)


def stamp(handle: int) -> Standing:
    """Give a file that was just written a time that no other write gives it; return how it stands.

    The kernel's own times are those of its last tick, of some milliseconds: an edit could fall into the same one.
    """
    now = time.time_ns()
    with contextlib.suppress(OSError):  # another user's file
        os.utime(handle, ns=(now, now))
    return Standing.of(os.fstat(handle))


@functools.cache
def _system_calls() -> Any:
    """Return the C library, of which every look makes classes anew."""
    import ctypes  # noqa: PLC0415 - client commands do without

    return ctypes.CDLL(None, use_errno=True)


def exchange(one: Path, other: Path) -> None:
    """Make two names change places in one step; raises OSError, with ENOSYS where the system has no call for it."""
    import ctypes  # noqa: PLC0415 - client commands do without

    library = _system_calls()
    first, second = os.fsencode(one), os.fsencode(other)
    try:
        if sys.platform == "darwin":
            failed = library.renamex_np(first, second, ctypes.c_uint(_MACOS_SWAP))
        else:
            failed = library.renameat2(
                _LINUX_HERE, first, _LINUX_HERE, second, ctypes.c_uint(_LINUX_EXCHANGE)
            )
    except AttributeError:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS)) from None
    if failed:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), str(other))


class Twin:
    """The twin of one cassette. It is made when it is first needed, and removed by `close`.

    A process that is killed leaves it behind, under a name that `files.remove_leftovers` knows.
    """

    def __init__(self, path: Path, exchange: Exchange = exchange) -> None:
        """`path`: the cassette, behind all symlinks."""
        self._path = path
        self._exchange = exchange
        self._at = path
        self._handle = -1
        self._common = 0
        """So many bytes at their beginning are the same in both."""
        self._left: Standing | None = None
        """How it stood when it ceased to be the cassette; None when it never was, or was written to since."""

    def put(self, handle: int, left: Standing, keep: int, pieces: Sequence[bytes]) -> tuple[int, Standing]:
        """Have the cassette hold its first `keep` bytes and the pieces behind them, in one step.

        `handle` is the open cassette, which stands as `left`; the twin takes it over. Returns the handle of what is
        the cassette now and how that stands. Raises NoTwinError, ChangedError, and OSError when the disk refuses: the
        cassette is then as it was, or as others made it.
        """
        is_new = self._prepare(handle, keep + sum(map(len, pieces)))
        try:
            os.ftruncate(self._handle, self._common)
            self._copy(handle, keep)
            write_all(self._handle, pieces)
            mine = stamp(self._handle)
            if is_new:
                # What a sync made safe of the cassette must not be lost with the copy in a power cut.
                os.fsync(self._handle)
                sync_folder(self._path.parent)
        except OSError as exc:
            if exc.errno in _NOT_NOW:  # without a twin there may be room
                self.close()
                raise NoTwinError(for_good=False) from exc
            self._cut_back()
            if is_new:
                self.close()
            raise
        finally:
            self._release()
        self._change_places(left, mine)
        given, self._handle = self._handle, handle
        self._common, self._left = keep, left
        return given, mine

    def catch_up(self, handle: int, left: Standing) -> None:
        """Make what a sync of the cassette made safe as safe in the twin, for a power cut; raises OSError."""
        cassette = os.fstat(handle)
        if self._handle < 0 or Standing.of(cassette) != left or not self._is_fit(cassette):
            self.close()
            return
        try:
            os.ftruncate(self._handle, self._common)
            self._copy(handle, left.size)
            self._common = left.size
            os.fsync(self._handle)
        except OSError:
            self.close()
            raise
        finally:
            self._release()

    def _prepare(self, handle: int, size: int) -> bool:
        """Have a twin that only we have open; return whether it is a new one, without content."""
        cassette = os.fstat(handle)
        if cassette.st_nlink != 1:  # the other names would go on with the old content
            self.close()
            raise NoTwinError(for_good=False)
        if self._handle >= 0 and not self._is_fit(cassette):
            self.close()
        if self._handle >= 0:
            return False
        try:
            self._make(cassette, handle, size)
        except OSError as exc:
            self.close()
            if exc.errno in _NOT_HERE or exc.errno in _NOT_NOW:
                raise NoTwinError(for_good=exc.errno in _NOT_HERE) from exc
            raise
        return True

    def _is_fit(self, cassette: os.stat_result) -> bool:
        """Tell whether the twin is as we left it, suits the cassette, and is held by nobody else."""
        if sys.platform != "linux":
            return False
        mine = os.fstat(self._handle)
        if self._left is not None and Standing.of(mine) != self._left:
            return False
        if mine.st_nlink != 1 or _rights(mine) != _rights(cassette):
            return False
        try:
            self._hold()
        except OSError:
            return False
        self._left = None
        return True

    def _hold(self) -> None:
        """Have everyone who opens the twin wait; raises OSError when someone has it open already.

        Who looked the name up before the last exchange may be about to open it only now.
        """
        if sys.platform == "linux":
            # Its default would end this process; and it has to be set each time (fs/locks.c, lease_modify).
            fcntl.fcntl(self._handle, fcntl.F_SETSIG, signal.SIGURG)
            fcntl.fcntl(self._handle, fcntl.F_SETLEASE, fcntl.F_WRLCK)

    def _release(self) -> None:
        if sys.platform == "linux" and self._handle >= 0:
            with contextlib.suppress(OSError):
                fcntl.fcntl(self._handle, fcntl.F_SETLEASE, fcntl.F_UNLCK)

    def _make(self, cassette: os.stat_result, handle: int, size: int) -> None:
        name = f"{temporary_prefix(self._path)}{secrets.token_hex(4)}"
        self._at, self._left, self._common = self._path.with_name(name), None, 0
        if sys.platform == "darwin":
            _clone(self._path, self._at)
            self._handle = os.open(self._at, _OPEN_NEW & ~(os.O_CREAT | os.O_EXCL))
            self._common = min(cassette.st_size, os.fstat(self._handle).st_size)
            return
        require_room(self._path.parent, size)
        self._handle = os.open(self._at, _OPEN_NEW, 0o600)
        mine = os.fstat(self._handle)
        if (mine.st_uid, mine.st_gid) != (cassette.st_uid, cassette.st_gid):
            os.fchown(self._handle, cassette.st_uid, cassette.st_gid)
        os.fchmod(self._handle, stat.S_IMODE(cassette.st_mode))
        with contextlib.suppress(OSError):  # access lists, labels: where the file system has them
            for attribute in os.listxattr(handle):
                os.setxattr(self._handle, attribute, os.getxattr(handle, attribute))
        self._hold()

    def _copy(self, handle: int, end: int) -> None:
        at = self._common
        while at < end:
            piece = os.pread(handle, min(end - at, BYTES_AT_ONCE), at)
            if not piece:  # cut off by somebody; that shows when the places are changed
                return
            write_all(self._handle, [piece])
            at += len(piece)

    def _cut_back(self) -> None:
        """Give back the room of what was not written to its end."""
        try:
            os.ftruncate(self._handle, self._common)
        except OSError:
            self.close()

    def _change_places(self, left: Standing, mine: Standing) -> None:
        put, wanted = mine, left
        try:
            self._exchange(self._at, self._path)
            for _ in range(_PUT_BACK):
                came_out = Standing.of(os.lstat(self._at))
                if came_out == wanted:
                    break
                # Somebody's edit: it goes back, and what we had put there has to come out.
                self._exchange(self._at, self._path)
                put, wanted = came_out, put
        except OSError as exc:
            self.close()
            if exc.errno == errno.ENOENT:
                raise ChangedError from exc
            if exc.errno in _NOT_HERE and put is mine:
                raise NoTwinError(for_good=True) from exc
            raise
        if put is not mine or came_out != wanted:
            self.close()
            raise ChangedError

    def close(self) -> None:
        """Remove the twin; one that somebody edited as it ceased to be the cassette is kept under a name of its own."""
        if self._handle < 0:
            return
        handle, self._handle = self._handle, -1
        try:
            there = Standing.of(os.lstat(self._at))
            mine = Standing.of(os.fstat(handle))
            if there.inode != mine.inode or (self._left is not None and mine != self._left):
                self._keep()
            else:
                self._at.unlink()
        except FileNotFoundError:
            pass
        except OSError as exc:
            _log.warning("cassette.twin_left path=%s reason=%s", self._at, exc.strerror)
        finally:
            os.close(handle)

    def _keep(self) -> None:
        stem = self._path.stem if self._path.suffix in (".yaml", ".yml") else self._path.name
        for number in range(1, 1000):
            kept = self._path.with_name(f"{stem}.edited-{number}.yaml")
            with contextlib.suppress(FileExistsError):
                os.link(self._at, kept)
                self._at.unlink()
                _log.warning("cassette.edit_kept path=%s reason=the cassette grew at the same time", kept)
                return


def _rights(found: os.stat_result) -> tuple[int, int, int]:
    return stat.S_IMODE(found.st_mode), found.st_uid, found.st_gid


def require_room(folder: Path, size: int) -> None:
    """Raise the OSError of a full disk when it has no room for so many bytes; one that does not tell has."""
    found = os.statvfs(folder)
    if found.f_blocks and found.f_bavail * found.f_frsize <= size:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _clone(source: Path, target: Path) -> None:
    """Make a file that shares its blocks with another until one is written to (macOS, clonefile(2))."""
    import ctypes  # noqa: PLC0415 - client commands do without

    if _system_calls().clonefile(os.fsencode(source), os.fsencode(target), ctypes.c_uint(0)):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), str(target))
