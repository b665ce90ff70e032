"""What the organisation keeps of a study, and for how long."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from defedbio.client.session import Session
from defedbio.client.values import Value
from defedbio.errors import DefedError
from defedbio.network import known
from defedbio.nodes import storage
from defedbio.nodes import strays as pinned

__all__ = ["Cleaned", "Storage", "Stored", "Strays"]

Confirm = Callable[["Strays"], bool]


@dataclass(frozen=True)
class Blobs(Value):
    """Of one kind of blob how many are pinned, and how many bytes they have at most."""

    blobs: int
    bytes: int


@dataclass(frozen=True)
class Stored(Value):
    """`journal` are bytes by kind of entry, None where a running agent does not say; `pinned` is what finalised rounds keep on IPFS, by
    kind. `end` says how the study ended, empty while it goes on. In unix seconds, `retained_until` is until when it is kept after its end,
    and `rests_until` until when one that goes on is kept if no round of it begins; else None. With `let_go` nothing is kept any more.
    `strays` is how many blobs are pinned on the own IPFS node that no study of this home keeps; None where that cannot be said."""

    study: int
    journal: dict[str, int] | None
    pinned: dict[str, Blobs]
    retention_days: int
    end: str
    retained_until: int | None
    rests_until: int | None
    let_go: bool
    strays: int | None


@dataclass(frozen=True)
class Cleaned(Value):
    """How many things were due: a round to be kept whole, rounds to be forgotten, the study to be let go."""

    study: int
    done: int


@dataclass(frozen=True)
class Strays(Value):
    """What is pinned on the own IPFS node and no study of this home keeps: of before a restore, or of whoever else uses that node. Of the
    studies `untold` nobody knows what they keep. `enrolled` are the studies that this organisation is in and has no folder of here. With
    `done` the blobs are unpinned."""

    cids: tuple[str, ...]
    untold: tuple[str, ...]
    enrolled: tuple[int, ...]
    done: bool = False


class Storage:
    def __init__(self, session: Session) -> None:
        self._session = session

    def show(self, study: int) -> Stored:
        """What the node keeps of a study in its journal and on IPFS, by kind (docs/storage.md). Needs no password.

        Raises:
            NotFound: for an unknown study. Unreachable: when chain or IPFS do not answer.

        Example:
            client.storage.show(1).journal
        """
        found = storage.stored(self._session.reader(), self._session.home, study)
        blobs = {kind: Blobs(*counted) for kind, counted in found.blobs.items()}
        until = found.retained_until, found.rests_until
        return Stored(study, found.journal, blobs, found.retention_days, found.end, *until, found.let_go, self._count())

    def clean(self, study: int) -> Cleaned:
        """Keep, forget and let go now what is due, as the study's agent does by itself while it runs and when it starts, and delete what is
        not pinned from the own IPFS node. Needs no password.

        Raises:
            InvalidInput: while the study's agent runs here. NotFound: for an unknown study, or without an account. Unreachable: when chain
                or IPFS do not answer.

        Example:
            client.storage.clean(1).done
        """
        done = storage.clean(self._session.reader(), self._session.home, study, self._session.own_address())
        return Cleaned(study, done)

    def strays(self, *, unpin: bool = False, accept: bool = False, confirm: Confirm | None = None) -> Strays:
        """What is pinned on the own IPFS node and no study of this home keeps, nor the organisation published on any network that this home
        knows. Needs no password.

        Args:
            unpin: unpin these, and delete them from the own IPFS node.
            accept: they are nobody else's, who may use the same node; without, and without `confirm`, nothing is unpinned.
            confirm: else decides; gets what is found.

        Raises:
            InvalidInput: where some would be unpinned while nobody knows what some study of this home keeps. NotFound: without an account.
                Unreachable: when a chain or IPFS do not answer.

        Example:
            client.storage.strays().cids  # then: client.storage.strays(unpin=True, accept=True).done
        """
        session, found = self._session, self._find()
        told = Strays(found.cids, found.untold, tuple(study for _, study in found.elsewhere))
        if not (unpin and found.cids and (accept or (confirm is not None and confirm(told)))):
            return told
        pinned.unpin(session.store, session.home, found)
        session.store.collect_garbage()
        return replace(told, done=True)

    def _find(self) -> pinned.Strays:
        session = self._session
        networks = [session.reader(), *(session.reader_of(other) for other in known.others(session.home, session.network))]
        return pinned.strays(session.store, networks, session.home, session.own_address())

    def _count(self) -> int | None:
        try:
            found = self._find()
        except DefedError:
            return None
        return None if found.untold else len(found.cids)
