"""Lists of powers give the same however they are cut and whoever computes the slices, and slices show nothing."""

from __future__ import annotations

import json
import os
import pickle
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from math import prod
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from defedbio.compute import slices
from defedbio.compute.slices import Sliced
from defedbio.crypto import numbers, paillier
from defedbio.errors import InvalidInput

MODULUS = (1 << 521) - 1
VECTORS = Path(__file__).parents[2] / "vectors"


class Recorder:
    """Runs every slice here, and remembers them."""

    def __init__(self) -> None:
        self.slices: list[Any] = []

    def map(self, function: Callable[[Any], Any], work: Iterable[Any], /) -> Iterator[Any]:
        self.slices += (work := list(work))
        return map(function, work)


@pytest.fixture
def small_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slices, "SLICE_WORK", 1)


@pytest.mark.usefixtures("small_slices")
@pytest.mark.parametrize("squared", [False, True])
@pytest.mark.parametrize("count", [0, 1, 7, 8, 9, 16, 61])
def test_every_cut_gives_the_whole_list_in_order(count: int, squared: bool) -> None:
    whole = MODULUS**2 if squared else MODULUS
    bases = [3**i + 2 for i in range(count)]
    exponents = [i * i for i in range(count)]
    executor = Recorder()
    assert Sliced(executor).powers(bases, 12345, MODULUS, squared) == [pow(b, 12345, whole) for b in bases]
    assert len(executor.slices) == (-(-count // 8) if count > 8 else 0)
    want = prod(pow(b, e, whole) for b, e in zip(bases, exponents, strict=True)) % whole
    assert Sliced(executor).multi_power(bases, exponents, MODULUS, squared) == want
    table = numbers.CombTable(5, MODULUS, 2, squared)
    drawn = os.urandom(2 * count)
    every = [pow(5, int.from_bytes(drawn[i : i + 2], "little"), whole) for i in range(0, len(drawn), 2)]
    assert Sliced(executor).comb_powers(table, drawn) == every


@given(st.integers(1, 10_000), st.integers(1, 4096), st.integers(64, 8192))
def test_slices_are_of_equal_size_and_worth_it(count: int, products: int, bits: int) -> None:
    size = slices._size(count, products, 1 << bits - 1, False)
    assert size % 8 == 0
    if size < count:
        work = size * products * (bits / 64) ** 2
        assert slices.SLICE_WORK <= work < 2 * slices.SLICE_WORK + 8 * products * (bits / 64) ** 2


def test_a_short_list_is_computed_at_once() -> None:
    executor = Recorder()
    assert Sliced(executor).powers(list(range(200)), 65537, MODULUS) == [pow(b, 65537, MODULUS) for b in range(200)]
    assert executor.slices == []


@pytest.mark.usefixtures("small_slices")
def test_lists_of_different_lengths_and_negative_exponents_are_refused() -> None:
    with ThreadPoolExecutor(2) as threads:
        with pytest.raises(InvalidInput, match="as many exponents"):
            Sliced(threads).multi_power([2] * 20, [3] * 17, MODULUS)
        with pytest.raises(InvalidInput, match="negative"):
            Sliced(threads).powers([2] * 20, -3, MODULUS)


@pytest.mark.usefixtures("small_slices")
def test_a_slice_shows_nothing_and_survives_the_way_to_another_process() -> None:
    secret = int.from_bytes(os.urandom(32), "big") | 1 << 255
    executor = Recorder()
    Sliced(executor).powers(range(2, 20), secret, MODULUS)
    Sliced(executor).multi_power(range(2, 20), [secret] * 18, MODULUS)
    primes = json.loads((VECTORS / "keys_512.json").read_text())
    table = paillier.FixedBaseTable(paillier.PublicKey(int(primes["p"], 16) * int(primes["q"], 16), minimum_bits=512))
    drawn = os.urandom(table.exponent_bytes)
    table.obfuscators(lambda count: drawn * (count // len(drawn)), 20, Sliced(executor))
    assert len(executor.slices) == 9
    for part in executor.slices:
        assert str(secret) not in repr(part)
        assert repr(drawn)[2:20] not in repr(part)
        assert pickle.loads(pickle.dumps(part))() == part()  # noqa: S301
    first, second = (pickle.loads(pickle.dumps(part)) for part in executor.slices[-2:])  # noqa: S301
    assert first.table is second.table is not executor.slices[-1].table, "a process makes the table once"
    assert len(pickle.dumps(executor.slices[-1])) < 4_000, "and it does not travel"
