"""An organisation's node: follow the chain, decide, act, until the study ends. Start and restart are the same path."""

from __future__ import annotations

import threading
import time
import traceback
from dataclasses import InitVar, dataclass, field
from pathlib import Path

from defedbio.chain.feed import EventFeed, FeedState
from defedbio.chain.records import Head
from defedbio.domain import Phase
from defedbio.errors import (
    BlobUnavailable,
    ContractRefused,
    DefedError,
    InternalFault,
    PeerFault,
    StoreUnreachable,
    StudyHalted,
    Unreachable,
)
from defedbio.nodes.refusals import REFUSALS, Refusal
from defedbio.nodes.watching.telling import round_events, study_facts
from defedbio.protocol import actions as act
from defedbio.protocol.decide import Clock, Role, decide
from defedbio.protocol.effects.keeping import Housekeeping, tidy
from defedbio.protocol.following import Following
from defedbio.protocol.perform import facts_of, perform
from defedbio.protocol.restored import Settling
from defedbio.protocol.tools import Tools
from defedbio.protocol.view import RoundView, StudyView

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
    """`settling` finds out, for a journal from a backup, which rounds to sit out; None where that is known."""

    tools: Tools
    feed: InitVar[EventFeed]
    role_of_holder: int | None
    options: LoopOptions = LoopOptions()
    stop: threading.Event = field(default_factory=threading.Event)
    settling: Settling | None = None
    following: Following = field(init=False)
    _seen: tuple[int, Phase] | None = None
    _seen_at: float = 0.0
    _refused: str = ""
    _refused_at: float = 0.0
    _refused_block: int = 0
    _refusals: int = 0
    _lost: set[tuple[int, Phase, type[act.Action]]] = field(default_factory=set)
    _told: dict[str, object] = field(default_factory=dict)
    _pause: float = 0.0
    _done: act.Action | None = None
    _latest: int = 0
    _deep: Head | None = None
    _housekeeping: Housekeeping = field(default_factory=Housekeeping)
    _untidy: bool = False

    def __post_init__(self, feed: EventFeed) -> None:
        frame = self.tools.frame
        beginning = StudyView(frame.study, frame.spec.max_voids, key_epoch=frame.spec.key_epoch)
        self.following = Following(feed, beginning, frame.key.threshold, self.tools.memory)

    def run(self) -> bool:
        """Work until the study is complete (True) or `stop` is set (False).

        Raises:
            StudyHalted: when the study cannot go on.
            Unreachable: when chain or IPFS stay away for longer than `patience`.
            ContractRefused, PeerFault, InternalFault, InvalidInput: when going on would be wrong or useless.
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
            except Exception:
                # Events that the Ethereum node left out or made up may be why: saved, they would end every start.
                self.following.feed.forget()
                raise
        return False

    def turn(self) -> bool:
        """Read the chain, decide and act once; wait when there is nothing to do. True when the study is complete.

        What another organisation did costs this one a step of the running round at most, and never ends the node. Where no deadline bounds
        the trying, errors are raised.
        """
        study = self.refresh()
        if self.settling is not None and not study.complete:
            self._settle(self.settling)
        action = decide(self.role(study), study, facts_of(self.tools, study), self.clock(study))
        if isinstance(action, act.Finish | act.Halt) and self._tidy(study):
            return False
        if isinstance(action, act.Finish):
            return True
        if isinstance(action, act.Halt):
            raise StudyHalted(f"study {study.id} cannot go on: {action.reason}", "`defedbio round list` shows what happened in each round")
        if action is None or _step(study, action) in self._lost:
            if not self._tidy(study):
                self._rest()
            return False
        if action == self._done:
            # Until it is deep enough to count, it is done again, as a reorganisation may have taken it back: at the pace of blocks.
            self._rest()
        work = _round_of(study, action)
        try:
            with self.tools.report.within(**work):
                perform(self.tools, study, action)
            self._refused, self._refusals, self._done = "", 0, action
            return False
        except ContractRefused as error:
            self._bear(study, action, error)
        except BlobUnavailable as error:
            if not _bounded(study, action):
                raise
            self.tools.report.note(error.message, level="warning", retry="fetch", **work)
        except PeerFault as error:
            # The node does not act on what it refused.
            if not _bounded(study, action):
                raise
            self.tools.report.note(f"refused: {error.message}", peer=error.peer, retry="fetch", **work)
        except InternalFault as error:
            if not _bounded(study, action):
                raise
            self._give_up(study, action, error.message)
        except DefedError:
            raise
        except Exception as error:
            # A fault of ours that a peer's input may have found. Its text may hold data, so it is not told.
            fault = f"{type(error).__name__} at {_place(error)}"
            if not _bounded(study, action):
                raise InternalFault(
                    f"{fault}, in {type(action).__name__}", "report it; a restart goes on where the journal ends"
                ) from error
            self._give_up(study, action, fault)
        self.stop.wait(self.options.poll_seconds)
        return False

    def _settle(self, settling: Settling) -> None:
        """Learn which rounds began before the journal was restored. Before that, nothing that counts once leaves the node (C7)."""
        if (through := settling.attempt()) is not None:
            self.tools.sits_out_through, self.settling = through, None
            self.tools.report.note(sitting_out(through))

    def _tidy(self, study: StudyView) -> bool:
        """Do a piece of housekeeping, if one is due, now that nobody waits for this node."""
        if self._deep is None or self._untidy:
            return False
        try:
            return tidy(self.tools, study, self._deep, self._housekeeping)
        except DefedError:
            raise
        except Exception as error:  # noqa: BLE001 - told, and nothing of it goes on
            # As in a round: a peer's input may have found it, and rounds go on without.
            self._untidy = True
            message = f"keeps and forgets nothing until it is started again: {type(error).__name__} at {_place(error)}"
            self.tools.report.note(message, level="warning", event="node.trouble")
            return False

    def _rest(self) -> None:
        self._pause = min(max(2 * self._pause, self.options.first_poll), self.options.poll_seconds)
        self.stop.wait(self._pause)

    def _bear(self, study: StudyView, action: act.Action, error: ContractRefused) -> None:
        """Wait for a race to end, sit a lost step out, and raise what the operator must see to."""
        now = time.monotonic()
        if error.name != self._refused:
            self._refused, self._refused_at, self._refused_block, self._refusals = error.name, now, self._latest, 0
        self._refusals += 1
        kind = REFUSALS.get(error.name, Refusal.LOST)
        visible = self._deep is not None and self._deep.number >= self._refused_block
        if not visible:
            self._refused_at = now  # the block that refused it is not yet deep enough to count
        bounded = _bounded(study, action) and kind is not Refusal.OURS
        if kind is Refusal.RACE:
            hopeless = visible and now - self._refused_at >= self.options.patience
        else:
            hopeless = bounded or self._refusals >= MAX_SAME_REFUSALS
        if hopeless and not bounded:
            raise error
        if hopeless:
            self._give_up(study, action, error.message)
        elif self._refusals == (RACE_TOLD if kind is Refusal.RACE else 1):
            # A lost race is everyday business, and worth a word only when it goes on.
            self.tools.report.note(error.message, retry="refusal")
        else:
            self.tools.report.state(retry="refusal")

    def _give_up(self, study: StudyView, action: act.Action, reason: str) -> None:
        """Do not try this step of the running round again while the round is in this phase."""
        self._lost = {lost for lost in self._lost if study.latest is not None and lost[0] == study.latest.id} | {_step(study, action)}
        message = f"sits {type(action).__name__} out: {reason}"
        self.tools.report.note(message, level="warning", event="node.trouble", retry="refusal", **_round_of(study, action))

    def refresh(self) -> StudyView:
        for news in self.following.news():
            if news.events:
                self._pause = 0.0
                for told in round_events(news.events, news.study, self.tools.address, self._scope()):
                    self.tools.report.state(**told)
            state = news.state
        study = self.following.study
        self._let_go(study)
        self._tell_state(state, study)
        self._latest, self._deep = state.latest.number, state.head
        view = study.latest
        seen = (view.id, view.phase) if view else (0, Phase.NONE)
        if seen != self._seen:
            self._seen, self._seen_at = seen, time.monotonic()
            if view is not None:
                self._tell(view)
        return study

    def _let_go(self, study: StudyView) -> None:
        """Forget the key share once the chain has it that this organisation erased it (K3): somebody did so beside this process."""
        if self.tools.share is not None and self.tools.address in study.retired:
            self.tools.share = None
            self.tools.report.note("this organisation retired its key share: it opens nothing under that key any more", level="warning")

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
        index, key = self.role_of_holder if self.tools.address not in study.retired else None, self.tools.frame.key
        return Role(self.tools.address, position, index, key.threshold, key.holders - len(study.retired) < key.threshold)

    def clock(self, study: StudyView) -> Clock:
        return Clock(time.time(), time.monotonic() - self._seen_at)


def sitting_out(through: int) -> str:
    """In words, what a home from a backup does in the rounds that it cannot account for."""
    return f"in rounds up to {through}, which began before it was restored, this node sends no update and releases no share"


def _round_of(study: StudyView, action: act.Action) -> dict[str, int]:
    """The round that an action is for; none for the one that opens the next."""
    round_id = getattr(action, "round", 0)
    return {"round": round_id, "step": study.rounds[round_id].step} if round_id else {}


def _bounded(study: StudyView, action: act.Action) -> bool:
    """Whether a round's deadline bounds the waiting: not outside of rounds, and not for the step that ends a phase past it."""
    return study.latest is not None and not study.latest.phase.ended and not isinstance(action, act.Advance)


def _step(study: StudyView, action: act.Action) -> tuple[int, Phase, type[act.Action]]:
    return (study.latest.id, study.latest.phase, type(action)) if study.latest else (0, Phase.NONE, type(action))


def _place(error: BaseException) -> str:
    """Where in this program an exception came from, without anything that it says."""
    *_, last = traceback.extract_tb(error.__traceback__)
    return f"{Path(last.filename).name}:{last.lineno}"
