"""What the key's modulus is shown to be, against provers that know every prime of it and answer whatever can be answered."""

from __future__ import annotations

import hashlib
import os
from dataclasses import fields, replace
from math import gcd, prod

import pytest

from defedbio.crypto import kernel, numbers
from defedbio.crypto.proofs import factors, two_primes
from defedbio.crypto.proofs.factors import FactorsProof
from defedbio.crypto.proofs.ffdhe import OFFSETS, ffdhe, with_order_above
from defedbio.errors import BadTranscript, InvalidInput, InvalidKey
from tests.agents.crypto.dishonest import MERSENNE, SMALL, proof_of, square_roots

# SHA-256 of P, big-endian, as `openssl genpkey -genparam -algorithm DH -pkeyopt group:ffdhe…` writes it.
DIGESTS = {
    2048: "9cd3b7f336872f46c09428d1bbc19877a4d440512cda8d1c1cf0cd6e33698966",
    3072: "0eaf67db3a839156d5013494a5318a772b5697d270d721f37f092efc69ea5a17",
    4096: "4648414224ac881b3d0dc59b466f96d06a558278776807797ecf1f66ff397b3e",
    6144: "227ac9066b3ddd9e193670cda2388fa884f65ba0cf98b742d1fe77a6687c79c7",
    8192: "770b14efaf6f049929c523113b3fa99a8d11dab1b18af3609590122075d19833",
}
FIVE_MODULO_EIGHT = (1 << 89) - 99


@pytest.fixture(scope="module")
def roots(small) -> tuple[int, ...]:
    return two_primes.prove(small.key.n, small.p, small.q)


@pytest.fixture(scope="module")
def proof(small) -> FactorsProof:
    return factors.prove(small.key.n, small.p, small.q, os.urandom)


def test_nothing_of_the_primes_is_kept(small, monkeypatch) -> None:
    """The kernel keeps what it works out of a modulus as long as the process lives."""
    kept: list[int] = []
    genuine = kernel.modulus
    monkeypatch.setattr(kernel, "modulus", lambda n, pairs=False: (kept.append(n), genuine(n, pairs))[1])
    two_primes.prove(small.key.n, small.p, small.q)
    factors.prove(small.key.n, small.p, small.q, os.urandom)
    assert not {small.p, small.q} & set(kept)


def test_the_groups_are_those_of_the_rfc() -> None:
    assert {bits: hashlib.sha256(ffdhe(bits).p.to_bytes(bits // 8, "big")).hexdigest() for bits in OFFSETS} == DIGESTS
    assert numbers.is_prime(ffdhe(2048).p) and numbers.is_prime(ffdhe(2048).q)
    for group in map(ffdhe, OFFSETS):
        h, (g,) = group.generators(1)
        assert numbers.jacobi(h, group.p) == numbers.jacobi(g, group.p) == 1


@pytest.mark.parametrize("bits", [420, 512, 1445, 2048, 3072, 4096, 7680])
def test_nothing_that_is_compared_wraps_and_no_answer_is_as_long_as_the_modulus(bits) -> None:
    group, answer = factors.group_of(bits), factors.answer_bits(bits)
    assert max(1 << 2 * answer, (1 << bits) << 2 * factors.CHALLENGE_BITS) * 2 <= group.q
    assert answer <= bits - 1 and factors.least_factor_bits(bits) == bits - 1 - answer


def test_what_is_shown_of_the_keys_in_use() -> None:
    """The proof of a contribution needs 128 bits of every prime factor."""
    assert [factors.least_factor_bits(bits) for bits in (2048, 3072, 4096)] == [814, 1326, 1838]
    assert with_order_above(2000).p == ffdhe(2048).p and with_order_above(2047).p == ffdhe(3072).p
    for bits in (419, 7800):
        with pytest.raises(InvalidInput):
            factors.group_of(bits)


def test_square_roots_are_those_that_anyone_with_the_primes_finds(small, roots) -> None:
    found, missing = square_roots(small.p, small.q)
    assert (list(roots), missing) == (found, [])
    two_primes.verify(small.key.n, roots)


def test_a_modulus_that_is_proven_again_shows_no_second_root(small, roots) -> None:
    """Two roots of one number that differ in more than their sign give the factors away."""
    assert two_primes.prove(small.key.n, small.q, small.p) == roots
    x = roots[0]
    other = next(y for y in (x, small.key.n - x) for y in [y * (2 * small.p * pow(small.p, -1, small.q) - 1) % small.key.n] if y)
    assert gcd(x - other, small.key.n) in (small.p, small.q)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda x, s: s.key.n - x, "below n/2"),
        (lambda x, s: x + s.key.n, "below n/2"),
        (lambda x, s: 0, "below n/2"),
        (lambda x, s: -x, "below n/2"),
        (lambda x, s: s.p, "Jacobi symbol 1"),
        (lambda x, s: min(y := x * (2 * s.p * pow(s.p, -1, s.q) - 1) % s.key.n, s.key.n - y), "Jacobi symbol 1"),
        (lambda x, s: min(y := x * 4 % s.key.n, s.key.n - y), "is none"),
    ],
)
@pytest.mark.parametrize("index", [0, 127])
def test_another_square_root_is_refused(small, roots, index, change, reason) -> None:
    changed = [*roots[:index], change(roots[index], small), *roots[index + 1 :]]
    with pytest.raises(BadTranscript, match=f"square root {index} .*{reason}"):
        two_primes.verify(small.key.n, changed)


