"""The blobs of a study: which there are, and reading a bundle's own as if peers delivered them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from defedbio.audit.bundle import Files, read
from defedbio.audit.record import Record
from defedbio.errors import BadEvidence, BlobUnavailable, CidMismatch, InvalidInput, MalformedBlob, PeerFault
from defedbio.ipfs.cid import check_cid, parse_cid
from defedbio.network.connection import MAX_TRANSCRIPT_BYTES
from defedbio.network.peers import Peers
from defedbio.protocol.evidence import Wanted
from defedbio.report import Reporter
from defedbio.spec import MAX_SPEC_BYTES

ENCRYPTED = frozenset({"update", "aggregate", "share"})


def documents(record: Record) -> Iterator[Wanted]:
    """The two that say what everything else means."""
    opened = record.view
    keepers = (*opened.participants, *record.epoch.holders)
    yield Wanted(opened.spec_cid, opened.coordinator, "spec", MAX_SPEC_BYTES, True, keepers)
    yield Wanted(record.proposal.transcript_cid, record.proposal.proposer, "key transcript", MAX_TRANSCRIPT_BYTES, True, keepers)


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
