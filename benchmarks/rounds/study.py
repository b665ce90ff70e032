"""The study that whole rounds are measured on: a made-up table, and a network of as many parameters as asked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

FEATURES = 1000
ROWS = 400
MADE = 7  # the table's seed


def spec(organisations: int, hidden: int, rounds: int, steps: int, bits: int) -> dict[str, Any]:
    return {
        "format": "defedbio-study/1",
        "name": "whole rounds",
        "task": {"kind": "binary", "target": "label"},
        "features": {"kind": "table", "columns": [{"name": f"f{i}", "min": -6, "max": 6} for i in range(FEATURES)]},
        "preprocessing": {"standardise": "federated"},
        "model": {"kind": "mlp", "hidden": [hidden]},
        "training": {"learning_rate": 0.05, "momentum": 0.9, "steps": steps, "batch_size": 64},
        "rounds": rounds,
        "weighting": {"kind": "samples", "cap": 4096},
        "quantisation": "auto",
        "seed": 1,
        "key": {"epoch": 1, "modulus_bits": bits},
        "participants": {"seats": organisations, "minimum": 3},
        "deadlines": {"enrol": 1800, "commit": 600, "reveal": 300, "attest": 300, "aggregate": 300, "share": 300, "finalise": 300},
        "confirmations": 0,
    }


def write_data(folder: Path, organisations: int) -> list[Path]:
    """One Parquet file an organisation; the label is the sign of a fixed direction with noise."""
    random = np.random.default_rng(MADE)
    direction = random.normal(size=FEATURES)
    paths = []
    for organisation in range(organisations):
        x = np.clip(random.normal(size=(ROWS, FEATURES)), -6, 6)
        y = (x @ direction + random.normal(size=ROWS) * 10 > 0).astype(np.int64)
        columns = {f"f{i}": x[:, i] for i in range(FEATURES)} | {"label": y}
        paths.append(folder / f"site-{organisation}.parquet")
        pq.write_table(pa.table(columns), paths[-1])
    return paths
