"""The encrypted statistics' sums, in words."""

from __future__ import annotations

from typing import Any

from defedbio.learning import association, statistics
from defedbio.learning.plan import counts
from defedbio.learning.possible import ImpossibleSums, Slack
from defedbio.learning.state import GlobalState
from defedbio.spec import StudySpec


def report(spec: StudySpec, state: GlobalState) -> dict[str, Any] | None:
    """What the sums that the model carries say of the data (see `statistics.report`); None if the study has no statistics, or not yet.

    Of sums that honest organisations cannot give there is one entry, `unusable`, the reason.
    """
    totals = statistics.totals_of(state.extras)
    if spec.statistics is None or not totals or state.step == 0:
        return None
    slack = Slack.of(counts(spec), spec.seats, statistics.counting(spec), statistics.PREFIX)
    try:
        statistics.check(spec, totals, slack)
        if spec.statistics.association:
            association.check(totals, slack)
    except ImpossibleSums as error:
        return {"unusable": error.message}
    return statistics.report(spec, totals)
