"""The group has no trapdoor: its numbers and generators are what hashing gives."""

from __future__ import annotations

import os

from defedbio.crypto import numbers
from defedbio.crypto.proofs.group import GENERATORS, GROUP, derive
from defedbio.crypto.transcript import hash_to_number


def test_the_group_is_derived_again():
    assert derive(3072, 448) == (GROUP, 104, 56)
    assert (GROUP.p.bit_length(), GROUP.q.bit_length()) == (3072, 448)
    assert numbers.is_prime(GROUP.p) and numbers.is_prime(GROUP.q)
    assert GROUP.cofactor * GROUP.q + 1 == GROUP.p and GROUP.cofactor % GROUP.q != 0


def test_generators_are_hashed_into_the_group_one_by_one(parameters):
    for group in (GROUP, parameters.group):
        h, generators = group.generators(9)
        found = [h, *generators]
        assert len(set(found)) == 10
        assert all(1 < g < group.p and numbers.powmod(g, group.q, group.p) == 1 for g in found)
        raw = [hash_to_number(GENERATORS, group.p, i) for i in range(10)]
        assert found == [numbers.powmod(x, group.cofactor, group.p) for x in raw]
        assert group.generators(3) == (h, generators[:3])


def test_blinds_are_powers_of_h(parameters):
    group = parameters.group
    h, _ = group.generators(0)
    assert group.blinds([0, 1, group.q - 1]) == [1, h, numbers.invert(h, group.p)]


def test_scalars_are_drawn_below_q(parameters):
    group = parameters.group
    drawn = group.scalars(os.urandom, 200)
    assert all(0 <= x < group.q for x in drawn) and len(set(drawn)) == 200
    assert group.scalars(os.urandom, 0) == []
