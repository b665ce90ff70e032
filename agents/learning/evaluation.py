"""How good a global model is on data, and what it says about new data."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch

from agents.learning.data.port import Dataset
from agents.learning.models import forward
from agents.learning.parameters import parameters
from agents.learning.preprocessing import CHUNK_ROWS, model_input
from agents.learning.state import GlobalState
from agents.learning.tasks import Metrics, open_task
from agents.spec import StudySpec


def predict(spec: StudySpec, state: GlobalState, x: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """Probabilities of the positive class, float64 [n], of features x [n, d] in natural units.

    Raises:
        InvalidInput: if x does not have the study's features.
    """
    logits = forward(spec)
    tensors = [torch.from_numpy(state.weights[p.name]) for p in parameters(spec)]
    pieces = [np.zeros(0)]
    with torch.inference_mode():
        for start in range(0, len(x), CHUNK_ROWS):
            inputs = torch.from_numpy(model_input(spec.features, state.scaler, x[start : start + CHUNK_ROWS]))
            pieces.append(logits(tensors, inputs).double().numpy())
    return open_task(spec).scores(np.concatenate(pieces))


def evaluate(spec: StudySpec, state: GlobalState, dataset: Dataset) -> Metrics:
    """The task's metrics of the model on a labelled dataset."""
    return open_task(spec).metrics(dataset.y, predict(spec, state, dataset.x))
