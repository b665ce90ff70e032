"""Studies and small data for the learning room, made here."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import torch

from defedbio.learning.data import Dataset
from defedbio.spec import StudySpec

DEADLINES = dict.fromkeys(("enrol", "commit", "reveal", "attest", "aggregate", "share", "finalise"), 60)


def study(**changes: Any) -> StudySpec:
    """A two-feature logistic study; `changes` replace top-level fields, None removes one."""
    document: dict[str, Any] = {
        "format": "defedbio-study/1",
        "name": "test",
        "task": {"kind": "binary", "target": "label", "positive": "yes", "negative": "no"},
        "features": {
            "kind": "table",
            "columns": [{"name": "age", "min": 0, "max": 100, "unit": "years"}, {"name": "dose", "min": -5, "max": 5}],
        },
        "preprocessing": {"standardise": "federated"},
        "model": {"kind": "logistic"},
        "training": {"learning_rate": 0.5, "steps": 10, "batch_size": 16},
        "rounds": 3,
        "weighting": {"kind": "samples", "cap": 1000},
        "quantisation": {"slot_bits": 24, "clip_norm": 2.0},
        "seed": 7,
        "key": {"epoch": 1},
        "participants": {"seats": 4},
        "deadlines": DEADLINES,
    }
    document |= changes
    return StudySpec.from_bytes(json.dumps({k: v for k, v in document.items() if v is not None}).encode())


MLP = {"kind": "mlp", "hidden": [3, 2]}


def separable(rows: int, seed: int, shift: float = 0.0) -> Dataset:
    """Labels that a logistic model of the study's two features can learn, with noise."""
    generator = np.random.default_rng(seed)
    x = np.stack([generator.uniform(10, 90, rows), np.clip(generator.normal(shift, 1.5, rows), -5, 5)], axis=1)
    score = (x[:, 0] - 50) / 15 - 1.2 * x[:, 1] + generator.normal(0, 0.7, rows)
    return Dataset(x.astype(np.float32), (score > 0).astype(np.float32)[:, None])


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)
