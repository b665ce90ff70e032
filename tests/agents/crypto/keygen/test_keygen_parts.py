"""The ceremony's parts one by one: terms, sieve, seeds, own keys, and how long shares are."""

from __future__ import annotations

import os
from dataclasses import replace
from itertools import combinations
from math import prod

import phe
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from defedbio.crypto import kernel, share_sizes
from defedbio.crypto.keygen import exponent, own_key, seeds
from defedbio.crypto.keygen.candidates import Candidate, answered, candidates, rank, requests
from defedbio.crypto.keygen.own_key import OwnKey
from defedbio.crypto.keygen.sieve import Sieve
from defedbio.crypto.keygen.terms import Terms
from defedbio.crypto.proofs import factors
from defedbio.crypto.proofs import share as share_proof
from defedbio.domain import MAX_HOLDERS
from defedbio.errors import InvalidInput
from tests.agents.crypto.keygen.runs import terms_of

TERMS = terms_of(448, 2, 3, 32)
QUORUMS = [(t, holders) for holders in range(2, MAX_HOLDERS + 1) for t in range(holders // 2 + 1, holders + 1)]


def test_terms_are_bound_to_every_field() -> None:
    """D1."""
    changed = {
        "chain_id": 1,
        "contract": "0x" + "5b" * 20,
        "ceremony": 8,
        "holders": (TERMS.holders[1], TERMS.holders[0], TERMS.holders[2]),
        "threshold": 3,
        "step_seconds": 601,
    }
    hashes = {replace(TERMS, **{name: value}, sizes={448: 32}).hash for name, value in changed.items()}
    assert len({TERMS.hash, *hashes}) == len(changed) + 1
    assert Terms(31337, TERMS.contract, 7, TERMS.holders, 2, 464, 600, {464: 32}).hash != TERMS.hash


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("bits", 512, "512 bits: 2048, 3072 can be made"),
        ("bits", 4096, "4096 bits"),
        ("threshold", 1, "threshold"),
        ("threshold", 4, "threshold"),
        ("holders", TERMS.holders[:1], "2 to 15 holders"),
        ("holders", (*TERMS.holders[:2], TERMS.holders[0].upper().replace("X", "x")), "twice"),
        ("holders", (*TERMS.holders[:2], "0x12"), "addresses"),
        ("contract", "", "addresses"),
        ("ceremony", -1, "64 bits"),
        ("chain_id", 1 << 64, "64 bits"),
        ("step_seconds", 0, "second"),
    ],
)
def test_impossible_terms_are_refused(name: str, value: object, why: str) -> None:
    good = {
        "chain_id": 1,
        "contract": TERMS.contract,
        "ceremony": 1,
        "holders": TERMS.holders,
        "threshold": 2,
        "bits": 2048,
        "step_seconds": 60,
    }
    assert Terms(**good).candidates == 4096
    with pytest.raises(InvalidInput, match=why):
        Terms(**{**good, name: value})


@pytest.mark.parametrize("bits", [2048, 3072])
def test_no_t_1_contributors_know_more_than_a_twelfth(bits: int) -> None:
    """D6, at production's sizes: of the primes up to B each has one owner, and B is the largest."""
    for t in range(2, MAX_HOLDERS + 1):
        sieve = Sieve.of(bits, t)
        known = [prod(prod(owned) for owned in those).bit_length() for those in combinations(sieve.owned, t - 1)]
        assert bits // 12 - 12 < max(known) <= bits // 12
        owned = sorted(prime for those in sieve.owned for prime in those)
        assert owned == [x for x in range(3, sieve.bound + 1) if all(x % y for y in range(2, int(x**0.5) + 1))]
        assert sieve.span > 1 << 128