def test_square_roots_count_and_belong_to_their_modulus(small, roots) -> None:
    for wrong in (roots[:-1], (*roots, roots[0]), ()):
        with pytest.raises(BadTranscript, match=f"{len(wrong)} square roots, 128"):
            two_primes.verify(small.key.n, wrong)
    with pytest.raises(BadTranscript, match=r"square root \d"):
        two_primes.verify(small.key.n - 4, roots)
    with pytest.raises(BadTranscript, match=r"square root \d"):
        two_primes.verify(small.key.n, (roots[1], roots[0], *roots[2:]))


@pytest.mark.parametrize("others", [(1 << 61) - 1, FIVE_MODULO_EIGHT], ids=["three primes", "a prime that is 1 modulo 4"])
def test_half_of_the_square_roots_do_not_exist(small, others) -> None:
    """The attacker knows all primes: what it cannot answer has no answer."""
    primes = (small.p, small.q, others) if others % 4 == 3 else (small.p, others)
    found, missing = square_roots(*primes)
    assert len(missing) > 32
    with pytest.raises(BadTranscript, match=f"square root {missing[0]} is none"):
        two_primes.verify(prod(primes), found)


def test_a_prime_modulus_has_no_proof() -> None:
    short = (1 << 127) - 1
    found, missing = square_roots(short)
    with pytest.raises(BadTranscript, match=f"square root {missing[0]} is none"):
        two_primes.verify(short, found)
    for a, b in ((1, MERSENNE), (MERSENNE, 1), (-1, -MERSENNE)):
        with pytest.raises(BadTranscript, match="out of range"):
            factors.verify(MERSENNE, proof_of(MERSENNE, a, b))


def test_provers_refuse_what_they_cannot_show(small) -> None:
    for p, q in ((small.p, small.p), (small.p, small.q + 2), (small.p, FIVE_MODULO_EIGHT)):
        with pytest.raises(InvalidKey, match="3 modulo 4"):
            two_primes.prove(small.key.n if p != small.p or q % 4 == 1 else p * q, p, q)
    for n, p, q in ((SMALL * MERSENNE, SMALL, MERSENNE), (small.key.n, small.p, small.q + 2)):
        with pytest.raises(InvalidKey, match="half its length"):
            factors.prove(n, p, q, os.urandom)


def test_the_protocol_as_it_is_written_is_the_one_that_is_checked(small, proof) -> None:
    n = small.key.n
    factors.verify(n, proof)
    for a, b in ((small.p, small.q), (small.q, small.p)):
        factors.verify(n, proof_of(n, a, b))
    data = proof.to_bytes(n.bit_length())
    assert len(data) == factors.size(n.bit_length()) == 256 + 16 + 2 * 59 + 2 * 256
    assert FactorsProof.from_bytes(data, n.bit_length()) == proof


def test_two_answers_to_one_commitment_give_the_factors(small, monkeypatch) -> None:
    """Extraction, as the module says: a b = n d², and neither a nor b is a multiple of n."""

    def answered(challenge: int) -> FactorsProof:
        monkeypatch.setattr(factors, "challenge_of", lambda *_: challenge)
        return factors.prove(small.key.n, small.p, small.q, lambda length: b"\x5a" * length)

    one, two = answered(5), answered((1 << 128) - 1)
    a, b, d = two.answer_p - one.answer_p, two.answer_q - one.answer_q, two.challenge - one.challenge
    assert one.commitment == two.commitment and a * b == small.key.n * d * d
    assert {gcd(a, small.key.n), gcd(b, small.key.n)} == {small.p, small.q}


