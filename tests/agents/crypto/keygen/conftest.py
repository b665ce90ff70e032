"""Whole ceremonies of small numbers, each run once."""

from __future__ import annotations

from itertools import count

import pytest

from tests.agents.crypto.keygen.runs import Ran, ran, run, seeds_of, terms_of, two_primes

LATER = 3  # the first number whose seeds let a second batch have the survivor


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
    empty = (seeds for number in count(LATER) if not two_primes(terms, seeds := seeds_of(number, 2)))
    return next(found for seeds in empty if (found := run(terms, seeds, 2)))
