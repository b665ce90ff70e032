"""Threshold decryption against phe's private key, and every way in which a key, a share or an opening can be wrong."""

from __future__ import annotations

import os
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from defedbio.crypto import encoding, numbers, packing, paillier, threshold
from defedbio.crypto.proofs import two_primes
from defedbio.crypto.proofs.factors import FactorsProof
from defedbio.crypto.threshold import KeyShare, Opening
from defedbio.domain import Quantisation, Segment
from defedbio.errors import BadCiphertext, BadOpening, BadShare, BadTranscript, InvalidInput, InvalidKey
from tests.agents.crypto.dishonest import MERSENNE, SMALL, deal


def shares_of(material, ciphertexts, *indices):
    return {i: threshold.share(material.key, material.shares[i - 1], ciphertexts) for i in indices}


@pytest.fixture(scope="session")
def opened(small):
    ciphertexts = small.encrypt(*range(-3, 40))
    return ciphertexts, threshold.combine(small.key, ciphertexts, shares_of(small, ciphertexts, 1, 2, 3))


@pytest.mark.parametrize(("quorum", "holders"), [(2, 2), (2, 3), (3, 5), (8, 15), (15, 15)])
def test_a_quorum_opens_what_phe_opens(make_material, quorum, holders) -> None:
    material = make_material(512, quorum, holders)
    material.key.check()
    for share in material.shares:
        share.check(material.key)
    ciphertexts = material.encrypt(0, 1, -1, 123456789)
    openings = threshold.combine(material.key, ciphertexts, shares_of(material, ciphertexts, *range(holders - quorum + 1, holders + 1)))
    assert [o.m for o in openings] == [material.oracle.raw_decrypt(c) for c in ciphertexts]
    threshold.check_openings(material.key, ciphertexts, openings, os.urandom)


