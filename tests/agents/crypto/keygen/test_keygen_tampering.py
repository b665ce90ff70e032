"""Every field of every message, changed by one contributor: refused for the stated reason, and by name wherever posts can tell; where only
the seeds can, they do (D4)."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from functools import partial

import pytest

from defedbio.crypto.keygen import opened, outcome
from defedbio.crypto.keygen.messages import HEADER_BYTES, Body, Kind, layout, size
from defedbio.crypto.keygen.record import Record
from defedbio.errors import BadTranscript
from tests.agents.crypto.keygen.runs import Ran

LIAR, OTHER = 1, 0
TO = "to the other"  # the field of a contributor's answers to the only other one
Change = Callable[[Record, int], int]


def add_one(record: Record, value: int) -> int:
    return value + 1


def times_square(record: Record, value: int) -> int:
    """Another element of the group."""
    return value * 4 % record.terms.group.p


def times_four(record: Record, value: int) -> int:
    """Another unit modulo n."""
    return value * 4 % record.survivor.n


def zero(record: Record, value: int) -> int:
    return 0


def modulus_and_one(record: Record, value: int) -> int:
    """1 modulo n, written otherwise."""
    return record.survivor.n + 1


def changed(name: str, at: int, how: Change, record: Record, body: Body, before: list[Body]) -> Body:
    found = dict(body.numbers)
    if name == TO:
        (name,) = (field for field in found if field.startswith("to "))
    found[name] = [how(record, value) if i == at else value for i, value in enumerate(found[name])]
    return Body(found, body.strings)


def swapped(name: str, record: Record, body: Body, before: list[Body]) -> Body:
    """A string of bytes with its first byte changed."""
    found = dict(body.strings)
    found[name] = [bytes((part[0] ^ 1,)) + part[1:] for part in found[name]]
    return Body(body.numbers, found)


def of_numbers(kind: Kind, name: str, how: Change, why: str, at: int = 0) -> object:
    return pytest.param(kind, partial(changed, name, at, how), why, id=f"{kind.value} {name} {at} {how.__name__}")


def of_strings(kind: Kind, name: str, why: str) -> object:
    return pytest.param(kind, partial(swapped, name), why, id=f"{kind.value} {name}")


NAMED = [
    of_numbers(Kind.REQUESTS, "modulus", zero, "own modulus is not an odd number"),
    of_numbers(Kind.REQUESTS, "modulus", lambda record, n: n + 2, "own modulus"),
    of_numbers(Kind.REQUESTS, "roots", add_one, "root of its own modulus is none", at=7),
    of_strings(Kind.REQUESTS, "commitment", "other seeds than it committed to"),
    of_numbers(Kind.REQUESTS, "requests", zero, "no unit"),
    of_numbers(Kind.ANSWERS, TO, zero, "no unit"),
    of_numbers(Kind.TRIALS, "factors", zero, "no number modulo its candidate"),
    of_numbers(Kind.TRIALS, "factors", lambda record, x: record.batch.products[record.batch.alive[0]], "no number modulo its candidate"),
    of_strings(Kind.OPENING, "nodes", "other seeds than it committed to"),
    of_strings(Kind.OPENING, "kept", "other seeds than it committed to"),
    of_numbers(Kind.OPENING, "powers", zero, "no element of the group"),
    of_numbers(Kind.OPENING, "powers", times_square, "proof of its requests"),
    of_numbers(Kind.OPENING, "powers", times_square, "proof of its requests", at=1),
    of_numbers(Kind.OPENING, "challenge", lambda record, c: c ^ 1, "proof of its requests"),
    of_numbers(Kind.OPENING, "number answers", lambda record, z: z ^ 1, "proof of its requests", at=383),
    of_numbers(Kind.OPENING, "exponent answers", lambda record, z: z ^ 1, "proof of its requests", at=200),
    of_numbers(Kind.OPENING, "square roots", lambda record, x: record.survivor.n, "no number modulo n"),
    of_numbers(Kind.OPENING, TO, zero, "no unit"),
    of_numbers(Kind.PRODUCT, "factor", zero, "no element of the group"),
    of_numbers(Kind.PRODUCT, "factor", times_square, "number of its request"),
    of_numbers(Kind.PRODUCT, "challenge", lambda record, c: c ^ 1, "number of its request"),
    of_numbers(Kind.PRODUCT, "answer", lambda record, z: z ^ 1, "number of its request"),
    of_numbers(Kind.PRODUCT, "share", lambda record, x: record.survivor.n, "no number modulo n"),
    of_strings(Kind.PRODUCT, "promise", "other commitments than it promised"),
    of_numbers(Kind.EXPONENT, "revealed", zero, "no element of the group"),
    of_numbers(Kind.EXPONENT, "revealed", times_square, "other commitments than it promised", at=1),
    of_numbers(Kind.EXPONENT, TO, zero, "no unit"),
    of_strings(Kind.PROMISE, "promise", "something else than it promised"),
    of_numbers(Kind.DEALING, "answers", add_one, "something else than it promised"),
    of_numbers(Kind.DEALING, "commitments", times_four, "something else than it promised"),
    of_numbers(Kind.DEALING, "roots", times_four, "something else than it promised"),
    of_strings(Kind.DEALING, "boxes", "something else than it promised"),
]
DEALT_NAMED = [
    of_numbers(Kind.DEALING, "answers", add_one, "answer about the factors"),
    of_numbers(Kind.DEALING, "answers", add_one, "answer about the factors", at=1),
    of_numbers(Kind.DEALING, "commitments", zero, "no unit modulo n", at=1),
    of_numbers(Kind.DEALING, "commitments", modulus_and_one, "no unit modulo n", at=1),
    of_numbers(Kind.DEALING, "roots", zero, "no unit modulo n"),
]
BY_SEEDS = [
    of_numbers(Kind.ANSWERS, TO, add_one, "not what its leaves give"),
    of_numbers(Kind.SHARES, "shares", add_one, "not what its leaves give"),
    of_numbers(Kind.OPENING, "square roots", times_four, "square root 0"),
    of_numbers(Kind.OPENING, TO, add_one, "not add up to the inverse"),
    of_numbers(Kind.PRODUCT, "share", lambda record, x: (x + 1) % record.survivor.n, "not add up to the inverse"),
    of_numbers(Kind.EXPONENT, TO, add_one, "not add up to the inverse"),
]
DEALT_BY_SEEDS = [
    of_numbers(Kind.DEALING, "commitments", times_four, "not add up to the inverse"),
    of_numbers(Kind.DEALING, "roots", times_four, "root 0 is not an n-th root"),
]


@pytest.mark.parametrize("liar", [0, 1])
@pytest.mark.parametrize(("kind", "cheat", "why"), NAMED)
def test_a_changed_field_names_who_posted_it(small: Ran, kind: Kind, cheat, why: str, liar: int) -> None:
    _, _, fault = small.go_on(kind, {(kind, liar): cheat})
    assert why in fault.message
    assert small.name(fault) == liar


@pytest.mark.parametrize("liar", [0, 1])
@pytest.mark.parametrize(("kind", "cheat", "why"), DEALT_NAMED)
def test_what_is_dealt_wrong_as_promised_names_who_dealt_it(small: Ran, kind: Kind, cheat, why: str, liar: int) -> None:
    _, _, fault = small.go_on(Kind.PROMISE, small.cheat_in_dealing(liar, cheat))
    assert why in fault.message
    assert small.name(fault) == liar


def test_a_commitment_with_a_factor_of_n_names_who_dealt_it(small: Ran) -> None:
    p = sum(secret.candidates(0)[1][small.record.survivor.index].p for secret in small.secrets[:2])
    cheat = partial(changed, "commitments", 1, lambda record, value: p)
    _, _, fault = small.go_on(Kind.PROMISE, small.cheat_in_dealing(LIAR, cheat))
    assert "no unit modulo n" in fault.message
    assert small.name(fault) == LIAR


def test_an_opened_product_that_is_no_unit_is_told_by_the_seeds(small: Ran) -> None:
    """D17: who speaks last makes it 0."""

    def cheat(record: Record, body: Body, before: list[Body]) -> Body:
        return changed("share", 0, lambda record, x: -before[OTHER].numbers["share"][0] % record.survivor.n, record, body, before)

    _, posts, fault = small.go_on(Kind.PRODUCT, {(Kind.PRODUCT, LIAR): cheat})
    assert "no unit modulo n" in fault.message
    assert not fault.peer
    assert small.verdict(posts).positions == (LIAR,)


@pytest.mark.parametrize("liar", [0, 1])
@pytest.mark.parametrize(("kind", "cheat", "why"), BY_SEEDS)
def test_where_posts_cannot_tell_the_seeds_do(small: Ran, kind: Kind, cheat, why: str, liar: int) -> None:
    _, posts, fault = small.go_on(kind, {(kind, liar): cheat})
    assert why in fault.message
    assert not fault.peer
    verdict = small.verdict(posts)
    assert verdict.positions == (liar,)
    assert f"step {small.step(kind)}" in verdict.reason


@pytest.mark.parametrize(("liar", "at"), [(0, 2), (0, 63), (1, 0), (1, 61)])
def test_a_request_that_is_answered_is_what_its_leaf_gives(small: Ran, liar: int, at: int) -> None:
    """D12; of two contributors one asks for every second candidate, and of an opened one the other's request was of no use."""
    _, posts, fault = small.go_on(Kind.REQUESTS, {(Kind.REQUESTS, liar): partial(changed, "requests", at, add_one)})
    assert "not what its leaves give" in fault.message
    assert not fault.peer
    assert small.verdict(posts).positions == (liar,)


