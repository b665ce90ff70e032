"""How far a ceremony is, by the times on the chain."""

from __future__ import annotations

from defedbio.ceremony.view import CeremonyView
from defedbio.domain import CeremonyStatus

STEPS = ("B1", "B2", "B3", "B4", "R1", "R2", "R3", "R4", "R5", "R6")
"""B1 to B4 come again when no candidate of a batch survives; the last is the confirmations."""


def seconds_left(view: CeremonyView, step: str = "") -> float | None:
    """How long the ceremony takes at least from when its present step began, if every step takes as long as those before did on average.

    `step` is the present one's name, where it is known: which it is, the messages tell and not the chain. Step 0, which waits for people,
    is left out. None while no other step is over.
    """
    if view.status is not CeremonyStatus.RUNNING or view.step < 2:
        return None
    began = view.steps[1].deadline - view.step_seconds
    average = (view.steps[-1].deadline - view.step_seconds - began) / (view.step - 1)
    if view.epoch is not None:
        left = 1
    elif step in STEPS:
        left = len(STEPS) - STEPS.index(step)
    else:
        left = max(len(STEPS) - view.step, 1)
    return left * average
