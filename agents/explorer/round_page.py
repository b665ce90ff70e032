"""A round's page: its phases with deadlines, a row for each organisation, the sum's opening and the model."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from defedbio.chain import events as ev
from defedbio.domain import Phase
from defedbio.errors import DefedError
from defedbio.explorer.lookups import Lookups
from defedbio.protocol.frame import NO_PROOF, StudyFrame
from defedbio.protocol.left_out import left_out
from defedbio.protocol.view import RoundView, StudyView
from defedbio.web.paging import Numbers

MEMBERS_A_PAGE = 50

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
_COLUMNS = {
    "committed": ev.UpdateCommitted,
    "revealed": ev.UpdateRevealed,
    "checked": ev.SetAttested,
    "share": ev.ShareReleased,
    "attested": ev.ModelAttested,
}


def round_page(
    study: StudyView, view: RoundView, events: list[ev.Event], holders: tuple[str, ...], lookups: Lookups, pages: Numbers
) -> dict[str, Any]:
    frame = None
    with suppress(DefedError):
        frame = lookups.frame(study.id)
    entered = {e.phase: e for e in events if isinstance(e, ev.PhaseEntered)}
    acts, missing = by_organisation(events), left_out(study, view)
    page = pages.page("organisations", list(enumerate(study.participants)), MEMBERS_A_PAGE)
    rows = [organisation(view, position, who, acts.get(who, {}), missing.get(position, ""), who in holders) for position, who in page.rows]
    for row in rows:
        row["gas"] = {name: lookups.gas_of_tx(event.meta.tx_hash) for name, event in row["acts"].items()}
    last = max((phase for phase in entered if phase <= Phase.FINALISED), default=Phase.OPEN)
    return {
        "study": study,
        "view": view,
        "kind": kind_of(frame, view),
        "steps": [(name, text, state_of(view.phase, phase, last), entered.get(phase)) for phase, name, text in STEPS],
        "voided": view.phase == Phase.VOIDED,
        "final": view.phase == Phase.FINALISED,
        "deadline": view.deadline,
        "rows": page.holding(rows),
        "set_size": len(view.frozen),
        "wrong": [(post, wrong) for wrong in view.wrong for post in view.wrongly_posted if post.root == wrong.root],
        "opened_wrong": any(wrong.root == view.product for wrong in view.wrong),
        "products": [p for p in view.aggregates if p.root == view.product],
        "parts": view.parts,
        "openings": view.openings,
        "gas": lookups.gas_of_round(view.id),
        "proof_bytes": frame.proof_bytes(view) if frame and view.step < len(frame.steps) else 0,
        "metrics": lookups.known_metrics(view.id),
    }


def kind_of(frame: StudyFrame | None, view: RoundView) -> str:
    """What the round's step does; "" while the spec is not known."""
    return frame.steps[view.step].kind if frame and view.step < len(frame.steps) else ""


def by_organisation(events: list[ev.Event]) -> dict[str, dict[str, ev.Event]]:
    """By address, its latest act of each column."""
    found: dict[str, dict[str, ev.Event]] = {}
    for event in events:
        for name, kind in _COLUMNS.items():
            if isinstance(event, kind):
                found.setdefault(event.actor, {})[name] = event
    return found


def organisation(view: RoundView, position: int, who: str, acts: dict[str, ev.Event], why: str, holder: bool) -> dict[str, Any]:
    """What one organisation did in the round, and whether its update is in the sum, or why not."""
    reveal = view.reveals.get(position)
    verdict = "out" if why else "in" if position in view.frozen else ""
    return {
        "who": who,
        "holder": holder,
        "acts": acts,
        "verdict": verdict,
        "why": why,
        "wrong": any(post.sender == who for post in view.wrongly_posted),
        "proof": reveal.proof_hash if reveal is not None and reveal.proof_hash != NO_PROOF else b"",
        "checked": view.found_good(position),
        "refused": view.found_bad(position),
        "disputed": sum(dispute.holder == who for dispute in view.disputes),
        "absent": position in view.absent,
        "privacy": view.privacy.get(who),
    }


def state_of(now: Phase, phase: Phase, last: Phase) -> str:
    """Of one step: done, now, next; void for the step in which a voided round ended. `last` is the last phase entered before that."""
    if now == Phase.VOIDED:
        return "done" if phase < last else "void" if phase == last else "next"
    if now == Phase.FINALISED:
        return "done"
    return "now" if now == phase else "done" if phase < now else "next"
