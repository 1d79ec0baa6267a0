from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from cassette import codec, store
from cassette.emitter import EMPTY_DOCUMENT
from cassette.errors import FormatError, StoreError
from cassette.model import Interaction, Layout, Request, Response
from tests.support.cassette_files import (
    LAYOUTS,
    Refusing,
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


# load


def test_a_cassette_is_loaded(tape: Tape) -> None:
    tape.path.write_bytes(the_file(1, 2))

    assert [one.id for one in store.load(tape.path).interactions] == [0, 1]
    assert store.load(str(tape.path)) == store.load(tape.path)


def test_a_file_that_is_missing_is_named(tape: Tape) -> None:
    with pytest.raises(StoreError, match=r"chat\.yaml: cannot read: No such file"):
        store.load(tape.path)


def test_a_file_that_is_no_cassette_is_named_with_the_line(tape: Tape) -> None:
    tape.path.write_bytes(b"---\nversion: 2\ninteractions: 5\n")

    with pytest.raises(FormatError, match=r"chat\.yaml: line 3: "):
        store.load(tape.path)


# create


def test_a_new_cassette_is_empty_and_private(tape: Tape) -> None:
    before = os.umask(0)
    try:
        assert tape.create() == 0
    finally:
        os.umask(before)

    assert tape.content == EMPTY_DOCUMENT
    assert tape.path.stat().st_mode & 0o777 == 0o600


def test_the_folder_of_a_new_cassette_is_made(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        store.create(tmp_path / "a" / "b" / "c.yaml", Layout.CHARM, append=False, overwrite=False)
    finally:
        os.umask(before)

    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "a" / "b").stat().st_mode & 0o777 == 0o700


def test_a_new_cassette_is_synced_with_its_folder(tape: Tape, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[Path] = []
    monkeypatch.setattr(store, "sync_folder", synced.append)
    tape.create()

    assert synced == [tape.path.parent]


@pytest.mark.parametrize("call", ["writev", "fsync"])
def test_a_new_cassette_that_cannot_be_written_leaves_no_file(
    tape: Tape, refusing: Refusing, call: str
) -> None:
    with refusing.call(call), pytest.raises(StoreError, match="cannot make the cassette: No space left"):
        tape.create()

    assert not tape.path.exists()
    assert tape.create() == 0


def test_one_that_exists_is_refused(tape: Tape) -> None:
    tape.path.write_bytes(b"theirs")

    with pytest.raises(StoreError, match=r"chat\.yaml: exists already; use --append, --overwrite or another"):
        tape.create()
    assert tape.content == b"theirs"


def test_overwriting_makes_it_empty(tape: Tape) -> None:
    tape.path.write_bytes(b"theirs")

    assert tape.create(how="overwrite") == 0
    assert tape.content == EMPTY_DOCUMENT


def test_overwriting_keeps_a_symlink(tape: Tape, tmp_path: Path) -> None:
    (tmp_path / "real.yaml").write_bytes(b"theirs")
    tape.path.symlink_to("real.yaml")
    tape.create(how="overwrite")

    assert tape.path.is_symlink()
    assert (tmp_path / "real.yaml").read_bytes() == EMPTY_DOCUMENT


@pytest.mark.parametrize("how", ["", "append", "overwrite"])
def test_a_symlink_to_nothing_is_refused(tape: Tape, tmp_path: Path, how: str) -> None:
    tape.path.symlink_to(tmp_path / "nothing")

    with pytest.raises(StoreError, match="is a symlink to nothing; remove it or choose another --cassette"):
        tape.create(how=how)
    assert not (tmp_path / "nothing").exists()


@pytest.mark.parametrize("how", ["", "append", "overwrite"])
@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_what_is_no_regular_file_is_refused(tape: Tape, make: Callable[[Path], None], how: str) -> None:
    make(tape.path)

    with pytest.raises(StoreError, match="is not a regular file; choose another --cassette"):
        tape.create(how=how)


def test_appending_counts_what_is_there(tape: Tape) -> None:
    tape.path.write_bytes(the_file(1, 2, 3))

    assert tape.create(how="append") == 3
    assert tape.content == the_file(1, 2, 3)


def test_appending_to_another_layout_says_how(tape: Tape) -> None:
    tape.path.write_bytes(the_file(1, layout=Layout.GO_VCR))

    with pytest.raises(StoreError, match="is in the layout 'go-vcr'; append with --layout go-vcr"):
        tape.create(how="append")
    assert tape.create(Layout.GO_VCR, "append") == 1


@pytest.mark.parametrize("layout", LAYOUTS)
def test_an_empty_cassette_has_every_layout(tape: Tape, layout: Layout) -> None:
    tape.path.write_bytes(EMPTY_DOCUMENT)

    assert tape.create(layout, "append") == 0


def test_a_file_without_content_is_appended_to_and_keeps_its_mode(tape: Tape) -> None:
    tape.path.touch()
    tape.path.chmod(0o640)

    assert tape.create(how="append") == 0
    assert tape.content == EMPTY_DOCUMENT
    assert tape.path.stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"hello", "is not a cassette, "),
        (b"\0\0", "is not a cassette, "),
        (b"---\nversion: 1\ninteractions: []\n", "is not a cassette, line 2: version 1"),
        (b"version: 2\ninteractions: []\n", "is not laid out as go-vcr writes it"),
        (the_file(1) + b"# by hand\n", "is not laid out as go-vcr writes it"),
        (the_file(1)[:-1], "is not laid out as go-vcr writes it"),
    ],
)
def test_appending_to_what_go_vcr_did_not_write_is_refused(tape: Tape, content: bytes, message: str) -> None:
    tape.path.write_bytes(content)

    with pytest.raises(StoreError) as caught:
        tape.create(how="append")
    text = str(caught.value)
    assert text.startswith(f"{tape.path}: {message}")
    assert "\n" not in text
    assert "another --cassette" in text
    assert tape.content == content


