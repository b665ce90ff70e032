"""The floor: float32 vectors in the clear, added by numpy."""

from __future__ import annotations

import numpy as np

from benchmarks.crypto.measuring import Case, Clock, Outcome

UNIT = 2.0**-24  # half a unit in the last place, of a sum below 2 times the number of organisations


def run(case: Case, clock: Clock, option: str) -> Outcome:
    first = case.update(0)
    written = clock.time("encrypt", lambda: first.astype("<f4").tobytes())
    updates = [case.update(k).astype("<f4") for k in range(case.organisations)]
    total = clock.time("aggregate", lambda: np.sum(updates, axis=0, dtype=np.float32))
    return Outcome(total.astype(np.float64), UNIT * 2 * case.organisations**2, len(written))
