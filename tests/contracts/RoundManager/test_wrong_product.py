"""P4: one transaction shows a wrong product and names its poster; no right one can be shown, whatever is given for it."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from dataclasses import field as item
from typing import Any

import pytest
from brownie.exceptions import VirtualMachineError

from defedbio.crypto import merkle
from defedbio.domain import BitSet, Phase
from tests.contracts.consortium import ANY, CID, Life, as_bytes, word
from tests.contracts.products import FIELDS, Field, Rows, shown

LENGTH = 3


@dataclass
class Sums(Life):
    """A round whose updates are numbers; `who` of the first three is in the set, in this order, unless `places` says otherwise."""

    field: Field = item(default_factory=lambda: Field(2048))
    updates: list[list[int]] = item(default_factory=list)
    places: tuple[int, ...] = (0, 1, 2)

    @classmethod
    def of(cls, consortium: Any, field: Field, count: int = 4, length: int = LENGTH, places: tuple[int, ...] = (0, 1, 2)) -> Sums:
        members = consortium.members
        epoch = consortium.propose_key(members[:3], 2, modulus=field.modulus)
        for holder in members[:3]:
            consortium.keys.confirm(epoch, word("transcript"), {"from": holder})
        study = consortium.study_with(members[:count], epoch)
        opened = consortium.open_round(study, members[0])
        updates = [field.update(length) for _ in range(count)]
        return cls(consortium, study, epoch, opened, members[:count], members[:3], 2, field, updates, places)

    def root(self, who: Any) -> bytes:
        return merkle.root(self.field.update_leaves(self.updates[self.enrolled.index(who)]))

    def commitment(self, who: Any, **changes: Any) -> bytes:
        return super().commitment(who, **({"root": self.root(who)} | changes))

    def everyone(self) -> int:
        return BitSet.of(*self.places).bits

    @property
    def summed(self) -> list[list[int]]:
        return [self.updates[place] for place in self.places]

    def rows(self, **off: Any) -> Rows:
        return self.field.prefixes(self.summed, **off)

    def root_of(self, rows: Rows) -> bytes:
        return merkle.root(self.field.aggregate_leaves(rows))

    @property
    def aggregate_root(self) -> bytes:
        return self.root_of(self.rows())

    def wrong(self, index: int = 0, position: int = 2, by: int = 3) -> Rows:
        return self.rows(off={(index, position): by})

    def proof(self, rows: Rows, index: int, position: int, **changes: Any) -> tuple[Any, ...]:
        who = self.enrolled[self.places[position - 1]]
        return shown(self.field, self.summed, rows, who, word("salt", who), index, position, **changes)

    def show(self, rows: Rows, index: int, position: int, who: Any = None, root: bytes | None = None, **changes: Any) -> Any:
        proof = self.proof(rows, index, position, **changes)
        return self.contract.showWrongProduct(self.round, root or self.root_of(rows), proof, {"from": who or self.enrolled[0]})


@pytest.fixture(scope="module")
def sums(consortium):
    """Frozen; nothing is posted yet."""
    return Sums.of(consortium, Field(2048)).until(Phase.FROZEN)


@pytest.mark.parametrize(("index", "position"), [(0, 1), (0, 2), (1, 3), (LENGTH - 1, 1), (LENGTH - 1, 3)])
def test_P4_anyone_shows_a_wrong_product_and_its_poster_is_named(sums, consortium, refused, index, position):
    rows = sums.wrong(index, position)
    root = sums.root_of(rows)
    for who in (1, 3):
        sums.aggregate(sums.enrolled[who], root=root)
    outsider = consortium.members[4]
    event = sums.show(rows, index, position, outsider).events["ProductShownWrong"]
    assert (event["round"], event["prover"]) == (sums.round, outsider)
    assert (event["posters"], event["ciphertext"], event["position"]) == (0b1010, index, position)
    assert as_bytes(event["aggregateRoot"]) == root
    assert sums.phase == Phase.AGGREGATED
    with refused("RoundManagerShownWrong", sums.round, root):
        sums.show(rows, index, position)
    with refused("RoundManagerShownWrong", sums.round, root):
        sums.aggregate(sums.enrolled[0], root=root)
    with refused("RoundManagerShownWrong", sums.round, root):
        sums.release(sums.holders[0], root=root)
    sums.aggregate(sums.enrolled[0])
    sums.release()
    sums.open_sum()
    sums.attest_model()
    assert sums.phase == Phase.FINALISED, "the others go on with the right one"


def test_P4_only_where_it_went_wrong(sums, refused):
    """What follows a wrong product is rightly multiplied again: whoever shows it must find the place."""
    rows = sums.wrong(0, 2)
    root = sums.root_of(rows)
    sums.aggregate(root=root)
    for index, position in ((0, 1), (0, 3), (1, 2)):
        with refused("RoundManagerProductHolds", sums.round, root, index, position):
            sums.show(rows, index, position)


def test_P4_a_right_product_cannot_be_shown_wrong(sums, refused):
    rows = sums.rows()
    sums.aggregate()
    for index in range(LENGTH):
        for position in (1, 2, 3):
            with refused("RoundManagerProductHolds", sums.round, sums.aggregate_root, index, position):
                sums.show(rows, index, position)


def test_P4_whatever_is_given_for_a_right_product(sums):
    """Random alterations of every field, alone and in pairs, of proofs about the honest poster's root."""
    choose, rows, root = random.Random(11), sums.rows(), sums.aggregate_root
    sums.aggregate()
    tree = sums.field.aggregate_leaves(rows)
    spare = {
        "participant": [account.address for account in sums.enrolled],
        "updateRoot": [root, sums.root(sums.enrolled[0]), sums.root(sums.enrolled[3])],
        "cid": [CID, "", CID + "a"],
        "proofHash": [bytes(32), root],
        "salt": [word("salt", account) for account in sums.enrolled],
        "ciphertext": [0, 1, 2, 3, 2**32 - 1],
        "factor": [sums.field.encoded(value) for update in sums.updates for value in update],
        "before": [sums.field.encoded(value) for row in rows for value in row],
        "product": [sums.field.encoded(value) for row in rows for value in row],
        "modulus": [sums.field.modulus, b"", b"\x00" + sums.field.modulus, Field(2048, 8).modulus],
    }
    spare["before"] += [b"", bytes(sums.field.bytes), sums.field.encoded(sums.field.squared), tree[0] + tree[1]]
    spare["product"] += [b"", bytes(sums.field.bytes), b"\x00" + spare["product"][0], tree[0] + tree[1]]
    spare["factor"] += [b"", spare["factor"][0][1:], bytes(4) + spare["factor"][0]]
    paths = [merkle.proof(tree, place) for place in range(len(tree))] + [[], [tree[1]], merkle.proof(tree, 0)[1:]]
    spare |= {
        "beforePath": paths,
        "productPath": paths,
        "factorPath": [[], *(merkle.proof(sums.field.update_leaves(u), 0) for u in sums.updates)],
    }
    assert spare.keys() == set(FIELDS)
    for _ in range(80):
        changes = {name: choose.choice(spare[name]) for name in choose.sample(FIELDS, choose.choice((1, 2, 3)))}
        proof = sums.proof(rows, choose.randrange(LENGTH), choose.choice((1, 2, 3)), **changes)
        with pytest.raises(VirtualMachineError, match="RoundManager"):
            sums.contract.showWrongProduct.call(sums.round, root, proof, {"from": sums.enrolled[0]})


