"""What the federated model is compared with: training alone, training on pooled data, and federated training without encryption.

All three spend the same budget (rounds x steps minibatches a model or an organisation) with the same hyper-parameters.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from defedbio.learning.data.port import Dataset
from defedbio.learning.simulation import plain, simulate, stream
from defedbio.learning.state import GlobalState
from defedbio.spec import StrategySpec, StudySpec


def pool(datasets: Sequence[Dataset]) -> Dataset:
    """All rows of the datasets, in their order."""
    return Dataset(np.concatenate([d.x for d in datasets]), np.concatenate([d.y for d in datasets]))


def local_only(spec: StudySpec, dataset: Dataset, seed: int) -> GlobalState:
    """One organisation alone, on all its rows: its own moments, every update applied in full (no clipping, no server strategy)."""
    alone = replace(spec, strategy=StrategySpec(), evaluation=None, statistics=None)
    return [done.state for done in simulate(alone, [dataset], stream(seed), plain(clip=False))][-1]


def pooled(spec: StudySpec, datasets: Sequence[Dataset], seed: int) -> GlobalState:
    """One model on all rows together, standardised with their moments: what the organisations may not do."""
    return local_only(spec, pool(datasets), seed)


def federated(spec: StudySpec, datasets: Sequence[Dataset], seed: int, clip: bool = True) -> GlobalState:
    """The study's steps in plain float64, without quantisation or encryption.

    Args:
        clip: limit every update to the study's clip norm, as the encoding does.

    Raises:
        InvalidInput: without datasets.
    """
    return [done.state for done in simulate(spec, datasets, stream(seed), plain(clip, seed))][-1]
