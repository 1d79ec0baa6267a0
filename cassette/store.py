"""Cassette files: load, create, and append one interaction at a time, exactly once across crashes.

An append is announced in the *ledger*, a small file beside the journal, before the cassette grows:

    ledger: "I am about to write the interaction of exchange w1/42: 512 bytes, this checksum, at offset 9000"
    cassette: the 512 bytes

After a crash the last announcement is compared with the cassette: the bytes are there (the exchange is done), or
not, or in part (the part is cut off and the exchange written again). So nothing stands twice and nothing is lost.
Interactions that are there at the same time are announced and written together: most of what an append costs is
asked of the system once for all of them.
A file that is not what was left there is never cut: only the beginning of the one text that was announced is. Where
the file system lets it, the cassette grows in one step (`twin`), and there is no part to be cut off.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from zlib import crc32

from cassette import codec, emitter
from cassette.errors import FormatError, StoreError
from cassette.files import (
    as_store_error,
    make_private_folder,
    remove_leftovers,
    sync_folder,
    temporary_prefix,
    write_all,
    write_private_file,
)
from cassette.ledger import Announcement, Ledger, Part
from cassette.model import Cassette, Interaction, Layout, Request, Response
from cassette.twin import (
    ChangedError,
    Exchange,
    NoTwinError,
    Standing,
    Twin,
    exchange,
    require_room,
    stamp,
)

_ATTEMPTS = 5
"""How often somebody else may change the file while one interaction is written."""
_NO_SECOND_NAMES = frozenset({errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK})
"""From file systems without hard links, such as exFAT."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """An interaction for a cassette, and the exchange that it was."""

    exchange: int
    """Its number among those of its writer."""
    interaction: Interaction
    before: Callable[[int], None] | None = None
    """Told the id before anything is written, in each attempt."""


def load(path: str | os.PathLike[str]) -> Cassette:
    """Read a cassette from a file.

    Raises StoreError when the file cannot be read, FormatError when it is not a cassette; both name the file.
    """
    where = Path(path)
    with as_store_error("read", where):
        data = where.read_bytes()
    try:
        return codec.loads(data)
    except FormatError as exc:
        exc.path = where
        raise


def create(path: Path, layout: Layout, *, append: bool, overwrite: bool) -> int:
    """Make sure that an appendable cassette is there and return how many interactions it holds.

    A new file is an empty cassette, 0600, in a folder that is made when it is missing. A file that is there is
    refused with StoreError, unless it is to be appended to (then it must be a cassette of the same layout, or
    have no content at all) or overwritten (then an empty one takes its place at once).
    """
    return _create(path, layout, append=append, overwrite=overwrite)[0]


def _create(path: Path, layout: Layout, *, append: bool, overwrite: bool) -> tuple[int, Standing | None]:
    """Do as `create` says; return how many interactions there are and how the file stood, unless it is new."""
    make_private_folder(path.parent)
    if _create_new(path):
        return 0, None
    with as_store_error("open the cassette", path):
        if path.is_symlink() and path.lstat().st_uid not in (0, os.geteuid()):
            raise StoreError(
                "is a symlink of another user; remove it or choose another --cassette", path=path
            )
        if path.is_symlink() and not path.exists():
            raise StoreError("is a symlink to nothing; remove it or choose another --cassette", path=path)
        if not stat.S_ISREG(path.stat().st_mode):
            raise StoreError("is not a regular file; choose another --cassette", path=path)
    if overwrite:
        # Written where a symlink points, as an editor would, so that the link stays.
        write_private_file(_target(path), emitter.EMPTY_DOCUMENT)
        return 0, None
    if not append:
        raise StoreError("exists already; use --append, --overwrite or another --cassette", path=path)
    if not os.access(path, os.W_OK):
        raise StoreError("is not writable; change its mode or choose another --cassette", path=path)
    return _examine(path, layout)


def _create_new(path: Path) -> bool:
    """Make an empty cassette unless there is something at this path, even a symlink to nothing."""
    if os.path.lexists(path):
        return False
    with as_store_error("make the cassette", path):
        handle, name = tempfile.mkstemp(prefix=temporary_prefix(path), dir=path.parent)  # made 0600
        try:
            try:
                write_all(handle, [emitter.EMPTY_DOCUMENT])
            finally:
                os.close(handle)
            if not _give_name(Path(name), path):
                return False
            try:
                sync_folder(path.parent)
            except BaseException:
                path.unlink(missing_ok=True)
                raise
        finally:
            Path(name).unlink(missing_ok=True)
    return True


def _give_name(written: Path, path: Path) -> bool:
    """Give a file that is whole a second name, unless there is something of that name; raises OSError."""
    try:
        os.link(written, path)
    except FileExistsError:
        return False
    except OSError as exc:
        if exc.errno not in _NO_SECOND_NAMES:
            raise
        written.replace(path)
    return True


def _examine(path: Path, layout: Layout) -> tuple[int, Standing | None]:
    """Return how many interactions a file has and how it stood, or raise StoreError: nothing can be appended."""
    with as_store_error("read the cassette", path):
        found = path.stat()
        data = path.read_bytes()
    if not data:  # of `touch`, or of a kill between making the file and writing it
        write_private_file(_target(path), emitter.EMPTY_DOCUMENT, mode=stat.S_IMODE(found.st_mode))
        return 0, None
    try:
        there = codec.loads(data)
    except FormatError as exc:
        raise StoreError(
            f"is not a cassette, {exc.message}; use --overwrite or another --cassette", path=path
        ) from exc
    if there.layout is not layout and there.interactions:
        raise StoreError(
            f"is in the layout {there.layout.value!r}; append with --layout {there.layout.value}", path=path
        )
    if codec.dumps(there) != data:
        raise StoreError(
            "is not laid out as go-vcr writes it, so text cannot be appended; use another --cassette",
            path=path,
        )
    return len(there.interactions), Standing.of(found)


def _target(path: Path) -> Path:
    with as_store_error("follow the symlink", path):
        return path.resolve(strict=True)


class CassetteFile:
    """A cassette that grows by whole interactions, each exactly once.

    The file may be edited, replaced or deleted by others between two appends: it is then looked at anew, and the
    ids go on behind what is there. One that cannot be appended to is left alone until it can.
    """

    def __init__(
        self, path: Path, ledger_path: Path, layout: Layout, *, exchange: Exchange = exchange
    ) -> None:
        """Open a cassette that `create` made; finish or undo the append that a crash interrupted."""
        self.path = path
        self.layout = layout
        self.count = 0
        """How many interactions the file holds; the next one's id."""
        self._handle = -1
        self._left: Standing | None = None
        """How the file was left; None when it has to be looked at."""
        self._in_doubt: Announcement | None = None
        """An append of which it is not known how far it came."""
        self._exchange = exchange
        self._twin: Twin | None = None
        """None where it has turned out that there cannot be one."""
        self._ledger = Ledger(ledger_path)
        try:
            with contextlib.suppress(OSError):
                remove_leftovers(path.resolve())
            entries = self._ledger.entries()
            # What was in a cassette that its owner deleted is not written again.
            if entries and not self._settle(entries[-1], when_deleted=True):
                entries.pop()
                self._ledger.retract()
            self.done: frozenset[tuple[str, int]] = frozenset().union(*(entry.keys for entry in entries))
            """Exchanges (writer, number) that are in the file without `append_all` having said so."""
            self._open()
        except BaseException:
            self.close()
            raise

    def _settle(self, last: Announcement, *, when_deleted: bool) -> bool:
        """Tell whether an announced append happened; cut off what there is of it when it stopped half-way."""
        with as_store_error("open the cassette", self.path):
            try:
                data = self.path.read_bytes()
            except FileNotFoundError:
                return when_deleted
            # At its place, or at the end of a file that was edited before it.
            for at in (last.offset, len(data) - last.size):
                if last.found_in(data, at) == len(last.parts):
                    return True
            if _is_torn(data, last, self.layout):
                if last.offset == len(emitter.document_head()):  # without interactions it has another text
                    mode = stat.S_IMODE(self.path.stat().st_mode)
                    write_private_file(_target(self.path), emitter.EMPTY_DOCUMENT, mode=mode)
                else:
                    os.truncate(self.path, last.offset)
        return False

    def _open(self) -> None:
        self._left = None  # so that the next append looks again when this fails
        if self._twin is not None:
            self._twin.close()
        self.count, examined = _create(self.path, self.layout, append=True, overwrite=False)
        there = self._reopen()
        if there != examined and (examined or there.size != len(emitter.EMPTY_DOCUMENT)):
            self._left = None
            raise StoreError("is being changed by another program; tried again in a moment", path=self.path)
        self._twin = Twin(_target(self.path), self._exchange)

    def _reopen(self) -> Standing:
        with as_store_error("open the cassette", self.path):
            handle = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC)
        if self._handle >= 0:
            os.close(self._handle)
        self._handle = handle
        self._left = Standing.of(os.fstat(handle))
        return self._left

    def _is_as_left(self) -> bool:
        with as_store_error("open the cassette", self.path):
            try:
                return Standing.of(self.path.stat()) == self._left
            except FileNotFoundError:
                return False

    def append(self, writer: str, exchange: int, interaction: Interaction) -> int:
        """Write one interaction behind the others, under the next id, which is returned; see `append_all`."""
        self.append_all(writer, [Arrival(exchange, interaction)])
        return self.count - 1

    def append_all(self, writer: str, arrivals: Sequence[Arrival]) -> None:
        """Write interactions behind the others, under the next ids.

        Costs what the interactions cost, however many there are. Raises StoreError when the disk refuses; the
        file is then as it was, or is made so by the next call, and the call can be made again.
        """
        for _ in range(_ATTEMPTS):
            if self._in_doubt is not None:
                happened = self._settle(self._in_doubt, when_deleted=False)
                self._open()
                if happened:
                    self.done |= self._in_doubt.keys
                    self._in_doubt = None
                else:
                    self._undone()
            elif not self._is_as_left():
                self._open()
            missing = [one for one in arrivals if (writer, one.exchange) not in self.done]
            if not missing:
                return
            for number, one in enumerate(missing, self.count):
                if one.before is not None:
                    one.before(number)
            with contextlib.suppress(ChangedError):  # what it is now is found out first
                self._append(writer, missing)
                self.count += len(missing)
                return
        raise StoreError("is being changed by another program; tried again in a moment", path=self.path)

    def _append(self, writer: str, arrivals: Iterable[Arrival]) -> None:
        pieces: list[bytes] = []
        parts: list[Part] = []
        for number, arrival in enumerate(arrivals, self.count):
            text = emitter.interaction_text(replace(arrival.interaction, id=number), self.layout)
            crc = 0
            for piece in text:
                crc = crc32(piece, crc)
            parts.append(Part(arrival.exchange, sum(map(len, text)), crc))
            pieces += text
        assert self._left is not None
        offset = self._left.size if self.count else len(emitter.document_head())
        announcement = Announcement(writer, offset, tuple(parts))
        self._ledger.announce(announcement)
        self._in_doubt = announcement
        if not self.count:  # `interactions: []` has to go
            pieces = [emitter.document_head(), *pieces]
        with as_store_error("write the cassette", self.path):
            if not self._grow_by_twin(pieces, self._left):
                self._require_room(announcement.size)
                if self.count:
                    self._grow(pieces, self._left)
                else:
                    self._write_first(pieces)
        self._in_doubt = None

    def _require_room(self, size: int) -> None:
        try:
            require_room(_target(self.path).parent, size)
        except OSError:
            self._undone()
            raise

    def _undone(self) -> None:
        """Take back what was announced: nothing of it is in the file."""
        self._ledger.retract()
        self._in_doubt = None

    def _grow_by_twin(self, pieces: Sequence[bytes], left: Standing) -> bool:
        """Return False, having done nothing, where it cannot be done in one step."""
        if self._twin is None:
            return False
        try:
            keep = left.size if self.count else 0
            self._handle, self._left = self._twin.put(self._handle, left, keep, pieces)
        except NoTwinError as exc:
            if exc.for_good:
                self._twin = None
            return False
        except OSError:
            self._undone()
            raise
        return True

    def _grow(self, pieces: Sequence[bytes], left: Standing) -> None:
        try:
            write_all(self._handle, pieces)
        except OSError:
            os.ftruncate(self._handle, left.size)
            self._undone()
            raise
        finally:
            self._left = stamp(self._handle)

    def _write_first(self, pieces: Sequence[bytes]) -> None:
        # Nobody may see the file without one or the other.
        mode = stat.S_IMODE(os.fstat(self._handle).st_mode)
        write_private_file(_target(self.path), *pieces, mode=mode)
        self._reopen()

    def sync(self) -> None:
        """Make what was appended survive a power cut."""
        with as_store_error("sync the cassette", self.path):
            os.fsync(self._handle)
            if self._twin is not None and self._left is not None:
                self._twin.catch_up(self._handle, self._left)
        self._ledger.sync()

    def close(self) -> None:
        """Close the files; there is no twin then."""
        if self._twin is not None:
            self._twin.close()
            self._twin = None
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1
        self._ledger.close()


