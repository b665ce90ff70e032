"""One organisation's connection to chain and IPFS, and what both say together: keys and specs, checked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from defedbio.chain.bindings.key_registry import KeyRegistry
from defedbio.chain.bindings.participant_registry import ParticipantRegistry
from defedbio.chain.bindings.round_manager import RoundManager
from defedbio.chain.bindings.study_registry import StudyRegistry
from defedbio.chain.client import ChainClient
from defedbio.chain.network import Network
from defedbio.chain.records import Receipt, Transaction
from defedbio.chain.values import KeyEpoch, Study, StudyRules
from defedbio.crypto.merkle import keccak256
from defedbio.errors import BadTranscript, BlobMismatch, InvalidSpec, PeerFault
from defedbio.ipfs.store import BlobStore
from defedbio.network.peers import Peers
from defedbio.network.sending import send
from defedbio.report import Reporter

# What reads the chain alone loads neither the cryptography nor the learning part.
if TYPE_CHECKING:
    from defedbio.crypto.ceremony import CeremonyTranscript
    from defedbio.spec import StudySpec

MAX_TRANSCRIPT_BYTES = 1 << 20
FETCH_SECONDS = 30.0


@dataclass
class Connection:
    """A connected chain client and the organisation's own IPFS node."""

    client: ChainClient
    store: BlobStore
    report: Reporter

    def send(self, transaction: Transaction) -> Receipt:
        """See `network.sending.send`."""
        return send(self.client, self.report, transaction)

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

    def transcript(self, epoch: int, others: Sequence[str] = ()) -> tuple[KeyEpoch, CeremonyTranscript]:
        """A key epoch and its public transcript, checked against each other and in itself.

        The epoch's proposer and holders keep the transcript, and so do `others`, the participants of studies under this key (C5).

        Raises:
            NotFound: for an unknown epoch.
            BadTranscript, BlobMismatch: with the proposer to blame.
        """
        on_chain, proposal = self.keys.epoch_of(epoch), self.keys.proposal_of(epoch)
        keepers = (*on_chain.holders, *others)
        raw = self.peers.fetch(proposal.transcript_cid, proposal.proposer, MAX_TRANSCRIPT_BYTES, FETCH_SECONDS, keepers)
        return on_chain, transcript_of(raw, on_chain, self.client.network)

    def spec(self, study: int) -> tuple[Study, StudySpec]:
        """A study and its spec, whose hash, rules and invited are the chain's (S2). Coordinator, participants and key holders keep it (C5).

        Raises:
            NotFound: for an unknown study.
            BlobMismatch, InvalidSpec: if the coordinator published something else or nonsense.
        """
        from defedbio.spec import MAX_SPEC_BYTES

        on_chain, opened = self.studies.study_of(study), self.studies.opening_of(study)
        invited = self.studies.invited_to(study) if on_chain.invited else ()
        keepers = (*self.studies.participants(study), *self.keys.epoch_of(on_chain.key_epoch).holders)
        raw = self.peers.fetch(opened.spec_cid, opened.coordinator, MAX_SPEC_BYTES, FETCH_SECONDS, keepers)
        return on_chain, spec_of(raw, on_chain, invited)

    def agreed(self, study: int) -> tuple[str, str]:
        """The CIDs of what was agreed: the spec and the transcript of the key.

        Raises:
            NotFound: for an unknown study.
        """
        opened = self.studies.opening_of(study)
        return opened.spec_cid, self.keys.proposal_of(opened.key_epoch).transcript_cid

    def pin_agreed(self, study: int) -> None:
        """Keep what was agreed (C5), once it is fetched and checked."""
        for cid in self.agreed(study):
            self.store.pin(cid)


def transcript_of(raw: bytes, on_chain: KeyEpoch, network: Network) -> CeremonyTranscript:
    """The transcript of a key epoch, checked against the chain's record of it and in itself.

    Raises:
        BadTranscript, BlobMismatch: with the proposer to blame.
    """
    from defedbio.crypto.ceremony import CeremonyTranscript

    try:
        if keccak256(raw) != on_chain.transcript_hash:
            raise BlobMismatch(f"the transcript of key epoch {on_chain.epoch} is not the one of the chain's hash")
        transcript = CeremonyTranscript.from_bytes(raw)
        agreed = (
            [h.address.lower() for h in transcript.holders] == [h.lower() for h in on_chain.holders]
            and transcript.threshold == on_chain.threshold
            and transcript.kind == on_chain.kind.name.lower()
            and transcript.key.public_key.hash == on_chain.modulus_hash
            and transcript.chain_id == network.chain_id
            and transcript.registry.lower() == network.contracts["KeyRegistry"].lower()
        )
        if not agreed:
            raise BadTranscript(f"the transcript of key epoch {on_chain.epoch} disagrees with the chain")
        transcript.check()
    except PeerFault as error:
        raise error.blame(on_chain.proposer) from None
    return transcript


def spec_of(raw: bytes, on_chain: Study, invited: Sequence[str] = ()) -> StudySpec:
    """The spec of a study, whose hash, rules and invited are the chain's (S2). `invited` as the chain has them.

    Raises:
        BlobMismatch, InvalidSpec: if the coordinator published something else or nonsense.
    """
    from defedbio.spec import StudySpec

    if keccak256(raw) != on_chain.spec_hash:
        raise BlobMismatch(f"the spec of study {on_chain.study} is not the one of the chain's hash").blame(on_chain.coordinator)
    spec = StudySpec.from_bytes(raw)
    if rules_of(spec, on_chain.rules.enrol_until) != on_chain.rules or spec.key_epoch != on_chain.key_epoch:
        raise InvalidSpec(f"the rules of study {on_chain.study} on the chain are not its spec's", "do not join; tell its coordinator")
    if [a.lower() for a in spec.invited] != [a.lower() for a in invited] or len(spec.invited) != on_chain.invited:
        raise InvalidSpec(f"study {on_chain.study} takes others on the chain than its spec invites", "do not join; tell its coordinator")
    return spec


def rules_of(spec: StudySpec, enrol_until: int) -> StudyRules:
    """The part of a spec that the contracts enforce; `enrol_until` in unix seconds."""
    from defedbio.learning.plan import schedule

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
        least_share=spec.least_share,
    )
