"""P1: who is waited for, against counting one by one."""

from __future__ import annotations

import random

import pytest

from tests.contracts.harness import harness

HARNESS = """
contract Harness {
    using Attendance for Attendance.Counters;
    Attendance.Counters private state;
    function count(uint256 everyone, uint256 sum) external { state.count(everyone, sum); }
    function absent() external view returns (uint256) { return state.absent(); }
}
"""
EVERYONE = 2**256 - 1


@pytest.fixture(scope="module")
def attendance(module_isolation, accounts):
    return harness(accounts[0], "Attendance", HARNESS)


def test_P1_three_sums_in_a_row_without_an_update_and_one_with_it(attendance):
    choose = random.Random(3)
    missed = [0] * 256
    for _ in range(12):
        sum_ = choose.getrandbits(256)
        attendance.count(EVERYONE, sum_)
        missed = [0 if sum_ >> i & 1 else count + 1 for i, count in enumerate(missed)]
        assert attendance.absent() == sum(1 << i for i, count in enumerate(missed) if count >= 3)


def test_P1_nobody_is_absent_who_has_no_seat(attendance):
    for _ in range(4):
        attendance.count(0b1111, 0b0111)
    assert attendance.absent() == 0b1000


def test_P8_counting_costs_the_same_for_one_as_for_all(attendance):
    attendance.count(EVERYONE, 1)
    attendance.count(EVERYONE, 2)  # from here on neither word of counters is zero, before or after
    costs = {attendance.count.estimate_gas(EVERYONE, sum_) for sum_ in (0x1F, 0xFE, 0xE1)}  # one byte of calldata each
    assert len(costs) == 1