def _is_torn(data: bytes, last: Announcement, layout: Layout) -> bool:
    """Tell whether a file is a cassette and, behind it, the beginning of the text that was announced.

    What stands behind the cassette must begin with whole parts of the text, or with the first line of one, its id, or
    have the zeros that a file system leaves after a power cut; anything else somebody wrote, and it is theirs.
    """
    before = data[: last.offset]
    count = 0 if before == emitter.document_head() else _count(before)
    if count is None:
        return False
    whole = last.found_in(data, last.offset)
    tail = data[last.offset + sum(part.size for part in last.parts[:whole]) :]
    if not tail:  # the head alone is no cassette
        return whole > 0 or (count == 0 and len(data) == last.offset)
    zeros = b"\0" in tail
    left = sum(part.size for part in last.parts[whole:])
    if not len(tail) < left + zeros or _count(data) is not None:
        return False
    blank = Interaction(count + whole, Request("", ""), Response("", 0))
    first_line = emitter.interaction_text(blank, layout)[0].partition(b"\n")[0] + b"\n"
    return first_line.startswith(tail) or tail.startswith(first_line) or zeros


def _count(data: bytes) -> int | None:
    """Return how many interactions a file has, None when it is not as we would write it."""
    try:
        there = codec.loads(data)
    except FormatError:
        return None
    return len(there.interactions) if codec.dumps(there) == data else None
