from __future__ import annotations

import contextlib
import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from cassette import codec, files, store
from cassette.emitter import EMPTY_DOCUMENT, document_head
from cassette.errors import CassetteError, StoreError
from cassette.model import Layout
from cassette.store import Arrival, CassetteFile
from tests.support.cassette_files import (
    LAYOUTS,
    Refusing,
    Tape,
    an_interaction,
    arrivals,
    either,
    plain,
    refusing,
    tape,
    the_file,
)
from tests.support.smalldisk import fill, small_disk

__all__ = ["either", "plain", "refusing", "small_disk", "tape"]


# exactly once


def test_what_was_appended_is_known_after_opening_again(tape: Tape) -> None:
    tape.create()
    tape.record(1, 2)

    assert tape.open().done == {("w1", 1), ("w1", 2)}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("before", [(), (1,), (1, 2)])
def test_a_kill_between_announcing_and_appending_loses_nothing(
    tape: Tape, refusing: Refusing, layout: Layout, before: tuple[int, ...]
) -> None:
    tape.create(layout)
    tape.record(*before, layout=layout)
    there = tape.content
    tape.record(*before, 3, layout=layout)
    tape.path.write_bytes(there)  # announced, and that is all

    tape.record(*before, 3, 4, layout=layout)
    assert tape.content == the_file(*before, 3, 4, layout=layout)


@pytest.mark.parametrize(
    ("layout", "before", "every"),
    [
        (Layout.CHARM, (1,), 1),
        (Layout.CHARM, (1, 2), 7),
        (Layout.GO_VCR, (1,), 7),
        (Layout.GO_VCR, (1, 2), 13),
    ],
)
def test_a_kill_in_the_middle_of_an_append_is_undone_at_every_byte(
    tape: Tape, layout: Layout, before: tuple[int, ...], every: int
) -> None:
    tape.create(layout)
    tape.record(*before, layout=layout)
    there = len(tape.content)
    tape.record(*before, 3, layout=layout)
    whole, ledger = tape.content, tape.ledger.read_bytes()
    for end in [*range(there, len(whole), every), len(whole)]:
        tape.path.write_bytes(whole[:end])
        tape.ledger.write_bytes(ledger)
        tape.record(*before, 3, layout=layout)
        assert tape.content == whole, end


def test_several_at_once_are_as_if_one_by_one(either: Tape) -> None:
    either.create()
    with contextlib.closing(
        CassetteFile(either.path, either.ledger, Layout.CHARM, exchange=either.exchange)
    ) as file:
        file.append_all("w1", arrivals(1, 2))
        file.append_all("w1", arrivals(3, 4, 5))
        assert file.append("w1", 6, an_interaction(6)) == 5

    assert either.content == the_file(1, 2, 3, 4, 5, 6)
    assert either.open().done == {("w1", number) for number in range(1, 7)}


@pytest.mark.parametrize(("before", "every"), [((), 7), ((1,), 1)])
def test_a_kill_in_the_middle_of_several_is_undone_at_every_byte(
    tape: Tape, before: tuple[int, ...], every: int
) -> None:
    tape.create()
    tape.record(*before)
    ends = [len(the_file(*before, *range(3, number))) for number in (3, 4, 5, 6)]
    there = ends[0] if before else len(document_head())
    with contextlib.closing(CassetteFile(tape.path, tape.ledger, Layout.CHARM)) as file:
        file.append_all("w1", arrivals(3, 4, 5))
    whole, ledger = tape.content, tape.ledger.read_bytes()
    for end in sorted({*range(there, len(whole), every), *ends[1:]}):
        tape.path.write_bytes(whole[:end])
        tape.ledger.write_bytes(ledger)
        tape.record(*before, 3, 4, 5)
        assert tape.content == whole, end


def test_others_that_are_written_together_after_a_full_disk_lose_nothing_to_a_kill(
    either: Tape, refusing: Refusing
) -> None:
    either.create()
    file = either.open()
    with refusing.cassette_after(either, 10), pytest.raises(StoreError):
        file.append_all("w1", arrivals(1, 2, 3))
    file.append_all("w1", arrivals(1, 2))

    either.record(1, 2, 3)
    assert either.content == the_file(1, 2, 3)


@pytest.mark.parametrize("again", [(1,), (1, 2), (1, 2, 3)])
def test_what_was_written_before_the_error_is_not_written_twice_in_other_company(
    plain: Tape, monkeypatch: pytest.MonkeyPatch, again: tuple[int, ...]
) -> None:
    plain.create()
    file = plain.open()

    def refuse(_: Path) -> None:
        raise OSError(errno.EIO, "no")

    with monkeypatch.context() as patched:
        patched.setattr(files, "sync_folder", refuse)
        with pytest.raises(StoreError):
            file.append_all("w1", arrivals(1, 2))
    file.append_all("w1", arrivals(*again))
    file.append_all("w1", arrivals(*({2, 3, 4} - {*again})))

    assert plain.content == the_file(1, 2, 3, 4)


def test_the_ids_are_told_before_anything_is_written(either: Tape, refusing: Refusing) -> None:
    either.create()
    file = either.open()
    told: list[int] = []
    both = [Arrival(number, an_interaction(number), told.append) for number in (1, 2)]
    with refusing.cassette_after(either, 10), pytest.raises(StoreError):
        file.append_all("w1", both)
    file.append_all("w1", both)

    assert told == [0, 1, 0, 1]


