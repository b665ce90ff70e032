"""FLamby's own split, models and budgets (du Terrail et al. 2022): its published numbers beside ours.

    PYTHONPATH=. python benchmarks/learning/flamby.py DATA_DIR [--seeds 5]

The split is one: what differs between our runs is minibatches alone, between FLamby's minibatches and first weights. "same budget" has
FLamby's batch size, 100 local steps a round and its number of rounds; "recommended" is the study of multisite.py.
"""

from __future__ import annotations

import argparse
import csv
import dataclasses
from collections import defaultdict
from pathlib import Path
from statistics import mean, stdev

import numpy as np
import numpy.typing as npt
from multisite import measured
from problems import PROBLEMS, Problem
from sklearn.model_selection import train_test_split

from defedbio.learning.data import Dataset
from defedbio.learning.evaluation import predict
from defedbio.learning.local import use_threads
from defedbio.learning.simulation import plain, simulate
from defedbio.protocol.simulate import exact, rotations_from, secrets_from

# Local steps a round, batch size and rounds of FLamby's benchmark (common.py of each data set).
BUDGETS = {"heart": (100, 4, 15), "tcga": (100, 16, 5)}
NAMES = {"heart": "fed_heart_disease", "tcga": "fed_tcga_brca"}


def split(problem: Problem, folder: Path) -> tuple[dict[str, Dataset], dict[str, Dataset]]:
    """FLamby's: drawn by scikit-learn with seed 43 for heart disease, listed in a file for TCGA."""
    listed = _listed(folder) if problem.name == "tcga" else {}
    training, test = {}, {}
    for name, site in problem.sites.items():
        second = np.flatnonzero(np.array(listed[name]) == "test") if listed else _drawn(site.y[:, 0])
        training[name] = site.take(np.setdiff1d(np.arange(len(site)), second))
        test[name] = site.take(np.sort(second))
    return training, test


def _drawn(ill: npt.NDArray[np.float32]) -> npt.NDArray[np.int64]:
    stratify = ill if min(ill.sum(), len(ill) - ill.sum()) > 2 else None
    rows = train_test_split(np.arange(len(ill)), test_size=1.0 - 0.66, train_size=0.66, random_state=43, stratify=stratify)[1]
    return np.asarray(rows, dtype=np.int64)


def _listed(folder: Path) -> dict[str, list[str]]:
    """By region, train or test of its patients in the order of brca.csv."""
    with (folder / "tcga_brca" / "train_test_split.csv").open() as file:
        fold = {row["pid"]: row["fold2"].split("_") for row in csv.DictReader(file)}
    found = defaultdict(list)
    with (folder / "tcga_brca" / "brca.csv").open() as file:
        for row in csv.DictReader(file):
            if row["pid"] in fold:
                which, region = fold[row["pid"]]
                found[f"region {region}"].append(which)
    return found


def published(folder: Path, dataset: str) -> dict[str, dict[str, list[float]]]:
    """By method, FLamby's metric of each of its seeds: over all test rows together, and as the mean of its clients."""
    found: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    clients: dict[tuple[str, str], list[float]] = defaultdict(list)
    with (folder / "flamby_reference" / "flamby_results_heart_tcga.csv").open() as file:
        for row in csv.DictReader(file):
            if row["dataset"] == dataset and row["Test"] == "Pooled Test":
                found[row["Method"]]["all rows"].append(float(row["Metric"]))
            elif row["dataset"] == dataset:
                clients[row["Method"], row["seed"]].append(float(row["Metric"]))
    for (method, _), values in clients.items():
        found[method]["site mean"].append(mean(values))
    return found


def ours(problem: Problem, folder: Path, seeds: int) -> dict[str, dict[str, list[float]]]:
    training, test = split(problem, folder)
    steps, batch, rounds = BUDGETS[problem.name]
    recommended = problem.spec
    training_spec = dataclasses.replace(recommended.training, steps=steps, batch_size=batch)
    studies = {"recommended": recommended, "same budget": dataclasses.replace(recommended, rounds=rounds, training=training_spec)}
    found: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for seed in range(1, seeds + 1):
        for name, study in studies.items():
            spec = dataclasses.replace(study, seed=seed)
            seed_of, integers = exact(secrets_from(seed), rotations_from(seed))
            for how, combine in (("plain", plain(seed=seed)), ("encrypted", integers)):
                state = [done.state for done in simulate(spec, list(training.values()), seed_of, combine)][-1]
                result = measured(problem, test, {site: predict(spec, state, rows.x) for site, rows in test.items()})
                for which in ("site mean", "all rows"):
                    found[f"{name}, {how}"][which].append(float(result[which] or 0))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder of the data sets")
    parser.add_argument("--seeds", type=int, default=5)
    arguments = parser.parse_args()
    use_threads(1)
    for name in BUDGETS:
        problem = PROBLEMS[name](arguments.data)
        print(f"{name}: {problem.metric} on FLamby's split\n| method | all test rows | mean over sites |\n|---|---|---|")
        theirs = {f"FLamby: {k.removesuffix('100')}": v for k, v in published(arguments.data, NAMES[name]).items() if "Local" not in k}
        for method, runs in {**theirs, **ours(problem, arguments.data, arguments.seeds)}.items():
            print(f"| {method} | {_spread(runs['all rows'])} | {_spread(runs['site mean'])} |", flush=True)


def _spread(values: list[float]) -> str:
    return f"{mean(values):.3f} ± {stdev(values) if len(values) > 1 else 0:.3f}"


if __name__ == "__main__":
    main()
