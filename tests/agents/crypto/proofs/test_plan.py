"""A plan ties every value to one number of the matrix and says of it what its rule says; rows are used only where they are sound."""

from __future__ import annotations

from itertools import groupby

import numpy as np
import pytest

from defedbio.crypto.proofs import assignment, encoding
from defedbio.crypto.proofs.plan import PRODUCTION, plan
from defedbio.crypto.proofs.relation import linear, linear_at, weights
from defedbio.crypto.proofs.statement import Block, Form, Piece
from defedbio.crypto.rules import Norm, Range
from defedbio.errors import InvalidInput

W = Block(24, ())


def narrow(length: int, bits: int, norm: int, spread: bool, modulus: int = 3072) -> Form:
    return Form(
        modulus, 1000, (Block(48, (Piece("count", 3, Range(9)),)), Block(bits, (Piece("update", length, Norm(norm, spread=spread)),)))
    )


def test_every_digit_is_tied_once(mixed, parameters):
    made = plan(mixed, parameters)
    tied = sorted((s.block, s.line, s.slot + i) for s in made.strips for i in range(s.length))
    assert tied == sorted(set(tied))
    by_block = {b: len(list(held)) for b, held in groupby(tied, key=lambda place: place[0])}
    assert by_block == dict(enumerate(mixed.layout.lengths))
    places = [(s.vector, s.position + i) for s in made.strips for i in range(s.length)]
    assert len(places) == len(set(places))
    assert all(position < made.used[vector] for vector, position in places)


def test_every_position_in_use_has_a_purpose(mixed, parameters):
    """Tied to a digit, a sum of squares, or a root: nothing else can hold a number."""
    made = plan(mixed, parameters)
    purposes = {(s.vector, s.position + i) for s in made.strips for i in range(s.length)}
    for squares in made.squares:
        for t, relation in enumerate(squares.relations):
            if squares.roots is None:
                (term,) = relation.terms
                purposes.add(divmod(term.start, made.width))
            else:
                purposes |= {(a, t) for a in squares.roots}
    assert purposes == {(a, t) for a, used in enumerate(made.used) for t in range(used)}


@pytest.mark.parametrize("rows", ["none", "global", "columns"])
def test_the_equation_sees_every_number(send, mixed, mixed_values, rows):
    """Whichever number of an honest matrix is changed alone, the two sides differ, but for the sign of a root. Both sides' ρ agree."""
    norm, bits = (2600, 10) if rows == "global" else (9000, 8)
    form = Form(512, 100, (mixed.blocks[0], Block(bits, (Piece("update", 2000, Norm(norm, spread=True)),))))
    sent = send(mixed, *mixed_values) if rows == "none" else send(form, mixed_values[0], [1] * 2000)
    made, argument, q = sent.plan, sent.argument(), sent.parameters.group.q
    runs = [run for lines in made.lines for run in lines.runs]
    assert [run.share is not None for run in runs] == {"none": [], "global": [False], "columns": [True]}[rows]
    links, multipliers = argument.links(b""), argument.multipliers(b"")
    squared, factors = weights(made, multipliers), linear(made, links, multipliers)
    powers = [pow(12345, a, q) for a in range(1, made.vectors + 1)]
    combined = [sum(power * row[t] for power, row in zip(powers, factors, strict=True)) % q for t in range(made.width)]
    assert linear_at(made, links, multipliers, powers) == combined
    roots = {a for squares in made.squares for a in squares.roots or ()}
    for a, vector in enumerate(sent.matrix()):
        for t, theta in enumerate(multipliers.positions):
            x = int(vector[t])
            for y in (x + 1, x - 1, -x):
                unseen = (2 * squared[a] * theta * (y * y - x * x) + factors[a][t] * (y - x)) % q == 0
                assert not unseen or x == y or (a in roots and x == -y)


