from __future__ import annotations

import contextlib
import errno
import os
import shutil
from pathlib import Path

import pytest

from cassette import files, store
from cassette.errors import StoreError
from cassette.model import Layout
from cassette.store import CassetteFile
from tests.support.cassette_files import (
    Tape,
    an_interaction,
    either,
    plain,
    refusing,
    tape,
    the_file,
)
from tests.support.smalldisk import small_disk

__all__ = ["either", "plain", "refusing", "small_disk", "tape"]


# what others do to the file


def test_a_file_deleted_between_two_appends_begins_anew(either: Tape) -> None:
    either.create()
    file = either.open()
    file.append("w1", 1, an_interaction(1))
    either.path.unlink()

    assert file.append("w1", 2, an_interaction(2)) == 0
    assert either.content == the_file(2)


def test_a_file_replaced_between_two_appends_is_gone_on_with(either: Tape) -> None:
    either.create()
    file = either.open()
    file.append("w1", 1, an_interaction(1))
    files.write_private_file(either.path, the_file(7, 8, 9))

    assert file.append("w1", 2, an_interaction(2)) == 3
    assert either.content == the_file(7, 8, 9, 2)


def test_a_file_emptied_between_two_appends_begins_anew(either: Tape) -> None:
    either.create()
    file = either.open()
    file.append("w1", 1, an_interaction(1))
    either.path.write_bytes(b"")
    file.append("w1", 2, an_interaction(2))

    assert either.content == the_file(2)


def test_an_interaction_added_by_hand_is_counted(either: Tape) -> None:
    either.create()
    file = either.open()
    file.append("w1", 1, an_interaction(1))
    either.path.write_bytes(the_file(1, 2))
    file.append("w1", 3, an_interaction(3))

    assert either.content == the_file(1, 2, 3)


@pytest.mark.parametrize(
    "spoiled", [b"notes\n", the_file(1) + b"# mine\n", the_file(1)[:-20], the_file(1) * 2]
)
def test_a_file_that_is_no_cassette_any_more_is_left_alone_until_it_is(tape: Tape, spoiled: bytes) -> None:
    tape.create()
    file = tape.open()
    file.append("w1", 1, an_interaction(1))
    tape.path.write_bytes(spoiled)
    for _ in range(2):
        with pytest.raises(StoreError, match=r"chat\.yaml: is not "):
            file.append("w1", 2, an_interaction(2))
        assert tape.content == spoiled
    tape.path.write_bytes(the_file(1))
    file.append("w1", 2, an_interaction(2))

    assert tape.content == the_file(1, 2)


def test_a_folder_that_was_deleted_is_made_again(tmp_path: Path) -> None:
    path = tmp_path / "cassettes" / "chat.yaml"
    store.create(path, Layout.CHARM, append=False, overwrite=False)
    with contextlib.closing(CassetteFile(path, tmp_path / "ledger", Layout.CHARM)) as file:
        file.append("w1", 1, an_interaction(1))
        shutil.rmtree(path.parent)
        file.append("w1", 2, an_interaction(2))

    assert path.read_bytes() == the_file(2)


def test_an_error_while_looking_at_the_file_is_a_store_error(
    tape: Tape, monkeypatch: pytest.MonkeyPatch
) -> None:
    tape.create()
    file = tape.open()
    file.append("w1", 1, an_interaction(1))
    stat = Path.stat

    def refuse(self: Path, **how: bool) -> os.stat_result:
        if self == tape.path:
            raise PermissionError(errno.EACCES, "Permission denied")
        return stat(self, **how)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "stat", refuse)
        with pytest.raises(StoreError, match="cannot open the cassette: Permission denied; change its mode"):
            file.append("w1", 2, an_interaction(2))
    file.append("w1", 2, an_interaction(2))
    assert tape.content == the_file(1, 2)


def test_what_its_owner_deleted_while_nobody_was_at_work_is_not_written_again(tape: Tape) -> None:
    tape.create()
    tape.record(1, 2)
    tape.path.unlink()
    tape.record(1, 2, 3)

    assert tape.content == the_file(3)


def test_an_append_is_found_again_behind_an_edit(tape: Tape) -> None:
    tape.create()
    tape.record(1, 2)
    shorter = tape.content.replace(b"of 1\n", b"1\n", 1)
    tape.path.write_bytes(shorter)
    tape.record(1, 2)

    assert tape.content == shorter


@pytest.mark.parametrize(
    "theirs",
    [
        b"- id: 9\n",
        b"# notes behind the last interaction\n",
        b"\n",
        the_file(5)[len(b"---\nversion: 2\ninteractions:\n") :],
        the_file(1, 5)[len(the_file(1)) :].replace(b"line\n      of 5\n", b"text\n", 1),
    ],
)
def test_what_somebody_wrote_behind_the_cassette_is_never_cut(tape: Tape, theirs: bytes) -> None:
    tape.create()
    tape.record(1)
    there = tape.content
    tape.record(1, 2)
    content = there + theirs
    tape.path.write_bytes(content)

    with contextlib.suppress(StoreError):
        tape.record(1, 2)
    assert tape.content.startswith(content)


def test_another_file_of_about_the_same_length_is_never_cut(tape: Tape) -> None:
    tape.create()
    tape.record(1)
    there = len(tape.content)
    tape.record(1, 2)
    other = b"x" * (there + 20)
    tape.path.write_bytes(other)

    with pytest.raises(StoreError, match="is not a cassette"):
        tape.open()
    assert tape.content == other


def test_a_cassette_that_cannot_be_opened_leaves_no_file_open(tape: Tape) -> None:
    tape.path.write_bytes(b"no cassette")
    lowest = os.dup(0)
    os.close(lowest)
    for _ in range(3):
        with pytest.raises(StoreError):
            CassetteFile(tape.path, tape.ledger, Layout.CHARM)
    after = os.dup(0)
    os.close(after)

    assert after == lowest


def test_syncing_is_of_cassette_and_ledger(plain: Tape, monkeypatch: pytest.MonkeyPatch) -> None:
    plain.create()
    file = plain.open()
    file.append("w1", 1, an_interaction(1))
    synced = []
    monkeypatch.setattr(os, "fsync", lambda handle: synced.append(os.fstat(handle).st_ino))
    file.sync()

    assert synced == [plain.path.stat().st_ino, plain.ledger.stat().st_ino]
