"""P8: what a round costs an organisation, whatever the number of organisations; and what it cost when we last looked.

The figures are in tests/contracts/gas_snapshot.json. DEFEDBIO_UPDATE_GAS=1 writes them anew.
"""

from __future__ import annotations

import json
import os
import random
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from brownie import chain

from defedbio.crypto import merkle
from defedbio.domain import Phase
from tests.contracts.ceremonies import announced
from tests.contracts.consortium import Consortium, Life, people, word
from tests.contracts.products import Field, shown

SNAPSHOT = Path(__file__).parent.parent / "gas_snapshot.json"
TOLERANCE = 0.01


def measured(count):
    """Gas of each call, made by the second of its kind where the last one's moves the round on, with `count` enrolled."""
    consortium = Consortium.found(people(max(count, 5)))
    epoch = consortium.active_key(consortium.members[:5], 3)
    study = consortium.open_study(epoch, seats=count)
    enrolments = [consortium.studies.enrol(study, word("spec"), {"from": account}) for account in consortium.members[:count]]
    opened = consortium.rounds.openRound(study, {"from": consortium.members[0]})
    life = Life(consortium, study, epoch, int(consortium.rounds.latestRound(study)), consortium.members[:count], consortium.members[:5], 3)
    gas = {"enrol": enrolments[1].gas_used, "openRound": opened.gas_used}

    def each(name, act, who):
        txs = [act(account) for account in who]
        gas[name], gas[f"{name} (last)"] = txs[1].gas_used, txs[-1].gas_used

    each("commit", life.commit, life.enrolled)
    each("reveal", life.reveal, life.enrolled)
    each("attestSet", life.attest, life.holders[:3])
    gas["postAggregate"] = life.aggregate().gas_used
    each("releaseShare", life.release, life.holders[:3])
    life.open_part(life.enrolled[0])
    gas["postOpeningPart"] = life.open_part(life.enrolled[1]).gas_used
    gas["postOpening"] = life.open_sum().gas_used
    each("attestModel", life.attest_model, life.holders[:3])
    assert life.phase == Phase.FINALISED
    second = life.next()
    second.pass_deadline()
    gas["advance"] = second.contract.advance(second.round, {"from": life.enrolled[0]}).gas_used
    return gas


def of_a_wrong_product(paths):
    """Gas of showing that the third of three updates was wrongly multiplied in, at 3072 bits. Its ciphertext and the products have paths
    of so many hashes."""
    consortium = Consortium.found(people(5))
    numbers, choose = Field(3072), random.Random(0)
    updates = [numbers.update(1) for _ in range(3)]
    (row,) = numbers.prefixes(updates, {(0, 3): 3})
    *_, before, product = merkle.prefix_leaves([[numbers.encoded(value) for value in row]])
    rest = [choose.randbytes(32) for _ in range(paths[1] - 1)]
    factor_path = [choose.randbytes(32) for _ in range(paths[0])]
    roots = [merkle.root(numbers.update_leaves(update)) for update in updates]
    roots[2] = folded(roots[2], factor_path)
    root = folded(before, [product, *rest])

    epoch = consortium.propose_key(consortium.members[:5], 3, modulus=numbers.modulus)
    for holder in consortium.members[:5]:
        consortium.keys.confirm(epoch, word("transcript"), {"from": holder})
    study = consortium.study_with(consortium.members[:3], epoch)
    opened = consortium.open_round(study, consortium.members[0])
    life = OfRoots(consortium, study, epoch, opened, consortium.members[:3], consortium.members[:5], 3, roots)
    life.until(Phase.FROZEN).aggregate(root=root)
    given = {"updateRoot": roots[2], "factorPath": factor_path, "beforePath": [product, *rest], "productPath": [before, *rest]}
    proof = shown(numbers, updates, [row], life.enrolled[2], word("salt", life.enrolled[2]), 0, 3, **given)
    tx = life.contract.showWrongProduct(life.round, root, proof, {"from": life.enrolled[0]})
    assert tx.events["ProductShownWrong"]["position"] == 3
    return tx.gas_used


def of_a_ceremony():
    """Gas of each call of a ceremony of nine holders, five of which are contributors."""
    making = announced(Consortium.found(people(9)), 9, 5)
    gas = {"announce": chain[-1].gasUsed}
    making.step(2)
    gas["post"] = making.post(*making.contributors[:2]).gas_used
    gas["post (last)"] = making.post(*making.contributors[2:]).gas_used
    epoch = making.propose()
    gas["proposeFrom"] = chain[-1].gasUsed
    gas["confirm"] = making.confirm(epoch, *making.holders[:2]).gas_used
    gas["confirm (last)"] = making.confirm(epoch, *making.holders[2:]).gas_used
    return {f"{call} (ceremony of 5 of 9)": spent for call, spent in gas.items()}


def folded(leaf, path):
    """The root to which a path leads."""
    for sibling in path:
        leaf = merkle.keccak256(min(leaf, sibling) + max(leaf, sibling))
    return leaf


@dataclass
class OfRoots(Life):
    roots: list[bytes] = field(default_factory=list)

    def root(self, who):
        return self.roots[self.enrolled.index(who)]

    def commitment(self, who, **changes):
        return super().commitment(who, **({"root": self.root(who)} | changes))


@pytest.fixture(scope="module")
def costs(module_isolation):
    return {count: measured(count) for count in (3, 40)}


@pytest.fixture(scope="module")
def wrong_products(module_isolation):
    """By what is summed: ten updates of 16 ciphertexts, and 256 updates of 8192 (10^6 values of 24 bits)."""
    return {name: of_a_wrong_product(paths) for name, paths in {"small": (4, 8), "largest": (13, 21)}.items()}


def test_P4_P8_a_wrong_product_is_shown_in_one_transaction(wrong_products):
    assert wrong_products["largest"] <= 300_000
    assert wrong_products["largest"] - wrong_products["small"] <= (9 + 2 * 13) * 32 * 41, "only the paths grow"


def test_P8_an_organisation_pays_the_same_in_a_small_and_a_large_study(costs):
    for name in costs[3]:
        assert costs[40][name] == pytest.approx(costs[3][name], rel=0.005), name


def test_gas_is_what_the_snapshot_says(costs, wrong_products):
    found = costs[3] | of_a_ceremony() | {f"showWrongProduct ({name} sum, 3072 bits)": gas for name, gas in wrong_products.items()}
    if os.environ.get("DEFEDBIO_UPDATE_GAS") == "1":
        SNAPSHOT.write_text(json.dumps(found, indent=2) + "\n")
    expected = json.loads(SNAPSHOT.read_text())
    assert found.keys() == expected.keys()
    for name, gas in found.items():
        assert gas == pytest.approx(expected[name], rel=TOLERANCE), f"{name} costs {gas}; DEFEDBIO_UPDATE_GAS=1 records it"
