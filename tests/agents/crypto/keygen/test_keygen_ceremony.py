"""Whole ceremonies: the key that comes of them, against an oracle that adds up everybody's secrets, and what it opens (D1 to D20)."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations
from math import prod

import pytest

from defedbio.crypto import kernel, numbers, paillier, threshold
from defedbio.crypto.ceremony import CeremonyTranscript, open_share
from defedbio.crypto.keygen import outcome, own_key
from defedbio.crypto.keygen.machine import Contributor, Progress, Secrets
from defedbio.crypto.keygen.messages import Kind, posts_hash
from defedbio.crypto.paillier import PublicKey
from defedbio.crypto.proofs import share as share_proof
from defedbio.crypto.roots import update_root
from defedbio.crypto.threshold import KeyShare
from defedbio.domain import RoundContext
from defedbio.errors import BadShare, BadTranscript, InvalidInput, InvalidKey
from tests.agents.crypto.conftest import primes as primes_of
from tests.agents.crypto.keygen.runs import Ran, two_primes

PINNED = "ac58a6ffe948e6feffbcdbac9675049d57828a9a8892b3fd23e0aae9e83d8cfd"
DEALT = primes_of(512)


def shares(ran: Ran) -> list[KeyShare]:
    return [outcome.share(ran.record, i, secret.transport_private) for i, secret in enumerate(ran.secrets)]


def primes(ran: Ran) -> tuple[int, int]:
    contributors = ran.secrets[: ran.terms.threshold]
    summands = [secret.candidates(0)[1][ran.record.survivor.index] for secret in contributors]
    return sum(c.p for c in summands), sum(c.q for c in summands)


def test_the_modulus_is_of_two_primes_that_the_sieve_kept(each: Ran) -> None:
    """D6, D11."""
    n, (p, q), sieve = each.record.key.n, primes(each), each.terms.sieve
    assert n == p * q
    assert n.bit_length() == each.terms.bits
    assert numbers.is_prime(p)
    assert numbers.is_prime(q)
    assert p % 8 == q % 8 == 3
    small = prod(prime for owned in sieve.owned for prime in owned)
    assert numbers.gcd(p * q * (p - 1) * (q - 1), small) == 1
    assert each.record.survivor.index == two_primes(each.terms, each.seeds)[0]


def test_the_shared_exponent_is_the_inverse_of_n(each: Ran) -> None:
    """D17, D19: every t shares give Δ d by Lagrange's formula, and n d = 1 modulo φ(n)."""
    key, (p, q) = each.record.key, primes(each)
    found = set()
    for those in combinations(shares(each), key.threshold):
        indices = [share.index for share in those]
        total = sum(threshold._lagrange(key.delta, share.index, indices) * share.value for share in those)
        d, rest = divmod(total, key.delta**2)
        assert rest == 0
        found.add(d)
    (d,) = found
    assert key.n * d % ((p - 1) * (q - 1)) == 1
    assert all(0 <= share.value < key.share_bound for share in shares(each))


def test_every_quorum_opens_a_sum_to_the_same_bytes(each: Ran) -> None:
    key = each.record.key
    key.check()
    pool = paillier.ObfuscatorPool(key.public_key, os.urandom)
    plaintexts = [[5, key.n >> 9, 0, 77], [1, key.n >> 10, 3, 23]]
    sums = paillier.aggregate(key.public_key, [paillier.encrypt(key.public_key, those, pool) for those in plaintexts])
    released = {share.index: threshold.share(key, share, sums) for share in shares(each)}
    openings = [threshold.combine(key, sums, {i: released[i] for i in quorum}) for quorum in combinations(released, key.threshold)]
    assert all(opened == openings[0] for opened in openings)
    assert [opening.m for opening in openings[0]] == [sum(column) for column in zip(*plaintexts, strict=True)]
    threshold.check_openings(key, sums, openings[0], os.urandom)


