"""What is kept of a study, for how long, and its end: finalised rounds pinned whole, ended ones forgotten, all let go in the end.

Each effect may be repeated: a process that ends in between does it again from the beginning, and what was done has no second effect.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial

from defedbio.chain.records import Head
from defedbio.domain import Phase
from defedbio.errors import BlobUnavailable, CidMismatch, PeerFault
from defedbio.protocol import catalogue as kinds
from defedbio.protocol import retention
from defedbio.protocol.effects.fetching import fetching, patience
from defedbio.protocol.evidence import Wanted, round_blobs, whole
from defedbio.protocol.memory import Memory, key_of
from defedbio.protocol.tools import Tools
from defedbio.protocol.view import RoundView, StudyView

AGAIN_SECONDS = 600.0
COLLECT_SECONDS = 3600.0
LONG_AGO = float("-inf")


@dataclass
class Housekeeping:
    """When a node's process last looked again for what is lacking, in which rounds it does so `again` now, and when it last had its IPFS
    node delete what is not pinned, if there is `garbage`."""

    looked_at: float = LONG_AGO
    again: tuple[int, ...] = ()
    collected_at: float = LONG_AGO
    garbage: bool = False


def tidy(tools: Tools, study: StudyView, head: Head, done: Housekeeping) -> bool:
    """Do the next thing that is due, when the round has nothing for this node to do; False when nothing is. `head` is the newest block that
    the node acts on.

    Raises:
        Unreachable: when chain or IPFS node do not answer.
    """
    _look_again_if_restored(tools, study)
    _take_up_again(tools, study)
    if (view := _unkept(tools, study)) is not None:
        keep(tools, view)
        return True
    if tools.claims is not None and not tools.claims.told():
        # Of before there were claims, or from a backup, which has none.
        agreed = tools.agreed if tools.memory.get(kinds.LET_GO) is None else ()
        tools.claims.tell([*agreed, *(cid for _, cid in pinned(tools, study))])
    through = retention.forgettable(study, _standing(tools, study), head.number, tools.frame.confirmations)
    if through > tools.memory.swept:
        forget(tools, study, through, over=_over(tools, study, head))
        done.garbage = True
        return True
    if let_go_due(tools, study, head):
        let_go(tools, study, over=_over(tools, study, head))
        done.garbage, done.again = True, ()
        return True
    now = time.monotonic()
    if not done.again and now - done.looked_at >= AGAIN_SECONDS:
        done.looked_at, done.again = now, tuple(sorted(_lacking(tools)))
    if done.again:
        number, *rest = done.again
        done.again = tuple(rest)
        if (view := _round(tools, study, number)) is not None and view.phase == Phase.FINALISED:
            keep(tools, view)
        return True
    return _collect(tools, study, done, now)


def keep(tools: Tools, view: RoundView) -> None:
    """Pin what anyone needs to verify a finalised round (C5), and journal what of it could not be had, or is not what the chain says."""
    wanted = {blob.cid: blob for blob in round_blobs(tools.frame, view) if blob.kept}
    found = tools.memory.get(kinds.KEPT, view)
    if found is None:
        # Noted before it was pinned: a process that ended in between left a note alone.
        noted = {cid for cids in (tools.memory.get(kinds.PINS, view) or {}).values() for cid in cids} & wanted.keys()
        have = {cid for cid in noted if tools.store.is_pinned(cid)}
        for cid in have:
            tools.store.pin(cid)  # the pin may be another study's: this one claims it as well
    else:
        have = wanted.keys() - {*found["missing"], *found["wrong"]}
    missing: list[str] = []
    wrong: list[str] = [] if found is None else list(found["wrong"])
    todo = [blob for cid, blob in wanted.items() if cid not in have and cid not in wrong]
    seconds = patience(len(todo), tools.frame.spec.deadlines.attest, tools.fetcher.seconds)
    with tools.report.phase("keep", round=view.id) as phase, fetching(todo, partial(_fetch, tools, seconds=seconds)) as fetched:
        for blob in todo:
            try:
                raw = fetched[blob].result()
            except (BlobUnavailable, CidMismatch):
                missing.append(blob.cid)
                continue
            except PeerFault:
                wrong.append(blob.cid)
                continue
            if not blob.genuine(raw):
                wrong.append(blob.cid)
                continue
            tools.memory.pinning(view, blob.kind, [blob.cid])
            tools.store.pin(blob.cid)
            have.add(blob.cid)
            phase.bytes += len(raw)
    lacking = _lacking(tools) - {view.id}
    if not whole(tools.frame, view, frozenset(have)):
        lacking |= {view.id}
        tools.report.note(f"{len(missing)} blobs that verify round {view.id} could not be had so far", round=view.id, retry="fetch")
    if lacking != _lacking(tools):
        tools.memory.put(kinds.LACKING, None, {"rounds": sorted(lacking)})
    tools.memory.put(kinds.KEPT, view, {"missing": missing, "wrong": wrong})


def forget(tools: Tools, study: StudyView, through: int, over: bool) -> None:
    """Forget the rounds up to this number: unpin what nobody needs of them, delete what the catalogue says goes. `over` says that the study
    does not go on."""
    memory = tools.memory
    # INVARIANT: durable before anything is deleted: from now on no step is taken in these rounds, whatever becomes of this process (P5).
    memory.forget(through, memory.swept)
    let_go = memory.get(kinds.LET_GO) is not None
    # A void round can give the very model of a finalised one: where a sum was unusable, the model stands.
    models = {cid for past in study.past.rounds.values() for cid in past.models} | {cid for view in study.finalised for cid in view.models}
    for number, cids in _noted(memory):
        if number <= memory.through:
            for cid in cids if let_go else cids.keys() - models - _verifying(tools, _round(tools, study, number)).keys():
                tools.store.unpin(cid)
    keys = memory.sizes()
    memory.drop(list(retention.going(study, keys, memory.through, _needed(tools, study, keys, over))))
    memory.forget(through, through)
    tools.checked_at = {number: at for number, at in tools.checked_at.items() if number > through}


def let_go_due(tools: Tools, study: StudyView, head: Head) -> bool:
    """Whether the retention after the study's end is over, and its blobs are pinned still."""
    if tools.memory.get(kinds.LET_GO) is not None:
        return False
    end = retention.end_of(study, _terms(tools, study))
    moment = _moment(tools, head, end)
    return end is not None and moment is not None and head.timestamp >= end.kept_until(moment, tools.frame.spec.retention_days)


