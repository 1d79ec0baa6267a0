"""The two cassettes that a session writes, NAME.yaml and NAME.interrupted.yaml, and the folder of its journal."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from cassette.errors import CassetteError
from cassette.files import interrupted_path
from cassette.model import Interaction
from cassette.recording import Recording
from cassette.segments import segment_path, writers_in
from cassette.store import Arrival, CassetteFile, load
from cassette.times_file import TimesFile
from cassette.timing import Timing

_CASSETTE_LEDGER = "cassette.ledger"
_INTERRUPTED_LEDGER = "interrupted.ledger"


@dataclass(frozen=True, slots=True)
class Entry:
    """An interaction to be written: the number of its exchange, and when its chunks came, if that is kept."""

    exchange: int
    interaction: Interaction
    timing: Timing | None = None

    @property
    def is_whole(self) -> bool:
        """Whether it belongs into the cassette, and not into NAME.interrupted.yaml."""
        return not self.interaction.interrupted


class SessionFiles:
    """Where a session's interactions go. Opened when it is first needed, and again after an error."""

    def __init__(self, directory: Path, recording: Recording) -> None:
        """Only remember what is meant; the ledgers lie in the session's folder."""
        self._directory = directory
        self._recording = recording
        self._cassette: CassetteFile | None = None
        self._interrupted: CassetteFile | None = None
        self._times = TimesFile(recording.cassette)
        self.interactions = 0
        """How many interactions of this session the cassette got."""
        self.interrupted = 0
        """How many NAME.interrupted.yaml got."""

    def open(self) -> None:
        """Open what is there; raises StoreError when a cassette cannot be written."""
        if self._cassette is not None:
            return
        # First, so that what is in it is known before anything is written.
        if (self._directory / _INTERRUPTED_LEDGER).exists():
            self._open_interrupted()
        ledger = self._directory / _CASSETTE_LEDGER
        self._cassette = CassetteFile(self._recording.cassette, ledger, self._recording.layout)
        self.interactions = len(self._cassette.done)

    def _open_interrupted(self) -> CassetteFile:
        if self._interrupted is None:
            path = interrupted_path(self._recording.cassette)
            layout = self._recording.layout
            with contextlib.suppress(CassetteError):  # opening it says what is wrong
                if path.exists() and (there := load(path)).interactions:
                    layout = there.layout  # of an earlier session; not worth stopping this one
            self._interrupted = CassetteFile(path, self._directory / _INTERRUPTED_LEDGER, layout)
            self.interrupted = len(self._interrupted.done)
        return self._interrupted

    def has(self, writer: str, exchange: int) -> bool:
        """Tell whether an exchange was written before the files were opened."""
        return any(
            file is not None and (writer, exchange) in file.done
            for file in (self._cassette, self._interrupted)
        )

    def append(self, writer: str, entries: Sequence[Entry]) -> None:
        """Write interactions of one writer to the file that they belong to; see `Entry.is_whole`.

        All have to belong to the same one. Raises StoreError, and can be called again. The times of whole ones go
        beside the cassette, before them; an error in that is logged.
        """
        assert self._cassette is not None
        arrivals = [self._arrival(entry) for entry in entries]
        if entries[0].is_whole:
            self._cassette.append_all(writer, arrivals)
            self.interactions += len(entries)
        else:
            self._open_interrupted().append_all(writer, arrivals)
            self.interrupted += len(entries)

    def _arrival(self, entry: Entry) -> Arrival:
        timing = entry.timing
        before = partial(self._times.put, timing=timing) if timing is not None else None
        return Arrival(entry.exchange, entry.interaction, before)

    def sync(self) -> None:
        """Make what was written survive a power cut."""
        for file in (self._cassette, self._interrupted):
            if file is not None:
                file.sync()
        self._times.sync()

    def close(self) -> None:
        """Close the files."""
        for file in (self._cassette, self._interrupted):
            if file is not None:
                file.close()
        self._cassette = self._interrupted = None


def delete_session(directory: Path) -> None:
    """Delete a session's folder in an order that a crash may interrupt: the ledgers outlive the journal."""
    with contextlib.suppress(OSError, CassetteError):
        for name, numbers in writers_in(directory).items():
            for number in numbers:
                segment_path(directory, name, number).unlink(missing_ok=True)
        shutil.rmtree(directory)
