"""Federated training beside tuned local, pooled, encrypted and fine-tuned models on real multi-site data, over repeated splits.

    python benchmarks/learning/multisite.py DATA_DIR --problem heart --seeds 20 --out build/benchmarks/heart.json

Every method sees the same 70 % of each site's rows (stratified by label or event) and is measured on the rest, by site and over all sites'
test rows together. "encrypted" is the study through quantisation and the very integers that rounds encrypt (`simulate --exact`), from the
same minibatches as "federated"; "private" is a study with DP-SGD at every organisation, where the task allows it. Splits are numbered from
1: the studies' learning rates were chosen on split 0.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import warnings
from collections.abc import Callable
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import numpy as np
import numpy.typing as npt
from problems import PROBLEMS, Problem
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import KFold, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from defedbio.errors import InvalidData
from defedbio.learning import baselines
from defedbio.learning.data import Dataset
from defedbio.learning.evaluation import predict
from defedbio.learning.local import use_threads
from defedbio.learning.personalise import personalise
from defedbio.learning.privacy.accounting import record_epsilon
from defedbio.learning.simulation import plain, simulate
from defedbio.learning.tasks import open_task
from defedbio.protocol.simulate import exact, rotations_from, secrets_from
from defedbio.spec import StudySpec

Scores = npt.NDArray[np.float64]
Predict = Callable[[npt.NDArray[np.float32]], Scores]
METHODS = ("local", "pooled", "federated", "encrypted", "fine-tuned", "private")
EPSILON, DELTA = 8.0, 1e-5


def split(problem: Problem, seed: int) -> tuple[dict[str, Dataset], dict[str, Dataset]]:
    """70 % and 30 % of every site's rows."""
    training, test = {}, {}
    for name, site in problem.sites.items():
        labels = site.y[:, -1] if problem.spec.task.kind in ("binary", "survival") else None
        stratify = labels if labels is not None and min(labels.sum(), len(labels) - labels.sum()) >= 2 else None
        first, second = train_test_split(np.arange(len(site)), test_size=0.3, random_state=seed, stratify=stratify)
        training[name], test[name] = site.take(np.sort(first)), site.take(np.sort(second))
    return training, test


def private(spec: StudySpec) -> StudySpec | None:
    """The study under record-level differential privacy with a budget of `EPSILON`; None where the task has no such training.

    Fewer minibatches and the noise that the budget then asks for; learning rate and clipping as they come, not tuned.
    """
    if spec.task.kind in ("survival", "multitask"):
        return None
    rounds, steps, rate = 20, 5, 0.1
    noise = next(n / 20 for n in range(6, 2000) if record_epsilon(n / 20, rate, rounds * steps, DELTA) <= EPSILON)
    document = json.loads(spec.raw) | {
        "preprocessing": {"standardise": "none"},
        "weighting": {"kind": "uniform"},
        "rounds": rounds,
        "training": {"learning_rate": 0.5, "steps": steps, "batch_size": 32},
        "privacy": {
            "kind": "record",
            "noise_multiplier": noise,
            "max_grad_norm": 1.0,
            "sample_rate": rate,
            "epsilon": EPSILON,
            "delta": DELTA,
        },
    }
    return dataclasses.replace(StudySpec.from_bytes(json.dumps(document).encode()), seed=spec.seed)


def compare(problem: Problem, seed: int) -> dict[str, dict[str, float | None]]:
    """By method: the metric at every site, `site mean` and `all rows`."""
    spec = dataclasses.replace(problem.spec, seed=seed)
    training, test = split(problem, seed)
    sites = list(training.values())
    own = {name: local(spec, site, seed) for name, site in training.items()}
    together = baselines.pooled(spec, sites, seed)
    seed_of, in_integers = exact(secrets_from(seed), rotations_from(seed))
    plainly = [done.state for done in simulate(spec, sites, seed_of, plain(seed=seed))][-1]
    integers = [done.state for done in simulate(spec, sites, seed_of, in_integers)][-1]
    tuned = {}
    for name, site in training.items():
        try:
            tuned[name] = personalise(spec, plainly, site, seed).state
        except InvalidData:
            tuned[name] = plainly
    hidden = private(spec)
    noisy = [done.state for done in simulate(hidden, sites, seed_of, plain(seed=seed))][-1] if hidden is not None else None
    result = {}
    for method in METHODS:
        scores = {}
        if method == "private" and noisy is None:
            continue
        for name, rows in test.items():
            if method == "local":
                scores[name] = own[name](rows.x)
            elif method == "private":
                assert hidden is not None and noisy is not None
                scores[name] = predict(hidden, noisy, rows.x)
            else:
                state = {"pooled": together, "federated": plainly, "encrypted": integers, "fine-tuned": tuned[name]}[method]
                scores[name] = predict(spec, state, rows.x)
        result[method] = measured(problem, test, scores)
    return result


def measured(problem: Problem, test: dict[str, Dataset], scores: dict[str, Scores]) -> dict[str, float | None]:
    task = open_task(problem.spec)
    found = {name: task.metrics(rows.y, scores[name])[problem.metric] for name, rows in test.items()}
    there = [value for value in found.values() if value is not None]
    whole = task.metrics(np.concatenate([rows.y for rows in test.values()]), np.concatenate([scores[name] for name in test]))
    return {**found, "site mean": mean(there), "all rows": whole[problem.metric]}


