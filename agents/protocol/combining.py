"""P6: the opening of a sum from shares that are on the chain: for the nodes that post it, and for whoever finds no posted one to fetch."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial

from defedbio.crypto import threshold, wire
from defedbio.crypto.arithmetic import ONE_THREAD, Arithmetic
from defedbio.crypto.proofs import share as share_proof
from defedbio.crypto.threshold import Opening
from defedbio.errors import BadOpening, BadShare, BlobUnavailable, CidMismatch, InternalFault, PeerFault
from defedbio.protocol.effects.fetching import fetching
from defedbio.protocol.fetch import Fetcher
from defedbio.protocol.frame import StudyFrame
from defedbio.protocol.view import RoundView, Share

Refuse = Callable[[Share, PeerFault], None]
Fetched = Mapping[int, tuple[Share, wire.SharePayload]]


def combine(
    fetcher: Fetcher,
    view: RoundView,
    root: bytes,
    ciphertexts: Sequence[int],
    refuse: Refuse,
    span: range | None = None,
    without: Collection[str] = (),
    arithmetic: Arithmetic = ONE_THREAD,
) -> list[Opening] | None:
    """Combine t shares of the aggregate of this root, or of its ciphertexts in `span`, into the opening that holds; None while too few good
    shares are on the chain. Shares of the holders in `without` are left aside.

    A wrong share makes combining fail; then every share's proof is checked, and `refuse` hears of each that fails.

    Raises:
        BlobUnavailable, CidMismatch: if too few shares could be fetched.
    """
    frame = fetcher.frame
    needed = frame.key.threshold
    part = slice(span.start, span.stop) if span is not None else slice(None)
    missing: BlobUnavailable | CidMismatch | None = None
    good: dict[int, tuple[Share, wire.SharePayload]] = {}
    wanted = [share for share in view.shares if share.aggregate_root == root and share.holder not in without]
    with fetching(wanted, partial(fetcher.share, view)) as fetched:
        for share in wanted:
            try:
                good[share.index] = share, fetched[share].result()
            except (BlobUnavailable, CidMismatch) as error:
                missing = error
            except PeerFault as error:
                refuse(share, error)

    def opened(shares: Fetched) -> list[Opening]:
        chosen = {index: payload.values[part] for index, (_, payload) in sorted(shares.items())[:needed]}
        return threshold.combine(frame.key, ciphertexts[part], chosen, arithmetic)

    if len(good) >= needed:
        try:
            return opened(good)
        except (BadOpening, BadShare):
            good = _honest(frame, view, ciphertexts, good, refuse)
    if len(good) < needed:
        if missing is not None:
            raise missing
        return None
    return opened(good)


def check(frame: StudyFrame, view: RoundView, share: Share, ciphertexts: Sequence[int], payload: wire.SharePayload) -> None:
    """Raises BadShare or MalformedBlob if the share's proof does not hold."""
    statement = share_proof.ShareStatement(
        frame.key, frame.context(view.id), share.index, share.aggregate_root, ciphertexts, payload.values
    )
    share_proof.verify(statement, share_proof.ShareProof.from_bytes(payload.proof, frame.spec.modulus_bits))


def _honest(
    frame: StudyFrame, view: RoundView, ciphertexts: Sequence[int], shares: Fetched, refuse: Refuse
) -> dict[int, tuple[Share, wire.SharePayload]]:
    honest = {}
    for index, (share, payload) in shares.items():
        try:
            check(frame, view, share, ciphertexts, payload)
            honest[index] = share, payload
        except PeerFault as error:
            refuse(share, error)
    if len(honest) == len(shares):
        raise InternalFault("every share's proof holds and the opening does not")
    return honest
