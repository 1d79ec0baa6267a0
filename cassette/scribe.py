"""The scribe's work on one session: read the journal behind the proxy, write interactions, delete what is done.

    journal segments ─▶ SegmentReader ─▶ Assembler ─▶ Backlog (wire.to_interaction) ─▶ CassetteFile
                                                        (whole: NAME.yaml, else: NAME.interrupted.yaml)

It can stop at any point and begin anew: the journal holds what is not yet written, the ledgers what is.
`scribe_process` runs it beside the proxy; `recovery` runs it on what a crash left.
"""

from __future__ import annotations

import fcntl
import logging
import os
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from cassette.backlog import Backlog, Waiting
from cassette.errors import CassetteError, StoreError
from cassette.exchange import Outcome
from cassette.files import as_store_error
from cassette.journal import Kind, Record
from cassette.lifecycle import Assembler, Dropped, Finished, Span
from cassette.recording import Recording
from cassette.retention import Retention
from cassette.segment_reader import PayloadFile, SegmentReader
from cassette.segments import is_being_written, segment_path, writers_in
from cassette.session_files import SessionFiles, delete_session
from cassette.settled import Settled

_log = logging.getLogger(__name__)
_RETRY_SECONDS = 1.0
_TURN_SECONDS = 0.05
"""How long one writer's records are read before the others have their turn; chosen, not measured."""
_LAST_WORDS_SECONDS = 2.0
"""How long a writer may still live when its session is to be finished: it is about to end."""
_TICK_NS = 2_000_000_000
"""FAT's, the coarsest there is."""


@dataclass(slots=True)
class Counts:
    """What became of a session's exchanges, for `status` and `stop`."""

    interactions: int = 0
    """In the cassette, of this session."""
    interrupted: int = 0
    """In NAME.interrupted.yaml, of this session."""
    dropped: int = 0
    """Not to be recorded: WebSockets, bodies past max_body, the proxy's own answers."""
    failed: int = 0
    """Could not be turned into an interaction."""
    under_way: int = 0
    read_bytes: int = 0
    """How far the journal is read; behind the writers' position by what is still to be done."""
    problem: str = ""
    """Why nothing can be written at present; empty when all is well."""

    def to_json(self) -> dict[str, int | str]:
        """Return plain JSON types."""
        return asdict(self)


class BusyError(CassetteError):
    """Another process is at work on this session's journal."""


@dataclass(slots=True)
class _Writer:
    reader: SegmentReader
    assembler: Assembler
    payloads: PayloadFile
    retention: Retention

    def close(self) -> None:
        self.reader.close()
        self.payloads.close()


