"""From features in natural units to what the model reads, and the moments that the first round sums."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from agents.errors import InvalidInput
from agents.spec import Features, SmilesFeatures, TableFeatures

Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]

CHUNK_ROWS = 4096
VARIANCE_FLOOR = 1e-8
STANDARDISED_LIMIT = 8.0


@dataclass(frozen=True)
class Scaler:
    """Mean and standard deviation, float64 [d], of features normalised to [0, 1] by their declared range."""

    mean: Float64
    std: Float64

    def __post_init__(self) -> None:
        for array in (self.mean, self.std):
            if array.dtype != np.float64 or array.ndim != 1 or not np.isfinite(array).all():
                raise InvalidInput("a scaler needs finite float64 vectors")
        if self.mean.shape != self.std.shape or not (self.std > 0).all():
            raise InvalidInput("a scaler needs as many positive deviations as means")

    @classmethod
    def from_moments(cls, moments: Float64) -> Scaler:
        """From [mean(z), mean(z^2)] of shape [2d]; elementwise float64, so that every node gets the same bytes (P6).

        A variance under 1e-8 (a deviation under a ten-thousandth of the declared range) counts as constant and gets deviation 1, so
        that the feature is centred and not amplified. Moments outside [0, 1], which rounding may give, are taken as 0 or 1.

        Raises:
            InvalidInput: if the moments are not 2d finite numbers.
        """
        if moments.ndim != 1 or moments.size % 2 or not np.isfinite(moments).all():
            raise InvalidInput("moments must be an even number of finite values")
        half = moments.size // 2
        bounded = np.clip(moments.astype(np.float64), 0.0, 1.0)
        mean = bounded[:half].copy()
        variance = bounded[half:] - mean * mean
        constant = variance < VARIANCE_FLOOR
        return cls(mean, np.sqrt(np.where(constant, 1.0, variance)))


def _range(features: Features) -> tuple[Float64, Float64]:
    if isinstance(features, TableFeatures):
        low = np.array([c.minimum for c in features.columns], dtype=np.float64)
        return low, np.array([c.maximum for c in features.columns], dtype=np.float64) - low
    assert isinstance(features, SmilesFeatures)
    top = float(features.max_count) if features.counts else 1.0
    return np.zeros(features.width), np.full(features.width, top)


def normalise(features: Features, x: Float32) -> Float64:
    """z in [0, 1], float64 [n, d]: x [n, d] in natural units, shifted and scaled by the study's declared range of each feature."""
    low, span = _range(features)
    if x.ndim != 2 or x.shape[1] != low.size:
        raise InvalidInput(f"the study has {low.size} features, the data has the shape {list(x.shape)}")
    return np.clip((x.astype(np.float64) - low) / span, 0.0, 1.0)


def model_input(features: Features, scaler: Scaler | None, x: Float32) -> Float32:
    """What the model reads, float32 [n, d]: z, or (z - mean) / std limited to ±8 when there is a scaler.

    The limit keeps features that are nearly always zero (a rare fingerprint bit) from outweighing all others when they are not.
    """
    z = normalise(features, x)
    if scaler is not None:
        z = np.clip((z - scaler.mean) / scaler.std, -STANDARDISED_LIMIT, STANDARDISED_LIMIT)
    return z.astype(np.float32)


def moments(features: Features, x: Float32) -> Float64:
    """[mean(z), mean(z^2)] per feature, float64 [2d], of the rows of x [n, d]; n must be at least 1."""
    width = features.width
    total = np.zeros(2 * width)
    for start in range(0, len(x), CHUNK_ROWS):
        z = normalise(features, x[start : start + CHUNK_ROWS])
        total[:width] += z.sum(axis=0)
        total[width:] += (z * z).sum(axis=0)
    if not len(x):
        raise InvalidInput("moments need at least one row")
    return total / len(x)