@settings(max_examples=60)
@given(st.sampled_from([(448, 2), (464, 3), (2048, 3), (3072, 15)]), st.data())
def test_summands_are_as_the_sieve_says(size: tuple[int, int], data: st.DataObject) -> None:
    """D6."""
    bits, t = size
    sieve = Sieve.of(bits, t)
    chosen = st.sampled_from([bytes(sieve.number_bytes), b"\xff" * sieve.number_bytes])
    drawn = [data.draw(chosen | st.binary(min_size=sieve.number_bytes, max_size=sieve.number_bytes)) for _ in range(t)]
    summands = [sieve.number(position, those) for position, those in enumerate(drawn)]
    for position, summand in enumerate(summands):
        assert summand % 8 == (3 if position == 0 else 0)
        for owner, owned in enumerate(sieve.owned):
            for prime in owned:
                assert summand % prime >= 2 if owner == position else summand % prime == 0
    assert 3 << (bits // 2 - 2) <= sum(summands) < 1 << (bits // 2)


@settings(max_examples=30)
@given(
    st.integers(0, 6).flatmap(lambda depth: st.tuples(st.just(depth), st.integers(0, 2**depth - 1))), st.binary(min_size=32, max_size=32)
)
def test_all_leaves_but_one_are_opened(place: tuple[int, int], root: bytes) -> None:
    """D7."""
    depth, kept = place
    found = seeds.leaves(root, depth)
    nodes = seeds.beside(root, depth, kept)
    assert len(nodes) == depth
    opened = seeds.opened(nodes, kept)
    assert opened == [None if k == kept else leaf for k, leaf in enumerate(found)]
    assert len(set(found)) == 2**depth
    assert seeds.leaf_hashes(found)[kept] == seeds.leaf_hash(kept, found[kept])


def test_streams_differ_by_all_that_they_are_of() -> None:
    """D3; and several at once are those of each."""
    variants = [(b"a", b"t", "u", b"c"), (b"b", b"t", "u", b"c"), (b"a", b"s", "u", b"c"), (b"a", b"t", "v", b"c"), (b"a", b"t", "u", b"d")]
    assert len({seeds.drawn(*those, 32) for those in variants}) == len(variants)
    each = [b"%032d" % i for i in range(20)]
    assert seeds.drawn_each(each, b"t", "u", b"c", 50) == [seeds.drawn(seed, b"t", "u", b"c", 50) for seed in each]
    rand = seeds.source(b"a", b"t", "u", b"c")
    assert len({rand(32), rand(32), seeds.source(b"a", b"t", "u", b"d")(32)}) == 3


@pytest.fixture(scope="module")
def own() -> OwnKey:
    return OwnKey(TERMS.own_bits, os.urandom)


def test_an_own_key_decrypts_what_others_encrypt(own: OwnKey) -> None:
    n = own.public.n
    assert n.bit_length() == TERMS.own_bits
    plaintexts = [0, 1, n - 1, 1 << 500, n // 2]
    encrypted = [phe.PaillierPublicKey(n).raw_encrypt(m) for m in plaintexts]
    assert own.decrypt(encrypted) == plaintexts
    assert own_key.check_modulus(n, TERMS.own_bits, own.roots()) == own.public


def test_nothing_of_an_own_key_stays_in_a_cache_or_is_printed(own: OwnKey) -> None:
    kernel.modulus.cache_clear()
    own.roots()
    own.decrypt([(1 + 5 * own.public.n)])
    assert kernel.modulus.cache_info().currsize == 0
    assert str(own._p) not in repr(own)
    assert repr(Candidate(5, 7, (1, 2))) == "Candidate()"


@pytest.mark.parametrize("t", [2, 3, 5])
def test_every_pair_meets_once_in_a_candidate(t: int) -> None:
    """D9."""
    terms = terms_of(448, t, t, 32)
    for k in range(terms.candidates):
        assert sorted(rank(i, k, t) for i in range(t)) == list(range(t))
    for i, j in combinations(range(t), 2):
        mine, theirs = set(answered(terms, i, j)), set(answered(terms, j, i))
        assert mine | theirs == set(range(terms.candidates))
        assert not mine & theirs


@pytest.mark.parametrize("position", [0, 1])
def test_two_requests_hold_a_summand_of_s(own: OwnKey, position: int) -> None:
    """D15."""
    (candidate,) = candidates(TERMS, position, [bytes(32)])
    first, second = requests(TERMS, own.public, position, [candidate])
    encrypted = exponent.encrypted_summand(own.public, position, (first, second))
    assert own.decrypt([encrypted]) == [candidate.p + candidate.q - (position == 0)]


@pytest.mark.parametrize("bits", [2048, 3072])
def test_shares_are_hidden_by_their_proofs_and_answers_about_factors_fit(bits: int) -> None:
    """Whatever the quorum: 128 bits for the challenge and 128 to hide a share; and Q exceeds the quotient u."""
    for t, holders in QUORUMS:
        longest = share_sizes.share_bound(bits, t, holders).bit_length()
        assert longest <= bits + share_sizes.LONGEST_EXTRA_BITS
        assert share_proof.mask_bits(bits) >= longest + 256
        assert share_sizes.quotient(bits, t) > t << (bits // 2 + 1 + 128)
    assert factors.group_of(bits).q > 1 << (bits + 344)
    assert factors.group_of(bits).p.bit_length() == {2048: 3072, 3072: 4096}[bits]
