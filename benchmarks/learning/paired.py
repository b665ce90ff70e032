"""What quantisation costs a model, beside plain floating point from the same splits, first weights and minibatches, over many seeds.

    PYTHONPATH=. python benchmarks/learning/paired.py prepare DATA_DIR build/paired
    python benchmarks/learning/paired.py run build/paired --seeds 20 --jobs 16
    python benchmarks/learning/paired.py table build/paired
    python benchmarks/learning/paired.py trace build/paired --problem tox21

`prepare` turns the problems of docs/results.md and the demo's study into arrays, and needs what the product needs. `run` needs numpy and
torch alone: it can go to another machine with the repository and the folder, and where the project is not installed

    mkdir -p build/import && ln -sfn "$PWD/agents" build/import/defedbio && export PYTHONPATH=build/import

gives it the name that it is imported by. It appends a line of JSON for every finished seed and method
to results.jsonl there, and skips those that it finds. `table` writes the tables of docs/results.md.
`trace` shows, for one seed of `auto`, how long each round's updates are beside the clip norm, and how far rounding moved their mean.

Every method but `plain` goes through the integers that rounds encrypt (`simulate --exact`), without a proof's rejections, which are rarer
than one in a thousand. Splits are numbered from 1, as in multisite.py. The demo has fixed test sets; its seeds choose the first weights,
minibatches and rounding. A difference is a method's metric minus plain's for the same seed; ± is half of its 95 % interval by Student's t
over seeds, which share rows and so are not independent.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import multiprocessing
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import numpy as np
import numpy.typing as npt

from defedbio import spec as specs
from defedbio.learning.data.port import Dataset
from defedbio.learning.evaluation import predict
from defedbio.learning.global_update import Sums
from defedbio.learning.local import Contribution, use_threads
from defedbio.learning.plan import Step
from defedbio.learning.simulation import plain, simulate
from defedbio.learning.tasks import open_task
from defedbio.protocol.simulate import exact, rotations_from, secrets_from

PLAIN = "plain"
ROTATED = {"rotated": True}
# What of the study each method changes; "near" stands for a weight cap that is the largest organisation's number of rows.
METHODS: dict[str, dict[str, Any]] = {
    PLAIN: {},
    "24 bits": {"quantisation": {"slot_bits": 24, "clip_norm": 5.0}},
    "auto": {"quantisation": "auto"},
    "auto, cap at the largest": {"quantisation": "auto", "weighting": "near"},
    "sigma 1": {"quantisation": ROTATED | {"sigma": 1}},
    "sigma 2": {"quantisation": ROTATED | {"sigma": 2}},
    "sigma 4": {"quantisation": ROTATED | {"sigma": 4}},
}
ALL, MEAN = "all rows", "site mean"
LOWER_IS_BETTER = ("rmse",)

Float64 = npt.NDArray[np.float64]


@dataclasses.dataclass(frozen=True)
class Prepared:
    """A study's document, the metric of its tables, rows by site, and test rows by name where they are not split from the sites' own."""

    name: str
    document: dict[str, Any]
    metric: str
    sites: dict[str, Dataset]
    tests: dict[str, Dataset]


def prepare(data: Path, folder: Path) -> None:
    """Write every problem's arrays and document; an existing file is written anew."""
    from demo_seeds import STUDY, load
    from problems import PROBLEMS

    from defedbio.spec import StudySpec

    folder.mkdir(parents=True, exist_ok=True)
    for name, make in PROBLEMS.items():
        problem = make(data)
        _write(folder, Prepared(name, json.loads(problem.spec.raw), problem.metric, problem.sites, {}))
    demo = StudySpec.from_bytes(STUDY.read_bytes())
    _write(folder, Prepared("demo", json.loads(demo.raw), "roc_auc", *load(demo, demo.seats)))


def _write(folder: Path, problem: Prepared) -> None:
    sets = {f"{kind}|{name}": rows for kind, found in (("site", problem.sites), ("test", problem.tests)) for name, rows in found.items()}
    arrays = {f"{name}|{part}": array for name, rows in sets.items() for part, array in (("x", rows.x), ("y", rows.y))}
    np.savez_compressed(folder / f"{problem.name}.npz", allow_pickle=False, **arrays)
    described = {"study": problem.document, "metric": problem.metric}
    (folder / f"{problem.name}.json").write_text(json.dumps(described, indent=1) + "\n", "utf-8")
    print(f"{problem.name}: {len(problem.sites)} sites, {sum(map(len, problem.sites.values()))} rows", flush=True)


@cache
def prepared(folder: Path, name: str) -> Prepared:
    described = json.loads((folder / f"{name}.json").read_text("utf-8"))
    sets: dict[str, dict[str, Dataset]] = {"site": {}, "test": {}}
    with np.load(folder / f"{name}.npz", allow_pickle=False) as arrays:
        for key in (key for key in arrays.files if key.endswith("|x")):
            kind, place, _ = key.split("|")
            sets[kind][place] = Dataset(arrays[key], arrays[f"{kind}|{place}|y"])
    return Prepared(name, described["study"], described["metric"], sets["site"], sets["test"])


