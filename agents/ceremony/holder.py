"""What `decide` names, done: the only way from a decision of a ceremony to an effect. Each part is safe to repeat after a kill."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from defedbio.ceremony import decide as act
from defedbio.ceremony.consent import erase_seed
from defedbio.ceremony.decide import Facts
from defedbio.ceremony.machine import Machine, MakeMachine, Terms
from defedbio.ceremony.verdict import POST, SHARE, WITHHELD, Verdict, verdict
from defedbio.ceremony.view import CeremonyView, Post
from defedbio.chain.bindings.key_registry import KeyRegistry
from defedbio.chain.records import Transaction
from defedbio.chain.values import Ceremony
from defedbio.crypto import numbers
from defedbio.domain import CeremonyStatus
from defedbio.errors import BlobMismatch, BlobUnavailable, CidMismatch, InternalFault, PeerFault
from defedbio.network.connection import FETCH_SECONDS, Connection
from defedbio.network.shares import write_share
from defedbio.protocol.catalogue import ACTIVE, DIVERGED, HELD, MESSAGE, Kind
from defedbio.protocol.journal import Journal

MAX_REASON = 1024
WITHHELD_AFTER = 0.75
"""The part of a step's time after which a message that cannot be had is complained of."""


@dataclass
class Holder:
    """One organisation in one ceremony. The seed is in the machine's memory and in `folder`, sealed."""

    connection: Connection
    terms: Terms
    position: int
    folder: Path
    journal: Journal
    make: MakeMachine
    seed: bytes = field(repr=False)
    share_path: Callable[[int], Path]
    password: str = field(repr=False)
    name: str = ""
    _posts: list[list[bytes]] = field(default_factory=list, repr=False)
    _taken: list[tuple[Post, ...]] = field(default_factory=list, repr=False)
    _sizes: tuple[int, ...] = field(default=(), repr=False)
    _fault: str = ""
    _at_fault: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        self.machine: Machine = self.make(self.terms, self.position, self.seed)
        self._look()

    def facts(self, view: CeremonyView, latest: Ceremony) -> Facts:
        """What is known here. Steps that a reorganisation changed are checked again."""
        whole = [view.whole(step) for step in range(view.step)]
        if self._taken != whole[: len(self._taken)]:
            self._posts, self._taken, self._fault, self._at_fault = [], [], "", ()
            self._look()
        if self._unlike_journal(view):
            self._diverge()
        if latest.status is CeremonyStatus.SUCCEEDED and self.journal.get(_key(ACTIVE)) is None:
            # INVARIANT: D4, whoever has seen the key active never shows its seed, whatever a reorganisation makes of that.
            self.journal.put(_key(ACTIVE), {"epoch": latest.epoch})
        epoch = view.epoch
        return Facts(
            self.position,
            latest,
            checked=len(self._posts),
            over=not self._sizes,
            fault=self._fault,
            diverged=self.journal.get(_key(DIVERGED)) is not None,
            active=self.journal.get(_key(ACTIVE)) is not None,
            confirmed=epoch is not None and self.position in self.connection.keys.epoch_of(epoch.number).confirmations,
        )

    def perform(self, view: CeremonyView, action: act.Action, now: float) -> None:
        """Carry one action out at `now` (unix seconds); `End` is `end`, and to wait is the loop's.

        Raises:
            ContractRefused, Unreachable: as they come.
        """
        match action:
            case act.Check():
                self._check(view, action.step, now)
            case act.PostMessage():
                self._post(view, action.step)
            case act.Propose():
                self._propose(view)
            case act.Confirm():
                self._confirm(view, action.epoch)
            case act.Complain():
                self._send(KeyRegistry.complain(self._effect("complain"), view.number, action.reason))
            case act.Expire():
                self._send(KeyRegistry.expire(self._effect("expire"), view.number))
            case act.PublishSeed():
                self._send(KeyRegistry.publish_seed(self._effect("seed"), view.number, self.seed))
            case act.End() | act.Wait():
                raise InternalFault(f"{type(action).__name__} is the loop's to act on")

    def end(self, view: CeremonyView) -> Verdict | None:
        """Erase the seed and let the messages go; gives the verdict on a ceremony that failed. Nobody needs the messages any more: of a key
        that is active they hold encrypted summands of its factors, and of a failure the seeds give them again (D4, D5)."""
        found = self._verdict(view) if view.status is CeremonyStatus.FAILED else None
        erase_seed(self.folder)
        for cid in self._pinned():
            self.connection.store.unpin(cid)
        return found

    # -- steps -----------------------------------------------------------------------------------------------------------------------------

    def _check(self, view: CeremonyView, step: int, now: float) -> None:
        if not self._sizes:
            self._fault = f"{POST}step {step}: messages where there are none any more"
            return
        posts = view.whole(step)
        try:
            with self.connection.report.phase("check-messages", step=step) as phase:
                raw = [self._message_of(view, position, post) for position, post in enumerate(posts)]
                phase.bytes = sum(map(len, raw))
                awaited = self.machine.awaited([*self._posts, raw])
        except BlobUnavailable as error:
            if now < view.entered + WITHHELD_AFTER * view.step_seconds:
                raise
            self._fault = _reason(f"{WITHHELD}step {step}: {error.message}")
            return
        except PeerFault as error:
            self._fault = _reason(f"{POST}step {step}: {error.message}")
            self._at_fault = tuple(i for i, holder in enumerate(view.holders) if holder.lower() == error.peer.lower())
            return
        # Only what is right is pinned: what a poster names instead may be another blob, which this node keeps for a reason of its own.
        cids = [post.cid for post in posts]
        self.journal.put(_key(HELD, step), {"cids": cids})
        for cid in cids:
            self.connection.store.pin(cid)
        self._posts.append(raw)
        self._taken.append(posts)
        self.name, self._sizes = awaited.name, awaited.sizes

    def _message_of(self, view: CeremonyView, position: int, post: Post) -> bytes:
        holder, size = view.holders[position], self._sizes[position]
        try:
            raw = self.connection.peers.fetch(post.cid, holder, size, FETCH_SECONDS, view.holders)
        except CidMismatch as error:
            # Of whoever delivered it, which need not be who posted it.
            raise BlobUnavailable(error.message) from None
        if len(raw) != size or not post.is_of(raw):
            raise BlobMismatch(f"the message of {holder} is not of {size} bytes and of the hash and CID that it posted", peer=holder)
        return raw

    def _post(self, view: CeremonyView, step: int) -> None:
        with self.connection.report.phase("make-message", step=step) as phase:
            raw = self.machine.message(self._posts)
            phase.bytes = len(raw)
        post, head = Post.of(raw), view.steps[step].head
        made = {"hash": post.hash.hex(), "cids": [post.cid], "head": head.hex()}
        # INVARIANT: D3, this seed answers one set of posts in each step, whatever a reorganisation makes of them.
        if self.journal.put_once(_key(MESSAGE, step), made) != made:
            self._diverge()
            return
        self.connection.store.add(raw)
        self._send(KeyRegistry.post(self._effect(f"post/{step}"), view.number, step, head, post.hash, post.cid))

    def _propose(self, view: CeremonyView) -> None:
        transcript = self.machine.transcript(self._posts)
        cid, key = self.connection.store.add(transcript.to_bytes()), transcript.key.public_key
        modulus = numbers.to_bytes(key.n, key.modulus_bytes)
        self._send(KeyRegistry.propose_from(self._effect("propose"), view.number, view.steps[-1].head, modulus, transcript.hash, cid))

    def _confirm(self, view: CeremonyView, epoch: int) -> None:
        """D20."""
        if self._sizes:
            self._reject(epoch, f"{POST}the epoch was proposed before the last step was over")
            return
        with self.connection.report.phase("check-share"):
            transcript = self.machine.transcript(self._posts)
            if view.epoch is None or transcript.hash != view.epoch.transcript_hash:
                self._reject(epoch, f"{POST}the transcript of the epoch is not what the messages come to")
                return
            try:
                share = self.machine.share(self._posts)
            except PeerFault as error:
                self._reject(epoch, f"{SHARE}{error.message}")
                return
        write_share(self.share_path(epoch), share, epoch, self.password)
        self.connection.store.add(transcript.to_bytes())
        self._send(KeyRegistry.confirm(self._effect("confirm"), epoch, transcript.hash))

    def _reject(self, epoch: int, reason: str) -> None:
        self._send(KeyRegistry.reject(self._effect("reject"), epoch, _reason(reason)))

    # -- what is known ---------------------------------------------------------------------------------------------------------------------

    def _pinned(self) -> Iterator[str]:
        for key in self.journal.sizes():
            if any(kind.pattern.fullmatch(key) for kind in (MESSAGE, HELD)):
                yield from (self.journal.get(key) or {}).get("cids", ())

    def _look(self) -> None:
        awaited = self.machine.awaited(self._posts)
        self.name, self._sizes = awaited.name, awaited.sizes

    def _unlike_journal(self, view: CeremonyView) -> bool:
        """Whether the chain has a message of this account that this home did not make, or other posts than those that it answered."""
        for number, step in enumerate(view.steps):
            made, post = self.journal.get(_key(MESSAGE, number)), step.posts.get(self.position)
            if made is None and post is not None:
                return True
            if made is not None and (made["head"] != step.head.hex() or (post is not None and made["hash"] != post.hash.hex())):
                return True
        return False

    def _diverge(self) -> None:
        if self.journal.get(_key(DIVERGED)) is None:
            self.journal.put(_key(DIVERGED), {"at": int(time.time())})
            self.connection.report.note(
                "this home sends nothing more in the ceremony: the chain and its journal do not agree on what it posted", level="error"
            )

    def _verdict(self, view: CeremonyView) -> Verdict:
        if self._at_fault:
            return Verdict(self._at_fault, self._fault)  # anybody can see it in the post itself
        if self.journal.get(_key(ACTIVE)) is not None and not view.missing:
            return Verdict((), "its key was seen active before the chain was reorganised, so that seeds are kept back")
        first: dict[int, bytes] = {}
        for position in range(view.threshold, len(view.holders)):
            if (post := view.steps[0].posts.get(position)) is not None:
                try:
                    first[position] = self.connection.peers.fetch(post.cid, view.holders[position], 1 << 20, FETCH_SECONDS, view.holders)
                except (BlobUnavailable, PeerFault):
                    continue
        with self.connection.report.phase("find-fault"):
            return verdict(view, self.terms, self.make, first)

    def _send(self, transaction: Transaction) -> None:
        self.connection.send(transaction)

    def _effect(self, name: str) -> str:
        return f"ceremony/{self.terms.ceremony}/{name}"


def _key(kind: Kind[dict[str, Any]], step: int | None = None) -> str:
    return f"ceremony/{kind.name}" if step is None else f"step/{step}/{kind.name}"


def _reason(text: str) -> str:
    """As the contract takes it."""
    return text.encode()[:MAX_REASON].decode(errors="ignore")
