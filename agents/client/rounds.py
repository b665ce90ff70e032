"""What happened in a study's rounds, and whether it holds."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

from defedbio.client.session import Session
from defedbio.client.values import Value, hex_of
from defedbio.domain import Phase
from defedbio.errors import NotFound
from defedbio.protocol.frame import NO_PROOF
from defedbio.protocol.view import RoundView, StudyView

__all__ = ["OrganisationRecord", "RoundRecord", "RoundSummary", "Rounds"]


@dataclass(frozen=True)
class RoundSummary(Value):
    """`committed`, `revealed` and `in_set` count organisations; `model_cid` is empty until the round is finalised."""

    round: int
    step: int
    phase: str
    committed: int
    revealed: int
    in_set: int
    model_cid: str


@dataclass(frozen=True)
class OrganisationRecord(Value):
    """What one organisation did in a round, and whether the round `awaited` its update: it does not where the last three sums went on
    without one. `proof_hash` is that of the proof that its update came with, "-" where there is none; so many key holders `checked` both
    and found them good, and so many `refused` them. `wrong_product` says that it posted a product that was shown on the chain to be wrong.
    `share` and `attested_model` are its acts as a holder of the key; that a share is disputed is another's word."""

    participant: str
    awaited: bool
    committed: bool
    revealed: bool
    update_cid: str
    proof_hash: str
    checked: int
    refused: int
    in_set: bool
    wrong_product: bool
    share: bool
    share_disputed: bool
    attested_model: bool


@dataclass(frozen=True)
class RoundRecord(Value):
    """A round as the chain tells it. `deadline` is the phase's, in unix seconds; `left_out` gives by holder why it left somebody out;
    `parent` is the round whose model this one started from, 0 for none; hashes are "-" until they are there."""

    round: int
    study: int
    step: int
    phase: str
    deadline: int
    overdue: bool
    parent: int
    participants: tuple[OrganisationRecord, ...]
    left_out: Mapping[str, str]
    aggregate_root: str
    opening_root: str
    model_hash: str
    model_cid: str
    voided: bool


RoundSummaries = list[RoundSummary]


class Rounds:
    def __init__(self, session: Session) -> None:
        self._session = session

    def show(self, round: int) -> RoundRecord:
        """Who committed, revealed, was in the set and why, shares, opening, model.

        Raises:
            NotFound: for an unknown round.

        Example:
            [part.participant for part in client.round.show(7).participants if not part.committed]
        """
        connection = self._session.reader()
        study = connection.study_view(connection.rounds.round_of(round).study)
        view = study.rounds.get(round)
        if view is None:
            raise NotFound(f"round {round} is not in the node's logs yet")
        return record_of(study, view)

    def list(self, study: int) -> RoundSummaries:
        """A study's rounds in their order.

        Raises:
            NotFound: for an unknown study.

        Example:
            pandas.DataFrame(client.round.list(1))
        """
        connection = self._session.reader()
        connection.studies.study_of(study)
        return [
            RoundSummary(r.id, r.step, r.phase.name.lower(), len(r.commitments), len(r.reveals), len(r.frozen), r.model_cid)
            for _, r in sorted(connection.study_view(study).rounds.items())
        ]


def record_of(study: StudyView, view: RoundView) -> RoundRecord:
    sharers, attestors = {s.holder for s in view.shares}, {a.holder for a in view.attestations}
    liars = {post.sender for post in view.wrongly_posted}
    records = []
    for position, address in enumerate(study.participants):
        reveal = view.reveals.get(position)
        records.append(
            OrganisationRecord(
                participant=address,
                awaited=position not in view.absent,
                committed=address in view.commitments,
                revealed=reveal is not None,
                update_cid=reveal.cid if reveal else "",
                proof_hash=hex_of(reveal.proof_hash) if reveal and reveal.proof_hash != NO_PROOF else "-",
                checked=view.found_good(position),
                refused=view.found_bad(position),
                in_set=position in view.frozen,
                wrong_product=address in liars,
                share=address in sharers,
                share_disputed=address in view.disputed,
                attested_model=address in attestors,
            )
        )
    return RoundRecord(
        round=view.id,
        study=view.study,
        step=view.step,
        phase=view.phase.name.lower(),
        deadline=view.deadline,
        overdue=not view.phase.ended and time.time() > view.deadline,
        parent=view.parent,
        participants=tuple(records),
        left_out={holder: reasons for holder, reasons in view.reasons.items() if reasons},
        aggregate_root=hex_of(view.product),
        opening_root=hex_of(view.opening_root),
        model_hash=hex_of(view.model_hash),
        model_cid=view.model_cid,
        voided=view.phase == Phase.VOIDED,
    )
