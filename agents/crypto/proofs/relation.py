"""All that a plan demands, as one equation modulo Q: each demand times a random multiplier of its own, so that no two make up for another.

With vectors x_a, multipliers θ of positions and φ of groups of squares,

    sum over a of 2 φ_a <x_a, θ x_a> + sum over a of <ρ_a, x_a> = τ.

The prover needs every ρ_a (`linear`), the verifier only ρ(e) = sum of e^a ρ_a (`linear_at`): both come from the same demands.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

from defedbio.crypto.proofs.plan import Affine, Plan
from defedbio.crypto.proofs.ternary import Ternary


@dataclass(frozen=True)
class Links:
    """Drawn when the data is committed: γ of every block's lines, and the approximate range proof's matrix over all data vectors."""

    gammas: list[list[int]]
    checks: Ternary

    def of_vectors(self, plan: Plan) -> list[Ternary]:
        """The columns of each data vector."""
        return [self.checks.part(a * plan.width, (a + 1) * plan.width) for a in range(len(plan.used))]


@dataclass(frozen=True)
class Multipliers:
    """Scalars, of which every demand has one, or a product that no other has.

    The squares of group g at position t have squares[g] · positions[t], a number of vector a that must be 0 zeros[a] · positions[t].
    """

    checks: list[int]
    positions: list[int]
    squares: list[int]
    links: list[int]
    zeros: list[int]

    @classmethod
    def count(cls, plan: Plan) -> tuple[int, ...]:
        return plan.parameters.checks, plan.width, len(plan.squares), plan.links, len(plan.used)

    @classmethod
    def split(cls, plan: Plan, scalars: Sequence[int]) -> Multipliers:
        cuts = list(accumulate(cls.count(plan), initial=0))
        return cls(*(list(scalars[a:b]) for a, b in pairwise(cuts)))


def weights(plan: Plan, multipliers: Multipliers) -> list[int]:
    """φ_a of every vector, 0 where nothing is squared."""
    found = [0] * plan.vectors
    for phi, squares in zip(multipliers.squares, plan.squares, strict=True):
        for a, m in squares.vectors:
            found[a] = m * phi % plan.group.q
    return found


def target(plan: Plan, multipliers: Multipliers, answers: Sequence[int]) -> int:
    """τ, of which the part of the approximate range proof depends on its `answers`."""
    q = plan.group.q
    total = sum(eta * z for eta, z in zip(multipliers.checks, answers, strict=True))
    for phi, squares in zip(multipliers.squares, plan.squares, strict=True):
        total += 2 * phi * (sum(theta * r.constant for theta, r in zip(multipliers.positions, squares.relations, strict=False)) % q)
    return total % q


def linear(plan: Plan, links: Links, multipliers: Multipliers) -> list[list[int]]:
    """ρ_a of every vector, in [0, Q)."""
    q, width = plan.group.q, plan.width
    checks = links.checks.transpose_apply(multipliers.checks, q)
    rows = [checks[i : i + width] for i in range(0, len(checks), width)] + [[0] * width, [0] * width]

    for strip in plan.strips:
        gamma, row = links.gammas[strip.block][strip.line], rows[strip.vector]
        start, at = plan.lines[strip.block].offset + strip.slot, strip.position
        part = zip(row[at : at + strip.length], multipliers.links[start : start + strip.length], strict=True)
        row[at : at + strip.length] = [x - gamma * xi for x, xi in part]
    for row, used, psi in zip(rows, plan.used, multipliers.zeros, strict=False):
        row[used:] = [x + psi * theta for x, theta in zip(row[used:], multipliers.positions[used:], strict=True)]
    for factor, values in _few(plan, multipliers):
        for vector, position, value in values:
            rows[vector][position] += factor * value
    return [[x % q for x in row] for row in rows]


def linear_at(plan: Plan, links: Links, multipliers: Multipliers, powers: Sequence[int]) -> list[int]:
    """sum over a of powers[a] · ρ_a, in [0, Q)."""
    q, width = plan.group.q, plan.width
    total = links.checks.weighted(multipliers.checks, powers[: len(plan.used)], q)

    # Strips at one place, as those of rows are, cost what one of them does.
    places: dict[tuple[int, int, int], int] = {}
    for strip in plan.strips:
        place = strip.position, plan.lines[strip.block].offset + strip.slot, strip.length
        places[place] = places.get(place, 0) + links.gammas[strip.block][strip.line] * powers[strip.vector]
    for (at, start, length), factor in places.items():
        scalar = factor % q
        for i in range(length):
            total[at + i] -= scalar * multipliers.links[start + i]
    # Vectors that are in use up to the same position, as most are, cost what one of them does.
    ends: dict[int, int] = {}
    for used, psi, power in zip(plan.used, multipliers.zeros, powers, strict=False):
        ends[used] = ends.get(used, 0) + psi * power
    for used, factor in ends.items():
        scalar = factor % q
        for t in range(used, width):
            total[t] += scalar * multipliers.positions[t]
    for factor, values in _few(plan, multipliers):
        scaled = [factor * power % q for power in powers]
        for vector, position, value in values:
            total[position] += scaled[vector] * value
    return [x % q for x in total]


def _few(plan: Plan, multipliers: Multipliers) -> Iterator[tuple[int, Iterable[tuple[int, int, int]]]]:
    """What concerns few numbers: the squares' right sides, and the vectors of masks and of links.

    Each time a factor, and how often it is added to which number: (vector, position, value).
    """
    masks = len(plan.used)
    for phi, squares in zip(multipliers.squares, plan.squares, strict=True):
        yield -2 * phi, _right_sides(squares.relations, multipliers.positions, plan.width)
    for vector, those in ((masks, multipliers.checks), (masks + 1, multipliers.links)):
        yield 1, ((vector, position, value) for position, value in enumerate(those))


def _right_sides(relations: Sequence[Affine], positions: Sequence[int], width: int) -> Iterator[tuple[int, int, int]]:
    for theta, relation in zip(positions, relations, strict=False):
        for term in relation.terms:
            value = theta * term.coefficient
            for at in range(term.start, term.start + term.count):
                yield at // width, at % width, value
