"""The scribe's work on one session: read the journal behind the proxy, write interactions, delete what is done.

    journal segments ─▶ SegmentReader ─▶ Assembler ─▶ wire.to_interaction ─▶ CassetteFile
                                                        (whole: NAME.yaml, else: NAME.interrupted.yaml)

It can stop at any point and begin anew: the journal holds what is not yet written, the ledgers what is.
`scribe_process` runs it beside the proxy; `recover` runs it on what a crash left.
"""

from __future__ import annotations

import fcntl
import logging
import os
import shutil
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from cassette.errors import CassetteError
from cassette.exchange import Outcome
from cassette.files import as_store_error, interrupted_path
from cassette.lifecycle import Assembler, Draft, Dropped, Finished, Span
from cassette.recording import Recording
from cassette.segments import PayloadFile, SegmentReader, segment_path, writers_in
from cassette.store import CassetteFile
from cassette.wire import to_interaction

_log = logging.getLogger(__name__)
_RETRY_SECONDS = 1.0


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
    kept_from: int
    """The oldest segment that still exists."""
    gone: bool = False


class SessionScribe:
    """Turns the journal in one session's folder into its cassette. Only one may work on a folder: see `BusyError`."""

    def __init__(self, directory: Path) -> None:
        """Take up the work where the ledgers say it was left; raises StoreError or BusyError."""
        self.directory = directory
        self.recording = Recording.read(directory)
        self.counts = Counts()
        self._rules = self.recording.rules
        self._lock = self._take_lock()
        layout = self.recording.layout
        self._cassette = CassetteFile(self.recording.cassette, directory / "cassette.ledger", layout)
        self._interrupted: CassetteFile | None = None
        if (directory / "interrupted.ledger").exists():
            self._open_interrupted()
        self.counts.interactions = len(self._cassette.done)
        self._writers: dict[str, _Writer] = {}
        self._pending: deque[tuple[str, Draft]] = deque()
        self._retry_at = 0.0

    def _take_lock(self) -> int:
        path = self.directory / "lock"
        with as_store_error("lock the journal", path):
            handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as exc:
            os.close(handle)
            raise BusyError(
                "another process is writing this session's cassette", path=self.directory
            ) from exc
        return handle

    def _open_interrupted(self) -> CassetteFile:
        if self._interrupted is None:
            path = interrupted_path(self.recording.cassette)
            ledger = self.directory / "interrupted.ledger"
            self._interrupted = CassetteFile(path, ledger, self.recording.layout)
            self.counts.interrupted = len(self._interrupted.done)
        return self._interrupted

    def step(self) -> bool:
        """Write what has finished since the last call; return whether there was anything to read.

        While the disk refuses, what has finished waits and nothing more is read: the journal keeps it.
        """
        if self._pending and not self._write_pending():
            return False
        busy = False
        for name in writers_in(self.directory):
            if name not in self._writers:
                reader = SegmentReader(self.directory, name)
                self._writers[name] = _Writer(
                    reader, Assembler(), PayloadFile(self.directory, name), reader.number
                )
        for name, writer in self._writers.items():
            for record, segment, payload_at in writer.reader.records():
                busy = True
                result = writer.assembler.feed(record, segment, payload_at)
                if isinstance(result, Finished) and not self._write(name, result.draft):
                    return False
                if isinstance(result, Dropped):
                    self.counts.dropped += 1
            if writer.gone:
                self._give_up(name, "the proxy process died")
        self._delete_done()
        return busy

    def writer_gone(self, name: str) -> None:
        """Say that a writer's process is dead: what it had under way is interrupted once its journal is read."""
        if name in self._writers:
            self._writers[name].gone = True

    def _give_up(self, name: str, reason: str) -> None:
        for finished in self._writers[name].assembler.give_up(Outcome.CRASHED, reason):
            self._write(name, finished.draft)

    def _write(self, writer: str, draft: Draft) -> bool:
        self._pending.append((writer, draft))
        return self._write_pending()

    def _write_pending(self) -> bool:
        """Write in order what waits; False when the disk refuses (tried again after a second)."""
        if self.counts.problem and time.monotonic() < self._retry_at:
            return False
        while self._pending:
            writer, draft = self._pending[0]
            try:
                self._write_one(writer, draft)
            except CassetteError as exc:
                if str(exc) != self.counts.problem:
                    _log.error("scribe.blocked session=%s problem=%s", self.recording.name, exc)
                self.counts.problem = str(exc)
                self._retry_at = time.monotonic() + _RETRY_SECONDS
                return False
            except Exception:  # whatever one exchange holds, the others are to be written
                _log.exception(
                    "scribe.failed session=%s exchange=%s/%d", self.recording.name, writer, draft.number
                )
                self.counts.failed += 1
            self._pending.popleft()
        if self.counts.problem:
            _log.warning("scribe.resumed session=%s", self.recording.name)
            self.counts.problem = ""
        return True

    def _write_one(self, writer: str, draft: Draft) -> None:
        key = (writer, draft.number)
        if key in self._cassette.done or (self._interrupted is not None and key in self._interrupted.done):
            return
        payloads = self._writers[writer].payloads

        def read(span: Span) -> bytes:
            return payloads.read(span.segment, span.at, span.size)

        exchange = draft.exchange(read)
        interaction = to_interaction(exchange, self._rules, id=0)
        del exchange
        if interaction.interrupted:
            self._open_interrupted().append(writer, draft.number, interaction)
            self.counts.interrupted += 1
        else:
            self._cassette.append(writer, draft.number, interaction)
            self.counts.interactions += 1

    def _delete_done(self) -> None:
        """Delete the segments whose exchanges are all written; the cassette is synced before."""
        if self._pending:
            return
        synced = False
        for name, writer in self._writers.items():
            needed = min(writer.assembler.oldest_segment or writer.reader.number, writer.reader.number)
            while writer.kept_from < needed:
                if not synced:
                    self._sync()
                    synced = True
                segment_path(self.directory, name, writer.kept_from).unlink(missing_ok=True)
                writer.kept_from += 1

    def _sync(self) -> None:
        self._cassette.sync()
        if self._interrupted is not None:
            self._interrupted.sync()

    def refresh_counts(self) -> Counts:
        """Return the counts with what is under way and how far the reading is."""
        self.counts.under_way = sum(len(writer.assembler) for writer in self._writers.values())
        self.counts.read_bytes = sum(writer.reader.position for writer in self._writers.values())
        return self.counts

    def finish(self, reason: str) -> bool:
        """Read to the end, give up what is still under way, sync, and delete the journal.

        No writer may be alive any more. Returns False when the disk refuses: the journal then stays for `recover`.
        """
        while self.step():
            pass
        for name in self._writers:
            self._give_up(name, reason)
        whole = not self._pending
        if whole:
            self._sync()
        self.close()
        if whole:
            shutil.rmtree(self.directory, ignore_errors=True)
        return whole

    def close(self) -> None:
        """Let go of the files; the journal stays as it is."""
        for writer in self._writers.values():
            writer.reader.close()
            writer.payloads.close()
        self._cassette.close()
        if self._interrupted is not None:
            self._interrupted.close()
        os.close(self._lock)


@dataclass(frozen=True, slots=True)
class Recovered:
    """What `recover` did for one session that a crash left behind."""

    name: str
    cassette: Path
    interactions: int
    interrupted: int
    problem: str = ""


def recover(journals: Path) -> Iterator[Recovered]:
    """Finish every session whose journal lies here and that no process is at work on."""
    if not journals.is_dir():
        return
    for directory in sorted(path for path in journals.iterdir() if path.is_dir()):
        try:
            scribe = SessionScribe(directory)
        except BusyError:
            continue
        except CassetteError as exc:
            yield Recovered(directory.name, directory, 0, 0, str(exc))
            continue
        before = replace(scribe.counts)
        whole = scribe.finish("the proxy died")
        counts = scribe.counts
        yield Recovered(
            scribe.recording.name,
            scribe.recording.cassette,
            counts.interactions - before.interactions,
            counts.interrupted - before.interrupted,
            "" if whole else counts.problem,
        )
