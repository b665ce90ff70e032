"""What each page shows, as plain values for its template. No HTML and no request in here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from defedbio.chain import events as ev
from defedbio.chain.abi import decode_call
from defedbio.chain.events import decode_log
from defedbio.errors import DefedError, NotFound
from defedbio.explorer.blobs import keepers
from defedbio.explorer.index import Index
from defedbio.explorer.lookups import Lookups
from defedbio.explorer.round_page import round_page
from defedbio.explorer.search import LARGEST, find
from defedbio.explorer.study_page import study_page
from defedbio.explorer.tables import Tables, values_of
from defedbio.protocol.view import StudyView
from defedbio.web.paging import FIRST, Numbers, Paged


class Pages:
    """Each method takes the `pages` asked for of its lists, reads the tables once, and then asks `lookups` for the rest."""

    def __init__(self, index: Index, lookups: Lookups) -> None:
        self.index, self.lookups = index, lookups
        self.chain = lookups.connection.client.network

    def network(self, pages: Numbers = FIRST) -> dict[str, Any]:
        """Studies, members, key epochs and votes, the newest first."""
        with self.index.read() as tables:
            studies = pages.newest("studies", sorted(tables.studies))
            people = pages.page("people", list(dict.fromkeys([*tables.members, *tables.profiles])))
            epochs = pages.newest("epochs", sorted(tables.epochs))
            votes = pages.newest("votes", tables.votes)
            views = [tables.studies[number] for number in studies.rows]
            known = [{"address": a, "profile": tables.profiles.get(a), "member": a in tables.members} for a in people.rows]
            members = len(tables.members)
            proposed = [epoch_of(tables, number) for number in epochs.rows]
        return {
            "chain_id": self.chain.chain_id,
            "contracts": list(self.chain.contracts.addresses().items()),
            "studies": studies.holding([self._summary(view) for view in views]),
            "people": people.holding(known),
            "members": members,
            "epochs": epochs.holding(proposed),
            "votes": self._rows(votes),
        }

    def _summary(self, study: StudyView) -> dict[str, Any]:
        frame = self.lookups.known_frame(study.id)
        return {
            "view": study,
            "name": frame.spec.name if frame else "",
            "finalised": len(study.finalised),
            "steps": study.rules.steps if study.rules else 0,
        }

    def study(self, number: int, pages: Numbers = FIRST) -> dict[str, Any]:
        """Raises NotFound for an unknown study."""
        return study_page(self.index.study(number), self.index, self.lookups, pages)

    def round(self, number: int, pages: Numbers = FIRST) -> dict[str, Any]:
        """Raises NotFound for an unknown round."""
        study, view = self.index.round(number)
        with self.index.read() as tables:
            events, holders = list(tables.by_round.get(number, ())), tables.holders(study)
        shown = round_page(study, view, events, holders, self.lookups, pages)
        return shown | {"events": self._rows(pages.newest("events", events))}

    def epoch(self, number: int, pages: Numbers = FIRST) -> dict[str, Any]:
        """Raises NotFound for an unknown key epoch."""
        with self.index.read() as tables:
            if number not in tables.epochs:
                raise NotFound(f"there is no key epoch {number}")
            shown = epoch_of(tables, number)
            shown["studies"] = [s.id for s in tables.studies.values() if s.key_epoch == number]
            events = pages.newest("events", list(tables.by_epoch[number]))
        return shown | {"events": self._rows(events)}

    def block(self, number: int, pages: Numbers = FIRST) -> dict[str, Any]:
        """Raises NotFound for a block that the chain does not have."""
        found = self.lookups.connection.client.whole_block(number) if number < LARGEST else None
        if found is None:
            raise NotFound(f"there is no block {number}")
        with self.index.read() as tables:
            events = list(tables.by_block.get(number, ()))
        return {
            "block": found,
            "transactions": pages.page("transactions", found.transactions),
            "events": self._rows(pages.page("events", events)),
            "newest": self.index.head.number if self.index.head else number,
        }

    def transaction(self, tx_hash: bytes, pages: Numbers = FIRST) -> dict[str, Any]:
        """The decoded call, its events, or the custom error by name. Raises NotFound for a transaction that was not mined."""
        client = self.lookups.connection.client
        found = client.transaction(tx_hash)
        if found is None:
            raise NotFound(f"the chain has no mined transaction 0x{tx_hash.hex()}")
        contract = self.chain.contracts.name_of(found.to) if found.to else None
        refusal = ""
        if not found.succeeded:
            try:
                refused = client.refusal(found)
                refusal = refused.message if refused is not None else "the call goes through on the state before its block"
            except DefedError as error:
                refusal = error.message
        events = [event for log in found.logs if (event := decode_log(self.chain, log)) is not None]
        head = client.block(found.block)
        return {
            "tx": found,
            "contract": contract,
            "call": decode_call(contract, found.data) if contract else None,
            "refusal": refusal,
            "events": self._rows(pages.page("events", events)),
            "time": head.timestamp if head else None,
            "foreign_logs": len(found.logs) - len(events),
        }

    def address(self, address: str, pages: Numbers = FIRST) -> dict[str, Any]:
        """Raises NotFound for an address that no event names."""
        contract = self.chain.contracts.name_of(address)
        with self.index.read() as tables:
            named: Sequence[ev.Event] = (tables.by_contract if contract else tables.by_address).get(address, ())
            if not named and not contract:
                raise NotFound(f"{address} takes no part in this network")
            events = pages.newest("events", named)
            shown = {
                "address": address,
                "contract": contract,
                "profile": tables.profiles.get(address),
                "member": address in tables.members,
                "studies": [s.id for s in tables.studies.values() if address in s.participants],
            }
        return shown | {"balance": self.lookups.balance(address), "events": self._rows(events)}

    def cid(self, cid: str, pages: Numbers = FIRST) -> dict[str, Any]:
        """Raises NotFound for a CID that no event names."""
        with self.index.read() as tables:
            named = list(tables.by_cid.get(cid, ()))
            should = keepers(tables, cid)
        if not named:
            raise NotFound("no event of this network names this CID")
        return {"cid": cid, "events": self._rows(pages.newest("events", named)), "keepers": should}

    def find(self, text: str) -> str:
        """The path of what somebody looks for. Raises NotFound if nothing is like it."""
        with self.index.read() as tables:
            return find(tables, self.chain, text)

    def _rows(self, page: Paged[ev.Event]) -> Paged[dict[str, Any]]:
        times = self.lookups.times(page.rows)
        return page.holding(
            [{"name": type(e).__name__, "values": values_of(e), "meta": e.meta, "time": times.get(e.meta.block_hash)} for e in page.rows]
        )


def epoch_of(tables: Tables, number: int) -> dict[str, Any]:
    """A proposed key epoch and what became of it."""
    state, confirmed, rejected, retired = "proposed", set(), {}, set()
    for event in tables.by_epoch.get(number, ()):
        match event:
            case ev.KeyEpochActivated():
                state = "active"
            case ev.KeyEpochRejected():
                state, rejected[event.holder] = "rejected", event.reason
            case ev.KeyEpochLapsed():
                state = "lapsed"
            case ev.KeyShareConfirmed():
                confirmed.add(event.holder)
            case ev.KeyShareRetired():
                retired.add(event.holder)
            case ev.KeyEpochRetired():
                state = "retired"
    return {"event": tables.epochs[number], "state": state, "confirmed": confirmed, "rejected": rejected, "retired": retired}