@pytest.mark.parametrize("liar", [0, 1])
@pytest.mark.parametrize(("kind", "cheat", "why"), DEALT_BY_SEEDS)
def test_what_is_dealt_wrong_as_promised_is_told_by_the_seeds(small: Ran, kind: Kind, cheat, why: str, liar: int) -> None:
    _, posts, fault = small.go_on(Kind.PROMISE, small.cheat_in_dealing(liar, cheat))
    assert why in fault.message
    assert not fault.peer
    assert small.verdict(posts).positions == (liar,)


@pytest.mark.parametrize("cheat", [partial(swapped, "boxes"), partial(changed, "commitments", 1, times_four)], ids=["boxes", "commitment"])
def test_a_holder_names_who_dealt_it_a_wrong_sub_share(small: Ran, cheat) -> None:
    """D20; and the seeds agree with it."""
    record, posts, fault = small.go_on(Kind.PROMISE, small.cheat_in_dealing(LIAR, cheat))
    assert fault is None
    with pytest.raises(BadTranscript, match="for holder 3") as found:
        outcome.share(record, 2, small.secrets[2].transport_private)
    assert small.name(found.value) == LIAR
    assert small.verdict(posts, complainer=2).positions == (LIAR,)


def test_a_candidate_of_two_primes_that_somebody_lets_fail(small: Ran) -> None:
    """A second survivor kept back, or the only one: the next batch begins, and what is opened tells."""
    record = small.before(Kind.TRIALS)
    at = record.batch.alive.index(small.record.survivor.index)
    cheat = partial(changed, "factors", at, add_one)
    _, posts, fault = small.go_on(Kind.TRIALS, {(Kind.TRIALS, LIAR): cheat})
    assert "not what its leaves give" in fault.message
    assert small.verdict(posts).positions == (LIAR,)


