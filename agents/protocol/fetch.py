"""What others published, fetched and checked: CID first, then exact length and header, then values, then the root on the chain, and the
proof last, which costs most (C3)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from defedbio.crypto import roots, threshold, wire
from defedbio.crypto.arithmetic import ONE_THREAD, Arithmetic
from defedbio.crypto.merkle import keccak256
from defedbio.crypto.numbers import Rand
from defedbio.crypto.proofs import contribution
from defedbio.crypto.threshold import Opening
from defedbio.errors import BadProof, BlobMismatch, BlobUnavailable, InternalFault, PeerFault
from defedbio.learning.state import GlobalState, genesis, size_cap
from defedbio.network.peers import Peers
from defedbio.protocol.frame import NO_PROOF, StudyFrame
from defedbio.protocol.view import Post, Reveal, RoundView, Share, StudyView


def keepers_of_updates(view: RoundView) -> tuple[str, ...]:
    """Key holders that by the chain have fetched and pinned the round's updates (C5)."""
    return tuple(view.attested)


def keepers_of_openings(view: RoundView) -> tuple[str, ...]:
    """Who by the chain holds the round's opening and model, or will: key holders that attested to it, then participants (C5)."""
    return (*(a.holder for a in view.attestations), *view.commitments)


@dataclass
class Fetcher:
    """Reads one study's blobs. `seconds` bounds each fetch."""

    frame: StudyFrame
    peers: Peers
    rand: Rand
    seconds: float = 30.0

    def update(self, view: RoundView, reveal: Reveal, seconds: float | None = None) -> wire.UpdatePayload:
        """A revealed update: ciphertexts that are units below n² and have the revealed root, with the proof of the revealed hash. Whether
        the proof holds is for `check_proofs` to say. `seconds` bound the fetch instead of the usual ones.

        Raises:
            BlobUnavailable, MalformedBlob, BlobMismatch, BadCiphertext: with the participant to blame.
        """
        key = self.frame.key.public_key
        header = self.frame.header(wire.BlobKind.UPDATE, view, reveal.participant)
        try:
            raw = self._blob(header, reveal.cid, reveal.participant, keepers_of_updates(view), seconds)
            update = wire.decode_update(raw, header, key)
            if roots.update_root(update.ciphertexts, key) != reveal.update_root:
                raise BlobMismatch("the update's root is not the revealed one")
            if not self.frame.spec.proofs and reveal.proof_hash != NO_PROOF:
                raise BlobMismatch("the update names a proof, and this study asks for none")
            if self.frame.spec.proofs and reveal.proof_hash != keccak256(update.proof):
                raise BlobMismatch("the update's proof is not the one whose hash was revealed")
        except PeerFault as error:
            raise error.blame(reveal.participant) from None
        return update

    def check_proofs(
        self, view: RoundView, updates: Sequence[tuple[Reveal, wire.UpdatePayload]], arithmetic: Arithmetic = ONE_THREAD
    ) -> list[BadProof | None]:
        """For each update that `update` gave why its proof does not hold, with the participant to blame; None where it does."""
        statements = [self.frame.statement(view, reveal.participant, update.ciphertexts) for reveal, update in updates]
        found = contribution.verify_all(statements, [update.proof for _, update in updates], self.rand, arithmetic)
        for (reveal, _), error in zip(updates, found, strict=True):
            if error is not None:
                error.blame(reveal.participant)
        return found

    def aggregate(self, view: RoundView, post: Post) -> list[int]:
        """The final products that a post's blob holds, units below n²; whose they are its root does not say.

        Raises:
            BlobUnavailable, MalformedBlob, BlobMismatch, BadCiphertext: with the poster to blame.
        """
        header = self.frame.header(wire.BlobKind.AGGREGATE, view)
        try:
            return wire.decode_aggregate(self._blob(header, post.cid, post.sender), header, self.frame.key.public_key)
        except PeerFault as error:
            raise error.blame(post.sender) from None

    def share(self, view: RoundView, share: Share) -> wire.SharePayload:
        """A holder's share values and encoded proof, with the root and proof hash on the chain.

        Raises:
            BlobUnavailable, MalformedBlob, BlobMismatch, BadShare: with the holder to blame.
        """
        key = self.frame.key.public_key
        header = self.frame.header(wire.BlobKind.SHARE, view, share.holder)
        try:
            payload = wire.decode_share(self._blob(header, share.cid, share.holder), header, key)
            if roots.share_root(payload.values, key) != share.share_root or keccak256(payload.proof) != share.proof_hash:
                raise BlobMismatch("the share is not the one whose root and proof are on the chain")
        except PeerFault as error:
            raise error.blame(share.holder) from None
        return payload

    def opening(self, view: RoundView, post: Post, ciphertexts: Sequence[int], arithmetic: Arithmetic = ONE_THREAD) -> list[Opening]:
        """A posted opening that holds for the aggregate's `ciphertexts` (P6), from its poster or from a holder that attested to its root.

        Raises:
            BlobUnavailable, MalformedBlob, BlobMismatch, BadOpening: with the poster to blame.
        """
        openings = self._openings(self.frame.header(wire.BlobKind.OPENING, view), post, 0, keepers_of_openings(view))
        self.check_openings(post.sender, ciphertexts, openings, arithmetic)
        return openings

    def opening_part(self, view: RoundView, post: Post, span: range) -> list[Opening]:
        """A posted part of the opening, of the ciphertexts of `span`; whether it holds is for `check_openings` to say.

        Raises:
            BlobUnavailable, MalformedBlob, BlobMismatch: with the poster to blame.
        """
        return self._openings(self.frame.part_header(view, post.sender, span), post, span.start)

    def check_openings(
        self, poster: str, ciphertexts: Sequence[int], openings: Sequence[Opening], arithmetic: Arithmetic = ONE_THREAD
    ) -> None:
        """Raises BadOpening, with the poster to blame, unless the openings hold for these ciphertexts."""
        try:
            threshold.check_openings(self.frame.key, ciphertexts, openings, self.rand, arithmetic)
        except PeerFault as error:
            raise error.blame(poster) from None

    def model_bytes(self, view: RoundView) -> bytes:
        """The model of a finalised round, from whichever attesting holder delivers bytes of the chain's hash.

        Raises:
            BlobUnavailable, BlobMismatch: when none does.
        """
        limit = size_cap(self.frame.spec)
        attestors = [a for a in view.attestations if a.model_hash == view.model_hash]
        if not attestors:
            raise InternalFault(f"round {view.id} is final without an attestation of its model")
        missing: BlobUnavailable | None = None
        for attestation in attestors:
            try:
                raw = self.peers.fetch(attestation.cid, attestation.holder, limit, self.seconds, keepers_of_openings(view))
            except BlobUnavailable as error:
                missing = error
            except PeerFault as error:
                self.peers.report.note(f"model refused: {error.message}", round=view.id, peer=attestation.holder)
            else:
                if keccak256(raw) == view.model_hash:
                    return raw
        raise missing or BlobMismatch(f"no attested CID of round {view.id} holds the model of the chain's hash")

    def model(self, view: RoundView) -> GlobalState:
        return GlobalState.from_bytes(self.model_bytes(view), self.frame.spec)

    def parent_model(self, study: StudyView, view: RoundView) -> GlobalState:
        """The model that a round starts from: its parent's, or the spec's first."""
        return genesis(self.frame.spec) if view.parent == 0 else self.model(study.rounds[view.parent])

    def _openings(self, header: wire.Header, post: Post, start: int, others: tuple[str, ...] = ()) -> list[Opening]:
        key = self.frame.key.public_key
        try:
            openings = wire.decode_opening(self._blob(header, post.cid, post.sender, others), header, key)
            if roots.opening_root(openings, key, start) != post.root:
                raise BlobMismatch("the opening's root is not the one on the chain")
        except PeerFault as error:
            raise error.blame(post.sender) from None
        return openings

    def _blob(self, header: wire.Header, cid: str, owner: str, others: tuple[str, ...] = (), seconds: float | None = None) -> bytes:
        return self.peers.fetch(cid, owner, header.size, self.seconds if seconds is None else seconds, others)
