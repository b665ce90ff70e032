"""How far a ceremony is, by the times on the chain."""

from __future__ import annotations

from defedbio.ceremony.view import CeremonyView
from defedbio.domain import CeremonyStatus

LEAST_STEPS = 10
"""B1 to B4 and R1 to R6, the last being the confirmations; more when no candidate of a batch survives."""


def seconds_left(view: CeremonyView) -> float | None:
    """How long the ceremony takes at least from when its present step began, if every step takes as long as those before did on average.

    Step 0, which waits for people, is left out. None while no other step is over.
    """
    if view.status is not CeremonyStatus.RUNNING or view.step < 2:
        return None
    began = view.steps[1].deadline - view.step_seconds
    average = (view.steps[-1].deadline - view.step_seconds - began) / (view.step - 1)
    left = 1 if view.epoch is not None else max(LEAST_STEPS - view.step, 1)
    return left * average
