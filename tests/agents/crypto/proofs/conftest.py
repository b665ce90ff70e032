"""Contributions to be proven, with parameters small enough for hundreds of proofs: 24 random rows, and a group of 640 bits."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pytest

from defedbio.crypto import numbers
from defedbio.crypto.numbers import Rand
from defedbio.crypto.packing import SlotLayout, pack
from defedbio.crypto.paillier import PublicKey
from defedbio.crypto.proofs import assignment, bounded, contribution
from defedbio.crypto.proofs.exact import Integers
from defedbio.crypto.proofs.group import derive
from defedbio.crypto.proofs.plan import Parameters, Plan, plan
from defedbio.crypto.proofs.statement import Block, Form, Piece, Statement, Witness
from defedbio.crypto.rules import Norm, Range
from defedbio.domain import RoundContext

CONTEXT = RoundContext(31337, "0x" + "c0" * 20, 7, 9)


@dataclass(frozen=True)
class Contribution:
    """A statement with what its sender knows; whoever cheats replaces some of it."""

    statement: Statement
    witness: Witness
    parameters: Parameters
    rand: Rand = os.urandom

    @property
    def plan(self) -> Plan:
        return plan(self.statement.form, self.parameters)

    def prove(self) -> bytes:
        return contribution.prove(self.statement, self.witness, self.rand, parameters=self.parameters)

    def verify(self, proof: bytes) -> None:
        contribution.verify(self.statement, proof, self.rand, parameters=self.parameters)

    def argument(self) -> bounded.Argument:
        return bounded.Argument(self.statement, self.plan)

    def matrix(self, values: Sequence[np.ndarray] | None = None) -> list[Integers]:
        """The honest matrix, of other values if some are given."""
        digits = assignment.digits(self.plan, values or self.witness.values)
        return assignment.matrix(self.plan, digits, self.argument().rows, self.rand)

    def forge(self, matrix: Sequence[Integers]) -> bytes:
        """The proof that a matrix makes, whatever it says."""
        return bounded.prove(self.argument(), matrix, self.witness.exponents, self.rand)

    def said(self, **changes: object) -> Contribution:
        return replace(self, statement=replace(self.statement, **changes))  # type: ignore[arg-type]


def encrypt(key: PublicKey, plaintexts: Sequence[int], rand: Rand) -> tuple[list[int], list[int]]:
    """Ciphertexts, and each one's exponent of h_s."""
    exponents = [numbers.random_bits(rand, key.bits // 2) for _ in plaintexts]
    hidden = [numbers.powmod(key.hs, r, key.n_squared) for r in exponents]
    return [(1 + m % key.n * key.n) * h % key.n_squared for m, h in zip(plaintexts, hidden, strict=True)], exponents


def digits_packed(values: np.ndarray, layout: SlotLayout, n: int) -> list[int]:
    """As `pack`, for digits of any size: what an organisation may encrypt that does not keep to its slots."""
    rows = [values[i : i + layout.slots] for i in range(0, len(values), layout.slots)]
    return [sum(int(v) << layout.slot_bits * i for i, v in enumerate(row)) % n for row in rows]


@pytest.fixture(scope="session")
def parameters() -> Parameters:
    return Parameters(rows=24, checks=64, group=derive(640, 448)[0])


Send = Callable[..., Contribution]


@pytest.fixture(scope="session")
def send(small, parameters) -> Send:
    """A contribution of these values to a form, encrypted, under the small key unless another is given."""

    def make(
        form: Form,
        *values: Sequence[int],
        sender: str = "0x" + "a1" * 20,
        parameters: Parameters = parameters,
        key: PublicKey = small.public,
        rand: Rand = os.urandom,
        fits_slots: bool = True,
    ) -> Contribution:
        arrays = tuple(np.array(v, dtype=np.int64) for v in values)
        packing = pack if fits_slots else digits_packed
        plaintexts = [m for v, slots in zip(arrays, form.layout.slots, strict=True) for m in packing(v, slots, key.n)]
        ciphertexts, exponents = encrypt(key, plaintexts, rand)
        statement = Statement(form, key, CONTEXT, 3, sender, b"p" * 32, ciphertexts)
        return Contribution(statement, Witness(arrays, exponents), parameters, rand)

    return make


@pytest.fixture(scope="session")
def mixed() -> Form:
    """Every kind of rule in two blocks: 20 slots of 24 bits with W in the first, 48 of 10 bits in the second."""
    return Form(
        512,
        100,
        (
            Block(24, (Piece("counts", 5, Range(1000)), Piece("shares", 30, Range(3, 2, 4)), Piece("moments", 4, Norm(50, 3, 2)))),
            Block(10, (Piece("update", 100, Norm(100 * 100 * 25, 0, 175, 10_000)),)),
        ),
    )


@pytest.fixture(scope="session")
def mixed_values() -> list[list[int]]:
    """Within the rules of `mixed`, which allow a norm² of about 195 at a weight of 100."""
    return [[100, 0, 1000, 5, 6, 7, *range(25), 0, 1, 50, 49, 48, 100, -80, 60, 12], [(-1) ** i * (i % 2 + i % 3 // 2) for i in range(100)]]
