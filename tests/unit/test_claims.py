"""What several workers have handed out of a cassette, each interaction once."""

from __future__ import annotations

import stat
import threading
from pathlib import Path

import pytest

from addons.claims import Claims
from cassette.errors import StoreError


def test_interaction_is_taken_once_by_whoever_asks_first(tmp_path: Path) -> None:
    one, two = (Claims(tmp_path / "deck", 3) for _ in range(2))
    assert one.claim(1)
    assert not two.claim(1)
    assert not one.claim(1)
    assert two.claim(0)
    assert one.taken() == two.taken() == b"\1\1\0"


def test_file_is_private(tmp_path: Path) -> None:
    Claims(tmp_path / "deck", 1)
    assert stat.S_IMODE((tmp_path / "deck").stat().st_mode) == 0o600


def test_cassette_that_grew_between_two_workers_keeps_what_was_taken(tmp_path: Path) -> None:
    short = Claims(tmp_path / "deck", 1)
    assert short.claim(0)
    long = Claims(tmp_path / "deck", 3)
    assert (short.taken(), long.taken()) == (b"\1", b"\1\0\0")
    assert long.claim(2)
    late = Claims(tmp_path / "deck", 2)
    assert late.taken() == b"\1\0"
    assert not Claims(tmp_path / "deck", 3).claim(2)


def test_empty_cassette_has_nothing_to_take(tmp_path: Path) -> None:
    assert Claims(tmp_path / "deck", 0).taken() == b""


def test_many_at_once_get_each_interaction_once(tmp_path: Path) -> None:
    taken: list[int] = []

    def take() -> None:
        claims = Claims(tmp_path / "deck", 200)
        taken.extend(position for position in range(200) if claims.claim(position))

    threads = [threading.Thread(target=take) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(taken) == list(range(200))


def test_folder_that_is_gone_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="share what was replayed"):
        Claims(tmp_path / "none" / "deck", 1)
