"""What a study's view and events mean to an operator: pure functions from the chain to facts of records."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from defedbio.chain import events as ev
from defedbio.domain import Phase
from defedbio.protocol.left_out import reasons
from defedbio.protocol.view import RoundView, StudyView
from defedbio.spec import Privacy


def study_facts(study: StudyView, address: str, privacy: Privacy | None) -> dict[str, Any]:
    """Where a study stands, as counts and numbers; `epsilon_spent` is what this organisation declared on the chain."""
    facts: dict[str, Any] = {
        "enrolled": len(study.participants),
        "steps": study.rules.steps if study.rules else 0,
        "finalised": study.steps_done,
        "voided": study.past.voided + sum(r.phase == Phase.VOIDED for r in study.rounds.values()),
    }
    view = study.latest
    if view is not None:
        facts |= {"round": view.id, "step": view.step, "round_phase": view.phase.name.lower(), "deadline": view.deadline}
        facts["organisations"] = organisations(view)
    if privacy is not None:
        facts |= {"epsilon_spent": epsilon_spent(study, address), "epsilon_budget": privacy.epsilon}
    return facts


def organisations(view: RoundView) -> dict[str, int]:
    """How many organisations have done each part of a round."""
    return {
        "committed": len(view.commitments),
        "revealed": len(view.reveals),
        "checked": len(view.attested),
        "in_set": len(view.frozen),
        "released": len({share.holder for share in view.shares}),
        "attested": len({attestation.holder for attestation in view.attestations}),
    }


def epsilon_spent(study: StudyView, address: str) -> float:
    """The largest total that the organisation declared; totals never fall (S6)."""
    newer = (view.privacy[address].epsilon_total for view in study.rounds.values() if address in view.privacy)
    return max(study.past.spent.get(address, 0.0), max(newer, default=0.0))


def round_events(events: Iterable[ev.Event], study: StudyView, address: str, scope: str) -> Iterator[dict[str, Any]]:
    """The events that outside tools may hook on, in the chain's order. `scope` names chain and contract in their ids, which stay the same
    whenever and by whomever the event is told."""
    for event in events:
        round_id = getattr(event, "round", 0)
        if round_id not in study.rounds:
            continue
        view = study.rounds[round_id]
        told = _told(event, study, view, address)
        if told is None:
            continue
        name, detail = told
        part = f".{detail['entered']}" if name == "phase.entered" else ""
        yield {
            "event": name,
            "id": f"{scope}/{study.id}/{round_id}/{name}{part}",
            "round": round_id,
            "step": view.step,
            "block": event.meta.block,
            "transaction": "0x" + event.meta.tx_hash.hex(),
            **detail,
        }


def _told(event: ev.Event, study: StudyView, view: RoundView, address: str) -> tuple[str, dict[str, Any]] | None:
    match event:
        case ev.RoundOpened():
            return "round.opened", {"opener": event.opener, "parent": event.parent}
        case ev.PhaseEntered():
            return "phase.entered", {"entered": event.phase.name.lower(), "deadline": event.deadline}
        case ev.SetFrozen():
            sizes = {"set_size": len(event.set), "revealed": len(view.reveals)}
            if address not in study.participants:
                return "set.frozen", {"in_set": None, **sizes}
            position = study.participants.index(address)
            why = {} if position in event.set else {"reasons": list(reasons(view).get(position, ()))}
            return "set.frozen", {"in_set": position in event.set, **sizes, **why}
        case ev.RoundFinalised():
            return "round.finalised", {"model_cid": event.cid, "model_hash": "0x" + event.model_hash.hex()}
        case ev.RoundVoided():
            return "round.voided", {"voided_in": event.phase.name.lower()}
    return None
