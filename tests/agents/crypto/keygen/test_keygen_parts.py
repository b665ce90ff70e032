"""The ceremony's parts one by one: terms, sieve, seeds, own keys, and how long shares are."""

from __future__ import annotations

import os
from dataclasses import replace
from itertools import combinations
from math import prod

import gmpy2
import phe
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from defedbio.crypto import kernel, sealing, share_sizes
from defedbio.crypto.keygen import boxes, dealing, exponent, own_key, seeds
from defedbio.crypto.keygen.candidates import Candidate, alive, answered, candidates, rank, requests
from defedbio.crypto.keygen.messages import HEADER_BYTES, Header, Kind, decode, layout, size
from defedbio.crypto.keygen.own_key import OwnKey
from defedbio.crypto.keygen.sieve import Sieve
from defedbio.crypto.keygen.terms import Terms
from defedbio.crypto.proofs import factors
from defedbio.crypto.proofs import share as share_proof
from defedbio.crypto.threshold import base_square, root_target
from defedbio.domain import MAX_HOLDERS
from defedbio.errors import BadTranscript, InvalidInput, InvalidKey, MalformedBlob
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
def test_summands_are_as_the_sieve_says(sizes: tuple[int, int], data: st.DataObject) -> None:
    """D6."""
    bits, t = sizes
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


BOUNDS = {
    (Kind.REQUESTS, "modulus"): 1 << 576,
    (Kind.SHARES, "shares"): 1 << 450,
    (Kind.OPENING, "powers"): TERMS.group.p,
    (Kind.OPENING, "number answers"): 1 << 224 + 128 + 1,
    (Kind.OPENING, "exponent answers"): 1 << 288 + 128 + 1,
    (Kind.PRODUCT, "factor"): TERMS.group.p,
    (Kind.PRODUCT, "challenge"): 1 << 128,
    (Kind.PRODUCT, "answer"): TERMS.group.q,
    (Kind.EXPONENT, "revealed"): TERMS.group.p,
    (Kind.DEALING, "answers"): 1 << 224 + 204 + 1,
}


@pytest.mark.parametrize(("kind", "name"), BOUNDS, ids=lambda part: part.value if isinstance(part, Kind) else part)
def test_a_number_of_a_message_is_below_its_bound(kind: Kind, name: str) -> None:
    """D8, D10, D13, D16, D17, D19."""
    those = layout(TERMS, kind, 1, 0, 0)
    field = those[name]
    assert field.below == BOUNDS[kind, name]
    header, start = Header(TERMS.hash, 1, 1, bytes(32)), HEADER_BYTES
    for other, before in those.items():
        if other == name:
            break
        start += before.size * before.count
    for value in (field.below - 1, field.below):
        if value >= 1 << 8 * field.size:
            continue
        data = bytearray(header.to_bytes() + bytes(size(those) - HEADER_BYTES))
        data[start : start + field.size] = value.to_bytes(field.size, "big")
        if value < field.below:
            assert decode(bytes(data), header, those).numbers[name][0] == value
            continue
        with pytest.raises(MalformedBlob, match=f"among the {name} in its message is out of range"):
            decode(bytes(data), header, those)


def test_only_a_promising_candidate_is_tried() -> None:
    """D11."""
    good = next(n for n in range((3 << 446) + 1, 1 << 448, 8) if gmpy2.is_prime(n))
    smallest = next(x for x in range((1 << 18) - 1, 0, -2) if gmpy2.is_prime(x))
    with_small = []
    for factor in (3, 4099, smallest):
        start = good // factor // 8 * 8 + pow(factor, -1, 8)
        with_small.append(factor * next(n for n in range(start, start + 80_000, 8) if gmpy2.is_prime(n)))
    assert all(n % 8 == 1 and n.bit_length() == 448 for n in with_small)
    others = [next(n for n in range(start, 1 << 449, 8) if gmpy2.is_prime(n)) for start in ((3 << 446) + 5, (3 << 445) + 1, (3 << 447) + 1)]
    assert alive(TERMS, [0, *with_small, good, *others]) == [4]


def test_a_box_opens_for_its_holder_in_its_ceremony_alone(own: OwnKey) -> None:
    """D19: whatever a box is bound to."""
    private = bytes(range(32))
    to = boxes.Recipient(31337, TERMS.contract, 7, TERMS.holders[1], 1)
    box = boxes.seal(5, 80, to, 0, sealing.transport_public(private), own.public, os.urandom)
    assert boxes.unseal(box, to, 0, private, own.public) == 5
    changes = {"chain_id": 1, "registry": TERMS.holders[0], "ceremony": 8, "address": TERMS.holders[0], "position": 0}
    wrong = [(replace(to, **{name: value}), 0, own.public) for name, value in changes.items()]
    for recipient, contributor, key in (*wrong, (to, 1, own.public), (to, 0, OwnKey(TERMS.own_bits, os.urandom).public)):
        with pytest.raises(InvalidKey):
            boxes.unseal(box, recipient, contributor, private, key)


def test_a_root_of_an_own_modulus_is_written_in_one_way(own: OwnKey) -> None:
    n, roots = own.public.n, own.roots()
    for wrong in ([roots[0] + n, *roots[1:]], [roots[0] - n, *roots[1:]]):
        with pytest.raises(BadTranscript, match="a root of its own modulus is none"):
            own_key.check_modulus(n, TERMS.own_bits, wrong)


@pytest.mark.parametrize("kappa", [0, 1, 2])
def test_a_carry_is_found_and_added(kappa: int) -> None:
    """D20: shares of d that lack κ Q, whatever κ below t is."""
    terms = terms_of(448, 3, 4, 32)
    p, q = (next(x for x in range(start, 1 << 224, 8) if gmpy2.is_prime(x)) for start in ((7 << 221) + 3, (15 << 220) + 3))
    n, d = p * q, pow(p * q, -1, (p - 1) * (q - 1))
    parts = [d // 2, d // 3, d - d // 2 - d // 3 - kappa * terms.quotient]
    dealt = [dealing.deal(terms, n, part, os.urandom) for part in parts]
    posted = [those.commitments for those in dealt]
    assert dealing.carry(terms, n, posted) == kappa
    commitments = dealing.joined_commitments(terms, n, posted, kappa)
    assert pow(commitments[0], n, n) == pow(base_square(n), 24, n)
    roots = dealing.joined_roots(terms, n, [those.roots for those in dealt], kappa)
    assert [pow(root, n, n) for root in roots] == [root_target(n, index) for index in range(8)]
    wrong = [those.commitments for those in (*dealt[:2], dealing.deal(terms, n, parts[2] + 3 * terms.quotient, os.urandom))]
    if kappa == 0:
        with pytest.raises(BadTranscript, match="not add up to the inverse"):
            dealing.carry(terms, n, wrong)
