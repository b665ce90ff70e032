"""From features in natural units to what the model reads, and the moments that the first round sums."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from defedbio.errors import InvalidInput
from defedbio.learning import possible
from defedbio.spec import RegressionSpec, StudySpec

Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]

CHUNK_ROWS = 4096
VARIANCE_FLOOR = 1e-8
STANDARDISED_LIMIT = 8.0


@dataclass(frozen=True)
class Scaler:
    """Mean and standard deviation, float64 [d], of features normalised to [0, 1] by their declared range.

    In a regression study the target is the last of the d.
    """

    mean: Float64
    std: Float64

    def __post_init__(self) -> None:
        for array in (self.mean, self.std):
            if array.dtype != np.float64 or array.ndim != 1 or not np.isfinite(array).all():
                raise InvalidInput("a scaler needs finite float64 vectors")
        if self.mean.shape != self.std.shape or not (self.std > 0).all():
            raise InvalidInput("a scaler needs as many positive deviations as means")

    @classmethod
    def from_moments(cls, moments: Float64, nullable: bool = False) -> Scaler:
        """From [mean(z), mean(z^2)] of shape [2d]; elementwise float64, so that every node gets the same bytes (P6).

        With `nullable`, from [mean(z o), mean(z^2 o), mean(o)] of shape [3d], where o is 1 for a value that is there and 0 for a missing
        one. A variance under 1e-8 (a deviation under a ten-thousandth of the declared range) counts as constant and gets deviation 1, so
        that the feature is centred and not amplified; so does a feature that no row has. Moments outside [0, 1], which rounding may give,
        are taken as 0 or 1.

        Raises:
            InvalidInput: if the moments are not as many finite numbers.
        """
        parts = 3 if nullable else 2
        if moments.ndim != 1 or moments.size % parts or not np.isfinite(moments).all():
            raise InvalidInput(f"moments must be {parts} finite values for every feature")
        split = np.clip(moments.astype(np.float64), 0.0, 1.0).reshape(parts, -1)
        present = split[2] if nullable else np.ones_like(split[0])
        there = present > 0
        mean = np.clip(split[0] / np.where(there, present, 1.0), 0.0, 1.0)
        variance = np.where(there, split[1] / np.where(there, present, 1.0) - mean * mean, 0.0)
        constant = variance < VARIANCE_FLOOR
        return cls(mean, np.sqrt(np.where(constant, 1.0, variance)))


def normalise(spec: StudySpec, x: Float32) -> Float64:
    """z in [0, 1], float64 [n, d]: x [n, d] in natural units, shifted and scaled by each feature's declared range; NaN stays NaN."""
    if x.ndim != 2 or x.shape[1] != spec.features.width:
        raise InvalidInput(f"the study has {spec.features.width} features, the data has the shape {list(x.shape)}")
    low, high = np.array(spec.features.ranges, dtype=np.float64).T
    z: Float64 = np.clip((x.astype(np.float64) - low) / (high - low), 0.0, 1.0)
    return z


def model_input(spec: StudySpec, scaler: Scaler | None, x: Float32) -> Float32:
    """What the model reads, float32 [n, d]: z, or (z - mean) / std limited to ±8 when there is a scaler; 0 for a missing value.

    The limit keeps features that are nearly always zero (a rare fingerprint bit) from outweighing all others when they are not.
    """
    z = normalise(spec, x)
    if scaler is not None:
        width = spec.features.width
        z = np.clip((z - scaler.mean[:width]) / scaler.std[:width], -STANDARDISED_LIMIT, STANDARDISED_LIMIT)
    return np.nan_to_num(z).astype(np.float32)


def target_input(spec: StudySpec, scaler: Scaler | None, y: Float32) -> Float32:
    """Labels as the loss reads them: as they are, or standardised like a feature for regression."""
    if not isinstance(spec.task, RegressionSpec):
        return y
    shift, scale = target_scale(spec.task, scaler)
    return ((y.astype(np.float64) - shift) / scale).astype(np.float32)


def in_units(spec: StudySpec, scaler: Scaler | None, outputs: Float64) -> Float64:
    """The inverse of `target_input` for model outputs [n, o]."""
    if not isinstance(spec.task, RegressionSpec):
        return outputs
    shift, scale = target_scale(spec.task, scaler)
    return outputs * scale + shift


def moment_count(spec: StudySpec) -> int:
    """The length of the study's moments vector."""
    return (3 if spec.features.nullable else 2) * (spec.features.width + isinstance(spec.task, RegressionSpec))


def moments(spec: StudySpec, x: Float32, y: Float32) -> Float64:
    """[mean(z), mean(z^2)] per feature (and mean(o), see `Scaler.from_moments`), of the rows of x [n, d]; n must be at least 1."""
    if not len(x):
        raise InvalidInput("moments need at least one row")
    total = np.zeros((3, spec.features.width + isinstance(spec.task, RegressionSpec)))
    for start in range(0, len(x), CHUNK_ROWS):
        z = normalise(spec, x[start : start + CHUNK_ROWS])
        if isinstance(spec.task, RegressionSpec):
            target = (y[start : start + CHUNK_ROWS].astype(np.float64) - spec.task.minimum) / (spec.task.maximum - spec.task.minimum)
            z = np.concatenate([z, np.clip(target, 0.0, 1.0)], axis=1)
        there = ~np.isnan(z)
        z = np.nan_to_num(z)
        total += [z.sum(axis=0), (z * z).sum(axis=0), there.sum(axis=0)]
    wanted: Float64 = total if spec.features.nullable else total[:2]
    return wanted.ravel() / len(x)


def check_moments(spec: StudySpec, opened: Float64, slack: float) -> None:
    """Refuse opened moments [2d] or [3d] that no rows have; each of them is off by at most `slack` by rounding.

    Raises:
        ImpossibleSums: with the first kind of impossibility. A study cannot do without its scaler, and is not to train on a made-up one.
    """
    parts = opened.reshape(3 if spec.features.nullable else 2, -1)
    possible.not_negative({"moments": opened})
    count = parts[2] if spec.features.nullable else np.ones_like(parts[0])
    possible.at_most(count, 1.0, slack, "more values than rows")
    possible.moments(parts[0], parts[1], count, slack, "features as parts of their range")


def target_scale(task: RegressionSpec, scaler: Scaler | None) -> tuple[float, float]:
    """(shift, scale) in the target's unit: the federated mean and deviation, or the middle and a quarter of the declared range."""
    span = task.maximum - task.minimum
    if scaler is None:
        return task.minimum + span / 2, span / 4
    return task.minimum + float(scaler.mean[-1]) * span, float(scaler.std[-1]) * span
