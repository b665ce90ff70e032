"""Do what `decide` named, and tell it what the journal holds: the only way from a decision to an effect."""

from __future__ import annotations

import time
from typing import Any

from defedbio.chain.bindings.round_manager import RoundManager
from defedbio.errors import InternalFault
from defedbio.protocol import actions as act
from defedbio.protocol import catalogue as kinds
from defedbio.protocol.decide import Facts
from defedbio.protocol.effects import models, privacy, products, sums, updates
from defedbio.protocol.tools import Tools, seen_in
from defedbio.protocol.view import Pair, RoundView, StudyView


def facts_of(tools: Tools, study: StudyView) -> Facts:
    """What the journal holds of the study's newest round."""
    view = study.latest
    if view is None:
        return Facts()

    def kept(kind: kinds.Kind[dict[str, Any]]) -> dict[str, Any] | None:
        return tools.memory.get(kind, view)

    before = study.before(view)
    aggregate, opening, model, adopted = kept(kinds.AGGREGATE), kept(kinds.OPENING), kept(kinds.MODEL), kept(kinds.ADOPTED)
    good, rejected = updates.checked(tools, view)
    return Facts(
        prepared=kept(kinds.UPDATE) is not None,
        forgotten=tools.memory.forgotten(view),
        private=tools.frame.privacy(view) is not None,
        sits_out=tools.dataset is None or tools.unaccounted(view) or kept(kinds.SITS_OUT) is not None,
        good=good,
        rejected=rejected,
        checked_ago=time.monotonic() - tools.checked_at.get(view.id, float("-inf")),
        aggregate=_pair(aggregate),
        released=any(share.holder == tools.address for share in view.shares),
        opening=_pair(opening),
        model_hash=bytes.fromhex(model["hash"]) if model else None,
        withheld=tools.unaccounted(view) or kept(kinds.WITHHELD) is not None,
        openings_checked=seen_in(kept(kinds.OPENINGS), view.openings),
        shares_tried=seen_in(kept(kinds.COMBINING), view.shares),
        parts_refused=kept(kinds.PARTS) is not None,
        ciphertexts=tools.frame.ciphertexts(view),
        adopted=adopted is not None and adopted["hash"] == view.model_hash.hex(),
        stopped=adopted is not None and adopted["hash"] == view.model_hash.hex() and bool(adopted["stopped"]),
        idle=before is not None and (tools.unaccounted(before) or tools.memory.get(kinds.SITS_OUT, before) is not None),
        refused=frozenset(sums.refused(tools, view)),
        weighed=frozenset(sums.weighed(tools, view)),
        products=products.weighed(tools, view),
    )


def perform(tools: Tools, study: StudyView, action: act.Action) -> None:
    """Carry one action out. Every part is safe to repeat: the journal and the contracts keep its effect single."""
    match action:
        case act.StartRound():
            key = f"study/{study.id}/open/{study.latest.id if study.latest else 0}"
            tools.send(RoundManager.open_round(key, study.id))
        case act.ComeBack():
            tools.send(RoundManager.come_back(f"round/{action.round}/come-back", action.round), round=action.round)
        case act.PrepareUpdate():
            updates.prepare_update(tools, study, _view(study, action.round))
        case act.DeclarePrivacy():
            privacy.declare(tools, _view(study, action.round))
        case act.Commit():
            updates.commit(tools, _view(study, action.round))
        case act.Reveal():
            updates.reveal(tools, study, _view(study, action.round))
        case act.CheckUpdates():
            updates.check_updates(tools, _view(study, action.round))
        case act.AttestSet():
            updates.attest_set(tools, _view(study, action.round), action.set, action.refused)
        case act.ComputeAggregate():
            sums.compute_aggregate(tools, _view(study, action.round))
        case act.PostAggregate():
            sums.post_aggregate(tools, _view(study, action.round))
        case act.WeighProduct():
            products.weigh(tools, _view(study, action.round), (action.root, action.cid))
        case act.ReleaseShare():
            sums.release_share(tools, _view(study, action.round))
        case act.CheckShare():
            sums.check_share(tools, _view(study, action.round), action.holder)
        case act.CheckOpening():
            models.check_posted_opening(tools, study, _view(study, action.round))
        case act.CombinePart():
            sums.combine_part(tools, study, _view(study, action.round))
        case act.AssembleParts():
            models.assemble_parts(tools, study, _view(study, action.round))
        case act.CombineShares():
            models.combine_and_keep(tools, study, _view(study, action.round))
        case act.PostOpening():
            models.post_opening(tools, _view(study, action.round))
        case act.AttestModel():
            models.attest_model(tools, _view(study, action.round))
        case act.AdoptModel():
            models.adopt_model(tools, _view(study, action.round))
        case act.Advance():
            view = _view(study, action.round)
            tools.send(RoundManager.advance(f"round/{view.id}/advance/{view.phase.name}", view.id), round=view.id)
        case act.Finish() | act.Halt():
            raise InternalFault(f"{type(action).__name__} is the loop's to act on")


def _pair(record: dict[str, Any] | None) -> Pair | None:
    return (bytes.fromhex(record["root"]), record["cid"]) if record else None


def _view(study: StudyView, round_id: int) -> RoundView:
    return study.rounds[round_id]
