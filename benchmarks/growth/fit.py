"""How a cost grows: the exponent k of cost = a · size^k, by least squares on logarithms."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from benchmarks.crypto.table import number


def exponent(costs: Mapping[int, float]) -> float:
    """The slope of log cost over log size; nan for fewer than two sizes or a cost that is not positive."""
    if len(costs) < 2 or min(costs.values()) <= 0:
        return float("nan")
    return float(np.polyfit(np.log(list(costs)), np.log(list(costs.values())), 1)[0])


def row(name: str, costs: Mapping[int, float]) -> str:
    """A table's row: the cost at every size, and the exponent."""
    return f"| {name} | {' | '.join(map(number, costs.values()))} | {round(exponent(costs), 2) + 0:.2f} |"


def header(what: str, sizes: list[int]) -> list[str]:
    return [f"| {what} | {' | '.join(f'{size:,}' for size in sizes)} | exponent |", "|---" * (len(sizes) + 2) + "|"]
