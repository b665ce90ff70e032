"""R5: re-check a finished round from the chain and IPFS alone."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from defedbio.chain.bindings.round_manager import commitment_hash, set_hash
from defedbio.crypto import merkle, roots, wire
from defedbio.domain import Phase, least_set
from defedbio.errors import BadEvidence, BlobMismatch, BlobUnavailable, InvalidInput, PeerFault
from defedbio.protocol import combining
from defedbio.protocol.fetch import Fetcher
from defedbio.protocol.frame import StudyFrame
from defedbio.protocol.result import next_model
from defedbio.protocol.sets import refused_by
from defedbio.protocol.view import Reveal, RoundView, StudyView


@dataclass(frozen=True)
class Check:
    """One step of a verification. `peer` is the address at fault where one is known; `seconds` is how long it took, where that was
    measured, and says nothing of what was found."""

    name: str
    ok: bool
    detail: str
    peer: str = ""
    seconds: float | None = field(default=None, compare=False)


class Refused(Exception):
    def __init__(self, detail: str, peer: str = "") -> None:
        super().__init__(detail)
        self.detail, self.peer = detail, peer


def verify_round(fetcher: Fetcher, study: StudyView, view: RoundView, holders: tuple[str, ...]) -> Iterator[Check]:
    """Checks in the order of the protocol; stops after the first that fails, since the later ones rest on it.

    Raises:
        InvalidInput: if the round is not finalised. BlobUnavailable: when a needed blob cannot be had (nothing is proven then).
    """
    if view.phase != Phase.FINALISED:
        named = "".join(f"; {post.sender} posted a product that was shown to be wrong" for post in view.wrongly_posted)
        raise InvalidInput(f"round {view.id} is {view.phase.name.lower()}{named}: only a finalised round can be verified")
    audit = _Audit(fetcher, study, view, holders)
    for name, step in (
        ("commitments", audit.commitments),
        ("frozen set", audit.frozen_set),
        *((("privacy", audit.privacy),) if audit.frame.privacy(view) is not None else ()),
        ("updates", audit.updates),
        *((("proofs", audit.proofs),) if audit.frame.spec.proofs else ()),
        ("aggregate", audit.aggregate),
        ("opening", audit.opening),
        ("model", audit.model),
        ("model bytes", audit.model_bytes),
    ):
        began = time.monotonic()
        try:
            ok, detail, peer = True, step(), ""
        except Refused as refusal:
            ok, detail, peer = False, refusal.detail, refusal.peer
        except BlobUnavailable:
            raise
        except PeerFault as error:
            ok, detail, peer = False, error.message, error.peer
        yield Check(name, ok, detail, peer, time.monotonic() - began)
        if not ok:
            return


class _Audit:
    def __init__(self, fetcher: Fetcher, study: StudyView, view: RoundView, holders: tuple[str, ...]) -> None:
        self.fetcher, self.study, self.view, self.holders = fetcher, study, view, holders
        self.frame: StudyFrame = fetcher.frame
        self.fetched: list[tuple[Reveal, wire.UpdatePayload]] = []
        self.ciphertexts: list[list[int]] = []
        self.sum: list[int] = []
        self.product = b""
        self.model_raw = b""

    def commitments(self) -> str:
        frame, view = self.frame, self.view
        for reveal in view.reveals.values():
            expected = commitment_hash(
                frame.chain_id, frame.contract, view.id, reveal.participant, reveal.update_root, reveal.cid, reveal.proof_hash, reveal.salt
            )
            if view.commitments.get(reveal.participant) != expected:
                raise Refused("a reveal does not match its commitment", reveal.participant)
        return f"{len(view.reveals)} reveals match their commitments"

    def frozen_set(self) -> str:
        view, frame = self.view, self.frame
        agreeing = [h for h, attested in view.attested.items() if attested == view.frozen and h in self.holders]
        refused = refused_by((r for h, r in view.refused.items() if h in self.holders), frame.key.threshold)
        least = least_set(frame.spec.minimum, frame.spec.least_share, len(view.reveals) - len(refused))
        if len(agreeing) < frame.key.threshold:
            raise Refused(f"{len(agreeing)} holders attested to the frozen set, {frame.key.threshold} are needed")
        if len(view.frozen) < least or any(position not in view.reveals for position in view.frozen.positions()):
            raise Refused("the frozen set is too small or holds updates that were never revealed")
        if set_hash(frame.chain_id, frame.contract, view.id, view.frozen) != view.set_hash:
            raise Refused("the set's hash is not that of the set")
        return f"{len(view.frozen)} of {len(self.study.participants)} organisations, attested by {len(agreeing)} holders"

    def privacy(self) -> str:
        """Every organisation in the sum declared its loss, within the study's budget; that it added the noise, nobody can see."""
        agreed = self.frame.privacy(self.view)
        assert agreed is not None
        for reveal in self.view.frozen_reveals():
            declared = self.view.privacy.get(reveal.participant)
            if declared is None:
                raise Refused("an organisation in the sum declared no privacy loss", reveal.participant)
            if not (declared.epsilon_total <= agreed.epsilon * (1 + 1e-6) and declared.delta <= agreed.delta * (1 + 1e-6)):
                raise Refused(f"an organisation declared epsilon {declared.epsilon_total:g}, beyond the budget", reveal.participant)
        most = max(self.view.privacy[r.participant].epsilon_total for r in self.view.frozen_reveals())
        return f"declared by all in the sum: epsilon at most {most:.4g} of {agreed.epsilon:g}, delta {agreed.delta:g}"

    def updates(self) -> str:
        self.fetched = [(reveal, self.fetcher.update(self.view, reveal)) for reveal in self.view.frozen_reveals()]
        self.ciphertexts = [update.ciphertexts for _, update in self.fetched]
        return f"{len(self.ciphertexts)} updates of {len(self.ciphertexts[0])} ciphertexts match their CIDs and roots"

    def proofs(self) -> str:
        """Every update in the sum obeys the study's rules, and its sender knows what is in it."""
        for error in self.fetcher.check_proofs(self.view, self.fetched):
            if error is not None:
                raise error
        return f"{len(self.fetched)} proofs of {self.frame.proof_bytes(self.view)} bytes hold: every update obeys the study's rules"

    def aggregate(self) -> str:
        self.sum, self.product = roots.product_and_root(self.ciphertexts, self.frame.key.public_key)
        opened = self.view.aggregate_root(self.frame.key.threshold)
        shown = [post.sender for post in self.view.wrongly_posted]
        if opened != self.product:
            poster = next((post.sender for post in self.view.aggregates if post.root == opened), "")
            proven = ", which was shown to be wrong on the chain" if poster in shown else ""
            raise Refused(f"the product of the updates has another root than the one the holders released shares for{proven}", poster)
        named = f"; shown to be wrong, and opened by nobody: what {', '.join(shown)} posted" if shown else ""
        return f"the product has root {self.product.hex()}{named}"

    def opening(self) -> str:
        """Any posted blob of the attested root will do; where none can be had or holds, t shares give the opening again."""
        posts = [post for post in self.view.openings if post.root == self.view.opening_root]
        if not posts:
            raise Refused("no opening of the attested root was posted")
        failure: Refused | None = None
        for post in posts:
            try:
                self.openings = self.fetcher.opening(self.view, post, self.sum)
                return f"the opening of {len(self.openings)} ciphertexts holds"
            except BlobUnavailable:
                continue
            except BadEvidence:
                raise
            except PeerFault as error:
                failure = failure or Refused(error.message, error.peer)
        openings = combining.combine(self.fetcher, self.view, self.product, self.sum, lambda share, error: None)
        if openings is None or roots.opening_root(openings, self.frame.key.public_key) != self.view.opening_root:
            raise failure or Refused("the shares do not give an opening of the attested root")
        self.openings = openings
        return f"the opening of {len(openings)} ciphertexts is that of t shares: none that was posted could be had"

    def model(self) -> str:
        view = self.view
        parent = self.fetcher.parent_model(self.study, view)
        try:
            self.model_raw = next_model(self.frame, view, parent, self.openings)
        except InvalidInput as error:
            raise Refused(f"the opened sum gives no model: {error.message}") from None
        if merkle.keccak256(self.model_raw) != view.model_hash:
            raise Refused("the opened sum gives another model than the one attested")
        agreeing = {a.holder for a in view.attestations if (a.opening_root, a.model_hash) == (view.opening_root, view.model_hash)}
        if len(agreeing & set(self.holders)) < self.frame.key.threshold:
            raise Refused("fewer than t holders attested to the model")
        return f"recomputed from the opening: {view.model_hash.hex()}, attested by {len(agreeing)} holders"

    def model_bytes(self) -> str:
        if self.fetcher.model_bytes(self.view) != self.model_raw:
            raise BlobMismatch("the published model is not the recomputed one")
        return f"an attested CID holds these {len(self.model_raw)} bytes"
