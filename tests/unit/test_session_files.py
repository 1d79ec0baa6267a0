from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from cassette import codec, store
from cassette.emitter import EMPTY_DOCUMENT
from cassette.errors import StoreError
from cassette.model import Cassette, Interaction, Layout, Request, Response
from cassette.session_files import Entry, SessionFiles, delete_session
from tests.support.journals import Session, Take


def an_interaction(*, interrupted: str = "") -> Interaction:
    return Interaction(
        0, Request("GET", "https://api.example.com/"), Response("200 OK", 200), interrupted=interrupted
    )


@pytest.fixture
def session(tmp_path: Path) -> Session:
    return Session(tmp_path)


@pytest.fixture
def files(session: Session) -> Iterator[SessionFiles]:
    with contextlib.closing(SessionFiles(session.directory, session.recording)) as files:
        files.open()
        yield files


def test_whole_and_interrupted_go_to_files_of_their_own(session: Session, files: SessionFiles) -> None:
    files.append("w1", [Entry(1, an_interaction())])
    files.append("w1", [Entry(2, an_interaction(interrupted="the client left"))])
    files.append("w1", [Entry(3, an_interaction())])

    assert [one.interrupted for one in store.load(session.cassette).interactions] == ["", ""]
    assert [one.interrupted for one in store.load(session.interrupted).interactions] == ["the client left"]
    assert (files.interactions, files.interrupted) == (2, 1)
    assert session.interrupted.stat().st_mode & 0o777 == 0o600


def test_without_interrupted_exchanges_there_is_no_file_for_them(
    session: Session, files: SessionFiles
) -> None:
    files.append("w1", [Entry(1, an_interaction())])

    assert not session.interrupted.exists()


def test_both_are_known_after_opening_again(session: Session, files: SessionFiles) -> None:
    files.append("w1", [Entry(1, an_interaction())])
    files.append("w1", [Entry(2, an_interaction(interrupted="the client left"))])
    files.close()

    files.open()
    assert files.has("w1", 1)
    assert files.has("w1", 2)
    assert not files.has("w1", 3)
    assert (files.interactions, files.interrupted) == (1, 1)


def test_interrupted_exchanges_of_an_earlier_session_are_appended_to_in_their_layout(
    session: Session, files: SessionFiles
) -> None:
    earlier = Cassette((an_interaction(interrupted="earlier"),), layout=Layout.GO_VCR)
    session.interrupted.write_bytes(codec.dumps(earlier))
    files.append("w1", [Entry(1, an_interaction(interrupted="later"))])

    found = store.load(session.interrupted)
    assert found.layout is Layout.GO_VCR
    assert [one.interrupted for one in found.interactions] == ["earlier", "later"]
    assert files.interrupted == 1


def test_a_file_that_cannot_be_appended_to_is_an_error_and_opened_once_it_can(session: Session) -> None:
    session.cassette.write_bytes(b"notes")
    with contextlib.closing(SessionFiles(session.directory, session.recording)) as files:
        with pytest.raises(StoreError, match="is not a cassette"):
            files.open()
        session.cassette.write_bytes(EMPTY_DOCUMENT)
        files.open()
        files.append("w1", [Entry(1, an_interaction())])

    assert len(store.load(session.cassette).interactions) == 1


def test_a_session_is_deleted_whole(session: Session) -> None:
    session.write(Take(1))
    delete_session(session.directory)

    assert not session.directory.exists()


def test_a_session_is_never_deleted_so_that_its_journal_is_left_without_its_ledgers(
    session: Session, files: SessionFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    session.write(Take(1), Take(2))
    seen: list[bool] = []

    def noted(path: Path) -> None:
        seen.append(any(Path(path).glob("*.seg")))
        rmtree(path)

    rmtree = shutil.rmtree
    monkeypatch.setattr(shutil, "rmtree", noted)
    delete_session(session.directory)
    assert seen == [False]


def test_a_segment_that_cannot_be_deleted_keeps_the_ledgers(
    session: Session, files: SessionFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    session.write(Take(1))

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(os.strerror(1))

    monkeypatch.setattr(Path, "unlink", refuse)
    delete_session(session.directory)

    assert (session.directory / "cassette.ledger").exists()
    assert (session.directory / "session.json").exists()
