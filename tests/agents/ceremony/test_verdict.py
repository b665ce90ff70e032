"""D4: who is at fault, from hashes and seeds, with the real machine and with the one that stands for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from defedbio.ceremony.verdict import Verdict, verdict
from defedbio.ceremony.view import CeremonyView, Epoch, Post, Step
from defedbio.domain import BitSet, CeremonyStatus
from tests.agents.ceremony.conftest import Made

FAILED: dict[str, Any] = {"status": CeremonyStatus.FAILED}


def found(made: Made, posts: Sequence[Sequence[bytes]], seeds: Mapping[int, bytes] | None = None, **changes: Any) -> Verdict:
    """The verdict on these posts, whose messages only those who contribute nothing still have."""
    last = len(posts) == len(made.posts)
    steps = [Step(bytes(32), 0, {i: Post.of(raw) for i, raw in enumerate(step)}) for step in [*posts, *([] if last else [[]])]]
    if last:
        steps.append(Step(bytes(32), 0))
    of = made.terms
    view = CeremonyView(of.ceremony, of.holders[0], of.holders, of.threshold, of.bits, of.step_seconds, 1, steps=tuple(steps))
    view = replace(view, **{**FAILED, "seeds": dict(enumerate(made.seeds[:2])) if seeds is None else seeds, **changes})
    return verdict(view, of, made.make, {2: posts[0][2]})


def test_the_first_message_that_does_not_follow_from_its_seed_names_its_maker(made: Made) -> None:
    posts = [list(step) for step in made.posts[:3]]
    posts[1][0] = posts[1][0][:-1] + bytes([posts[1][0][-1] ^ 1])
    posts[2][1] = posts[2][1][:-1] + bytes([posts[2][1][-1] ^ 1])
    assert found(made, posts).positions == (0,)
    assert found(made, [*posts[:1], made.posts[1], *posts[2:]]).positions == (1,)


def test_a_seed_that_is_another_or_missing_names_its_contributor(made: Made) -> None:
    assert found(made, made.posts[:2], {0: made.seeds[0], 1: bytes(32)}).positions == (1,)
    assert found(made, made.posts[:2], {0: made.seeds[0]}) == Verdict((1,), "published no seed")


def test_the_right_hash_with_the_cid_of_something_else_names_its_poster(made: Made) -> None:
    of = made.terms
    first = {i: Post.of(raw) for i, raw in enumerate(made.posts[0])}
    first[1] = replace(first[1], cid="bafysomethingelse")
    steps = (Step(bytes(32), 0, first), Step(bytes(32), 0))
    view = CeremonyView(of.ceremony, of.holders[0], of.holders, 2, of.bits, 600, 1, CeremonyStatus.FAILED, steps)
    view = replace(view, seeds=dict(enumerate(made.seeds[:2])), complaints=((of.holders[0], "withheld: step 0"),))
    assert verdict(view, of, made.make, {2: made.posts[0][2]}).positions == (1,)


@pytest.mark.parametrize(
    ("reason", "positions"), [("share: it does not fit", (2,)), ("withheld: step 1", ()), ("post: wrong", (2,)), ("", (2,))]
)
def test_where_all_is_right_whoever_said_that_something_is_wrong_is_named(made: Made, reason: str, positions: tuple[int, ...]) -> None:
    assert found(made, made.posts[:2], complaints=((made.terms.holders[2], reason),)).positions == positions


def test_who_is_missing_is_named_without_a_seed(made: Made) -> None:
    assert found(made, made.posts[:2], {}, missing=BitSet.of(1)) == Verdict((1,), "did not post in step 2 in time")
    epoch = Epoch(9, 0, made.terms.holders[0])
    assert found(made, made.posts, {}, missing=BitSet.of(2), epoch=epoch) == Verdict((2,), "did not confirm the epoch in time")


def test_a_proposal_is_held_against_the_posts(made: Made) -> None:
    right = made.machine(0).transcript(made.posts).hash
    of = made.terms
    epoch = Epoch(9, 0, of.holders[1], right)
    assert found(made, made.posts[:2], epoch=epoch).positions == (1,), "too early"
    assert found(made, made.posts, epoch=replace(epoch, transcript_hash=bytes(32))).positions == (1,)
    false = ((of.holders[2], "share: it does not fit"),)
    assert found(made, made.posts, epoch=epoch, complaints=false).positions == (2,)


def test_a_step_that_has_no_messages_names_nobody_by_itself(made: Made) -> None:
    assert found(made, [*made.posts, [b"more", b"more"]]).positions == ()


def test_a_message_that_nobody_has_is_not_anybodys_fault(made: Made) -> None:
    of = made.terms
    steps = tuple(Step(bytes(32), 0, {i: Post.of(raw) for i, raw in enumerate(step)}) for step in [*made.posts[:1], ()])
    view = CeremonyView(of.ceremony, of.holders[0], of.holders, 2, of.bits, 600, 1, CeremonyStatus.FAILED, steps)
    view = replace(view, seeds=dict(enumerate(made.seeds[:2])))
    assert verdict(view, of, made.make, {}).positions == ()
