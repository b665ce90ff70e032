"""Discrete Gaussian noise: its exact distribution, its limits, and its place in a contribution."""

from __future__ import annotations

import os

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare, kstest

from defedbio.crypto import encoding
from defedbio.crypto.noise import _bernoulli_exp, _discrete_laplace, discrete_gaussian
from defedbio.domain import MAX_NOISE, NOISE_TAIL, Quantisation, Segment
from defedbio.errors import InvalidInput

SAMPLES = 100_000


def _bytes(seed: int):
    """Reproducible bytes, so that a test of a distribution passes always or never."""
    return np.random.default_rng(seed).bytes


def _fits(samples, probability) -> float:
    """p of the chi-square test of integers against unnormalised probabilities, small expectations left out."""
    values = np.arange(-60, 61)
    weights = probability(values)
    expected = weights / weights.sum() * len(samples)
    counted = np.array([(samples == v).sum() for v in values])
    common = expected > 20
    return float(chisquare(counted[common], expected[common] / expected[common].sum() * counted[common].sum()).pvalue)


@pytest.mark.parametrize("deviation", [1, 2, 5, 9])
def test_the_distribution_is_the_discrete_gaussian(deviation: int) -> None:
    samples = discrete_gaussian(SAMPLES, deviation, _bytes(deviation))
    assert _fits(samples, lambda v: np.exp(-(v.astype(float) ** 2) / (2 * deviation**2))) > 0.001


@pytest.mark.parametrize("deviation", [1000, 1 << 20, MAX_NOISE])
def test_wide_noise_is_normal_and_even_in_its_last_bits(deviation: int) -> None:
    samples = discrete_gaussian(SAMPLES, deviation, _bytes(deviation))
    assert kstest((samples + 0.5) / deviation, "norm").pvalue > 0.001
    assert chisquare(np.bincount(samples % 8)).pvalue > 0.001


@pytest.mark.parametrize("scale", [1, 3])
def test_the_laplace_that_it_is_cut_from(scale: int) -> None:
    assert _fits(_discrete_laplace(SAMPLES, scale, _bytes(scale)), lambda v: np.exp(-np.abs(v) / scale)) > 0.001


@pytest.mark.parametrize(("numerator", "denominator"), [(0, 1), (1, 3), (1, 1), (7, 3), (2**51, 2**50), (5, 1)])
def test_a_coin_with_an_exponential_probability(numerator: int, denominator: int) -> None:
    p = np.exp(-numerator / denominator)
    heads = _bernoulli_exp(np.full(SAMPLES, numerator), denominator, _bytes(numerator)).sum()
    assert abs(heads - SAMPLES * p) <= 4 * np.sqrt(SAMPLES * p * (1 - p))


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 300), st.integers(1, MAX_NOISE))
def test_noise_never_leaves_its_tail(size: int, deviation: int) -> None:
    samples = discrete_gaussian(size, deviation, os.urandom)
    assert samples.shape == (size,)
    assert samples.dtype == np.int64
    assert (np.abs(samples) <= NOISE_TAIL * deviation).all()


@pytest.mark.parametrize("deviation", [0, -1, MAX_NOISE + 1])
def test_other_deviations_are_refused(deviation: int) -> None:
    with pytest.raises(InvalidInput, match="noise needs a deviation"):
        discrete_gaussian(3, deviation, os.urandom)


def _segment(noise: int, length: int = 4000, bits: int = 24) -> Segment:
    return Segment("update", length, Quantisation(slot_bits=bits, scale=1000.0, weight_cap=1, clip_norm=2.0, noise=noise))


def test_any_honest_shares_make_the_noise_of_the_sum() -> None:
    """Each share's variance is 1/h of what the sum needs, so h of them hold it, whoever the others are."""
    segment = _segment(noise=700)
    shares = [encoding.encode((np.zeros(4000),), 1, (segment,), os.urandom)[1:] for _ in range(3)]
    assert np.std(sum(shares)) == pytest.approx(700 * np.sqrt(3), rel=0.06)
    assert np.std(sum(shares[1:])) == pytest.approx(700 * np.sqrt(2), rel=0.06)


def test_the_extreme_sum_fits_its_slots_and_one_beyond_is_refused() -> None:
    segment = _segment(noise=50, length=2)
    largest = 3 * (segment.quantisation.largest + NOISE_TAIL * 50)
    decoded = encoding.decode(np.array([3, largest, -largest]), (segment,), 3)
    assert decoded.vectors[0].tolist() == [largest / 3000, -largest / 3000]
    with pytest.raises(InvalidInput, match="larger than 3 contributions can make it"):
        encoding.decode(np.array([3, largest + 1, 0]), (segment,), 3)


def test_slots_too_narrow_for_the_noise_are_refused() -> None:
    with pytest.raises(InvalidInput, match="overflow 16-bit slots"):
        _segment(noise=2000, bits=16).quantisation.check_slot_rule(3)
    with pytest.raises(InvalidInput, match="the deviation of the noise must be"):
        _segment(noise=MAX_NOISE + 1, bits=60)
