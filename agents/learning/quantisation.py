"""How a study's updates become integers: what it says itself, or what is chosen from its seats, its parameters and what proofs need."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, sqrt

from defedbio.domain import GUARD_BITS, LEAST_ROTATED, ROTATED_TAIL, Quantisation, Segment
from defedbio.errors import InvalidSpec
from defedbio.learning.parameters import count
from defedbio.spec import RotatedSpec, StudySpec, widest_scale

WIDE_SLOT_BITS = 48
# "auto": slots of models with fewer parameters are wide, since there are no bytes worth saving; of 24 bits, or what total weights need.
WORTH_ROTATING = 1024
AUTO_WIDE_BITS = 24
AUTO_LEAST_SIGMA = 2.0
_NARROWEST, _WIDEST = 8, 24
_SIGMAS = tuple(quarters / 4 for quarters in range(16, 3, -1))
# Up to so many ciphertexts, proofs look at every value; above at random sums of the slots' columns (docs/crypto.md).
_ROWS = 256

# The first clip norm, where the study leaves it open: the way of its minibatches with gradients of this norm. Measured first updates of
# networks have 0.02 to 0.13 of a gradient of norm 1 (decision 0062).
_GRADIENT = 0.1
_MOST, _LEAST = 16.0, 2.0**-12


@dataclass(frozen=True)
class ClipRange:
    """The clip norm of the first training round, and between what the later ones stay."""

    first: float
    least: float
    most: float

    def clamp(self, norm: float) -> float:
        return min(max(norm, self.least), self.most)

    def times(self, factor: float) -> ClipRange:
        return ClipRange(self.first * factor, self.least * factor, self.most * factor)


def update_segment(spec: StudySpec) -> Segment:
    """The update of every training step, as its first one encodes it.

    Raises:
        InvalidSpec: if no slots fit the study, or its model is too small to be rotated.
    """
    agreed, parameters = spec.quantisation, count(spec)
    if isinstance(agreed, Quantisation):
        return Segment("update", parameters, agreed)
    clip = update_range(spec)
    if not agreed.always and parameters < WORTH_ROTATING:
        # The weight lies in a slot like the others.
        bits = max(AUTO_WIDE_BITS, (spec.seats * spec.weight_cap).bit_length() + 1)
        scale = widest_scale(bits, clip.most, spec.seats)
        quantisation = Quantisation(bits, scale, spec.weight_cap, clip_norm=clip.most)
        quantisation.check_slot_rule(spec.seats)
        return Segment("update", parameters, quantisation)
    return _rotated(spec, agreed, "update", clip.first, weighted=True)


def control_segment(spec: StudySpec) -> tuple[Segment, ...]:
    """The difference of control variates that SCAFFOLD sums as well; none with other strategies."""
    if spec.strategy.kind != "scaffold":
        return ()
    agreed, update = spec.quantisation, update_segment(spec).quantisation
    norm = float(update.clip_norm or 0) * _of_control(spec)
    if isinstance(agreed, RotatedSpec) and update.rotated:
        return (_rotated(spec, agreed, "control", norm, weighted=False),)
    scale = widest_scale(update.slot_bits, norm, spec.seats)
    return (Segment("control", count(spec), Quantisation(update.slot_bits, scale, spec.weight_cap, clip_norm=norm, weighted=False)),)


def rotated_ranges(spec: StudySpec) -> dict[str, ClipRange]:
    """The clip norms of what the study rotates, by the segments' names; empty where nothing is."""
    if not update_segment(spec).quantisation.rotated:
        return {}
    update = update_range(spec)
    return {"update": update} | {segment.name: update.times(_of_control(spec)) for segment in control_segment(spec)}


