"""What a holder does next, as a function."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from defedbio.ceremony.decide import (
    EXPIRE_STAGGER_S,
    PROPOSE_STAGGER_S,
    Check,
    Complain,
    Confirm,
    End,
    Expire,
    Facts,
    PostMessage,
    Propose,
    PublishSeed,
    Wait,
    decide,
)
from defedbio.ceremony.progress import STEPS, seconds_left
from defedbio.ceremony.view import CeremonyView, Epoch, Post, Step
from defedbio.chain.values import Ceremony
from defedbio.domain import NO_ONE, BitSet, CeremonyStatus

HOLDERS = ("0xA", "0xB", "0xC", "0xD")
POST = Post(b"\1" * 32, "cid")
T0, HOUR = 10_000, 3600


def view_of(steps: int = 1, **changes: object) -> CeremonyView:
    """3 of 4, with so many steps entered a minute after each other, all but the last of them over."""
    over = [Step(bytes([i]) * 32, T0 + 60 * i + HOUR, dict.fromkeys(range(3 if i else 4), POST)) for i in range(steps - 1)]
    last = Step(bytes([steps]) * 32, T0 + 60 * (steps - 1) + HOUR)
    return replace(CeremonyView(1, "0xA", HOLDERS, 3, 2048, HOUR, 5, steps=(*over, last)), **changes)  # type: ignore[arg-type]


def facts_of(view: CeremonyView, position: int = 0, **changes: object) -> Facts:
    """With the newest block being final."""
    latest = {name: changes.pop(name) for name in ("status", "posted", "seeds", "epoch", "step") if name in changes}
    now = Ceremony(1, view.status, 3, 2048, view.step, NO_ONE, NO_ONE, HOUR, view.deadline, 0, view.steps[-1].head, HOLDERS)
    return Facts(position, replace(now, **latest), **({"checked": view.step} | changes))  # type: ignore[arg-type]


def test_D2_a_step_is_checked_before_it_is_answered() -> None:
    view = view_of(3)
    assert decide(view, facts_of(view, checked=1), T0) == Check(1)
    assert decide(view, facts_of(view), T0) == PostMessage(2)
    assert decide(view, facts_of(view, posted=BitSet.of(0)), T0) == Wait()
    assert decide(view, facts_of(view, 3), T0) == Wait(), "after step 0 only contributors post"
    assert decide(view_of(1), facts_of(view_of(1), 3), T0) == PostMessage(0)


def test_D2_nothing_is_posted_for_a_step_that_the_newest_block_does_not_have() -> None:
    view = view_of(3)
    for changed in ({"step": 3}, {"step": 1}, {"epoch": 7}, {"status": CeremonyStatus.FAILED}):
        assert decide(view, facts_of(view, **changed), T0) == Wait()


def test_D4_a_fault_is_told_and_time_that_is_over_too() -> None:
    view = view_of(3)
    assert decide(view, facts_of(view, fault="post: wrong"), T0) == Complain("post: wrong")
    after = view.deadline + 1
    assert decide(view, facts_of(view), after) == Expire()
    assert decide(view, facts_of(view, 2), after) == Wait(2 * EXPIRE_STAGGER_S - 1)
    assert decide(view, facts_of(view, 2), after + 2 * EXPIRE_STAGGER_S) == Expire()


def test_D20_the_contributors_propose_in_turn_and_all_confirm() -> None:
    view = view_of(3)
    assert decide(view, facts_of(view, over=True), view.entered) == Propose()
    assert decide(view, facts_of(view, 1, over=True), view.entered) == Wait(PROPOSE_STAGGER_S)
    assert decide(view, facts_of(view, 1, over=True), view.entered + PROPOSE_STAGGER_S) == Propose()
    assert decide(view, facts_of(view, 3, over=True), view.entered + HOUR / 2) == Wait()
    proposed = replace(view, epoch=Epoch(7, view.deadline))
    assert decide(proposed, facts_of(proposed, 3, over=True, epoch=7), T0) == Confirm(7)
    assert decide(proposed, facts_of(proposed, 3, over=True, epoch=7, confirmed=True), T0) == Wait()


def test_D4_contributors_publish_their_seeds_and_wait_for_the_others() -> None:
    failed = view_of(3, status=CeremonyStatus.FAILED, seeds_until=T0 + HOUR)
    assert decide(failed, facts_of(failed, 1), T0) == PublishSeed()
    assert decide(failed, facts_of(failed, 1, seeds=BitSet.of(1)), T0) == Wait(), "it is there, and not final"
    assert decide(failed, facts_of(failed, 3), T0) == Wait()
    own = replace(failed, seeds={1: bytes(32)})
    assert decide(own, facts_of(own, 1), T0) == Wait()
    assert decide(own, facts_of(own, 1), T0 + HOUR + 1) == End()
    named = replace(own, missing=BitSet.of(0))
    assert decide(named, facts_of(named, 1), T0) == End(), "who is missing is named without the seeds"


@given(
    st.sampled_from([CeremonyStatus.RUNNING, CeremonyStatus.SUCCEEDED]),
    st.sampled_from(list(CeremonyStatus)[1:]),
    st.integers(0, 3),
    st.booleans(),
    st.integers(T0, T0 + 3 * HOUR),
)
def test_D4_a_seed_is_never_shown_of_what_is_not_finally_failed(
    final: CeremonyStatus, newest: CeremonyStatus, position: int, over: bool, now: int
) -> None:
    view = view_of(3, status=final)
    assert not isinstance(decide(view, facts_of(view, position, over=over, status=newest), now), PublishSeed)


@given(st.sampled_from(list(CeremonyStatus)[1:]), st.integers(0, 3), st.integers(T0, T0 + 3 * HOUR))
def test_D4_nor_by_a_home_that_ever_saw_the_key_active(final: CeremonyStatus, position: int, now: int) -> None:
    view = view_of(3, status=final, seeds_until=T0 + HOUR)
    assert not isinstance(decide(view, facts_of(view, position, active=True), now), PublishSeed)


@given(st.sampled_from(list(CeremonyStatus)[1:]), st.integers(0, 3), st.integers(0, 3), st.text(max_size=5), st.integers(T0, T0 + 3 * HOUR))
def test_D3_a_home_that_diverged_sends_nothing(final: CeremonyStatus, position: int, steps: int, fault: str, now: int) -> None:
    view = view_of(steps + 1, status=final, seeds_until=T0 + HOUR)
    assert decide(view, facts_of(view, position, diverged=True, fault=fault), now) == End()


def test_how_long_it_takes_still_is_told_from_the_steps_that_are_over() -> None:
    assert seconds_left(view_of(2)) is None, "how long people took to begin says nothing"
    assert seconds_left(view_of(5)) == (len(STEPS) - 4) * 60
    assert seconds_left(view_of(5), "B1") == len(STEPS) * 60, "no candidate of the batch survived"
    assert seconds_left(view_of(20)) == 60
    assert seconds_left(replace(view_of(9), epoch=Epoch(7, T0 + HOUR))) == 60
