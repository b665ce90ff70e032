"""The clip norm of rotated updates, which follows the training: everybody computes the next one from what was opened.

Nobody's norm is known, but an opened mean says something of them. The weighted vectors u_i = (w_i/cap)·x_i have a sum of norm R = M·Ω, M
the norm of the mean and Ω = Σ w_i/cap. Vectors that do not point against each other have norms of at most R, and alike ones of R/√Ω where
the cap is near the largest weight. Twice min(R, R/√Ω) is what the next round allows.

Near a study's best model updates do point against each other: the mean vanishes and the vectors do not. The norm therefore never falls
below an eighth of the highest that the rule ever gave, which is forgotten by a fiftieth a round, nor by more than a half at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from math import fsum, sqrt

import numpy as np
import numpy.typing as npt

from defedbio.learning.plan import Step
from defedbio.learning.quantisation import ClipRange

Float64 = npt.NDArray[np.float64]

# The vectors of the global model that hold it: [clip norm, highest] of each rotated segment.
PREFIX = "clip."
_MARGIN, _FALL, _OF_HIGHEST, _KEPT = 2.0, 0.5, 0.125, 0.98


def first(norms: ClipRange) -> Float64:
    """What the first model says: the first clip norm, and no highest yet."""
    return np.array([norms.first, 0.0])


def at(step: Step, extras: Mapping[str, Float64]) -> Step:
    """The step as a round from a model with these `extras` encodes it."""
    return replace(
        step,
        segments=tuple(
            segment.clipped_to(float(extras[PREFIX + segment.name][0])) if segment.quantisation.rotated else segment
            for segment in step.segments
        ),
    )


def follow(norms: ClipRange, known: Float64, mean: Float64, shares: float) -> Float64:
    """[clip norm, highest] for the next round, float64 [2], from those of this one and the opened `mean`, float64 [P].

    Args:
        shares: Ω, the sum of all organisations' shares of the weight cap; their number where weights play no part.
    """
    largest = float(np.max(np.abs(mean)))
    relative = np.divide(mean, largest) if largest else mean
    norm = largest * sqrt(fsum(np.multiply(relative, relative).tolist()))  # fsum: the same bytes everywhere, whatever the order
    fitting = norms.clamp(_MARGIN * norm * min(shares, sqrt(shares)))
    highest = max(fitting, _KEPT * float(known[1]))
    return np.array([norms.clamp(max(fitting, _FALL * float(known[0]), _OF_HIGHEST * highest)), highest])