def update_range(spec: StudySpec) -> ClipRange:
    """The clip norms of updates; all three are the same where the study fixed it."""
    agreed = spec.quantisation
    if isinstance(agreed, Quantisation):
        norm = float(agreed.clip_norm or 0)
        return ClipRange(norm, norm, norm)
    first = agreed.clip_norm or _GRADIENT * _way(spec)
    return ClipRange(first, agreed.least_clip_norm or first * _LEAST, agreed.most_clip_norm or first * _MOST)


def choose(values: int, seats: int, modulus_bits: int, slot_bits: int | None = None, sigma: float | None = None) -> tuple[int, float]:
    """Slot bits and sigma for so many rotated values: the narrowest slots in which sigma is at least 2, and there the largest sigma.

    Honest sums fit: seats · 5 sigma < 2^(b-1). A single contribution of the most that proofs let pass cannot spoil more than its bound
    says: (seats - 1) · 5 sigma <= 2^(b-2). And above 256 ciphertexts proofs bound columns, which needs 2^b >= 7.5 (B + 2/3), with B the
    norm of a column whose share of the squares is 4.5 deviations above the mean (docs/proofs.md, Rows).

    Args:
        slot_bits, sigma: what the study fixed; with both, only that honest sums fit and what proofs need is asked of them.

    Raises:
        InvalidSpec: if nothing fits.
    """
    for bits in (slot_bits,) if slot_bits else range(_NARROWEST, _WIDEST + 1):
        least = AUTO_LEAST_SIGMA if slot_bits is None else _SIGMAS[-1]
        for candidate in (sigma,) if sigma else (s for s in _SIGMAS if s >= least):
            spared = bool(slot_bits and sigma) or (seats - 1) * int(ROTATED_TAIL * candidate) <= 1 << bits - 2
            if spared and seats * int(ROTATED_TAIL * candidate) < 1 << bits - 1 and _columns_fit(values, bits, candidate, modulus_bits):
                return bits, candidate
    raise InvalidSpec(f"no slots fit {values} rotated values of {seats} organisations", "leave slot_bits and sigma out, or widen the slots")


def _columns_fit(values: int, slot_bits: int, sigma: float, modulus_bits: int) -> bool:
    slots = (modulus_bits - GUARD_BITS) // slot_bits
    rows = -(-values // slots)
    if rows <= _ROWS:
        return True
    # Each value's part of the segment's rule (encoding.norm_rule), a little more for what is rounded up in it.
    square = sigma * sigma + 0.25 + sqrt(41.6 / values) * (sigma + 0.5) + (20 * sigma + 2) * 7 / values
    column = sqrt(square * rows * (1 + 4.5 * sqrt(2 / (9 * rows))) ** 3)
    return 1 << slot_bits >= 7.5 * (ceil(column * 1.001) + 1)


def _rotated(spec: StudySpec, agreed: RotatedSpec, name: str, clip_norm: float, weighted: bool) -> Segment:
    parameters = count(spec)
    if parameters < LEAST_ROTATED:
        raise InvalidSpec(f"a model of {parameters} parameters is too small to be rotated", 'name slot_bits and clip_norm, or say "auto"')
    bits, sigma = choose(parameters, spec.seats, spec.modulus_bits, agreed.slot_bits, agreed.sigma)
    unclipped = Quantisation(bits, 1.0, spec.weight_cap, clip_norm=1.0, weighted=weighted, sigma=sigma)
    return Segment(name, parameters, unclipped).clipped_to(clip_norm)


def _way(spec: StudySpec) -> float:
    """How far the minibatches of a round move the weights with gradients of norm 1 that all point the same way; Adam's steps have the
    learning rate in every parameter whatever the gradients."""
    training = spec.training
    each = sqrt(count(spec)) if training.optimizer == "adam" else 1 / (1 - training.momentum)
    return training.learning_rate * training.steps * each


def _of_control(spec: StudySpec) -> float:
    """SCAFFOLD's control differences are clipped to twice what an update of the clip norm amounts to a step."""
    return 2 / (spec.training.steps * spec.training.learning_rate)
