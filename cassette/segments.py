"""The journal's files: memory-mapped segments that a proxy worker fills and the scribe reads behind it.

Storing a record is a memory copy. It survives the death of the process, not of the machine, and it does not wait
for the disk: the next segment is made ready by a thread of its own. A segment is written full of zeros before it
is mapped, because a full disk under a sparse map kills the process with SIGBUS, and because the first touch of a
page that the file system has yet to allocate cost up to 19 ms (measured). (A file system that never overwrites in
place, such as btrfs, may still run full below the map.)

    SESSION_DIR/<writer>-00000001.seg, -00000002.seg, ...     one writer, many segments, deleted by the reader
    SESSION_DIR/<writer>.live                                 locked while the writer lives, by the kernel
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import mmap
import os
import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from pathlib import Path

from cassette import journal
from cassette.errors import StoreError
from cassette.files import as_store_error, write_all
from cassette.journal import Kind

_log = logging.getLogger(__name__)

SEGMENT_BYTES = 4 << 20
"""Small enough that two of them per session and writer cost nothing, four times the longest record."""
OVERFLOW_BYTES = 48 << 20
"""How much may wait in memory while the disk stalls; chosen, not measured."""
MAGIC = b"wiretape journal\x01\0\0\0"
"""What a segment begins with; the number is the version of the records."""
_SPARES = 2
_ENDS = frozenset({Kind.REQUEST_END, Kind.RESPONSE_END, Kind.FAILED, Kind.DROPPED})
_MARKS = _ENDS | {Kind.REQUEST_HEAD}
_LOOK_SECONDS = 0.001
_PATIENCE_SECONDS = 2.0
"""How long a writer that need not have a segment waits for its first one: what it stores outlives the process then."""
_ZEROS = bytes(1 << 20)
_LEISURE_BYTES, _LEISURE_SECONDS = 64 << 10, 0.001
"""While there is time a segment is made in small steps: where this thread shares a core with the proxy's, the kernel
lets it work for 4 ms and more before that has its turn. Measured beside 10 MB responses: stalls of 4 to 14 ms."""
_OPEN_NEW = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_OPEN_LOCK = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC


def segment_path(directory: Path, writer: str, number: int) -> Path:
    """Return where a writer's segment lies."""
    return directory / f"{writer}-{number:08d}.seg"


def writers_in(directory: Path) -> dict[str, list[int]]:
    """Return the writers that have segments here, each with its segment numbers in order; raises StoreError."""
    found: dict[str, list[int]] = {}
    with as_store_error("look into the journal", directory):
        names = os.listdir(directory)  # noqa: PTH208 - ten times a second for each session: no objects
    for name in names:
        stem, dot, _ = name.rpartition(".seg")
        writer, dash, number = stem.rpartition("-")
        if dot and dash and name.endswith(".seg") and number.isdecimal():
            found.setdefault(writer, []).append(int(number))
    return {writer: sorted(numbers) for writer, numbers in sorted(found.items())}


def is_being_written(directory: Path) -> bool:
    """Tell whether a process that lives writes to the journal in this folder."""
    for path in directory.glob("*.live"):
        with contextlib.suppress(FileNotFoundError), path.open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
    return False


