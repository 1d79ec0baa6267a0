from __future__ import annotations

import contextlib
import errno
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from cassette import codec, files, store
from cassette.emitter import EMPTY_DOCUMENT, document_head
from cassette.errors import CassetteError, FormatError, StoreError
from cassette.model import Cassette, Interaction, Layout, Request, Response
from cassette.store import Arrival, CassetteFile
from cassette.twin import Exchange, exchange
from tests.support.smalldisk import fill, small_disk

__all__ = ["small_disk"]

LAYOUTS = list(Layout)


def an_interaction(number: int, *, body: bytes = b"") -> Interaction:
    return Interaction(
        number,
        Request("GET", f"https://api.example.com/{number}", headers={"Accept": ("*/*",)}),
        Response("200 OK", 200, body or b"line\nof %d\n" % number, content_length=number),
    )


def the_file(*numbers: int, layout: Layout = Layout.CHARM) -> bytes:
    """Return the cassette of these interactions, ids from 0."""
    interactions = tuple(
        Interaction(index, one.request, one.response)
        for index, one in enumerate(map(an_interaction, numbers))
    )
    return codec.dumps(Cassette(interactions, layout=layout))


def arrivals(*numbers: int) -> list[Arrival]:
    return [Arrival(number, an_interaction(number)) for number in numbers]


class Tape:
    """A cassette and its ledger; `open` is a new process as far as the store can tell."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "chat.yaml"
        self.ledger = folder / "state" / "ledger"
        self.ledger.parent.mkdir()
        self.exchange: Exchange = exchange
        self._opened = contextlib.ExitStack()

    def create(self, layout: Layout = Layout.CHARM, how: str = "") -> int:
        return store.create(self.path, layout, append=how == "append", overwrite=how == "overwrite")

    def open(self, layout: Layout = Layout.CHARM) -> CassetteFile:
        file = CassetteFile(self.path, self.ledger, layout, exchange=self.exchange)
        return self._opened.enter_context(contextlib.closing(file))

    def record(self, *numbers: int, layout: Layout = Layout.CHARM) -> None:
        """Append these in a process of their own, leaving out what is there."""
        file = CassetteFile(self.path, self.ledger, layout, exchange=self.exchange)
        for number in numbers:
            if ("w1", number) not in file.done:
                file.append("w1", number, an_interaction(number))
        file.close()

    def close(self) -> None:
        self._opened.close()

    @property
    def content(self) -> bytes:
        return self.path.read_bytes()


@pytest.fixture
def tape(tmp_path: Path) -> Iterator[Tape]:
    with contextlib.closing(Tape(tmp_path)) as tape:
        yield tape


@pytest.fixture
def plain(tape: Tape) -> Tape:
    """A cassette on a file system that cannot make two names change places, such as NFS."""

    def refuse(one: Path, other: Path) -> None:
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL), one, None, other)

    tape.exchange = refuse
    return tape


@pytest.fixture(params=["in one step", "plain"])
def either(tape: Tape, request: pytest.FixtureRequest) -> Tape:
    """A cassette on either kind of file system."""
    return tape if request.param == "in one step" else request.getfixturevalue("plain")


class Refusing:
    """Makes calls of `os` fail from now on, and stop failing."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._monkeypatch = monkeypatch

    @contextlib.contextmanager
    def call(self, name: str, number: int = errno.ENOSPC) -> Iterator[None]:
        def refuse(*_: object, **__: object) -> None:
            raise OSError(number, os.strerror(number))

        with self._monkeypatch.context() as patched:
            patched.setattr(os, name, refuse)
            yield

    @contextlib.contextmanager
    def cassette_after(self, tape: Tape, written: int) -> Iterator[None]:
        """Write so many bytes of the next text, then say that the disk is full; the ledger's disk is not."""
        writev = os.writev
        left = written

        def short(handle: int, buffers: Sequence[Any]) -> int:
            nonlocal left
            if os.path.samestat(tape.ledger.stat(), os.fstat(handle)):
                return writev(handle, buffers)
            if not left:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            done = writev(handle, [b"".join(buffers)[:left]])
            left -= done
            return done

        with self._monkeypatch.context() as patched:
            patched.setattr(os, "writev", short)
            yield


@pytest.fixture
def refusing(monkeypatch: pytest.MonkeyPatch) -> Refusing:
    return Refusing(monkeypatch)


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


def test_a_full_disk_is_recovered_from(small_disk: Path, tmp_path: Path) -> None:
    path = small_disk / "chat.yaml"
    store.create(path, Layout.CHARM, append=False, overwrite=False)
    with contextlib.closing(CassetteFile(path, tmp_path / "ledger", Layout.CHARM)) as file:
        file.append("w1", 1, an_interaction(1))
        filler = fill(small_disk)
        large = an_interaction(2, body=b"line\n" * 20_000)
        for _ in range(2):
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