def test_no_two_proofs_share_a_mask(small, proof) -> None:
    again = factors.prove(small.key.n, small.p, small.q, os.urandom)
    assert not {getattr(again, f.name) for f in fields(again)} & {getattr(proof, f.name) for f in fields(proof)}


def test_a_hidden_factor_of_40_bits_has_no_proof() -> None:
    """Such a modulus has two primes, 3 modulo 4. Its prover answers truly, and then shortens the answer that is too long."""
    n = SMALL * MERSENNE
    two_primes.verify(n, two_primes.prove(n, SMALL, MERSENNE))
    limit = 1 << factors.answer_bits(n.bit_length())
    for a, b in ((SMALL, MERSENNE), (MERSENNE, SMALL)):
        honest = proof_of(n, a, b)
        with pytest.raises(BadTranscript, match="one of them may be small"):
            factors.verify(n, honest)
        with pytest.raises(BadTranscript, match="does not hold"):
            factors.verify(n, replace(honest, answer_p=honest.answer_p % limit, answer_q=honest.answer_q % limit))


def test_a_factor_of_120_bits_does_not_pass_with_the_proof_of_another_modulus() -> None:
    a, b, rest = (1 << 512) - 3, (1 << 512) - 5, (1 << 904) - 1
    other = proof_of(a * b, a, b)
    factors.verify(a * b, other)
    n = ((1 << 120) - 119) * rest
    assert n.bit_length() == (a * b).bit_length() == 1024
    with pytest.raises(BadTranscript, match="does not hold for this modulus"):
        factors.verify(n, other)
    with pytest.raises(BadTranscript, match="one of them may be small"):
        factors.verify(n, proof_of(n, (1 << 120) - 119, rest))


@pytest.mark.parametrize(("a", "b"), [(0, 0), (1, 1), (3, 5), ("p", 0), (0, "q"), ("p", "p"), ("p+r", "q")])
def test_other_numbers_than_factors_have_no_proof(small, a, b) -> None:
    """A zero, a wrong product, and a factor plus the group's order, which makes the same commitment and is too long to answer for."""
    names = {"p": small.p, "q": small.q, "p+r": small.p + factors.group_of(512).q}
    with pytest.raises(BadTranscript, match="out of range" if a == "p+r" else "does not hold"):
        factors.verify(small.key.n, proof_of(small.key.n, names.get(a, a), names.get(b, b)))


GROUP = factors.group_of(512)
TOO_LONG = 1 << factors.answer_bits(512)


@pytest.mark.parametrize(
    ("name", "change", "reason"),
    [
        ("commitment", lambda x: x * 4 % GROUP.p, "does not hold"),
        ("commitment", lambda x: GROUP.p - x, "no element"),
        ("commitment", lambda x: x + GROUP.p, "no element"),
        ("commitment", lambda x: x - GROUP.p, "no element"),
        ("commitment", lambda x: 0, "no element"),
        ("commitment", lambda x: 1, "does not hold"),
        ("challenge", lambda x: x ^ 1, "does not hold"),
        ("challenge", lambda x: x + (1 << 128), "challenge .*out of range"),
        ("challenge", lambda x: x - (1 << 128), "challenge .*out of range"),
        ("challenge", lambda x: x + GROUP.q, "challenge .*out of range"),
        *((name, lambda x: x ^ 1, "does not hold") for name in ("answer_p", "answer_q", "blind_p", "blind_q")),
        *((name, lambda x: x + TOO_LONG, "may be small") for name in ("answer_p", "answer_q")),
        *((name, lambda x: x - GROUP.q, "may be small") for name in ("answer_p", "answer_q")),
        *((name, lambda x: x + GROUP.q, "blinding .*out of range") for name in ("blind_p", "blind_q")),
        *((name, lambda x: x - GROUP.q, "blinding .*out of range") for name in ("blind_p", "blind_q")),
    ],
)
def test_every_field_is_checked(small, proof, name, change, reason) -> None:
    """What is congruent and out of range would pass the equations: one proof has one encoding."""
    with pytest.raises(BadTranscript, match=reason):
        factors.verify(small.key.n, replace(proof, **{name: change(getattr(proof, name))}))


def test_answers_changed_for_each_other_are_refused(small, proof) -> None:
    with pytest.raises(BadTranscript, match="does not hold"):
        factors.verify(small.key.n, replace(proof, answer_p=proof.answer_q, answer_q=proof.answer_p))


def test_a_proof_of_another_length_is_refused(proof) -> None:
    data = proof.to_bytes(512)
    for wrong in (data[:-1], data + b"\0", b""):
        with pytest.raises(BadTranscript, match="902 are expected"):
            FactorsProof.from_bytes(wrong, 512)
