from __future__ import annotations

import pytest

from tests.fuzz.loader import run, seeds


@pytest.mark.parametrize("seed", range(4))
def test_mutated_cassettes_are_a_cassette_or_a_format_error(seed: int) -> None:
    number, heard = run(seeds(), seed, lambda number: number < 300)
    assert number == 300
    assert heard > 10
