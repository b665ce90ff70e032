"""What every contribution to a step must obey, from how its segments are encoded: the rules that its proof shows (docs/crypto.md).

Each rule allows exactly what an honest encoder can produce, rounding included, and next to nothing more.
"""

from __future__ import annotations

from fractions import Fraction
from itertools import groupby
from math import ceil, log, sqrt

from defedbio.crypto.proofs import contribution
from defedbio.crypto.proofs.statement import Block, Form, Norm, Piece, Range, Rule
from defedbio.domain import Quantisation, Segment
from defedbio.errors import InvalidInput, InvalidSpec
from defedbio.learning.plan import Step, schedule
from defedbio.spec import StudySpec

# An encoder computes in IEEE doubles: its numbers are off by a few parts in 2^52 for each element, and by less than this in all.
ARITHMETIC = 1 + Fraction(1, 1 << 40)
# Noise is longer than its rule allows once in so many bits' worth of contributions; it is then drawn again.
NOISE_BITS = 40


def form_of(spec: StudySpec, step: Step) -> Form:
    """The form of every contribution to a step: a block a run of equally wide slots, a piece a segment.

    Raises:
        InvalidInput: for a segment that no rule bounds.
    """
    runs = groupby(step.segments, key=lambda segment: segment.quantisation.slot_bits)
    blocks = (Block(bits, tuple(Piece(s.name, s.length, rule_of(s)) for s in run)) for bits, run in runs)
    return Form(spec.modulus_bits, step.weight_cap, tuple(blocks))


def rule_of(segment: Segment) -> Rule:
    """The rule of a segment's values. Those of a segment without a norm to clip to are numbers of at least 0.

    Raises:
        InvalidInput: for noise on values that are bounded one by one.
    """
    q = segment.quantisation
    if q.clip_norm is not None:
        return _norm(segment.length, q, q.clip_norm)
    if q.noise or q.max_abs is None:
        raise InvalidInput(f"nothing can be proven of {segment.name}: it has noise, and no norm that it is clipped to")
    if not q.weighted:
        return Range(q.largest + q.shift)
    # v < W / cap · max_abs · scale + 1, since stochastic rounding moves a value by less than one unit.
    slope = ceil(Fraction(q.max_abs) * Fraction(q.scale) * ARITHMETIC)
    return Range(slope + 1) if q.weight_cap == 1 else Range(offset=q.weight_cap, slope=slope, divisor=q.weight_cap)


def check(spec: StudySpec) -> None:
    """Raises InvalidSpec if the study asks for proofs and nothing can be proven of a step's contributions."""
    if not spec.proofs:
        return
    for step in {step.kind: step for step in schedule(spec)}.values():
        try:
            contribution.size(form_of(spec, step))
        except InvalidInput as error:
            raise InvalidSpec(
                f"contributions to a {step.kind} round cannot be proven: {error.message}",
                'change the quantisation, or say "proofs": "none" in the spec and tell who joins',
            ) from None


def _norm(length: int, q: Quantisation, clip_norm: float) -> Norm:
    """‖v‖ <= ω B + K: B is the clip norm in units and ω = W / cap (1 where the segment is not weighted); K bounds what rounding adds,
    less than one unit an element, and noise of deviation s: s (√P + √(2 ln 2^40)), as the norm of a Gaussian vector of P elements is a
    1-Lipschitz function of it (Laurent and Massart, Annals of Statistics 28, 2000, lemma 1)."""
    noise = q.noise * (sqrt(length) + sqrt(2 * NOISE_BITS * log(2))) if q.noise else 0.0
    b = Fraction(clip_norm) * Fraction(q.scale) * ARITHMETIC
    k = Fraction(sqrt(length) + noise) * ARITHMETIC
    cap = q.weight_cap
    if not q.weighted or cap == 1:
        return Norm(ceil((b + k) ** 2))
    return Norm(constant=ceil(k * k * cap * cap), linear=ceil(2 * b * k * cap), square=ceil(b * b), divisor=cap * cap)