def split(problem: Prepared, seed: int) -> tuple[dict[str, Dataset], dict[str, Dataset]]:
    """70 % and 30 % of every site's rows, of each class alike where the last label column has classes."""
    if problem.tests:
        return problem.sites, problem.tests
    generator = np.random.default_rng(seed)
    training, test = {}, {}
    for name, site in problem.sites.items():
        label = site.y[:, -1]
        kinds = label if len(np.unique(label)) == 2 and not np.isnan(label).any() else np.zeros(len(site))
        first: list[int] = []
        for kind in np.unique(kinds):
            rows = generator.permutation(np.flatnonzero(kinds == kind))
            first += rows[: round(0.7 * len(rows))].tolist()
        second = np.setdiff1d(np.arange(len(site)), first)
        training[name], test[name] = site.take(np.sort(np.array(first))), site.take(second)
    return training, test


def study(problem: Prepared, method: str, seed: int, largest: int) -> specs.StudySpec:
    """The problem's study as the method changes it."""
    document = problem.document | METHODS[method]
    if document["weighting"] == "near":
        document["weighting"] = {"kind": "samples", "cap": largest}
    raw = json.dumps(document).encode()
    # Not through `from_bytes`: the document was checked when it was prepared, and its schema's package may not be here.
    return dataclasses.replace(specs.StudySpec(raw=raw, **specs._fields(document)), seed=seed)


def applies(problem: Prepared, method: str) -> bool:
    """Models of a few dozen parameters are not rotated: `auto` leaves them in wide slots."""
    return not method.startswith("sigma") or problem.name not in ("heart", "tcga")


def measure(problem: Prepared, method: str, seed: int) -> dict[str, float | None]:
    """The metric on the test rows of each site, their mean, and on all of them together."""
    training, test = split(problem, seed)
    spec = study(problem, method, seed, max(map(len, training.values())))
    seed_of, combine = exact(secrets_from(seed), rotations_from(seed))
    if method == PLAIN:
        combine = plain(clip=False)
    state = None
    for done in simulate(spec, list(training.values()), seed_of, combine):
        state = done.state
    assert state is not None
    scores = {name: predict(spec, state, rows.x) for name, rows in test.items()}
    found = {name: _metric(spec, problem.metric, rows.y, scores[name]) for name, rows in test.items()}
    together = np.concatenate([rows.y for rows in test.values()]), np.concatenate(list(scores.values()))
    return {**found, MEAN: mean(v for v in found.values() if v is not None), ALL: _metric(spec, problem.metric, *together)}


def _metric(spec: specs.StudySpec, metric: str, y: npt.NDArray[np.float32], scores: Float64) -> float | None:
    if metric == "accuracy":
        return float(np.mean((scores[:, 0] >= 0.5) == (y[:, 0] > 0.5)))
    if metric == "roc_auc":
        areas = [_area(y[there, i], scores[there, i]) for i in range(y.shape[1]) if (there := ~np.isnan(y[:, i])).any()]
        known = [area for area in areas if area is not None]
        return mean(known) if known else None
    value = open_task(spec).metrics(y, scores)[metric]
    return None if value is None else float(value)


def _area(y: npt.NDArray[np.float32], scores: Float64) -> float | None:
    """ROC-AUC as the rank sum, ties at their mean rank; None with one class."""
    positive = int((y > 0.5).sum())
    if positive in (0, len(y)):
        return None
    _, place, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[place]
    return float((ranks[y > 0.5].sum() - positive * (positive + 1) / 2) / (positive * (len(y) - positive)))


Task = tuple[Path, str, int, str]


def _one(task: Task) -> dict[str, Any]:
    folder, name, seed, method = task
    use_threads(1)
    return {"problem": name, "seed": seed, "method": method, "metrics": measure(prepared(folder, name), method, seed)}


def run(folder: Path, names: list[str], seeds: int, methods: list[str], jobs: int) -> None:
    """Everything that results.jsonl lacks, seed by seed, so that a run that is cut short has whole seeds."""
    results = folder / "results.jsonl"
    finished = {(r["problem"], r["seed"], r["method"]) for r in _results(folder)}
    tasks: list[Task] = [
        (folder, name, seed, method)
        for seed in range(1, seeds + 1)
        for name in names
        for method in methods
        if applies(prepared(folder, name), method) and (name, seed, method) not in finished
    ]
    with results.open("a", encoding="utf-8") as file, multiprocessing.get_context("spawn").Pool(jobs) as pool:
        for count, line in enumerate(pool.imap_unordered(_one, tasks), 1):
            file.write(json.dumps(line) + "\n")
            file.flush()
            print(f"{count}/{len(tasks)} {line['problem']} {line['seed']} {line['method']}: {line['metrics'][ALL]}", flush=True)


def _results(folder: Path) -> Iterator[dict[str, Any]]:
    path = folder / "results.jsonl"
    if path.exists():
        yield from map(json.loads, path.read_text("utf-8").splitlines())


