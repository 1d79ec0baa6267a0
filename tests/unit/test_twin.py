from __future__ import annotations

import contextlib
import errno
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cassette import codec, store
from cassette.errors import StoreError
from cassette.files import write_private_file
from cassette.model import Cassette, Interaction, Layout, Request, Response
from cassette.store import CassetteFile
from cassette.twin import exchange
from tests.support.smalldisk import small_disk

__all__ = ["small_disk"]

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="leases are Linux's; macOS clones instead")


def an_interaction(number: int, size: int = 10) -> Interaction:
    request = Request("GET", f"https://api.example.com/{number}")
    return Interaction(number, request, Response("200 OK", 200, b"%d" % (number % 10) * size))


def the_file(*numbers: int) -> bytes:
    interactions = (
        Interaction(at, one.request, one.response) for at, one in enumerate(map(an_interaction, numbers))
    )
    return codec.dumps(Cassette(tuple(interactions)))


class Killed(BaseException):
    """The process ended here."""


class Tape:
    """A cassette that is being written, and what happens as it changes places with its twin."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "cassettes"
        self.path = self.folder / "chat.yaml"
        self._ledger = folder / "ledger"
        self.before: Callable[[], object] | None = None
        self.after: Callable[[], object] | None = None
        self.file = self.open()

    def open(self) -> CassetteFile:
        """Begin anew, as another process."""
        self.file = CassetteFile(self.path, self._ledger, Layout.CHARM, exchange=self._exchange)
        return self.file

    def _exchange(self, one: Path, other: Path) -> None:
        before, after, self.before, self.after = self.before, self.after, None, None
        if before is not None:
            before()
        exchange(one, other)
        if after is not None:
            after()

    def add(self, *numbers: int) -> None:
        for number in numbers:
            if ("w1", number) not in self.file.done:
                self.file.append("w1", number, an_interaction(number))

    @property
    def content(self) -> bytes:
        return self.path.read_bytes()

    def beside(self) -> list[str]:
        """Return the names of the other files in the folder."""
        return sorted(path.name for path in self.folder.iterdir() if path != self.path)


@pytest.fixture
def tape(tmp_path: Path) -> Iterator[Tape]:
    tape = Tape(tmp_path)
    yield tape
    with contextlib.suppress(OSError):  # closed already
        tape.file.close()


def test_names_change_places(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    one.write_bytes(b"1")
    other.write_bytes(b"2")
    exchange(one, other)
    assert (one.read_bytes(), other.read_bytes()) == (b"2", b"1")
    with pytest.raises(FileNotFoundError):
        exchange(one, tmp_path / "missing")


def test_every_append_puts_another_file_in_the_cassettes_place(tape: Tape) -> None:
    seen = set()
    for number in range(1, 6):
        tape.add(number)
        assert tape.content == the_file(*range(1, number + 1))
        seen.add(tape.path.stat().st_ino)
        (twin,) = tape.beside()
        assert twin.startswith(".wiretape-")
        assert (tape.folder / twin).stat().st_mode & 0o777 == 0o600
    assert len(seen) == 2


def test_closing_leaves_the_cassette_alone(tape: Tape) -> None:
    tape.add(1, 2)
    tape.file.close()
    assert tape.beside() == []


def test_one_who_reads_keeps_what_the_cassette_was(tape: Tape) -> None:
    tape.add(1, 2)
    with tape.path.open("rb", buffering=0) as reader:
        begun = reader.read(20)
        tape.add(3, 4, 5)
        assert begun + reader.read() == the_file(1, 2)
    assert tape.content == the_file(1, 2, 3, 4, 5)


def test_one_who_opens_the_twin_waits_until_it_is_whole(tape: Tape, monkeypatch: pytest.MonkeyPatch) -> None:
    tape.add(1, 2)
    (twin,) = tape.beside()
    readers: list[subprocess.Popen[bytes]] = []
    writev = os.writev

    def opened_meanwhile(handle: int, pieces: list[memoryview]) -> int:
        if os.path.samestat(os.fstat(handle), (tape.folder / twin).stat()) and not readers:
            same = tape.folder / "same"  # the name of the twin is about to be another file's
            os.link(tape.folder / twin, same)
            with pytest.raises(BlockingIOError):
                os.open(same, os.O_RDONLY | os.O_NONBLOCK)
            readers.append(subprocess.Popen(["cat", same], stdout=subprocess.PIPE))
        return writev(handle, pieces)

    monkeypatch.setattr(os, "writev", opened_meanwhile)
    tape.add(3)
    (reader,) = readers
    assert reader.communicate()[0] == the_file(1, 2, 3)


def test_an_append_reads_and_writes_what_two_interactions_are(
    tape: Tape, monkeypatch: pytest.MonkeyPatch
) -> None:
    tape.add(*range(1, 300))
    moved = 0
    pread, writev = os.pread, os.writev

    def reading(handle: int, size: int, at: int) -> bytes:
        nonlocal moved
        moved += size
        return pread(handle, size, at)

    def writing(handle: int, pieces: list[memoryview]) -> int:
        nonlocal moved
        done = writev(handle, pieces)
        moved += done
        return done

    monkeypatch.setattr(os, "pread", reading)
    monkeypatch.setattr(os, "writev", writing)
    one = len(the_file(1, 2)) - len(the_file(1))
    tape.add(300)
    assert 0 < moved < 5 * one  # the last one read and written, the new one written, the ledger's line


# what others do meanwhile


def in_place(tape: Tape) -> bytes:
    edited = the_file(1, 2).replace(b"/2", b"/8")
    with tape.path.open("r+b") as file:
        file.write(edited)
    return edited


def replaced(tape: Tape) -> bytes:
    write_private_file(tape.path, the_file(7, 8, 9))
    return the_file(7, 8, 9)


def appended(tape: Tape) -> bytes:
    with tape.path.open("ab") as file:
        file.write(the_file(1, 2, 5)[len(the_file(1, 2)) :])
    return the_file(1, 2, 5)


@pytest.mark.parametrize("edit", [in_place, replaced, appended])
def test_an_edit_just_before_the_places_change_is_kept(tape: Tape, edit: Callable[[Tape], bytes]) -> None:
    tape.add(1, 2)
    edited = b""

    def before() -> None:
        nonlocal edited
        edited = edit(tape)

    tape.before = before
    tape.add(3)
    assert tape.content.startswith(edited)
    added = codec.loads(tape.content).interactions[codec.loads(edited).interactions[-1].id + 1 :]
    assert [one.request.url for one in added] == ["https://api.example.com/3"]
    assert codec.dumps(codec.loads(tape.content)) == tape.content


@pytest.mark.parametrize("edit", [in_place, replaced, appended])
def test_an_edit_between_two_appends_is_kept(tape: Tape, edit: Callable[[Tape], bytes]) -> None:
    tape.add(1, 2)
    edited = edit(tape)
    tape.add(3)
    assert tape.content.startswith(edited)


def test_two_edits_one_after_the_other_leave_the_later_one(tape: Tape) -> None:
    tape.add(1, 2)
    tape.before = lambda: write_private_file(tape.path, the_file(7))
    tape.after = lambda: write_private_file(tape.path, the_file(8))
    tape.add(3)
    assert tape.content == the_file(8, 3)


def test_a_cassette_deleted_just_before_the_places_change_begins_anew(tape: Tape) -> None:
    tape.add(1, 2)
    tape.before = tape.path.unlink
    tape.add(3)
    assert tape.content == the_file(3)


def test_an_edit_of_what_has_just_ceased_to_be_the_cassette_is_kept_beside_it(tape: Tape) -> None:
    tape.add(1, 2)
    with tape.path.open("r+b") as editor:
        tape.add(3)
        editor.write(b"# mine\n")
    tape.add(4)
    assert tape.content == the_file(1, 2, 3, 4)
    assert (tape.folder / "chat.edited-1.yaml").read_bytes().startswith(b"# mine\n")


def test_one_who_changes_the_cassette_all_the_time_is_told_of(tape: Tape) -> None:
    tape.add(1, 2)

    def again() -> None:
        replaced(tape)
        tape.before = again

    tape.before = again
    with pytest.raises(StoreError, match="is being changed by another program; tried again in a moment"):
        tape.add(3)
    tape.before = None
    tape.add(3)
    assert tape.content == the_file(7, 8, 9, 3)


def test_rights_that_were_changed_are_kept(tape: Tape) -> None:
    tape.add(1, 2)
    tape.path.chmod(0o640)
    tape.add(3, 4)
    assert tape.path.stat().st_mode & 0o777 == 0o640
    assert tape.content == the_file(1, 2, 3, 4)


def test_extended_attributes_are_kept(tape: Tape) -> None:
    try:
        os.setxattr(tape.path, "user.note", b"mine")
    except OSError:
        pytest.skip("this file system has no extended attributes")
    tape.add(1, 2, 3)
    assert os.getxattr(tape.path, "user.note") == b"mine"


# where there cannot be a twin


def test_a_cassette_with_two_names_grows_under_both(tape: Tape) -> None:
    tape.add(1, 2)
    os.link(tape.path, tape.folder / "other.yaml")
    tape.add(3, 4)
    assert tape.beside() == ["other.yaml"]
    assert (tape.folder / "other.yaml").read_bytes() == tape.content == the_file(1, 2, 3, 4)


def test_a_name_given_to_what_is_the_twin_now_is_left_as_it_was(tape: Tape) -> None:
    tape.add(1, 2)
    tape.before = lambda: os.link(tape.path, tape.folder / "backup.yaml")
    tape.add(3)
    tape.add(4)
    assert (tape.folder / "backup.yaml").read_bytes() == the_file(1, 2)
    assert tape.content == the_file(1, 2, 3, 4)


@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOSYS, errno.EBUSY])
def test_where_names_cannot_change_places_the_cassette_grows_all_the_same(tape: Tape, number: int) -> None:
    def refuse() -> None:
        raise OSError(number, os.strerror(number))

    tape.before = refuse
    tape.add(1)
    before = tape.path.stat().st_ino
    tape.add(2, 3)
    assert tape.path.stat().st_ino == before
    assert tape.beside() == []
    assert tape.content == the_file(1, 2, 3)


def test_where_nobody_may_hold_a_file_for_himself_the_cassette_grows_all_the_same(
    tape: Tape, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))

    monkeypatch.setattr("fcntl.fcntl", refuse)
    tape.add(1, 2, 3)
    assert tape.beside() == []
    assert tape.content == the_file(1, 2, 3)


def test_a_disk_without_room_for_a_second_file_takes_what_fits(small_disk: Path, tmp_path: Path) -> None:
    path = small_disk / "chat.yaml"
    with contextlib.closing(CassetteFile(path, tmp_path / "ledger", Layout.CHARM)) as file:
        for number in range(4):
            file.append("w1", number, an_interaction(number, 100_000))
        with pytest.raises(StoreError, match="No space left on device; make room on the disk"):
            file.append("w1", 4, an_interaction(4, 200_000))
        assert len(store.load(path).interactions) == 4


def test_the_end_of_the_disk_leaves_the_twin_and_the_cassette_as_they_were(tape: Tape) -> None:
    tape.add(1, 2)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(tape.content) + 40, hard))
    try:
        for _ in range(2):
            with pytest.raises(StoreError, match="cannot write the cassette: File too large"):
                tape.add(3)
            assert tape.content == the_file(1, 2)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)
    tape.add(3)
    assert tape.content == the_file(1, 2, 3)


# a kill, and a power cut


@pytest.mark.parametrize("there", [(), (1,), (1, 2)])
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_kill_as_the_places_change_loses_nothing_and_writes_nothing_twice(
    tape: Tape, there: tuple[int, ...], when: str
) -> None:
    tape.add(*there)

    def kill() -> None:
        raise Killed

    setattr(tape, when, kill)
    with pytest.raises(Killed):
        tape.add(9)
    assert tape.content == codec.dumps(codec.loads(tape.content))
    killed = tape.file
    killed._twin = None  # a process that was killed closes nothing
    assert len(tape.beside()) == 1
    tape.open()
    assert tape.beside() == []
    tape.add(*there, 9, 10)
    assert tape.content == the_file(*there, 9, 10)
    killed.close()


def test_a_sync_is_of_both_files_with_all_there_is(tape: Tape, monkeypatch: pytest.MonkeyPatch) -> None:
    tape.add(1, 2, 3)
    synced = {}
    fsync = os.fsync

    def syncing(handle: int) -> None:
        found = os.fstat(handle)
        synced[found.st_ino] = found.st_size
        fsync(handle)

    monkeypatch.setattr(os, "fsync", syncing)
    tape.file.sync()
    (twin,) = tape.beside()
    for path in (tape.path, tape.folder / twin):
        assert synced[path.stat().st_ino] == len(the_file(1, 2, 3))
    assert (tape.folder / twin).read_bytes() == tape.content
    tape.add(4)
    assert tape.content == the_file(1, 2, 3, 4)


def test_a_sync_with_a_reader_at_the_twin_leaves_the_reader_alone(tape: Tape) -> None:
    tape.add(1, 2)
    with tape.path.open("rb", buffering=0) as reader:
        tape.add(3)
        tape.file.sync()
        assert reader.read() == the_file(1, 2)
    tape.add(4)
    assert tape.content == the_file(1, 2, 3, 4)
