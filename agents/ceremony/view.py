"""What the chain says of a ceremony without a dealer, folded from its events (D2, D4). Nothing here asks anybody."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from defedbio.chain import events as ev
from defedbio.chain.bindings.key_registry import head_after
from defedbio.crypto.merkle import keccak256
from defedbio.domain import NO_ONE, BitSet, CeremonyStatus
from defedbio.errors import BadEvidence
from defedbio.ipfs.cid import cid_of

NO_HEAD = bytes(32)


@dataclass(frozen=True)
class Post:
    """A message of a step: keccak256 of it, and its CID, which is a function of it as well."""

    hash: bytes
    cid: str

    @classmethod
    def of(cls, message: bytes) -> Post:
        return cls(keccak256(message), cid_of(message))

    def is_of(self, message: bytes) -> bool:
        return self == Post.of(message)


@dataclass(frozen=True)
class Step:
    """A step: the head that its posts answer, when it ends at the latest (unix seconds), and the posts by position."""

    head: bytes
    deadline: int
    posts: Mapping[int, Post] = field(default_factory=dict)


@dataclass(frozen=True)
class Epoch:
    """The key epoch that was proposed. `confirmed` are the positions that confirmed it."""

    number: int
    deadline: int
    proposer: str = ""
    transcript_hash: bytes = b""
    confirmed: BitSet = NO_ONE


@dataclass(frozen=True)
class CeremonyView:
    """A ceremony by its events. The last of `steps` takes posts. `missing` are the positions that a step's time ended without,
    `complaints` the (holder, reason) of those who said that something was wrong, `seeds` what contributors published, by position, with
    `seeds_until` (unix seconds) as the time for it."""

    number: int
    announcer: str
    holders: tuple[str, ...]
    threshold: int
    bits: int
    step_seconds: int
    block: int
    status: CeremonyStatus = CeremonyStatus.RUNNING
    steps: tuple[Step, ...] = ()
    epoch: Epoch | None = None
    missing: BitSet = NO_ONE
    complaints: tuple[tuple[str, str], ...] = ()
    seeds: Mapping[int, bytes] = field(default_factory=dict)
    seeds_until: int = 0

    @property
    def step(self) -> int:
        """The step that takes posts."""
        return len(self.steps) - 1

    @property
    def posters(self) -> int:
        """How many post in this step, from position 0 on."""
        return self.posters_of(self.step)

    @property
    def deadline(self) -> int:
        """When what is waited for now is over, in unix seconds."""
        if self.status is CeremonyStatus.FAILED:
            return self.seeds_until
        return self.epoch.deadline if self.epoch is not None else self.steps[-1].deadline

    @property
    def entered(self) -> int:
        """When what is waited for now began, in unix seconds."""
        return self.deadline - self.step_seconds

    @property
    def waited_for(self) -> tuple[int, ...]:
        """The positions that the ceremony waits for: to post, to confirm, or once it has failed to publish their seeds."""
        if self.status is CeremonyStatus.SUCCEEDED:
            return ()
        if self.status is CeremonyStatus.FAILED:
            return tuple(i for i in range(self.threshold) if i not in self.seeds)
        if self.epoch is not None:
            return tuple(i for i in range(len(self.holders)) if i not in self.epoch.confirmed)
        return tuple(i for i in range(self.posters) if i not in self.steps[-1].posts)

    def posters_of(self, step: int) -> int:
        return self.threshold if step else len(self.holders)

    def whole(self, step: int) -> tuple[Post, ...]:
        """The posts of a step that is over, in the order of their positions."""
        return tuple(self.steps[step].posts[i] for i in range(self.posters_of(step)))


def fold(number: int, events: Iterable[ev.Event], chain_id: int, registry: str) -> CeremonyView | None:
    """The ceremony of this number after these events, in the chain's order; others among them are passed over. None where it is not
    announced. Events of the epoch that it proposed are read, too.

    Raises:
        BadEvidence: for events that no run of the contract can have emitted: the Ethereum node left some out or made them up.
    """
    view: CeremonyView | None = None
    for event in events:
        if isinstance(event, ev.CeremonyAnnounced):
            if event.ceremony == number:
                terms = event.announcer, event.holders, event.threshold, event.bits, event.step_seconds
                view = CeremonyView(number, *terms, event.meta.block)
        elif view is not None:
            try:
                view = _after(view, event, chain_id, registry)
            except (KeyError, IndexError, ValueError):
                raise BadEvidence(f"events of ceremony {number} are missing or made up", "ask another Ethereum node") from None
    return view


def _after(view: CeremonyView, event: ev.Event, chain_id: int, registry: str) -> CeremonyView:
    if getattr(event, "ceremony", view.number) != view.number:
        return view
    match event:
        case ev.CeremonyStepEntered():
            if (event.step, event.head) != (len(view.steps), _head(view, chain_id, registry)):
                raise ValueError
            return replace(view, steps=(*view.steps, Step(event.head, event.deadline)))
        case ev.CeremonyPosted():
            *before, step = view.steps
            position = view.holders.index(event.holder)
            if event.step != view.step or position >= view.posters or position in step.posts:
                raise ValueError
            posts = {**step.posts, position: Post(event.hash, event.cid)}
            return replace(view, steps=(*before, replace(step, posts=posts)))
        case ev.CeremonyConcluded():
            return replace(view, epoch=Epoch(event.epoch, event.deadline))
        case ev.KeyEpochProposed() if view.epoch is not None and event.epoch == view.epoch.number:
            return replace(view, epoch=replace(view.epoch, proposer=event.proposer, transcript_hash=event.transcript_hash))
        case ev.KeyShareConfirmed() if view.epoch is not None and event.epoch == view.epoch.number:
            return replace(view, epoch=replace(view.epoch, confirmed=event.confirmations))
        case ev.KeyEpochRejected() if view.epoch is not None and event.epoch == view.epoch.number:
            return replace(view, complaints=(*view.complaints, (event.holder, event.reason)))
        case ev.CeremonyExpired():
            return replace(view, missing=event.missing)
        case ev.CeremonyComplained():
            return replace(view, complaints=(*view.complaints, (event.holder, event.reason)))
        case ev.CeremonyFailed():
            return replace(view, status=CeremonyStatus.FAILED, seeds_until=event.deadline)
        case ev.CeremonySeedPublished():
            return replace(view, seeds={**view.seeds, view.holders.index(event.contributor): event.seed})
        case ev.CeremonySucceeded():
            return replace(view, status=CeremonyStatus.SUCCEEDED)
    return view


def _head(view: CeremonyView, chain_id: int, registry: str) -> bytes:
    """What the head of the next step must be."""
    if not view.steps:
        return NO_HEAD
    hashes = [post.hash for post in view.whole(view.step)]
    return head_after(chain_id, registry, view.number, view.step, view.steps[-1].head, hashes)
