"""What a worker measures of exchanges with routers, by router: how they ended, their bytes, the time to first byte.

Pure counters for a monitoring system; what became of single exchanges is in the journal. Routers are named by the
patterns of the table, so that their number does not grow with what clients ask for.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

BOUNDS_SECONDS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
"""Upper bounds of the histogram of times to first byte; routers answer between 0.1 s and a minute."""


@dataclass(slots=True)
class Measured:
    """The counters of one router."""

    ended: Counter[str] = field(default_factory=Counter)
    """Exchanges by outcome: `complete`, `client_left`, ..., `refused`, `dropped`, `failed`."""
    request_bytes: int = 0
    """Of bodies, as they went over the wire."""
    response_bytes: int = 0
    first_bytes: list[int] = field(default_factory=lambda: [0] * (len(BOUNDS_SECONDS) + 1))
    """How many responses began within each of BOUNDS_SECONDS (and after the last), each counted once."""
    first_byte_seconds: float = 0.0
    """The sum of those times."""

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return {
            "ended": dict(self.ended),
            "request_bytes": self.request_bytes,
            "response_bytes": self.response_bytes,
            "first_bytes": self.first_bytes,
            "first_byte_seconds": self.first_byte_seconds,
        }


class Measures:
    """The counters of one worker, or the sum of several."""

    def __init__(self) -> None:
        self.by_router: dict[str, Measured] = {}

    def _of(self, router: str) -> Measured:
        return self.by_router.setdefault(router, Measured())

    def answered(self, router: str, seconds: float) -> None:
        """Count that a response began, so long after its request did."""
        measured = self._of(router)
        measured.first_bytes[bisect_left(BOUNDS_SECONDS, seconds)] += 1
        measured.first_byte_seconds += seconds

    def ended(self, router: str, outcome: str, request_bytes: int, response_bytes: int) -> None:
        """Count that an exchange ended, and how."""
        measured = self._of(router)
        measured.ended[outcome] += 1
        measured.request_bytes += request_bytes
        measured.response_bytes += response_bytes

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON types; `add` takes them."""
        return {router: measured.to_json() for router, measured in self.by_router.items()}

    def add(self, counted: Mapping[str, Any]) -> None:
        """Add what another one counted, as `to_json` gave it."""
        for router, values in counted.items():
            measured = self._of(router)
            measured.ended.update(values["ended"])
            measured.request_bytes += values["request_bytes"]
            measured.response_bytes += values["response_bytes"]
            measured.first_byte_seconds += values["first_byte_seconds"]
            measured.first_bytes = [
                here + there for here, there in zip(measured.first_bytes, values["first_bytes"], strict=True)
            ]


def total(parts: Iterable[Mapping[str, Any]]) -> Measures:
    """Return the sum of what several workers counted."""
    measures = Measures()
    for part in parts:
        measures.add(part)
    return measures
