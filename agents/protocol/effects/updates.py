"""P1 to P3: this organisation's update, and the check of everyone's."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from functools import partial

from defedbio.chain.bindings.round_manager import RoundManager, commitment_hash
from defedbio.crypto import encoding, roots, wire
from defedbio.crypto.merkle import keccak256
from defedbio.crypto.paillier import Encrypted, ObfuscatorPool, encrypt_to_prove
from defedbio.crypto.proofs import contribution as contribution_proof
from defedbio.crypto.proofs.statement import Int64, Witness
from defedbio.domain import NO_ONE, BitSet, Segment
from defedbio.errors import BlobUnavailable, CidMismatch, DefedError, InternalFault, InvalidData, OutsideRule, PeerFault
from defedbio.ipfs.cid import cid_of
from defedbio.learning import clipping
from defedbio.learning.local import Contribution, contribute
from defedbio.protocol import catalogue as kinds
from defedbio.protocol.effects import privacy
from defedbio.protocol.effects.fetching import fetching, patience
from defedbio.protocol.frame import NO_PROOF
from defedbio.protocol.left_out import MAX_REASONS_BYTES
from defedbio.protocol.randomness import SECRET_BYTES, rounding, training_seed
from defedbio.protocol.tools import Tools
from defedbio.protocol.view import Reveal, RoundView, StudyView
from defedbio.threads import started

SALT_BYTES = 32
GOOD, UNAVAILABLE = "good", "unavailable"
# A proof bounds some vectors by random sums over them, and refuses a few honest ones by bad luck.
ATTEMPTS = 8
SHRINK = 0.98


def prepare_update(tools: Tools, study: StudyView, view: RoundView) -> None:
    """Train, encode, encrypt and journal, the record last: a kill before it leaves nothing that was promised. Nothing leaves the node.

    An organisation whose training fails on its own data sits the round out: the others go on without it.
    """
    frame, dataset = tools.frame, tools.dataset
    if dataset is None:
        raise InternalFault("asked to train without data")
    if tools.memory.get(kinds.UPDATE, view) is not None:
        return
    state = tools.parent_model(study, view)
    step = clipping.at(frame.step(view), state.extras)
    try:
        privacy.charge(tools, study, view)
    except InvalidData as error:
        _sit_out(tools, view, error.message)
        return
    if state.stopped:
        _sit_out(tools, view, "the study's early stopping has ended its training")
        return
    with tools.report.phase("obfuscate", round=view.id):
        table = tools.table
    pool = ObfuscatorPool(frame.key.public_key, tools.rand, table, tools.arithmetic)
    filler = started(partial(pool.fill, frame.ciphertexts(view)), "obfuscators")  # what it leaves undone, encrypting does
    try:
        with tools.report.phase("train", round=view.id, step=step.index, kind=step.kind) as phase:
            secret, kept = tools.rand(SECRET_BYTES), tools.kept(study)
            contribution = contribute(frame.spec, step, state, dataset, training_seed(secret), phase.progress, kept, tools.installed)
        filler.join()
        blob, record = _sealed(tools, view, step.segments, contribution, secret, pool)
    except InvalidData as error:
        _sit_out(tools, view, error.message)
        return
    finally:
        filler.join()
        pool.wipe()
    tools.memory.put(kinds.UPDATE_BLOB, view, blob)
    for name, vector in contribution.keep.items():
        tools.memory.put(kinds.KEEP, view, vector.tobytes(), name)
    tools.memory.put_once(kinds.UPDATE, view, record)


def _sealed(
    tools: Tools, view: RoundView, segments: Sequence[Segment], contribution: Contribution, secret: bytes, pool: ObfuscatorPool
) -> tuple[bytes, dict[str, str]]:
    """The contribution encoded, encrypted and proven: its blob, and what the journal keeps of it. A vector that a proof refuses by bad luck
    is made a little shorter, and goes with fresh rounding and obfuscators.

    Raises:
        InvalidData: if it cannot be encoded. OutsideRule: if no attempt gave a proof.
    """
    frame, key = tools.frame, tools.frame.key.public_key
    draws = rounding(secret)
    vectors = contribution.vectors
    for attempt in range(1, ATTEMPTS + 1):
        values = encoding.encode(vectors, contribution.weight, segments, draws, frame.rotation(view))
        with tools.report.phase("encrypt", round=view.id):
            encrypted = encrypt_to_prove(key, frame.layout(view).pack(values, key.n), pool)
        try:
            proof = _prove(tools, view, values, encrypted) if frame.spec.proofs else b""
        except OutsideRule as error:
            if attempt == ATTEMPTS:
                raise OutsideRule(f"no proof could be made of the update in {ATTEMPTS} attempts: {error.message}") from None
            vectors = encoding.shrunk(vectors, contribution.weight, segments, SHRINK)
            continue
        break
    blob = wire.encode_update(frame.header(wire.BlobKind.UPDATE, view, tools.address), encrypted.ciphertexts, proof)
    return blob, {
        "root": roots.update_root(encrypted.ciphertexts, key).hex(),
        "cid": cid_of(blob),
        "proof": (keccak256(proof) if proof else NO_PROOF).hex(),
        "salt": tools.rand(SALT_BYTES).hex(),
    }


def _prove(tools: Tools, view: RoundView, values: Int64, encrypted: Encrypted) -> bytes:
    frame = tools.frame
    with tools.report.phase("prove", round=view.id) as phase:
        statement = frame.statement(view, tools.address, encrypted.ciphertexts)
        witness = Witness(tuple(frame.layout(view).split(values)), encrypted.exponents)
        proof = contribution_proof.prove(statement, witness, tools.rand, tools.arithmetic)
        phase.bytes = len(proof)
    return proof


def _sit_out(tools: Tools, view: RoundView, reason: str) -> None:
    tools.report.note(f"sits round {view.id} out: {reason}", round=view.id, level="warning", event="node.trouble")
    tools.memory.put(kinds.SITS_OUT, view, {"reason": reason})


def commit(tools: Tools, view: RoundView) -> None:
    record = tools.memory.require(kinds.UPDATE, view)
    frame = tools.frame
    commitment = commitment_hash(
        frame.chain_id,
        frame.contract,
        view.id,
        tools.address,
        bytes.fromhex(record["root"]),
        record["cid"],
        bytes.fromhex(record["proof"]),
        bytes.fromhex(record["salt"]),
    )
    tools.send(RoundManager.commit(f"round/{view.id}/commit/{commitment.hex()}", view.id, commitment), round=view.id)


def reveal(tools: Tools, study: StudyView, view: RoundView) -> None:
    """P2. Only now is the blob put into the node's own IPFS, each time anew: the node may have lost it since (C4)."""
    record = tools.memory.require(kinds.UPDATE, view)
    blob = tools.memory.get(kinds.UPDATE_BLOB, view)
    if blob is not None:
        try:
            privacy.publishing(tools, study, view)
        except InvalidData as error:
            _sit_out(tools, view, error.message)
            return
        with tools.report.phase("publish", round=view.id) as phase:
            tools.publish(view, "update", blob)
            phase.bytes = len(blob)
    root, proof, salt = (bytes.fromhex(record[name]) for name in ("root", "proof", "salt"))
    tools.send(RoundManager.reveal(f"round/{view.id}/reveal/{record['root']}", view.id, root, record["cid"], proof, salt), round=view.id)


