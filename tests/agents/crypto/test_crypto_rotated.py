"""Rotated segments: unbiased, within their rule whatever they hold, and read whatever the sum is."""

from __future__ import annotations

import hashlib
import os

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from defedbio.crypto import encoding
from defedbio.crypto.rotation import rotate
from defedbio.crypto.rules import Norm
from defedbio.domain import Quantisation, Segment
from defedbio.errors import InvalidInput

ROUND = b"round"


def narrow(length: int = 300, sigma: float = 2.0, clip: float = 1.0, cap: int = 10, weighted: bool = True) -> Segment:
    unclipped = Quantisation(8, 1.0, cap, clip_norm=1.0, weighted=weighted, sigma=sigma)
    return Segment("update", length, unclipped).clipped_to(clip)


def of_norm(norm: float, length: int, seed: int = 1) -> np.ndarray:
    x = np.random.default_rng(seed).normal(size=length)
    return x * (norm / np.linalg.norm(x))


def shapes(length: int, seed: int) -> list[np.ndarray]:
    generator = np.random.default_rng(seed)
    single, wild = np.zeros(length), generator.standard_cauchy(length) * 10.0 ** generator.integers(-300, 300)
    single[seed % length] = 1e300
    return [single, wild, np.full(length, -1e-3), np.zeros(length)]


@settings(deadline=None, max_examples=40)
@given(st.integers(256, 1500), st.sampled_from([1.0, 1.75, 4.0]), st.integers(1, 10), st.sampled_from([10, 500]), st.integers(0, 10**6))
def test_whatever_is_encoded_is_within_its_rule(length, sigma, weight, cap, seed) -> None:
    segment = narrow(length, sigma, cap=cap)
    for x in shapes(length, seed):
        values = encoding.encode((x,), weight, (segment,), os.urandom, ROUND)[1:]
        rule = encoding.norm_rule(segment)
        assert rule.holds(values, weight)
        assert np.max(np.abs(values)) <= 5 * sigma


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 400), st.integers(1, 10), st.booleans(), st.sampled_from([0, 3]), st.integers(0, 10**6))
def test_wide_segments_are_within_theirs(length, weight, weighted, noise, seed) -> None:
    q = Quantisation(32, 1e4, 1 if noise else 10, clip_norm=2.0, weighted=weighted, noise=noise)
    weight = min(weight, q.weight_cap)
    rule = encoding.norm_rule(segment := Segment("update", length, q))
    for x in shapes(length, seed):
        values = encoding.encode((x,), weight, (segment,), os.urandom)[1:]
        assert rule.divisor * sum(v * v for v in values.tolist()) <= rule.square * weight**2 + rule.linear * weight + rule.constant


def test_the_rule_is_close_to_what_honest_vectors_need() -> None:
    """A vector at the clip norm is hardly ever rounded twice, and the rule allows few per cent more norm than it has."""
    segment = narrow(20_000, 4.0, clip=3.0)
    rule = encoding.norm_rule(segment)
    values = encoding.encode((of_norm(3.0, 20_000),), 10, (segment,), os.urandom, ROUND)[1:]
    norm = float(np.linalg.norm(values.astype(float)))
    assert 4.0 * np.sqrt(20_000) < norm < np.sqrt(rule.constant) < 1.02 * norm
    assert rule == Norm(rule.constant, spread=True)


def test_the_rule_binds_whoever_leaves_the_encoder_out() -> None:
    segment = narrow()
    rule = encoding.norm_rule(segment)
    honest = encoding.encode((of_norm(1.0, 300),), 10, (segment,), os.urandom, ROUND)[1:]
    assert rule.holds(honest, 10) and not rule.holds(2 * honest, 10)
    with pytest.raises(InvalidInput, match="no clip norm"):
        encoding.norm_rule(Segment("counts", 3, Quantisation(48, 1.0, 10, max_abs=5.0)))


def test_a_vector_that_is_rounded_to_too_much_is_rounded_again() -> None:
    """Random bytes that always round up would carry small values beyond the rule."""
    segment = narrow(4000, 1.0)
    values = encoding.encode((x := of_norm(1.0, 4000),), 10, (segment,), bytes, ROUND)[1:]
    first = np.ceil(np.abs(rotate(x, ROUND, "update") * segment.quantisation.scale)).astype(np.int64)
    assert encoding.norm_rule(segment).holds(values, 10) and not encoding.norm_rule(segment).holds(first, 10)
    assert np.all(np.abs(values) <= first)


def test_the_expectation_is_the_vector(seeded) -> None:
    segment, x = narrow(512, 2.0, clip=1.0), of_norm(0.9, 512)
    rand = seeded(1)
    sums = [encoding.encode((x,), 10, (segment,), rand, ROUND) for _ in range(400)]
    values = np.mean([s[1:] for s in sums], axis=0)
    want = rotate(x, ROUND, "update") * segment.quantisation.scale
    assert np.max(np.abs(values - want)) < 6 * 0.5 / np.sqrt(400)
    assert abs(float(np.mean((values - want) * np.sign(want)))) < 0.006