@settings(deadline=None, max_examples=20)
@given(data=st.data(), holders=st.integers(2, 15))
def test_any_quorum_of_any_size_opens(make_material, data, holders) -> None:
    quorum = data.draw(st.integers(holders // 2 + 1, holders))
    material = make_material(512, quorum, holders)
    chosen = data.draw(st.permutations(list(range(1, holders + 1))))[:quorum]
    plaintext = data.draw(st.integers(0, material.public.n - 1))
    ciphertexts = material.encrypt(plaintext)
    openings = threshold.combine(material.key, ciphertexts, shares_of(material, ciphertexts, *chosen))
    assert openings[0].m == plaintext
    threshold.check_openings(material.key, ciphertexts, openings, os.urandom)


@settings(deadline=None, max_examples=25)
@given(data=st.data())
def test_any_plaintext_opens(small, data) -> None:
    ciphertexts = small.encrypt(*data.draw(st.lists(st.integers(0, small.public.n - 1), min_size=1, max_size=4)))
    openings = threshold.combine(small.key, ciphertexts, shares_of(small, ciphertexts, 2, 4, 5))
    assert [o.m for o in openings] == [small.oracle.raw_decrypt(c) for c in ciphertexts]


def test_p6_every_quorum_publishes_the_same_bytes(small, opened) -> None:
    """P6: every node gets the same bytes, whichever shares it combined and whatever their signs."""
    ciphertexts, want = opened
    every = shares_of(small, ciphertexts, 1, 2, 3, 4, 5)
    for chosen in combinations(range(1, 6), 3):
        assert threshold.combine(small.key, ciphertexts, {i: every[i] for i in chosen}) == want
    negated = {i: [small.key.n - x for x in values] for i, values in every.items()}
    assert threshold.combine(small.key, ciphertexts, negated) == want


def test_openings_are_canonical(small, opened) -> None:
    n, d = small.key.n, small.key.opening_exponent
    ciphertexts, openings = opened
    for c, opening in zip(ciphertexts, openings, strict=True):
        assert 0 < opening.w < n / 2
        assert numbers.jacobi(opening.w, n) == 1
        left = pow(opening.w, 2 * n, n * n) * pow(1 + n, 2 * d * opening.m, n * n) % (n * n)
        assert left == pow(c, 2 * d, n * n)


def test_a_weighted_mean_goes_all_the_way(small) -> None:
    q = Quantisation(slot_bits=24, scale=1000.0, weight_cap=10, clip_norm=2.0)
    layout = packing.SlotLayout(small.public.bits, 24)
    vectors, weights = [np.array([0.5, -0.25, 0.125]), np.array([-1.0, 0.5, 0.0]), np.array([0.25, 0.25, 1.0])], [10, 5, 10]
    encoded = [encoding.encode((v,), w, (Segment("update", len(v), q),), os.urandom) for v, w in zip(vectors, weights, strict=True)]
    updates = [small.encrypt(*packing.pack(e, layout, small.public.n)) for e in encoded]
    aggregate = paillier.aggregate(small.public, updates)
    openings = threshold.combine(small.key, aggregate, shares_of(small, aggregate, 1, 3, 5))
    totals = packing.unpack([o.m for o in openings], layout, small.public.n, 4)
    assert np.array_equal(totals, sum(encoded))
    assert np.allclose(
        encoding.decode(totals, (Segment("update", len(vectors[0]), q),), 3).vectors[0],
        np.average(vectors, axis=0, weights=weights),
        atol=2e-3,
    )


def test_full_size_key(make_material) -> None:
    """3,072 bits, the default of a study."""
    material = make_material(3072, 2, 3)
    material.key.check()
    ciphertexts = material.encrypt(-5, 10**900)
    openings = threshold.combine(material.key, ciphertexts, shares_of(material, ciphertexts, 1, 3))
    assert [o.m for o in openings] == [material.key.n - 5, 10**900]
    threshold.check_openings(material.key, ciphertexts, openings, os.urandom)


def test_dealer_makes_the_size_it_promises() -> None:
    key, shares = threshold.dealer(512, 2, 3, os.urandom, minimum_bits=512)
    key.check()
    assert key.public_key.bits == 512
    assert [s.index for s in shares] == [1, 2, 3]
    for share in shares:
        share.check(key)


@pytest.mark.parametrize(("quorum", "holders"), [(1, 2), (2, 4), (4, 3), (9, 16), (1, 1), (0, 3)])
def test_r2_a_threshold_is_more_than_half(quorum, holders) -> None:
    """R2: t > T/2; at most 15 holders."""
    with pytest.raises(InvalidInput):
        threshold.dealer(512, quorum, holders, os.urandom, minimum_bits=512)


def test_production_refuses_keys_of_other_sizes(small) -> None:
    for bits in (1024, 2049, 7682):
        with pytest.raises(InvalidKey, match="even number of bits, 2048 to 7680"):
            threshold.dealer(bits, 2, 3, os.urandom)
    with pytest.raises(InvalidKey):
        threshold.deal_from_primes(small.p, small.p, 2, 3, os.urandom, 512)


def test_a_share_does_not_show_its_secret(small) -> None:
    assert str(small.shares[0].value) not in repr(small.shares[0])
    assert "index=1" in repr(small.shares[0])


def test_k1_a_holder_refuses_a_share_that_does_not_fit_the_commitments(small) -> None:
    """K1: every holder checks its share."""
    good = small.shares[1]
    for bad in (KeyShare(2, good.value + 1), KeyShare(3, good.value), KeyShare(2, small.key.n + good.value), KeyShare(2, -1)):
        with pytest.raises(InvalidKey, match="does not agree"):
            bad.check(small.key)
    congruent = KeyShare(2, good.value + 5 * (small.p // 2) * (small.q // 2))
    with pytest.raises(InvalidKey, match="does not agree"):
        congruent.check(small.key)
    with pytest.raises(InvalidKey, match="index"):
        KeyShare(6, good.value).check(small.key)


def tamper(values: tuple[int, ...], index: int, n: int) -> tuple[int, ...]:
    return (*values[:index], values[index] * 4 % n, *values[index + 1 :])


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda k: {"v": 4}, "not the square"),
        (lambda k: {"commitments": tamper(k.commitments, 0, k.n)}, "A_0\\^n differs"),
        (lambda k: {"commitments": tamper(k.commitments, 2, k.n)}, "verification key of holder 1"),
        (lambda k: {"verification_keys": tamper(k.verification_keys, 3, k.n)}, "verification key of holder 4"),
        (lambda k: {"verification_keys": (*k.verification_keys[:4], k.n - k.verification_keys[4])}, "verification key of holder 5"),
        (lambda k: {"roots": tamper(k.roots, 7, k.n)}, "root 7 is not an n-th root"),
        (lambda k: {"commitments": (0, *k.commitments[1:])}, "commitment 0 is not a unit"),
        (lambda k: {"commitments": (k.commitments[0] + k.n, *k.commitments[1:])}, "commitment 0 is not a unit"),
        (lambda k: {"roots": (*k.roots[:7], k.n)}, "root 7 is not a unit"),
        (lambda k: {"square_roots": (*k.square_roots[:127], k.square_roots[0])}, "square root 127 is none"),
        (lambda k: {"factors": replace(k.factors, answer_p=k.factors.answer_p ^ 1)}, "proof of the factors does not hold"),
    ],
)
def test_a_tampered_key_is_refused_with_the_reason(small, change, reason) -> None:
    with pytest.raises(BadTranscript, match=reason):
        replace(small.key, **change(small.key)).check()


@pytest.mark.parametrize("field", ["commitments", "verification_keys", "roots", "square_roots"])
def test_a_key_with_missing_parts_does_not_exist(small, field) -> None:
    with pytest.raises(BadTranscript, match="wrong number"):
        replace(small.key, **{field: getattr(small.key, field)[:-1]})


def key_of_modulus(n: int) -> threshold.ThresholdKey:
    """A key whose values are units and nothing more, on a modulus of any kind."""
    public = paillier.PublicKey.from_modulus(n, 128)
    roots, square_roots = (4,) * threshold.ROOT_PROOFS, (4,) * two_primes.SQUARE_ROOTS
    proof = FactorsProof(4, 4, 4, 4, 4, 4)
    return threshold.ThresholdKey(public, 2, 3, threshold.base_square(n), (4, 4), (4, 4, 4), roots, square_roots, proof)


def test_a_modulus_with_a_small_factor_is_refused(small) -> None:
    with pytest.raises(BadTranscript, match="small factor"):
        key_of_modulus(65521 * small.p).check()


def test_a_modulus_that_shares_a_factor_with_its_order_cannot_show_roots() -> None:
    """n = p q with p | q - 1: ciphertexts would have several plaintexts, and hashed numbers have no n-th roots to show."""
    p = (1 << 127) - 1
    q = next(q for q in (2 * k * p + 1 for k in range(1, 10_000)) if numbers.is_prime(q))
    assert numbers.gcd(p * q, (p - 1) * (q - 1)) == p
    assert all(pow(threshold.root_target(p * q, k), (q - 1) // p, q) != 1 for k in range(threshold.ROOT_PROOFS))
    with pytest.raises(BadTranscript, match="root 0 is not an n-th root"):
        key_of_modulus(p * q).check()


@pytest.mark.parametrize("square", ["p² q", "p²"])
def test_a_modulus_with_a_square_factor_cannot_show_roots(small, square) -> None:
    n = small.p**2 * small.q if square == "p² q" else small.p**2
    assert all(pow(threshold.root_target(n, k), small.p - 1, small.p**2) != 1 for k in range(threshold.ROOT_PROOFS))
    with pytest.raises(BadTranscript, match="root 0 is not an n-th root"):
        key_of_modulus(n).check()


def opens(key: threshold.ThresholdKey, shares: list[KeyShare]) -> bool:
    """Whether holders 1 and 3 find what was encrypted."""
    ciphertexts = paillier.encrypt(key.public_key, [42], paillier.ObfuscatorPool(key.public_key, os.urandom))
    return threshold.combine(key, ciphertexts, {i: threshold.share(key, shares[i - 1], ciphertexts) for i in (1, 3)})[0].m == 42


def test_whoever_knows_the_primes_of_a_good_modulus_makes_a_key_of_it(small) -> None:
    """The dishonest dealer's other attempts fail by their modulus, and by nothing that was left out."""
    key, shares = deal(small.p, small.q)
    key.check()
    assert opens(key, shares)


@pytest.mark.parametrize(
    ("primes", "reason"),
    [
        ((SMALL, MERSENNE), "answer about the factors is out of range"),
        (("p", (1 << 61) - 1, "q"), "square root [0-9]+ is none"),
        ((SMALL, (1 << 127) - 1, MERSENNE), "square root [0-9]+ is none"),
        (("p", (1 << 256) - 587), "square root [0-9]+ is none"),
    ],
    ids=["40 bits", "three primes", "three, one of 40 bits", "1 modulo 4"],
)
def test_a_dealer_that_hides_factors_is_refused(small, primes, reason) -> None:
    """All else holds, and the key opens what is encrypted: whoever has the primes can do all but this."""
    key, shares = deal(*({"p": small.p, "q": small.q}.get(prime, prime) for prime in primes))
    assert opens(key, shares)
    for share in shares:
        share.check(key)
    with pytest.raises(BadTranscript, match=reason):
        key.check()


def test_the_proofs_of_another_key_are_refused(small) -> None:
    key, (other, _) = small.key, deal(small.p, (1 << 256) - 189)
    with pytest.raises(BadTranscript, match=r"square root \d+ is"):
        replace(key, square_roots=other.square_roots).check()
    with pytest.raises(BadTranscript, match="proof of the factors does not hold"):
        replace(key, factors=other.factors).check()


def test_wrong_shares_do_not_open(small, opened) -> None:
    ciphertexts, _ = opened
    shares = shares_of(small, ciphertexts, 1, 2, 3)
    shares[2][5] = shares[2][5] * 4 % small.key.n
    with pytest.raises(BadOpening, match="ciphertext 5"):
        threshold.combine(small.key, ciphertexts, shares)


def test_shares_of_another_aggregate_do_not_open(small, opened) -> None:
    ciphertexts, _ = opened
    shares = shares_of(small, ciphertexts, 1, 2, 3)
    shares[3] = shares_of(small, small.encrypt(*[9] * len(ciphertexts)), 3)[3]
    with pytest.raises(BadOpening, match="ciphertext 0"):
        threshold.combine(small.key, ciphertexts, shares)


def test_too_few_shares_are_refused(small, opened) -> None:
    ciphertexts, _ = opened
    with pytest.raises(InvalidInput, match="2 shares, 3"):
        threshold.combine(small.key, ciphertexts, shares_of(small, ciphertexts, 1, 2))
    with pytest.raises(InvalidInput, match="indices"):
        threshold.combine(small.key, ciphertexts, {**shares_of(small, ciphertexts, 1, 2), 6: [1] * len(ciphertexts)})


@pytest.mark.parametrize(("value", "reason"), [(0, "outside"), ("n", "outside"), ("p", "not a unit"), (None, "shares for")])
def test_share_values_that_are_no_units_name_their_holder(small, opened, value, reason) -> None:
    ciphertexts, _ = opened
    shares = shares_of(small, ciphertexts, 1, 2, 3)
    shares[2] = shares[2][:-1] + ([] if value is None else [{"n": small.key.n, "p": small.p}.get(value, value)])
    with pytest.raises(BadShare, match=f"holder 2: .*{reason}"):
        threshold.combine(small.key, ciphertexts, shares)


@pytest.mark.parametrize("index", [0, 17, 21, 42])
@pytest.mark.parametrize("change", ["m", "w", "both"])
def test_a_wrong_opening_is_refused_and_named(small, opened, index, change) -> None:
    """P6: everybody else only checks it, in one batch."""
    ciphertexts, openings = opened
    good = openings[index]
    n = small.key.n
    w = good.w * 4 % n
    wrong = {
        "m": Opening(good.w, (good.m + 1) % n),
        "w": Opening(min(w, n - w), good.m),
        "both": openings[(index + 1) % len(openings)],
    }[change]
    changed = [*openings[:index], wrong, *openings[index + 1 :]]
    with pytest.raises(BadOpening, match=f"opening {index} does not open"):
        threshold.check_openings(small.key, ciphertexts, changed, os.urandom)


def test_two_wrong_openings_do_not_cancel(small, opened) -> None:
    ciphertexts, openings = opened
    n = small.key.n
    changed = [*openings]
    changed[0], changed[1] = Opening(openings[0].w, (openings[0].m + 1) % n), Opening(openings[1].w, (openings[1].m - 1) % n)
    with pytest.raises(BadOpening, match="opening 0"):
        threshold.check_openings(small.key, ciphertexts, changed, os.urandom)


def test_other_square_roots_of_one_do_not_make_a_second_opening(small, opened) -> None:
    """The four w that a batch of squares cannot tell apart: only one is accepted, so opening roots agree byte for byte."""
    ciphertexts, openings = opened
    n, good = small.key.n, openings[0]
    odd_root = (small.p * pow(small.p, -1, small.q) * 2 - 1) % n
    assert odd_root * odd_root % n == 1
    assert odd_root not in (1, n - 1)
    other = good.w * odd_root % n
    for w, reason in ((n - good.w, "outside"), (min(other, n - other), "Jacobi"), (max(other, n - other), "outside")):
        with pytest.raises(BadOpening, match=f"opening 0: w is .*{reason}"):
            threshold.check_openings(small.key, ciphertexts, [Opening(w, good.m), *openings[1:]], os.urandom)


def test_openings_out_of_range_are_refused(small, opened) -> None:
    ciphertexts, openings = opened
    n, good = small.key.n, openings[0]
    for bad, reason in (
        (Opening(0, good.m), "w is outside"),
        (Opening(good.w + n, good.m), "w is outside"),
        (Opening(small.p, good.m), "Jacobi"),
        (Opening(good.w, good.m + n), "M is outside"),
        (Opening(good.w, -1), "M is outside"),
    ):
        with pytest.raises(BadOpening, match=reason):
            threshold.check_openings(small.key, ciphertexts, [bad, *openings[1:]], os.urandom)
    with pytest.raises(BadOpening, match="42 openings for 43"):
        threshold.check_openings(small.key, ciphertexts, openings[1:], os.urandom)
    with pytest.raises(BadCiphertext, match="ciphertext 0"):
        threshold.check_openings(small.key, [small.p, *ciphertexts[1:]], openings, os.urandom)
