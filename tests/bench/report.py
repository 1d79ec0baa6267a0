"""What was measured as rows: against what, the ratio and its spread, the target; as a table and as JSON. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Target:
    """What a figure should reach: the ratio to mitmdump's, or the figure itself."""

    limit: float
    at_least: bool
    of_ratio: bool = True
    unit: str = "x"

    def __str__(self) -> str:
        return f"{'>=' if self.at_least else '<='} {self.limit:g} {self.unit}"

    def is_met(self, value: float) -> bool:
        """Tell whether a value is on the right side."""
        return value >= self.limit if self.at_least else value <= self.limit


def times(limit: float) -> Target:
    """Ask for at least this many times the other's."""
    return Target(limit, at_least=True)


def at_most_times(limit: float) -> Target:
    """Ask for at most this many times the other's."""
    return Target(limit, at_least=False)


def at_least(limit: float, unit: str) -> Target:
    """Ask for a figure that is at least this, whatever the other's is."""
    return Target(limit, at_least=True, of_ratio=False, unit=unit)


def at_most(limit: float, unit: str) -> Target:
    """Ask for a figure that is at most this, whatever the other's is."""
    return Target(limit, at_least=False, of_ratio=False, unit=unit)


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table. Values are medians of the rounds; the ratio is the median of the rounds' ratios."""

    figure: str
    unit: str
    wiretape: float | None
    mitmdump: float | None = None
    direct: float | None = None
    ratio: float | None = None
    ratio_low: float | None = None
    ratio_high: float | None = None
    targets: tuple[Target, ...] = ()
    note: str = ""
    against: str = "mitmdump"
    """What the second value is of, where it is not mitmdump's."""

    @property
    def met(self) -> bool | None:
        """Whether every target is; None where there is none, or nothing was measured."""
        verdicts = []
        for target in self.targets:
            value = self.ratio if target.of_ratio else self.wiretape
            if value is None:
                return None
            verdicts.append(target.is_met(value))
        return all(verdicts) if verdicts else None

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON types."""
        plain = asdict(self)
        plain["targets"] = [str(target) for target in self.targets]
        return plain | {"met": self.met}


def compared(
    figure: str,
    unit: str,
    ours: Sequence[float],
    theirs: Sequence[float],
    *targets: Target,
    direct: Sequence[float] = (),
    note: str = "",
    against: str = "mitmdump",
) -> Row:
    """Make a row of two series whose values were measured in turns, a pair in each round."""
    if not ours or len(ours) != len(theirs):
        raise ValueError(f"{figure}: {len(ours)} and {len(theirs)} values are no pairs")
    ratios = [one / other for one, other in zip(ours, theirs, strict=True) if other]
    return Row(
        figure,
        unit,
        statistics.median(ours),
        statistics.median(theirs),
        statistics.median(direct) if direct else None,
        statistics.median(ratios) if ratios else None,
        min(ratios, default=None),
        max(ratios, default=None),
        targets,
        note,
        against,
    )


def single(figure: str, unit: str, values: Sequence[float], *targets: Target, note: str = "") -> Row:
    """Make a row of a figure that stands alone."""
    return Row(figure, unit, statistics.median(values), targets=targets, note=note)


def skipped(figure: str, reason: str) -> Row:
    """Make a row that says why there is no figure."""
    return Row(figure, "", None, note=f"skipped: {reason}")


_HEAD = ("figure", "wiretape", "mitmdump", "direct", "ratio", "spread", "target", "met?")


def table(rows: Sequence[Row]) -> str:
    """Return the rows as text, in columns; notes stand below their row."""
    cells = [_HEAD, *(_cells(row) for row in rows)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(_HEAD))]
    lines = [_line(cells[0], widths), "  ".join("-" * width for width in widths)]
    for row, line in zip(rows, cells[1:], strict=True):
        lines.append(_line(line, widths))
        if row.note:
            lines.append(f"    {row.note}")
    return "\n".join(lines)


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    first, *others = [
        cell.ljust(width) if column in (0, 6) else cell.rjust(width)
        for column, (cell, width) in enumerate(zip(cells, widths, strict=True))
    ]
    return "  ".join([first, *others]).rstrip()


def _cells(row: Row) -> tuple[str, ...]:
    figure = f"{row.figure}, {row.unit}" if row.unit else row.figure
    if row.against != "mitmdump":
        figure += f" (second column: {row.against})"
    spread = ""
    if row.ratio_low is not None and row.ratio_high is not None:
        spread = f"{row.ratio_low:.2f}-{row.ratio_high:.2f}"
    return (
        figure,
        shown(row.wiretape),
        shown(row.mitmdump),
        shown(row.direct),
        "" if row.ratio is None else f"{row.ratio:.2f}",
        spread,
        ", ".join(map(str, row.targets)),
        {True: "yes", False: "NO", None: ""}[row.met],
    )


def shown(value: float | None) -> str:
    """Return a value with three digits that tell something."""
    if value is None:
        return ""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"
