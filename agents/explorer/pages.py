"""What each page shows, as plain values for its template. No HTML and no request in here."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar

from agents.chain import events as ev
from agents.chain.abi import decode_call
from agents.chain.events import decode_log
from agents.domain import Phase
from agents.errors import DefedError, NotFound
from agents.explorer.chart import Chart, chart
from agents.explorer.facts import Facts
from agents.explorer.index import Index, values_of
from agents.learning.plan import Step
from agents.nodes.describe import describe
from agents.protocol.view import RoundView, StudyView

T = TypeVar("T")
PAGE = 25

# The phase in which a round waits for something, and what for.
STEPS = (
    (Phase.OPEN, "Commit", "organisations train and commit to their encrypted updates"),
    (Phase.COMMITTED, "Reveal", "committed updates are revealed"),
    (Phase.REVEALED, "Attest", "key holders check the updates and attest to the set"),
    (Phase.FROZEN, "Aggregate", "the set's product is posted and holders release their shares of it"),
    (Phase.AGGREGATED, "Open", "the shares are combined into an opening"),
    (Phase.DECRYPTED, "Model", "holders attest to the new model"),
    (Phase.FINALISED, "Final", "the new model is on the chain"),
)


@dataclass(frozen=True)
class Paged:
    """One page of `total` rows, `number` from 1."""

    rows: Sequence[Any]
    number: int
    total: int
    size: int = PAGE

    @property
    def pages(self) -> int:
        return max(1, -(-self.total // self.size))


def paged(rows: Sequence[T], number: int) -> Paged:
    last = max(1, -(-len(rows) // PAGE))
    number = min(max(number, 1), last)
    return Paged(rows[(number - 1) * PAGE : number * PAGE], number, len(rows))


class Pages:
    def __init__(self, index: Index, facts: Facts) -> None:
        self.index, self.facts = index, facts
        self.network_ = facts.connection.client.network

    def network(self, page: int = 1) -> dict[str, Any]:
        """Members, votes, key epochs and studies, newest first."""
        tables = self.index.tables
        known = list(dict.fromkeys([*list(tables.members), *list(tables.profiles)]))
        people = [
            {
                "address": address,
                "profile": tables.profiles.get(address),
                "member": address in tables.members,
                "reach": self.facts.reach(address),
            }
            for address in known
        ]
        return {
            "chain_id": self.network_.chain_id,
            "contracts": list(
                zip(("ParticipantRegistry", "KeyRegistry", "StudyRegistry", "RoundManager"), self.network_.contracts.all(), strict=True)
            ),
            "people": paged(people, page),
            "members": len(tables.members),
            "votes": self._rows(list(tables.votes)[-PAGE:][::-1]),
            "epochs": [self._epoch(e) for e in sorted(tables.epochs.values(), key=lambda e: -e.epoch)],
            "studies": [self._summary(s) for _, s in sorted(tables.studies.items(), reverse=True)],
        }

    def _epoch(self, proposed: ev.KeyEpochProposed) -> dict[str, Any]:
        events = list(self.index.tables.by_epoch.get(proposed.epoch, []))
        state = "active" if any(isinstance(e, ev.KeyEpochActivated) for e in events) else "proposed"
        state = "rejected" if any(isinstance(e, ev.KeyEpochRejected) for e in events) else state
        confirmed = {e.holder for e in events if isinstance(e, ev.KeyShareConfirmed)}
        return {"event": proposed, "state": state, "confirmed": confirmed}

    def _summary(self, study: StudyView) -> dict[str, Any]:
        try:
            name = self.facts.frame(study.id).spec.name if study.spec_cid else ""
        except DefedError:
            name = ""
        return {"view": study, "name": name, "finalised": len(study.finalised), "steps": study.rules.steps if study.rules else 0}

    def study(self, number: int, page: int = 1) -> dict[str, Any]:
        """The spec in words, rounds newest first with gas and bytes, the metric by round, privacy budgets."""
        study = self.index.study(number)
        spec_error, words, spec_text = "", "", ""
        steps: tuple[Step, ...] = ()
        try:
            frame = self.facts.frame(number)
            words, steps = describe(number, frame.spec), frame.steps
            spec_text = json.dumps(json.loads(frame.spec.raw), indent=2)
        except DefedError as error:
            spec_error = error.message
        rounds = [view for _, view in sorted(study.rounds.items(), reverse=True)]
        page_of = paged(rounds, page)
        rows = []
        for view in page_of.rows:
            row: dict[str, Any] = {"view": view, "kind": steps[view.step].kind if view.step < len(steps) else ""}
            row["gas"] = self.facts.known_gas(view.id)
            row["bytes"] = self.facts.update_bytes(number, view) * len(view.reveals) if steps else None
            row["metrics"] = self.facts.known_metrics(view.id)
            rows.append(row)
        return {
            "study": study,
            "complete": study.complete,
            "words": words,
            "spec_text": spec_text,
            "spec_error": spec_error,
            "rounds": Paged(rows, page_of.number, page_of.total),
            "aim": self.facts.aim(number) if steps else "",
            "chart": self._chart(study) if steps else None,
            "budgets": self._budgets(study),
            "budget": self.facts.frame(number).spec.privacy if steps else None,
        }

    def _chart(self, study: StudyView) -> Chart | None:
        metric = self.facts.aim(study.id)
        points = []
        for view in study.finalised:
            found = self.facts.known_metrics(view.id)
            if found and found.get(metric) is not None:
                points.append((float(view.id), float(found[metric] or 0.0)))
        return chart(metric, points) if len(points) > 1 else None

    def _budgets(self, study: StudyView) -> list[tuple[str, float, float]]:
        """By organisation, the highest total epsilon it declared, and at which delta."""
        latest: dict[str, tuple[float, float]] = {}
        for _, view in sorted(study.rounds.items()):
            for who, loss in view.privacy.items():
                latest[who] = max(latest.get(who, (0.0, 0.0)), (loss.epsilon_total, loss.delta))
        return [(who, epsilon, delta) for who, (epsilon, delta) in latest.items()]

    def round(self, number: int) -> dict[str, Any]:
        """Phases with deadlines, a row for each organisation, the opening and the model."""
        study, view = self.index.round(number)
        events = list(self.index.tables.by_round.get(number, []))
        entered = {e.phase: e for e in events if isinstance(e, ev.PhaseEntered)}
        reasons = _reasons(view)
        shares = {s.holder: s for s in view.shares}
        holders = self.index.tables.epochs[study.key_epoch].holders if study.key_epoch in self.index.tables.epochs else ()
        rows = [
            self._organisation(view, events, position, who, reasons, shares, holders) for position, who in enumerate(study.participants)
        ]
        frame = None
        with suppress(DefedError):
            frame = self.facts.frame(study.id)
        return {
            "study": study,
            "view": view,
            "kind": frame.step(view).kind if frame else "",
            "steps": [(name, text, _state(view.phase, phase), entered.get(phase)) for phase, name, text in STEPS],
            "voided": view.phase == Phase.VOIDED,
            "final": view.phase == Phase.FINALISED,
            "deadline": view.deadline,
            "rows": rows,
            "set_size": len(view.frozen),
            "aggregate": next((p for p in view.aggregates if any(s.aggregate_root == p.root for s in view.shares)), None),
            "openings": view.openings,
            "attestations": view.attestations,
            "gas": self.facts.gas_of_round(number),
            "metrics": self.facts.known_metrics(number),
            "events": self._rows(events),
        }

    def _organisation(
        self,
        view: RoundView,
        events: list[ev.Event],
        position: int,
        who: str,
        reasons: dict[int, list[str]],
        shares: dict[str, Any],
        holders: tuple[str, ...],
    ) -> dict[str, Any]:
        mine = {
            type(e).__name__: e
            for e in events
            if who in (getattr(e, "participant", ""), getattr(e, "holder", ""), getattr(e, "aggregator", ""))
        }
        reveal = view.reveals.get(position)
        included = position in view.frozen
        return {
            "who": who,
            "holder": who in holders,
            "committed": mine.get("UpdateCommitted"),
            "revealed": mine.get("UpdateRevealed"),
            "cid": reveal.cid if reveal else "",
            "decided": bool(view.set_hash),
            "included": included,
            "why": "" if included else ", ".join(reasons.get(position, [])),
            "share": mine.get("ShareReleased"),
            "share_cid": shares[who].cid if who in shares else "",
            "disputed": who in view.disputed,
            "attested": mine.get("ModelAttested"),
            "privacy": view.privacy.get(who),
        }

    def block(self, number: int) -> dict[str, Any]:
        """Raises NotFound for a block that the chain does not have."""
        found = self.facts.connection.client.whole_block(number)
        if found is None:
            raise NotFound(f"there is no block {number}")
        events = self.index.tables.by_block.get(number, [])
        return {"block": found, "events": self._rows(list(events)), "newest": self.index.head.number if self.index.head else number}

    def transaction(self, tx_hash: bytes) -> dict[str, Any]:
        """The decoded call, its events, or the custom error by name. Raises NotFound for a transaction that was not mined."""
        client = self.facts.connection.client
        found = client.transaction(tx_hash)
        if found is None:
            raise NotFound(f"the chain has no mined transaction 0x{tx_hash.hex()}")
        contract = self.network_.contracts.name_of(found.to) if found.to else None
        call = decode_call(contract, found.data) if contract else None
        refusal = ""
        if not found.succeeded:
            try:
                refused = client.refusal(found)
                refusal = refused.message if refused is not None else "the call goes through on the state before its block"
            except DefedError as error:
                refusal = error.message
        events = [event for log in found.logs if (event := decode_log(self.network_, log)) is not None]
        head = client.block(found.block)
        return {
            "tx": found,
            "contract": contract,
            "call": call,
            "refusal": refusal,
            "events": self._rows(events),
            "time": head.timestamp if head else None,
            "foreign_logs": len(found.logs) - len(events),
        }

    def address(self, address: str, page: int = 1) -> dict[str, Any]:
        tables = self.index.tables
        contract = self.network_.contracts.name_of(address)
        events: list[ev.Event] = list(tables.by_address.get(address, []))
        if contract:
            events = [e for block in sorted(tables.by_block) for e in tables.by_block[block] if e.meta.contract == address]
        if not events and not contract:
            raise NotFound(f"{address} takes no part in this network")
        page_of = paged(events[::-1], page)
        return {
            "address": address,
            "contract": contract,
            "profile": tables.profiles.get(address),
            "member": address in tables.members,
            "balance": self.facts.connection.client.balance(address),
            "events": Paged(self._rows(page_of.rows), page_of.number, page_of.total),
            "studies": [s.id for s in list(tables.studies.values()) if address in s.participants],
        }

    def cid(self, cid: str) -> dict[str, Any]:
        events = list(self.index.tables.by_cid.get(cid, []))
        if not events:
            raise NotFound("no event of this network names this CID")
        return {"cid": cid, "events": self._rows(events), "blob": self.facts.blob(cid), "pinned_here": self.facts.pinned_here(cid)}

    def find(self, text: str) -> str:
        """The path of what somebody looks for: a number (block), a hash, an address, a CID, `study 3`, `round 7`, or a name.

        Raises:
            NotFound: if it is none of them.
        """
        asked = text.strip()
        words = asked.lower().replace("#", " ").split()
        if len(words) == 2 and words[0] in ("study", "round", "block") and words[1].isdecimal():
            return f"/{words[0]}/{int(words[1])}"
        if asked.isdecimal():
            return f"/block/{int(asked)}"
        if asked.lower().startswith("0x") and all(c in "0123456789abcdef" for c in asked.lower()[2:]):
            if len(asked) == 66:
                return self._hash(bytes.fromhex(asked[2:]))
            if len(asked) == 42:
                known = {a.lower(): a for a in [*list(self.index.tables.by_address), *self.network_.contracts.all()]}
                return f"/address/{known.get(asked.lower(), asked)}"
        if asked in self.index.tables.by_cid:
            return f"/cid/{asked}"
        for address, profile in list(self.index.tables.profiles.items()):
            if asked and profile.name.lower() == asked.lower():
                return f"/address/{address}"
        raise NotFound("nothing here has that name, number, hash, address or CID")

    def _hash(self, value: bytes) -> str:
        """A transaction, or the round that has this root or model hash."""
        if value not in self.index.tables.by_tx:
            for study in list(self.index.tables.studies.values()):
                for view in study.rounds.values():
                    roots = {view.model_hash, view.opening_root, view.set_hash, *(r.update_root for r in view.reveals.values())}
                    if value in roots | set(view.commitments.values()):
                        return f"/round/{view.id}"
        return f"/tx/0x{value.hex()}"

    def _rows(self, events: Sequence[ev.Event]) -> list[dict[str, Any]]:
        return [{"name": type(e).__name__, "values": values_of(e), "meta": e.meta, "time": self.facts.time_of(e)} for e in events]


def _state(now: Phase, phase: Phase) -> str:
    if now == Phase.VOIDED:
        return "void"
    if now == Phase.FINALISED:
        return "done"
    return "now" if now == phase else "done" if phase < now else "next"


def _reasons(view: RoundView) -> dict[int, list[str]]:
    """By position, the different reasons that holders gave for leaving an update out; what does not parse is left out."""
    found: dict[int, list[str]] = {}
    for text in view.reasons.values():
        for part in text.split(";"):
            position, _, reason = part.partition(":")
            if position.isdecimal() and reason and reason not in found.setdefault(int(position), []):
                found[int(position)].append(reason)
    return found
