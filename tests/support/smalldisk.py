"""A disk that is full after a few bytes: a real one, where the tests may mount, else the test is skipped."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder with room for 512 KiB."""
    where = tmp_path / "small"
    where.mkdir()
    with mounted(where, "size=512k"):
        yield where


@contextlib.contextmanager
def mounted(where: Path, options: str) -> Iterator[None]:
    """Have a disk of its own at a folder, with mount's options; skip the test where that is not allowed."""
    mount = shutil.which("mount")
    if mount is None or os.geteuid() != 0:
        pytest.skip("only root can mount a small disk")
    done = subprocess.run(
        [mount, "-t", "tmpfs", "-o", f"{options},mode=700", "tmpfs", where], capture_output=True, check=False
    )
    if done.returncode != 0:
        pytest.skip("cannot mount a small disk here")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", where], check=True)


def fill(disk: Path) -> Path:
    """Leave no room on a disk; return the file to delete when there is to be some."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file:
        for piece in (bytes(1 << 20), bytes(4096), b"\1"):
            try:
                while file.write(piece) == len(piece):
                    pass
            except OSError:
                continue
    return filler
