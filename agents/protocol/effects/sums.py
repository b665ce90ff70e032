"""P4 to P6: the product of the frozen set, this holder's share of it, and the opening of the sum, or this organisation's part of it."""

from __future__ import annotations

from functools import partial

from defedbio.chain.bindings.round_manager import RoundManager, set_hash
from defedbio.crypto import roots, threshold, wire
from defedbio.crypto.merkle import keccak256
from defedbio.crypto.proofs import share as share_proof
from defedbio.crypto.threshold import Opening
from defedbio.errors import BlobUnavailable, InternalFault, PeerFault
from defedbio.ipfs.cid import cid_of
from defedbio.protocol import catalogue as kinds
from defedbio.protocol import combining
from defedbio.protocol.effects.updates import load_updates
from defedbio.protocol.parts import parts
from defedbio.protocol.tools import Tools, seen
from defedbio.protocol.view import Dispute, RoundView, Share, StudyView


def compute_aggregate(tools: Tools, view: RoundView) -> None:
    with tools.report.phase("aggregate", round=view.id) as phase:
        updates = load_updates(tools, view, view.frozen_reveals())
        ciphertexts, root = roots.product_and_root(updates, tools.frame.key.public_key)
        blob = wire.encode_aggregate(tools.frame.header(wire.BlobKind.AGGREGATE, view), ciphertexts)
        phase.bytes = len(blob)
        tools.memory.put(kinds.AGGREGATE_BLOB, view, blob)
        tools.memory.put(kinds.AGGREGATE, view, {"root": root.hex(), "cid": tools.publish(view, "aggregate", blob)})
        tools.aggregates = {view.basis: ciphertexts}


def post_aggregate(tools: Tools, view: RoundView) -> None:
    record = tools.memory.require(kinds.AGGREGATE, view)
    key = f"round/{view.id}/aggregate/{record['root']}"
    tools.send(RoundManager.post_aggregate(key, view.id, bytes.fromhex(record["root"]), record["cid"]), round=view.id)


def release_share(tools: Tools, view: RoundView) -> None:
    """P5: journal the one release this holder ever makes in the round, then compute and publish its share.

    If the journal holds a release of anything else, which a reorganisation can bring about, nothing leaves the node: it sits the rest of
    the round's releases out.
    """
    frame, keyshare = tools.frame, tools.share
    if keyshare is None:
        raise InternalFault("asked to release a share without holding one")
    # INVARIANT: a journal from a backup does not know of the release that may have been made after it (C7).
    if tools.unaccounted(view):
        raise InternalFault(f"asked to release a share in round {view.id}, which may have begun before the journal was restored")
    root = bytes.fromhex(tools.memory.require(kinds.AGGREGATE, view)["root"])
    release = {
        "chain": frame.chain_id,
        "contract": frame.contract,
        "round": view.id,
        "set": set_hash(frame.chain_id, frame.contract, view.id, view.frozen).hex(),
        "aggregate": root.hex(),
    }
    # INVARIANT: one release a round, ever; the journal write is durable before any share exists (P5).
    if tools.memory.put_once(kinds.RELEASE, view, release) != release:
        tools.memory.put(kinds.WITHHELD, view, {"aggregate": root.hex()})
        message = f"releases no share in round {view.id}: it made its one release for another aggregate, before the chain was reorganised"
        tools.report.note(message, round=view.id, level="warning", event="node.trouble")
        return
    record = tools.memory.get(kinds.SHARE, view) or _make_share(tools, view, root)
    if (blob := tools.memory.get(kinds.SHARE_BLOB, view)) is not None:
        tools.publish(view, "share", blob)  # again each time: the node may have lost it
    share_root, proof = bytes.fromhex(record["root"]), bytes.fromhex(record["proof"])
    key = f"round/{view.id}/share/{record['root']}"
    tools.send(RoundManager.release_share(key, view.id, root, share_root, record["cid"], proof), round=view.id)


def _make_share(tools: Tools, view: RoundView, aggregate_root: bytes) -> dict[str, str]:
    frame, keyshare = tools.frame, tools.share
    assert keyshare is not None
    ciphertexts = own_aggregate(tools, view)
    with tools.report.phase("share", round=view.id) as phase:
        values = threshold.share(frame.key, keyshare, ciphertexts, tools.arithmetic)
        statement = share_proof.ShareStatement(frame.key, frame.context(view.id), keyshare.index, aggregate_root, ciphertexts, values)
        proof = share_proof.prove(statement, keyshare, tools.rand).to_bytes(frame.spec.modulus_bits)
        blob = wire.encode_share(frame.header(wire.BlobKind.SHARE, view, tools.address), values, proof)
        phase.bytes = len(blob)
        record = {"root": roots.share_root(values, frame.key.public_key).hex(), "cid": cid_of(blob), "proof": keccak256(proof).hex()}
    # Proofs are random: before the record nothing of this one has left the node, after it none other is made.
    tools.memory.put(kinds.SHARE_BLOB, view, blob)
    return tools.memory.put_once(kinds.SHARE, view, record)