class SegmentWriter:
    """One writer's end of the journal: appends records, rolls to the next segment when one is full.

    While the disk refuses or is slow, records wait in memory, `overflow_bytes` of them at most, and follow as soon
    as a segment can be had; past that `append` raises StoreError. The exchange that lost a record that way is
    dropped, so that it cannot be taken for a whole one.
    """

    def __init__(
        self,
        directory: Path,
        writer: str,
        *,
        segment_bytes: int = SEGMENT_BYTES,
        overflow_bytes: int = OVERFLOW_BYTES,
        takes_over: bool = False,
    ) -> None:
        """Make the first segment at once, the next ones in the background; raises StoreError.

        One that `takes_over` from a dead process begins all the same: what comes waits in memory for the first one.
        """
        self.directory = directory
        self.writer = writer
        self.error: StoreError | None = None
        """Why no segment can be had at present; None when all is well."""
        self._bytes = segment_bytes
        # A record and the ROLLED one behind it have to fit into a segment.
        self._longest = min(journal.MAX_PAYLOAD, (segment_bytes - len(MAGIC) - 2 * journal.HEADER_BYTES) & ~3)
        self._overflow_limit = overflow_bytes
        self._overflow: deque[tuple[int, int, int, bytes]] = deque()
        self._overflow_bytes = 0
        self._overflow_of: Counter[int] = Counter()
        """Bytes that wait, by exchange."""
        self._ends_due: dict[int, int] = {}
        """How many END records are still to come of an exchange; each has its room kept free."""
        self._made = 0
        self._number = 0
        self._at = 0
        self._map: mmap.mmap | None = None
        """None until there is a first segment."""
        self._alive = -1
        self._spares: deque[mmap.mmap] = deque()
        self._lock = threading.Lock()
        self._told = ""
        """What the log says is wrong with the disk; it does not flicker as the scribe makes a little room."""
        self._wanted = threading.Event()
        self._wanted.set()
        self._closed = False
        self.lost_exchanges: frozenset[int] = frozenset()
        """Known when it is closed: the exchanges of which the disk never took what waited."""
        self._looked = threading.Event()
        """Set when the first segment is there, or was refused."""
        if not takes_over:
            self._begin()
        self._thread = threading.Thread(target=self._prepare, name=f"journal {writer}", daemon=True)
        self._thread.start()
        self._looked.wait(_PATIENCE_SECONDS)

    def _begin(self) -> None:
        """Have a lock and a first segment; raises StoreError, and can be called again."""
        self._alive = _lock(self.directory / f"{self.writer}.live")
        try:
            made = _make_segment(segment_path(self.directory, self.writer, 1), self._bytes)
        except BaseException:
            os.close(self._alive)
            self._alive = -1
            raise
        with self._lock:
            self._map, self._at = made, len(MAGIC)
            self._made = self._number = 1
            self.error = None
            self._store_waiting()
        self._looked.set()

    def append(self, kind: Kind, exchange: int, at_ns: int, payload: bytes = b"") -> None:
        """Store one event. When it returns, the event outlives this process, unless it had to wait in memory."""
        with self._lock:
            if self._closed:
                raise StoreError("the journal is closed; nothing more is recorded", path=self.directory)
            if kind in _MARKS:
                self._count_ends(kind, exchange)
            try:
                self._split(kind, exchange, at_ns, payload)
            except StoreError:
                self._ends_due.pop(exchange, None)
                if kind != Kind.REQUEST_HEAD or len(payload) > self._longest:
                    self._forget(exchange)
                    # Past the limit too: as many as there are exchanges under way, of a few bytes.
                    self._wait(Kind.DROPPED, exchange, at_ns, b"the disk was full")
                raise

    def _count_ends(self, kind: Kind, exchange: int) -> None:
        due = self._ends_due.pop(exchange, 0)
        if kind == Kind.REQUEST_HEAD:
            due = 2
        elif kind in (Kind.REQUEST_END, Kind.RESPONSE_END):
            due -= 1
        elif kind in _ENDS:
            due = 0
        if due > 0:
            self._ends_due[exchange] = due

    def _split(self, kind: int, exchange: int, at_ns: int, payload: bytes) -> None:
        longest = self._longest
        if len(payload) > longest:
            last = (len(payload) - 1) // longest * longest
            for at in range(0, last, longest):
                self._put(kind | journal.MORE, exchange, at_ns, payload[at : at + longest])
            payload = payload[last:]
        self._put(kind, exchange, at_ns, payload)

    @property
    def position(self) -> int:
        """How far the writing is, in bytes of the whole journal."""
        return max(0, self._number - 1) * SEGMENT_BYTES + self._at

    @property
    def waiting_bytes(self) -> int:
        """How much waits in memory for the disk."""
        return self._overflow_bytes

    def is_refused(self, exchange: int) -> bool:
        """Tell whether records of an exchange only wait in memory while the disk refuses: a kill would lose them."""
        return self.error is not None and self._overflow_of[exchange] > 0

    def await_stored(self, exchange: int, seconds: float) -> bool:
        """Tell whether all of an exchange is in a segment; wait so long for the one that is being made."""
        deadline = time.monotonic() + seconds
        while self._overflow_of[exchange] > 0:
            if self.error is not None or time.monotonic() > deadline:
                return False
            time.sleep(_LOOK_SECONDS)
        return True

    def _put(self, kind: int, exchange: int, at_ns: int, payload: bytes) -> None:
        # An end has its room, though others wait.
        in_turn = not self._overflow or (kind in _ENDS and not self._overflow_of[exchange])
        if in_turn and self._store(kind, exchange, at_ns, payload):
            return
        if self._overflow_bytes + journal.record_bytes(len(payload)) > self._overflow_limit:
            # A new one each time: one that is raised again and again keeps every traceback.
            why = self.error.message if self.error else "the disk is too slow"
            raise StoreError(f"records are lost: {why}", path=self.directory)
        self._wait(kind, exchange, at_ns, payload)

    def _wait(self, kind: int, exchange: int, at_ns: int, payload: bytes) -> None:
        size = journal.record_bytes(len(payload))
        self._overflow.append((kind, exchange, at_ns, payload))
        self._overflow_bytes += size
        self._overflow_of[exchange] += size

    def _forget(self, exchange: int) -> None:
        """Make room: of an exchange that is lost the rest is of no use. A small share is not worth the search."""
        freed = self._overflow_of[exchange]
        if freed > self._overflow_limit // 8:
            self._overflow = deque(record for record in self._overflow if record[1] != exchange)
            self._overflow_bytes -= freed
            del self._overflow_of[exchange]

    def _store_waiting(self) -> None:
        while self._overflow and self._store(*self._overflow[0]):
            _, exchange, _, payload = self._overflow.popleft()
            size = journal.record_bytes(len(payload))
            self._overflow_bytes -= size
            self._overflow_of[exchange] -= size
            if not self._overflow_of[exchange]:
                del self._overflow_of[exchange]

    def _store(self, kind: int, exchange: int, at_ns: int, payload: bytes) -> bool:
        if self._map is None:
            return False
        # Room for a ROLLED record is always left, so that a reader need not guess where a segment ends; and for
        # the ends, or a client could have a whole answer of which a full disk does not take the end.
        kept = min(len(self._ends_due) * 2 * journal.HEADER_BYTES, self._bytes // 4)
        if self._at == len(MAGIC):
            kept = 0  # the longest record needs it all
        if self._at + journal.record_bytes(len(payload)) > self._bytes - journal.HEADER_BYTES - kept:
            if not self._spares:
                return False
            journal.write_record(self._map, self._at, Kind.ROLLED, 0, at_ns, b"")
            self._map.close()
            self._map, self._at = self._spares.popleft(), len(MAGIC)
            self._number += 1
            self._wanted.set()
        self._at = journal.write_record(self._map, self._at, kind, exchange, at_ns, payload)
        return True

    def _prepare(self) -> None:
        while True:
            # An error is tried again every second: when the disk is back, so is recording.
            self._wanted.wait(1 if self.error else None)
            self._wanted.clear()
            is_last = self._closed
            while bool(self._overflow) if self._closed else len(self._spares) < _SPARES:
                try:
                    if self._map is None:
                        self._begin()
                        continue
                    path = segment_path(self.directory, self.writer, self._made + 1)
                    made = _make_segment(path, self._bytes, self._is_urgent)
                except StoreError as exc:
                    self._refused(exc)
                    break
                with self._lock:
                    self.error = None
                    self._made += 1
                    self._spares.append(made)
                    # What waits is more than the spares hold, or it is stored; so this ends soon.
                    self._store_waiting()
            if self._told and len(self._spares) == _SPARES:
                _log.warning("journal.resumed writer=%s", self.writer)
                self._told = ""
            if is_last:  # else what the disk refused just before it was closed is tried once more
                return

    def _is_urgent(self) -> bool:
        """Tell whether the next segment is needed at once, or nearly so."""
        return bool(self._overflow) or self._closed or not (self._spares or self._at < self._bytes // 2)

    def _refused(self, exc: StoreError) -> None:
        if exc.message != self._told:
            _log.error("journal.refused writer=%s problem=%s", self.writer, exc)
            self._told = exc.message
        self.error = exc
        self._looked.set()

    def close(self) -> None:
        """Store what waits, if the disk lets us, and unmap; what was appended stays on disk for the reader.

        Waits for the disk. What it does not take is lost, see `lost_exchanges`.
        """
        with self._lock:
            if self._closed:
                return
            self._closed = True
        self._wanted.set()
        self._thread.join()
        if self._overflow:
            _log.error("journal.lost records=%d reason=%s", len(self._overflow), self.error)
            # A dropped one lost a record before, and was counted then.
            dropped = {exchange for kind, exchange, _, _ in self._overflow if kind == Kind.DROPPED}
            self.lost_exchanges = frozenset(exchange for _, exchange, _, _ in self._overflow) - dropped
        for segment in (self._map, *self._spares):
            if segment is not None:
                segment.close()
        if self._alive >= 0:
            os.close(self._alive)


def _lock(path: Path) -> int:
    with as_store_error("lock the journal", path):
        handle = os.open(path, _OPEN_LOCK, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as exc:
            os.close(handle)
            if not isinstance(exc, BlockingIOError):
                raise
            raise StoreError(
                "another process writes this journal; give each its own name", path=path
            ) from exc
    return handle


def _make_segment(path: Path, size: int, is_urgent: Callable[[], bool] = lambda: True) -> mmap.mmap:
    with as_store_error("make a journal segment", path):
        handle = os.open(path, _OPEN_NEW, 0o600)
        try:
            # posix_fallocate would leave the blocks to be converted at first touch, and macOS has none.
            begin, left = [MAGIC], size - len(MAGIC)
            while left > _LEISURE_BYTES and not is_urgent():
                write_all(handle, [*begin, _ZEROS[:_LEISURE_BYTES]])
                begin, left = [], left - _LEISURE_BYTES
                time.sleep(_LEISURE_SECONDS)
            # In one call: behind each the interpreter lock has to be waited for, from a thread that does not rest.
            whole, rest = divmod(left, len(_ZEROS))
            write_all(handle, [*begin, *[_ZEROS] * whole, _ZEROS[:rest]], at_once=size)
            return mmap.mmap(handle, size)
        except OSError:
            path.unlink(missing_ok=True)
            raise
        finally:
            os.close(handle)
