"""A ceremony without a dealer, driven post by post."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from defedbio.domain import CeremonyStatus
from tests.contracts.consortium import CID, HOUR, MODULUS, Consortium, move_to, word


@dataclass
class Making:
    """A ceremony and those in it."""

    consortium: Consortium
    id: int
    holders: list[Any]
    threshold: int

    @property
    def contract(self):
        return self.consortium.keys

    def view(self):
        return self.contract.ceremonyOf(self.id)

    @property
    def status(self):
        return CeremonyStatus(self.view()["status"])

    @property
    def contributors(self):
        return self.holders[: self.threshold]

    def message(self, who, step):
        return word("message", self.id, step, who)

    def post(self, *who, **changes):
        for account in who:
            view = self.view()
            given = {"step": view["step"], "head": view["head"], "hash": self.message(account, view["step"]), "cid": CID} | changes
            tx = self.contract.post(self.id, *given.values(), {"from": account})
        return tx

    def step(self, times=1):
        for _ in range(times):
            tx = self.post(*(self.contributors if self.view()["step"] else self.holders))
        return tx

    def propose(self, who=None, **changes):
        given = {"head": self.view()["head"], "modulus": MODULUS, "transcript": word("transcript"), "cid": CID} | changes
        self.contract.proposeFrom(self.id, *given.values(), {"from": who or self.holders[0]})
        return int(self.contract.epochCount())

    def confirm(self, epoch, *who):
        for account in who:
            tx = self.contract.confirm(epoch, word("transcript"), {"from": account})
        return tx

    def let_pass(self):
        move_to(self.view()["deadline"] + 1)

    def fail(self):
        return self.contract.complain(self.id, "wrong", {"from": self.holders[0]})


def announced(consortium, count=3, threshold=2, **changes):
    holders = consortium.members[:count]
    given = {"holders": [h.address for h in holders], "threshold": threshold, "bits": 2048, "seconds": HOUR, "by": consortium.members[0]}
    *values, by = (given | changes).values()
    consortium.keys.announce(*values, {"from": by})
    return Making(consortium, int(consortium.keys.ceremonyCount()), holders, threshold)
