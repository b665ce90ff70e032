"""The fixed facts of a study that every blob, proof and check of its rounds is bound to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from defedbio.chain.network import confirmations_on
from defedbio.crypto import wire
from defedbio.crypto.merkle import keccak256
from defedbio.crypto.packing import Layout
from defedbio.crypto.proofs.statement import Form, Statement
from defedbio.crypto.threshold import ThresholdKey
from defedbio.domain import RoundContext
from defedbio.errors import InvalidSpec
from defedbio.learning.plan import Step, StepKind, schedule
from defedbio.learning.state import genesis
from defedbio.protocol.form import proven_forms
from defedbio.protocol.past import PastRound
from defedbio.protocol.view import RoundView
from defedbio.spec import Privacy, StudySpec

NOBODY = "0x" + "00" * 20
NO_PROOF = bytes(32)  # the proof hash in every commitment of a study without proofs


@dataclass(frozen=True)
class StudyFrame:
    """`contract` is the RoundManager's address on chain `chain_id`."""

    chain_id: int
    contract: str
    study: int
    spec: StudySpec
    key: ThresholdKey

    def __post_init__(self) -> None:
        if self.key.public_key.bits != self.spec.modulus_bits:
            found = self.key.public_key.bits
            raise InvalidSpec(f"the spec asks for a key of {self.spec.modulus_bits} bits, and key epoch {self.spec.key_epoch} has {found}")
        self._proven  # noqa: B018 - what cannot be proven is no study

    @property
    def confirmations(self) -> int:
        """How many blocks must follow an event before nodes act on it (C1)."""
        return confirmations_on(self.chain_id) if self.spec.confirmations is None else self.spec.confirmations

    @cached_property
    def steps(self) -> tuple[Step, ...]:
        return schedule(self.spec)

    def step(self, view: RoundView | PastRound) -> Step:
        return self.steps[view.step]

    def privacy(self, view: RoundView | PastRound) -> Privacy | None:
        """What this round's updates cost of each organisation's budget; None where they cost nothing."""
        return self.spec.privacy if self.step(view).kind == "train" else None

    def context(self, round_id: int) -> RoundContext:
        return RoundContext(self.chain_id, self.contract, self.study, round_id)

    def rotation(self, view: RoundView) -> bytes:
        """What the round's public rotation is drawn from."""
        return self.context(view.id).to_bytes()

    def layout(self, view: RoundView) -> Layout:
        """How the weight and the segments of a contribution to the round lie in its ciphertexts."""
        return Layout(self.spec.modulus_bits, self.step(view).runs)

    def ciphertexts(self, view: RoundView) -> int:
        """How many ciphertexts an update of the round has, and so has the sum."""
        return self.layout(view).ciphertexts

    def blob_size(self, kind: wire.BlobKind, view: RoundView) -> int:
        """The exact bytes of a blob of the whole sum or of one organisation's contribution to it."""
        return self.header(kind, view).size

    @cached_property
    def _proven(self) -> dict[StepKind, tuple[Form, int]]:
        return proven_forms(self.spec)

    def form(self, view: RoundView) -> Form:
        """What every contribution to the round has to prove."""
        return self._proven[self.step(view).kind][0]

    def proof_bytes(self, view: RoundView) -> int:
        """The exact bytes of a contribution's proof; 0 in a study without proofs."""
        return self._proven[self.step(view).kind][1] if self.spec.proofs else 0

    def statement(self, view: RoundView, sender: str, ciphertexts: Sequence[int]) -> Statement:
        """What the proof of `sender`'s contribution to the round has to show.

        Raises:
            InvalidInput: for another number of ciphertexts than the round's.
        """
        return Statement(
            form=self.form(view),
            key=self.key.public_key,
            context=self.context(view.id),
            key_epoch=self.spec.key_epoch,
            sender=sender,
            parent=self.parent_hash(view),
            ciphertexts=ciphertexts,
        )

    def parent_hash(self, view: RoundView) -> bytes:
        """keccak256 of the model that the round starts from: the chain's of its parent, or that of the spec's first."""
        return view.parent_hash if view.parent else self._genesis_hash

    @cached_property
    def _genesis_hash(self) -> bytes:
        return keccak256(genesis(self.spec).to_bytes())

    def header(self, kind: wire.BlobKind, view: RoundView, sender: str = NOBODY) -> wire.Header:
        """The only header a blob of this kind, round and sender may have. Aggregates and openings are the same from everyone: no sender."""
        proof_bytes = self.proof_bytes(view) if kind is wire.BlobKind.UPDATE else 0
        return wire.Header.make(kind, self.context(view.id), sender, self.layout(view), proof_bytes)

    def part_header(self, view: RoundView, sender: str, span: range) -> wire.Header:
        """The header of a part of the round's opening."""
        return replace(self.header(wire.BlobKind.OPENING_PART, view, sender), count=len(span))
