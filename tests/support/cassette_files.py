"""Cassettes and their ledgers, on either kind of file system and on disks that refuse."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from cassette import codec, store
from cassette.model import Cassette, Interaction, Layout, Request, Response
from cassette.store import Arrival, CassetteFile
from cassette.twin import Exchange, exchange

LAYOUTS = list(Layout)


def an_interaction(number: int, *, body: bytes = b"") -> Interaction:
    return Interaction(
        number,
        Request("GET", f"https://api.example.com/{number}", headers={"Accept": ("*/*",)}),
        Response("200 OK", 200, body or b"line\nof %d\n" % number, content_length=number),
    )


def the_file(*numbers: int, layout: Layout = Layout.CHARM) -> bytes:
    """Return the cassette of these interactions, ids from 0."""
    interactions = tuple(
        Interaction(index, one.request, one.response)
        for index, one in enumerate(map(an_interaction, numbers))
    )
    return codec.dumps(Cassette(interactions, layout=layout))


def arrivals(*numbers: int) -> list[Arrival]:
    return [Arrival(number, an_interaction(number)) for number in numbers]


class Tape:
    """A cassette and its ledger; `open` is a new process as far as the store can tell."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "chat.yaml"
        self.ledger = folder / "state" / "ledger"
        self.ledger.parent.mkdir()
        self.exchange: Exchange = exchange
        self._opened = contextlib.ExitStack()

    def create(self, layout: Layout = Layout.CHARM, how: str = "") -> int:
        return store.create(self.path, layout, append=how == "append", overwrite=how == "overwrite")

    def open(self, layout: Layout = Layout.CHARM) -> CassetteFile:
        file = CassetteFile(self.path, self.ledger, layout, exchange=self.exchange)
        return self._opened.enter_context(contextlib.closing(file))

    def record(self, *numbers: int, layout: Layout = Layout.CHARM) -> None:
        """Append these in a process of their own, leaving out what is there."""
        file = CassetteFile(self.path, self.ledger, layout, exchange=self.exchange)
        for number in numbers:
            if ("w1", number) not in file.done:
                file.append("w1", number, an_interaction(number))
        file.close()

    def close(self) -> None:
        self._opened.close()

    @property
    def content(self) -> bytes:
        return self.path.read_bytes()


@pytest.fixture
def tape(tmp_path: Path) -> Iterator[Tape]:
    with contextlib.closing(Tape(tmp_path)) as tape:
        yield tape


@pytest.fixture
def plain(tape: Tape) -> Tape:
    """A cassette on a file system that cannot make two names change places, such as NFS."""

    def refuse(one: Path, other: Path) -> None:
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL), one, None, other)

    tape.exchange = refuse
    return tape


@pytest.fixture(params=["in one step", "plain"])
def either(tape: Tape, request: pytest.FixtureRequest) -> Tape:
    """A cassette on either kind of file system."""
    return tape if request.param == "in one step" else request.getfixturevalue("plain")


class Refusing:
    """Makes calls of `os` fail from now on, and stop failing."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._monkeypatch = monkeypatch

    @contextlib.contextmanager
    def call(self, name: str, number: int = errno.ENOSPC) -> Iterator[None]:
        def refuse(*_: object, **__: object) -> None:
            raise OSError(number, os.strerror(number))

        with self._monkeypatch.context() as patched:
            patched.setattr(os, name, refuse)
            yield

    @contextlib.contextmanager
    def cassette_after(self, tape: Tape, written: int) -> Iterator[None]:
        """Write so many bytes of the next text, then say that the disk is full; the ledger's disk is not."""
        writev = os.writev
        left = written

        def short(handle: int, buffers: Sequence[Any]) -> int:
            nonlocal left
            if os.path.samestat(tape.ledger.stat(), os.fstat(handle)):
                return writev(handle, buffers)
            if not left:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            done = writev(handle, [b"".join(buffers)[:left]])
            left -= done
            return done

        with self._monkeypatch.context() as patched:
            patched.setattr(os, "writev", short)
            yield


@pytest.fixture
def refusing(monkeypatch: pytest.MonkeyPatch) -> Refusing:
    return Refusing(monkeypatch)
