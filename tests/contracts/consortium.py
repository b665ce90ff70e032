"""The four contracts with organisations in them, and a round driven phase by phase."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from brownie import accounts, chain, web3
from brownie.convert import to_bytes
from eth_abi import encode
from eth_utils import keccak

from defedbio.domain import TWO_THIRDS, BitSet, Phase
from scripts.deploy import deploy

HOUR = 3600
ANY: Any = object()  # a value that a test leaves open
MODULUS = b"\xc5" + b"\x11" * 254 + b"\x01"  # 2048 bits, odd: the registry looks at no more
CID = "bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy"


def word(*parts: object) -> bytes:
    """32 bytes that differ for different parts."""
    return keccak(text="/".join(map(str, parts)))


def people(count: int) -> list[Any]:
    """Accounts that can send transactions: the node's own, then more with keys of their own (gas costs nothing here)."""
    unlocked = list(accounts)[: min(count, 10)]
    extra = [accounts.add(keccak(text=f"organisation {i}").hex()) for i in range(len(unlocked), count)]
    return unlocked + extra


@dataclass
class Consortium:
    participants: Any
    keys: Any
    studies: Any
    rounds: Any
    members: list[Any]

    @classmethod
    def found(cls, members: Sequence[Any]) -> Consortium:
        contracts = deploy(members[0], [account.address for account in members])
        return cls(*(contracts[name] for name in ("ParticipantRegistry", "KeyRegistry", "StudyRegistry", "RoundManager")), list(members))

    def propose_key(self, holders: Sequence[Any], threshold: int, **changes: Any) -> int:
        values = {
            "modulus": MODULUS,
            "transcript": word("transcript"),
            "cid": CID,
            "proposer": self.members[0],
        } | changes
        self.keys.propose(
            values["modulus"],
            [holder.address for holder in holders],
            threshold,
            values["transcript"],
            values["cid"],
            {"from": values["proposer"]},
        )
        return int(self.keys.epochCount())

    def active_key(self, holders: Sequence[Any], threshold: int) -> int:
        epoch = self.propose_key(holders, threshold)
        for holder in holders:
            self.keys.confirm(epoch, word("transcript"), {"from": holder})
        return epoch

    def rules(self, **changes: int) -> tuple[int, ...]:
        values = {"seats": 3, "minCohort": 3, "steps": 2, "enrolUntil": chain[-1].timestamp + 30 * 24 * HOUR}
        values |= {f"{phase}Seconds": HOUR for phase in ("commit", "reveal", "attest", "aggregate", "share", "finalise")}
        values |= {"leastShare": TWO_THIRDS}
        assert changes.keys() <= values.keys()
        return tuple((values | changes).values())

    def open_study(self, epoch: int, invited: Sequence[Any] = (), **changes: int) -> int:
        addresses = [getattr(account, "address", account) for account in invited]
        self.studies.open(epoch, word("spec"), CID, self.rules(**changes), addresses, {"from": self.members[0]})
        return int(self.studies.studyCount())

    def study_with(self, enrolled: Sequence[Any], epoch: int, **changes: int) -> int:
        """A study whose seats are all taken, so that rounds can be opened."""
        study = self.open_study(epoch, **({"seats": len(enrolled)} | changes))
        for account in enrolled:
            self.studies.enrol(study, word("spec"), {"from": account})
        return study

    def open_round(self, study: int, opener: Any) -> int:
        self.rounds.openRound(study, {"from": opener})
        return int(self.rounds.latestRound(study))

    def ready(self, count: int = 3, threshold: int = 2, **changes: int) -> Life:
        """A round in its first phase, with `count` enrolled and the first three (two when there are two) as key holders."""
        epoch = self.active_key(self.members[:3], threshold)
        study = self.study_with(self.members[:count], epoch, **changes)
        return Life(self, study, epoch, self.open_round(study, self.members[0]), self.members[:count], self.members[:3], threshold)