def test_a_trial_of_what_is_no_product_of_two_primes_changes_nothing(small: Ran) -> None:
    """D12."""
    record = small.before(Kind.OPENING)
    batch, leaves = record.batch, [[*secret.candidates(0)[0]] for secret in small.secrets[:2]]
    assert 0 not in batch.alive
    assert not opened.differs(small.terms, record.keys, batch, leaves)
    batch.alive, batch.trials = [0, *batch.alive], [[5, *those] for those in batch.trials]
    assert not opened.differs(small.terms, record.keys, batch, leaves)
    batch.survivor = None
    assert opened.differs(small.terms, record.keys, batch, leaves)


def test_a_later_batch_opens_the_one_before(later: Ran) -> None:
    """D8: with another root than the batch had."""
    step = [s for s, record in enumerate(later.records) if record.kind is Kind.REQUESTS][1]
    record, posts = later.records[step], list(later.posts[step])
    at = HEADER_BYTES + 3
    posts[1] = posts[1][:at] + bytes((posts[1][at] ^ 1,)) + posts[1][at + 1 :]
    with pytest.raises(BadTranscript, match="other seeds") as found:
        deepcopy(record).take(posts)
    assert later.name(found.value) == 1


def test_messages_of_wrong_lengths_and_headers_are_refused(small: Ran) -> None:
    """D2: of another ceremony, step, contributor or history, whatever else they say."""
    for kind in (Kind.ANSWERS, Kind.TRIALS, Kind.DEALING):
        step = small.step(kind)
        good = small.posts[step]
        for bad in (good[LIAR][:-1], good[LIAR] + b"\0", b"", good[LIAR][:HEADER_BYTES]):
            with pytest.raises(BadTranscript, match=r"has \d+ bytes, \d+ are expected") as found:
                small.before(kind).take([good[0], bad])
            assert small.name(found.value) == LIAR
        for at, what in ((0, "magic"), (4, "terms"), (36, "step"), (40, "position"), (41, "hash of the step before")):
            bad = good[LIAR][:at] + bytes((good[LIAR][at] ^ 1,)) + good[LIAR][at + 1 :]
            with pytest.raises(BadTranscript, match=f"the {what} in its message differs"):
                small.before(kind).take([good[0], bad])
    with pytest.raises(BadTranscript, match="position in its message differs"):
        small.before(Kind.SHARES).take(small.posts[2][::-1])