@pytest.mark.parametrize("weighted", [True, False])
def test_the_mean_comes_back(weighted) -> None:
    segment, weights = narrow(1000, 4.0, clip=1.0, weighted=weighted), [10, 7, 2]
    vectors = [of_norm(0.8, 1000, seed) for seed in range(3)]
    totals = sum(encoding.encode((x,), w, (segment,), os.urandom, ROUND) for x, w in zip(vectors, weights, strict=True))
    decoded = encoding.decode(totals, (segment,), 3, ROUND)
    want = np.average(vectors, axis=0, weights=weights) if weighted else np.sum(vectors, axis=0)
    assert decoded.weight == 19
    assert np.linalg.norm(decoded.vectors[0] - want) < 0.3 * np.linalg.norm(want)
    assert not np.allclose(encoding.decode(totals, (segment,), 3, b"another").vectors[0], want, atol=0.02)


def test_clipping_is_of_the_weighted_vector() -> None:
    """What a small organisation sends is as long as its weight says, up to what the largest may send, of which it may have 16 shares."""
    segment = narrow(1000, 4.0, clip=1.0, cap=100)
    for weight, norm, want in ((100, 5.0, 1.0), (50, 1.0, 0.5), (50, 5.0, 1.0), (7, 50.0, 1.0), (5, 50.0, 0.8), (4, 50.0, 0.64)):
        values = encoding.encode((of_norm(norm, 1000),), weight, (segment,), os.urandom, ROUND)[1:]
        assert np.linalg.norm(values.astype(float)) / segment.quantisation.scale == pytest.approx(want, rel=0.05)


def test_a_small_weight_does_not_carry_the_norm_of_the_largest() -> None:
    segment = narrow(2000, 4.0, cap=4096)
    rule = encoding.norm_rule(segment)
    values = encoding.encode((of_norm(1.0, 2000),), 4096, (segment,), os.urandom, ROUND)[1:]
    assert rule.holds(values, 4096) and rule.holds(values, 256)
    assert not any(rule.holds(values, weight) for weight in (1, 2, 10, 100, 240))
    assert not rule.holds(2 * values, 4096)


def test_another_clip_norm_leaves_the_bounds_in_integers() -> None:
    one, other = narrow(), narrow(clip=1e-7)
    assert encoding.norm_rule(one) == encoding.norm_rule(other)
    assert one.quantisation.largest == other.quantisation.largest == 10
    x = of_norm(1.0, 300)
    assert np.array_equal(*(encoding.encode((x * c,), 10, (narrow(clip=c),), bytes, ROUND) for c in (1.0, 2.0**-30)))


def test_proven_totals_are_read_whatever_they_are() -> None:
    segment = narrow()
    edges = np.array([12, *[-128, 127, 0] * 100], dtype=np.int64)
    assert np.isfinite(encoding.decode(edges, (segment,), 3, ROUND, proven=True).vectors[0]).all()
    with pytest.raises(InvalidInput, match="larger than 3 contributions"):
        encoding.decode(edges, (segment,), 3, ROUND)
    for weight in (2, 31):
        edges[0] = weight
        with pytest.raises(InvalidInput, match="total weight is impossible"):
            encoding.decode(edges, (segment,), 3, ROUND, proven=True)


def test_a_rotated_segment_needs_its_round() -> None:
    with pytest.raises(InvalidInput, match="a rotation needs a seed"):
        encoding.encode((np.zeros(300),), 1, (narrow(),), os.urandom)
    with pytest.raises(InvalidInput, match="a rotation needs a seed"):
        encoding.decode(np.array([3, *[0] * 300], dtype=np.int64), (narrow(),), 3)


@pytest.mark.parametrize("changes", [{"sigma": 0.5}, {"sigma": 5.0}, {"sigma": float("nan")}, {"max_abs": 1.0}, {"noise": 2}])
def test_rotated_values_have_a_norm_and_nothing_else(changes) -> None:
    with pytest.raises(InvalidInput, match="rotated values"):
        Quantisation(**({"slot_bits": 8, "scale": 1.0, "weight_cap": 10, "clip_norm": 1.0, "sigma": 2.0} | changes))


def test_pinned_contribution(vectors, context) -> None:
    x = np.arange(-150, 150, dtype=np.float64) / 3
    counts = Segment("counts", 4, Quantisation(48, 2.0, 5, max_abs=100.0, weighted=False))
    segments = (counts, narrow(300, 2.0, clip=1024.0, cap=5))
    sent = encoding.encode((np.array([1.0, 2.0, 0.0, 100.0]), x), 3, segments, _pinned, context.to_bytes())
    assert sent.tolist() == vectors("rotation.json")["sent"]


def _pinned(size: int) -> bytes:
    return hashlib.shake_256(b"rounding %d" % size).digest(size)
