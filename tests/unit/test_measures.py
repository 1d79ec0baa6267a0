"""The counters of exchanges by router, and their sum over workers."""

from __future__ import annotations

import json

import pytest

from addons.measures import BOUNDS_SECONDS, Measures, total


def test_what_workers_counted_adds_up_and_survives_json() -> None:
    one, other = Measures(), Measures()
    one.answered("a.example", 0.01)
    one.ended("a.example", "complete", 10, 100)
    other.answered("a.example", 0.2)
    other.answered("b.example", 1000)
    other.ended("a.example", "complete", 1, 2)
    other.ended("a.example", "client_left", 0, 5)
    both = total(json.loads(json.dumps(part.to_json())) for part in (one, other))
    first = both.by_router["a.example"]
    assert first.ended == {"complete": 2, "client_left": 1}
    assert (first.request_bytes, first.response_bytes) == (11, 107)
    assert first.first_byte_seconds == pytest.approx(0.21)
    assert sum(first.first_bytes) == 2
    assert both.by_router["b.example"].first_bytes[len(BOUNDS_SECONDS)] == 1


def test_a_time_on_a_bound_is_within_it() -> None:
    measures = Measures()
    measures.answered("a.example", BOUNDS_SECONDS[2])
    assert measures.by_router["a.example"].first_bytes[2] == 1
