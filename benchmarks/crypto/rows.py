"""How many bits the random rows of the contribution proof are worth: `python benchmarks/crypto/rows.py` prints docs/proofs.md's table.

With rows a of -1, 0 and 1 (P(0) = 1/2) of a vector v of norm β in slots of width q, for every length and shape of v and every s > 0

    E exp(-s dist(a·v, qZ)²)  <=  max over 0 < u <= min(β, q/2) of  sum over m of ψ_m |cos(π m u / q)|^(2 β²/u²)

(Poisson summation, and Hölder with weights v_l²/β²), so that by Chernoff's bound k rows have a sum of squares of at most f k B²/2 with
probability at most (e^(s f B²/2) · that)^k. In units of B. Grids and floating point, not intervals: good to a quarter of a bit.
"""

from __future__ import annotations

import argparse

import numpy as np

from defedbio.crypto.proofs.plan import PRODUCTION, SLACK, WRAP

S = np.linspace(0.05, 1.2, 60)
NORMS = (2.7, 2.8, 2.9, 3.0, 3.5, 4.0, 8.0, 30.0)


def bits(norm: float, slot: float, factor: float, rows: int) -> float:
    """-log2 of the bound for vectors of this norm, slots of this width (inf: no wrap) and f."""
    return max(_bits(norm, slot, factor, rows, s) for s in S)


def _bits(norm: float, slot: float, factor: float, rows: int, s: float) -> float:
    if np.isinf(slot):
        g = np.linspace(0, 12, 3001)
        weight = np.exp(-g * g / 2)
        weight[0] /= 2
        weight /= weight.sum()
        u = np.linspace(0.02, 1, 60)[:, None]
        passing = (np.abs(np.cos(np.sqrt(s / 2) * g * u * norm)) ** (2 / u**2) * weight).sum(axis=1).max()
    else:
        m = np.arange(-int(slot * np.sqrt(s) * 4) - 3, int(slot * np.sqrt(s) * 4) + 4)
        psi = np.sqrt(np.pi / s) / slot * np.exp(-((np.pi * m / slot) ** 2) / s)
        u = np.linspace(0.02, 1, 60)[:, None] * min(norm, slot / 2)
        passing = (psi * np.abs(np.cos(np.pi * m * u / slot)) ** (2 * norm**2 / u**2)).sum(axis=1).max()
    return float(-rows * (np.log2(passing) + s * factor / 2 / np.log(2)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=PRODUCTION.rows)
    rows = parser.parse_args().rows
    factor = SLACK[0] / SLACK[1]
    print(f"k = {rows}, f = {factor}: bits against a vector of norm ... B")
    print("| 2^b |" + "|".join(f" {norm} " for norm in NORMS) + "|")
    print("|---|" + "---|" * len(NORMS))
    for slot in (6.0, 7.0, WRAP[0] / WRAP[1], 8.0, np.inf):
        found = "|".join(f" {bits(norm, slot, factor, rows):.1f} " for norm in NORMS)
        print(f"| {slot} B |{found}|")
    x = 2.8
    print(f"rows longer than {np.sqrt(rows * x / 2):.2f} norms: 2^-{rows / 2 * (x - 1 - np.log(x)) / np.log(2):.0f}")
    print(f"honest rows above f: 2^-{rows / 2 * (factor - 1 - np.log(factor)) / np.log(2):.1f} for a vector of one direction")


if __name__ == "__main__":
    main()