# append


@pytest.mark.parametrize("layout", LAYOUTS)
def test_what_is_appended_is_what_would_be_written_at_once(either: Tape, layout: Layout) -> None:
    either.create(layout)
    file = either.open(layout)
    for count, number in enumerate((5, 6, 7), start=1):
        assert file.append("w1", number, an_interaction(number)) == count - 1
        assert either.content == the_file(*(5, 6, 7)[:count], layout=layout)


def test_ids_go_on_behind_those_of_an_existing_cassette(either: Tape) -> None:
    either.path.write_bytes(the_file(1, 2, 3))

    assert either.open().append("w1", 4, an_interaction(4)) == 3
    assert either.content == the_file(1, 2, 3, 4)


def test_a_large_interaction_is_appended_in_pieces(either: Tape) -> None:
    either.create()
    file = either.open()
    large = an_interaction(1, body=os.urandom(300_000) + b"\n".join(b"line" for _ in range(50_000)))
    for number in range(2):
        file.append("w1", number, large)

    assert [one.response.body for one in store.load(either.path).interactions] == [large.response.body] * 2


def test_the_first_interaction_keeps_mode_and_symlink(either: Tape, tmp_path: Path) -> None:
    (tmp_path / "real.yaml").write_bytes(EMPTY_DOCUMENT)
    (tmp_path / "real.yaml").chmod(0o644)
    either.path.symlink_to("real.yaml")
    either.record(1)

    assert either.path.is_symlink()
    assert (tmp_path / "real.yaml").read_bytes() == the_file(1)
    assert (tmp_path / "real.yaml").stat().st_mode & 0o777 == 0o644


def test_an_append_reads_nothing_of_the_file(either: Tape, monkeypatch: pytest.MonkeyPatch) -> None:
    either.create()
    file = either.open()
    file.append("w1", 1, an_interaction(1))

    def refuse(*_: object) -> bytes:
        raise AssertionError("read")

    with monkeypatch.context() as patched:
        patched.setattr(Path, "read_bytes", refuse)
        patched.setattr(codec, "loads", refuse)
        file.append("w1", 2, an_interaction(2))
    assert either.content == the_file(1, 2)


def test_an_interaction_that_cannot_be_written_down_changes_nothing(tape: Tape) -> None:
    tape.create()
    file = tape.open()
    odd = Interaction(0, Request("GET", "\ud800"), Response("200 OK", 200))
    with pytest.raises(UnicodeEncodeError):
        file.append("w1", 1, odd)
    file.append("w1", 2, an_interaction(2))

    assert tape.content == the_file(2)
