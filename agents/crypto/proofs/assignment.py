"""The honest matrix: what the values of a contribution make of a plan's numbers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from defedbio.crypto.numbers import Rand
from defedbio.crypto.proofs.exact import Integers
from defedbio.crypto.proofs.plan import PRODUCTION, Affine, Parameters, Plan, plan
from defedbio.crypto.proofs.squares import three_squares
from defedbio.crypto.proofs.statement import Form
from defedbio.crypto.proofs.ternary import Ternary
from defedbio.crypto.rules import sums_of_squares
from defedbio.errors import InvalidInput, OutsideRule

Int64 = NDArray[np.int64]


def digits(plan: Plan, values: Sequence[Int64]) -> list[Int64]:
    """[ciphertexts, slots] of each block, filled up with zeros.

    Raises:
        InvalidInput: for arrays that are not int64 of the blocks' lengths.
    """
    lengths = plan.form.layout.lengths
    if len(values) != len(lengths) or any(v.dtype != np.int64 or v.shape != (n,) for v, n in zip(values, lengths, strict=True)):
        raise InvalidInput("the values of a contribution must be one int64 array a block, of its length")
    found = []
    for v, slots, count in zip(values, plan.form.layout.slots, plan.form.layout.counts, strict=True):
        padded = np.zeros(count * slots.slots, dtype=np.int64)
        padded[: len(v)] = v
        found.append(padded.reshape(count, slots.slots))
    return found


def matrix(plan: Plan, digits: Sequence[Int64], rows: Sequence[Sequence[Ternary]], rand: Rand) -> list[Integers]:
    """Every data vector: digits and rows where the strips say, and what the relations make of them. `rows`: of each block's runs.

    Raises:
        OutsideRule: when a relation cannot be met.
    """
    vectors: list[Int64] = [np.zeros(plan.width, dtype=np.int64) for _ in plan.used]
    lines = [_lines(plan, b, digits[b], rows[b]) for b in range(len(digits))]
    for s in plan.strips:
        vectors[s.vector][s.position : s.position + s.length] = lines[s.block][s.line, s.slot : s.slot + s.length]
    found: list[Integers] = [*vectors]
    for squares in plan.squares:
        if squares.roots is None:
            _fill_sums(plan, found, [a for a, _ in squares.vectors], squares.relations)
    for squares in plan.squares:
        if squares.roots is not None:
            _fill_roots(plan, found, squares.vectors, squares.relations, squares.roots, rand)
    return found


def _lines(plan: Plan, block: int, digits: Int64, rows: Sequence[Ternary]) -> Int64:
    shape = plan.lines[block]
    lines = np.zeros((shape.count, digits.shape[1]), dtype=np.int64)
    for line, ciphertext in shape.digits:
        lines[line] = digits[ciphertext]
    for run, random in zip(shape.runs, rows, strict=True):
        lines[run.line : run.line + random.rows] = random.apply_matrix(digits[run.first : run.last])
    return lines


def _fill_sums(plan: Plan, vectors: list[Integers], added: Sequence[int], relations: Sequence[Affine]) -> None:
    """relations[t] is the number that the squares of `added` at t add up to."""
    held = np.stack([np.asarray(vectors[a]) for a in added])[:, : len(relations)]
    start = relations[0].terms[0].start
    for t, total in enumerate(sums_of_squares(held)):
        _set(vectors, *divmod(start + t, plan.width), total)


def _set(vectors: list[Integers], a: int, t: int, value: int) -> None:
    held = vectors[a]
    if isinstance(held, np.ndarray) and value >> 62:
        held = vectors[a] = held.tolist()
    held[t] = value  # type: ignore[index]


def _fill_roots(
    plan: Plan,
    vectors: list[Integers],
    squared: Sequence[tuple[int, int]],
    relations: Sequence[Affine],
    roots: tuple[int, int, int],
    rand: Rand,
) -> None:
    others = [(a, m) for a, m in squared if a not in roots]
    rest = [
        value(plan.width, vectors, relation) - sum(m * int(vectors[a][t]) ** 2 for a, m in others) for t, relation in enumerate(relations)
    ]
    for t, triple in enumerate(find_roots(rest, rand)):
        for a, root in zip(roots, triple, strict=True):
            _set(vectors, a, t, root)


def find_roots(rest: Sequence[int], rand: Rand) -> list[tuple[int, int, int]]:
    """Three squares for each, which is 1 mod 4 and so has them if it is not negative, as values that fit make it.

    Raises:
        OutsideRule: when one is negative.
    """
    if any(x < 0 for x in rest):
        raise OutsideRule("random sums of the values are longer than can be proven", "encrypt again, the values a little smaller")
    return three_squares(rest, rand)


def value(width: int, vectors: Sequence[Integers], form: Affine) -> int:
    """An affine form of the matrix's numbers."""
    total = form.constant
    for term in form.terms:
        for at in range(term.start, term.start + term.count):
            total += term.coefficient * int(vectors[at // width][at % width])
    return total


def fits(form: Form, values: Sequence[Int64], parameters: Parameters = PRODUCTION) -> bool:
    """Whether the values obey the form, and slot columns the shares of a norm that the proof gives them: then `prove` proves them.

    It still declines, with OutsideRule, when the sum of squares of random rows is above 1.7 times its mean: once in 2^31 columns at
    the bound.
    """
    made = plan(form, parameters)
    packed = digits(made, values)
    weight = int(packed[0][0, 0])
    if not 1 <= weight <= form.weight_cap:
        return False
    for b, block in enumerate(form.blocks):
        start = 1 if b == 0 else 0
        for piece in block.pieces:
            if not piece.rule.holds(values[b][start : start + piece.length], weight):
                return False
            start += piece.length
    for held, lines in zip(packed, made.lines, strict=True):
        for run in lines.runs:
            if run.share is not None:
                part, of = run.share
                columns = sums_of_squares(held[run.first : run.last])
                if max(columns) * of * run.rule.divisor > part * (run.rule.allowed(weight) if run.rule.most is None else run.rule.most):
                    return False
    return True
