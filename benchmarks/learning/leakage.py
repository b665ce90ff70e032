"""What an update would tell without encryption, and what the global model tells with and without differential privacy.

    PYTHONPATH=. python benchmarks/learning/leakage.py DATA_DIR [--seeds 5]

Membership inference (Yeom et al. 2018): the AUC with which a record's loss under the global model tells training rows from others;
0.5 is chance. The model is an MLP trained for long on few rows, so that it overfits. Gradient inversion (Phong et al. 2018, section 3):
the first layer's update over its bias's is a record's features, if one record alone made it; the figure is the cosine between what comes
out and the nearest true record, both without the mean of all records, so that what all of them share does not count.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import numpy as np
from multisite import split
from problems import Problem, heart
from sklearn.metrics import roc_auc_score

from defedbio.learning.data import Dataset
from defedbio.learning.evaluation import evaluate, predict
from defedbio.learning.local import contribute, use_threads
from defedbio.learning.parameters import parameters, unflatten
from defedbio.learning.plan import schedule
from defedbio.learning.preprocessing import model_input
from defedbio.learning.privacy.budget import loss_after
from defedbio.learning.simulation import plain, simulate, stream
from defedbio.learning.state import genesis
from defedbio.learning.tasks.shared import log_losses
from defedbio.protocol.simulate import exact, rotations_from, secrets_from
from defedbio.spec import StudySpec

NOISES = (None, 0.6, 1.0, 2.0)
SUM_NOISES = (None, 0.25, 1.0, 4.0)
ROUNDS = 20


def study(base: StudySpec, noise: float | None, **changes: Any) -> StudySpec:
    """The heart study with an MLP, equal weights and no standardisation, with DP-SGD or without."""
    document = json.loads(base.raw) | {
        "model": {"kind": "mlp", "hidden": [64]},
        "preprocessing": {"standardise": "none"},
        "weighting": {"kind": "uniform"},
        "training": {"learning_rate": 0.3, "steps": 20, "batch_size": 16},
        "rounds": 40,
    }
    if noise is not None:
        document["privacy"] = {
            "kind": "record",
            "noise_multiplier": noise,
            "max_grad_norm": 1.0,
            "sample_rate": 0.2,
            "epsilon": 1000,
            "delta": 1e-5,
        }
        document["training"]["steps"] = 5
    return StudySpec.from_bytes(json.dumps(document | changes).encode())


def membership(problem: Problem, noise: float | None, seed: int) -> tuple[float, float]:
    """(AUC of the attack, accuracy on new rows) of the last global model."""
    spec = dataclasses.replace(study(problem.spec, noise), seed=seed)
    training, test = split(problem, seed)
    state = [done.state for done in simulate(spec, list(training.values()), stream(seed), plain(seed=seed))][-1]
    members, others = _together(training), _together(test)
    losses = [log_losses(d.y[:, 0].astype(np.float64), predict(spec, state, d.x)[:, 0]) for d in (members, others)]
    attack = roc_auc_score(np.r_[np.ones(len(members)), np.zeros(len(others))], -np.concatenate(losses))
    return float(attack), float(evaluate(spec, state, others)["accuracy"] or 0)


def noisy_sum(problem: Problem, noise: float | None, organisations: int, seed: int) -> tuple[float, float]:
    """(epsilon of all rounds, accuracy on new rows) of a linear model with noise on the sum; the four hospitals' rows are dealt out to
    so many organisations, all but a quarter of which are relied on."""
    document = json.loads(problem.spec.raw) | {
        "preprocessing": {"standardise": "none"},
        "weighting": {"kind": "uniform"},
        "rounds": ROUNDS,
        "training": {"learning_rate": 0.5, "steps": 10, "batch_size": 8},
        "quantisation": {"slot_bits": 32, "clip_norm": 0.5},
        "participants": {"seats": organisations, "minimum": organisations},
    }
    if noise is not None:
        document["privacy"] = {"kind": "sum", "noise_multiplier": noise, "honest": organisations * 3 // 4, "epsilon": 1000, "delta": 1e-5}
    spec = dataclasses.replace(StudySpec.from_bytes(json.dumps(document).encode()), seed=seed)
    training, test = (_together(part) for part in split(problem, seed))
    dealt = np.random.default_rng(seed).permutation(len(training))
    sites = [training.take(np.sort(rows)) for rows in np.array_split(dealt, organisations)]
    state = [done.state for done in simulate(spec, sites, *exact(secrets_from(seed), rotations_from(seed)))][-1]
    epsilon = loss_after(spec, ROUNDS).epsilon_total if noise is not None else float("inf")
    return epsilon, float(evaluate(spec, state, test)["accuracy"] or 0)


def _together(sites: dict[str, Dataset]) -> Dataset:
    return Dataset(np.concatenate([d.x for d in sites.values()]), np.concatenate([d.y for d in sites.values()]))


def inversion(problem: Problem, noise: float | None, organisations: int, rows: int, seed: int) -> float:
    """The cosine between a true record and what the (sum of the) first updates gives away; `rows` is the minibatch."""
    training = {"learning_rate": 0.3, "steps": 1, "batch_size": rows}
    spec = dataclasses.replace(study(problem.spec, noise, training=training), seed=seed)
    state = genesis(spec)
    sites = [site.take(np.arange(rows) + seed * rows % 40) for site in list(problem.sites.values())[:organisations]]
    total = sum(contribute(spec, schedule(spec)[0], state, site, seed * 10 + i).vectors[0] for i, site in enumerate(sites))
    update = unflatten(np.asarray(total), parameters(spec))
    bias, weight = update["layer0.bias"].astype(np.float64), update["layer0.weight"].astype(np.float64)
    unit = int(np.abs(bias).argmax())
    found = weight[unit] / bias[unit] if bias[unit] else weight[unit]
    everybody = np.concatenate([model_input(spec, None, site.x) for site in problem.sites.values()]).astype(np.float64)
    middle = everybody.mean(axis=0)
    truth = np.concatenate([model_input(spec, None, site.x) for site in sites]).astype(np.float64) - middle
    found = found - middle
    return float(np.max(truth @ found / (np.linalg.norm(truth, axis=1) * np.linalg.norm(found) + 1e-12)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder of the data sets")
    parser.add_argument("--seeds", type=int, default=5)
    arguments = parser.parse_args()
    use_threads(1)
    problem = heart(arguments.data)
    print("| noise | epsilon (delta 1e-5) | membership AUC | accuracy on new rows |\n|---|---|---|---|")
    for noise in NOISES:
        runs = [membership(problem, noise, seed) for seed in range(arguments.seeds)]
        epsilon = f"{loss_after(study(problem.spec, noise), 40).epsilon_total:.1f}" if noise is not None else "unbounded"
        print(f"| {noise or 'none'} | {epsilon} | {_spread([a for a, _ in runs])} | {_spread([b for _, b in runs])} |", flush=True)
    print("\n| noise on the sum, clip norms | epsilon | 4 organisations | 64 organisations |\n|---|---|---|---|")
    for noise in SUM_NOISES:
        few, many = ([noisy_sum(problem, noise, n, seed) for seed in range(arguments.seeds)] for n in (4, 64))
        epsilon = f"{few[0][0]:.1f}" if noise is not None else "unbounded"
        print(f"| {noise or 'none'} | {epsilon} | {_spread([a for _, a in few])} | {_spread([a for _, a in many])} |", flush=True)
    print("\n| update seen | cosine with the nearest record |\n|---|---|")
    for what, noise, organisations, rows in (
        ("one organisation's, one record", None, 1, 1),
        ("one organisation's, 16 records", None, 1, 16),
        ("sum of four organisations, one record each", None, 4, 1),
        ("one organisation's, one record, DP-SGD with noise 1", 1.0, 1, 1),
    ):
        found = [inversion(problem, noise, organisations, rows, seed) for seed in range(arguments.seeds)]
        print(f"| {what} | {_spread(found)} |", flush=True)


def _spread(values: list[float]) -> str:
    return f"{mean(values):.3f} ± {stdev(values) if len(values) > 1 else 0:.3f}"


if __name__ == "__main__":
    main()
