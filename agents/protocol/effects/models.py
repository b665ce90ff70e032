"""P6: from the opened sum to the new global model, and its adoption."""

from __future__ import annotations

from itertools import chain

from defedbio.chain.bindings.round_manager import RoundManager
from defedbio.crypto import roots, threshold, wire
from defedbio.crypto.merkle import keccak256
from defedbio.crypto.threshold import Opening
from defedbio.errors import BadOpening, BlobUnavailable, InternalFault, InvalidInput, PeerFault
from defedbio.protocol import catalogue as kinds
from defedbio.protocol.effects import sums
from defedbio.protocol.effects.fetching import fetching
from defedbio.protocol.result import next_model
from defedbio.protocol.tools import Tools, seen, seen_in
from defedbio.protocol.view import RoundView, StudyView


def check_posted_opening(tools: Tools, study: StudyView, view: RoundView) -> None:
    """Look at the first of the posted openings that was not looked at yet; if it holds it gives the model."""
    looked_at = seen_in(tools.memory.get(kinds.OPENINGS, view), view.openings)
    ciphertexts, post = sums.own_aggregate(tools, view), view.openings[looked_at]
    try:
        with tools.report.phase("verify-opening", round=view.id):
            openings = tools.fetcher.opening(view, post, ciphertexts, tools.arithmetic)
    except BlobUnavailable as error:
        tools.report.note(f"opening not delivered: {error.message}", round=view.id, peer=post.sender)
    except PeerFault as error:
        tools.report.note(f"opening refused: {error.message}", round=view.id, peer=post.sender)
    else:
        keep_opening(tools, study, view, openings)
        return
    tools.memory.put(kinds.OPENINGS, view, seen(view.openings[: looked_at + 1]))


def assemble_parts(tools: Tools, study: StudyView, view: RoundView) -> None:
    """Fetch everyone's part of the opening and check all in one batch; when it fails, name whose, and journal that parts will not do."""
    spans = sums.parts_of(tools, study, view)
    posts = {post.sender: post for post in view.parts}
    ciphertexts = sums.own_aggregate(tools, view)

    def fetch(opener: str) -> list[Opening]:
        return tools.fetcher.opening_part(view, posts[opener], spans[opener])

    try:
        with tools.report.phase("verify-opening", round=view.id), fetching(spans, fetch) as fetched:
            parts = {opener: fetched[opener].result() for opener in spans}
            openings = list(chain.from_iterable(parts.values()))
            try:
                threshold.check_openings(tools.frame.key, ciphertexts, openings, tools.rand, tools.arithmetic)
            except BadOpening:
                for opener, span in spans.items():
                    tools.fetcher.check_openings(opener, ciphertexts[span.start : span.stop], parts[opener], tools.arithmetic)
                raise InternalFault("every part of the opening holds and the whole does not") from None
    except PeerFault as error:
        tools.report.note(f"part of the opening refused: {error.message}", round=view.id, peer=error.peer)
        tools.memory.put(kinds.PARTS, view, {"refused": True})
    else:
        keep_opening(tools, study, view, openings)


def combine_and_keep(tools: Tools, study: StudyView, view: RoundView) -> None:
    openings = sums.combine_shares(tools, view)
    if openings is None:
        tools.memory.put(kinds.COMBINING, view, seen(view.shares))
    else:
        keep_opening(tools, study, view, openings)


def keep_opening(tools: Tools, study: StudyView, view: RoundView, openings: list[Opening]) -> None:
    """Publish the opening's blob and the model it gives to the own node, then journal both."""
    frame = tools.frame
    with tools.report.phase("model", round=view.id) as phase:
        try:
            model = next_model(frame, view, tools.parent_model(study, view), openings)
        except InvalidInput as error:
            # An organisation's oversized or senseless update does this (threat model). Nobody can tell whose: the deadline voids the round.
            tools.report.note(f"the opened sum gives no model: {error.message}", round=view.id)
            _give_up(tools, view)
            return
        blob = wire.encode_opening(frame.header(wire.BlobKind.OPENING, view), openings)
        phase.bytes = len(model)
        root = roots.opening_root(openings, frame.key.public_key)
        tools.memory.put(kinds.OPENING, view, {"root": root.hex(), "cid": tools.publish(view, "opening", blob)})
        tools.memory.put(kinds.MODEL_BYTES, None, model, keccak256(model).hex())
        tools.memory.put(kinds.MODEL, view, {"hash": keccak256(model).hex(), "cid": tools.publish(view, "model", model)})


def _give_up(tools: Tools, view: RoundView) -> None:
    """Look at nothing of what is posted by now again."""
    tools.memory.put(kinds.OPENINGS, view, seen(view.openings))
    tools.memory.put(kinds.COMBINING, view, seen(view.shares))


def post_opening(tools: Tools, view: RoundView) -> None:
    record = tools.memory.require(kinds.OPENING, view)
    key = f"round/{view.id}/opening/{record['root']}"
    tools.send(RoundManager.post_opening(key, view.id, bytes.fromhex(record["root"]), record["cid"]), round=view.id)


def attest_model(tools: Tools, view: RoundView) -> None:
    opening, model = tools.memory.require(kinds.OPENING, view), tools.memory.require(kinds.MODEL, view)
    opening_root, model_hash = bytes.fromhex(opening["root"]), bytes.fromhex(model["hash"])
    key = f"round/{view.id}/model/{model['hash']}"
    tools.send(RoundManager.attest_model(key, view.id, opening_root, model_hash, model["cid"]), round=view.id)


def adopt_model(tools: Tools, view: RoundView) -> None:
    """Hold and pin the finalised model (C5), and drop what the journal no longer needs of the round.

    Raises:
        InternalFault: if this node computed another model from the same opening.
    """
    own = tools.memory.get(kinds.MODEL, view)
    opening = tools.memory.get(kinds.OPENING, view)
    if own and opening and opening["root"] == view.opening_root.hex() and own["hash"] != view.model_hash.hex():
        raise InternalFault(
            f"round {view.id} was finalised with model {view.model_hash.hex()}, and the same opening gives {own['hash']} here",
            "stop and compare versions with the other organisations before going on",
        )
    with tools.report.phase("adopt", round=view.id) as phase:
        state = tools.model(view)
        raw = state.to_bytes()
        # The last attestor's CID is nobody's to trust: it may name nothing, or anything of any size. Adding pins.
        tools.publish(view, "model", raw)
        phase.bytes = len(raw)
    tools.updates.clear()
    tools.aggregates.clear()
    tools.memory.delete(view, *(kind for kind in kinds.KINDS if kind.goes is kinds.Goes.ADOPTED))
    tools.memory.put(kinds.ADOPTED, view, {"hash": view.model_hash.hex(), "stopped": state.stopped})
    tools.report.emit({"phase": "round", "status": "done", "round": view.id, "step": view.step, "model": view.model_cid})
