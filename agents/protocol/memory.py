"""What a node remembers of a study: typed entries of its journal, each of a kind that the catalogue declares."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from defedbio.errors import InternalFault
from defedbio.protocol.catalogue import FORGOTTEN, PINS, Filed, Kind, kind_of
from defedbio.protocol.journal import Journal
from defedbio.protocol.past import PastRound
from defedbio.protocol.view import RoundView

T = TypeVar("T")
Items = Kind[dict[str, Any]]


def open_journal(path: Path) -> Journal:
    """The journal of a study, which takes no entry of an undeclared kind.

    Raises:
        InvalidInput: as `Journal`.
    """
    return Journal(path, declared=lambda key: kind_of(key) is not None)


def key_of(kind: Kind[Any], view: RoundView | PastRound | None = None, part: str = "") -> str:
    """The journal's key of an entry. `view` is the round that it is of, and None for one of the study; `part` its name among several of
    its kind, and a model's hash."""
    end = f"/{part}" if part else ""
    match kind.filed, view:
        case Filed.ROUND, RoundView():
            return f"round/{view.id}/{kind.name}{end}"
        case Filed.START, RoundView() | PastRound():
            return f"round/{view.id}/{view.start}/{kind.name}{end}"
        case Filed.SET, RoundView():
            return f"round/{view.id}/{view.basis}/{kind.name}{end}"
        case Filed.STUDY, None:
            return f"study/{kind.name}"
        case Filed.MODEL, None:
            return f"{kind.name}{end}"
    raise InternalFault(f"a {kind.name} is not filed under {'a round' if view else 'the study'}")


class Memory:
    """Reads and writes entries by kind. Of a forgotten round nothing is written that a step of it would need: whatever the chain says of it
    then, this node takes no part in it again."""

    def __init__(self, journal: Journal) -> None:
        self.journal = journal

    def get(self, kind: Kind[T], view: RoundView | PastRound | None = None, part: str = "") -> T | None:
        raw = self.journal.get_bytes(key_of(kind, view, part))
        return None if raw is None else kind.codec.load(raw)

    def put(self, kind: Kind[T], view: RoundView | None, value: T, part: str = "") -> None:
        self._check(kind, view)
        self.journal.put_bytes(key_of(kind, view, part), kind.codec.dump(value))

    def put_once(self, kind: Kind[T], view: RoundView, value: T) -> T:
        """Write unless it is there already; return what is there then."""
        self._check(kind, view)
        return kind.codec.load(self.journal.put_bytes_once(key_of(kind, view), kind.codec.dump(value)))

    def require(self, kind: Kind[T], view: RoundView) -> T:
        """What is there; the decider asks for an action only once it is."""
        found = self.get(kind, view)
        if found is None:
            raise InternalFault(f"no journalled {kind.name} for round {view.id}")
        return found

    def delete(self, view: RoundView, *kinds: Kind[Any]) -> None:
        self.journal.delete(*(key_of(kind, view) for kind in kinds))

    def listed(self, kind: Items, view: RoundView) -> list[Any]:
        """The items of an entry that lists some, in their order."""
        return list((self.get(kind, view) or {}).get("items", []))

    def enlist(self, kind: Items, view: RoundView, *items: Any) -> None:
        self.put(kind, view, {"items": [*self.listed(kind, view), *items]})

    def pinning(self, view: RoundView, what: str, cids: Iterable[str]) -> None:
        """Note that blobs of the round are about to be pinned, so that forgetting it finds them whenever this process ends."""
        pins = self.get(PINS, view) or {}
        known = pins.get(what, [])
        if new := [cid for cid in dict.fromkeys(cids) if cid not in known]:
            self.put(PINS, view, {**pins, what: [*known, *new]})

    @property
    def through(self) -> int:
        """All rounds up to this number are forgotten."""
        return int(self._forgotten["through"])

    @property
    def swept(self) -> int:
        """What was to go of the rounds up to this number is gone."""
        return int(self._forgotten["swept"])

    def forget(self, through: int, swept: int) -> None:
        self._forgotten = {"through": max(through, self.through), "swept": swept}
        self.put(FORGOTTEN, None, self._forgotten)

    def forgotten(self, view: RoundView) -> bool:
        return view.id <= self.through

    def sizes(self) -> Mapping[str, int]:
        """Bytes of every entry's value, by key."""
        return self.journal.sizes()

    def raw(self, key: str) -> bytes | None:
        return self.journal.get_bytes(key)

    def drop(self, keys: Iterable[str]) -> None:
        """Delete entries, all or none."""
        self.journal.delete(*keys)

    @cached_property
    def _forgotten(self) -> dict[str, Any]:
        return self.get(FORGOTTEN) or {"through": 0, "swept": 0}

    def _check(self, kind: Kind[Any], view: RoundView | None) -> None:
        # INVARIANT: every effect is journalled before it leaves the node, so that a forgotten round has none (P5).
        if view is not None and self.forgotten(view) and not kind.late:
            raise InternalFault(f"round {view.id} is forgotten here: a {kind.name} of it is not taken up again")
