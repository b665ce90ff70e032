"""Whole ceremonies of small numbers, each run once."""

from __future__ import annotations

import pytest
from tests.agents.crypto.keygen.runs import Ran, first_seeds, ran, run, terms_of, two_primes


@pytest.fixture(scope="session")
def small() -> Ran:
    """2 of 3 at 448 bits; its survivor is not the first candidate."""
    return ran(448, 2, 3, 22)


@pytest.fixture(scope="session", params=[(448, 2, 2, 6), (448, 2, 3, 22), (464, 3, 4, 20)], ids=["2 of 2", "2 of 3", "3 of 4"])
def each(request: pytest.FixtureRequest) -> Ran:
    return ran(*request.param)


@pytest.fixture(scope="session")
def later() -> Ran:
    """2 of 2 at 432 bits, where the first batch has no survivor."""
    terms = terms_of(432, 2, 2, 16)
    return run(terms, first_seeds(terms, 4, lambda seeds: not two_primes(terms, seeds, 0) and bool(two_primes(terms, seeds, 1))))
