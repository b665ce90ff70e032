"""The results as Markdown: µs of CPU time a parameter, medians, and how many times this project's first row."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

NATIVE = "native"
OURS = (NATIVE, "gmpy2")
LEAST_SECONDS = 0.01
LEAST_RATIO = 0.01
COLUMNS = {
    "encrypt, made ahead": "encrypt online",
    "encrypt, everything": "encrypt",
    "aggregate": "aggregate",
    "with root": "aggregate and root",
    "share": "share",
    "combine or decrypt": "open",
    "verify": "verify",
}
Result = dict[str, Any]


def lines(report: dict[str, Any]) -> Iterator[str]:
    for parameters in report["options"]["parameters"]:
        for bits in report["options"]["bits"]:
            rows = [r for r in report["results"] if r["parameters"] == parameters and r["bits"] in (bits, None)]
            if not rows:
                continue
            yield f"### {parameters:,} parameters, {bits} bits, {report['options']['organisations']} organisations"
            yield ""
            yield f"| µs a parameter | {' | '.join(COLUMNS)} | bytes | peak MB | error | who can decrypt |"
            yield "|---" * (len(COLUMNS) + 5) + "|"
            ours = next((r for r in rows if r["contender"] in OURS), None)
            for row in rows:
                yield _row(row, ours)
            yield ""
    yield from _notes(report)
    yield from _limit(report["limit"])


def _row(row: Result, ours: Result | None) -> str:
    extrapolated = row["measured"] < row["parameters"]
    cells = [row["title"] + (f" ~ from {row['measured']:,}" if extrapolated else "")]
    cells += [_cell(row, step, ours) for step in COLUMNS.values()]
    cells.append(number(row["update_bytes"] / row["measured"]))
    cells.append("–" if extrapolated else f"{row['peak_bytes'] / 1e6:,.0f}")
    cells += [f"{row['error']:.0e}", row["decrypts"]]
    return f"| {' | '.join(cells)} |"


def _cell(row: Result, step: str, ours: Result | None) -> str:
    each = _each(row, step)
    if each is None:
        return "–"
    base = None if ours is None or ours is row else _each(ours, step)
    if not base:
        return number(each)
    return f"{number(each)} ({number(each / base)}×)" if each / base >= LEAST_RATIO else f"{number(each)} (<{LEAST_RATIO}×)"


def _each(row: Result, step: str) -> float | None:
    """µs of CPU time a parameter."""
    return float(row["steps"][step]["cpu_s"]["median"]) / row["measured"] * 1e6 if step in row["steps"] else None


def number(x: float) -> str:
    """Three significant digits."""
    return f"{x:,.0f}" if x >= 100 else f"{x:.1f}" if x >= 10 else f"{x:.2f}" if x >= 0.1 else f"{x:.2g}"


def _notes(report: dict[str, Any]) -> Iterator[str]:
    steps = [s for r in report["results"] for s in r["steps"].values() if s["repetitions"] > 1 and s["cpu_s"]["median"] > LEAST_SECONDS]
    if steps:
        spread = sorted((s["cpu_s"]["most"] - s["cpu_s"]["least"]) / s["cpu_s"]["median"] for s in steps)
        waits = sorted(s["wall_s"]["median"] / s["cpu_s"]["median"] for s in steps)
        yield f"Steps longer than {LEAST_SECONDS * 1000:.0f} ms: spread (most less least, over the median): {_range(spread, '{:.0%}')};"
        yield f"wall over CPU time: {_range(waits, '{:.2f}')}. ~: extrapolated from as many numbers as the row says."
        yield ""


def _range(values: list[float], form: str) -> str:
    """The median, and what nine of ten stay under."""
    return f"median {form.format(values[len(values) // 2])}, nine of ten at most {form.format(values[len(values) * 9 // 10])}"


def _limit(limit: dict[str, Any]) -> Iterator[str]:
    if not limit:
        return
    yield "### Of the raw multiply limit"
    yield ""
    yield "| | VPMADD52 a second | this core's limit | fraction (least to most) |"
    yield "|---|---|---|---|"
    for bits, rows in limit.items():
        for name, row in rows.items():
            f = row["fraction"]
            yield (
                f"| {name}, {bits} bits | {row['kernel_per_s'] / 1e9:.2f} G | {row['limit_per_s'] / 1e9:.2f} G "
                f"| {f['median']:.0%} ({f['least']:.0%} to {f['most']:.0%}) |"
            )
