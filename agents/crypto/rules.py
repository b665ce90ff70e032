"""What the integers of a segment must obey: its encoder keeps to it, and the proof of a contribution shows it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from defedbio.errors import InvalidInput

Int64 = NDArray[np.int64]


@dataclass(frozen=True)
class Range:
    """For every value v: 0 <= v and divisor · v <= slope · W + offset. All three are integers, slope and offset at least 0."""

    offset: int
    slope: int = 0
    divisor: int = 1

    def __post_init__(self) -> None:
        if self.divisor < 1 or self.offset < 0 or self.slope < 0 or self.offset + self.slope < 1:
            raise InvalidInput("a range needs a positive divisor and something to allow")

    def allowed(self, weight: int) -> int:
        """The right side."""
        return self.slope * weight + self.offset

    def holds(self, values: Int64, weight: int) -> bool:
        """Whether these values of a contribution of this weight obey, in exact integers."""
        return int(values.min()) >= 0 and self.divisor * int(values.max()) <= self.allowed(weight)


@dataclass(frozen=True)
class Norm:
    """divisor · sum v² <= square · W² + linear · W + constant, over all values of the segment together; integers, at least 0. With `most`
    that is a limit as well, whatever W is.

    `spread` says that honest values were rotated at random, so that no few of them hold much of the norm: a proof may then bound parts
    of the segment by their shares of it.
    """

    constant: int
    linear: int = 0
    square: int = 0
    divisor: int = 1
    spread: bool = False
    most: int | None = None

    def __post_init__(self) -> None:
        if self.divisor < 1 or min(self.constant, self.linear, self.square) < 0 or not self.constant + self.linear + self.square:
            raise InvalidInput("a norm needs a positive divisor and something to allow")
        if self.most is not None and self.most < 1:
            raise InvalidInput("a norm needs something to allow whatever the weight")

    def of_weight(self, weight: int) -> int:
        """What this weight allows."""
        return (self.square * weight + self.linear) * weight + self.constant

    def allowed(self, weight: int) -> int:
        """What divisor · sum v² may be."""
        return self.of_weight(weight) if self.most is None else min(self.of_weight(weight), self.most)

    def holds(self, values: Int64, weight: int) -> bool:
        """Whether these values of a contribution of this weight obey, in exact integers."""
        return self.divisor * sums_of_squares(values[:, None])[0] <= self.allowed(weight)


Rule = Range | Norm


def sums_of_squares(rows: Int64) -> list[int]:
    """Column by column, exact."""
    largest = max(int(rows.max()), -int(rows.min()))
    exact = rows if largest * largest * len(rows) < 1 << 62 else rows.astype(object)
    return [int(x) for x in (exact * exact).sum(axis=0)]