@dataclass
class Life:
    """One round, its participants and its key holders; every method sends the transactions of one phase."""

    consortium: Consortium
    study: int
    epoch: int
    round: int
    enrolled: list[Any]
    holders: list[Any]
    threshold: int

    @property
    def contract(self) -> Any:
        return self.consortium.rounds

    def view(self) -> Any:
        return self.contract.roundOf(self.round)

    @property
    def phase(self) -> Phase:
        return Phase(self.view()["phase"])

    @property
    def deadline(self) -> int:
        return int(self.view()["deadline"])

    def root(self, who: Any) -> bytes:
        return word("root", self.round, who)

    def commitment(self, who: Any, **changes: Any) -> bytes:
        """As protocol sentence P1 says it, independently of the contract."""
        values = {"chain": chain.id, "contract": self.contract.address, "round": self.round, "sender": who.address}
        values |= {"root": self.root(who), "cid": CID, "proof": bytes(32), "salt": word("salt", who)} | changes
        types = ["uint256", "address", "uint256", "address", "bytes32", "string", "bytes32", "bytes32"]
        return keccak(encode(types, list(values.values())))

    def commit(self, *who: Any) -> Any:
        for account in who or self.enrolled:
            tx = self.contract.commit(self.round, self.commitment(account), {"from": account})
        return tx

    def reveal(self, *who: Any) -> Any:
        for account in who or self.enrolled:
            tx = self.contract.reveal(self.round, self.root(account), CID, bytes(32), word("salt", account), {"from": account})
        return tx

    def everyone(self) -> int:
        return BitSet.of(*range(len(self.enrolled))).bits

    def attest(self, *who: Any, set: int | None = None, refused: int = 0) -> Any:
        for account in who or self.holders[: self.threshold]:
            tx = self.contract.attestSet(self.round, self.everyone() if set is None else set, refused, "", {"from": account})
        return tx

    @property
    def aggregate_root(self) -> bytes:
        return word("aggregate", self.round)

    def aggregate(self, who: Any = None, root: bytes | None = None) -> Any:
        return self.contract.postAggregate(self.round, root or self.aggregate_root, CID, {"from": who or self.enrolled[0]})

    def release(self, *who: Any, root: bytes | None = None) -> Any:
        for account in who or self.holders[: self.threshold]:
            share = word("share", self.round, account)
            tx = self.contract.releaseShare(self.round, root or self.aggregate_root, share, CID, word("proof"), {"from": account})
        return tx

    @property
    def opening_root(self) -> bytes:
        return word("opening", self.round)

    @property
    def model_hash(self) -> bytes:
        return word("model", self.round)

    def open_sum(self, who: Any = None, root: bytes | None = None) -> Any:
        return self.contract.postOpening(self.round, root or self.opening_root, CID, {"from": who or self.enrolled[0]})

    def open_part(self, *who: Any) -> Any:
        for account in who or self.holders[: self.threshold]:
            tx = self.contract.postOpeningPart(self.round, word("part", self.round, account), CID, {"from": account})
        return tx

    def attest_model(self, *who: Any, model: bytes | None = None, opening: bytes | None = None, cid: str = CID) -> Any:
        for account in who or self.holders[: self.threshold]:
            tx = self.contract.attestModel(self.round, opening or self.opening_root, model or self.model_hash, cid, {"from": account})
        return tx

    def without(self, *away: Any) -> Life:
        """A whole round without these participants, the phases that wait for them until their deadlines."""
        present = [account for account in self.enrolled if account not in away]
        for phase, act in ((Phase.OPEN, self.commit), (Phase.COMMITTED, self.reveal)):
            act(*present)
            if self.phase == phase:
                self.pass_deadline()
                self.contract.advance(self.round, {"from": present[0]})
        self.attest(set=sum(1 << self.enrolled.index(account) for account in present))
        self.aggregate(present[0])
        self.release()
        self.open_sum(present[0])
        self.attest_model()
        assert self.phase == Phase.FINALISED
        return self

    def until(self, phase: Phase) -> Life:
        """Do everything before `phase`, from an open round."""
        steps = [self.commit, self.reveal, self.attest, self.aggregate, self.release, lambda: (self.open_sum(), self.attest_model())]
        for step in steps[: phase - Phase.OPEN]:
            step()
        assert self.phase == phase
        return self

    def pass_deadline(self) -> None:
        move_to(self.deadline)

    def next(self) -> Life:
        """The study's next round."""
        opened = self.consortium.open_round(self.study, self.enrolled[0])
        return Life(self.consortium, self.study, self.epoch, opened, self.enrolled, self.holders, self.threshold)


def move_to(timestamp: int) -> None:
    """Mine a block at this time, in unix seconds."""
    answer = web3.provider.make_request("evm_setNextBlockTimestamp", [timestamp])
    assert "error" not in answer, answer
    chain.mine()


def as_bytes(value: Any) -> bytes:
    """A bytes32 as Brownie returns it."""
    return bytes(to_bytes(value, "bytes32"))
