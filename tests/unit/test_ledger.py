from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from zlib import crc32

import pytest

from cassette.errors import StoreError
from cassette.ledger import Announcement, Ledger, Part

FIRST = Announcement("w1", 9000, (Part(42, 512, 2774128903), Part(43, 530, 91823)))
SECOND = Announcement("w-2 \u00e9", 0, (Part(1, 1, 0),))


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with contextlib.closing(Ledger(tmp_path / "ledger")) as ledger:
        yield ledger


def again(ledger: Ledger) -> list[Announcement]:
    with contextlib.closing(Ledger(ledger.path)) as opened:
        return opened.entries()


def test_announcements_are_there_after_opening_it_again(ledger: Ledger) -> None:
    ledger.announce(FIRST)
    ledger.announce(SECOND)

    assert again(ledger) == [FIRST, SECOND]


def test_one_line_each(ledger: Ledger) -> None:
    ledger.announce(FIRST)

    assert ledger.path.read_bytes() == b'["w1", 9000, [[42, 512, 2774128903], [43, 530, 91823]]]\n'


def test_what_did_not_happen_is_taken_back(ledger: Ledger) -> None:
    ledger.announce(FIRST)
    ledger.announce(SECOND)
    ledger.retract()
    assert again(ledger) == [FIRST]

    ledger.announce(SECOND)
    assert again(ledger) == [FIRST, SECOND]


def test_after_opening_it_again_the_last_announcement_can_be_taken_back(ledger: Ledger) -> None:
    ledger.announce(FIRST)
    ledger.announce(SECOND)
    with ledger.path.open("ab") as file:
        file.write(b"spoiled\n")
    with contextlib.closing(Ledger(ledger.path)) as opened:
        assert opened.entries() == [FIRST, SECOND]
        opened.retract()

    assert again(ledger) == [FIRST]


def test_the_parts_that_stand_whole_in_a_cassette_are_counted() -> None:
    texts = (b"one", b"three", b"two")
    parts = tuple(Part(number, len(text), crc32(text)) for number, text in enumerate(texts))
    announced = Announcement("w1", 2, parts)
    whole = b"--" + b"".join(texts)

    assert [announced.found_in(whole[:end], 2) for end in range(len(whole) + 1)] == [0] * 5 + [1] * 5 + [
        2
    ] * 3 + [3]
    assert announced.found_in(whole, 1) == 0
    assert announced.found_in(whole, -1) == 0


def test_it_is_private(ledger: Ledger) -> None:
    assert ledger.path.stat().st_mode & 0o777 == 0o600


def test_a_torn_last_line_is_cut_off_at_every_byte(ledger: Ledger) -> None:
    ledger.announce(FIRST)
    whole = ledger.path.read_bytes()
    for end in range(len(whole)):
        ledger.path.write_bytes(whole + whole[:end])
        with contextlib.closing(Ledger(ledger.path)) as opened:
            opened.announce(SECOND)
        assert again(ledger) == [FIRST, SECOND], end


@pytest.mark.parametrize(
    "spoiled",
    [
        b"\0" * 30,
        b"{}",
        b"[1, 2]",
        b'["w", 1, []]',
        b'["w", 1, [[2, 3]]]',
        b'["w", 1, [[2, 3, null]]]',
        b"\xff",
        b"",
    ],
)
def test_lines_that_a_power_cut_spoiled_are_left_out(ledger: Ledger, spoiled: bytes) -> None:
    ledger.announce(FIRST)
    with ledger.path.open("ab") as file:
        file.write(spoiled + b"\n")
    with contextlib.closing(Ledger(ledger.path)) as opened:
        opened.announce(SECOND)

    assert again(ledger) == [FIRST, SECOND]


def test_a_line_that_the_disk_refuses_leaves_nothing(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger.announce(FIRST)
    writev = os.writev
    calls = iter(range(100))

    def half(handle: int, buffers: Sequence[Any]) -> int:
        if next(calls) == 0:
            return writev(handle, [bytes(buffers[0])[:5]])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as full:
        full.setattr(os, "writev", half)
        with pytest.raises(StoreError, match="cannot write the ledger: No space left on device; make room"):
            ledger.announce(SECOND)
    ledger.announce(SECOND)
    assert again(ledger) == [FIRST, SECOND]


def test_a_symlink_planted_in_its_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / "ledger").symlink_to(tmp_path / "elsewhere")

    with pytest.raises(StoreError, match="cannot open the ledger"):
        Ledger(tmp_path / "ledger")
    assert not (tmp_path / "elsewhere").exists()
