"""How good a global model is on data, and what it says about new data."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch

from defedbio.learning.data.port import Dataset
from defedbio.learning.models import Installed, build
from defedbio.learning.preprocessing import CHUNK_ROWS, in_units, model_input
from defedbio.learning.state import GlobalState
from defedbio.learning.tasks import Metrics, open_task
from defedbio.spec import StudySpec


def predict(
    spec: StudySpec,
    state: GlobalState,
    x: npt.NDArray[np.float32],
    installed: Installed | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> npt.NDArray[np.float64]:
    """The task's scores, float64 [n, o], of features x [n, d] in natural units: probabilities, log-hazards, or values in the target's unit.

    `progress` is told (rows done, rows).

    Raises:
        InvalidInput: if x does not have the study's features.
    """
    module = build(spec, state.weights, installed).eval()
    pieces = [np.zeros((0, spec.task.outputs))]
    with torch.inference_mode():
        for start in range(0, len(x), CHUNK_ROWS):
            inputs = torch.from_numpy(model_input(spec, state.scaler, x[start : start + CHUNK_ROWS]))
            pieces.append(module(inputs).double().numpy())
            if progress is not None:
                progress(min(start + CHUNK_ROWS, len(x)), len(x))
    return open_task(spec).scores(in_units(spec, state.scaler, np.concatenate(pieces)))


def evaluate(spec: StudySpec, state: GlobalState, dataset: Dataset, installed: Installed | None = None) -> Metrics:
    """The task's metrics of the model on a labelled dataset."""
    return open_task(spec).metrics(dataset.y, predict(spec, state, dataset.x, installed))
