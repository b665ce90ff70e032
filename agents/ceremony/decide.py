"""What a holder does next in a ceremony without a dealer: a pure function of the chain's final view, of the newest block and of what is
known here.

What answers others is decided by final events alone (D2): what is not final may change, and an answer to what is changed afterwards would
show two answers of one seed. The newest block only says what need not be sent again.
"""

from __future__ import annotations

from dataclasses import dataclass

from defedbio.ceremony.view import CeremonyView
from defedbio.chain.values import Ceremony
from defedbio.domain import CeremonyStatus

PROPOSE_STAGGER_S = 30.0
EXPIRE_STAGGER_S = 5.0


@dataclass(frozen=True)
class Facts:
    """What this holder knows.

    position: among the holders, from 0.
    latest: the ceremony as the newest block has it.
    checked: of how many steps all messages are here and right.
    over: whether these are all steps there are.
    fault: what was found wrong, in words for the chain; empty if nothing.
    diverged: whether the chain holds, or the posts lead to, another message than this holder's journal does (D3).
    active: whether this home ever saw the ceremony's key active, final or not.
    confirmed: whether the newest block has this holder's confirmation.
    """

    position: int
    latest: Ceremony
    checked: int = 0
    over: bool = False
    fault: str = ""
    diverged: bool = False
    active: bool = False
    confirmed: bool = False


@dataclass(frozen=True)
class Check:
    """Fetch a step's messages, and see whether they are right."""

    step: int


@dataclass(frozen=True)
class PostMessage:
    """Make the own message of this step, and post it."""

    step: int


@dataclass(frozen=True)
class Propose:
    """Propose the epoch whose key all steps came to."""


@dataclass(frozen=True)
class Confirm:
    """Hold the epoch against the own transcript and share, keep the share, confirm; or reject."""

    epoch: int


@dataclass(frozen=True)
class Complain:
    """End the ceremony."""

    reason: str


@dataclass(frozen=True)
class Expire:
    """Say that the time is over."""


@dataclass(frozen=True)
class PublishSeed:
    """Show the own seed of a ceremony that has failed."""


@dataclass(frozen=True)
class End:
    """Nothing is left to do on the chain: erase the seed, let the messages go."""


@dataclass(frozen=True)
class Wait:
    """Nothing to do before the chain says more, or until so many seconds have passed."""

    seconds: float | None = None


Action = Check | PostMessage | Propose | Confirm | Complain | Expire | PublishSeed | End | Wait


def decide(view: CeremonyView, facts: Facts, now: float) -> Action:
    """The next action. `now` is unix seconds."""
    match view.status:
        case CeremonyStatus.SUCCEEDED:
            return End()
        case CeremonyStatus.FAILED:
            return _after_failure(view, facts, now)
    if facts.diverged:
        return End()
    if facts.latest.status is not CeremonyStatus.RUNNING:
        return Wait()  # how it ended is not final
    if now > facts.latest.deadline:
        return _in_turn(Expire(), facts.latest.deadline, facts.position * EXPIRE_STAGGER_S, now)
    if facts.fault:
        return Complain(facts.fault)
    if facts.checked < view.step:
        return Check(facts.checked)
    if view.epoch is not None:
        return Wait() if facts.confirmed else Confirm(view.epoch.number)
    return _toward_the_key(view, facts, now)


def _toward_the_key(view: CeremonyView, facts: Facts, now: float) -> Action:
    latest = facts.latest
    if latest.epoch or latest.step != view.step:
        return Wait()  # what the newest block says is not final
    if facts.over:
        if facts.position >= view.threshold:
            return Wait()
        return _in_turn(Propose(), view.entered, facts.position * PROPOSE_STAGGER_S, now)
    if facts.position < view.posters and facts.position not in latest.posted:
        return PostMessage(view.step)
    return Wait()


def _after_failure(view: CeremonyView, facts: Facts, now: float) -> Action:
    if facts.diverged or facts.active:
        return End()
    if facts.position < view.threshold and facts.position not in view.seeds:
        return Wait() if facts.position in facts.latest.seeds else PublishSeed()
    if view.waited_for and not view.missing and now <= view.deadline:
        return Wait()
    return End()


def _in_turn(action: Action, since: float, turn: float, now: float) -> Action:
    """Whoever is first in order acts at once, and the others when it has not."""
    due = since + turn
    return action if now >= due else Wait(due - now)
