"""Deal a CSV's rows out to a.csv, b.csv, c.csv and test.csv in build/first/: three organisations' files, and one to measure on.

Name a CSV of your own; without one it takes five columns of the breast cancer data that comes with scikit-learn. It prints the
range of every column of numbers in the form that a study's spec takes.
"""

from __future__ import annotations

import csv
import json
import random
import sys
from pathlib import Path

OUT = Path("build/first")
COLUMNS = ("radius", "texture", "smoothness", "concavity", "symmetry")


def breast_cancer() -> list[list[str]]:
    from sklearn.datasets import load_breast_cancer

    data = load_breast_cancer()
    places = [list(data.feature_names).index(f"mean {column}") for column in COLUMNS]
    samples = zip(data.data, data.target, strict=True)
    return [[*COLUMNS, "diagnosis"], *([*(f"{x[place]:g}" for place in places), data.target_names[label]] for x, label in samples)]


def own(path: Path) -> list[list[str]]:
    with path.open(newline="", encoding="utf-8-sig") as file:
        return list(csv.reader(file))


def ranges(header: list[str], rows: list[list[str]]) -> list[str]:
    lines = []
    for name, values in zip(header, zip(*rows, strict=True), strict=True):
        try:
            numbers = [float(value) for value in values if value]
        except ValueError:
            continue  # a column of text
        if numbers:
            lines.append(json.dumps({"name": name, "min": min(numbers), "max": max(numbers)}))
    return lines


def main() -> None:
    header, *rows = own(Path(sys.argv[1])) if len(sys.argv) > 1 else breast_cancer()
    random.Random(0).shuffle(rows)
    OUT.mkdir(parents=True, exist_ok=True)
    for place, name in enumerate(("a", "b", "c", "test")):
        with (OUT / f"{name}.csv").open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([header, *rows[place::4]])
    print(*ranges(header, rows), sep="\n")


if __name__ == "__main__":
    main()
