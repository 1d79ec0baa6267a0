from __future__ import annotations

import pytest

from cassette import arrivals
from cassette.arrivals import Arrivals


def filled(*pairs: tuple[int, int]) -> Arrivals:
    found = Arrivals()
    for at_ns, size in pairs:
        found.add(at_ns, size)
    return found


def test_chunks_are_given_back_as_they_came() -> None:
    assert filled((10, 3), (12, 1), (40, 7)).pairs() == [(10, 3), (12, 1), (40, 7)]


def test_records_of_one_moment_are_one_chunk_and_empty_ones_are_none() -> None:
    assert filled((10, 3), (10, 2), (12, 0)).pairs() == [(10, 5)]


@pytest.mark.parametrize("count", [5, 6, 7, 100])
def test_past_the_limit_neighbours_are_joined_and_come_with_the_later_one(
    monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    monkeypatch.setattr(arrivals, "MOST_ARRIVALS", 4)
    found = filled(*((at, at) for at in range(1, count + 1))).pairs()

    assert len(found) <= 4
    assert sum(size for _, size in found) == sum(range(1, count + 1))
    came = 0
    for at_ns, size in found:
        came += size
        assert came == sum(range(1, at_ns + 1)), "what a chunk brings had not all come by then"
