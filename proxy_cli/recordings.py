"""What sessions record: the folder of the journal, the cassette, the scribe that reads behind."""

from __future__ import annotations

import contextlib
import logging
import shutil
from pathlib import Path

from addons.errors import ControlError
from addons.scribe_keeper import ScribeKeeper
from cassette import store
from cassette.emitter import EMPTY_DOCUMENT
from cassette.errors import CassetteError
from cassette.files import interrupted_path, make_private_folder
from cassette.model import Layout
from cassette.times_file import remove_times
from proxy_cli.session import Session

_log = logging.getLogger(__name__)
_FINISH_SECONDS = 600.0
"""How long the scribe may take for what is left in a journal."""
_CATCH_UP_SECONDS = 60.0
_OPEN_SECONDS = 3.0
"""How long `start` waits for the scribe, which takes the request up later all the same. Chosen, not measured."""


def make_journal(session: Session, undo: contextlib.ExitStack) -> None:
    """Make the folder of a session's journal, with what the scribe has to know; raises StoreError."""
    make_private_folder(session.directory)
    undo.callback(shutil.rmtree, session.directory, ignore_errors=True)
    session.description().save(session.directory)


def make_cassette(session: Session, undo: contextlib.ExitStack, *, append: bool, overwrite: bool) -> None:
    """Make sure that there is a cassette that can be appended to; raises StoreError when there cannot be one."""
    request = session.request
    is_new = not request.cassette.exists()
    held = store.create(
        request.cassette, Layout(request.layout), append=append, overwrite=overwrite and not append
    )
    if is_new:
        undo.callback(_remove_if_empty, request.cassette)
    if overwrite:
        interrupted_path(request.cassette).unlink(missing_ok=True)
    if not held:  # times that lie there are of another cassette
        remove_times(request.cassette)


def _remove_if_empty(cassette: Path) -> None:
    with contextlib.suppress(FileNotFoundError):
        if cassette.stat().st_size <= len(EMPTY_DOCUMENT):
            cassette.unlink()


def begin(scribe: ScribeKeeper, session: Session) -> None:
    """Have the scribe read behind a session's journal; raises StoreError.

    One that hangs, or just died, is not waited for long: it, or its successor, takes the session up later.
    """
    try:
        scribe.call("open", directory=str(session.directory), timeout_seconds=_OPEN_SECONDS)
    except ControlError as exc:
        _log.warning("session.scribe_late session=%s reason=%s", session.request.name, exc)


def say_gone(scribe: ScribeKeeper, session: Session, writer: str) -> None:
    """Tell the scribe that a worker is dead; a successor of the scribe's learns it anyway."""
    try:
        scribe.call("writer_gone", directory=str(session.directory), writer=writer)
    except (ControlError, CassetteError) as exc:
        _log.error("session.scribe_failed session=%s reason=%s", session.request.name, exc)


def catch_up(scribe: ScribeKeeper, session: Session) -> None:
    """Have what a session has recorded by now in its cassette; raises StoreError, ControlError when it cannot be."""
    scribe.insist(
        "catch_up",
        directory=str(session.directory),
        patience_seconds=_CATCH_UP_SECONDS,
        timeout_seconds=_CATCH_UP_SECONDS + 30,
    )


def take_up(scribe: ScribeKeeper, session: Session) -> None:
    """Have a new scribe go on where a dead one left a session's journal."""
    directory = str(session.directory)
    try:
        scribe.call("open", directory=directory)
        for writer in session.gone_writers:
            scribe.call("writer_gone", directory=directory, writer=writer)
    except (ControlError, CassetteError) as exc:
        session.written["problem"] = str(exc)
        _log.error("session.scribe_failed session=%s reason=%s", session.request.name, exc)


def finish(scribe: ScribeKeeper, session: Session) -> None:
    """Have the scribe read to the end and delete the journal; what goes wrong is the session's problem."""
    try:
        session.written = scribe.insist(
            "finish",
            directory=str(session.directory),
            reason="the session was stopped",
            timeout_seconds=_FINISH_SECONDS,
        )
    except (ControlError, CassetteError) as exc:
        session.written["problem"] = str(exc)
