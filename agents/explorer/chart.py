"""A line chart as numbers that a template draws."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 400, 190, 58, 10, 10, 26
TICKS = 4
MOST_DOTS = 60


@dataclass(frozen=True)
class Chart:
    """`points` are (x, y) in a box of WIDTH by HEIGHT with their values and labels; `lines` the y of grid lines with their labels."""

    title: str
    points: tuple[tuple[float, float, float, str], ...]
    lines: tuple[tuple[float, str], ...]
    first: str
    last: str
    width: int = WIDTH
    height: int = HEIGHT
    left: int = LEFT

    @property
    def path(self) -> str:
        return "M" + " L".join(f"{x:.1f} {y:.1f}" for x, y, _, _ in self.points)

    @property
    def dots(self) -> tuple[tuple[float, float, float, str], ...]:
        """The points that are worth a mark of their own: none where they would run together."""
        return self.points if len(self.points) <= MOST_DOTS else ()


def chart(title: str, values: Sequence[tuple[float, float]], label: Callable[[float], str] = "{:.3g}".format, zero: bool = False) -> Chart:
    """Of at least two (x, value) with rising x; `zero` begins the scale there."""
    low, high = min(v for _, v in values), max(v for _, v in values)
    room = (high - low) * 0.1 or abs(high) * 0.1 or 1.0
    low, high = 0.0 if zero else low - room, high + room
    first, last = values[0][0], values[-1][0]

    def down(value: float) -> float:
        return TOP + (high - value) / (high - low) * (HEIGHT - TOP - BOTTOM)

    points = tuple((LEFT + (x - first) / (last - first) * (WIDTH - LEFT - RIGHT), down(v), x, label(v)) for x, v in values)
    marks = [low + (high - low) * i / TICKS for i in range(TICKS + 1)]
    return Chart(title, points, tuple((down(m), label(m)) for m in marks), f"{first:.0f}", f"{last:.0f}")
