"""Contributions that lie, copy or replay, each made as well as its attacker can: the prover runs on whatever matrix it is given."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from defedbio.crypto import numbers
from defedbio.crypto.paillier import PublicKey
from defedbio.crypto.proofs import assignment, bounded, contribution, encoding
from defedbio.crypto.proofs.plan import MOST_WIDTH, Affine, Parameters, Plan, Squares, plan
from defedbio.crypto.proofs.squares import three_squares
from defedbio.crypto.proofs.statement import Block, Form, Piece, Statement, Witness
from defedbio.crypto.rules import Norm, Range
from defedbio.domain import RoundContext
from defedbio.errors import BadProof, InvalidInput, OutsideRule

NOT_OBEYED = "do not obey the form"
NOT_PROVEN = "has not proven what its ciphertexts hold"
SCALE = 1 << 256


@pytest.fixture
def unbounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """An attacker whose numbers do not fit their places writes what does fit, the rest being cut off."""

    def write(self: encoding.Field, values) -> bytes:
        return b"".join(((x - self.least) % self.limit).to_bytes(self.size, "big") for x in values)

    monkeypatch.setattr(encoding.Field, "write", write)


def refused(sent, proof: bytes, reason: str = "") -> None:
    with pytest.raises(BadProof) as found:
        sent.verify(proof)
    assert reason in str(found.value)


@pytest.fixture(scope="module")
def victim(send, mixed, mixed_values):
    return send(mixed, *mixed_values, sender="0x" + "0c" * 20)


@pytest.fixture(scope="module")
def honest(victim) -> bytes:
    return victim.prove()


# Copies


def copied(victim, key: PublicKey, power: int, sender: str):
    """The victim's ciphertexts to a power, and fresh randomness on top: its sender knows that and nothing else."""
    extra = [numbers.random_bits(os.urandom, key.bits // 2) for _ in victim.statement.ciphertexts]
    ciphertexts = [
        numbers.powmod(c, power, key.n_squared) * numbers.powmod(key.hs, r, key.n_squared) % key.n_squared
        for c, r in zip(victim.statement.ciphertexts, extra, strict=True)
    ]
    zeros = tuple(np.zeros_like(v) for v in victim.witness.values)
    return replace(victim, statement=replace(victim.statement, ciphertexts=ciphertexts, sender=sender), witness=Witness(zeros, extra))


@pytest.mark.parametrize("power", [1, SCALE], ids=["re-randomised", "scaled to 2^256 and re-randomised"])
@pytest.mark.parametrize("sender", ["0x" + "0c" * 20, "0x" + "ee" * 20], ids=["as the victim", "as another"])
def test_a_copy_of_somebodys_ciphertexts(victim, honest, small, mixed_values, power, sender):
    copy = copied(victim, small.public, power, sender)
    refused(copy, honest)
    least = [np.array(v, dtype=np.int64) * 0 for v in mixed_values]
    least[0][0] = 1
    refused(copy, copy.forge(copy.matrix(least)), NOT_PROVEN)
    refused(copy, copy.forge(copy.matrix(victim.witness.values)), NOT_PROVEN)  # even if the values were guessed


def test_a_sum_of_two_others_updates(victim, send, mixed, mixed_values, small):
    """Each of the two is proven; who adds them up knows neither."""
    other = send(mixed, [1, *[0] * 39], [0] * 100)
    key = small.public
    ciphertexts = [a * b % key.n_squared for a, b in zip(victim.statement.ciphertexts, other.statement.ciphertexts, strict=True)]
    mine = victim.said(ciphertexts=ciphertexts, sender="0x" + "ee" * 20)
    for proof in (victim.prove(), other.prove(), mine.forge(mine.matrix())):
        refused(mine, proof)


def test_the_proof_stays_with_its_ciphertexts(victim, honest):
    cs = list(victim.statement.ciphertexts)
    refused(victim.said(ciphertexts=[cs[1], cs[0], *cs[2:]]), honest)
    for wrong in (cs[:-1], [*cs, cs[0]]):
        with pytest.raises(InvalidInput, match="another number of ciphertexts"):
            victim.said(ciphertexts=wrong)
    n2 = victim.statement.key.n_squared
    for outside in (0, n2):
        refused(victim.said(ciphertexts=[outside, *cs[1:]]), honest, "outside 1..n²-1")
    refused(victim.said(ciphertexts=[n2 - cs[0], *cs[1:]]), honest)


REPLAYS: dict[str, Callable[[Statement], dict[str, object]]] = {
    "sender": lambda s: {"sender": "0x" + "ee" * 20},
    "round": lambda s: {"context": replace(s.context, round=s.context.round + 1)},
    "study": lambda s: {"context": replace(s.context, study=s.context.study + 1)},
    "chain": lambda s: {"context": replace(s.context, chain_id=1)},
    "contract": lambda s: {"context": RoundContext(s.context.chain_id, "0x" + "c1" * 20, s.context.study, s.context.round)},
    "key epoch": lambda s: {"key_epoch": s.key_epoch + 1},
    "parent model": lambda s: {"parent": b"q" * 32},
    "a segment's name": lambda s: {"form": renamed(s.form)},
    "a wider range": lambda s: {"form": widened(s.form)},
}


def renamed(form: Form) -> Form:
    first = form.blocks[0]
    return replace(form, blocks=(replace(first, pieces=(replace(first.pieces[0], name="other"), *first.pieces[1:])), *form.blocks[1:]))


def widened(form: Form) -> Form:
    first = form.blocks[0]
    return replace(form, blocks=(replace(first, pieces=(replace(first.pieces[0], rule=Range(1001)), *first.pieces[1:])), *form.blocks[1:]))


@pytest.mark.parametrize("what", REPLAYS)
def test_a_replay_under_another(victim, honest, what):
    refused(victim.said(**REPLAYS[what](victim.statement)), honest, NOT_OBEYED)


def test_another_modulus(victim, honest, make_material):
    other = make_material(512, 3, 5).public
    same = PublicKey(other.n + 2 * other.n // 1000 * 2, 512) if other == victim.statement.key else other
    moved = [c % same.n_squared for c in victim.statement.ciphertexts]
    refused(victim.said(key=same, ciphertexts=moved), honest)


# Lies about what is inside


def set_value(values, block: int, index: int, value: int):
    found = [v.copy() for v in values]
    found[block][index] = value
    return found


LIES = {
    "a negative count": (0, 1, -1),
    "a count above its range": (0, 2, 1001),
    "a share above its part of the weight": (0, 6, 51),
    "a weight of 0": (0, 0, 0),
    "a weight above the cap": (0, 0, 101),
    "three times the norm, in one slot": (1, 3, 42),
    "a norm above its bound by one unit": (0, 39, 22),
}


def false_roots(sent, values, roots: Callable[[int], tuple[int, int, int]]):
    """The matrix of values that break a rule: everything as an honest prover has it, but roots of what is no sum of squares."""
    spoiled: list[int] = []

    def find(rest, rand):
        spoiled.extend(x for x in rest if x < 0)
        return [roots(x) if x < 0 else three_squares([x], rand)[0] for x in rest]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(assignment, "find_roots", find)
        matrix = sent.matrix(values)
    assert spoiled, "the values obey the form"
    return matrix


def roots_modulo(q: int) -> Callable[[int], tuple[int, int, int]]:
    """a² + b² = x modulo Q: what a prover would use if numbers could be anything. Q is 1 mod 4 or 3 mod 4, so b is searched for."""

    def find(x: int) -> tuple[int, int, int]:
        a = 0
        while numbers.jacobi((x - a * a) % q, q) != 1:
            a += 1
        return a, root_modulo((x - a * a) % q, q), 0

    return find


def root_modulo(x: int, q: int) -> int:
    """Tonelli and Shanks."""
    odd, twos = q - 1, 0
    while odd % 2 == 0:
        odd, twos = odd // 2, twos + 1
    z = 2
    while numbers.jacobi(z, q) != -1:
        z += 1
    c, root, rest = numbers.powmod(z, odd, q), numbers.powmod(x, (odd + 1) // 2, q), numbers.powmod(x, odd, q)
    while rest != 1:
        i, y = 0, rest
        while y != 1:
            i, y = i + 1, y * y % q
        b = numbers.powmod(c, 1 << (twos - i - 1), q)
        twos, c = i, b * b % q
        root, rest = root * b % q, rest * c % q
    assert root * root % q == x
    return root


@pytest.mark.parametrize("name", LIES)
def test_values_outside_their_rules(send, mixed, mixed_values, name, unbounded):
    arrays = [np.array(v, dtype=np.int64) for v in mixed_values]
    values = set_value(arrays, *LIES[name])
    sent = send(mixed, *values)
    refused(sent, sent.forge(false_roots(sent, values, lambda x: (0, 0, 0))), NOT_OBEYED)
    refused(sent, sent.forge(false_roots(sent, values, roots_modulo(sent.parameters.group.q))), NOT_OBEYED)
    refused(sent, sent.forge(sent.matrix(arrays)), NOT_PROVEN)  # digits that obey, and ciphertexts that do not hold them


def test_half_integers(send, mixed, mixed_values, small, unbounded):
    """Plaintexts that are halves modulo n: every sum of an even number of them would look short."""
    sent = send(mixed, *mixed_values)
    key, q = small.public, sent.parameters.group.q
    half = numbers.invert(2, key.n)
    plaintexts = [small.oracle.raw_decrypt(c) * half % key.n for c in sent.statement.ciphertexts]
    hidden = [numbers.powmod(key.hs, r, key.n_squared) for r in sent.witness.exponents]
    sent = sent.said(ciphertexts=[(1 + m * key.n) * h % key.n_squared for m, h in zip(plaintexts, hidden, strict=True)])
    rounded = [np.array(v, dtype=np.int64) // 2 for v in mixed_values]
    rounded[0][0] = 50
    refused(sent, sent.forge(sent.matrix(rounded)), NOT_PROVEN)
    halves = [[int(x) * numbers.invert(2, q) % q for x in vector] for vector in sent.matrix()]
    refused(sent, sent.forge(halves), NOT_OBEYED)


CHANGES: dict[str, Callable[[int], tuple[int, int, int]]] = {  # factor, divisor and what is added
    "the lowest bit": lambda n: (1, 1, 1),
    "the last bit of the slots": lambda n: (1, 1, 1 << 485),
    "a bit above the slots": lambda n: (1, 1, 1 << 500),
    "half of n": lambda n: (1, 1, n // 2),
    "a half": lambda n: (1, 2, 0),
    "a third": lambda n: (1, 3, 0),
    "a multiple": lambda n: (1 + (1 << 128), 1, 0),
}


@pytest.mark.parametrize("place", ["counts", "last of the counts", "rows", "last of the rows"])
def test_ciphertexts_that_hold_something_else(send, small, place):
    """Any change to one plaintext, in its padding or above its slots as well, whether its digits are shown or rows of many."""
    form = Form(512, 1, (Block(24, (Piece("counts", 21, Range(9)),)), Block(10, (Piece("update", 1900, Norm(2600)),))))
    sent = send(form, [1] * 22, [1] * 1900)
    assert sent.plan.lines[1].runs
    key, index = small.public, {"counts": 0, "last of the counts": 1, "rows": 2, "last of the rows": -1}[place]
    cs = sent.statement.ciphertexts
    plaintext, hidden = small.oracle.raw_decrypt(cs[index]), numbers.powmod(key.hs, sent.witness.exponents[index], key.n_squared)
    for change in CHANGES.values():
        factor, divisor, added = change(key.n)
        lie = (plaintext * factor * numbers.invert(divisor, key.n) + added) % key.n
        changed = list(cs)
        changed[index] = (1 + lie * key.n) * hidden % key.n_squared
        liar = sent.said(ciphertexts=changed)
        refused(liar, liar.forge(liar.matrix()), NOT_PROVEN)


# Norms and weights

WEIGHED = Form(512, 100, (Block(24, (Piece("update", 30, Norm(0, 0, 9)),)),))


def test_a_weight_of_one_with_the_norm_of_the_cap(send, unbounded):
    values = [1, *[50] * 30]  # allowed to a weight of 92
    sent = send(WEIGHED, values)
    arrays = [np.array(values, dtype=np.int64)]
    with pytest.raises(OutsideRule):
        sent.prove()
    refused(sent, sent.forge(false_roots(sent, arrays, lambda x: (0, 0, 0))), NOT_OBEYED)
    arrays[0][0] = 100
    refused(sent, sent.forge(sent.matrix(arrays)), NOT_PROVEN)


@pytest.mark.parametrize("place", ["beside the weight", "further on", "in the square of the weight"])
def test_padding_that_would_lift_the_norms_bound(send, place):
    """W² is the sum of squares over W's own vector: whatever else stood in it would be norm for nothing."""
    values = [1, *[50] * 30]
    sent = send(WEIGHED, values)
    large = [np.array([100, *[50] * 30], dtype=np.int64)]
    matrix = [v.copy() for v in sent.matrix(large)]
    made = sent.plan
    weight = next(strip.vector for strip in made.strips if strip.block == strip.line == strip.slot == 0 and made.used[strip.vector] == 1)
    matrix[weight][0] = 1
    if place == "beside the weight":
        matrix[weight][1] = 100
    elif place == "further on":
        matrix[weight][5:30] = 20
    # the forms of W alone are roots of other numbers now
    (roots,) = [squares for squares in made.squares if squares.roots is not None]
    first = roots.roots[0]
    for a, root in zip(range(first, first + 3), (1, 0, 0), strict=True):
        matrix[a][0] = root  # of 4 (W - 1) + 1
    for a, root in zip(range(first, first + 3), three_squares([4 * 99 + 1], os.urandom)[0], strict=True):
        matrix[a][1] = root
    refused(sent, sent.forge(matrix), NOT_OBEYED)


def test_values_moved_from_one_segment_to_another(send, unbounded):
    """Lines of two blocks have γ of their own: what is missing in one cannot be made up for in the other."""
    form = Form(512, 10, (Block(24, (Piece("a", 19, Norm(19)),)), Block(24, (Piece("b", 20, Norm(500)),))))
    sent = send(form, [10, *[2] * 19], [1] * 20)  # 76 is above 19
    moved = [np.array([10, *[1] * 19]), np.array([1, *[2] * 19])]
    refused(sent, sent.forge(sent.matrix(moved)), NOT_PROVEN)


def test_digits_that_wrap_in_rows_of_narrow_slots(send, unbounded):
    """Slot columns of 9 bits filled with ±250: random sums of them, reduced to digits, look no longer than an honest vector's."""
    form = Form(
        512, 1, (Block(24, (Piece("count", 1, Range(1)),)), Block(9, (Piece("update", 300 * 54, Norm(4 * 300 * 54, spread=True)),)))
    )
    chance = np.random.default_rng(1)
    values = np.zeros((300, 54), dtype=np.int64)
    values[:, 5] = chance.choice([-255, 255, -253, 253, -249, 249], 300)
    sent = send(form, [1, 1], values.ravel())
    made = sent.plan
    assert made.lines[1].runs and made.lines[1].runs[0].share is not None, "one bound for all rows would accept this at 9 bits"
    with pytest.raises(OutsideRule):
        sent.prove()
    matrix = false_roots(sent, sent.witness.values, lambda x: (0, 0, 0))
    refused(sent, sent.forge(matrix), NOT_OBEYED)
    wrapped = wrap(made, matrix)
    refused(sent, sent.forge(wrapped), NOT_OBEYED)


def wrap(made: Plan, matrix):
    """The same rows' sums with digits below 256 in size, what is above carried into the next slot."""
    found = [v.copy() if isinstance(v, np.ndarray) else list(v) for v in matrix]
    for strip in made.strips:
        if strip.block == 1:
            row, carry = found[strip.vector][strip.position : strip.position + strip.length], 0
            for i, x in enumerate(row.tolist()):
                carry, row[i] = divmod(x + carry + 256, 512)
                row[i] -= 256
            assert carry == 0
    return found


def test_rows_of_a_vector_of_three_times_the_norm(send, unbounded):
    form = Form(512, 1, (Block(24, (Piece("count", 1, Range(1)),)), Block(12, (Piece("update", 2000, Norm(2000)),))))
    sent = send(form, [1, 1], [3] * 2000)
    assert sent.plan.lines[1].runs
    refused(sent, sent.forge(false_roots(sent, sent.witness.values, lambda x: (0, 0, 0))), NOT_OBEYED)
    refused(sent, sent.forge(sent.matrix([sent.witness.values[0], sent.witness.values[1] // 4])), NOT_PROVEN)


TIED = {
    "digits": Form(512, 100, (Block(24, ()), Block(12, (Piece("update", 200, Norm(20, 0, 300, 1, True, 9000)),)))),
    "columns": Form(512, 100, (Block(24, ()), Block(8, (Piece("update", 2000, Norm(200, 0, 300, 1, True, 9000)),)))),
}


@pytest.mark.parametrize("name", TIED)
def test_the_norm_that_every_weight_may_have_with_a_weight_of_one(send, unbounded, name):
    """Within what all columns may hold together, and far above what the weight allows: 300 and a constant for a weight of 1."""
    form = TIED[name]
    length = form.blocks[1].pieces[0].length
    values = [[1], [2 if i % 2 else -2 for i in range(length)]]
    sent = send(form, *values)
    assert bool(sent.plan.lines[1].runs) is (name == "columns")
    with pytest.raises(OutsideRule):
        sent.prove()
    refused(sent, sent.forge(false_roots(sent, sent.witness.values, lambda x: (0, 0, 0))), NOT_OBEYED)
    heavy = [np.array([100], dtype=np.int64), sent.witness.values[1]]
    refused(sent, sent.forge(sent.matrix(heavy)), NOT_PROVEN)


@pytest.mark.parametrize("name", TIED)
def test_what_the_weight_allows_above_what_anyone_may_have(send, unbounded, name):
    """The largest weight allows a lot: no weight makes the limit for everybody wider."""
    form = TIED[name]
    length = form.blocks[1].pieces[0].length
    size = int((900_000 / length) ** 0.5) + 1  # ten times the norm: few random rows, as tests have, show less by chance
    sent = send(form, [100], [size if i % 2 else -size for i in range(length)])
    with pytest.raises(OutsideRule):
        sent.prove()
    refused(sent, sent.forge(false_roots(sent, sent.witness.values, lambda x: (0, 0, 0))), NOT_OBEYED)


def test_numbers_that_obey_linked_as_those_that_do_not(send, mixed, mixed_values, monkeypatch):
    """The ciphertexts' equation is about the links: they must be those of the numbers that obey."""
    arrays = [np.array(v, dtype=np.int64) for v in mixed_values]
    values = set_value(arrays, 0, 1, -1)
    sent = send(mixed, *values)
    linked = bounded._linked
    true = false_roots(sent, values, lambda x: (0, 0, 0))
    monkeypatch.setattr(bounded, "_linked", lambda made, vectors, gammas: linked(made, true, gammas))
    refused(sent, sent.forge(sent.matrix(arrays)), NOT_OBEYED)


def test_relations_broken_so_that_they_cancel_out(send, mixed, mixed_values, monkeypatch):
    """What one sum of squares is too large, another is too small: every relation has a multiplier of its own."""
    values = set_value([np.array(v, dtype=np.int64) for v in mixed_values], 0, 6, 51)
    sent = send(mixed, *values)

    def find(rest, rand):
        debt = -sum(x for x in rest if x < 0)
        found = []
        for x in rest:
            if debt and x >= debt and (x - debt) % 8 in (1, 2, 5, 6):
                x, debt = x - debt, 0
            found.append(three_squares([max(x, 0)], rand)[0])
        assert debt == 0
        return found

    monkeypatch.setattr(assignment, "find_roots", find)
    refused(sent, sent.forge(sent.matrix(values)), NOT_OBEYED)


def test_a_number_where_none_belongs(victim):
    made = victim.plan
    for a, used in enumerate(made.used):
        matrix = [[int(x) for x in v] for v in victim.matrix()]
        if used < made.width:
            matrix[a][used] = 1
            refused(victim, victim.forge(matrix), NOT_OBEYED)


# The proof's bytes


def offsets(made: Plan) -> dict[str, tuple[int, int]]:
    """Where each field's first number is, and its bytes."""
    found, at = {}, 1
    for names in encoding.MESSAGES:
        for name in names:
            fields = encoding.fields(made)[name]
            found[name] = at, fields[0].size
            at += sum(field.length for field in fields)
    return found


FIELDS = tuple(name for names in encoding.MESSAGES for name in names)


@pytest.mark.parametrize("name", FIELDS)
def test_a_change_of_any_field(victim, honest, name):
    at, size = offsets(victim.plan)[name]
    for place in (at, at + size - 1):
        changed = bytearray(honest)
        changed[place] ^= 1
        refused(victim, bytes(changed))


@pytest.mark.parametrize("name", [name for name in FIELDS if name not in ("answers", "slots", "exponent", "cipher_mask")])
def test_a_number_written_in_another_way(victim, honest, name):
    """x + Q or x + P for x: the same to the equations, where it fits the field's bytes."""
    at, size = offsets(victim.plan)[name]
    (field,) = encoding.fields(victim.plan)[name]
    same = int.from_bytes(honest[at : at + size], "big") + (field.limit if field.least == 0 else victim.parameters.group.p)
    written = min(same, (1 << 8 * size) - 1).to_bytes(size, "big")
    refused(victim, honest[:at] + written + honest[at + size :], "outside its range")


def test_other_lengths_and_versions(victim, honest):
    for proof in (b"", honest[:-1], honest + b"\0"):
        refused(victim, proof, f"{len(honest)} are expected")
    refused(victim, b"\2" + honest[1:], "another version")


@settings(deadline=None, max_examples=40)
@given(start=st.floats(0, 1), length=st.integers(1, 5000), byte=st.sampled_from([0, 1, 255, None]))
def test_whatever_the_bytes_are_the_proof_is_refused_and_nothing_else_happens(victim, honest, start, length, byte):
    at = int(start * (len(honest) - 1))
    end = min(at + length, len(honest))
    written = os.urandom(end - at) if byte is None else bytes([byte]) * (end - at)
    if written != honest[at:end]:
        refused(victim, honest[:at] + written + honest[end:])


TURNABLE = 259873982339029098165078644510329616263, 326634770261225046317169782236183954517  # 1 and 2 modulo 3


def cube_root_of_one(p: int, q: int) -> int:
    """Of order 3 modulo p², 1 modulo q²: only who knows the factors of n = pq knows one."""
    base = 2
    while (root := numbers.powmod(base, p * (p - 1) // 3, p * p)) == 1:
        base += 1
    return (1 + (root - 1) * q * q * numbers.invert(q * q, p * p)) % (p * q) ** 2


TURNED = {
    "the sign": lambda p, q: (p * q) ** 2 - 1,
    "a cube root of one": cube_root_of_one,
}


@pytest.mark.parametrize("name", TURNED)
def test_a_prover_that_turns_its_mask_before_it_is_hashed(send, monkeypatch, name):
    """A batch with random weights would let one in two or three pass, and verifiers of different luck at odds about a contribution."""
    p, q = TURNABLE
    key = PublicKey(p * q, 256)
    unit, n2 = TURNED[name](p, q), key.n_squared
    assert unit != 1 and pow(unit, 6, n2) == 1
    sent = send(Form(256, 100, (Block(24, (Piece("a", 2, Range(9)),)),)), [3, 1, 2], key=key)
    right = sent.prove()
    write = encoding.write

    def turned(made, values, names):
        if "cipher_mask" in names:
            values = {**values, "cipher_mask": [values["cipher_mask"][0] * unit % n2]}
        return write(made, values, names)

    monkeypatch.setattr(encoding, "write", turned)
    proof = sent.prove()
    refused(sent, proof, NOT_PROVEN)
    for proofs in ([right, proof], [proof, right], [proof] * 2, [proof] * 3):
        for _ in range(5):
            found = contribution.verify_all([sent.statement] * len(proofs), proofs, os.urandom, parameters=sent.parameters)
            assert [error is None for error in found] == [p is right for p in proofs]


def test_a_prover_that_draws_again_and_again(send, mixed, mixed_values):
    """Fresh coins give fresh challenges, and a false matrix is as false under all of them."""
    values = set_value([np.array(v, dtype=np.int64) for v in mixed_values], 0, 1, -1)
    sent = send(mixed, *values)
    matrix = false_roots(sent, values, lambda x: (0, 0, 0))
    for _ in range(8):
        refused(sent, sent.forge(matrix), NOT_OBEYED)


def test_a_sent_challenge_does_not_matter(victim):
    """The first messages decide e: a prover that fixes e first and fits its cross terms to it finds another e."""
    argument = victim.argument()
    wanted = []

    class Fixed(bounded.Argument):
        def challenges(self, cross: bytes) -> tuple[int, int]:
            wanted.append(super().challenges(cross))
            return 12345, 67890

    fixed = Fixed(victim.statement, victim.plan)
    proof = bounded.prove(fixed, victim.matrix(), victim.witness.exponents, os.urandom)
    assert argument.plan is fixed.plan and wanted
    refused(victim, proof, NOT_OBEYED)


# Forms that nothing can be proven of

UNPROVABLE: dict[str, Form] = {
    "a divisor of 150 bits": Form(512, 100, (Block(24, (Piece("a", 5, Norm(0, 0, (1 << 148) + 1, 1 << 150)),)),)),
    "a norm of 2^130": Form(512, 100, (Block(48, (Piece("c", 1, Range(1)),)), Block(60, (Piece("a", 5, Norm(1 << 130)),)))),
    "a weight wider than its slot": Form(512, 1 << 23, (Block(24, ()),)),
    "a count wider than its slot": Form(512, 1, (Block(24, (Piece("a", 5, Range(1 << 23)),)),)),
    "a share wider than its slot": Form(512, 1 << 20, (Block(24, (Piece("a", 5, Range(0, 8)),)),)),
    "a norm that carries into counts": Form(512, 1, (Block(24, (Piece("a", 5, Range(1)), Piece("b", 5, Norm(1 << 46)))),)),
    "a norm that carries two units into another": Form(
        512, 1, (Block(24, ()), Block(8, (Piece("a", 5, Norm(383**2)), Piece("b", 5, Norm(1)))))
    ),
    "a segment without values": Form(512, 1, (Block(24, (Piece("a", 0, Range(1)),)),)),
    "too many slots": Form(8192, 1, (Block(24, ()), *(Block(8, (Piece(str(i), 2000, Norm(9)),)) for i in range(9)))),
    "too many digits": Form(512, 1, (Block(24, ()), Block(8, (Piece("a", 5_000_000, Norm(1 << 20)),)))),
    "too many ciphertexts": Form(512, 1, (Block(24, ()), Block(24, (Piece("a", 21 << 20, Norm(1 << 20)),)))),
}


@pytest.mark.parametrize("name", UNPROVABLE)
def test_a_form_that_nothing_can_be_proven_of(name):
    with pytest.raises(InvalidInput):
        contribution.size(UNPROVABLE[name])


def test_no_relation_wraps_modulo_q(mixed, parameters):
    """Counted again from the plan's relations, for numbers as large as the approximate range proof leaves them."""
    for form in (mixed, WEIGHED, Form(2048, 1 << 20, (Block(62, (Piece("a", 500, Range((1 << 60) - 1)),)),))):
        made = plan(form)
        short = 1 << (made.mask_bits + 2)
        for squares in made.squares:
            for relation in squares.relations:
                assert size_of(squares, relation, short) < made.group.q
        assert made.width <= MOST_WIDTH


def size_of(squares: Squares, relation: Affine, short: int) -> int:
    left = sum(m * short**2 for _, m in squares.vectors)
    return left + abs(relation.constant) + sum(abs(term.coefficient) * term.count * short for term in relation.terms)


def test_the_parameters_are_bound_as_well(victim, honest):
    other = replace(victim, parameters=Parameters(victim.parameters.rows + 1, victim.parameters.checks, victim.parameters.group))
    assert encoding.size(other.plan) == len(honest)
    refused(other, honest, NOT_OBEYED)
