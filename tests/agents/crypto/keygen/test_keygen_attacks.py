"""What t-1 who deviate as they like, speak last and know each other's secrets would try (docs/ceremony.md, section 6)."""

from __future__ import annotations

import os
from dataclasses import replace
from math import gcd

import gmpy2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from defedbio.crypto import numbers
from defedbio.crypto.keygen import bounded, boxes, outcome, own_key, product, seeds
from defedbio.crypto.keygen.bounded import BoundedProof
from defedbio.crypto.keygen.candidates import Candidate, answered, asked, base
from defedbio.crypto.keygen.machine import Contributor, recipient
from defedbio.crypto.keygen.messages import Body, Kind
from defedbio.crypto.keygen.product import SameLogarithm
from defedbio.crypto.keygen.record import Record, dealt_hash, promise
from defedbio.crypto.keygen.terms import SIGMA
from defedbio.crypto.proofs import two_primes
from defedbio.crypto.threshold import base_square, root_target
from defedbio.crypto.transcript import hash_to_number
from defedbio.errors import BadProof, BadTranscript, InvalidInput
from tests.agents.crypto.keygen.runs import Cheat, Ran, terms_of

LIAR, OTHER = 1, 0


def with_numbers(body: Body, **fields: list[int]) -> Body:
    return Body({**body.numbers, **{name.replace("_", " "): values for name, values in fields.items()}}, body.strings)


# -- own keys ------------------------------------------------------------------------------------------------------------------------------