def test_P4_no_value_but_the_one_in_the_tree(sums, refused, refused_any):
    rows = sums.rows()
    root, tree = sums.aggregate_root, sums.field.aggregate_leaves(sums.rows())
    sums.aggregate()
    with refused_any("RoundManagerNotInTree"):
        sums.show(rows, 0, 2, product=sums.field.encoded(rows[0][1] + 1))
    with refused_any("RoundManagerNotInTree"):
        sums.show(rows, 0, 2, before=sums.field.encoded(rows[0][0] + 1))
    with refused_any("RoundManagerNotInTree"):
        sums.show(rows, 0, 2, factor=sums.field.encoded(sums.summed[1][0] + 1))
    with refused_any("RoundManagerNotInTree"):  # the product of another ciphertext, and of another position
        sums.show(rows, 0, 2, product=sums.field.encoded(rows[1][1]), productPath=merkle.proof(tree, 4))
    with refused_any("RoundManagerNotInTree"):
        sums.show(rows, 0, 2, product=sums.field.encoded(rows[0][2]), productPath=merkle.proof(tree, 2))
    inner = tree[:2] if tree[0] < tree[1] else tree[1::-1]
    with refused_any("RoundManagerNotInTree"):  # an inner node for a leaf: what it hashes is 64 bytes, a leaf's 33
        sums.show(rows, 0, 1, product=b"".join(inner), productPath=merkle.proof(tree, 0)[1:])
    with refused("RoundManagerModulusMismatch", merkle.keccak256(sums.field.modulus), merkle.keccak256(b"\x01")):
        sums.show(rows, 0, 2, modulus=b"\x01")
    with refused("RoundManagerNotInSet", sums.round, sums.enrolled[3]):
        sums.show(rows, 0, 2, participant=sums.enrolled[3].address)
    with refused("RoundManagerNotInSet", sums.round, sums.consortium.members[4]):
        sums.show(rows, 0, 2, participant=sums.consortium.members[4].address)
    with refused("RoundManagerCommitmentMismatch", sums.round, sums.commitment(sums.enrolled[0]), ANY):
        sums.show(rows, 0, 2, participant=sums.enrolled[0].address)
    with refused_any("RoundManagerCommitmentMismatch"):
        sums.show(rows, 0, 2, updateRoot=sums.root(sums.enrolled[2]))
    with refused("RoundManagerUnknownAggregate", sums.round, word("unposted")):
        sums.show(rows, 0, 2, root=word("unposted"))
    proof = sums.proof(rows, 0, 2)
    with refused("RoundManagerUnknownAggregate", 99, root):
        sums.contract.showWrongProduct(99, root, proof, {"from": sums.enrolled[0]})


