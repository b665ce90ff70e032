"""The demo's study over several seeds: every organisation alone, federated, and pooled, on test sets that none trained on.

A seed chooses the first model's weights and all minibatches. Every model spends the same budget of minibatches
(so the federated one has as many per organisation as the pooled one in all). `federated` is the protocol's own
contribute and finalise with its clipping, in float64; quantisation and encryption are left out. "local mean" is the mean of the metric over
the organisations' own models. Differences are paired by seed; ± is the standard deviation over seeds, and says nothing about which
molecules happen to be in a test set: the bootstrap interval over test molecules, of the mean difference over seeds, is for that.

    PYTHONPATH=. python benchmarks/learning/demo_seeds.py [--seeds 1 2 3] [--organisations 4] [--json FILE]
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from defedbio.learning import baselines
from defedbio.learning.data import Dataset, open_adapter
from defedbio.learning.evaluation import predict
from defedbio.learning.state import GlobalState
from defedbio.learning.tasks import open_task
from defedbio.spec import StudySpec
from scripts import demo_data

STUDY = Path(demo_data.__file__).with_name("demo_study.json")
METRICS = ("roc_auc", "balanced_accuracy", "accuracy", "log_loss")
RESAMPLES = 1000

Scores = npt.NDArray[np.float64]


def load(spec: StudySpec, organisations: int) -> tuple[dict[str, Dataset], dict[str, Dataset]]:
    """Training sets by organisation and test sets by name."""
    adapter = open_adapter(spec)
    with tempfile.TemporaryDirectory() as folder:
        summary = demo_data.write(Path(folder), organisations)
        sites = {Path(name).stem: adapter.load(Path(folder) / name) for name in summary["organisations"]}
        tests = {name: adapter.load(Path(folder) / f"{name}.csv") for name in ("external", "holdout")}
        tests |= {Path(name).stem: adapter.load(Path(folder) / name) for name in summary["tests"]}
    return sites, tests


def models(spec: StudySpec, sites: dict[str, Dataset], seed: int) -> dict[str, GlobalState]:
    seeded = dataclasses.replace(spec, seed=seed)
    result = {name: baselines.local_only(seeded, data, seed) for name, data in sites.items()}
    result["federated"] = baselines.federated(seeded, list(sites.values()), seed)
    result["pooled"] = baselines.pooled(seeded, list(sites.values()), seed)
    return result


def bootstrap(test: Dataset, scores: dict[str, list[Scores]], sites: list[str]) -> tuple[float, float]:
    """95 % interval of federated minus local mean ROC-AUC, mean over seeds, under resampling of the test set within each class."""
    generator = np.random.default_rng(0)
    positive, negative = np.flatnonzero(test.y[:, 0] == 1), np.flatnonzero(test.y[:, 0] == 0)
    draws = []
    for _ in range(RESAMPLES):
        rows = np.concatenate([generator.choice(positive, positive.size), generator.choice(negative, negative.size)])
        auc = {name: np.mean([_auc(test.y[rows, 0], s[rows, 0]) for s in runs]) for name, runs in scores.items()}
        draws.append(auc["federated"] - np.mean([auc[name] for name in sites]))
    low, high = np.percentile(draws, [2.5, 97.5])
    return float(low), float(high)


def _auc(y: npt.NDArray[np.float32], scores: Scores) -> float:
    """ROC-AUC as the rank sum; far faster than scikit-learn's for a bootstrap. Ties are rare and take the lower rank."""
    ranks = np.empty(len(y))
    ranks[np.argsort(scores, kind="stable")] = np.arange(1, len(y) + 1)
    positives = int(y.sum())
    return float((ranks[y == 1].sum() - positives * (positives + 1) / 2) / (positives * (len(y) - positives)))


def compare(spec: StudySpec, sites: dict[str, Dataset], tests: dict[str, Dataset], seeds: list[int]) -> dict[str, Any]:
    """Per test set: per method the metrics by seed, mean and sd; paired differences of ROC-AUC; its bootstrap interval."""
    task = open_task(spec)
    trained = {seed: models(spec, sites, seed) for seed in seeds}
    result: dict[str, Any] = {}
    for name, test in tests.items():
        scores = {m: [predict(spec, trained[s][m], test.x) for s in seeds] for m in trained[seeds[0]]}
        values: dict[str, list[dict[str, Any]]] = {m: [task.metrics(test.y, s) for s in runs] for m, runs in scores.items()}
        values["local mean"] = [{k: float(np.mean([values[m][i][k] for m in sites])) for k in METRICS} for i in range(len(seeds))]
        table = {m: {k: _spread([v[k] for v in runs]) for k in METRICS} for m, runs in values.items()}
        auc = {m: np.array(table[m]["roc_auc"]["by_seed"]) for m in table}
        against = {m: _spread(list(auc["federated"] - auc[m])) for m in [*sites, "local mean", "pooled"]}
        result[name] = {
            "rows": len(test),
            "positive": int(test.y.sum()),
            "methods": table,
            "federated_minus": against,
            "federated_minus_local_mean_95": bootstrap(test, scores, list(sites)),
        }
    return result


def _spread(values: list[float]) -> dict[str, Any]:
    sd = float(np.std(values, ddof=1)) if len(values) > 1 else None
    return {"mean": float(np.mean(values)), "sd": sd, "by_seed": [float(v) for v in values]}


def _cell(spread: dict[str, Any], sign: str = "") -> str:
    return f"{spread['mean']:{sign}.3f}" + (f" ± {spread['sd']:.3f}" if spread["sd"] is not None else "")


def show(result: dict[str, Any]) -> None:
    for name, test in result["tests"].items():
        print(f"\n{name}: {test['rows']} molecules, {test['positive']} positive")
        print(f"{'':14}" + "".join(f"{m:>20}" for m in METRICS) + f"{'federated minus, AUC':>24}")
        for method, metrics in test["methods"].items():
            difference = test["federated_minus"].get(method)
            print(
                f"{method:14}"
                + "".join(f"{_cell(metrics[m]):>20}" for m in METRICS)
                + f"{_cell(difference, '+') if difference else '':>24}"
            )
        low, high = test["federated_minus_local_mean_95"]
        print(f"federated minus local mean, ROC-AUC: 95 % bootstrap interval over the test molecules {low:+.3f} to {high:+.3f}")


def main() -> None:
    parser = argparse.ArgumentParser(description="Compare local, federated and pooled training on the demo's study.")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--organisations", type=int, default=4)
    parser.add_argument("--json", type=Path, help="also write the result to this file")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    started = time.monotonic()
    spec = StudySpec.from_bytes(STUDY.read_bytes())
    sites, tests = load(spec, arguments.organisations)
    result = {
        "seeds": arguments.seeds,
        "sites": {k: len(v) for k, v in sites.items()},
        "tests": compare(spec, sites, tests, arguments.seeds),
    }
    result["seconds"] = round(time.monotonic() - started, 1)
    print("training molecules: " + ", ".join(f"{k} {n}" for k, n in result["sites"].items()))
    show(result)
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(result, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
