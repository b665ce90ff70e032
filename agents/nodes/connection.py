"""One organisation's connection to chain and IPFS, and what both say together: keys and studies, checked."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property

from defedbio.chain.client import ChainClient
from defedbio.chain.events import RoundFinalised, fetch_events
from defedbio.chain.keys import KeyRegistry
from defedbio.chain.network import Network
from defedbio.chain.registry import ParticipantRegistry
from defedbio.chain.rounds import RoundManager
from defedbio.chain.studies import StudyRegistry
from defedbio.chain.values import KeyEpoch, Study, StudyRules
from defedbio.crypto.ceremony import CeremonyTranscript
from defedbio.crypto.merkle import keccak256
from defedbio.domain import KeyEpochStatus
from defedbio.errors import BadTranscript, BlobMismatch, InvalidInput, InvalidSpec, NotFound, PeerFault
from defedbio.ipfs.store import BlobStore
from defedbio.learning.plan import schedule
from defedbio.protocol.fetch import Fetcher, Peers
from defedbio.protocol.frame import StudyFrame
from defedbio.protocol.report import Reporter
from defedbio.protocol.view import StudyView, fold
from defedbio.spec import MAX_SPEC_BYTES, StudySpec

MAX_TRANSCRIPT_BYTES = 1 << 20
FETCH_SECONDS = 30.0


@dataclass
class Connection:
    """A connected chain client and the organisation's own IPFS node."""

    client: ChainClient
    store: BlobStore
    report: Reporter

    @cached_property
    def registry(self) -> ParticipantRegistry:
        return ParticipantRegistry(self.client)

    @cached_property
    def keys(self) -> KeyRegistry:
        return KeyRegistry(self.client)

    @cached_property
    def studies(self) -> StudyRegistry:
        return StudyRegistry(self.client)

    @cached_property
    def rounds(self) -> RoundManager:
        return RoundManager(self.client)

    @cached_property
    def peers(self) -> Peers:
        return Peers(self.registry, self.store, self.report)

    def transcript(self, epoch: int) -> tuple[KeyEpoch, CeremonyTranscript]:
        """A key epoch and its public transcript, checked against each other and in itself.

        Raises:
            NotFound: for an unknown epoch.
            BadTranscript, BlobMismatch: with the proposer to blame.
        """
        on_chain, proposal = self.keys.epoch_of(epoch), self.keys.proposal_of(epoch)
        raw = self.peers.fetch(proposal.transcript_cid, proposal.proposer, MAX_TRANSCRIPT_BYTES, FETCH_SECONDS)
        return on_chain, transcript_of(raw, on_chain, self.client.network)

    def spec(self, study: int) -> tuple[Study, StudySpec]:
        """A study and its spec, whose hash and rules are the chain's (S2).

        Raises:
            NotFound: for an unknown study.
            BlobMismatch, InvalidSpec: if the coordinator published something else or nonsense.
        """
        on_chain, opened = self.studies.study_of(study), self.studies.opening_of(study)
        raw = self.peers.fetch(opened.spec_cid, opened.coordinator, MAX_SPEC_BYTES, FETCH_SECONDS)
        return on_chain, spec_of(raw, on_chain)

    def study_view(self, study: int) -> StudyView:
        """The study and its rounds as the chain tells them now; empty for a study that was never opened."""
        client = self.client
        first, head = client.network.deploy_block, client.head().number
        named = fetch_events(client, first, head, study=study)
        rounds = sorted({event.round for event in named if hasattr(event, "round")})
        within = fetch_events(client, first, head, rounds=rounds) if rounds else []
        merged = {(e.meta.block, e.meta.log_index): e for e in [*named, *within]}
        return fold(StudyView(study), [merged[key] for key in sorted(merged)])

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

    def frame(self, study: int) -> StudyFrame:
        """All fixed facts of a study, from chain and IPFS."""
        on_chain, spec = self.spec(study)
        epoch, transcript = self.transcript(on_chain.key_epoch)
        if epoch.status != KeyEpochStatus.ACTIVE:
            raise InvalidInput(f"key epoch {on_chain.key_epoch} is {epoch.status.name.lower()}, not active")
        network = self.client.network
        return StudyFrame(network.chain_id, network.contracts.round_manager, study, spec, transcript.key)

    def fetcher(self, frame: StudyFrame) -> Fetcher:
        deadlines = frame.spec.deadlines
        shortest = min(deadlines.attest, deadlines.finalise, deadlines.aggregate)
        return Fetcher(frame, self.peers, os.urandom, min(FETCH_SECONDS, shortest / 4))


def transcript_of(raw: bytes, on_chain: KeyEpoch, network: Network) -> CeremonyTranscript:
    """The transcript of a key epoch, checked against the chain's record of it and in itself.

    Raises:
        BadTranscript, BlobMismatch: with the proposer to blame.
    """
    try:
        if keccak256(raw) != on_chain.transcript_hash:
            raise BlobMismatch(f"the transcript of key epoch {on_chain.epoch} is not the one of the chain's hash")
        transcript = CeremonyTranscript.from_bytes(raw)
        agreed = (
            [h.address.lower() for h in transcript.holders] == [h.lower() for h in on_chain.holders]
            and transcript.threshold == on_chain.threshold
            and transcript.key.public_key.hash == on_chain.modulus_hash
            and transcript.chain_id == network.chain_id
            and transcript.registry.lower() == network.contracts.key_registry.lower()
        )
        if not agreed:
            raise BadTranscript(f"the transcript of key epoch {on_chain.epoch} disagrees with the chain")
        transcript.check()
    except PeerFault as error:
        raise error.blame(on_chain.proposer) from None
    return transcript


def spec_of(raw: bytes, on_chain: Study) -> StudySpec:
    """The spec of a study, whose hash and rules are the chain's (S2).

    Raises:
        BlobMismatch, InvalidSpec: if the coordinator published something else or nonsense.
    """
    if keccak256(raw) != on_chain.spec_hash:
        raise BlobMismatch(f"the spec of study {on_chain.study} is not the one of the chain's hash").blame(on_chain.coordinator)
    spec = StudySpec.from_bytes(raw)
    if rules_of(spec, on_chain.rules.enrol_until) != on_chain.rules or spec.key_epoch != on_chain.key_epoch:
        raise InvalidSpec(f"the rules of study {on_chain.study} on the chain are not its spec's", "do not join; tell its coordinator")
    return spec


def rules_of(spec: StudySpec, enrol_until: int) -> StudyRules:
    """The part of a spec that the contracts enforce; `enrol_until` in unix seconds."""
    seconds = spec.deadlines
    return StudyRules(
        seats=spec.seats,
        min_cohort=spec.minimum,
        steps=len(schedule(spec)),
        enrol_until=enrol_until,
        commit_seconds=seconds.commit,
        reveal_seconds=seconds.reveal,
        attest_seconds=seconds.attest,
        aggregate_seconds=seconds.aggregate,
        share_seconds=seconds.share,
        finalise_seconds=seconds.finalise,
    )
