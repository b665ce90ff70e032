"""What the growth and round tables are computed with. No speed is asserted."""

from __future__ import annotations

import math

import pytest

from benchmarks.growth import fit
from benchmarks.rounds import whole


@pytest.mark.parametrize("power", [0.0, 0.5, 1.0, 2.0])
def test_the_exponent_of_a_power_law_is_found(power: float) -> None:
    assert fit.exponent({size: 3.5 * size**power for size in (3, 10, 30, 100)}) == pytest.approx(power, abs=1e-9)


def test_one_size_or_a_cost_of_nothing_has_no_exponent() -> None:
    assert math.isnan(fit.exponent({10: 1.0}))
    assert math.isnan(fit.exponent({10: 1.0, 100: 0.0}))


def test_a_rounds_seconds_add_up() -> None:
    """What phases do not explain is shown as waiting."""
    phases = {"train": 1.0, "share": 2.0, "commit": 0.5}
    run = {"agents": 6.0, "ipfs": 1.0, "chain": 1.0, "wall": 5.0}
    report = {
        "options": {"organisations": 4},
        "encrypted": {
            "phases": {name: {"seconds": s, "gas": 10.0, "received": 1e6, "sent": 0.0} for name, s in phases.items()},
            "rounds": [run, run],
            "seconds": [5.0, 5.0],
        },
        "plain": {"rounds": [run | {"wall": 2.0, "agents": 2.0}], "seconds": [2.0], "train": 1.0},
    }
    printed = "\n".join(whole.tables(report))
    assert "| waiting for others and looking at the chain | 1.50 | 30 |" in printed
    assert "| transactions until mined (1 kinds) | 0.50 | 10 |" in printed
    assert "| **round** | 5.00 | 100 | 3.00 | 0.00 | 30 |" in printed
    assert "| ratio | 2.5 | 2.0 |" in printed
    assert "add 3.00 s a round (4.00 CPU s), 1.5 times the plain round" in printed
    assert "a round would take about 2.2 s, a plain one 0.8 s" in printed, "a quarter of 7 CPU s and 0.5 s until mined; a quarter of 3"
