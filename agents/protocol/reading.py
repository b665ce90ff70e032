"""Studies as chain and IPFS tell them: their views, their fixed facts, their blobs."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from defedbio.chain.events import KeyShareRetired, ParticipantRegistered, RoundFinalised, StudyOpened, fetch_events
from defedbio.domain import KeyEpochStatus
from defedbio.errors import BlobUnavailable, ChainUnreachable, InvalidInput, NotFound, PeerFault
from defedbio.network.connection import FETCH_SECONDS, Connection
from defedbio.protocol.past import PastRound
from defedbio.protocol.retention import End, Terms, end_of
from defedbio.protocol.view import RoundView, StudyView, fold

if TYPE_CHECKING:
    from defedbio.protocol.fetch import Fetcher
    from defedbio.protocol.frame import StudyFrame


MOST_VOIDS = 1000  # in a row, that a spec can allow


@dataclass(frozen=True)
class Lifetime:
    """A study as the chain has it now, the `end` that it comes to unless it goes on, None where the chain does not know it, and when that
    is, in unix seconds. `now` is the time of the chain's newest block. Whether a study stopped early, only its newest model says: here it
    seems to rest."""

    view: StudyView
    end: End | None
    moment: int
    days: int
    now: int

    @property
    def ended(self) -> bool:
        return self.end is not None and max(self.moment, self.end.waits) <= self.now

    @property
    def kept_until(self) -> int:
        """Unix seconds until which its rounds stay verifiable, if it ends as that."""
        return self.end.kept_until(self.moment, self.days) if self.end is not None else self.moment


@dataclass
class Reader(Connection):
    """A connection that knows what a study is. A signing one reads as well."""

    def study_view(self, study: int) -> StudyView:
        """The study and its rounds as the chain tells them now; empty for a study that was never opened."""
        client = self.client
        first, head = client.network.deploy_block, client.head().number
        named = fetch_events(client, first, head, study=study)
        rounds = sorted({event.round for event in named if hasattr(event, "round")})
        within = fetch_events(client, first, head, rounds=rounds) if rounds else []
        epoch = next((event.key_epoch for event in named if isinstance(event, StudyOpened)), 0)
        erased = fetch_events(client, first, head, kinds=[KeyShareRetired], epoch=epoch) if epoch else []
        merged = {(e.meta.block, e.meta.log_index): e for e in [*named, *within, *erased]}
        return fold(StudyView(study, key_epoch=epoch), [merged[key] for key in sorted(merged)])

    def lifetime(self, study: int) -> Lifetime:
        """How the study ends, and when, by the chain and its spec; where nobody has that, it goes on for as long as any may.

        Raises:
            NotFound: for an unknown study.
        """
        from defedbio.spec import DEFAULT_RETENTION_DAYS

        view, now = self.study_view(study), self.client.head().timestamp
        try:
            on_chain, spec = self.spec(study)
            voids, days = spec.max_voids, spec.retention_days
        except (BlobUnavailable, PeerFault):
            on_chain, voids, days = self.studies.study_of(study), MOST_VOIDS, DEFAULT_RETENTION_DAYS
        view, epoch = replace(view, max_voids=voids), self.keys.epoch_of(on_chain.key_epoch)
        end = end_of(view, Terms(epoch.threshold, len(epoch.holders)))
        block = self.client.block(end.block) if end is not None else None
        if end is None or block is None:
            return Lifetime(view, None, 0, days, now)
        return Lifetime(view, end, end.moment(block.timestamp), days, now)

    def recall(self, study: int, past: PastRound) -> RoundView:
        """A past round with the details that the chain has of it, up to its end.

        Raises:
            ChainUnreachable: if the Ethereum node does not answer, or does not tell of the round.
        """
        events = fetch_events(self.client, past.opened_in, past.ended_in, rounds=[past.id])
        found = fold(StudyView(study), events).rounds.get(past.id)
        if found is None or not found.phase.ended:
            raise ChainUnreachable(
                f"the node at {self.client.rpc_shown} tells of no round {past.id} in blocks {past.opened_in} to {past.ended_in}",
                "use one that keeps all events",
            )
        return replace(found, parent_hash=past.parent_hash)

    def finalisation(self, round_: int) -> RoundFinalised:
        """The event that made a round final.

        Raises:
            NotFound: if there is none.
        """
        first, head = self.client.network.deploy_block, self.client.head().number
        for event in fetch_events(self.client, first, head, kinds=[RoundFinalised], rounds=[round_]):
            if isinstance(event, RoundFinalised):
                return event
        raise NotFound(f"round {round_} is not final")

    def name_of(self, address: str) -> str:
        """What an address calls itself now; "" if it registered nothing."""
        try:
            return self.registry.profile_of(address).name
        except NotFound:
            return ""

    def names_of(self, addresses: Collection[str]) -> Mapping[str, frozenset[str]]:
        """Every name that each of these addresses ever registered for itself."""
        first, head = self.client.network.deploy_block, self.client.head().number
        known: dict[str, set[str]] = {address: set() for address in addresses}
        for event in fetch_events(self.client, first, head, kinds=[ParticipantRegistered]):
            if isinstance(event, ParticipantRegistered) and event.participant in known:
                known[event.participant].add(event.name)
        return {address: frozenset(names) for address, names in known.items()}

    def frame(self, study: int) -> StudyFrame:
        """All fixed facts of a study, from chain and IPFS."""
        from defedbio.protocol.frame import StudyFrame

        on_chain, spec = self.spec(study)
        epoch, transcript = self.transcript(on_chain.key_epoch, self.studies.participants(study))
        if epoch.status not in (KeyEpochStatus.ACTIVE, KeyEpochStatus.RETIRED):
            raise InvalidInput(f"key epoch {on_chain.key_epoch} is {epoch.status.name.lower()}: it was never active")
        network = self.client.network
        return StudyFrame(network.chain_id, network.contracts["RoundManager"], study, spec, transcript.key)

    def fetcher(self, frame: StudyFrame) -> Fetcher:
        from defedbio.protocol.fetch import Fetcher

        deadlines = frame.spec.deadlines
        shortest = min(deadlines.attest, deadlines.finalise, deadlines.aggregate)
        return Fetcher(frame, self.peers, os.urandom, min(FETCH_SECONDS, shortest / 4))
