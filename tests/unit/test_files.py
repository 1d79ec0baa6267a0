from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from cassette import files
from cassette.errors import StoreError
from cassette.files import (
    BYTES_AT_ONCE,
    as_store_error,
    interrupted_path,
    make_private_folder,
    read_at,
    remove_leftovers,
    write_all,
    write_private_file,
)


@pytest.fixture
def umask_zero() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


@pytest.mark.usefixtures("umask_zero")
def test_folders_and_their_parents_are_for_their_user_alone(tmp_path: Path) -> None:
    make_private_folder(tmp_path / "a" / "b")

    assert mode(tmp_path / "a") == mode(tmp_path / "a" / "b") == 0o700


def test_a_new_folder_is_synced_into_its_parent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[Path] = []
    monkeypatch.setattr(files, "sync_folder", synced.append)
    make_private_folder(tmp_path / "a" / "b")

    assert synced == [tmp_path, tmp_path / "a"]


def test_a_folder_that_is_there_keeps_its_mode(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir(mode=0o755)
    (tmp_path / "there").chmod(0o755)
    make_private_folder(tmp_path / "there")

    assert mode(tmp_path / "there") == 0o755


def test_a_folder_below_a_file_is_an_error_that_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(StoreError, match="cannot make the folder: Not a directory; choose a path"):
        make_private_folder(tmp_path / "file" / "folder")


@pytest.mark.usefixtures("umask_zero")
def test_a_written_file_is_for_its_user_alone(tmp_path: Path) -> None:
    write_private_file(tmp_path / "secret", b"one ", b"two")

    assert (tmp_path / "secret").read_bytes() == b"one two"
    assert mode(tmp_path / "secret") == 0o600


def test_a_written_file_gets_the_mode_that_was_asked_for(tmp_path: Path) -> None:
    write_private_file(tmp_path / "file", b"x", mode=0o644)

    assert mode(tmp_path / "file") == 0o644


def test_a_symlink_is_replaced_and_not_followed(tmp_path: Path) -> None:
    (tmp_path / "theirs").write_bytes(b"theirs")
    (tmp_path / "file").symlink_to(tmp_path / "theirs")
    write_private_file(tmp_path / "file", b"ours")

    assert (tmp_path / "theirs").read_bytes() == b"theirs"
    assert not (tmp_path / "file").is_symlink()


@pytest.mark.parametrize("call", ["writev", "fsync", "fchmod"])
def test_a_file_that_cannot_be_written_stays_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    (tmp_path / "file").write_bytes(b"old")

    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, call, refuse)
    with pytest.raises(StoreError) as caught:
        write_private_file(tmp_path / "file", b"new")

    assert str(caught.value) == (
        f"{tmp_path}/file: cannot write: No space left on device; make room on the disk"
    )
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("file", b"old")]


def test_the_content_is_synced_before_the_name_is_switched_and_the_folder_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[bool, list[bytes]]] = []
    fsync = os.fsync

    def noted(handle: int) -> None:
        is_folder = stat.S_ISDIR(os.fstat(handle).st_mode)
        seen.append((is_folder, [path.read_bytes() for path in tmp_path.glob("file")]))
        fsync(handle)

    monkeypatch.setattr(os, "fsync", noted)
    write_private_file(tmp_path / "file", b"new")

    assert seen == [(False, []), (True, [b"new"])]


def test_what_a_kill_left_is_removed_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "other").write_bytes(b"")
    with monkeypatch.context() as killed:
        killed.setattr(Path, "replace", lambda *_: None)
        killed.setattr(Path, "unlink", lambda *_, **__: None)
        write_private_file(tmp_path / "file", b"new")
    assert len(list(tmp_path.iterdir())) == 2

    remove_leftovers(tmp_path / "other")
    assert len(list(tmp_path.iterdir())) == 2
    remove_leftovers(tmp_path / "file")
    assert [path.name for path in tmp_path.iterdir()] == ["other"]


def test_a_name_as_long_as_a_name_can_be_can_be_written(tmp_path: Path) -> None:
    write_private_file(tmp_path / ("n" * 255), b"x")

    assert [path.name for path in tmp_path.iterdir()] == ["n" * 255]


def test_a_file_system_that_cannot_sync_folders_is_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EINVAL, "no")

    monkeypatch.setattr(os, "fsync", refuse)
    files.sync_folder(tmp_path)


def test_many_pieces_are_written_in_order(tmp_path: Path) -> None:
    pieces = [b"%d," % number for number in range(3000)]
    pieces[7] = b""
    handle = os.open(tmp_path / "file", os.O_WRONLY | os.O_CREAT)
    write_all(handle, pieces)
    os.close(handle)

    assert (tmp_path / "file").read_bytes() == b"".join(pieces)


def test_short_writes_are_gone_on_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writev = os.writev
    lengths = iter([1, 4, 0, 3, 2] * 10)

    def short(handle: int, buffers: Sequence[Any]) -> int:
        return writev(handle, [b"".join(buffers)[: next(lengths)]])

    handle = os.open(tmp_path / "file", os.O_WRONLY | os.O_CREAT)
    with monkeypatch.context() as patched:
        patched.setattr(os, "writev", short)
        write_all(handle, [b"abc", b"", b"defghi", b"j"])
    os.close(handle)

    assert (tmp_path / "file").read_bytes() == b"abcdefghij"


def test_one_call_of_the_kernel_moves_a_portion_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writev, pread = os.writev, os.pread
    moved: list[int] = []

    def watched_writev(handle: int, buffers: Sequence[Any]) -> int:
        moved.append(writev(handle, buffers))
        return moved[-1]

    def watched_pread(handle: int, size: int, at: int) -> bytes:
        moved.append(size)
        return pread(handle, size, at)

    pieces = [bytes([number]) * size for number, size in enumerate([5, 1 << 20, 0, 99_999, 64 << 10, 3])]
    whole = b"".join(pieces)
    handle = os.open(tmp_path / "file", os.O_RDWR | os.O_CREAT)
    with monkeypatch.context() as patched:
        patched.setattr(os, "writev", watched_writev)
        patched.setattr(os, "pread", watched_pread)
        write_all(handle, pieces)
        found = read_at(handle, len(whole) - 7, 4)
        short = read_at(handle, len(whole), 100_000)
    os.close(handle)

    assert (tmp_path / "file").read_bytes() == whole
    assert found == whole[4:-3]
    assert short == whole[100_000:]
    assert max(moved) <= BYTES_AT_ONCE


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EACCES, errno.EIO, errno.EFBIG])
def test_an_error_is_one_line_that_begins_with_the_file(number: int) -> None:
    with pytest.raises(StoreError) as caught, as_store_error("do it", Path("/some/file")):
        raise OSError(number, os.strerror(number))

    assert str(caught.value).startswith(f"/some/file: cannot do it: {os.strerror(number)}")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("cassette", "interrupted"),
    [
        ("chat.yaml", "chat.interrupted.yaml"),
        ("chat.yml", "chat.interrupted.yaml"),
        ("chat", "chat.interrupted.yaml"),
        ("chat.v1", "chat.v1.interrupted.yaml"),
    ],
)
def test_interrupted_exchanges_go_beside_the_cassette(cassette: str, interrupted: str) -> None:
    assert interrupted_path(Path("folder") / cassette) == Path("folder") / interrupted
