"""One contender in a process of its own; compare.py starts `worker NAME PARAMETERS BITS ORGANISATIONS REPEAT CPU`. Prints one line of JSON.

Peak memory is the process's: interpreter, libraries, and everybody's part of the sum, all organisations' updates held at once.
"""

from __future__ import annotations

import importlib
import json
import os
import resource
import sys
from dataclasses import asdict

import numpy as np

from benchmarks.crypto.contenders import CONTENDERS
from benchmarks.crypto.measuring import Case, Clock


def main(name: str, parameters: int, bits: int, organisations: int, repeat: int, cpu: int) -> None:
    if cpu >= 0:
        os.sched_setaffinity(0, {cpu})
    contender = next(c for c in CONTENDERS if c.name == name)
    case, clock = Case(parameters, bits, organisations), Clock(repeat)
    outcome = importlib.import_module(f"benchmarks.crypto.contenders.{contender.module}").run(case, clock, contender.option)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    error = float(np.max(np.abs(outcome.total[:parameters] - case.total())))
    if not error <= outcome.precision:
        raise SystemExit(f"{contender.title}: the sum is off by {error:.3g}, {outcome.precision:.3g} is the most it may be")
    facts = {key: value for key, value in asdict(outcome).items() if key != "total"}
    print(json.dumps({"steps": clock.steps, "peak_bytes": peak, "error": error, **facts}))


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
