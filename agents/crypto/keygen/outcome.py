"""What comes of the posts of a whole ceremony: the transcript that every holder makes, and a holder's share (D20)."""

from __future__ import annotations

from defedbio.crypto import sealing
from defedbio.crypto.ceremony import CeremonyTranscript, Holder, open_share
from defedbio.crypto.keygen import boxes, dealing
from defedbio.crypto.keygen.machine import Posts, Progress, recipient
from defedbio.crypto.keygen.record import Record
from defedbio.crypto.keygen.terms import Terms
from defedbio.crypto.threshold import KeyShare
from defedbio.errors import InvalidInput, InvalidKey


def outcome(terms: Terms, posts: Posts) -> CeremonyTranscript:
    """The transcript, a function of the posts, whose key passes its check.

    Raises:
        BadTranscript: when a post is wrong, as `Contributor.message`. InvalidInput: when steps are missing.
    """
    return transcript(Progress(terms).after(posts))


def transcript(record: Record) -> CeremonyTranscript:
    """`outcome` of a record after the last step."""
    terms, key = record.terms, record.key
    holders = tuple(Holder(address, public) for address, public in zip(terms.holders, record.transport, strict=True))
    sealed = tuple(b"".join(column) for column in zip(*record.survivor.boxes, strict=True))
    return CeremonyTranscript(terms.chain_id, terms.contract, holders, key, sealed, terms.ceremony)


def receive(terms: Terms, posts: Posts, position: int, transport_private: bytes) -> KeyShare:
    """The share of the holder at `position` (from 0), every sub-share of which fits what its dealer committed to.

    Raises:
        BadTranscript: naming a contributor whose sub-share is wrong: complain. As `outcome` otherwise.
        InvalidInput: for a position that is none. InvalidKey: when the private key is not the one of this ceremony.
    """
    return share(Progress(terms).after(posts), position, transport_private)


def share(record: Record, position: int, transport_private: bytes) -> KeyShare:
    """`receive` of a record after the last step."""
    terms, whole = record.terms, transcript(record)
    if not 0 <= position < len(terms.holders):
        raise InvalidInput(f"position {position} of {len(terms.holders)} holders")
    if sealing.transport_public(transport_private) != record.transport[position]:
        raise InvalidKey("the private key is not the one that this holder posted in this ceremony")
    n = record.survivor.n
    for contributor in range(terms.threshold):
        box = record.survivor.boxes[contributor][position]
        try:
            value = boxes.unseal(box, recipient(terms, position), contributor, transport_private, record.key.public_key)
        except InvalidKey:
            raise terms.fault(contributor, f"its box for holder {position + 1} does not open") from None
        if not dealing.fits(terms, n, record.survivor.commitments[contributor], position + 1, value):
            raise terms.fault(contributor, f"its sub-share for holder {position + 1} is not what it committed to")
    return open_share(whole, position, transport_private)