def tables(folder: Path) -> str:
    """For each problem: plain's metric and the differences to it, then those of every site by itself, smallest first."""
    found: dict[str, dict[str, dict[int, dict[str, float | None]]]] = {}
    for line in _results(folder):
        found.setdefault(line["problem"], {}).setdefault(line["method"], {})[line["seed"]] = line["metrics"]
    text = []
    for name, by_method in found.items():
        problem, base = prepared(folder, name), by_method.get(PLAIN, {})
        places = [MEAN, ALL, *sorted((place for place in problem.tests or problem.sites), key=lambda place: _rows(problem, place))]
        good = "lower" if problem.metric in LOWER_IS_BETTER else "higher"
        text += [f"{name}: {problem.metric} ({good} is better), {len(base)} seeds", ""]
        text += [f"| | {' | '.join(f'{p} ({_rows(problem, p)})' if p in problem.sites else p for p in places)} |"]
        text += ["|---" * (len(places) + 1) + "|"]
        text += [f"| {PLAIN} | {' | '.join(_cell([v for m in base.values() if (v := m[p]) is not None], '') for p in places)} |"]
        for method in (m for m in METHODS if m in by_method and m != PLAIN):
            pairs = [(metrics, base[seed]) for seed, metrics in by_method[method].items() if seed in base]
            cells = [_cell([a[p] - b[p] for a, b in pairs if a[p] is not None and b[p] is not None], "+") for p in places]
            text += [f"| {method} | {' | '.join(cells)} |"]
        text += [""]
    return "\n".join(text)


def _rows(problem: Prepared, place: str) -> int:
    return len((problem.sites | problem.tests).get(place, ()))


def _cell(values: list[float], sign: str) -> str:
    """Mean ± half the 95 % interval of the mean for differences, ± standard deviation for the metric itself."""
    if len(values) < 2:
        return f"{values[0]:{sign}.4f}" if values else "-"
    spread = stdev(values)
    return f"{mean(values):{sign}.4f} ± {spread * (_student(len(values) - 1) / len(values) ** 0.5 if sign else 1):.4f}"


def _student(freedom: int) -> float:
    """The 97.5 % quantile of Student's t, by Cornish and Fisher's expansion (Abramowitz and Stegun 26.7.5)."""
    z = 1.959964
    terms = (z, (z**3 + z) / 4, (5 * z**5 + 16 * z**3 + 3 * z) / 96, (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384)
    return sum(term / freedom**power for power, term in enumerate(terms))


def trace(problem: Prepared, seed: int) -> None:
    """By training round: the clip norm, the longest weighted update, the mean's norm, and how far rounding moved it, relative to that."""
    training, _ = split(problem, seed)
    spec = study(problem, "auto", seed, 0)
    seed_of, combine = exact(secrets_from(seed), rotations_from(seed))
    plainly = plain(clip=False)

    def both(step: Step, contributions: Mapping[int, Contribution]) -> Sums:
        sums = combine(step, contributions)
        if step.kind == "train":
            want, place = plainly(step, contributions).vectors["update"], [s.name for s in step.segments].index("update")
            parts = contributions.values()
            longest = max(p.weight / step.weight_cap * float(np.linalg.norm(p.vectors[place])) for p in parts)
            norm, clip = float(np.linalg.norm(want)), step.segments[place].quantisation.clip_norm
            moved = float(np.linalg.norm(sums.vectors["update"] - want)) / norm
            print(f"{problem.name} {step.training_round:>3}{clip:>10.4f}{longest:>10.4f}{norm:>10.4f}{moved:>8.2f}", flush=True)
        return sums

    print("round, clip norm, longest weighted update, norm of the mean, moved by rounding")
    for _ in simulate(spec, list(training.values()), seed_of, both):
        pass


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    making, running, showing, tracing = (commands.add_parser(name) for name in ("prepare", "run", "table", "trace"))
    making.add_argument("data", type=Path, help="folder of the data sets")
    for command in (making, running, showing, tracing):
        command.add_argument("folder", type=Path, help="where the arrays and results lie")
    for command in (running, tracing):
        command.add_argument("--problem", action="append", help="default: all that were prepared")
    running.add_argument("--method", choices=METHODS, action="append", help="default: all")
    running.add_argument("--seeds", type=int, default=20)
    running.add_argument("--jobs", type=int, default=1)
    arguments = parser.parse_args()
    names = getattr(arguments, "problem", None) or sorted(path.stem for path in arguments.folder.glob("*.npz"))
    if arguments.command == "prepare":
        prepare(arguments.data, arguments.folder)
    elif arguments.command == "trace":
        use_threads(1)
        for name in names:
            trace(prepared(arguments.folder, name), 1)
    elif arguments.command == "run":
        methods = list(dict.fromkeys([PLAIN, *(arguments.method or METHODS)]))
        run(arguments.folder, names, arguments.seeds, methods, arguments.jobs)
    else:
        print(tables(arguments.folder))


if __name__ == "__main__":
    main()