def local(spec: StudySpec, site: Dataset, seed: int) -> Predict:
    """The best of a few models for one site, by 3-fold cross-validation of the task's loss-like metric on its training rows."""
    candidates = _candidates(spec, seed)
    folds = list(KFold(3, shuffle=True, random_state=seed).split(site.x))
    task, better = open_task(spec), []
    for fit in candidates:
        try:
            found = [task.metrics(site.take(out).y, fit(site.take(rest))(site.x[out]))[task.aim.metric] for rest, out in folds]
        except InvalidData:
            better.append(float("-inf"))
            continue
        there = [value for value in found if value is not None]
        better.append((mean(there) if there else 0.0) * (1 if task.aim.higher_is_better else -1))
    return candidates[int(np.argmax(better))](site)


def _candidates(spec: StudySpec, seed: int) -> list[Callable[[Dataset], Predict]]:
    own: list[Callable[[Dataset], Predict]] = [
        _own(dataclasses.replace(spec, training=dataclasses.replace(spec.training, weight_decay=decay)), seed) for decay in (0.01, 0.1, 0.5)
    ]
    if spec.task.kind == "survival":
        return own
    several = spec.task.kind == "multitask"
    linear: list[Any]
    if spec.task.kind == "regression":
        linear = [Ridge(alpha=a) for a in (1, 10, 100, 1000)]
        forests = [RandomForestRegressor(200, min_samples_leaf=leaf, max_features=0.3, random_state=seed) for leaf in (1, 3)]
    else:
        linear = [LogisticRegression(C=c, max_iter=500) for c in ((0.01,) if several else (0.001, 0.01, 0.1, 1))]
        forests = [RandomForestClassifier(200, min_samples_leaf=leaf, random_state=seed) for leaf in ((1,) if several else (1, 3))]
    made = [*(make_pipeline(StandardScaler(), model) for model in linear), *forests]
    return [*own[:1], *(_sklearn(model) for model in made)]


def _own(spec: StudySpec, seed: int) -> Callable[[Dataset], Predict]:
    """The study's own model and budget, trained alone."""

    def fit(site: Dataset) -> Predict:
        state = baselines.local_only(spec, site, seed)
        return lambda x: predict(spec, state, x)

    return fit


def _sklearn(model: Any) -> Callable[[Dataset], Predict]:
    """One model a label; a label of one class or without rows gets its rate."""
    from sklearn.base import clone, is_classifier

    def fit(site: Dataset) -> Predict:
        models: list[Any] = []
        for y in site.y.T:
            there = ~np.isnan(y)
            one_class = not there.any() or y[there].min() == y[there].max()
            models.append(
                float(y[there].mean()) if there.any() and one_class else 0.5 if one_class else clone(model).fit(site.x[there], y[there])
            )

        def scores(x: npt.NDArray[np.float32]) -> Scores:
            columns = [
                np.full(len(x), m) if isinstance(m, float) else m.predict_proba(x)[:, 1] if is_classifier(m) else m.predict(x)
                for m in models
            ]
            return np.stack(columns, axis=1).astype(np.float64)

        return scores

    return fit


def table(problem: Problem, runs: list[dict[str, dict[str, float | None]]]) -> str:
    """Mean ± standard deviation over the splits, and in how many of them a method beat the tuned local models' site mean."""
    lines = [
        f"{problem.name}: {problem.metric}, {len(problem.sites)} sites, {sum(map(len, problem.sites.values()))} rows, {len(runs)} splits"
    ]
    lines.append("| method | mean over sites | all test rows | better than local |\n|---|---|---|---|")
    sign = 1 if problem.higher_is_better else -1
    for method in (m for m in METHODS if m in runs[0]):
        columns = []
        for which in ("site mean", "all rows"):
            values = [float(v) for run in runs if (v := run[method][which]) is not None]
            columns.append(f"{mean(values):.4f} ± {stdev(values) if len(values) > 1 else 0:.4f}")
        wins = sum(sign * ((run[method]["site mean"] or 0) - (run["local"]["site mean"] or 0)) > 0 for run in runs)
        lines.append(f"| {method} | {columns[0]} | {columns[1]} | {f'{wins} of {len(runs)}' if method != 'local' else ''} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder of the data sets")
    parser.add_argument("--problem", choices=PROBLEMS, action="append", help="default: all")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--out", type=Path, help="folder for JSON of every split")
    arguments = parser.parse_args()
    use_threads(1)
    warnings.filterwarnings("ignore", module="sklearn")
    for name in arguments.problem or PROBLEMS:
        problem = PROBLEMS[name](arguments.data)
        runs = [compare(problem, seed) for seed in range(1, arguments.seeds + 1)]
        if arguments.out:
            arguments.out.mkdir(parents=True, exist_ok=True)
            (arguments.out / f"{name}.json").write_text(json.dumps(runs, indent=1))
        print(table(problem, runs), flush=True)


if __name__ == "__main__":
    main()
