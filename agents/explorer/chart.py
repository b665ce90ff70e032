"""A line chart as numbers that a template draws."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 640, 220, 56, 12, 12, 28
TICKS = 4


@dataclass(frozen=True)
class Chart:
    """`points` are (x, y) in a box of WIDTH by HEIGHT with their values; `lines` the y of grid lines with their labels."""

    title: str
    points: tuple[tuple[float, float, float, float], ...]
    lines: tuple[tuple[float, str], ...]
    first: str
    last: str
    width: int = WIDTH
    height: int = HEIGHT
    left: int = LEFT

    @property
    def path(self) -> str:
        return "M" + " L".join(f"{x:.1f} {y:.1f}" for x, y, _, _ in self.points)


def chart(title: str, values: Sequence[tuple[float, float]]) -> Chart:
    """Of at least two (x, value) with rising x."""
    low, high = min(v for _, v in values), max(v for _, v in values)
    room = (high - low) * 0.1 or abs(high) * 0.1 or 1.0
    low, high = low - room, high + room
    first, last = values[0][0], values[-1][0]

    def down(value: float) -> float:
        return TOP + (high - value) / (high - low) * (HEIGHT - TOP - BOTTOM)

    points = tuple((LEFT + (x - first) / (last - first) * (WIDTH - LEFT - RIGHT), down(v), x, v) for x, v in values)
    marks = [low + (high - low) * i / TICKS for i in range(TICKS + 1)]
    return Chart(title, points, tuple((down(m), f"{m:.3g}") for m in marks), f"{first:.0f}", f"{last:.0f}")