def test_P4_what_is_no_encoding_of_a_product_is_a_wrong_one(sums, refused):
    """Leaves that no honest poster has: n² too much, and a byte too much. Where one stands before, it is itself what is shown."""
    field = sums.field
    assert field.squared * 2 < 1 << 8 * field.bytes, "else the same product has no second encoding of this length"
    rows = sums.rows()
    rows[0][1] += field.squared
    root = sums.root_of(rows)
    sums.aggregate(sums.enrolled[0], root=root)
    with refused("RoundManagerNotACiphertext"):
        sums.show(rows, 0, 3)
    assert sums.show(rows, 0, 2).events["ProductShownWrong"]["position"] == 2
    encoded = b"\x00" + field.encoded(sums.rows()[1][2])
    tree = field.aggregate_leaves(sums.rows())
    tree[5] = merkle.prefix_leaves([[b"", b"", encoded]], 1)[2]
    long_root, path = merkle.root(tree), merkle.proof(tree, 5)
    sums.aggregate(sums.enrolled[1], root=long_root)
    proof = sums.proof(sums.rows(), 1, 3, product=encoded, productPath=path, beforePath=merkle.proof(tree, 4))
    event = sums.contract.showWrongProduct(sums.round, long_root, proof, {"from": sums.enrolled[0]}).events["ProductShownWrong"]
    assert (event["posters"], event["ciphertext"], event["position"]) == (0b10, 1, 3)


def test_P4_an_update_that_is_no_ciphertext_frames_nobody(consortium, refused):
    """Should t holders let such an update into the set, nothing is shown of what is multiplied with it."""
    sums = Sums.of(consortium, Field(2048, 9))
    sums.updates[1][0] = sums.field.squared
    sums.until(Phase.FROZEN)
    rows = sums.rows()
    sums.aggregate()
    with refused("RoundManagerNotACiphertext"):
        sums.show(rows, 0, 2)


def test_P4_the_position_is_that_in_the_set(consortium):
    """Not that of enrolment: the second enrolled is left out."""
    sums = Sums.of(consortium, Field(2048, 10), places=(0, 2, 3)).until(Phase.FROZEN)
    rows = sums.wrong(1, 3)
    sums.aggregate(root=sums.root_of(rows))
    assert sums.show(rows, 1, 3).events["ProductShownWrong"]["position"] == 3