def test_numbers_above_their_bounds_are_refused(small: Ran) -> None:
    record, good = small.before(Kind.SHARES), small.posts[2][LIAR]
    assert len(good) == size(layout(small.terms, Kind.SHARES, LIAR, 0, 0))
    bad = good[:HEADER_BYTES] + b"\xff" + good[HEADER_BYTES + 1 :]
    with pytest.raises(BadTranscript, match="among the shares in its message is out of range"):
        record.take([small.posts[2][0], bad])


def test_an_unusable_transport_key_names_its_holder(small: Ran) -> None:
    """Also of one that does not contribute: nothing could be sealed to it."""
    for position in (0, 2):
        posts = list(small.posts[0])
        posts[position] = posts[position][:HEADER_BYTES] + bytes(32) + posts[position][HEADER_BYTES + 32 :]
        with pytest.raises(BadTranscript, match="X25519") as found:
            Record(small.terms).take(posts)
        assert small.name(found.value) == position


def test_verdicts_on_silence_and_false_complaints(small: Ran) -> None:
    """D4."""
    assert small.verdict([*small.posts[:3], [small.posts[3][0], None]], timed_out=True).positions == (1,)
    assert small.verdict([[*small.posts[0][:2], None]], timed_out=True).positions == (2,)
    assert small.verdict(small.posts).positions == ()
    verdict = small.verdict(small.posts, complainer=2)
    assert verdict.positions == (2,)
    assert "every message is what its seed gives" in verdict.reason
    assert small.verdict(small.posts[:1], seeds={0: small.seeds[0]}).positions == (1,)
    assert small.verdict(small.posts[:1], seeds={0: bytes(32), 1: small.seeds[1]}).positions == (0,)


def test_who_had_nothing_to_post_when_a_word_ended_the_ceremony_is_not_silent(small: Ran) -> None:
    """D4: a blob of step 2 is kept back, and whoever misses it says so instead of posting in step 3, where others have posted."""
    rest = [None, small.posts[3][1]]
    assert small.verdict([*small.posts[:3], rest]).positions == ()
    assert small.verdict([*small.posts[:3], rest], complainer=2).positions == (2,)
    assert small.verdict([*small.posts[:3], [None, small.posts[2][1]]]).positions == (1,)
    for first in ([None, *small.posts[0][1:]], [*small.posts[0][:2], None]):
        assert small.verdict([first]).positions == ()


def test_a_holder_that_does_not_contribute_is_named_for_what_it_posted(small: Ran) -> None:
    short = small.posts[0][2][:-1]
    assert small.verdict([[*small.posts[0][:2], short]]).positions == (2,)
