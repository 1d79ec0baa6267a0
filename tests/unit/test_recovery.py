from __future__ import annotations

import contextlib
import os
import shutil
import threading
import time
from pathlib import Path

import pytest

from cassette.files import make_private_folder
from cassette.recovery import recover
from tests.support.journals import Session, Take, abandon, cassette_of, put
from tests.support.scribes import SIX, Killed, clock, finish, session

__all__ = ["clock", "session"]


# the end, and what a crash leaves


def test_the_journal_is_deleted_when_the_session_is_finished(session: Session) -> None:
    session.write(*SIX)
    finish(session)

    assert not session.directory.exists()


def test_a_kill_while_the_journal_is_deleted_writes_nothing_twice(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    session.write(*SIX)

    def killed(directory: Path) -> None:
        (directory / "cassette.ledger").unlink()
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(shutil, "rmtree", killed)
        with pytest.raises(Killed):
            session.scribe().finish("stop")
    list(recover(session.journals))

    assert session.cassette.read_bytes() == cassette_of(SIX)


def test_a_session_whose_writer_lives_is_not_finished(session: Session, clock: list[float]) -> None:
    with contextlib.closing(session.writer()) as writer:
        put(writer, SIX[:2])
        scribe = session.scribe()
        assert not scribe.finish("stop")
        assert "a proxy still records here; when it has ended: wiretape recover" in scribe.counts.problem
        put(writer, SIX[2:])
    list(recover(session.journals))

    assert session.cassette.read_bytes() == cassette_of(SIX)


def test_recovering_finishes_every_session(tmp_path: Path) -> None:
    sessions = [Session(tmp_path, name=f"chat{number}") for number in range(3)]
    for one in sessions[:2]:
        one.write(*SIX[:2])
        one.write(SIX[2], name="w2", ended=False)
    sessions[2].write(*SIX)

    found = list(recover(sessions[0].journals))

    assert [(one.name, one.interactions, one.interrupted, one.problem) for one in found] == [
        ("chat0", 2, 1, ""),
        ("chat1", 2, 1, ""),
        ("chat2", 6, 0, ""),
    ]
    assert [one.cassette for one in found] == [session.cassette for session in sessions]
    assert list(sessions[0].journals.iterdir()) == []
    assert list(recover(sessions[0].journals)) == []


def test_recovering_tells_what_it_wrote_and_not_what_was_there(session: Session) -> None:
    session.write(*SIX)
    scribe = session.scribe()
    scribe.step()
    abandon(scribe)
    session.write(Take(7), Take(8), name="w2")

    (found,) = recover(session.journals)

    assert found.interactions == 2


def test_recovering_leaves_alone_what_another_process_works_on(session: Session) -> None:
    session.write(*SIX)
    with contextlib.closing(session.scribe()):
        assert list(recover(session.journals, patience_seconds=0)) == []
    assert len(list(recover(session.journals))) == 1


def test_recovering_leaves_alone_a_journal_that_is_being_written(session: Session) -> None:
    with contextlib.closing(session.writer()) as writer:
        put(writer, SIX[:3])
        assert list(recover(session.journals, patience_seconds=0)) == []
        put(writer, SIX[3:])
    list(recover(session.journals))

    assert session.cassette.read_bytes() == cassette_of(SIX)


def test_recovering_waits_for_a_proxy_that_is_about_to_end(session: Session) -> None:
    writer = session.writer()
    put(writer, SIX)
    threading.Timer(0.1, writer.close).start()

    (found,) = recover(session.journals, patience_seconds=30)

    assert found.interactions == 6


def test_recovering_does_not_touch_a_session_that_is_being_opened(session: Session) -> None:
    assert list(recover(session.journals)) == []
    assert (session.directory / "session.json").exists()


def test_recovering_removes_a_folder_that_a_crash_left_half_deleted(session: Session) -> None:
    (session.directory / "session.json").unlink()
    hour_ago = time.time() - 3600
    os.utime(session.directory, (hour_ago, hour_ago))

    assert list(recover(session.journals)) == []
    assert not session.directory.exists()


def test_recovering_says_what_is_wrong_and_goes_on(tmp_path: Path) -> None:
    broken, mangled, good = (Session(tmp_path, name=name) for name in ("a", "b", "c"))
    for one in (broken, mangled, good):
        one.write(*SIX)
    (broken.directory / "session.json").write_bytes(b"{")
    mangled.cassette.write_bytes(b"notes")

    found = {one.name: one for one in recover(good.journals)}

    assert "is not a session's description" in found["a-1"].problem
    assert found["b"].problem.startswith(f"{mangled.cassette}: is not a cassette")
    assert found["c"].problem == ""
    assert mangled.cassette.read_bytes() == b"notes"
    mangled.cassette.unlink()
    assert [one.interactions for one in recover(good.journals) if one.name == "b"] == [6]


def test_there_may_be_nothing_to_recover(tmp_path: Path) -> None:
    assert list(recover(tmp_path / "none")) == []
    make_private_folder(tmp_path / "journals")
    (tmp_path / "journals" / "a file").touch()
    assert list(recover(tmp_path / "journals")) == []
