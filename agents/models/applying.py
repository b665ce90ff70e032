"""A model applied to, or tuned on, a local file. The file stays here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from defedbio.errors import InvalidInput
from defedbio.learning.custom import Maker
from defedbio.learning.data import open_adapter
from defedbio.models.files import write_whole
from defedbio.models.registry import Model, Tuning
from defedbio.spec import StudySpec


def predict_file(
    model: Model, data: Path, installed: Mapping[str, Maker] | None = None, progress: Callable[[int, int], None] | None = None
) -> npt.NDArray[np.float64]:
    """The task's scores [n, o], in the order of `model.spec.task.score_names`, for the rows of a file with the study's features.

    Raises:
        InvalidData: if the file does not fit the study. InvalidSpec: if the study's own module is not installed.
    """
    from defedbio.learning.evaluation import predict

    return predict(model.spec, model.state, open_adapter(model.spec).features(data), installed, progress)


def write_predictions(out: Path, spec: StudySpec, scores: npt.NDArray[np.float64]) -> None:
    """A CSV with the row's number from 1 and its scores.

    Raises:
        InvalidInput: if the file exists or cannot be written.
    """
    lines = [",".join(["row", *map(_quoted, spec.task.score_names)])]
    lines += [",".join([str(row), *(f"{score:.6g}" for score in values)]) for row, values in enumerate(scores.tolist(), 1)]
    write_whole({out: ("\n".join(lines) + "\n").encode("utf-8")})


def tune(model: Model, data: Path, seed: int = 0, installed: Mapping[str, Maker] | None = None) -> Model:
    """The model fine-tuned on a labelled file as cross-validation chooses (defedbio.learning.personalise), with `tuning` set.

    Raises:
        InvalidInput: for a model that is tuned already, or of no known round.
        InvalidData: if the file does not fit the study or is too small. InvalidSpec: if the study's own module is not installed.
    """
    from defedbio.learning.personalise import personalise

    if model.view is None or model.tuning is not None:
        raise InvalidInput("only a round's model can be tuned: its lineage is part of the card", "leave out --model, or name another file")
    done = personalise(model.spec, model.state, open_adapter(model.spec).load(data), seed, installed)
    how = Tuning(done.choice.moves, done.choice.steps, done.global_loss, done.loss, done.global_metrics, done.metrics)
    return replace(model, raw=done.state.published(model.spec), tuning=how, vouched="this organisation tuned it")


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"' if any(c in name for c in ',"\n') else name