def test_an_honest_matrix_meets_every_relation(send, mixed, mixed_values, parameters):
    made, matrix = plan(mixed, parameters), send(mixed, *mixed_values).matrix()
    for squares in made.squares:
        for t in range(made.width):
            left = sum(m * int(matrix[a][t]) ** 2 for a, m in squares.vectors)
            right = assignment.value(made.width, matrix, squares.relations[t]) if t < len(squares.relations) else 0
            assert left == right
    assert max(abs(int(x)) for vector in matrix for x in vector).bit_length() <= made.number_bits


@pytest.mark.parametrize(
    ("form", "rows"),
    [
        (narrow(16_000, 8, 64_000, True), None),  # 43 ciphertexts
        (narrow(100_000, 10, 400_000, True), True),
        (narrow(100_000, 10, 400_000, False), None),  # 2^10 is below 7.5 norms, and one column may hold all
        (narrow(100_000, 13, 400_000, False), False),  # 7.5 · (632.5 + 2/3 · sqrt(234)) = 4,821
        (narrow(100_000, 12, 400_000, True), True),
        (narrow(100_000, 24, 400_000, True), False),
        (narrow(3_000_000, 10, 12_000_000, True), None),  # a column's norm is 200: 2^10 is below 7.5 times that
    ],
)
def test_rows_where_they_are_sound_and_shorter(form, rows):
    runs = plan(form).lines[1].runs
    assert (runs[0].share is not None if runs else None) is rows
    if runs:
        run, bits = runs[0], form.blocks[1].slot_bits
        part, of = run.share or (1, 1)
        bound = (run.rule.constant * part / of) ** 0.5
        carries = 1 if run.share else form.layout.slots[1].slots ** 0.5
        assert 2**bits >= 7.5 * (bound + 2 / 3 * carries)


def test_the_share_of_a_slot_column_holds_nearly_every_spread_vector():
    made = plan(narrow(100_000, 10, 400_000, True))
    part, of = made.lines[1].runs[0].share
    columns = made.form.layout.slots[1].slots
    chance = np.random.default_rng(7)
    for _ in range(20):
        values = chance.normal(size=(made.form.layout.counts[1], columns))
        values *= (400_000 / (values**2).sum()) ** 0.5
        assert (values**2).sum(axis=0).max() <= 400_000 * part / of
    assert columns * part / of < 1.5, "the columns together may not hold much more than the norm"


def test_proofs_stay_short_when_models_grow():
    sizes = [encoding.size(plan(narrow(length, bits, 4 * length, True))) for length, bits in ((10**5, 10), (10**6, 11), (10**7, 13))]
    assert max(sizes) < 130_000


def test_the_form_has_one_encoding():
    forms = [
        Form(512, 1, (Block(24, (Piece("a", 5, Range(1)),)),)),
        Form(512, 1, (Block(24, (Piece("a", 5, Range(1, 1)),)),)),
        Form(512, 1, (Block(24, (Piece("a", 5, Norm(1)),)),)),
        Form(512, 1, (Block(24, (Piece("a", 5, Norm(1, spread=True)),)),)),
        Form(512, 1, (Block(24, (Piece("a", 2, Range(1)), Piece("a", 3, Range(1)))),)),
        Form(512, 1, (Block(24, (Piece("a", 2, Range(1)),)), Block(24, (Piece("a", 3, Range(1)),)))),
        Form(512, 256, (Block(24, (Piece("a", 5, Range(1)),)),)),
        Form(513, 1, (Block(24, (Piece("a", 5, Range(1)),)),)),
        Form(512, 1, (Block(25, (Piece("a", 5, Range(1)),)),)),
        Form(512, 1, (Block(24, (Piece("b", 5, Range(1)),)),)),
    ]
    assert len({form.to_bytes() for form in forms}) == len(forms)
    assert forms[0].to_bytes() == Form(512, 1, (Block(24, (Piece("a", 5, Range(1)),)),)).to_bytes()


def test_a_weight_alone_is_a_form(send):
    sent = send(Form(512, 7, (W,)), [7])
    sent.verify(sent.prove())
    assert plan(Form(2048, 7, (W,)), PRODUCTION).links == 1


def test_a_block_without_values_is_refused(parameters):
    with pytest.raises(InvalidInput):
        plan(Form(512, 7, (W, Block(24, ()))), parameters)
