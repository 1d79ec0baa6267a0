from __future__ import annotations

import itertools
import json

import pytest

from cassette.keyorder import in_natural_order
from tests.support.shared import SHARED, needs_shared

WRITTEN_BY_GO = [
    ["Accept", "Content-Type", "User-Agent"],
    ["X-1", "X-01", "X-9", "X-10", "X-A"],
    ["_", "A", "Z", "a", "z"],
    ["X", "X-Id", "Xa"],
    ["a1", "a1b", "a1-", "a10"],
    ["a0", "a00", "a1", "a10", "a010"],
    ["!a", "_", "0", "x"],
    ["é", "é0", "é09"],
    ["v4", "v10", "v\u0663"],
]


@pytest.mark.parametrize("names", WRITTEN_BY_GO, ids=" ".join)
def test_names_come_in_the_natural_order_of_go_yaml(names: list[str]) -> None:
    for shuffled in itertools.permutations(names):
        assert in_natural_order(shuffled) == names


def test_numbers_past_an_int64_wrap_as_in_go() -> None:
    assert in_natural_order(["b1", "b9999999999999999999"]) == ["b9999999999999999999", "b1"]


def test_bytes_that_are_not_utf8_stand_where_the_replacement_character_does() -> None:
    assert in_natural_order(["\ufffe", "\udcff", "a"]) == ["\udcff", "\ufffe", "a"]


def test_no_names_and_one_name_stay() -> None:
    assert in_natural_order([]) == []
    assert in_natural_order({"one": 1}) == ["one"]


@needs_shared
def test_maps_that_go_wrote_have_the_same_order() -> None:
    assert SHARED is not None
    vectors = json.loads((SHARED / "vectors" / "durations-and-keys.json").read_text("utf-8"))["key_order"]
    assert len(vectors) > 100
    for vector in vectors:
        written = [line[:-1].strip("\"'") for line in vector["yaml"].splitlines() if line.endswith(":")]
        assert in_natural_order(vector["keys"]) == written
