from __future__ import annotations

import os
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from addons.errors import StartError
from proxy_cli.private import PrivateFolder


@pytest.fixture
def umask() -> Iterator[None]:
    previous = os.umask(0)
    yield
    os.umask(previous)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("mask", [0o000, 0o022, 0o077, 0o777])
def test_modes_do_not_depend_on_the_umask(tmp_path: Path, umask: None, mask: int) -> None:
    os.umask(mask)
    with PrivateFolder(tmp_path / "private") as folder, folder.lock():
        folder.write("secret", b"content")
    assert mode(tmp_path / "private") == 0o700
    assert {mode(path) for path in (tmp_path / "private").iterdir()} == {0o600}


def test_a_folder_that_others_could_enter_is_tightened(tmp_path: Path) -> None:
    (tmp_path / "private").mkdir()
    (tmp_path / "private").chmod(0o755)
    with PrivateFolder(tmp_path / "private"):
        assert mode(tmp_path / "private") == 0o700


def test_a_file_that_others_could_read_is_tightened_when_read(tmp_path: Path) -> None:
    with PrivateFolder(tmp_path / "private") as folder:
        loose = tmp_path / "private" / "secret"
        loose.write_bytes(b"content")
        loose.chmod(0o644)
        assert folder.read("secret") == b"content"
    assert mode(loose) == 0o600


def test_a_folder_that_is_a_symbolic_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "private").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StartError, match="symbolic link"):
        PrivateFolder(tmp_path / "private")


def test_a_symbolic_link_is_not_read_through(tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_bytes(b"not ours")
    with PrivateFolder(tmp_path / "private") as folder:
        (tmp_path / "private" / "secret").symlink_to(target)
        with pytest.raises(StartError, match="symbolic link"):
            folder.read("secret")


def test_a_symbolic_link_is_replaced_and_its_target_left_alone(tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_bytes(b"not ours")
    with PrivateFolder(tmp_path / "private") as folder:
        (tmp_path / "private" / "secret").symlink_to(target)
        with folder.lock():
            folder.write("secret", b"content")
        assert folder.read("secret") == b"content"
    assert target.read_bytes() == b"not ours"
    assert not (tmp_path / "private" / "secret").is_symlink()


def test_a_lock_file_that_is_a_symbolic_link_is_refused(tmp_path: Path) -> None:
    with PrivateFolder(tmp_path / "private") as folder:
        (tmp_path / "private" / ".lock").symlink_to(tmp_path / "target")
        with pytest.raises(StartError, match="symbolic link"), folder.lock():
            pass
    assert not (tmp_path / "target").exists()


def test_a_pipe_in_place_of_a_file_is_refused_without_waiting(tmp_path: Path) -> None:
    with PrivateFolder(tmp_path / "private") as folder:
        os.mkfifo(tmp_path / "private" / "secret")
        with pytest.raises(StartError, match="regular file"):
            folder.read("secret")


def test_a_file_that_is_missing_reads_as_none(tmp_path: Path) -> None:
    with PrivateFolder(tmp_path / "private") as folder:
        assert folder.read("secret") is None


def test_what_a_killed_writer_left_is_removed_by_the_next(tmp_path: Path) -> None:
    with PrivateFolder(tmp_path / "private") as folder:
        (tmp_path / "private" / ".new-0123456789abcdef").write_bytes(b"half a ke")
        with folder.lock():
            folder.write("secret", b"content")
    assert {path.name for path in (tmp_path / "private").iterdir()} == {".lock", "secret"}


def test_a_write_that_fails_leaves_the_old_content_and_no_litter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise OSError(28, "No space left on device")

    with PrivateFolder(tmp_path / "private") as folder, folder.lock():
        folder.write("secret", b"old")
        monkeypatch.setattr(os, "fsync", refuse)
        with pytest.raises(StartError, match="No space left"):
            folder.write("secret", b"new")
        assert folder.read("secret") == b"old"
    assert {path.name for path in (tmp_path / "private").iterdir()} == {".lock", "secret"}


def test_the_lock_keeps_a_second_holder_waiting(tmp_path: Path) -> None:
    order: list[str] = []
    reached = threading.Event()

    def second() -> None:
        with PrivateFolder(tmp_path / "private") as folder:
            reached.set()
            with folder.lock():
                order.append("second")

    with PrivateFolder(tmp_path / "private") as folder, folder.lock():
        thread = threading.Thread(target=second)
        thread.start()
        assert reached.wait(10)
        thread.join(0.05)
        order.append("first")
    thread.join(10)
    assert order == ["first", "second"]
