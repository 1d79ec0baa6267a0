"""The ratios as a picture, SVG. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

from tests.bench.report import Row

_LABELS = 470
_WIDTH = 460
_HEIGHT = 28
_TOP = 64


@dataclass(frozen=True, slots=True)
class Mark:
    """One line of the picture, turned round where less is better: above 1 is always better."""

    label: str
    at: float
    low: float
    high: float
    target: float


def marks(rows: Sequence[Row]) -> list[Mark]:
    """Return what can be drawn: the rows with a ratio that has a target."""
    found = []
    for row in rows:
        target = next((target for target in row.targets if target.of_ratio), None)
        ends = [ratio for ratio in (row.ratio, row.ratio_low, row.ratio_high) if ratio]
        if target is None or len(ends) != 3:
            continue
        at, low, high = ends
        label = row.figure if row.against == "mitmdump" else f"{row.figure} (against {row.against})"
        if target.at_least:
            found.append(Mark(label, at, low, high, target.limit))
        else:
            found.append(Mark(label, 1 / at, 1 / high, 1 / low, 1 / target.limit))
    return found


def svg(rows: Sequence[Row], title: str) -> str:
    """Draw a dot for each ratio, a line for its spread, and a tick where its target is."""
    shown = marks(rows)
    most = max([2.0, *(max(mark.high, mark.target) for mark in shown)]) * 1.05
    height = _TOP + _HEIGHT * len(shown) + 34
    size = f'width="{_LABELS + _WIDTH + 70}" height="{height}"'
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif" font-size="12">',
        '<rect width="100%" height="100%" fill="white"/>',
        f'<text x="12" y="22" font-size="14" font-weight="bold">{escape(title)}</text>',
        '<text x="12" y="42" fill="#555">how many times as good: dot = median, bar = spread, tick = target</text>',
    ]
    bottom = _TOP + _HEIGHT * len(shown)
    step = 0.5 if most < 5 else round(most / 8) or 1
    for number in range(int(most / step) + 1):
        x, colour = _x(number * step, most), "#333" if number * step == 1 else "#ddd"
        lines.append(f'<line x1="{x}" x2="{x}" y1="{_TOP - 8}" y2="{bottom}" stroke="{colour}"/>')
        lines.append(f'<text x="{x}" y="{bottom + 16}" text-anchor="middle">{number * step:g}</text>')
    for number, mark in enumerate(shown):
        y = _TOP + _HEIGHT * number + _HEIGHT // 2
        colour = "#2a7f3f" if mark.at >= mark.target else "#b3302b"
        target = _x(mark.target, most)
        low, high = _x(mark.low, most), _x(mark.high, most)
        pen = f'stroke="{colour}" stroke-width="5" stroke-opacity="0.4"'
        lines += [
            f'<text x="{_LABELS - 10}" y="{y + 4}" text-anchor="end">{escape(mark.label)}</text>',
            f'<line x1="{low}" x2="{high}" y1="{y}" y2="{y}" {pen}/>',
            f'<line x1="{target}" x2="{target}" y1="{y - 9}" y2="{y + 9}" stroke="#333" stroke-width="2"/>',
            f'<circle cx="{_x(mark.at, most)}" cy="{y}" r="5" fill="{colour}"/>',
            f'<text x="{_x(most, most) + 8}" y="{y + 4}">{mark.at:.2f}</text>',
        ]
    return "\n".join([*lines, "</svg>", ""])


def _x(value: float, most: float) -> float:
    return round(_LABELS + _WIDTH * value / most, 1)