def check_updates(tools: Tools, view: RoundView) -> None:
    """P3: fetch and check every revealed update, and journal which are good, which never can be, and why."""
    verdicts = dict(_verdicts(tools, view) or {})
    waiting = [position for position in sorted(view.reveals) if verdicts.get(view.reveals[position].name, UNAVAILABLE) == UNAVAILABLE]
    seconds = patience(len(waiting), tools.frame.spec.deadlines.attest, tools.fetcher.seconds)
    arrived: dict[int, wire.UpdatePayload] = {}
    faults: dict[int, PeerFault] = {}
    fetch = partial(_fetch, tools, view, seconds=seconds)
    with tools.report.phase("check", round=view.id) as phase, fetching(waiting, fetch) as fetched:
        for done, position in enumerate(waiting, len(view.reveals) - len(waiting) + 1):
            try:
                arrived[position] = fetched[position].result()
            except (BlobUnavailable, CidMismatch):
                # INVARIANT: only what the CID names can be refused for good; other bytes in its place say nothing of it.
                verdicts[view.reveals[position].name] = UNAVAILABLE
            except PeerFault as error:
                faults[position] = error
            phase.bytes += tools.frame.blob_size(wire.BlobKind.UPDATE, view)
            phase.progress(done, len(view.reveals))
    faults |= _admit(tools, view, arrived)
    for position, fault in faults.items():
        tools.report.note(f"update refused: {fault.message}", round=view.id, peer=view.reveals[position].participant)
    for position in arrived.keys() | faults.keys():
        verdicts[view.reveals[position].name] = type(faults[position]).__name__ if position in faults else GOOD
    tools.checked_at[view.id] = time.monotonic()
    tools.memory.put(kinds.CHECKED, view, verdicts)


