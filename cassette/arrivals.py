"""When the chunks of a body came, in bounded memory."""

from __future__ import annotations

from array import array

MOST_ARRIVALS = 100_000
"""Of one body: 1.6 MB here, some 2 MB as a line of the file. Chosen: a model that says a hundred tokens a second speaks
for a quarter of an hour."""


class Arrivals:
    """The times and sizes of a body's chunks. Past `MOST_ARRIVALS` neighbours are joined, two and two.

    What is joined came when its last byte did, so nothing is ever said to have come too early.
    """

    def __init__(self) -> None:
        self._at_ns = array("q")
        self._sizes = array("q")

    def __len__(self) -> int:
        """Return how many chunks are told apart."""
        return len(self._sizes)

    def add(self, at_ns: int, size: int) -> None:
        """Take note of one chunk; one without bytes is none."""
        if not size:
            return
        if (
            self._at_ns and self._at_ns[-1] == at_ns
        ):  # a chunk that was too long for one record of the journal
            self._sizes[-1] += size
            return
        self._at_ns.append(at_ns)
        self._sizes.append(size)
        if len(self._sizes) > MOST_ARRIVALS:
            self._join_neighbours()

    def pairs(self) -> list[tuple[int, int]]:
        """Return the chunks in order: monotonic nanoseconds, bytes as they were sent."""
        return list(zip(self._at_ns, self._sizes, strict=True))

    def _join_neighbours(self) -> None:
        last = (self._at_ns.pop(), self._sizes.pop()) if len(self._sizes) % 2 else None
        self._at_ns = self._at_ns[1::2]
        sizes = zip(self._sizes[::2], self._sizes[1::2], strict=True)
        self._sizes = array("q", (one + other for one, other in sizes))
        if last is not None:
            self._at_ns.append(last[0])
            self._sizes.append(last[1])
