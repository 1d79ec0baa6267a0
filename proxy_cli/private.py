"""A folder that only its owner can enter, with files that are replaced whole or not at all.

Every path is resolved below the folder's own descriptor and without following symbolic links, so that
nothing which another process planted at a name is read, written through or made looser. Modes do not
depend on the umask. OSError becomes StartError here, once.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Self

from addons.errors import StartError

_LOCK = ".lock"
_TEMPORARY = ".new-"
_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT})


class PrivateFolder:
    """An open private folder (0700), made when it is missing; use it as a context manager.

    A folder that exists already is tightened to 0700. Raises StartError when it belongs to someone
    else, is a symbolic link, or cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with _start_errors(path):
            self._descriptor = _open_folder(path)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the folder's descriptor."""
        os.close(self._descriptor)

    def names(self) -> list[str]:
        """Return what lies in the folder, in no order; raises StartError."""
        with _start_errors(self.path):
            return os.listdir(self._descriptor)  # noqa: PTH208 - pathlib has no descriptors

    def read(self, name: str) -> bytes | None:
        """Return a file's content, None when there is none; a file with a looser mode is tightened to 0600.

        Raises StartError for anything that is not a regular file of ours: a link, a pipe, another's file.
        """
        with _start_errors(self.path / name):
            try:
                # O_NONBLOCK: opening a pipe that was planted here must not wait for its writer.
                descriptor = os.open(
                    name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=self._descriptor
                )
            except FileNotFoundError:
                return None
            with os.fdopen(descriptor, "rb") as file:
                status = os.fstat(descriptor)
                if not stat.S_ISREG(status.st_mode):
                    raise StartError(f"{self.path / name}: not a regular file; remove it and try again")
                _require_own(status, self.path / name)
                if stat.S_IMODE(status.st_mode) & 0o077:
                    os.fchmod(descriptor, 0o600)
                return file.read()

    def write(self, name: str, content: bytes) -> None:
        """Put a file in place in one step, mode 0600; call it while holding `lock`.

        Whoever reads meanwhile sees the old content or the new one. A symbolic link at `name` is
        replaced, not followed.
        """
        temporary = f"{_TEMPORARY}{secrets.token_hex(8)}"
        with _start_errors(self.path / name):
            descriptor = os.open(
                temporary,
                os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW,
                0o600,
                dir_fd=self._descriptor,
            )
            try:
                with os.fdopen(descriptor, "wb") as file:
                    os.fchmod(descriptor, 0o600)
                    file.write(content)
                    file.flush()
                    os.fsync(descriptor)
                os.rename(temporary, name, src_dir_fd=self._descriptor, dst_dir_fd=self._descriptor)
            except BaseException:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(temporary, dir_fd=self._descriptor)
                raise
            os.fsync(self._descriptor)

    def remove(self, name: str) -> None:
        """Remove a file, if it is there; raises StartError when it cannot be."""
        with _start_errors(self.path / name), contextlib.suppress(FileNotFoundError):
            os.unlink(name, dir_fd=self._descriptor)

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Keep other processes (and threads) from changing the folder meanwhile.

        The kernel releases the lock when its holder dies. What such a holder left half-written is
        removed here: with the lock held, nobody else can be writing.
        """
        with _start_errors(self.path / _LOCK):
            descriptor = os.open(
                _LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600, dir_fd=self._descriptor
            )
        try:
            with _start_errors(self.path / _LOCK):
                os.fchmod(descriptor, 0o600)
                fcntl.flock(descriptor, fcntl.LOCK_EX)
                for name in os.listdir(self._descriptor):  # noqa: PTH208 - pathlib has no descriptors
                    if name.startswith(_TEMPORARY):
                        os.unlink(name, dir_fd=self._descriptor)
            yield
        finally:
            os.close(descriptor)


def _open_folder(path: Path) -> int:
    _make_private(path)
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        status = os.fstat(descriptor)
        _require_own(status, path)
        if stat.S_IMODE(status.st_mode) != 0o700:
            os.fchmod(descriptor, 0o700)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _make_private(path: Path) -> None:
    """Make a folder that is missing, and those above it: `mkdir` gives parents the mode that the umask leaves."""
    try:
        if not path.parent.exists():
            _make_private(path.parent)
        path.mkdir(mode=0o700)
    except FileExistsError:
        return
    # Under a umask such as 0777 the folder just made could not be opened, even by us.
    path.chmod(0o700)


def _require_own(status: os.stat_result, path: Path) -> None:
    if status.st_uid != os.geteuid():
        raise StartError(f"{path}: belongs to user {status.st_uid}, not to you ({os.geteuid()})")


@contextlib.contextmanager
def _start_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        hint = " (a symbolic link is not followed here)" if path.is_symlink() else ""
        if exc.errno in _NO_ROOM:
            hint = "; make room on the disk, or set WIRETAPE_HOME to a folder on another one"
        raise StartError(f"{path}: {exc.strerror or exc}{hint}") from exc
