"""What the organisation keeps of a study, and for how long."""

from __future__ import annotations

from dataclasses import dataclass

from defedbio.client.session import Session
from defedbio.client.values import Value
from defedbio.nodes import storage

__all__ = ["Cleaned", "Storage", "Stored"]


@dataclass(frozen=True)
class Blobs(Value):
    """Of one kind of blob how many are pinned, and how many bytes they have at most."""

    blobs: int
    bytes: int


@dataclass(frozen=True)
class Stored(Value):
    """`journal` are bytes by kind of entry, None where a running agent does not say; `pinned` is what finalised rounds keep on IPFS, by
    kind. `retained_until` in unix seconds, None while the study goes on; with `let_go` nothing is kept any more."""

    study: int
    journal: dict[str, int] | None
    pinned: dict[str, Blobs]
    retention_days: int
    retained_until: int | None
    let_go: bool


@dataclass(frozen=True)
class Cleaned(Value):
    """How many things were due: a round to be kept whole, rounds to be forgotten, the study to be let go."""

    study: int
    done: int


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
        pinned = {kind: Blobs(*counted) for kind, counted in found.blobs.items()}
        return Stored(study, found.journal, pinned, found.retention_days, found.retained_until, found.let_go)

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
