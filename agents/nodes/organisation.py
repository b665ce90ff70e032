"""An organisation's node: follow the chain, decide, act, until the study ends. Start and restart are the same path."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field

from defedbio.chain.events import Event
from defedbio.chain.feed import EventFeed, FeedState
from defedbio.domain import Phase
from defedbio.errors import BlobUnavailable, ContractRefused, PeerFault, StoreUnreachable, StudyHalted, Unreachable
from defedbio.nodes.watching.telling import round_events, study_facts
from defedbio.protocol import actions as act
from defedbio.protocol.decide import Clock, Role, decide
from defedbio.protocol.perform import facts_of, perform
from defedbio.protocol.tools import Tools
from defedbio.protocol.view import RoundView, StudyView, fold

RACES = frozenset(
    {
        "RoundManagerUnexpectedPhase",
        "RoundManagerDeadlinePassed",
        "RoundManagerNotDue",
        "RoundManagerRoundRunning",
        "RoundManagerAlreadyDone",
        "RoundManagerNotAbsent",
        "RoundManagerReturnedLately",
        "RoundManagerEnrolmentOpen",
        "RoundManagerUnknownAggregate",
    }
)
MAX_SAME_REFUSALS = 5
RACE_TOLD = 5


@dataclass(frozen=True)
class LoopOptions:
    """`poll_seconds` lie between looks at a quiet chain; after news the first wait is an eighth of that, and each twice the one before.
    `patience` is how many seconds an endpoint may stay unreachable before the node stops with a clear word."""

    poll_seconds: float = 1.0
    patience: float = 600.0
    first_backoff: float = 1.0
    longest_backoff: float = 30.0

    @property
    def first_poll(self) -> float:
        return self.poll_seconds / 8


@dataclass
class OrganisationNode:
    tools: Tools
    feed: EventFeed
    role_of_holder: int | None
    options: LoopOptions = LoopOptions()
    stop: threading.Event = field(default_factory=threading.Event)
    _study: StudyView | None = None
    _seen: tuple[int, Phase] | None = None
    _seen_at: float = 0.0
    _refused: str = ""
    _refused_at: float = 0.0
    _refusals: int = 0
    _told: dict[str, object] = field(default_factory=dict)
    _pause: float = 0.0

    def run(self) -> bool:
        """Work until the study is complete (True) or `stop` is set (False).

        Raises:
            StudyHalted: when the study cannot go on.
            Unreachable: when chain or IPFS stay away for longer than `patience`.
            ContractRefused, PeerFault, InternalFault: when going on would be wrong or useless.
        """
        report = self.tools.report
        trouble_since: float | None = None
        backoff = self.options.first_backoff
        while not self.stop.is_set():
            try:
                if self.turn():
                    report.state(event="study.complete", id=f"{self._scope()}/{self.tools.frame.study}/study.complete")
                    return True
                if trouble_since is not None:
                    report.state(waiting=False)
                trouble_since, backoff = None, self.options.first_backoff
            except Unreachable as error:
                moment = time.monotonic()
                trouble_since = trouble_since if trouble_since is not None else moment
                if moment - trouble_since + backoff > self.options.patience:
                    raise
                first = {"event": "node.trouble"} if moment == trouble_since else {}
                away = "ipfs" if isinstance(error, StoreUnreachable | BlobUnavailable) else "chain"
                report.note(f"{error.message}; again in {backoff:.0f} s", level="warning", retry=away, waiting=True, **first)
                self.stop.wait(backoff)
                backoff = min(2 * backoff, self.options.longest_backoff)
        return False

    def turn(self) -> bool:
        """Read the chain, decide and act once; wait when there is nothing to do. True when the study is complete."""
        study = self.refresh()
        action = decide(self.role(study), study, facts_of(self.tools, study), self.clock(study))
        if isinstance(action, act.Finish):
            return True
        if isinstance(action, act.Halt):
            raise StudyHalted(f"study {study.id} cannot go on: {action.reason}", "`defedbio round list` shows what happened in each round")
        if action is None:
            self._pause = min(max(2 * self._pause, self.options.first_poll), self.options.poll_seconds)
            self.stop.wait(self._pause)
            return False
        work = _round_of(study, action)
        try:
            with self.tools.report.within(**work):
                perform(self.tools, study, action)
            self._refused, self._refusals = "", 0
        except ContractRefused as error:
            self._bear(error)
            self.stop.wait(self.options.poll_seconds)
        except BlobUnavailable as error:
            # While a round runs its deadline bounds the wait for a peer; after it, `run` does.
            if study.latest is None or study.latest.phase.ended:
                raise
            self.tools.report.note(error.message, level="warning", retry="fetch", **work)
            self.stop.wait(self.options.poll_seconds)
        except PeerFault as error:
            # A peer's fault costs the round at most, never this node: it will not act on what it refused. After the round no deadline
            # bounds the trying, so the operator must look.
            if study.latest is None or study.latest.phase.ended:
                raise
            self.tools.report.note(f"refused: {error.message}", peer=error.peer, retry="fetch", **work)
            self.stop.wait(self.options.poll_seconds)
        return False

    def _bear(self, error: ContractRefused) -> None:
        """Raise a refusal that waiting does not mend. Another's transaction, its confirmations and a block's clock (races) may take as long
        as an endpoint may stay away; anything else is tried a few times."""
        if error.name != self._refused:
            self._refused, self._refused_at, self._refusals = error.name, time.monotonic(), 0
        self._refusals += 1
        if error.name in RACES:
            if time.monotonic() - self._refused_at > self.options.patience:
                raise error
        elif self._refusals >= MAX_SAME_REFUSALS:
            raise error
        # A lost race is everyday business, and worth a word only when it goes on.
        if self._refusals == (RACE_TOLD if error.name in RACES else 1):
            self.tools.report.note(error.message, retry="refusal")
        else:
            self.tools.report.state(retry="refusal")

    def refresh(self) -> StudyView:
        state = self.feed.poll()
        frame = self.tools.frame
        events: tuple[Event, ...] = state.fresh
        if self._study is None or state.forked_at is not None:
            self._study, events = StudyView(frame.study, frame.spec.max_voids), state.events
        if events:
            self._pause = 0.0
            self._study = fold(self._study, events)
            for told in round_events(events, self._study, self.tools.address, self._scope()):
                self.tools.report.state(**told)
        self._tell_state(state, self._study)
        view = self._study.latest
        seen = (view.id, view.phase) if view else (0, Phase.NONE)
        if seen != self._seen:
            self._seen, self._seen_at = seen, time.monotonic()
            if view is not None:
                self._tell(view)
        return self._study

    def _tell(self, view: RoundView) -> None:
        self.tools.report.emit(
            {"phase": "chain", "status": "note", "round": view.id, "step": view.step, "entered": view.phase.name.lower()}
        )

    def _tell_state(self, state: FeedState, study: StudyView) -> None:
        facts = study_facts(study, self.tools.address, self.tools.frame.spec.privacy)
        now = {"block": state.latest.number, "block_time": state.latest.timestamp, **facts}
        if now != self._told:
            self._told = now
            self.tools.report.state(**now)

    def _scope(self) -> str:
        return f"{self.tools.frame.chain_id}/{self.tools.frame.contract.lower()}"

    def role(self, study: StudyView) -> Role:
        enrolled = study.participants
        position = enrolled.index(self.tools.address) if self.tools.address in enrolled else None
        return Role(self.tools.address, position, self.role_of_holder, self.tools.frame.key.threshold)

    def clock(self, study: StudyView) -> Clock:
        return Clock(time.time(), time.monotonic() - self._seen_at)


def _round_of(study: StudyView, action: act.Action) -> dict[str, int]:
    """The round that an action is for; none for the one that opens the next."""
    round_id = getattr(action, "round", 0)
    return {"round": round_id, "step": study.rounds[round_id].step} if round_id else {}
