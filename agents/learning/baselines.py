"""What the federated model is compared with: training alone, training on pooled data, and federated training without encryption.

All three spend the same budget (rounds x steps minibatches a model or an organisation) with the same hyper-parameters.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from agents.errors import InvalidInput
from agents.learning.data.port import Dataset
from agents.learning.local import contribute
from agents.learning.plan import schedule
from agents.learning.server import finalise
from agents.learning.state import GlobalState, genesis
from agents.spec import StudySpec


def pool(datasets: Sequence[Dataset]) -> Dataset:
    """All rows of the datasets, in their order."""
    return Dataset(np.concatenate([d.x for d in datasets]), np.concatenate([d.y for d in datasets]))


def local_only(spec: StudySpec, dataset: Dataset, seed: int) -> GlobalState:
    """One organisation alone: standardised with its own moments, every step's update applied in full (no clipping, server rate 1)."""
    state = genesis(spec)
    for step in schedule(spec):
        part = contribute(spec, step, state, dataset, _seed(seed, step.index, 0))
        mean = part.vector if step.kind == "moments" else part.vector / spec.strategy.server_learning_rate
        state = finalise(spec, step, state, mean, part.weight)
    return state


def pooled(spec: StudySpec, datasets: Sequence[Dataset], seed: int) -> GlobalState:
    """One model on all rows together, standardised with their moments: what the organisations may not do."""
    return local_only(spec, pool(datasets), seed)


def federated(spec: StudySpec, datasets: Sequence[Dataset], seed: int, clip: bool = True) -> GlobalState:
    """The study's steps in plain float64: `contribute` and `finalise` as in the protocol, without quantisation or encryption.

    Args:
        clip: limit every update to the study's clip norm, as the encoding does.

    Raises:
        InvalidInput: without datasets.
    """
    if not datasets:
        raise InvalidInput("federated training needs at least one dataset")
    state = genesis(spec)
    for step in schedule(spec):
        parts = [contribute(spec, step, state, d, _seed(seed, step.index, site)) for site, d in enumerate(datasets)]
        vectors = [p.vector if not clip or step.kind == "moments" else clipped(p.vector, spec.quantisation.clip_norm) for p in parts]
        weight = sum(p.weight for p in parts)
        total = np.zeros(step.length)
        for part, vector in zip(parts, vectors, strict=True):
            total += part.weight * vector
        state = finalise(spec, step, state, total / weight, weight)
    return state


def clipped(vector: npt.NDArray[np.float64], norm: float | None) -> npt.NDArray[np.float64]:
    """The vector, shortened to the L2 norm `norm` if it is longer."""
    length = float(np.linalg.norm(vector))
    return vector if norm is None or length <= norm else vector * (norm / length)


def _seed(seed: int, step: int, site: int) -> int:
    """Independent streams for every step and site."""
    return int.from_bytes(np.random.SeedSequence([seed, step, site]).generate_state(4).tobytes(), "little")
