"""P8: what a round costs an organisation, whatever the number of organisations; and what it cost when we last looked.

The figures are in tests/contracts/gas_snapshot.json. DEFEDBIO_UPDATE_GAS=1 writes them anew.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from defedbio.domain import Phase
from tests.contracts.consortium import Consortium, Life, people, word

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


@pytest.fixture(scope="module")
def costs(module_isolation):
    return {count: measured(count) for count in (3, 40)}


def test_P8_an_organisation_pays_the_same_in_a_small_and_a_large_study(costs):
    for name in costs[3]:
        assert costs[40][name] == pytest.approx(costs[3][name], rel=0.005), name


def test_gas_is_what_the_snapshot_says(costs):
    if os.environ.get("DEFEDBIO_UPDATE_GAS") == "1":
        SNAPSHOT.write_text(json.dumps(costs[3], indent=2) + "\n")
    expected = json.loads(SNAPSHOT.read_text())
    assert costs[3].keys() == expected.keys()
    for name, gas in costs[3].items():
        assert gas == pytest.approx(expected[name], rel=TOLERANCE), f"{name} costs {gas}; DEFEDBIO_UPDATE_GAS=1 records it"