class SessionScribe:
    """Turns the journal in one session's folder into its cassette. Only one may work on a folder: see `BusyError`."""

    def __init__(self, directory: Path) -> None:
        """Take up the work where the ledgers say it was left; raises BusyError, and StoreError for the folder.

        A cassette that cannot be written at present is no error: `counts.problem` says so, `step` tries again.
        """
        self.directory = directory
        self.recording = Recording.read(directory)
        self.counts = Counts()
        self.is_behind = False
        """Whether the last `step` left records that it had no time for."""
        self._files = SessionFiles(directory, self.recording)
        self._writers: dict[str, _Writer] = {}
        self._gone: set[str] = set()
        self._backlog = Backlog(self.recording, self._files, self._unwritable)
        self._retry_at = 0.0
        self._looked_ns = 0
        self._lock = self._take_lock()
        try:
            self._settled = Settled(directory / "settled")
        except BaseException:
            os.close(self._lock)
            raise
        try:
            self._files.open()
        except CassetteError as exc:
            self._blocked(exc)

    def _take_lock(self) -> int:
        path = self.directory / "lock"
        with as_store_error("lock the journal", path):
            handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            is_taken = os.fstat(handle).st_nlink == 0  # by the one who had the lock until now
        except OSError:
            is_taken = True
        if is_taken:
            os.close(handle)
            raise BusyError("another process is writing this session's cassette; wait", path=self.directory)
        return handle

    def step(self) -> bool:
        """Write what has finished since the last call; return whether there was anything to do.

        While the disk refuses, what has finished waits and nothing more is read: the journal keeps it. That is
        tried again after a second.
        """
        self.is_behind = False
        if self.counts.problem and time.monotonic() < self._retry_at:
            return False
        try:
            busy = self._work()
        except CassetteError as exc:
            self._blocked(exc)
            return False
        if self.counts.problem:
            _log.warning("scribe.resumed session=%s", self.recording.name)
            self.counts.problem = ""
        return busy

    def _blocked(self, exc: CassetteError) -> None:
        if str(exc) != self.counts.problem:
            _log.error("scribe.blocked session=%s problem=%s", self.recording.name, exc)
        self.counts.problem = str(exc)
        self._retry_at = time.monotonic() + _RETRY_SECONDS

    def _work(self) -> bool:
        """Read, write and delete what there is; CassetteError when the disk refuses, nothing is lost then."""
        self._files.open()
        busy = len(self._backlog) > 0
        self._backlog.write()
        self._look_for_writers()
        for name in list(self._writers):
            has_read, at_end = self._read(name, time.monotonic() + _TURN_SECONDS)
            busy |= has_read
            self.is_behind |= not at_end
            if at_end and name in self._gone:
                self._retire(name)
        self._give_back()
        return busy

    def _read(self, name: str, until: float) -> tuple[bool, bool]:
        """Read one writer's records for a while, and write what has finished.

        Returns whether there were any, and whether the end was reached.
        """
        has_read, at_end = False, True
        for record, segment, payload_at in self._writers[name].reader.records():
            has_read = True
            self._take(name, record, segment, payload_at)
            if time.monotonic() > until:
                at_end = False
                break
        self._backlog.write()
        return has_read, at_end

    def catch_up(self, patience_seconds: float) -> None:
        """Write all that has finished by now, so that who reads the cassette finds it.

        Raises CassetteError when the disk refuses, or when it takes longer than `patience_seconds`.
        """
        deadline = time.monotonic() + patience_seconds
        self._files.open()
        self._backlog.write()
        self._look_for_writers()
        # Each to its end once: what is written meanwhile is none of what was asked for.
        for name in list(self._writers):
            _, at_end = self._read(name, deadline)
            if not at_end:
                raise StoreError("the journal is too far ahead; try again in a moment", path=self.directory)

    def _look_for_writers(self) -> None:
        with as_store_error("look into the journal", self.directory):
            changed_ns = self.directory.stat().st_mtime_ns
        if changed_ns == self._looked_ns:
            return
        for name in writers_in(self.directory):
            if name not in self._writers:
                reader = SegmentReader(self.directory, name, self._settled.segments_of(name))
                payloads = PayloadFile(self.directory, name)
                retention = Retention(self.directory, name, self._settled)
                assembler = Assembler(keeps_arrivals=self.recording.keep_timing)
                self._writers[name] = _Writer(reader, assembler, payloads, retention)
        # The clock of a file system is coarse: what comes within the same tick does not show.
        if time.time_ns() - changed_ns > _TICK_NS:
            self._looked_ns = changed_ns

    def _take(self, name: str, record: Record, segment: int, payload_at: int) -> None:
        writer = self._writers[name]
        writer.retention.reads(segment)
        if record.kind == Kind.REQUEST_HEAD and self._is_done(name, record.exchange):
            return  # what else there is of it is then ignored, and keeps no segment
        assembler = writer.assembler
        try:
            result = assembler.feed(record, segment, payload_at)
        except (ValueError, KeyError, TypeError) as exc:  # whole, but of another version
            self._failed(name, record.exchange, assembler.forget(record.exchange), exc)
            return
        if isinstance(result, Finished):
            self._finished(name, result)
            if self._backlog.is_full:
                self._backlog.write()
        elif isinstance(result, Dropped):
            self.counts.dropped += 1
            writer.retention.ended_unwritten(result.number, result.segments)

    def _is_done(self, name: str, number: int) -> bool:
        return self._files.has(name, number) or self._settled.has(name, number)

    def writer_gone(self, name: str) -> None:
        """Say that a writer's process is dead: what it had under way is interrupted once its journal is read."""
        self._gone.add(name)

    def _retire(self, name: str) -> None:
        """Be done with a dead writer, whose journal is read to its end."""
        writer = self._writers[name]
        self._give_up(name, "the proxy process died")
        self._files.sync()
        for number in writers_in(self.directory).get(name, []):
            self._delete_segment(name, number)
        # Only now: a writer whose segments were left would be read once more.
        writer.close()
        del self._writers[name]

    def _give_up(self, name: str, reason: str) -> None:
        if self._writers[name].reader.is_broken:
            _log.warning("journal.torn session=%s writer=%s", self.recording.name, name)
        for finished in self._writers[name].assembler.give_up(Outcome.CRASHED, reason):
            self._finished(name, finished)
        self._backlog.write()

    def _finished(self, name: str, finished: Finished) -> None:
        payloads = self._writers[name].payloads

        def read(span: Span) -> bytes:
            return payloads.read(span.segment, span.at, span.size)

        self._backlog.add(Waiting(name, finished.draft, read))

    def _unwritable(self, waiting: Waiting, exc: Exception) -> None:
        self._failed(waiting.writer, waiting.draft.number, waiting.draft.segments, exc)

    def _failed(self, writer: str, number: int, segments: Sequence[int], exc: Exception) -> None:
        # Its text might quote what was recorded.
        _log.error(
            "scribe.failed session=%s exchange=%s/%d reason=%s",
            self.recording.name, writer, number, exc if isinstance(exc, CassetteError) else type(exc).__name__,
        )  # fmt: skip
        self.counts.failed += 1
        self._writers[writer].retention.ended_unwritten(number, segments)

    def _give_back(self) -> None:
        """Delete what is done of the journal; nothing waits to be written when this is called."""
        for writer in self._writers.values():
            if writer.retention.clean(writer.assembler, writer.reader.number, self._sync):
                writer.payloads.close()

    def _sync(self) -> None:
        self._files.sync()
        self._settled.sync()

    def _delete_segment(self, name: str, number: int) -> None:
        path = segment_path(self.directory, name, number)
        with as_store_error("delete what is done of the journal", path):
            path.unlink(missing_ok=True)

    def refresh_counts(self) -> Counts:
        """Return the counts with what was written, what is under way and how far the reading is."""
        self.counts.interactions = self._files.interactions
        self.counts.interrupted = self._files.interrupted
        self.counts.under_way = sum(len(writer.assembler) for writer in self._writers.values())
        self.counts.read_bytes = sum(writer.reader.position for writer in self._writers.values())
        return self.counts

    def finish(self, reason: str) -> bool:
        """Read to the end, give up what is still under way, sync, and delete the journal.

        Returns False when the disk refuses or a writer is still alive, and `counts.problem` says which: the
        journal then stays for `recover`.
        """
        try:
            self._await_writers()
            while self._work():
                pass
            for name in list(self._writers):
                self._give_up(name, reason)
            self._files.sync()
            self.counts.problem = ""
            # First, or a crash would leave what lies beside the cassettes with nobody to remove it.
            self._files.close()
            # While the lock is held: nobody may find a part of the folder and take it for a session.
            delete_session(self.directory)
        except CassetteError as exc:
            self._blocked(exc)
            return False
        else:
            return True
        finally:
            self.close()

    def _await_writers(self) -> None:
        deadline = time.monotonic() + _LAST_WORDS_SECONDS
        while is_being_written(self.directory):
            if time.monotonic() > deadline:
                raise StoreError(
                    "a proxy still records here; when it has ended: wiretape recover", path=self.directory
                )
            time.sleep(0.01)

    def close(self) -> None:
        """Let go of the files; the journal stays as it is."""
        for writer in self._writers.values():
            writer.close()
        self._files.close()
        self._settled.close()
        os.close(self._lock)
