"""The port to what a holder works out in a ceremony without a dealer: messages from posts, and from all of them the key."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from defedbio.crypto.ceremony import CeremonyTranscript
from defedbio.crypto.threshold import KeyShare

Posts = Sequence[Sequence[bytes]]
"""The messages of every step so far, in the order of their senders: all holders in step 0, and then the contributors."""


@dataclass(frozen=True)
class Terms:
    """What was announced, and where (D1). `holders` are addresses in their order; the first `threshold` are contributors."""

    chain_id: int
    registry: str
    ceremony: int
    holders: tuple[str, ...]
    threshold: int
    bits: int
    step_seconds: int


@dataclass(frozen=True)
class Awaited:
    """The step after some posts: its name in docs/ceremony.md, and the exact bytes of each message, by position. No message when the
    ceremony has none any more."""

    name: str
    sizes: tuple[int, ...]


class Machine(Protocol):
    """One holder's side, made of terms, its position and its seed. Every method is a function of those and of the posts (D3), and raises
    BadTranscript for posts that are wrong: `peer` is whose fault it is, empty where only seeds can tell."""

    def awaited(self, posts: Posts) -> Awaited: ...

    def message(self, posts: Posts) -> bytes:
        """The own message of the step after these posts. Raises InvalidInput where this holder has none to post."""
        ...

    def transcript(self, posts: Posts) -> CeremonyTranscript:
        """What the posts of all steps come to."""
        ...

    def share(self, posts: Posts) -> KeyShare:
        """The own share, every part of which fits what its dealer committed to."""
        ...


MakeMachine = Callable[[Terms, int, bytes], Machine]
"""The machine of the holder at a position (from 0) with a seed of 32 bytes."""