def let_go(tools: Tools, study: StudyView, over: bool) -> None:
    """Unpin all that was kept of the study, with what it rests on. `over` says that the study does not go on; else it could, and what a
    next round would need stays in the journal."""
    memory = tools.memory
    kept = {cid for _, cids in _noted(memory) for cid in cids}
    for view in _every_finalised(tools, study):
        kept |= _had(tools, view).keys()
    for cid in kept | {*tools.agreed}:
        tools.store.unpin(cid)
    memory.put(kinds.LACKING, None, {"rounds": []})
    keys = memory.sizes()
    noted = [key for key in keys if kinds.PINS.round_of(key) is not None]
    memory.drop([*noted, *retention.going(study, keys, memory.through, _needed(tools, study, keys, over))])
    through = study.latest.id if study.latest is not None else 0
    memory.put(kinds.LET_GO, None, {"rounds": study.steps_done, "through": through, "rests": not over})
    tools.report.note(f"the retention of {tools.frame.spec.retention_days} days is over: this node no longer keeps study {study.id}")


def sizes_by_kind(sizes: Mapping[str, int]) -> Counter[str]:
    """Bytes of a journal's entries by their kinds."""
    total: Counter[str] = Counter()
    for key, size in sizes.items():
        kind = kinds.kind_of(key)
        total[kind.name if kind is not None else "undeclared"] += size
    return total


