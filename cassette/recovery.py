"""What a crash left of sessions is finished: their journals are read to the end, as the scribe would have."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from cassette.errors import CassetteError
from cassette.recording import Recording
from cassette.scribe import BusyError, SessionScribe
from cassette.segments import is_being_written, writers_in
from cassette.session_files import delete_session

_OPENING_SECONDS = 60.0
"""A folder without a journal may belong to a session that is being opened while it is younger than this."""


@dataclass(frozen=True, slots=True)
class Recovered:
    """What `recover` did for one session that a crash left behind."""

    name: str
    cassette: Path
    interactions: int
    interrupted: int
    problem: str = ""


def recover(journals: Path, *, patience_seconds: float = 1.0) -> Iterator[Recovered]:
    """Finish every session whose journal lies here and that no process is at work on.

    Processes that a crash of their parent left behind may take a moment to end: `patience_seconds` of waiting, in
    all, for those that are at work.
    """
    deadline = time.monotonic() + patience_seconds
    left = _folders_in(journals)
    while left:
        busy = []
        for directory in left:
            try:
                yield from _recover_one(directory)
            except BusyError:
                busy.append(directory)
        if not busy or time.monotonic() > deadline:
            return
        left = busy
        time.sleep(0.02)


def _folders_in(journals: Path) -> list[Path]:
    if not journals.is_dir():
        return []
    return sorted(path for path in journals.iterdir() if path.is_dir() and not path.is_symlink())


def _recover_one(directory: Path) -> Iterator[Recovered]:
    if is_being_written(directory):
        raise BusyError("a proxy records here; stop it first", path=directory)
    name, cassette = directory.name, directory
    try:
        if not writers_in(directory):
            _delete_if_left(directory)
            return
        recording = Recording.read(directory)
        name, cassette = recording.name, recording.cassette
        scribe = SessionScribe(directory)
    except BusyError:
        raise
    except CassetteError as exc:
        yield Recovered(name, cassette, 0, 0, str(exc))
        return
    before = replace(scribe.refresh_counts())
    scribe.finish("the proxy died")
    counts = scribe.refresh_counts()
    yield Recovered(
        name,
        cassette,
        counts.interactions - before.interactions,
        counts.interrupted - before.interrupted,
        counts.problem,
    )


def _delete_if_left(directory: Path) -> None:
    """Delete a folder without a journal, unless a session may just be opening there."""
    with contextlib.suppress(FileNotFoundError):
        if time.time() - directory.stat().st_mtime > _OPENING_SECONDS:
            delete_session(directory)
