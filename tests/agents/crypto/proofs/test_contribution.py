"""What the rules allow is proven and accepted, whatever the form; single proofs and batches agree."""

from __future__ import annotations

import os
import random
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from defedbio.crypto import kernel
from defedbio.crypto.arithmetic import OneThread
from defedbio.crypto.proofs import bounded, contribution, encoding
from defedbio.crypto.proofs.plan import plan
from defedbio.crypto.proofs.statement import Block, Form, Piece
from defedbio.crypto.rules import Norm, Range
from defedbio.errors import BadProof, InvalidInput, OutsideRule


def a_contribution(chance: random.Random) -> tuple[Form, list[list[int]]]:
    """A form of one to three blocks with pieces of any rules, and values of which every rule allows just so much."""
    cap = chance.choice([1, 2, 100, 5000])
    weight = chance.choice([1, cap, chance.randint(1, cap)])
    blocks, values = [], []
    for b in range(chance.randint(1, 3)):
        bits = chance.choice([15, 16, 24, 48])
        pieces, held = [], [weight] if b == 0 else []
        for p in range(chance.randint(1 if b else 0, 3)):
            length = chance.choice([1, 2, 7, 40])
            rule, part = a_rule(chance, weight, length, 1 << min(bits - 5, 20))
            pieces.append(Piece(f"{b}/{p}", length, rule))
            held += part
        blocks.append(Block(bits, tuple(pieces)))
        values.append(held)
    return Form(512, cap, tuple(blocks)), values


