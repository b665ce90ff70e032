"""A study's learning part in one process, for tuning a spec before anyone enrols."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from defedbio.client.specs import Spec, parse
from defedbio.client.values import Value
from defedbio.errors import InvalidInput
from defedbio.network.modules import read_modules

if TYPE_CHECKING:
    from defedbio.learning.global_update import Sums
    from defedbio.learning.local import Contribution
    from defedbio.learning.plan import Step
    from defedbio.learning.simulation import Combine
    from defedbio.network.precision import Precision

StrPath = str | os.PathLike[str]
Metrics = dict[str, float | None]


@dataclass(frozen=True)
class SimulatedRound(Value):
    """One round of kind statistics, moments, train or evaluate. `evaluation` are the metrics that encrypted evaluation would show of the
    model from which the round started, `test` those of the model that it made on the labelled file; `sat_out` gives reasons by file.
    `rounding` is how far clipping and rounding moved the mean update, relative to its norm: of exact simulations."""

    step: int
    kind: str
    statistics: dict[str, Any] | None = None
    evaluation: Metrics | None = None
    test: Metrics | None = None
    sat_out: dict[str, str] | None = None
    rounding: float | None = None

    def as_dict(self) -> dict[str, Any]:
        """Without what the round does not have."""
        return {name: value for name, value in asdict(self).items() if value is not None}

    def row(self) -> dict[str, Any]:
        """Step, kind and metrics side by side, named like "evaluation roc_auc"."""
        metrics = {"evaluation": self.evaluation or {}, "test": self.test or {}}
        return {
            "step": self.step,
            "kind": self.kind,
            **{f"{where} {name}": value for where, found in metrics.items() for name, value in found.items()},
        }


@dataclass(frozen=True)
class Simulation(Value):
    exact: bool
    seed: int
    stopped_early: bool
    precision: Precision
    rounds: tuple[SimulatedRound, ...]

    def as_dict(self) -> dict[str, Any]:
        return asdict(self) | {"rounds": [r.as_dict() for r in self.rounds]}

    def table(self) -> list[dict[str, Any]]:
        """A row a round, for pandas.DataFrame."""
        return [r.row() for r in self.rounds]


def simulate(
    spec: Spec,
    data: Sequence[StrPath],
    test: StrPath | None,
    seed: int,
    exact: bool,
    out: StrPath | None,
    modules: Sequence[StrPath],
    threads: int,
    on_round: Callable[[SimulatedRound], None],
) -> Simulation:
    """See Client.simulate."""
    from defedbio.learning.data import open_adapter
    from defedbio.learning.evaluation import evaluate
    from defedbio.learning.evaluation_sums import summary
    from defedbio.learning.local import use_threads
    from defedbio.learning.simulation import plain, stream
    from defedbio.learning.simulation import simulate as run
    from defedbio.learning.statistics_sums import report
    from defedbio.network.precision import precision
    from defedbio.protocol.simulate import exact as exactly
    from defedbio.protocol.simulate import rotations_from, secrets_from

    if out is not None and Path(out).exists():
        raise InvalidInput(f"{os.fspath(out)} exists already")
    parsed = parse(spec)
    if not parsed.minimum <= len(data) <= parsed.seats:
        raise InvalidInput(f"the study is for {parsed.minimum} to {parsed.seats} organisations, and {len(data)} files are named")
    use_threads(threads)
    adapter, paths = open_adapter(parsed), [Path(path) for path in data]
    datasets = [adapter.load(path) for path in paths]
    tested = adapter.load(Path(test)) if test is not None else None
    installed = read_modules(map(Path, modules))
    moved: list[float] = []
    seed_of, combine = exactly(secrets_from(seed), rotations_from(seed)) if exact else (stream(seed), plain(seed=seed))
    if exact:
        combine = _beside_plain(combine, plain(clip=False), moved)
    rounds = []
    for done in run(parsed, datasets, seed_of, combine, parsed.minimum, installed):
        kind, state = done.step.kind, done.state
        evaluated = parsed.evaluation is not None and done.step.measures
        rounds.append(
            SimulatedRound(
                step=done.step.index,
                kind=kind,
                statistics=report(parsed, state) if kind == "statistics" else None,
                evaluation=summary(parsed, state).values if evaluated else None,
                test=evaluate(parsed, state, tested, installed) if tested is not None and kind == "train" else None,
                rounding=moved[-1] if exact and kind == "train" else None,
                sat_out={paths[site].name: reason for site, reason in done.sat_out.items()} or None,
            )
        )
        on_round(rounds[-1])
    if out is not None:
        Path(out).write_bytes(state.published(parsed))
    return Simulation(exact, seed, state.stopped, precision(parsed), tuple(rounds))


def precision_of(spec: Spec) -> Precision:
    """Slots, clip norms, bytes and expected rounding of the study's updates, as `simulate` returns them."""
    from defedbio.network.precision import precision

    return precision(parse(spec))


def _beside_plain(combine: Combine, plainly: Combine, moved: list[float]) -> Combine:
    """`combine`, which also appends to `moved` the distance of its mean update to the plain one, relative to the plain one's norm."""
    import numpy as np

    def both(step: Step, contributions: Mapping[int, Contribution]) -> Sums:
        sums = combine(step, contributions)
        if step.kind == "train":
            want = plainly(step, contributions).vectors["update"]
            moved.append(float(np.linalg.norm(sums.vectors["update"] - want) / max(float(np.linalg.norm(want)), 1e-300)))
        return sums

    return both
