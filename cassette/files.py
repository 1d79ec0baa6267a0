"""Private files: made 0600 in folders 0700 whatever the umask, never through a symlink someone planted."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from cassette.errors import StoreError


@contextlib.contextmanager
def as_store_error(doing: str, path: Path) -> Iterator[None]:
    """Turn an OSError into a StoreError that says what was being done and to which file."""
    try:
        yield
    except OSError as exc:
        raise StoreError(f"cannot {doing}: {exc.strerror or exc}", path=path) from exc


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


def write_private_file(path: Path, *pieces: bytes, mode: int = 0o600) -> None:
    """Replace a file at once by these pieces: a reader sees the old content or the new, and so does a crash.

    The content is synced before the name is switched, and the folder after it.
    """
    with as_store_error("write", path):
        handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)  # made 0600
        try:
            with os.fdopen(handle, "wb") as file:
                os.fchmod(file.fileno(), mode)
                file.writelines(pieces)
                file.flush()
                os.fsync(file.fileno())
            Path(temporary).replace(path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
        sync_folder(path.parent)


def sync_folder(path: Path) -> None:
    """Make the names in a folder survive a power cut."""
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def interrupted_path(cassette: Path) -> Path:
    """Return where the exchanges go that did not complete: `NAME.interrupted.yaml` beside `NAME.yaml`."""
    stem = cassette.stem if cassette.suffix in (".yaml", ".yml") else cassette.name
    return cassette.with_name(f"{stem}.interrupted.yaml")