def pinned(tools: Tools, study: StudyView) -> Iterator[tuple[str, str]]:
    """By the catalogue, what is pinned of the study's rounds now: each blob's kind and CID."""
    let_go = tools.memory.get(kinds.LET_GO) is not None
    found: dict[str, str] = {}
    for view in () if let_go else _every_finalised(tools, study):
        if view.id <= tools.memory.swept:
            found |= _had(tools, view)
    for _, cids in _noted(tools.memory):
        found |= cids
    return ((kind, cid) for cid, kind in found.items())


def _fetch(tools: Tools, blob: Wanted, seconds: float) -> bytes:
    return tools.fetcher.peers.fetch(blob.cid, blob.owner, blob.most, seconds, blob.others)


def _look_again_if_restored(tools: Tools, study: StudyView) -> None:
    """A backup holds no blobs (C7): what its journal says is pinned may not be in the IPFS node that the home has now."""
    memory = tools.memory
    record = memory.get(kinds.RESTORED)
    if record is None or record.get("looked") or memory.get(kinds.LET_GO) is not None:
        return
    _look_again(memory, study, memory.through)
    memory.put(kinds.RESTORED, None, {**record, "looked": True})


def _take_up_again(tools: Tools, study: StudyView) -> None:
    """A study that was let go goes on after all: what it rests on is kept again, and what its rounds published is looked for."""
    memory = tools.memory
    record = memory.get(kinds.LET_GO)
    if record is None or not retention.goes_on(study, record):
        return
    for cid in tools.agreed:
        try:
            tools.store.pin(cid)
        except BlobUnavailable:
            tools.report.note(f"{cid}, which study {study.id} rests on, could not be had: the next start tries again", level="warning")
    _look_again(memory, study, record["through"])
    memory.drop([key_of(kinds.LET_GO)])


def _look_again(memory: Memory, study: StudyView, through: int) -> None:
    """Have all looked for that the finalised rounds up to this number need, as if none of it had been."""
    finalised = [past.id for past in study.past.rounds.values() if past.finalised] + [view.id for view in study.finalised]
    memory.put(kinds.LACKING, None, {"rounds": [number for number in finalised if number <= through]})
    memory.drop([key for key in memory.sizes() if kinds.KEPT.round_of(key) is not None])


def _noted(memory: Memory) -> Iterator[tuple[int, dict[str, str]]]:
    """Of each round what the journal notes as pinned: the CIDs, with their kinds."""
    for key in memory.sizes():
        number = kinds.PINS.round_of(key)
        if number is not None and (raw := memory.raw(key)) is not None:
            yield number, {cid: kind for kind, cids in kinds.PINS.codec.load(raw).items() for cid in cids}


def _terms(tools: Tools, study: StudyView) -> retention.Terms:
    return retention.Terms(tools.frame.key.threshold, tools.frame.key.holders, _stopped(tools, study))


def _over(tools: Tools, study: StudyView, head: Head) -> bool:
    """Whether no node goes on with the study, for good: what only a next round would need may go."""
    end = retention.end_of(study, _terms(tools, study))
    return end is not None and not end.rests and head.timestamp >= end.waits and _moment(tools, head, end) is not None


def _moment(tools: Tools, head: Head, end: retention.End | None) -> int | None:
    """Unix seconds of the end on the chain's time; None until it counts as final."""
    # INVARIANT: an end counts no sooner than that of a round does, so that no reorganisation brings a forgotten study back.
    depth = retention.depth(tools.frame.confirmations)
    if end is None or head.number - end.block < depth or head.timestamp < end.moment(0):
        return None
    deep, last = tools.chain.block(head.number - depth), tools.chain.block(end.block)
    if deep is None or last is None or deep.timestamp < (moment := end.moment(last.timestamp)):
        return None
    return moment


def _verifying(tools: Tools, view: RoundView | None) -> dict[str, str]:
    """What anyone needs to verify the round: the CIDs, with their kinds."""
    return {blob.cid: blob.kind for blob in round_blobs(tools.frame, view) if blob.kept} if view is not None else {}


