"""Whether an opened sum is one that honest contributions can add up to. Of one that is not, nothing is computed and the reason is said."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from defedbio.domain import Segment
from defedbio.errors import InvalidInput

Float64 = npt.NDArray[np.float64]

# Of IEEE arithmetic on honest numbers, relative.
ARITHMETIC = 1e-9


class ImpossibleSums(InvalidInput):
    """No honest contributions give these sums; the message says why."""


@dataclass(frozen=True)
class Slack:
    """How far one element of each sum can be off because every organisation rounds its part; 0 where whole numbers come out exact."""

    by_name: Mapping[str, float]

    @classmethod
    def of(cls, segments: Iterable[Segment], seats: int, whole: Iterable[str] = (), prefix: str = "") -> Slack:
        """Of segments that up to `seats` organisations add to; `whole` names those that hold counts. Names are given without `prefix`."""
        counted, found = set(whole), {}
        for segment in segments:
            name, scale = segment.name.removeprefix(prefix), segment.quantisation.scale
            found[name] = 0.0 if name in counted and scale.is_integer() else seats / scale
        return cls(found)

    def __getitem__(self, name: str) -> float:
        return self.by_name[name]


def require(holds: bool | np.bool_ | npt.NDArray[np.bool_], otherwise: str) -> None:
    """Raises ImpossibleSums, saying `otherwise`, unless it holds everywhere."""
    if not np.all(holds):
        raise ImpossibleSums(f"the opened sums are none that honest organisations can give: {otherwise}")


def at_most(part: Float64 | float, whole: Float64 | float, slack: float, otherwise: str) -> None:
    """Raises ImpossibleSums, saying `otherwise`, if a part exceeds its whole by more than `slack` and what arithmetic makes of it."""
    require(np.asarray(part) <= np.asarray(whole) + slack + ARITHMETIC * np.abs(whole), otherwise)


def not_negative(totals: Mapping[str, Float64]) -> None:
    """Raises ImpossibleSums if anything is below 0: rounding keeps signs, so what nobody can send below 0 adds up to nothing below it."""
    for name, vector in totals.items():
        require(vector >= 0, f"{name} below 0")


def whole(totals: Mapping[str, Float64], slack: Slack, names: Iterable[str]) -> None:
    """Raises ImpossibleSums if counts that come out exact are not whole."""
    for name in names:
        vector = totals[name]
        require(slack[name] > 0 or np.abs(vector - np.rint(vector)) <= ARITHMETIC * np.maximum(vector, 1.0), f"parts of a row in {name}")


def moments(first: Float64, second: Float64, count: Float64 | float, slack: float, what: str) -> None:
    """Raises ImpossibleSums unless sums of m, of m^2 and of 1 are those of numbers m in [0, 1], each of the sums off by up to `slack`."""
    at_most(first, np.add(count, slack), slack, f"{what} above 1")
    at_most(second, np.add(first, slack), slack, f"a larger square of {what} than the numbers have")
    least = np.maximum(np.subtract(first, slack), 0.0) ** 2
    most = np.add(second, slack) * np.add(count, slack)
    at_most(least, most, slack * slack, f"a variance of {what} below 0")
