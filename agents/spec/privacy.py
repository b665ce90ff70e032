"""What limits how much the global model can tell about one record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from math import ceil, inf, sqrt
from typing import Any, ClassVar

from defedbio.domain import MAX_NOISE
from defedbio.errors import InvalidSpec


@dataclass(frozen=True)
class RecordPrivacy:
    """DP-SGD at every organisation (Abadi et al. 2016): (epsilon, delta) for each record of each organisation's own data.

    Every minibatch takes each row with probability `sample_rate`, the same at every organisation: its loss then follows from the study and
    the number of rounds, and tells nothing about how many rows it has. `epsilon` is the budget of the whole study: an organisation's node
    sits out the round that would exceed it.
    """

    kind: ClassVar[str] = "record"
    noise_multiplier: float
    max_grad_norm: float
    sample_rate: float
    epsilon: float
    delta: float

    def __post_init__(self) -> None:
        _require_numbers(self)


@dataclass(frozen=True)
class SumPrivacy:
    """Discrete Gaussian noise on the encrypted sum (Kairouz, Liu and Steinke 2021): (epsilon, delta) for everything an organisation holds.

    Every organisation adds a share of noise to its own update before it encrypts it. The shares are such that those of any `honest`
    organisations together have `noise_multiplier` times the clip norm as deviation; what others add, or leave out, changes nothing.
    """

    kind: ClassVar[str] = "sum"
    noise_multiplier: float
    honest: int
    epsilon: float
    delta: float

    def __post_init__(self) -> None:
        _require_numbers(self)

    def share(self, clip_norm: float) -> float:
        """Deviation of one organisation's noise, in the unit of the clip norm."""
        return self.noise_multiplier * clip_norm / sqrt(self.honest)

    def units(self, clip_norm: float, scale: float) -> int:
        """That deviation in units of the quantisation, rounded up; all that no quantisation takes is one more than `MAX_NOISE`."""
        units = self.share(clip_norm) * scale
        return ceil(units) if units <= MAX_NOISE else MAX_NOISE + 1


Privacy = RecordPrivacy | SumPrivacy


def _require_numbers(privacy: Privacy) -> None:
    """Raises InvalidSpec for NaN, which no loss exceeds, and for what is not above 0 or is infinite."""
    for field in fields(privacy):
        if not 0 < getattr(privacy, field.name) < inf:
            raise InvalidSpec(f"privacy.{field.name} must be a positive number")


def privacy_from(document: Mapping[str, Any]) -> Privacy | None:
    """The privacy of a document that obeys the schema; None where the study has none."""
    fields = {name: value for name, value in document.items() if name != "kind"}
    kinds: dict[str, type[RecordPrivacy] | type[SumPrivacy]] = {"record": RecordPrivacy, "sum": SumPrivacy}
    return kinds[document["kind"]](**fields) if document["kind"] in kinds else None
