"""P9: a commitment or a set's hash is good for one chain, contract, round and sender only."""

from __future__ import annotations

import pytest
from brownie import chain

from defedbio.domain import Phase
from tests.contracts.consortium import CID, Consortium, as_bytes, people, word


@pytest.mark.parametrize("binding", ["chain", "contract", "round", "sender"])
def test_P9_a_commitment_made_for_elsewhere_cannot_be_revealed(consortium, refused, binding):
    life = consortium.ready()
    who = life.enrolled[0]
    elsewhere = {
        "chain": chain.id + 1,
        "contract": consortium.keys.address,
        "round": life.round + 1,
        "sender": life.enrolled[1].address,
    }[binding]
    foreign = life.commitment(who, **{binding: elsewhere})
    life.contract.commit(life.round, foreign, {"from": who})
    life.commit(*life.enrolled[1:])
    with refused("RoundManagerCommitmentMismatch", life.round, foreign, life.commitment(who)):
        life.reveal(who)


def test_P9_a_copied_commitment_cannot_be_revealed_by_another_sender(consortium, refused):
    life = consortium.ready()
    victim, copier, other = life.enrolled
    life.commit(victim, other)
    life.contract.commit(life.round, life.commitment(victim), {"from": copier})
    given = life.commitment(copier, root=life.root(victim), salt=word("salt", victim))
    with refused("RoundManagerCommitmentMismatch", life.round, life.commitment(victim), given):
        life.contract.reveal(life.round, life.root(victim), CID, bytes(32), word("salt", victim), {"from": copier})


def test_P9_a_root_revealed_in_one_study_is_refused_in_another(consortium, refused):
    first = consortium.ready().until(Phase.REVEALED)
    second = consortium.ready()
    who, root = second.enrolled[0], first.root(first.enrolled[0])
    second.contract.commit(second.round, second.commitment(who, root=root), {"from": who})
    second.commit(*second.enrolled[1:])
    with refused("RoundManagerRootReused", root):
        second.contract.reveal(second.round, root, CID, bytes(32), word("salt", who), {"from": who})


def test_P9_another_deployment_gives_other_hashes(consortium):
    other = Consortium.found(people(3))
    assert as_bytes(other.rounds.setHashOf(1, 7)) != as_bytes(consortium.rounds.setHashOf(1, 7))
    assert as_bytes(consortium.rounds.setHashOf(2, 7)) != as_bytes(consortium.rounds.setHashOf(1, 7))


def test_P9_an_aggregate_of_one_round_is_unknown_in_the_next(consortium, refused):
    first = consortium.ready().until(Phase.FINALISED)
    second = first.next().until(Phase.AGGREGATED)
    with refused("RoundManagerUnknownAggregate", second.round, first.aggregate_root):
        second.release(second.holders[0], root=first.aggregate_root)