def test_zeros_of_a_power_cut_are_undone(tape: Tape) -> None:
    tape.create()
    tape.record(1)
    there = len(tape.content)
    tape.record(1, 2)
    whole = tape.content
    for kept in (there, there + 30):
        tape.path.write_bytes(whole[:kept] + bytes(len(whole) - kept))
        tape.record(1, 2)
        assert tape.content == whole


def test_a_kill_while_a_full_disk_refuses_the_same_exchange_again_and_again_loses_nothing(
    either: Tape, refusing: Refusing
) -> None:
    either.create()
    either.record(1)
    file = either.open()
    with refusing.cassette_after(either, 10):
        for _ in range(3):
            with pytest.raises(StoreError):
                file.append("w1", 2, an_interaction(2))
    assert len(either.ledger.read_bytes().splitlines()) == 1

    either.record(1, 2, 3)
    assert either.content == the_file(1, 2, 3)


@pytest.mark.parametrize("written", [0, 1, 100])
def test_a_disk_that_refuses_leaves_the_file_as_it_was(
    either: Tape, refusing: Refusing, written: int
) -> None:
    either.create()
    file = either.open()
    file.append("w1", 1, an_interaction(1))
    with (
        refusing.cassette_after(either, written),
        pytest.raises(
            StoreError, match=r"chat\.yaml: cannot write the cassette: No space left on device; make"
        ),
    ):
        file.append("w1", 2, an_interaction(2))
    assert either.content == the_file(1)

    assert file.append("w1", 2, an_interaction(2)) == 1
    assert either.content == the_file(1, 2)


def test_a_disk_that_refuses_even_to_undo_is_dealt_with_by_the_next_call(
    plain: Tape, refusing: Refusing
) -> None:
    plain.create()
    file = plain.open()
    file.append("w1", 1, an_interaction(1))
    with refusing.cassette_after(plain, 50), refusing.call("ftruncate", errno.EIO), pytest.raises(StoreError):
        file.append("w1", 2, an_interaction(2))
    assert len(plain.content) == len(the_file(1)) + 50

    file.append("w1", 2, an_interaction(2))
    assert plain.content == the_file(1, 2)


@pytest.mark.parametrize("call", ["writev", "fchmod"])
def test_a_disk_that_refuses_the_first_interaction_leaves_the_file_as_it_was(
    either: Tape, refusing: Refusing, call: str
) -> None:
    either.create()
    file = either.open()
    with refusing.call(call), pytest.raises(StoreError):
        file.append("w1", 1, an_interaction(1))
    assert either.content == EMPTY_DOCUMENT

    file.append("w1", 1, an_interaction(1))
    assert either.content == the_file(1)


def test_a_first_interaction_that_was_written_before_the_error_is_not_written_twice(
    plain: Tape, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain.create()
    file = plain.open()

    def refuse(_: Path) -> None:
        raise OSError(errno.EIO, "no")

    with monkeypatch.context() as patched:
        patched.setattr(files, "sync_folder", refuse)
        with pytest.raises(StoreError):
            file.append("w1", 1, an_interaction(1))
    assert file.append("w1", 1, an_interaction(1)) == 0
    assert file.append("w1", 2, an_interaction(2)) == 1

    assert plain.content == the_file(1, 2)


def test_what_a_kill_of_the_first_write_left_is_removed(plain: Tape, monkeypatch: pytest.MonkeyPatch) -> None:
    plain.create()
    with monkeypatch.context() as killed:
        killed.setattr(Path, "replace", lambda *_: None)
        file = plain.open()
        with contextlib.suppress(CassetteError):
            file.append("w1", 1, an_interaction(1))
    assert len(list(plain.path.parent.glob(".*"))) == 1
    plain.record(1)

    assert list(plain.path.parent.glob(".*")) == []
    assert plain.content == the_file(1)


def test_a_full_disk_is_recovered_from(
    small_disk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = small_disk / "chat.yaml"
    store.create(path, Layout.CHARM, append=False, overwrite=False)
    with contextlib.closing(CassetteFile(path, tmp_path / "ledger", Layout.CHARM)) as file:
        file.append("w1", 1, an_interaction(1))
        filler = fill(small_disk)
        large = an_interaction(2, body=b"line\n" * 20_000)
        for _ in range(2):
            with monkeypatch.context() as patched:
                patched.delattr(
                    codec, "loads"
                )  # it is tried each second: no time to read a long cassette anew
                with pytest.raises(StoreError, match="No space left on device; make room on the disk"):
                    file.append("w1", 2, large)
            assert path.read_bytes() == the_file(1)
        filler.unlink()
        file.append("w1", 2, large)

    assert [one.response.body for one in store.load(path).interactions][1] == large.response.body


def test_a_limit_on_the_size_of_files_leaves_the_file_as_it_was(either: Tape) -> None:
    either.create()
    either.record(1, 2)
    code = """
import pathlib, resource, signal, sys
from cassette.errors import StoreError
from cassette.model import Layout
from cassette.store import Arrival, CassetteFile
from tests.unit.test_store import an_interaction
path, ledger, limit = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]), int(sys.argv[3])
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
file = CassetteFile(path, ledger, Layout.CHARM)
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
try:
    file.append("w1", 3, an_interaction(3))
except StoreError as exc:
    print(exc)
"""
    limit = len(either.content) + 40
    done = subprocess.run(
        [sys.executable, "-c", code, either.path, either.ledger, str(limit)],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(Path(store.__file__).parents[1])},
    )
    assert done.stdout == (
        f"{either.path}: cannot write the cassette: File too large; raise the limit on the size of a file (ulimit -f)\n"
    )
    assert either.content == the_file(1, 2)
    either.record(1, 2, 3)
    assert either.content == the_file(1, 2, 3)
