"""What a finalised round published, and which of it must be there for anyone to verify the round: for the nodes that keep it and for the
bundles that archive it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from defedbio.crypto import roots, wire
from defedbio.crypto.merkle import keccak256
from defedbio.domain import Phase
from defedbio.errors import InvalidInput, PeerFault
from defedbio.learning.state import size_cap
from defedbio.protocol.fetch import keepers_of_openings, keepers_of_updates
from defedbio.protocol.frame import StudyFrame
from defedbio.protocol.view import Post, RoundView, Share


def _anything(raw: bytes) -> bool:
    return True


@dataclass(frozen=True)
class Wanted:
    """A blob that the chain names: `owner` published it, `others` keep it as well (C5). `kind` is a word for it; verification cannot do
    without a `needed` one; `most` in bytes. It is `kept` by all where the round rests on it: of a product, a share or an opening that the
    round went without, nobody has to know. `genuine` tells of bytes with this CID whether they are what the chain says."""

    cid: str
    owner: str
    kind: str
    most: int
    needed: bool
    others: tuple[str, ...] = ()
    kept: bool = True
    genuine: Callable[[bytes], bool] = field(default=_anything, compare=False, repr=False)


def round_blobs(frame: StudyFrame, view: RoundView) -> Iterator[Wanted]:
    """What a finalised round published. What is not `needed` may be what its set left out, or another word for the same."""
    if view.phase != Phase.FINALISED:
        return
    opened = view.aggregate_root(frame.key.threshold)
    keepers = keepers_of_updates(view), keepers_of_openings(view)

    def of(kind: wire.BlobKind, sender: str | None = None) -> tuple[int, Callable[[bytes], bool]]:
        """The size of a blob and whether bytes are such a one: its header names kind, round and sender."""
        header = frame.header(kind, view) if sender is None else frame.header(kind, view, sender)
        return header.size, lambda raw: len(raw) == header.size and raw.startswith(header.to_bytes())

    for position, reveal in sorted(view.reveals.items()):
        size, genuine = of(wire.BlobKind.UPDATE, reveal.participant)
        counts = position in view.frozen
        yield Wanted(reveal.cid, reveal.participant, "update", size, counts, keepers[0], counts, genuine)
    for post in view.aggregates:
        size, genuine = of(wire.BlobKind.AGGREGATE)
        yield Wanted(post.cid, post.sender, "aggregate", size, False, (), post.root == opened, genuine)
    for share in view.shares:
        size, _ = of(wire.BlobKind.SHARE, share.holder)
        yield Wanted(share.cid, share.holder, "share", size, False, (), share.aggregate_root == opened, _share(frame, view, share))
    for post in view.openings:
        size, _ = of(wire.BlobKind.OPENING)
        agreed = post.root == view.opening_root
        yield Wanted(post.cid, post.sender, "opening", size, False, keepers[1], agreed, _opening(frame, view, post))
    for attestation in view.attestations:
        agreed = attestation.model_hash == view.model_hash
        yield Wanted(attestation.cid, attestation.holder, "model", size_cap(frame.spec), False, keepers[1], agreed, _model(view))


def whole(frame: StudyFrame, view: RoundView, have: frozenset[str]) -> bool:
    """Whether anyone can verify the round from the blobs of these CIDs, spec and key transcript: every update of the set, an opening or t
    shares that give it, and the model."""
    blobs = list(round_blobs(frame, view))
    there = [blob for blob in blobs if blob.kept and blob.cid in have]
    kinds = [blob.kind for blob in there]
    opened = "opening" in kinds or kinds.count("share") >= frame.key.threshold
    return all(blob.cid in have for blob in blobs if blob.needed) and opened and "model" in kinds


def _share(frame: StudyFrame, view: RoundView, share: Share) -> Callable[[bytes], bool]:
    def genuine(raw: bytes) -> bool:
        key = frame.key.public_key
        payload = wire.decode_share(raw, frame.header(wire.BlobKind.SHARE, view, share.holder), key)
        return roots.share_root(payload.values, key) == share.share_root and keccak256(payload.proof) == share.proof_hash

    return _checked(genuine)


def _opening(frame: StudyFrame, view: RoundView, post: Post) -> Callable[[bytes], bool]:
    def genuine(raw: bytes) -> bool:
        key = frame.key.public_key
        return roots.opening_root(wire.decode_opening(raw, frame.header(wire.BlobKind.OPENING, view), key), key) == post.root

    return _checked(genuine)


def _model(view: RoundView) -> Callable[[bytes], bool]:
    return lambda raw: keccak256(raw) == view.model_hash


def _checked(check: Callable[[bytes], bool]) -> Callable[[bytes], bool]:
    """Bytes that cannot be read are not what they should be."""

    def genuine(raw: bytes) -> bool:
        try:
            return check(raw)
        except (PeerFault, InvalidInput):
            return False

    return genuine
