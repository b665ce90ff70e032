"""What every contribution to a step must obey, from how its segments are encoded: the rules that its proof shows (docs/crypto.md).

Each rule allows exactly what an honest encoder can produce, rounding included, and next to nothing more.
"""

from __future__ import annotations

from fractions import Fraction
from math import ceil, isqrt

from defedbio.crypto.encoding import norm_rule
from defedbio.crypto.proofs import contribution
from defedbio.crypto.proofs.statement import Block, Form, Piece
from defedbio.crypto.rules import Norm, Range, Rule
from defedbio.domain import Segment
from defedbio.errors import InvalidInput, InvalidSpec
from defedbio.learning.plan import Step, StepKind, schedule
from defedbio.spec import StudySpec

# An encoder computes in IEEE doubles: its numbers are off by a few parts in 2^52 for each element, and by less than this in all.
ARITHMETIC = 1 + Fraction(1, 1 << 40)


def form_of(spec: StudySpec, step: Step) -> Form:
    """The form of every contribution to a step: a block a run of equally wide slots, a piece a segment.

    Raises:
        InvalidInput: for a segment that no rule bounds.
    """
    blocks = (Block(bits, tuple(Piece(s.name, s.length, rule_of(s)) for s in held)) for bits, held in step.blocks)
    return Form(spec.modulus_bits, step.weight_cap, tuple(blocks))


def rule_of(segment: Segment) -> Rule:
    """The rule of a segment's values. Those of a segment without a norm to clip to are numbers of at least 0.

    Raises:
        InvalidInput: for noise on values that are bounded one by one.
    """
    q = segment.quantisation
    if q.clip_norm is not None:
        return norm_rule(segment)
    if q.noise or q.max_abs is None:
        raise InvalidInput(f"nothing can be proven of {segment.name}: it has noise, and no norm that it is clipped to")
    if not q.weighted:
        return Range(q.largest + q.shift)
    # v < W / cap · max_abs · scale + 1, since stochastic rounding moves a value by less than one unit.
    slope = ceil(Fraction(q.max_abs) * Fraction(q.scale) * ARITHMETIC)
    return Range(slope + 1) if q.weight_cap == 1 else Range(offset=q.weight_cap, slope=slope, divisor=q.weight_cap)


def proven_forms(spec: StudySpec) -> dict[StepKind, tuple[Form, int]]:
    """By kind of step the form of its contributions, and the bytes of a proof; empty where the study asks for none.

    Raises:
        InvalidSpec: if the study asks for proofs and nothing can be proven of a step's contributions.
    """
    found: dict[StepKind, tuple[Form, int]] = {}
    for kind, step in {step.kind: step for step in schedule(spec)}.items() if spec.proofs else ():
        try:
            form = form_of(spec, step)
            found[kind] = form, contribution.size(form)
            _check_carries(form, spec.seats)
        except InvalidInput as error:
            raise InvalidSpec(
                f"contributions to a {kind} round cannot be proven: {error.message}",
                'change the quantisation, or say "proofs": "none" in the spec and tell who joins',
            ) from None
    return found


def _check_carries(form: Form, seats: int) -> None:
    """A form is about one contribution; what many of them hold in a slot below one of counts must not carry into it either."""
    for block in form.blocks:
        ranges = [place for place, piece in enumerate(block.pieces) if isinstance(piece.rule, Range)]
        for place, piece in enumerate(block.pieces):
            rule = piece.rule
            if isinstance(rule, Norm) and ranges and place < ranges[-1]:
                largest = isqrt(rule.allowed(form.weight_cap) // rule.divisor)
                if seats * largest >= 1 << (block.slot_bits - 1):
                    raise InvalidInput(f"the norms of {piece.name} of {seats} organisations could reach into the counts beside them")
