"""Which encrypted rounds a study runs, and what each one sums."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from agents.domain import Quantisation
from agents.errors import InvalidSpec
from agents.learning.parameters import count
from agents.spec import NORM_PROOF_SLACK, StudySpec, widest_scale

MOMENTS_SLOT_BITS = 48

StepKind = Literal["moments", "train"]


@dataclass(frozen=True)
class Step:
    """One successful round. `index` counts from 0 in the schedule; a voided round repeats the same step (P7).

    `length` is the number of elements of the contributed vector; `quantisation` is how it is encoded.
    """

    index: int
    kind: StepKind
    length: int
    quantisation: Quantisation

    def __post_init__(self) -> None:
        if self.index < 0 or self.length < 1:
            raise InvalidSpec("a step needs an index of at least 0 and a length of at least 1")


def schedule(spec: StudySpec) -> tuple[Step, ...]:
    """The study's steps in order: the moments of the features first if they are standardised (S3), then `spec.rounds` of training.

    Raises:
        InvalidSpec: if the moments of so many organisations cannot be summed without overflow.
    """
    steps: list[Step] = []
    if spec.standardise:
        steps.append(Step(0, "moments", 2 * spec.features.width, _moments_quantisation(spec)))
    length = count(spec)
    for _ in range(spec.rounds):
        steps.append(Step(len(steps), "train", length, spec.quantisation))
    return tuple(steps)


def _moments_quantisation(spec: StudySpec) -> Quantisation:
    """Moments of features in [0, 1] lie in [0, 1]; wide slots keep differences of moments exact enough for variances."""
    scale = widest_scale(MOMENTS_SLOT_BITS, 1.0, spec.seats)
    quantisation = Quantisation(slot_bits=MOMENTS_SLOT_BITS, scale=scale, weight_cap=spec.weight_cap, max_abs=1.0)
    quantisation.check_slot_rule(spec.seats, NORM_PROOF_SLACK)
    return quantisation
