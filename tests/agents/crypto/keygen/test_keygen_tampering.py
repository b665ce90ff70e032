"""Every field of every message, changed by one contributor: refused for the stated reason, and by name wherever posts can tell; where only
the seeds can, they do (D4)."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
from tests.agents.crypto.keygen.runs import Ran

from defedbio.crypto.keygen import outcome
from defedbio.crypto.keygen.blame import blame
from defedbio.crypto.keygen.machine import Secrets
from defedbio.crypto.keygen.messages import HEADER_BYTES, Body, Kind, layout, size
from defedbio.crypto.keygen.record import Record
from defedbio.errors import BadTranscript

LIAR, OTHER = 1, 0
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


def changed(name: str, at: int, how: Change, record: Record, body: Body, before: list[Body]) -> Body:
    found = dict(body.numbers)
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


TO = f"to {OTHER}"
NAMED = [
    of_numbers(Kind.REQUESTS, "modulus", zero, "own modulus is not an odd number"),
    of_numbers(Kind.REQUESTS, "modulus", lambda record, n: n + 2, "own modulus"),
    of_numbers(Kind.REQUESTS, "roots", add_one, "root of its own modulus is none", at=7),
    of_strings(Kind.REQUESTS, "commitment", "other seeds than it committed to"),
    of_numbers(Kind.REQUESTS, "requests", zero, "no unit"),
    of_numbers(Kind.REQUESTS, "requests", add_one, "request that was opened"),
    of_numbers(Kind.REQUESTS, "requests", add_one, "request that was opened", at=63),
    of_numbers(Kind.ANSWERS, TO, zero, "no unit"),
    of_numbers(Kind.ANSWERS, TO, add_one, "answer that was opened"),
    of_numbers(Kind.SHARES, "shares", add_one, "share of a candidate that was opened"),
    of_numbers(Kind.TRIALS, "factors", zero, "no number modulo its candidate"),
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
    of_numbers(Kind.DEALING, "answers", add_one, "answer about the factors"),
    of_numbers(Kind.DEALING, "answers", add_one, "answer about the factors", at=1),
    of_numbers(Kind.DEALING, "commitments", zero, "no unit modulo n", at=1),
    of_numbers(Kind.DEALING, "roots", zero, "no unit modulo n"),
]
BY_SEEDS = [
    of_numbers(Kind.OPENING, "square roots", times_four, "square root 0"),
    of_numbers(Kind.OPENING, TO, add_one, "not add up to the inverse"),
    of_numbers(Kind.PRODUCT, "share", lambda record, x: (x + 1) % record.survivor.n, "not add up to the inverse"),
    of_numbers(Kind.EXPONENT, TO, add_one, "not add up to the inverse"),
    of_numbers(Kind.DEALING, "commitments", times_four, "not add up to the inverse"),
    of_numbers(Kind.DEALING, "roots", times_four, "root 0 is not an n-th root"),
]


@pytest.mark.parametrize(("kind", "cheat", "why"), NAMED)
def test_a_changed_field_names_who_posted_it(small: Ran, kind: Kind, cheat, why: str) -> None:
    _, _, fault = small.go_on(kind, {(kind, LIAR): cheat})
    assert fault is not None
    assert why in fault.message
    assert small.name(fault) == LIAR


@pytest.mark.parametrize(("kind", "cheat", "why"), BY_SEEDS)
def test_where_posts_cannot_tell_the_seeds_do(small: Ran, kind: Kind, cheat, why: str) -> None:
    _, posts, fault = small.go_on(kind, {(kind, LIAR): cheat})
    assert fault is not None
    assert why in fault.message
    assert not fault.peer
    verdict = blame(small.terms, posts, dict(enumerate(small.seeds)))
    assert verdict.positions == (LIAR,)
    assert f"step {small.step(kind)}" in verdict.reason


@pytest.mark.parametrize("cheat", [partial(swapped, "boxes"), partial(changed, "commitments", 1, times_four)], ids=["boxes", "commitment"])
def test_a_holder_names_who_dealt_it_a_wrong_sub_share(small: Ran, cheat) -> None:
    """D20."""
    record, _, fault = small.go_on(Kind.DEALING, {(Kind.DEALING, LIAR): cheat})
    assert fault is None
    with pytest.raises(BadTranscript, match="for holder 3") as found:
        outcome.share(record, 2, small.secrets[2].transport_private)
    assert small.name(found.value) == LIAR


def test_a_candidate_of_two_primes_that_somebody_lets_fail(small: Ran) -> None:
    """A second survivor kept back, or the only one: the next batch begins, and what was opened names who did it."""
    record = small.before(Kind.TRIALS)
    at = record.batch.alive.index(small.record.survivor.index)
    cheat = partial(changed, "factors", at, add_one)
    record, _, fault = small.go_on(Kind.TRIALS, {(Kind.TRIALS, LIAR): cheat})
    assert fault is not None
    assert "two primes fail" in fault.message
    assert small.name(fault) == LIAR


def test_a_later_batch_opens_the_one_before(later: Ran) -> None:
    """D8: with another root than the batch had."""
    step = [s for s, record in enumerate(later.records) if record.kind is Kind.REQUESTS][1]
    record, posts = later.records[step], list(later.posts[step])
    at = HEADER_BYTES + 3
    posts[1] = posts[1][:at] + bytes((posts[1][at] ^ 1,)) + posts[1][at + 1 :]
    from copy import deepcopy

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
    seeds = dict(enumerate(small.seeds))
    assert blame(small.terms, [*small.posts[:3], [small.posts[3][0], None]], seeds).positions == (1,)
    assert blame(small.terms, small.posts[:3], {0: small.seeds[0], 2: small.seeds[2]}).positions == (1,)
    assert blame(small.terms, small.posts[:1], {**seeds, 0: bytes(32)}).positions == (0,)
    assert blame(small.terms, small.posts, seeds).positions == ()
    verdict = blame(small.terms, small.posts, seeds, complainer=2)
    assert verdict.positions == (2,)
    assert "complaint was false" in verdict.reason


def test_a_holder_that_does_not_contribute_is_named_for_what_it_posted(small: Ran) -> None:
    first = [*small.posts[0][:2], Secrets(small.terms, 2, small.seeds[2]).message(Record(small.terms))[:-1]]
    assert blame(small.terms, [first], dict(enumerate(small.seeds[:2]))).positions == (2,)