def test_moduli_that_a_contributor_could_misuse_are_refused(small: Ran) -> None:
    """D8: another length, a small factor, or one in common with its order, for which some n-th roots do not exist."""
    bits, good = small.terms.own_bits, small.record.keys[0].n
    roots = [numbers.powmod(root_target(good, i), 5, good) for i in range(8)]
    p = int(gmpy2.next_prime(1 << 20))
    q = next(q for k in range(1 << (bits - 22), 1 << (bits - 20)) if gmpy2.is_prime(q := 2 * k * p + 1))
    assert gcd(p * q, (p - 1) * (q - 1)) == p
    for n, why in (
        (good >> 1 | 1, "number of 576 bits"),
        (good + 1, "number of 576 bits"),
        (good // 65521 // 2 * 2 * 65521 + 65521, "small factor"),
        (good, "root of its own modulus"),
        (p * q << 0, "root of its own modulus|number of 576 bits"),
    ):
        with pytest.raises(BadTranscript, match=why):
            own_key.check_modulus(n, bits, roots)


def test_a_modulus_of_which_all_answers_would_be_no_units_names_who_posted_it(small: Ran) -> None:
    """D8: its hashed base has a factor in common with it, all roots exist, and an honest answer under it would be refused."""
    p, a, b = 65537, (3 << 278) + 0xED23, (3 << 278) + 0x968B
    n, order = p * a * b, (p - 1) * (a - 1) * (b - 1)
    assert n.bit_length() == small.terms.own_bits
    assert hash_to_number("defedbio/djn-base/1", n) % p == 0
    roots = [pow(root_target(n, i), pow(n, -1, order), n) for i in range(8)]

    def cheat(record: Record, body: Body, before: list[Body]) -> Body:
        return with_numbers(body, modulus=[n], roots=roots)

    _, _, fault = small.go_on(Kind.REQUESTS, {(Kind.REQUESTS, LIAR): cheat})
    assert "its own hash shows" in fault.message
    assert small.name(fault) == LIAR


def test_a_modulus_that_is_a_copy_names_nobody_until_the_seeds_do(small: Ran) -> None:
    """Whoever speaks last copies: by position alone, the one who was copied might be named."""

    def copy(record: Record, body: Body, before: list[Body]) -> Body:
        return with_numbers(body, modulus=before[OTHER].numbers["modulus"], roots=before[OTHER].numbers["roots"])

    _, posts, fault = small.go_on(Kind.REQUESTS, {(Kind.REQUESTS, LIAR): copy})
    assert "factor in common" in fault.message
    assert not fault.peer
    assert small.verdict(posts).positions == (LIAR,)


# -- requests and answers ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("blind", [lambda n: pow(7, n, n * n), lambda n: n * n - 1], ids=["a hidden factor", "of order 2"])
def test_a_factor_in_one_request_and_its_inverse_in_the_other(small: Ran, blind) -> None:
    """D13: neither plaintext changes and so N is right, but an answer would tell q_j - p_j in a group that the liar knows."""
    index = small.record.survivor.index

    def cheat(record: Record, body: Body, before: list[Body]) -> Body:
        n, found = body.numbers["modulus"][0], list(body.numbers["requests"])
        alpha = blind(n)
        found[2 * index] = found[2 * index] * alpha % (n * n)
        found[2 * index + 1] = found[2 * index + 1] * pow(alpha, -1, n * n) % (n * n)
        return with_numbers(body, requests=found)

    record, _, fault = small.go_on(Kind.REQUESTS, {(Kind.REQUESTS, LIAR): cheat})
    assert record.survivor.n == small.record.survivor.n
    assert "proof of its requests" in fault.message
    assert small.name(fault) == LIAR


def test_an_answer_that_copies_a_request_is_seen_before_anything_is_used(small: Ran) -> None:
    """D12: the share of N_k would have the survivor's p of who decrypts it."""
    index = small.record.survivor.index

    def cheat(record: Record, body: Body, before: list[Body]) -> Body:
        found = list(body.numbers[f"to {OTHER}"])
        at = next(at for at, k in enumerate(answered(small.terms, LIAR, OTHER)) if k != index)
        found[at] = record.batch.requests[OTHER][index][0]
        return Body({**body.numbers, f"to {OTHER}": found}, {})

    record, posts, fault = small.go_on(Kind.ANSWERS, {(Kind.ANSWERS, LIAR): cheat})
    assert record.kind is Kind.OPENING
    assert "not what its leaves give" in fault.message
    assert small.verdict(posts).positions == (LIAR,)


def test_a_request_out_of_range_has_no_proof(small: Ran) -> None:
    """D13: its answers are longer than what a message can say, and cut short they do not hold."""
    terms, statement, candidate = small.terms, statement_of(small), candidate_of(small)
    long = Candidate(candidate.p + (8 << terms.half + SIGMA + 8), candidate.q, candidate.exponents)
    key = statement.key
    digits = terms.short_bytes
    exponents = b"".join([e.to_bytes(digits, "little") for e in long.exponents])
    requests = own_key.encrypt(key, own_key.table(key, digits), [asked(x, LIAR) for x in (long.p, long.q)], exponents)
    wrong = replace(statement, requests=(requests[0], requests[1]))
    proof = bounded.prove(wrong, long, os.urandom)
    limit = 1 << bounded.number_bits(terms)
    assert max(proof.numbers) >= limit
    with pytest.raises(BadProof):
        bounded.verify(wrong, replace(proof, numbers=tuple(x % limit for x in proof.numbers)))


# -- the swapped modulus -------------------------------------------------------------------------------------------------------------------


def test_a_modulus_whose_factors_the_last_to_speak_knows_is_no_product_of_what_was_asked_for(small: Ran) -> None:
    """D16: it takes the place of the first candidate, survives, shows all square roots, and ends there."""
    terms, half = small.terms, small.terms.half
    p, q = (next(x for x in range(start, 1 << half, 8) if gmpy2.is_prime(x)) for start in ((7 << half - 3) + 3, (15 << half - 4) + 3))
    n, order = p * q, (p - 1) * (q - 1)

    def completed(target: int, others: int) -> int:
        return pow(target, (order + 4) // 8, n) * pow(others, -1, n) % n

    def share(record: Record, body: Body, before: list[Body]) -> Body:
        found = list(body.numbers["shares"])
        found[0] = (n - before[OTHER].numbers["shares"][0]) % terms.share_modulus
        return with_numbers(body, shares=found)

    def trial(record: Record, body: Body, before: list[Body]) -> Body:
        found = list(body.numbers["factors"])
        found[0] = completed(base(n), before[OTHER].numbers["factors"][0])
        return with_numbers(body, factors=found)

    def roots(record: Record, body: Body, before: list[Body]) -> Body:
        others = before[OTHER].numbers["square roots"]
        return with_numbers(body, square_roots=[completed(y, x) for y, x in zip(two_primes.targets(n), others, strict=True)])

    cheats: dict[tuple[Kind, int], Cheat] = {(Kind.SHARES, LIAR): share, (Kind.TRIALS, LIAR): trial, (Kind.OPENING, LIAR): roots}
    record, posts, fault = small.go_on(Kind.SHARES, cheats)
    assert record.kind is Kind.PRODUCT
    assert record.survivor.n == n
    two_primes.verify(n, record.survivor.square_roots)
    assert "not the product of the numbers" in fault.message
    assert small.verdict(posts).positions == (LIAR,)


# -- the exponent --------------------------------------------------------------------------------------------------------------------------


def test_a_sub_share_above_its_bound_is_refused_though_it_fits_its_commitments(small: Ran) -> None:
    """D20: a polynomial of which f(0) is right, and that would make a holder's powers as long as the liar likes."""
    terms, n = small.terms, small.record.survivor.n
    size = boxes.value_bytes(terms.bits, terms.threshold, len(terms.holders))
    more = 1 << (8 * size - 2)
    assert more >= terms.sub_share_bound

    def cheat(record: Record, body: Body, before: list[Body]) -> Body:
        constant, slope = body.numbers["commitments"]
        public, sealed = small.record.key.public_key, []
        for j, box in enumerate(body.strings["boxes"]):
            to, private = recipient(terms, j), small.secrets[j].transport_private
            value = boxes.unseal(box, to, LIAR, private, public) + more * (j + 1) % (1 << 8 * size)
            sealed.append(boxes.seal(value, size, to, LIAR, record.transport[j], public, lambda length: bytes(range(length))))
        changed = with_numbers(body, commitments=[constant, slope * pow(base_square(n), more, n) % n])
        return Body(changed.numbers, {"boxes": sealed})

    record, _, fault = small.go_on(Kind.PROMISE, small.cheat_in_dealing(LIAR, cheat))
    assert fault is None
    with pytest.raises(BadTranscript, match="for holder 1") as found:
        outcome.share(record, 0, small.secrets[0].transport_private)
    assert small.name(found.value) == LIAR


def test_who_sees_what_others_deal_cannot_put_its_own_right(small: Ran) -> None:
    """D18: a guess of bits of s that was wrong shows when all have dealt, and then it is too late to subtract it from d_i."""
    n = small.record.survivor.n

    def wrong(record: Record, body: Body, before: list[Body]) -> Body:
        found = list(body.numbers[f"to {OTHER}"])
        key = record.keys[OTHER]
        found[0] = found[0] * (1 + key.n) % key.n_squared
        return Body({**body.numbers, f"to {OTHER}": found}, {})

    def right(record: Record, body: Body, before: list[Body]) -> Body:
        first, *others = body.numbers["commitments"]
        return with_numbers(body, commitments=[first * base_square(n) % n, *others])

    _, _, fault = small.go_on(Kind.EXPONENT, {(Kind.EXPONENT, LIAR): wrong, (Kind.DEALING, LIAR): right})
    assert "something else than it promised" in fault.message
    assert small.name(fault) == LIAR


# -- replays -------------------------------------------------------------------------------------------------------------------------------


def test_no_message_of_one_ceremony_is_one_of_another(small: Ran) -> None:
    """D1: the same holders and seeds under another number."""
    other = Record(terms_of(448, 2, 3, 32, ceremony=8))
    with pytest.raises(BadTranscript, match="terms in its message"):
        other.take(small.posts[0])


def test_the_same_seed_hides_other_answers_with_other_masks(small: Ran) -> None:
    """D3: after a fork a second mask is another."""
    leaf = small.secrets[0].candidates(0)[0][0]
    contexts = [bytes(32), b"\x01" * 32]
    masks = {seeds.drawn(leaf, small.terms.hash, f"answer {other}", context, 64) for other in (0, 1) for context in contexts}
    assert len(masks) == 4


def test_two_answers_about_the_factors_would_give_them_away(small: Ran) -> None:
    """D3, D16: why a contributor answers no other posts in the place of some that it has answered. After another promise of the liar in R2
    the honest one's masks are those of before, which it had promised, and the challenge is another."""
    p = small.terms.group.p
    answered = []

    def other(record: Record, liar: int) -> tuple[int, int]:
        first, second = small.secrets[liar]._revealed(record)
        return first * 4 % p, second

    def promised(record: Record, body: Body, before: list[Body]) -> Body:
        return Body(body.numbers, {"promise": [promise(small.terms, LIAR, record.survivor.n, other(record, LIAR))]})

    def revealed(record: Record, body: Body, before: list[Body]) -> Body:
        return with_numbers(body, revealed=list(other(record, LIAR)))

    def seen(record: Record, body: Body, before: list[Body]) -> Body:
        answered.append((record.survivor.challenge, body.numbers["answers"][0]))
        return body

    fork: dict[tuple[Kind, int], Cheat] = {(Kind.PRODUCT, LIAR): promised, (Kind.EXPONENT, LIAR): revealed}
    for cheats in ({}, fork):
        posts = small.go_on(Kind.PRODUCT, {**cheats, (Kind.DEALING, OTHER): seen})[1]
    (c, z), (d, w) = answered
    assert (z - w) % (c - d) == 0
    assert (z - w) // (c - d) == small.secrets[OTHER].candidates(0)[1][small.record.survivor.index].p
    contributor = Contributor(small.terms, OTHER, small.seeds[OTHER])
    step = small.step(Kind.DEALING)
    assert contributor.message(small.posts[:step]) == small.posts[step][OTHER]
    with pytest.raises(InvalidInput, match="nothing more"):
        contributor.message(posts[:step])


@pytest.mark.parametrize(
    ("kind", "fresh"),
    [
        (Kind.REQUESTS, []),
        (Kind.ANSWERS, ["to 0"]),
        (Kind.OPENING, ["challenge", "number answers", "exponent answers", "to 0"]),
        (Kind.PRODUCT, ["challenge", "answer", "promise"]),
        (Kind.EXPONENT, ["to 0"]),
        (Kind.PROMISE, ["promise"]),
    ],
)
def test_after_other_posts_nothing_is_hidden_or_proven_with_the_same_randomness(small: Ran, kind: Kind, fresh: list[str]) -> None:
    """D3: two answers to different challenges under one mask would give away what it hides."""
    record = small.before(kind)
    record.contexts[-1] = b"\x01" * 32
    bodies = [small.secrets[LIAR].body(those) for those in (small.before(kind), record)]
    found = [{**body.numbers, **body.strings} for body in bodies]
    for name in fresh:
        assert not set(found[0][name]) & set(found[1][name])
    rest = set(found[0]) - {*fresh, "commitment", "requests"}
    assert all(found[0][name] == found[1][name] for name in rest)
    assert (found[0].get("commitment") == found[1].get("commitment")) == (kind is not Kind.REQUESTS)
    if kind is Kind.OPENING:
        assert small.secrets[LIAR]._rho(small.before(kind)) != small.secrets[LIAR]._rho(record)


def statement_of(ran: Ran) -> bounded.Statement:
    record = ran.record
    survivor = record.survivor
    return bounded.Statement(
        ran.terms, LIAR, 0, survivor.index, survivor.n, record.keys[LIAR], survivor.requests[LIAR], survivor.powers[LIAR]
    )


def candidate_of(ran: Ran) -> Candidate:
    return ran.secrets[LIAR].candidates(0)[1][ran.record.survivor.index]


@pytest.fixture(scope="module")
def proven(small: Ran) -> tuple[bounded.Statement, BoundedProof]:
    statement = statement_of(small)
    return statement, bounded.prove(statement, candidate_of(small), os.urandom)


def test_a_proof_of_requests_is_bound_to_all_that_it_says(small: Ran, proven) -> None:
    """D13."""
    statement, proof = proven
    bounded.verify(statement, proof)
    other = small.record.keys[OTHER]
    changed = {
        "terms": terms_of(448, 2, 3, 32, ceremony=8),
        "position": OTHER,
        "batch": 1,
        "index": statement.index + 1,
        "n": statement.n + 2,
        "key": other,
        "requests": statement.requests[::-1],
        "powers": statement.powers[::-1],
    }
    for name, value in changed.items():
        with pytest.raises(BadProof):
            bounded.verify(replace(statement, **{name: value}), proof)


@settings(max_examples=10)
@given(st.integers(0, 2), st.integers(0, 383), st.integers(0, 100))
def test_no_answer_of_a_proof_can_be_changed(proven, which: int, at: int, bit: int) -> None:
    statement, proof = proven
    values, exponents, challenge = list(proof.numbers), list(proof.exponents), proof.challenge
    if which == 0:
        values[at] ^= 1 << bit
    elif which == 1:
        exponents[at] ^= 1 << bit
    else:
        challenge ^= 1 << bit
    with pytest.raises(BadProof):
        bounded.verify(statement, BoundedProof(challenge, tuple(values), tuple(exponents)))


def test_a_challenge_is_of_everything_that_is_shown_before_it(small: Ran, proven) -> None:
    """D13, D16: whatever a challenge leaves out could be chosen after it."""
    statement, proof = proven
    encrypted, raised = bounded._commitments(statement, proof.numbers, proof.exponents)
    changes = {"batch": 1, "index": 9, "n": statement.n + 2, "key": small.record.keys[OTHER], "position": OTHER}
    changes |= {"terms": terms_of(448, 2, 3, 32, ceremony=8)}
    changes |= {name: (getattr(statement, name)[0], 4) for name in ("requests", "powers")}
    found = {bounded._challenge(replace(statement, **{name: value}), encrypted, raised) for name, value in changes.items()}
    found |= {bounded._challenge(statement, those, raised) for those in (encrypted, [*encrypted[:-1], 4])}
    found.add(bounded._challenge(statement, encrypted, [*raised[:-1], 4]))
    assert len(found) == len(changes) + 3
    equal = product.Statement(small.terms, LIAR, statement.n, 4, 16, 64)
    changes = {"terms": terms_of(448, 2, 3, 32, ceremony=8), "position": OTHER, "n": statement.n + 2, "x": 9, "q": 9, "z": 9}
    found = {product._challenge(replace(equal, **{name: value}), 4, 4) for name, value in changes.items()}
    found |= {product._challenge(equal, *those) for those in ((4, 4), (9, 4), (4, 9))}
    assert len(found) == len(changes) + 3
    assert max(c.bit_length() for c in found) > 96
    assert bounded.REPETITIONS == 192


def test_a_promise_is_of_who_makes_it_and_of_all_that_will_be_shown(small: Ran) -> None:
    """D16, D18: nobody can promise what another has promised."""
    terms, n, other = small.terms, small.record.survivor.n, terms_of(448, 2, 3, 32, ceremony=8)
    first = promise(terms, LIAR, n, (4, 9))
    shown = [promise(other, LIAR, n, (4, 9)), promise(terms, OTHER, n, (4, 9)), promise(terms, LIAR, n + 2, (4, 9))]
    shown += [promise(terms, LIAR, n, those) for those in ((9, 9), (4, 4))]
    assert len({first, *shown}) == 6
    body = small.secrets[LIAR]._dealing(small.before(Kind.DEALING))
    places = [(terms, LIAR, n), (other, LIAR, n), (terms, OTHER, n), (terms, LIAR, n + 2)]
    dealt = [dealt_hash(*place, body) for place in places]
    dealt += [dealt_hash(terms, LIAR, n, with_numbers(body, **{name: [1, *values[1:]]})) for name, values in body.numbers.items()]
    dealt.append(dealt_hash(terms, LIAR, n, Body(body.numbers, {"boxes": body.strings["boxes"][::-1]})))
    assert len(set(dealt)) == len(dealt) == 8


def test_a_proof_of_equal_logarithms_is_bound_to_all_that_it_says(small: Ran) -> None:
    """D16."""
    survivor = small.record.survivor
    q = asked(candidate_of(small).q, LIAR)
    statement = product.Statement(small.terms, LIAR, survivor.n, survivor.x, survivor.powers[LIAR][1], survivor.products[LIAR])
    proof = product.prove(statement, q, os.urandom)
    product.verify(statement, proof)
    p = small.terms.group.p
    changed = {
        "terms": terms_of(448, 2, 3, 32, ceremony=8),
        "position": OTHER,
        "n": statement.n + 2,
        "x": statement.x * 4 % p,
        "q": statement.q * 4 % p,
        "z": statement.z * 4 % p,
    }
    for name, value in changed.items():
        with pytest.raises(BadProof):
            product.verify(replace(statement, **{name: value}), proof)
    for wrong in (SameLogarithm(proof.challenge ^ 1, proof.answer), SameLogarithm(proof.challenge, proof.answer ^ 1)):
        with pytest.raises(BadProof):
            product.verify(statement, wrong)
    with pytest.raises(BadProof):
        product.verify(replace(statement, z=statement.z * 4 % p), product.prove(replace(statement, z=statement.z * 4 % p), q, os.urandom))
