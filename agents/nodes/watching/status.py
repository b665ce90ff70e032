"""An organisation's own state in one study: from the chain, its folder and its running agent, all only read."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, TypeVar

from defedbio.chain.accounts import keystore_address
from defedbio.chain.feed import EventFeed
from defedbio.config import JOURNAL, Home
from defedbio.domain import Phase
from defedbio.errors import NotFound
from defedbio.nodes.watching.logs import LOG_FILE, last_records
from defedbio.nodes.watching.probes import Findings, journal_sizes, journal_sizes_told, pending_transactions, read_metrics
from defedbio.nodes.watching.running import RunningAgent, running_agent
from defedbio.nodes.watching.telling import epsilon_spent, organisations
from defedbio.protocol.reading import Reader
from defedbio.protocol.view import RoundView, StudyView, fold
from defedbio.spec import StudySpec

T = TypeVar("T")
AGAIN_SECONDS = 30.0
SHOWN_PHASES, SHOWN_NOTES = 8, 6
COSTED_ROUNDS = 3


@dataclass(frozen=True)
class RoundStatus:
    """A round as it is now. `deadline` is unix seconds, `window` the phase's seconds in all, both 0 once it ended; `missing` names those
    that the phase waits for, where the chain can tell."""

    id: int
    step: int
    phase: str
    deadline: int
    window: int
    organisations: dict[str, int]
    missing: tuple[str, ...]


@dataclass(frozen=True)
class OwnRecord:
    """What this organisation did in the newest round; None for what is not its part."""

    committed: bool | None
    revealed: bool | None
    checked: bool | None
    in_set: bool | None
    released: bool | None
    attested: bool | None


@dataclass(frozen=True)
class Status:
    """`at` is unix seconds. None stands for what cannot be known now; `problems` says why.

    `balance` and `cost_per_round` are wei, the latter of the last rounds' own transactions, and `rounds_paid` how many more they pay for.
    `work` is the phase of work that the agent is at, `progress` how far (0 to 1). `phases` and `notes` are the newest records of its log.
    """

    at: float
    study: int
    name: str
    organisation: str
    running: bool
    started: float | None
    metrics: str
    enrolled: int
    seats: int
    steps: int
    finalised: int
    voided: int
    complete: bool
    round: RoundStatus | None
    own: OwnRecord
    work: str
    progress: float
    transactions_pending: int | None
    balance: int | None
    cost_per_round: int | None
    rounds_paid: int | None
    epsilon_spent: float | None
    epsilon_budget: float | None
    peers: int | None
    journal: dict[str, int] | None = None
    phases: tuple[dict[str, Any], ...] = ()
    notes: tuple[dict[str, Any], ...] = ()
    problems: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


class StatusReader:
    """Reads again and again, of the chain only what is new. `connection` needs no account."""

    def __init__(self, connection: Reader, home: Home, study: int, feed: EventFeed | None = None) -> None:
        """Raises NotFound for an unknown study or an organisation without account."""
        network = connection.client.network
        self._connection, self._study = connection, study
        self._on_chain = connection.studies.study_of(study)
        if not home.account.exists():
            raise NotFound(f"no account at {home.account}", "run `defedbio account new` first")
        self._address = keystore_address(home.account)
        self._folder = home.study(network.chain_id, network.contracts["RoundManager"], study)
        self._feed = feed or EventFeed(connection.client, study=study)
        self._view = StudyView(study)
        self._holders = connection.keys.epoch_of(self._on_chain.key_epoch).holders
        self._names: dict[str, str] = {}
        self._costed: tuple[tuple[int, ...], int] = ((), 0)
        self._spec: StudySpec | None = None
        self._remembered: dict[str, tuple[float, Any]] = {}

    def read(self) -> Status:
        """The state now. Raises ChainUnreachable."""
        findings, view = Findings(), self._refresh()
        agent = running_agent(self._folder)
        metrics = self._metrics(agent, findings)
        spec = self._read_spec(findings)
        latest, records = view.latest, last_records(self._folder / LOG_FILE)
        balance = findings.attempt("balance", lambda: self._connection.client.balance(self._address))
        cost = findings.attempt("gas", lambda: self._cost_per_round(view))
        peers = metrics.get("peers") if metrics.get("ipfs_up") else None
        work = next((name for name in metrics if name.startswith("phase_running/") and metrics[name]), "/").partition("/")[2]
        return Status(
            at=time.time(),
            study=self._study,
            name=spec.name if spec else "",
            organisation=self._address,
            running=agent is not None,
            started=agent.started if agent else None,
            metrics=agent.metrics if agent else "",
            enrolled=len(view.participants),
            seats=self._on_chain.rules.seats,
            steps=self._on_chain.rules.steps,
            finalised=len(view.finalised),
            voided=sum(r.phase == Phase.VOIDED for r in view.rounds.values()),
            complete=view.complete,
            round=self._round(view, latest) if latest else None,
            own=self._own(view, latest),
            work=work,
            progress=metrics.get(f"phase_progress_ratio/{work}", 0.0),
            transactions_pending=self._pending(agent, metrics, findings),
            balance=balance,
            cost_per_round=cost or None,
            rounds_paid=balance // cost if balance is not None and cost else None,
            epsilon_spent=epsilon_spent(view, self._address) if spec and spec.privacy else None,
            epsilon_budget=spec.privacy.epsilon if spec and spec.privacy else None,
            peers=int(peers) if peers is not None else self._ask_peers(agent, metrics, findings),
            journal=self._journal(agent, metrics),
            phases=tuple(r for r in records if r["status"] in ("done", "failed") and "seconds" in r)[-SHOWN_PHASES:],
            notes=tuple(r for r in records if r.get("level") in ("warning", "error") or r["phase"] == "note")[-SHOWN_NOTES:],
            problems=tuple(findings.problems),
        )

    def _refresh(self) -> StudyView:
        state = self._feed.poll()
        self._view = fold(StudyView(self._study), state.events) if state.forked_at is not None else fold(self._view, state.fresh)
        return self._view

    def _read_spec(self, findings: Findings) -> StudySpec | None:
        if self._spec is None:
            self._spec = self._now_and_then("spec", findings, lambda: self._connection.spec(self._study)[1])
        return self._spec

    def _ask_peers(self, agent: RunningAgent | None, metrics: dict[str, float], findings: Findings) -> int | None:
        """The running agent asks the IPFS node already."""
        if agent is not None and metrics:
            return None
        return self._now_and_then("IPFS", findings, lambda: len(self._connection.store.peers()))

    def _now_and_then(self, what: str, findings: Findings, read: Callable[[], T]) -> T | None:
        """What takes its time when it fails is read every half minute only."""
        at, found = self._remembered.get(what, (float("-inf"), None))
        if time.monotonic() - at < AGAIN_SECONDS:
            value, problems = found
        else:
            own = Findings()
            value, problems = own.attempt(what, read), own.problems
            self._remembered[what] = (time.monotonic(), (value, problems))
        findings.problems += problems
        return value  # type: ignore[no-any-return]

    def _metrics(self, agent: RunningAgent | None, findings: Findings) -> dict[str, float]:
        """The running agent's metrics, `name` or `name/label`; empty without any."""
        if agent is None or not agent.metrics:
            return {}
        return findings.attempt("metrics", lambda: read_metrics(agent.metrics)) or {}

    def _round(self, view: StudyView, latest: RoundView) -> RoundStatus:
        window = self._on_chain.rules.seconds_of(latest.phase)
        missing = tuple(self._name(address) for address in self._awaited(view, latest))
        return RoundStatus(latest.id, latest.step, latest.phase.name.lower(), latest.deadline, window, organisations(latest), missing)

    def _awaited(self, view: StudyView, latest: RoundView) -> list[str]:
        revealed = {reveal.participant for reveal in latest.reveals.values()}
        awaited = [who for position, who in enumerate(view.participants) if position not in latest.absent]
        done = {
            Phase.OPEN: (awaited, latest.commitments),
            Phase.COMMITTED: ([who for who in awaited if who in latest.commitments], revealed),
            Phase.REVEALED: (self._holders, latest.attested),
            Phase.AGGREGATED: (self._holders, {share.holder for share in latest.shares}),
            Phase.DECRYPTED: (self._holders, {attestation.holder for attestation in latest.attestations}),
        }.get(latest.phase, ((), ()))
        return [address for address in done[0] if address not in done[1]]

    def _name(self, address: str) -> str:
        if address not in self._names:
            try:
                self._names[address] = self._connection.registry.profile_of(address).name or address
            except NotFound:
                self._names[address] = address
        return self._names[address]

    def _own(self, view: StudyView, latest: RoundView | None) -> OwnRecord:
        me = self._address
        if latest is None:
            return OwnRecord(None, None, None, None, None, None)
        enrolled, holder = me in view.participants, me in self._holders
        frozen = bool(latest.set_hash)
        return OwnRecord(
            committed=me in latest.commitments if enrolled else None,
            revealed=any(r.participant == me for r in latest.reveals.values()) if enrolled else None,
            checked=me in latest.attested if holder else None,
            in_set=view.participants.index(me) in latest.frozen if enrolled and frozen else None,
            released=any(s.holder == me for s in latest.shares) if holder else None,
            attested=any(a.holder == me for a in latest.attestations) if holder else None,
        )

    def _cost_per_round(self, view: StudyView) -> int:
        """Mean wei of the own transactions in the last ended rounds; 0 before the first."""
        ended = tuple(number for number, r in sorted(view.rounds.items()) if r.phase.ended)[-COSTED_ROUNDS:]
        if ended != self._costed[0]:
            own = {e.meta.tx_hash for e in self._feed.events if getattr(e, "round", 0) in ended and e.actor == self._address}
            receipts = [self._connection.client.receipt(tx) for tx in own]
            self._costed = ended, sum(r.cost for r in receipts if r is not None) // max(1, len(ended))
        return self._costed[1]

    def _journal(self, agent: RunningAgent | None, metrics: dict[str, float]) -> dict[str, int] | None:
        """Bytes by kind of entry."""
        if agent is None:
            return journal_sizes(self._folder / JOURNAL)
        return journal_sizes_told(metrics)

    def _pending(self, agent: RunningAgent | None, metrics: dict[str, float], findings: Findings) -> int | None:
        if agent is not None:
            pending = metrics.get("transactions_pending")
            return int(pending) if pending is not None else None
        return findings.attempt("journal", lambda: pending_transactions(self._folder / JOURNAL, self._connection.client))
