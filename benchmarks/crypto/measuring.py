"""What a contender is given, and what it hands back: the vectors to sum, a clock, and the facts beside the times."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

Float64 = NDArray[np.float64]
T = TypeVar("T")

VECTORS = Path(__file__).parents[2] / "tests" / "vectors"
ENOUGH_REPETITIONS = 9
ENOUGH_SECONDS = 1.0


def primes(bits: int) -> tuple[int, int]:
    """The pinned safe primes of a test modulus of `bits` bits."""
    data = json.loads((VECTORS / f"keys_{bits}.json").read_text())
    return int(data["p"], 16), int(data["q"], 16)


@dataclass(frozen=True)
class Case:
    """Sum `organisations` vectors of `parameters` numbers in (-1, 1), under a modulus of `bits` bits where there is one."""

    parameters: int
    bits: int
    organisations: int = 10

    def update(self, organisation: int) -> Float64:
        """The vector of one organisation: numbers that float32 holds exactly, the same in every process."""
        random = np.random.default_rng(organisation)
        return random.uniform(-1, 1, self.parameters).astype(np.float32).astype(np.float64)

    def total(self) -> Float64:
        return np.sum([self.update(k) for k in range(self.organisations)], axis=0)


@dataclass(frozen=True)
class Outcome:
    """What came out: the opened sum, the largest error it may have, and the bytes that one organisation's update takes on the wire."""

    total: Float64
    precision: float
    update_bytes: int


@dataclass
class Clock:
    """CPU (all threads) and wall seconds of named steps: each at least `repeat` times, quick ones more often."""

    repeat: int
    steps: dict[str, dict[str, Any]] = field(default_factory=dict)

    def time(self, step: str, call: Callable[[], T], before: Callable[[], object] = lambda: None) -> T:
        """Run the step as often as it takes, and untimed `before` ahead of each; the last result."""
        cpu: list[float] = []
        wall: list[float] = []
        while len(cpu) < self.repeat or (self.repeat > 1 and len(cpu) < ENOUGH_REPETITIONS and sum(wall) < ENOUGH_SECONDS):
            before()
            started, started_cpu = time.perf_counter(), time.process_time()
            result = call()
            cpu.append(time.process_time() - started_cpu)
            wall.append(time.perf_counter() - started)
        self.steps[step] = {"repetitions": len(cpu), "cpu_s": summary(cpu), "wall_s": summary(wall)}
        return result


def summary(values: list[float]) -> dict[str, float]:
    return {"median": median(values), "least": min(values), "most": max(values)}