def a_rule(chance: random.Random, weight: int, length: int, most: int) -> tuple[Range | Norm, list[int]]:
    divisor = chance.choice([1, 1, 7])
    kind = chance.choice(["range", "slope", "norm"])
    if kind == "range":
        limit = chance.randint(1, most)
        part = [chance.choice([0, limit, chance.randint(0, limit)]) for _ in range(length)]
        return Range(limit * divisor + chance.randrange(divisor), 0, divisor), part
    if kind == "slope":
        slope, offset = chance.randint(1, 9), chance.randint(0, 99)
        limit = (slope * weight + offset) // divisor
        return Range(offset, slope, divisor), [chance.choice([0, limit, chance.randint(0, limit)]) for _ in range(length)]
    part = [chance.randint(-9, 9) for _ in range(length)]
    norm = sum(v * v for v in part)
    square, linear = chance.choice([(0, 0), (norm * divisor // weight**2, 0), (0, norm * divisor // weight)])
    constant = norm * divisor - square * weight**2 - linear * weight
    limit = chance.choice([None, max(norm * divisor, 1), norm * divisor + 10**6])
    return Norm(max(constant, 1) + (0 if limit is None else 10**5), linear, square, divisor, chance.random() < 0.5, limit), part


@settings(deadline=None, max_examples=30, derandomize=True)
@given(st.integers(0, 1 << 32))
def test_what_the_rules_just_allow_is_accepted(send, seed):
    form, values = a_contribution(random.Random(seed))
    sent = send(form, *values)
    assert contribution.fits(form, sent.witness.values, sent.parameters)
    proof = sent.prove()
    assert len(proof) == contribution.size(form, sent.parameters)
    sent.verify(proof)


ROWS = {
    "global": (Block(10, (Piece("update", 2000, Norm(2600)),)), False),
    "columns": (Block(8, (Piece("update", 2000, Norm(9000, spread=True)),)), True),
    "columns, and all together for the weight": (Block(8, (Piece("update", 2000, Norm(400, 0, 1, 1, True, 9000)),)), True),
    "global, for the weight and at most": (Block(10, (Piece("update", 2000, Norm(400, 0, 1, 1, False, 2600)),)), False),
    "global with an end of other values": (
        Block(12, (Piece("a", 13, Norm(40)), Piece("update", 1900, Norm(2600)), Piece("b", 5, Norm(30)))),
        False,
    ),
}


@pytest.mark.parametrize("name", ROWS)
def test_rows_of_many_ciphertexts_are_accepted(send, name):
    block, columns = ROWS[name]
    form = Form(512, 100, (Block(24, (Piece("counts", 3, Range(9)),)), block))
    chance = np.random.default_rng(5)
    sent = send(form, [60, 1, 2, 3], chance.integers(-1, 2, sum(p.length for p in block.pieces)))
    (run,) = sent.plan.lines[1].runs
    assert (run.share is not None) is columns
    assert contribution.fits(form, sent.witness.values, sent.parameters)
    sent.verify(sent.prove())


def test_a_mixed_form_with_the_parameters_of_production(make_material, send, mixed):
    key = make_material(2048, 2, 3).public
    form = replace(mixed, modulus_bits=2048)
    values = [[100, 0, 1000, 5, 6, 7, *[50] * 30, 100, -80, 60, 12], [1] * 100]
    sent = send(form, *values, key=key)
    proof = contribution.prove(sent.statement, sent.witness, os.urandom)
    assert len(proof) == contribution.size(form)
    contribution.verify(sent.statement, proof, os.urandom)
    with pytest.raises(BadProof):
        contribution.verify(replace(sent.statement, sender="0x" + "b2" * 20), proof, os.urandom)


OUTSIDE = {
    "a weight of 0": (0, 0, 0),
    "a weight above the cap": (0, 0, 101),
    "a negative count": (0, 1, -1),
    "a count above its range": (0, 2, 1001),
    "a share above its part of the weight": (0, 6, 51),
    "a norm above its bound by one unit": (0, 39, 22),
    "the norm of an update": (1, 7, 14),
}


@pytest.mark.parametrize("name", OUTSIDE)
def test_what_the_rules_do_not_allow_is_not_proven(send, mixed, mixed_values, name):
    block, index, value = OUTSIDE[name]
    values = [list(v) for v in mixed_values]
    values[block][index] = value
    sent = send(mixed, *values)
    assert not contribution.fits(mixed, sent.witness.values, sent.parameters)
    with pytest.raises(OutsideRule):
        sent.prove()


def test_a_small_weight_shrinks_what_a_norm_allows(send, mixed, mixed_values):
    values = [[1, *[0] * 39], mixed_values[1]]
    sent = send(mixed, *values)
    with pytest.raises(OutsideRule):
        sent.prove()
    values[1] = [1] * 25 + [0] * 75  # 25 + 175/10,000 are left
    sent = send(mixed, *values)
    sent.verify(sent.prove())


def test_a_column_that_holds_more_than_its_share_does_not_fit(send):
    form = Form(512, 1, (Block(24, (Piece("count", 1, Range(1)),)), Block(8, (Piece("update", 2000, Norm(9000, spread=True)),))))
    values = np.zeros(2000, dtype=np.int64)
    values[::60] = 9  # a norm² of 2,754, all of it in one of 60 columns
    sent = send(form, [1, 1], values)
    assert not contribution.fits(form, sent.witness.values, sent.parameters)
    with pytest.raises(OutsideRule):
        sent.prove()


def test_values_of_another_shape_are_refused(send, mixed, mixed_values):
    sent = send(mixed, *mixed_values)
    for values in (sent.witness.values[:1], (sent.witness.values[0][:-1], sent.witness.values[1])):
        with pytest.raises(InvalidInput, match="one int64 array a block"):
            contribution.prove(sent.statement, replace(sent.witness, values=values), os.urandom, parameters=sent.parameters)


def test_a_batch_says_of_each_what_it_says_of_it_alone(send, mixed, mixed_values):
    sent = [send(mixed, *mixed_values, sender=f"0x{i:040x}") for i in range(5)]
    proofs = [s.prove() for s in sent]
    proofs[1] = proofs[0]
    proofs[3] = proofs[3][:-1]
    shape = plan(mixed, sent[0].parameters)
    proofs[4] = proofs[4][: len(proofs[4]) - 1] + bytes([proofs[4][-1] ^ 1])
    found = contribution.verify_all([s.statement for s in sent], proofs, os.urandom, parameters=shape.parameters)
    assert [error is None for error in found] == [True, False, True, False, False]
    for s, proof, error in zip(sent, proofs, found, strict=True):
        if error is None:
            s.verify(proof)
        else:
            with pytest.raises(BadProof, match=str(error)[:40]):
                s.verify(proof)
    assert contribution.verify_all([], [], os.urandom) == []


class Counting(OneThread):
    """Counts the products of powers: of the group's equations, and of senders' ciphertexts."""

    def __init__(self) -> None:
        self.group, self.senders = 0, [0]

    def multi_power(self, *args):
        self.group += 1
        return super().multi_power(*args)

    def multi_powers(self, lists, *args, **named):
        self.senders.append(len(lists))
        return super().multi_powers(lists, *args, **named)


def test_a_batch_costs_no_more_than_single_proofs_and_one_equation(send, mixed, mixed_values, monkeypatch):
    """Whatever is wrong in it; and all products of ciphertexts are one list, for an executor to share."""
    sent = [send(mixed, *mixed_values, sender=f"0x{i:040x}") for i in range(5)]
    proofs = [s.prove() for s in sent]

    def batch(bad: dict[str, list[int]]) -> tuple[list[int], int, list[int]]:
        """Those that are refused, the equations of the group, and how many products were asked for at a time."""
        counting = Counting()
        with monkeypatch.context() as patch:
            claims = bounded.claims

            def wrong(*args):
                found = claims(*args)
                return [replace(c, **{n: getattr(c, n) + 1 for n in bad if at(c) in bad[n]}) for c in found]

            def at(claim) -> int:
                return next(i for i, s in enumerate(sent) if s.statement.ciphertexts is claim.ciphertexts)

            patch.setattr(bounded, "claims", wrong)
            found = contribution.verify_all([s.statement for s in sent], proofs, os.urandom, counting, sent[0].parameters)
        return [i for i, error in enumerate(found) if error is not None], counting.group, counting.senders[1:]

    assert batch({}) == ([], 1, [5])
    assert batch({"plaintext": [1, 4]}) == ([1, 4], 1, [5])
    assert batch({"blind": [0]}) == ([0], 1 + 5, [5])
    assert batch({"blind": [*range(4)], "plaintext": [3, 4]}) == ([*range(5)], 1 + 3, [5])
    assert batch({"plaintext": [*range(5)]}) == ([*range(5)], 0, [5])


def test_a_refusal_is_about_one_sender(send, mixed, mixed_values):
    sent = [send(mixed, *mixed_values, sender=f"0x{i:040x}") for i in range(2)]
    proof = send(mixed, *mixed_values).prove()
    first, second = contribution.verify_all([s.statement for s in sent], [proof] * 2, os.urandom, parameters=sent[0].parameters)
    assert first is not None and second is not None and first is not second


def test_two_proofs_of_one_contribution_share_no_number(send, mixed, mixed_values):
    """Every number of a proof is masked anew, or two of them could be compared."""
    sent = send(mixed, *mixed_values)
    first, second = (encoding.read(sent.plan, sent.prove()) for _ in range(2))
    for name, numbers in first.items():
        assert not set(numbers) & set(second[name]), name


def test_forms_and_keys_may_differ_within_a_batch(send, make_material, mixed, mixed_values):
    other = make_material(2048, 2, 3).public
    sent = [send(mixed, *mixed_values), send(Form(2048, 7, (Block(24, (Piece("count", 3, Range(9)),)),)), [7, 0, 9, 1], key=other)]
    proofs = [s.prove() for s in sent]
    statements = [s.statement for s in sent]
    assert contribution.verify_all(statements, proofs, os.urandom, parameters=sent[0].parameters) == [None, None]
    statements[1] = replace(statements[1], key_epoch=4)
    found = contribution.verify_all(statements, proofs, os.urandom, parameters=sent[0].parameters)
    assert found[0] is None and isinstance(found[1], BadProof)


@pytest.mark.parametrize("prover", [True, False])
def test_the_kernel_and_the_libraries_accept_each_others_proofs(send, mixed, mixed_values, monkeypatch, prover):
    sent = send(mixed, *mixed_values)
    usable = kernel.usable()
    monkeypatch.setattr(kernel, "usable", lambda: usable and prover)
    proof = sent.prove()
    monkeypatch.setattr(kernel, "usable", lambda: usable and not prover)
    sent.verify(proof)
