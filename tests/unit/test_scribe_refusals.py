from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import pytest

from cassette import backlog, lifecycle, segment_reader, store, wire
from cassette.emitter import EMPTY_DOCUMENT
from cassette.errors import JournalCorruptError, StoreError
from cassette.journal import Kind
from cassette.recovery import recover
from cassette.store import CassetteFile
from tests.support.journals import Session, Take, cassette_of, put, read_all
from tests.support.scribes import SIX, clock, finish, session

__all__ = ["clock", "session"]


# a disk that refuses


def refuse_appends(patched: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> int:
        raise StoreError("cannot write the cassette: No space left on device", path=Path("chat.yaml"))

    patched.setattr(CassetteFile, "append_all", refuse)


def test_a_disk_that_refuses_is_told_and_tried_again(
    session: Session, monkeypatch: pytest.MonkeyPatch, clock: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    session.write(*SIX)
    with contextlib.closing(session.scribe()) as scribe:
        with monkeypatch.context() as patched:
            refuse_appends(patched)
            for _ in range(3):
                assert not scribe.step()
                clock[0] += 2
        assert scribe.counts.problem == "chat.yaml: cannot write the cassette: No space left on device"
        assert caplog.text.count("scribe.blocked") == 1
        read_all(scribe)
        assert scribe.counts.problem == ""

    assert session.cassette.read_bytes() == cassette_of(SIX)


def test_a_disk_that_refuses_is_tried_once_in_a_second(
    session: Session, monkeypatch: pytest.MonkeyPatch, clock: list[float]
) -> None:
    session.write(*SIX)
    with contextlib.closing(session.scribe()) as scribe:
        with monkeypatch.context() as patched:
            refuse_appends(patched)
            scribe.step()
        clock[0] += 0.5
        assert not scribe.step()
        assert session.cassette.read_bytes() == EMPTY_DOCUMENT
        clock[0] += 0.6
        assert scribe.step()


def test_a_session_that_ends_while_the_disk_refuses_keeps_its_journal(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    session.write(*SIX[:5])
    session.write(SIX[5], name="w2", ended=False)
    scribe = session.scribe()
    with monkeypatch.context() as patched:
        refuse_appends(patched)
        assert not scribe.finish("stop")
    assert "No space left" in scribe.counts.problem
    assert not session.interrupted.exists()

    assert [(one.interactions, one.interrupted, one.problem) for one in recover(session.journals)] == [
        (5, 1, "")
    ]
    assert session.cassette.read_bytes() == cassette_of(SIX[:5])


def test_a_disk_that_comes_back_as_the_session_ends_loses_nothing(
    session: Session, monkeypatch: pytest.MonkeyPatch, clock: list[float]
) -> None:
    session.write(*SIX)
    scribe = session.scribe()
    with monkeypatch.context() as patched:
        refuse_appends(patched)
        scribe.step()
    assert scribe.finish("stop")

    assert session.cassette.read_bytes() == cassette_of(SIX)
    assert not session.interrupted.exists()


def test_a_cassette_that_cannot_be_appended_to_when_the_scribe_starts_is_waited_for(
    session: Session, clock: list[float]
) -> None:
    session.write(*SIX)
    session.cassette.write_bytes(b"notes")
    with contextlib.closing(session.scribe()) as scribe:
        assert "is not a cassette" in scribe.counts.problem
        clock[0] += 2
        assert not scribe.step()
        session.cassette.unlink()
        clock[0] += 2
        read_all(scribe)
        assert scribe.counts.problem == ""

    assert session.cassette.read_bytes() == cassette_of(SIX)


def test_an_exchange_that_cannot_be_converted_does_not_stop_the_others(
    session: Session, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    session.write(*SIX[:3])
    convert = wire.to_interaction

    def maybe(exchange: Any, *arguments: Any, **named: Any) -> Any:
        if exchange.request.url.endswith("/2"):
            raise ValueError("secret")
        return convert(exchange, *arguments, **named)

    monkeypatch.setattr(backlog, "to_interaction", maybe)
    scribe = finish(session)

    assert session.cassette.read_bytes() == cassette_of([SIX[0], SIX[2]])
    assert scribe.counts.failed == 1
    assert "secret" not in caplog.text


def test_a_record_of_another_version_fails_its_exchange_alone(session: Session) -> None:
    with contextlib.closing(session.writer()) as writer:
        put(writer, [SIX[0]], ended=False)
        writer.append(Kind.FAILED, 1, 1, b'["NEW_OUTCOME", ""]')
        put(writer, [SIX[1]])
    scribe = finish(session)

    assert session.cassette.read_bytes() == cassette_of([SIX[1]])
    assert scribe.counts.failed == 1


def test_a_part_of_the_journal_that_is_gone_fails_its_exchange_alone(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = Take(1, (b"a" * 60_000, b"b" * 60_000))
    session.write(long, SIX[1])

    def gone(*_: object) -> bytes:
        raise JournalCorruptError("a part of the journal was deleted")

    monkeypatch.setattr(segment_reader.PayloadFile, "read", gone)
    scribe = finish(session)

    assert session.cassette.read_bytes() == cassette_of([SIX[1]])
    assert scribe.counts.failed == 1


def test_one_writer_with_much_to_read_does_not_keep_the_others_waiting(
    session: Session, clock: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    session.write(*SIX[:5], name="w1")
    session.write(SIX[5], name="w2")
    feed = lifecycle.Assembler.feed

    def slow(self: Any, *arguments: Any) -> Any:
        clock[0] += 0.02
        return feed(self, *arguments)

    monkeypatch.setattr(lifecycle.Assembler, "feed", slow)
    with contextlib.closing(session.scribe()) as scribe:
        scribe.step()
        scribe.step()
        scribe.step()
        assert store.load(session.cassette).interactions[1].request.url.endswith("/6")


def test_catching_up_writes_what_has_finished_though_more_is_being_written(session: Session) -> None:
    with contextlib.closing(session.writer()) as writer, contextlib.closing(session.scribe()) as scribe:
        put(writer, SIX[:3])
        put(writer, [SIX[3]], ended=False)
        scribe.catch_up(10)
        assert session.cassette.read_bytes() == cassette_of(SIX[:3])
        assert not scribe.step()


def test_catching_up_says_when_the_journal_is_too_long_or_the_disk_refuses(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    session.write(*SIX)
    with contextlib.closing(session.scribe()) as scribe:
        with pytest.raises(StoreError, match="try again in a moment"):
            scribe.catch_up(-1)

        def full(*_: object) -> None:
            raise StoreError("cannot append: no space left on device", path=session.cassette)

        with monkeypatch.context() as patched:
            patched.setattr(CassetteFile, "append_all", full)
            with pytest.raises(StoreError, match="no space left"):
                scribe.catch_up(10)
        scribe.catch_up(10)
        assert session.cassette.read_bytes() == cassette_of(SIX)
