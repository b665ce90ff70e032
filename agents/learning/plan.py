"""Which encrypted rounds a study runs, and what each one sums."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from typing import Literal

from defedbio.domain import Quantisation, Run, Segment
from defedbio.errors import InvalidSpec
from defedbio.learning import statistics
from defedbio.learning.preprocessing import moment_count
from defedbio.learning.quantisation import WIDE_SLOT_BITS, control_segment, update_segment
from defedbio.learning.tasks import open_task
from defedbio.spec import NORM_PROOF_SLACK, RotatedSpec, StudySpec, widest_scale

# Before the names of segments that measure a model.
EVALUATION = "evaluation."

StepKind = Literal["statistics", "moments", "train", "evaluate"]


@dataclass(frozen=True)
class Step:
    """One successful round. `index` counts from 0 in the schedule; a voided round repeats the same step (P7).

    `segments` are what every contribution consists of, in their order in the ciphertexts, those with equally wide slots side by side.
    `training_round` counts the training steps before this one.
    """

    index: int
    kind: StepKind
    segments: tuple[Segment, ...]
    training_round: int = 0

    def __post_init__(self) -> None:
        if self.index < 0 or not self.segments:
            raise InvalidSpec("a step needs an index of at least 0 and something to sum")
        widths = [s.quantisation.slot_bits for s in self.segments]
        if len(list(groupby(widths))) != len(set(widths)) or len({s.quantisation.weight_cap for s in self.segments}) != 1:
            raise InvalidSpec("the segments of a step must lie by the width of their slots, and have equal weight caps")

    @property
    def measures(self) -> bool:
        """Whether a study with evaluation measures in this step the model that the step starts from."""
        return self.kind in ("train", "evaluate")

    @property
    def length(self) -> int:
        return sum(s.length for s in self.segments)

    @property
    def blocks(self) -> tuple[tuple[int, tuple[Segment, ...]], ...]:
        """The segments as they lie in ciphertexts, each block with the bits of its slots: the weight is in the first, in a wide slot, and
        equally wide segments share one. Every rotated one has its own, so that something can be proven of each of its columns, and every
        one with noise, whose norm may be above a slot and must not reach into others."""
        first = self.segments[0].quantisation
        blocks: list[tuple[int, tuple[Segment, ...]]] = [(WIDE_SLOT_BITS if first.rotated or first.noise else first.slot_bits, ())]
        for segment in self.segments:
            q, (bits, held) = segment.quantisation, blocks[-1]
            if q.rotated or q.noise or q.slot_bits != bits:
                blocks.append((q.slot_bits, (segment,)))
            else:
                blocks[-1] = (bits, (*held, segment))
        return tuple(blocks)

    @property
    def runs(self) -> tuple[Run, ...]:
        """The blocks by their numbers of values, the weight included."""
        return tuple(Run(bits, sum(s.length for s in held) + (i == 0)) for i, (bits, held) in enumerate(self.blocks))

    @property
    def weight_cap(self) -> int:
        return self.segments[0].quantisation.weight_cap


def schedule(spec: StudySpec) -> tuple[Step, ...]:
    """The study's steps in order: statistics, the moments of standardised features (S3), `spec.rounds` of training, a last evaluation.

    Training steps also measure the model that they start from, so the last model needs a step of its own.

    Raises:
        InvalidSpec: if a step's numbers of so many organisations cannot be summed without overflow.
    """
    steps: list[Step] = []
    if spec.statistics is not None:
        steps.append(Step(0, "statistics", counts(spec)))
    if spec.standardise:
        steps.append(Step(len(steps), "moments", (_moments(spec),)))
    trained, measured = (update_segment(spec), *control_segment(spec)), measures(spec)
    training = (*measured, *trained) if trained[0].quantisation.rotated else (*trained, *measured)
    steps += [Step(len(steps) + i, "train", training, i) for i in range(spec.rounds)]
    if spec.evaluation is not None:
        steps.append(Step(len(steps), "evaluate", measures(spec), spec.rounds))
    return tuple(steps)


def counts(spec: StudySpec) -> tuple[Segment, ...]:
    """What a contribution counts before training; nothing when the study has no statistics."""
    if spec.statistics is None:
        return ()
    rows = spec.statistics.rows
    return tuple(
        _sum(spec, f"{statistics.PREFIX}{name}", length, rows, WIDE_SLOT_BITS, signed=name in statistics.SIGNED)
        for name, length in statistics.layout(spec).items()
    )


def measures(spec: StudySpec) -> tuple[Segment, ...]:
    """What a contribution says about the model it starts from; nothing when the study has no evaluation."""
    if spec.evaluation is None:
        return ()
    bits = WIDE_SLOT_BITS if isinstance(spec.quantisation, RotatedSpec) else spec.quantisation.slot_bits
    return tuple(_sum(spec, f"{EVALUATION}{m.name}", m.length, m.bound, bits) for m in open_task(spec).measures(spec.evaluation))


def _sum(spec: StudySpec, name: str, length: int, bound: float, slot_bits: int, signed: bool = False) -> Segment:
    """A sum over all organisations of numbers in 0..bound each, or in ±bound if `signed`; counts come out exact where the slots have room
    for them."""
    scale = widest_scale(slot_bits, 2 * bound, spec.seats, spare=1) if signed else widest_scale(slot_bits, bound, spec.seats)
    scale = float(int(scale)) if scale >= 1 else scale
    quantisation = Quantisation(slot_bits, scale, spec.weight_cap, max_abs=bound, weighted=False, signed=signed)
    quantisation.check_slot_rule(spec.seats, NORM_PROOF_SLACK)
    return Segment(name, length, quantisation)


def _moments(spec: StudySpec) -> Segment:
    """Moments of features in [0, 1] lie in [0, 1]; wide slots keep differences of moments exact enough for variances."""
    scale = widest_scale(WIDE_SLOT_BITS, 1.0, spec.seats)
    quantisation = Quantisation(slot_bits=WIDE_SLOT_BITS, scale=scale, weight_cap=spec.weight_cap, max_abs=1.0)
    quantisation.check_slot_rule(spec.seats, NORM_PROOF_SLACK)
    return Segment("moments", moment_count(spec), quantisation)
