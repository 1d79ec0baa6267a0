from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from cassette.errors import StoreError
from cassette.settled import Settled


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "settled"


def test_what_was_noted_is_known_again(path: Path) -> None:
    with contextlib.closing(Settled(path)) as settled:
        settled.add("w1", [42, 43], 7)
        settled.add("w2", [], 9)
        settled.sync()
        assert settled.has("w1", 42)
    again = Settled(path)

    assert [again.has("w1", 42), again.has("w1", 43), again.has("w1", 44), again.has("w2", 42)] == [
        True,
        True,
        False,
        False,
    ]
    assert (again.segments_of("w1"), again.segments_of("w2"), again.segments_of("w3")) == ({7}, {9}, set())


def test_without_a_note_there_is_no_file(path: Path) -> None:
    settled = Settled(path)
    settled.sync()
    settled.close()
    assert not path.exists()


def test_the_file_is_private(path: Path) -> None:
    with contextlib.closing(Settled(path)) as settled:
        settled.add("w1", [], 1)
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_set_that_was_asked_for_grows_with_what_is_noted(path: Path) -> None:
    with contextlib.closing(Settled(path)) as settled:
        deleted = settled.segments_of("w1")
        settled.add("w1", [], 7)
        assert deleted == {7}


def test_a_torn_line_is_left_out_and_written_over(path: Path) -> None:
    path.write_bytes(b'["w1", "segment", 7]\n["w1", "segm')
    with contextlib.closing(Settled(path)) as settled:
        assert settled.segments_of("w1") == {7}
        settled.add("w1", [], 8)

    assert path.read_bytes() == b'["w1", "segment", 7]\n["w1", "segment", 8]\n'


@pytest.mark.parametrize("line", [b"\0\0\0\0\n", b"[1]\n", b"7\n", b'["w1", "else", 7]\n'])
def test_a_line_that_makes_no_sense_is_left_out(path: Path, line: bytes) -> None:
    path.write_bytes(line + b'["w1", "segment", 8]\n')
    assert Settled(path).segments_of("w1") == {8}


def test_a_disk_that_refuses_leaves_the_list_as_it_was(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with contextlib.closing(Settled(path)) as settled:
        settled.add("w1", [], 7)
        before = path.read_bytes()

        def half(handle: int, pieces: Sequence[Any]) -> int:
            os.write(handle, bytes(pieces[0])[:5])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        with monkeypatch.context() as patched:
            patched.setattr(os, "writev", half)
            with pytest.raises(StoreError, match="make room on the disk"):
                settled.add("w1", [42], 8)
        assert (path.read_bytes(), settled.has("w1", 42), settled.segments_of("w1")) == (before, False, {7})
        settled.add("w1", [42], 8)

    assert Settled(path).has("w1", 42)


def test_a_list_that_cannot_be_read_is_an_error(path: Path) -> None:
    path.mkdir()
    with pytest.raises(StoreError, match="cannot read what is done of the journal"):
        Settled(path)
