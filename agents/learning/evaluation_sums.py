"""The encrypted evaluation's sums, as metrics."""

from __future__ import annotations

from defedbio.errors import InvalidInput
from defedbio.learning.state import GlobalState
from defedbio.learning.tasks import Metrics, open_task
from defedbio.spec import StudySpec

PREFIX = "evaluation."


def summary(spec: StudySpec, state: GlobalState) -> Metrics:
    """Metrics over all organisations of the model from which the state's last step started.

    Raises:
        InvalidInput: if the study has no evaluation.
    """
    if spec.evaluation is None:
        raise InvalidInput("the study has no encrypted evaluation")
    totals = {name.removeprefix(PREFIX): vector for name, vector in state.extras.items() if name.startswith(PREFIX)}
    return open_task(spec).summary(totals)
