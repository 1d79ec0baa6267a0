"""Cassette files: load, create, and append one interaction at a time, exactly once across crashes.

An append is announced in the *ledger*, a small file beside the journal, before the cassette grows:

    ledger: "I am about to write interaction 7 of exchange w1/42: 512 bytes, this checksum, at offset 9000"
    cassette: the 512 bytes

After a crash the last announcement is compared with the cassette: the bytes are there (the exchange is done), or
not, or in part (the part is cut off and the exchange written again). So nothing stands twice and nothing is lost.
"""

from __future__ import annotations

import errno
import json
import os
import stat
from collections.abc import Sequence
from dataclasses import astuple, dataclass, replace
from pathlib import Path
from zlib import crc32

from cassette import codec, emitter
from cassette.errors import FormatError, StoreError
from cassette.files import as_store_error, make_private_folder, write_private_file
from cassette.model import Cassette, Interaction, Layout

_IOV_MAX = 512


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
    refused with StoreError, unless it is to be appended to (then it must be a cassette of the same layout) or
    overwritten (then an empty one takes its place at once).
    """
    make_private_folder(path.parent)
    try:
        with as_store_error("write the cassette", path):
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except StoreError as exc:
        cause = exc.__cause__
        if not (isinstance(cause, OSError) and cause.errno == errno.EEXIST):
            raise
    else:
        with os.fdopen(handle, "wb") as file, as_store_error("write the cassette", path):
            file.write(emitter.EMPTY_DOCUMENT)
        return 0
    if path.is_symlink() and not path.exists():
        raise StoreError("is a symlink to nothing; remove it or choose another --cassette", path=path)
    if overwrite:
        # Written where a symlink points, as an editor would, so that the link stays.
        write_private_file(path.resolve(), emitter.EMPTY_DOCUMENT)
        return 0
    if not append:
        raise StoreError("exists already; use --append, --overwrite or another --cassette", path=path)
    if not os.access(path, os.W_OK):
        raise StoreError("is not writable; change its mode or choose another --cassette", path=path)
    there = load(path)
    if there.layout is not layout and there.interactions:
        raise StoreError(
            f"is in the layout {there.layout.value!r}; append with --layout {there.layout.value}", path=path
        )
    if codec.dumps(there) != path.read_bytes():
        raise StoreError(
            "is not laid out as go-vcr writes it, so text cannot be appended; use another --cassette",
            path=path,
        )
    return len(there.interactions)


@dataclass(frozen=True, slots=True)
class Announcement:
    """One line of the ledger: an append that was about to happen."""

    writer: str
    exchange: int
    offset: int
    size: int
    crc: int


class Ledger:
    """The announcements of one cassette file: JSON lines in a file of their own."""

    def __init__(self, path: Path) -> None:
        """Open or make the ledger; a torn last line is cut off."""
        self.path = path
        self.entries: list[Announcement] = []
        """What stood in the ledger when it was opened."""
        with as_store_error("open the ledger", path):
            flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
            self._handle = os.open(path, flags, 0o600)
            data = path.read_bytes()
            whole = data[: data.rfind(b"\n") + 1]
            os.ftruncate(self._handle, len(whole))
        self.entries = [Announcement(*json.loads(line)) for line in whole.splitlines()]

    def announce(self, entry: Announcement) -> None:
        """Write one announcement down."""
        line = json.dumps(astuple(entry)).encode() + b"\n"
        with as_store_error("write the ledger", self.path):
            if os.write(self._handle, line) != len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def close(self) -> None:
        """Close the file."""
        os.close(self._handle)


class CassetteFile:
    """A cassette that grows by whole interactions, each exactly once.

    The file may be edited, replaced or deleted by others between two appends: it is then looked at anew, and the
    ids go on behind what is there.
    """

    def __init__(self, path: Path, ledger_path: Path, layout: Layout) -> None:
        """Open a cassette that `create` made; finish or undo the append that a crash interrupted."""
        self.path = path
        self.layout = layout
        self._ledger = Ledger(ledger_path)
        self.done: frozenset[tuple[str, int]] = frozenset()
        """The exchanges (writer, number) that are in the file since before it was opened."""
        self._handle = -1
        self._end = 0
        self.count = 0
        """How many interactions the file holds; the next one's id."""
        entries = self._ledger.entries
        if entries and not self._settle(entries[-1]):
            entries = entries[:-1]
        self.done = frozenset((entry.writer, entry.exchange) for entry in entries)
        self._open()

    def _settle(self, last: Announcement) -> bool:
        """Tell whether the last announced append happened; cut off what a crash left of it."""
        with as_store_error("open the cassette", self.path):
            try:
                with self.path.open("r+b") as file:
                    file.seek(last.offset)
                    there = file.read(last.size)
                    if len(there) == last.size and crc32(there) == last.crc:
                        return True
                    if 0 < len(there) < last.size:
                        file.truncate(last.offset)
            except FileNotFoundError:
                return True  # deleted by its owner; what was in it is not written again
        return False

    def _open(self) -> None:
        self.count = create(self.path, self.layout, append=True, overwrite=False)
        with as_store_error("open the cassette", self.path):
            if self._handle >= 0:
                os.close(self._handle)
            self._handle = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC)
            self._end = os.fstat(self._handle).st_size

    def _is_as_left(self) -> bool:
        mine = os.fstat(self._handle)
        try:
            there = self.path.stat()
        except FileNotFoundError:
            return False
        return (mine.st_dev, mine.st_ino) == (there.st_dev, there.st_ino) and mine.st_size == self._end

    def append(self, writer: str, exchange: int, interaction: Interaction) -> int:
        """Write an interaction behind the others, under the next id, which is returned.

        Raises StoreError when the disk refuses; the file is then as it was and the call can be made again.
        """
        if not self._is_as_left():
            self._open()
        pieces = emitter.interaction_text(replace(interaction, id=self.count), self.layout)
        offset = self._end if self.count else len(emitter.document_head())
        size, crc = 0, 0
        for piece in pieces:
            size += len(piece)
            crc = crc32(piece, crc)
        self._ledger.announce(Announcement(writer, exchange, offset, size, crc))
        if self.count:
            self._append(pieces, size)
        else:
            self._write_first(pieces)
        self._end = offset + size
        self.count += 1
        return self.count - 1

    def _append(self, pieces: Sequence[bytes], size: int) -> None:
        with as_store_error("write the cassette", self.path):
            try:
                written = 0
                for at in range(0, len(pieces), _IOV_MAX):
                    written += os.writev(self._handle, pieces[at : at + _IOV_MAX])
                if written != size:
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            except OSError:
                os.ftruncate(self._handle, self._end)
                raise

    def _write_first(self, pieces: Sequence[bytes]) -> None:
        # `interactions: []` has to go, and nobody may see the file without one or the other.
        with as_store_error("write the cassette", self.path):
            mode = stat.S_IMODE(os.fstat(self._handle).st_mode)
            target = self.path.resolve()
        write_private_file(target, emitter.document_head(), *pieces, mode=mode)
        with as_store_error("open the cassette", self.path):
            os.close(self._handle)
            self._handle = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC)

    def sync(self) -> None:
        """Make what was appended survive a power cut."""
        with as_store_error("sync the cassette", self.path):
            os.fsync(self._handle)

    def close(self) -> None:
        """Close the files."""
        os.close(self._handle)
        self._ledger.close()
