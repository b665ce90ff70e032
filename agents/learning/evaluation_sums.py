"""The encrypted evaluation's sums, as metrics."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite

import numpy as np

from defedbio.errors import InvalidInput
from defedbio.learning.plan import EVALUATION, measures
from defedbio.learning.possible import ImpossibleSums, Slack, not_negative, require, whole
from defedbio.learning.state import GlobalState
from defedbio.learning.tasks import Metrics, open_task
from defedbio.spec import StudySpec


@dataclass(frozen=True)
class Evaluation:
    """Metrics by name, None where one has no meaning. `unusable` says why none is to be had of these sums; "" if they can be read."""

    values: Metrics
    unusable: str = ""


def summary(spec: StudySpec, state: GlobalState) -> Evaluation:
    """Metrics over all organisations of the model from which the state's last step started; every number is finite.

    One organisation can spoil the sums for all. Where that shows, no metric is made of them: the reason takes their place.

    Raises:
        InvalidInput: if the study has no evaluation.
    """
    if spec.evaluation is None:
        raise InvalidInput("the study has no encrypted evaluation")
    totals = {name.removeprefix(EVALUATION): vector for name, vector in state.extras.items() if name.startswith(EVALUATION)}
    task = open_task(spec)
    counts = [m.name for m in task.measures(spec.evaluation) if m.whole]
    slack = Slack.of(measures(spec), spec.seats, counts, EVALUATION)
    try:
        not_negative(totals)
        whole(totals, slack, counts)
        task.check(totals, slack)
        values = task.summary(totals)
        require(all(value is None or isfinite(value) for value in values.values()), "a metric beyond all numbers")
    except ImpossibleSums as error:
        return Evaluation(dict.fromkeys(task.summary({name: np.zeros_like(vector) for name, vector in totals.items()})), error.message)
    return Evaluation(values)
