"""The public rotation: orthogonal, of any length, the same bytes everywhere, and what it is for."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from defedbio.crypto.rotation import rotate, rotate_back
from defedbio.domain import LEAST_ROTATED
from defedbio.errors import InvalidInput

lengths = st.integers(LEAST_ROTATED, 3000)


def gaussian(length: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=length)


@settings(deadline=None, max_examples=60)
@given(lengths, st.integers(0, 1000), st.binary(min_size=1, max_size=44))
def test_norms_and_angles_are_kept_and_the_inverse_undoes_it(length, seed, round_) -> None:
    x, y = gaussian(length, seed), gaussian(length, seed + 1)
    rotated = rotate(x, round_, "update")
    assert np.linalg.norm(rotated) == pytest.approx(np.linalg.norm(x), rel=1e-12)
    assert rotated @ rotate(y, round_, "update") == pytest.approx(x @ y, rel=1e-9, abs=1e-9)
    np.testing.assert_allclose(rotate_back(rotated, round_, "update"), x, atol=1e-12)
    np.testing.assert_allclose(rotate(rotate_back(x, round_, "update"), round_, "update"), x, atol=1e-12)


def test_it_is_the_hadamard_matrix_between_signs() -> None:
    """Against the matrix by its definition (Sylvester), one pass and two that overlap."""
    h = np.array([[1.0]])
    while len(h) < 256:
        h = np.block([[h, h], [h, -h]])
    once = np.stack([rotate(row, b"1", "update") for row in np.eye(256)], axis=1)
    signs = np.sign(once[0] / h[0])
    np.testing.assert_array_equal(once, h * signs / 16)
    twice = np.stack([rotate(row, b"1", "update") for row in np.eye(300)], axis=1)
    outer, inner = np.eye(300), np.eye(300)
    inner[:256, :256] = h / 16
    outer[44:, 44:] = h / 16
    # What the signs before each pass are, the two products with them say.
    before = np.concatenate([np.sign(twice[0, :256] / inner[0, :256]), np.ones(44)])
    middle = outer.T @ twice @ np.diag(before) @ inner.T
    np.testing.assert_allclose(middle, np.diag(np.diag(middle)), atol=1e-12)
    np.testing.assert_allclose(np.abs(np.diag(middle)), 1.0, atol=1e-12)
    assert set(np.round(np.diag(middle))[:44]) == {1.0} and set(np.round(np.diag(middle))[44:]) == {1.0, -1.0}


@settings(deadline=None, max_examples=40)
@given(st.integers(LEAST_ROTATED, 2**14), st.data())
def test_a_single_element_is_spread_over_all(length, data) -> None:
    """Wherever the norm lies, no element's share of it is above twice the mean one, but for the luck of the signs in the second pass."""
    x = np.zeros(length)
    x[data.draw(st.integers(0, length - 1))] = 1.0
    rotated = rotate(x, b"1", "update")
    assert np.max(np.abs(rotated)) < 5.5 * np.sqrt(2 / length)


def test_equal_elements_look_gaussian() -> None:
    rotated = rotate(np.ones(20_000), b"1", "update")
    assert abs(float(np.mean(rotated**4)) / 3 - 1) < 0.2
    assert np.max(np.abs(rotated)) < 5


def test_rounds_and_segments_have_rotations_of_their_own() -> None:
    x = gaussian(512, 1)
    found = [rotate(x, seed, name) for seed, name in ((b"1", "update"), (b"2", "update"), (b"1", "control"))]
    for one, other in ((0, 1), (0, 2), (1, 2)):
        assert abs(float(found[one] @ found[other])) < 0.3 * float(x @ x)


def test_sums_of_integers_come_back_exactly_where_the_root_is_whole() -> None:
    """Of 4^k elements: nothing is rounded, so the order of the organisations cannot matter."""
    integers = np.random.default_rng(1).integers(-1000, 1000, 1024).astype(np.float64)
    assert np.array_equal(rotate(rotate_back(integers, b"1", "update"), b"1", "update"), integers)


@pytest.mark.parametrize("length", [256, 300, 1024])
def test_what_it_takes_is_left_as_it_was(length) -> None:
    x = gaussian(length, 1)
    before = x.copy()
    rotate_back(rotate(x, b"1", "update"), b"1", "update")
    assert np.array_equal(x, before)


def test_short_vectors_and_rounds_without_a_name_are_refused() -> None:
    for vector, seed in ((np.zeros(LEAST_ROTATED - 1), b"1"), (np.zeros(300), b"")):
        for turn in (rotate, rotate_back):
            with pytest.raises(InvalidInput, match="a rotation needs a seed and at least 256 elements"):
                turn(vector, seed, "update")


def test_pinned_rotation(vectors, context) -> None:
    want = vectors("rotation.json")
    rotated = rotate(np.arange(-150, 150, dtype=np.float64) / 3, context.to_bytes(), "update")
    assert [x.hex() for x in rotated[:4]] == want["first"]
    assert hashlib.sha256(rotated.tobytes()).hexdigest() == want["sha256"]