def _had(tools: Tools, view: RoundView) -> dict[str, str]:
    """What of it could be had, and is what the chain says."""
    left = tools.memory.get(kinds.KEPT, view) or {"missing": [], "wrong": []}
    return {cid: kind for cid, kind in _verifying(tools, view).items() if cid not in (*left["missing"], *left["wrong"])}


def _round(tools: Tools, study: StudyView, number: int) -> RoundView | None:
    """A round with its details."""
    past = study.past.rounds.get(number)
    return study.rounds.get(number) if past is None else tools.recall(past)


def _every_finalised(tools: Tools, study: StudyView) -> Iterator[RoundView]:
    """With their details, one after another."""
    yield from (tools.recall(past) for past in study.past.rounds.values() if past.finalised)
    yield from study.finalised


def _unkept(tools: Tools, study: StudyView) -> RoundView | None:
    """The first finalised round that is not forgotten and was not looked at."""
    for view in study.finalised:
        if view.id > tools.memory.through and tools.memory.get(kinds.KEPT, view) is None:
            return view
    return None


def _standing(tools: Tools, study: StudyView) -> retention.Standing:
    newer = [view for view in study.finalised if view.id > tools.memory.through]
    looked = frozenset(view.id for view in newer if tools.memory.get(kinds.KEPT, view) is not None)
    return retention.Standing(tools.memory.through, looked, _adopted(tools, study) is not None)


def _adopted(tools: Tools, study: StudyView) -> dict[str, object] | None:
    """The record that the newest round's model was adopted."""
    latest = study.latest
    record = tools.memory.get(kinds.ADOPTED, latest) if latest is not None else None
    return record if record is not None and latest is not None and record["hash"] == latest.model_hash.hex() else None


def _stopped(tools: Tools, study: StudyView) -> bool:
    record = _adopted(tools, study)
    return record is not None and bool(record["stopped"])


def _needed(tools: Tools, study: StudyView, keys: Mapping[str, int], over: bool) -> retention.Needed:
    memory = tools.memory
    head = study.head
    models = {view.model_hash.hex() for view in study.finalised if view.id > memory.through or view is head}
    sendable = [key for key in keys if kinds.kind_of(key) is kinds.TRANSACTION]
    for key in keys:
        if (kinds.MODEL.round_of(key) or 0) > memory.through and (raw := memory.raw(key)) is not None:
            models.add(kinds.MODEL.codec.load(raw)["hash"])
    if sendable:
        used = tools.chain.nonce(tools.address)
        sendable = [key for key in sendable if (raw := memory.raw(key)) is not None and json.loads(raw)["nonce"] >= used]
    return retention.Needed(tools.address, models, frozenset(sendable), frozenset(_imperfect(tools, keys)), over)


def _imperfect(tools: Tools, keys: Mapping[str, int]) -> Iterator[int]:
    """The finalised rounds of which some blob is not kept although the chain names it."""
    for key in keys:
        number = kinds.KEPT.round_of(key)
        if number is not None and (raw := tools.memory.raw(key)) is not None:
            found = kinds.KEPT.codec.load(raw)
            if found["missing"] or found["wrong"]:
                yield number


def _lacking(tools: Tools) -> set[int]:
    """The finalised rounds of which something is lacking that verification needs."""
    return set((tools.memory.get(kinds.LACKING) or {"rounds": []})["rounds"])


def _collect(tools: Tools, study: StudyView, done: Housekeeping, now: float) -> bool:
    """Have the own IPFS node delete what is not pinned, now and then, while nobody waits for this node."""
    quiet = study.latest is None or study.latest.phase.ended or study.latest.phase == Phase.OPEN
    if not (done.garbage and quiet and now - done.collected_at >= COLLECT_SECONDS):
        return False
    done.garbage, done.collected_at = False, now
    tools.store.collect_garbage()
    return True