def test_a_share_proof_holds_and_names_a_wrong_share(each: Ran) -> None:
    key, mine = each.record.key, shares(each)[1]
    pool = paillier.ObfuscatorPool(key.public_key, os.urandom)
    sums = paillier.encrypt(key.public_key, [4, 5, 6], pool)
    context, root = RoundContext(1, "0x" + "11" * 20, 1, 1), update_root(sums, key.public_key)
    statement = share_proof.ShareStatement(key, context, 2, root, sums, threshold.share(key, mine, sums))
    encoded = share_proof.prove(statement, mine, os.urandom).to_bytes(key.public_key.bits)
    share_proof.verify(statement, share_proof.ShareProof.from_bytes(encoded, key.public_key.bits))
    wrong = KeyShare(2, mine.value + 1)
    other = share_proof.ShareStatement(key, context, 2, root, sums, threshold.share(key, wrong, sums))
    with pytest.raises(BadShare, match="holder 2"):
        share_proof.verify(other, share_proof.prove(other, wrong, os.urandom))


def test_a_key_is_of_the_kind_that_it_says(small: Ran) -> None:
    """A_0^n is v^Δ of a distributed key and v of a dealt one; and no share is longer than its kind allows."""
    key, (p, q) = small.record.key, primes(small)
    with pytest.raises(BadTranscript, match="not the inverse of n"):
        replace(key, distributed=False).check()
    dealt, _ = threshold.deal_from_primes(*DEALT, 2, 3, os.urandom, 512)
    with pytest.raises(BadTranscript, match="not the inverse of n"):
        replace(dealt, distributed=True).check()
    share, order = shares(small)[0], (p - 1) * (q - 1)
    share.check(key)
    KeyShare(1, share.value + order).check(key)
    with pytest.raises(InvalidKey, match="does not agree"):
        KeyShare(1, share.value + order * (key.share_bound // order)).check(key)


def test_everybody_makes_the_same_transcript(each: Ran) -> None:
    """D20."""
    made = outcome.outcome(each.terms, each.posts)
    made.check()
    assert made.kind == "distributed"
    assert made.ceremony == each.terms.ceremony
    assert CeremonyTranscript.from_bytes(made.to_bytes(), each.terms.bits) == made
    private = [secret.transport_private for secret in each.secrets]
    assert [open_share(made, i, key) for i, key in enumerate(private)] == shares(each)


def test_no_secret_is_in_the_transcript_or_in_what_is_printed(small: Ran) -> None:
    text = outcome.transcript(small.record).to_bytes()
    for share in shares(small):
        assert f"{share.value:x}".encode() not in text
    p, q = primes(small)
    printed = repr([vars(secret) for secret in small.secrets])
    for secret in small.secrets[: small.terms.threshold]:
        candidate = secret.candidates(0)[1][small.record.survivor.index]
        assert str(candidate.p) not in printed
        assert str(candidate.q) not in printed
    assert str(p) not in printed
    assert str(q) not in printed


def test_a_killed_process_makes_the_same_messages_again(small: Ran, later: Ran) -> None:
    """D3: of seed and posts alone, by a process that has seen nothing before; also after a batch without a survivor."""
    for ran in (small, later):
        for step in range(len(ran.posts)):
            position = step % ran.terms.threshold
            again = Contributor(ran.terms, position, ran.seeds[position])
            assert again.message(ran.posts[:step]) == ran.posts[step][position]


def test_messages_are_the_same_without_the_kernel(small: Ran, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel, "usable", lambda: False)
    for kind in (Kind.REQUESTS, Kind.ANSWERS, Kind.SHARES, Kind.TRIALS, Kind.OPENING):
        fresh = Secrets(small.terms, 1, small.seeds[1])
        assert fresh.message(small.records[small.step(kind)]) == small.posts[small.step(kind)][1]


def test_one_process_follows_the_posts_and_answers_no_others_in_their_place(small: Ran) -> None:
    """D3; what it has said it says again."""
    contributor = Contributor(small.terms, 0, small.seeds[0])
    first = contributor.message(small.posts[:1])
    assert first == small.posts[1][0]
    assert contributor.message(small.posts[:2]) == small.posts[2][0]
    others = [[*small.posts[0][:2], Contributor(small.terms, 2, bytes(32)).message([])]]
    for _ in range(2):
        with pytest.raises(InvalidInput, match="nothing more"):
            contributor.message(others)
    assert contributor.message(small.posts[:1]) == first
    assert contributor.message(small.posts[:3]) == small.posts[3][0]


def test_other_posts_are_answered_by_other_numbers(small: Ran) -> None:
    """D3: of one seed, by a process that has not seen the first."""
    others = [[*small.posts[0][:2], Contributor(small.terms, 2, bytes(32)).message([])]]
    other, first = Contributor(small.terms, 0, small.seeds[0]).message(others), small.posts[1][0]
    size = small.terms.cipher_width
    assert not {other[-i * size :][:size] for i in range(1, 5)} & {first[-i * size :][:size] for i in range(1, 5)}


def test_a_record_follows_the_posts_and_their_replacement(small: Ran) -> None:
    progress = Progress(small.terms)
    others = [[*small.posts[0][:2], Contributor(small.terms, 2, bytes(32)).message([])]]
    for posts in (small.posts[:1], small.posts[:3], others, small.posts[:2], small.posts[:1]):
        record = progress.after(posts)
        assert record.contexts[1:] == [posts_hash(step) for step in posts]


def test_a_fault_is_raised_again_and_forgotten_with_the_post_that_made_it(small: Ran) -> None:
    contributor = Contributor(small.terms, 0, small.seeds[0])
    wrong = [*small.posts[:2], [small.posts[2][0], small.posts[2][1][:-1]]]
    for _ in range(2):
        with pytest.raises(BadTranscript, match="holder 2"):
            contributor.message(wrong)
    assert contributor.message(small.posts[:3]) == small.posts[3][0]


def test_the_bytes_of_a_ceremony_are_pinned(small: Ran) -> None:
    """Seeds of one version are recomputed by another, so whatever changes a byte changes the version in the terms (D1)."""
    assert posts_hash([posts_hash(step) for step in small.posts]).hex() == PINNED


def test_a_step_that_was_interrupted_is_taken_from_its_start(small: Ran, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half of it is known already: each own modulus would have a factor in common with itself."""
    progress, check = Progress(small.terms), own_key.check_modulus

    def interrupted(n: int, bits: int, roots: Sequence[int]) -> PublicKey:
        if n == small.record.keys[1].n:
            raise KeyboardInterrupt
        return check(n, bits, roots)

    with monkeypatch.context() as patch:
        patch.setattr(own_key, "check_modulus", interrupted)
        with pytest.raises(KeyboardInterrupt):
            progress.after(small.posts[:1])
    assert progress.after(small.posts[:1]).keys == small.record.keys


def test_a_batch_without_a_survivor_is_opened_and_the_next_begins(later: Ran) -> None:
    """D8, D12."""
    kinds = [record.kind for record in later.records]
    assert kinds[4] is Kind.REQUESTS
    assert later.record.batch_number == 1
    later.record.key.check()


def test_only_contributors_post_after_step_0(small: Ran) -> None:
    with pytest.raises(InvalidInput, match="posts nothing"):
        Contributor(small.terms, 2, small.seeds[2]).message(small.posts[:1])
    with pytest.raises(InvalidInput, match="posts nothing"):
        small.secrets[0].message(small.record)
    with pytest.raises(InvalidInput, match="not over"):
        outcome.outcome(small.terms, small.posts[:-1])
    with pytest.raises(InvalidInput, match="2 messages, not 1"):
        small.before(Kind.ANSWERS).take(small.posts[1][:1])


def test_a_share_is_for_its_holder_alone(small: Ran) -> None:
    with pytest.raises(InvalidKey, match="private key"):
        outcome.receive(small.terms, small.posts, 1, small.secrets[0].transport_private)
    made = outcome.transcript(small.record)
    for position in (-1, 3):
        with pytest.raises(InvalidInput, match="position"):
            outcome.share(small.record, position, small.secrets[0].transport_private)
    swapped = CeremonyTranscript(
        made.chain_id, made.registry, made.holders, made.key, (made.sealed_shares[1], made.sealed_shares[0], made.sealed_shares[2]), 7
    )
    with pytest.raises(BadTranscript, match="position 0"):
        open_share(swapped, 0, small.secrets[0].transport_private)


def test_a_distributed_transcript_names_its_ceremony(small: Ran) -> None:
    made = outcome.transcript(small.record)
    with pytest.raises(BadTranscript, match="number"):
        CeremonyTranscript(made.chain_id, made.registry, made.holders, made.key, made.sealed_shares)
    text = made.to_bytes()
    for changed in (
        text.replace(b'"distributed"', b'"dealer"'),
        text.replace(b'"ceremony":7,', b""),
        text.replace(b'"ceremony":7', b'"ceremony":"7"'),
    ):
        with pytest.raises(BadTranscript):
            CeremonyTranscript.from_bytes(changed, small.terms.bits)
