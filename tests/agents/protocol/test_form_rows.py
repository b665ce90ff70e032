"""What is chosen for rotated updates is what their proofs need: digits of small segments, and of large ones random rows of columns."""

from __future__ import annotations

import pytest

from defedbio.crypto.proofs.plan import PRODUCTION, plan
from defedbio.crypto.proofs.statement import Block, Form, Piece
from defedbio.domain import Quantisation, Segment
from defedbio.learning.quantisation import choose
from defedbio.protocol.form import rule_of


@pytest.mark.parametrize("modulus_bits", [2048, 3072])
@pytest.mark.parametrize("seats", [3, 16, 100])
@pytest.mark.parametrize("values", [1_024, 16_000, 82_000, 100_000, 500_000, 1_000_000, 10_000_000])
def test_large_updates_are_proven_by_rows(values: int, seats: int, modulus_bits: int) -> None:
    bits, sigma = choose(values, seats, modulus_bits)
    segment = Segment("update", values, Quantisation(bits, 1.0, 4096, clip_norm=1.0, sigma=sigma)).clipped_to(1.0)
    made = plan(Form(modulus_bits, 4096, (Block(48, ()), Block(bits, (Piece("update", values, rule_of(segment)),)))))
    assert bool(made.lines[1].runs) is (made.form.layout.counts[1] > PRODUCTION.rows)