def own_aggregate(tools: Tools, view: RoundView) -> list[int]:
    """The aggregate this node computed itself: remembered, from its journal, or computed now."""
    if view.basis not in tools.aggregates:
        blob = tools.memory.get(kinds.AGGREGATE_BLOB, view)
        if blob is None:
            compute_aggregate(tools, view)
        else:
            header = tools.frame.header(wire.BlobKind.AGGREGATE, view)
            tools.aggregates = {view.basis: wire.decode_aggregate(blob, header, tools.frame.key.public_key)}
    return tools.aggregates[view.basis]


def parts_of(tools: Tools, study: StudyView, view: RoundView) -> dict[str, range]:
    return parts(study, view, tools.frame.key.threshold, tools.frame.ciphertexts(view))


def combine_part(tools: Tools, study: StudyView, view: RoundView) -> None:
    """P6: combine this organisation's part of the opening and post it, or journal that too few good shares are there."""
    record = tools.memory.get(kinds.PART, view)
    if record is None:
        span = parts_of(tools, study, view)[tools.address]
        openings = combine_shares(tools, view, span)
        if openings is None:
            tools.memory.put(kinds.COMBINING, view, seen(view.shares))
            return
        record = {
            "root": roots.opening_root(openings, tools.frame.key.public_key, span.start).hex(),
            "cid": tools.publish(view, "opening part", wire.encode_opening(tools.frame.part_header(view, tools.address, span), openings)),
        }
        tools.memory.put(kinds.PART, view, record)
    key = f"round/{view.id}/part/{record['root']}"
    tools.send(RoundManager.post_opening_part(key, view.id, bytes.fromhex(record["root"]), record["cid"]), round=view.id)


def combine_shares(tools: Tools, view: RoundView, span: range | None = None) -> list[Opening] | None:
    """As `combining.combine`, of the round's aggregate; whose share fails its proof is named on the chain."""
    ciphertexts = own_aggregate(tools, view)
    root = bytes.fromhex(tools.memory.require(kinds.AGGREGATE, view)["root"])
    with tools.report.phase("combine", round=view.id) as phase:
        phase.bytes = sum(share.aggregate_root == root for share in view.shares) * tools.frame.blob_size(wire.BlobKind.SHARE, view)
        refuse = partial(_dispute, tools, view)
        return combining.combine(tools.fetcher, view, root, ciphertexts, refuse, span, refused(tools, view), tools.arithmetic)


def check_share(tools: Tools, view: RoundView, holder: str) -> None:
    """Check the share of a holder whom another organisation accuses, once, and refuse it only if this check fails. A share that does not
    arrive is neither good nor bad: what it is needed for waits for it as before."""
    ciphertexts = own_aggregate(tools, view)
    root = bytes.fromhex(tools.memory.require(kinds.AGGREGATE, view)["root"])
    accused = [share for share in view.shares if share.holder == holder]
    for share in accused:
        if share.aggregate_root == root:
            try:
                payload = tools.fetcher.share(view, share)
                with tools.report.phase("verify-share", round=view.id):
                    combining.check(tools.frame, view, share, ciphertexts, payload)
            except BlobUnavailable as error:
                tools.report.note(f"disputed share not delivered: {error.message}", round=view.id, peer=holder)
            except PeerFault as error:
                _dispute(tools, view, share, error)
    tools.memory.enlist(kinds.WEIGHED_SHARES, view, *map(_named, accused))


def _dispute(tools: Tools, view: RoundView, share: Share, error: PeerFault) -> None:
    tools.report.note(f"wrong share: {error.message}", round=view.id, peer=share.holder)
    if Dispute(tools.address, share.holder) not in view.disputes:
        reason = f"{type(error).__name__}: {error.message}"[:200]
        # On the chain first: a node killed in between finds the same fault again, and the same key sends it once.
        key = f"round/{view.id}/dispute/{share.holder}/{reason}"
        tools.send(RoundManager.dispute_share(key, view.id, share.holder, reason), round=view.id)
    # Kept apart from the chain's disputes: another's accusation must not make this node drop a share that it found good.
    tools.memory.enlist(kinds.REFUSED_SHARES, view, _named(share))


def refused(tools: Tools, view: RoundView) -> list[str]:
    """The holders whose shares this node checked and found wrong."""
    found = set(tools.memory.listed(kinds.REFUSED_SHARES, view))
    return [share.holder for share in view.shares if _named(share) in found]


def weighed(tools: Tools, view: RoundView) -> list[str]:
    """The holders whose shares need no further check because another accuses them: those it checked for that, and those it refused."""
    found = {*tools.memory.listed(kinds.WEIGHED_SHARES, view), *tools.memory.listed(kinds.REFUSED_SHARES, view)}
    return [share.holder for share in view.shares if _named(share) in found]


def _named(share: Share) -> str:
    """Names exactly this share: after a reorganisation its holder can have another on the chain."""
    return f"{share.holder}/{share.share_root.hex()}"