def test_P4_P7_a_round_that_is_being_opened_from_it_is_void(sums, refused):
    rows = sums.wrong()
    root = sums.root_of(rows)
    sums.aggregate(sums.enrolled[3], root=root)
    sums.release(root=root)
    assert sums.phase == Phase.DECRYPTED
    sums.open_sum()
    tx = sums.show(rows, 0, 2)
    assert tx.events["ProductShownWrong"]["posters"] == 0b1000
    event = tx.events["RoundVoided"]
    assert (event["round"], event["study"], event["phase"]) == (sums.round, sums.study, Phase.DECRYPTED)
    assert (sums.phase, sums.deadline) == (Phase.VOIDED, 0)
    for act in (sums.attest_model, lambda: sums.release(sums.holders[2], root=root), lambda: sums.aggregate(sums.enrolled[1])):
        with refused("RoundManagerUnexpectedPhase", sums.round, Phase.VOIDED):
            act()
    assert sums.next().phase == Phase.OPEN


def test_P4_shares_that_are_fewer_than_t_are_lost_and_no_more(sums):
    rows = sums.wrong()
    sums.aggregate(sums.enrolled[3], root=sums.root_of(rows))
    sums.release(sums.holders[0], root=sums.root_of(rows))
    sums.aggregate(sums.enrolled[1])
    assert "RoundVoided" not in sums.show(rows, 0, 2).events
    sums.release(*sums.holders[1:])
    assert sums.phase == Phase.DECRYPTED


def test_P4_one_that_was_out_voted_is_named_and_changes_nothing(sums):
    rows = sums.wrong()
    sums.aggregate(sums.enrolled[3], root=sums.root_of(rows))
    sums.aggregate(sums.enrolled[0])
    sums.release()
    before = sums.view()
    assert "RoundVoided" not in sums.show(rows, 0, 2).events
    assert sums.view() == before


def test_P4_a_final_round_stays_final_and_its_poster_is_named(sums):
    rows = sums.wrong()
    root = sums.root_of(rows)
    sums.aggregate(sums.enrolled[3], root=root)
    sums.release(root=root)
    sums.open_sum()
    sums.attest_model()
    before = sums.view()
    assert Phase(before["phase"]) == Phase.FINALISED
    tx = sums.show(rows, 0, 2)
    assert tx.events["ProductShownWrong"]["posters"] == 0b1000
    assert "RoundVoided" not in tx.events
    assert sums.view() == before


def test_P9_a_proof_is_of_one_round(sums, refused, refused_any):
    rows = sums.wrong()
    root = sums.root_of(rows)
    proof = sums.proof(rows, 0, 2)
    sums.aggregate(sums.enrolled[3], root=root)
    sums.release(root=root)
    sums.show(rows, 0, 2)
    later = replace(sums, round=sums.next().round, updates=[sums.field.update(LENGTH) for _ in sums.enrolled])
    later.until(Phase.FROZEN)
    with refused("RoundManagerUnknownAggregate", later.round, root):
        later.contract.showWrongProduct(later.round, root, proof, {"from": later.enrolled[0]})
    later.aggregate(later.enrolled[0], root=root)
    with refused_any("RoundManagerCommitmentMismatch"):
        later.contract.showWrongProduct(later.round, root, proof, {"from": later.enrolled[0]})


@pytest.mark.parametrize("bits", [2056, 3072, 4096])
def test_P4_keys_of_every_size_that_the_chain_can_square(consortium, refused, bits):
    sums = Sums.of(consortium, Field(bits), count=3, length=1).until(Phase.FROZEN)
    rows = sums.wrong(0, 3)
    root = sums.root_of(rows)
    sums.aggregate(root=root)
    with refused("RoundManagerProductHolds", sums.round, root, 0, 2):
        sums.show(rows, 0, 2)
    assert sums.show(rows, 0, 3).events["ProductShownWrong"]["position"] == 3


def test_P4_larger_keys_are_refused_with_a_word(consortium, refused):
    """But a first update that is not the one in the set is still shown: nothing is multiplied there."""
    sums = Sums.of(consortium, Field(4104), count=3, length=1).until(Phase.FROZEN)
    later, first = sums.wrong(0, 2), sums.wrong(0, 1)
    sums.aggregate(sums.enrolled[0], root=sums.root_of(later))
    with refused("RoundManagerModulusTooLong", 513, 512):
        sums.show(later, 0, 2)
    sums.aggregate(sums.enrolled[1], root=sums.root_of(first))
    assert sums.show(first, 0, 1).events["ProductShownWrong"]["posters"] == 0b10