def _admit(tools: Tools, view: RoundView, arrived: Mapping[int, wire.UpdatePayload]) -> dict[int, PeerFault]:
    """Check the proofs of updates that arrived, each once a round; keep what holds, and say by position what is wrong with the others."""
    verdicts = _verdicts(tools, view) or {}
    unproven = [position for position in arrived if tools.frame.spec.proofs and verdicts.get(view.reveals[position].name) != GOOD]
    faults: dict[int, PeerFault] = {}
    if unproven:
        with tools.report.phase("verify-proofs", round=view.id) as phase:
            given = [(view.reveals[position], arrived[position]) for position in unproven]
            found = tools.fetcher.check_proofs(view, given, tools.arithmetic)
            faults = {position: error for position, error in zip(unproven, found, strict=True) if error is not None}
            phase.bytes = sum(len(update.proof) for _, update in given)
    keep_updates(tools, view, {view.reveals[at]: update.ciphertexts for at, update in arrived.items() if at not in faults})
    return faults


def checked(tools: Tools, view: RoundView) -> tuple[BitSet | None, BitSet]:
    """The revealed updates that this node found good (None before it looked for every one), and those that can never be."""
    verdicts = _verdicts(tools, view)
    if verdicts is None or any(reveal.name not in verdicts for reveal in view.reveals.values()):
        return None, NO_ONE
    found = {position: verdicts[reveal.name] for position, reveal in view.reveals.items()}
    good = BitSet.of(*(position for position, verdict in found.items() if verdict == GOOD))
    return good, BitSet.of(*(position for position, verdict in found.items() if verdict not in (GOOD, UNAVAILABLE)))


def _verdicts(tools: Tools, view: RoundView) -> dict[str, str] | None:
    """What this node found of updates, by the names of their reveals: good, unavailable, or the fault."""
    return tools.memory.get(kinds.CHECKED, view)


def _fetch(tools: Tools, view: RoundView, position: int, seconds: float | None = None) -> wire.UpdatePayload:
    """The update at a position with all but its proof checked: this node's own from its journal, or another's from IPFS."""
    reveal = view.reveals[position]
    if reveal.participant == tools.address and (own := _own_update(tools, view, reveal)) is not None:
        return own
    return tools.fetcher.update(view, reveal, seconds)


def _own_update(tools: Tools, view: RoundView, reveal: Reveal) -> wire.UpdatePayload | None:
    record = tools.memory.get(kinds.UPDATE, view)
    blob = tools.memory.get(kinds.UPDATE_BLOB, view)
    if record is None or blob is None or (record["root"], record["proof"]) != (reveal.update_root.hex(), reveal.proof_hash.hex()):
        return None
    return wire.decode_update(blob, tools.frame.header(wire.BlobKind.UPDATE, view, tools.address), tools.frame.key.public_key)


def keep_updates(tools: Tools, view: RoundView, good: Mapping[Reveal, list[int]]) -> None:
    """Remember checked updates for the round at hand and pin them (C5)."""
    round_at_hand = view.id, view.start
    new = {reveal: ciphertexts for reveal, ciphertexts in good.items() if (*round_at_hand, reveal.name) not in tools.updates}
    tools.memory.pinning(view, "update", (reveal.cid for reveal in new))
    tools.updates = {key: known for key, known in tools.updates.items() if key[:2] == round_at_hand}
    for reveal, ciphertexts in new.items():
        tools.updates[*round_at_hand, reveal.name] = ciphertexts
        tools.store.pin(reveal.cid)


def load_updates(tools: Tools, view: RoundView, reveals: Sequence[Reveal]) -> list[list[int]]:
    """Revealed updates in this order, each fetched and checked once a round, its proof as well.

    Raises:
        PeerFault, BlobUnavailable: of the first that is not good, or is not to be had.
    """
    missing = [reveal.position for reveal in reveals if (view.id, view.start, reveal.name) not in tools.updates]
    arrived: dict[int, wire.UpdatePayload] = {}
    failures: list[DefedError] = []
    with fetching(missing, partial(_fetch, tools, view)) as fetched:
        for position in missing:
            try:
                arrived[position] = fetched[position].result()
            except (PeerFault, BlobUnavailable) as error:
                failures.append(error)
    for failure in (*_admit(tools, view, arrived).values(), *failures):
        raise failure
    return [tools.updates[view.id, view.start, reveal.name] for reveal in reveals]


def attest_set(tools: Tools, view: RoundView, chosen: BitSet, refused: BitSet) -> None:
    verdicts = _verdicts(tools, view) or {}
    found = {position: verdicts.get(view.reveals[position].name, UNAVAILABLE) for position in sorted(view.reveals)}
    left_out = [f"{position}:{'minority' if why == GOOD else why}" for position, why in found.items() if position not in chosen]
    reasons = ";".join(left_out).encode()[:MAX_REASONS_BYTES].decode("ascii")
    # Counted, as others can bring a holder back to a word that it has changed before: that is another transaction.
    said = view.attestations_of_sets.get(tools.address, 0)
    key = f"round/{view.id}/attest-set/{said}/{chosen.bits:x}-{refused.bits:x}/{reasons}"
    tools.send(RoundManager.attest_set(key, view.id, chosen, refused, reasons), round=view.id)
