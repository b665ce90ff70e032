"""The blobs of a study: which there are, and reading a bundle's own as if peers delivered them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from defedbio.audit.bundle import Files, read
from defedbio.audit.record import Record
from defedbio.crypto import wire
from defedbio.domain import Phase
from defedbio.errors import BadEvidence, BlobUnavailable, CidMismatch, InvalidInput, MalformedBlob, PeerFault
from defedbio.ipfs.cid import check_cid, parse_cid
from defedbio.learning.state import size_cap
from defedbio.network.connection import MAX_TRANSCRIPT_BYTES
from defedbio.network.peers import Peers
from defedbio.protocol.fetch import keepers_of_openings, keepers_of_updates
from defedbio.protocol.frame import StudyFrame
from defedbio.protocol.view import RoundView
from defedbio.report import Reporter
from defedbio.spec import MAX_SPEC_BYTES

ENCRYPTED = frozenset({"update", "aggregate", "share"})


@dataclass(frozen=True)
class Wanted:
    """A blob that the chain names: `owner` published it, `others` keep it as well (C5). `kind` is a word for it; verification cannot do
    without a `needed` one; `most` in bytes."""

    cid: str
    owner: str
    kind: str
    most: int
    needed: bool
    others: tuple[str, ...] = ()


def documents(record: Record) -> Iterator[Wanted]:
    """The two that say what everything else means."""
    opened = record.view
    keepers = (*opened.participants, *record.epoch.holders)
    yield Wanted(opened.spec_cid, opened.coordinator, "spec", MAX_SPEC_BYTES, True, keepers)
    yield Wanted(record.proposal.transcript_cid, record.proposal.proposer, "key transcript", MAX_TRANSCRIPT_BYTES, True, keepers)


def round_blobs(frame: StudyFrame, view: RoundView) -> Iterator[Wanted]:
    """What a finalised round published. What is not `needed` may be what its set left out, or another word for the same."""
    if view.phase != Phase.FINALISED:
        return

    def size(kind: wire.BlobKind) -> int:
        return frame.blob_size(kind, view)

    for position, reveal in sorted(view.reveals.items()):
        size_of_update = size(wire.BlobKind.UPDATE)
        yield Wanted(reveal.cid, reveal.participant, "update", size_of_update, position in view.frozen, keepers_of_updates(view))
    for post in view.aggregates:
        yield Wanted(post.cid, post.sender, "aggregate", size(wire.BlobKind.AGGREGATE), False)
    for share in view.shares:
        yield Wanted(share.cid, share.holder, "share", size(wire.BlobKind.SHARE), False)
    for post in view.openings:
        yield Wanted(post.cid, post.sender, "opening", size(wire.BlobKind.OPENING), False, keepers_of_openings(view))
    for attestation in view.attestations:
        yield Wanted(attestation.cid, attestation.holder, "model", size_cap(frame.spec), False, keepers_of_openings(view))


def blob_name(cid: str) -> str:
    return f"blobs/{cid}"


class BundlePeers(Peers):
    """Stands for the peers of rounds that are over: what they published is in the bundle or nowhere. There is no node behind it."""

    def __init__(self, files: Files, report: Reporter) -> None:
        self.files, self.report = files, report

    def holds(self, cid: str) -> bool:
        return blob_name(cid) in self.files.sizes()

    def connect(self, owner: str) -> None:
        """There is nobody to dial."""

    def fetch(self, cid: str, owner: str, max_bytes: int, seconds: float, others: Sequence[str] = ()) -> bytes:
        try:
            parse_cid(cid)
            if not self.holds(cid):
                raise BlobUnavailable(f"the bundle does not hold {cid}")
            data = read(self.files, blob_name(cid), max_bytes)
            check_cid(cid, data)
        except InvalidInput as error:
            raise MalformedBlob(error.message, peer=owner) from error
        except CidMismatch as error:
            # No lie of a peer, for which another's blob may stand in: the bundle is not what was put into it.
            raise BadEvidence(error.message, peer=owner) from error
        except PeerFault as error:
            raise error.blame(owner) from None
        return data
