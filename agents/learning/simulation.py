"""A study's learning part in one process: `contribute` and `finalise` as in the protocol; what stands between them is an argument."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from defedbio.errors import InvalidData, InvalidInput
from defedbio.learning import clipping
from defedbio.learning.data.port import Dataset
from defedbio.learning.global_update import Sums, finalise
from defedbio.learning.local import Contribution, Float64, contribute
from defedbio.learning.models import Installed
from defedbio.learning.plan import Step, schedule
from defedbio.learning.state import GlobalState, genesis
from defedbio.spec import StudySpec

# (step, contributions by site) -> their sums
Combine = Callable[[Step, Mapping[int, Contribution]], Sums]
SeedOf = Callable[[Step, int], int]


@dataclass(frozen=True)
class Finished:
    """One simulated round: the state after it, and which sites sat it out and why."""

    step: Step
    state: GlobalState
    sat_out: Mapping[int, str] = field(default_factory=dict)


def simulate(
    spec: StudySpec, datasets: Sequence[Dataset], seed_of: SeedOf, combine: Combine, minimum: int = 1, installed: Installed | None = None
) -> Iterator[Finished]:
    """Run the study's schedule, one `Finished` a round, until it ends or its early stopping says so.

    Args:
        seed_of: the training seed of (step, site).
        minimum: the fewest contributions that make a round.

    Raises:
        InvalidInput: without datasets.
        InvalidData: if fewer than `minimum` sites could contribute to a round, with the first one's reason.
    """
    if not datasets:
        raise InvalidInput("a study needs at least one dataset")
    state = genesis(spec)
    kept: list[Mapping[str, Float64]] = [{} for _ in datasets]
    for planned in schedule(spec):
        step = clipping.at(planned, state.extras)
        contributions: dict[int, Contribution] = {}
        sat_out: dict[int, str] = {}
        for site, dataset in enumerate(datasets):
            try:
                contributions[site] = contribute(spec, step, state, dataset, seed_of(step, site), kept=kept[site], installed=installed)
            except InvalidData as error:
                sat_out[site] = error.message
        if len(contributions) < minimum:
            why = next(iter(sat_out.values()))
            raise InvalidData(f"only {len(contributions)} of {len(datasets)} sites could contribute to step {step.index}: {why}")
        state = finalise(spec, step, state, combine(step, contributions))
        for site, part in contributions.items():
            kept[site] = part.keep or kept[site]
        yield Finished(step, state, sat_out)
        if state.stopped:
            return


def plain(clip: bool = True, seed: int = 0) -> Combine:
    """Float64 sums without quantisation; with `clip`, vectors are limited to the step's norms as the encoding does, and get the
    study's noise, here Gaussian numbers from `seed`."""
    generator = np.random.Generator(np.random.Philox(np.random.SeedSequence([seed, 1])))

    def combine(step: Step, contributions: Mapping[int, Contribution]) -> Sums:
        weight = sum(p.weight for p in contributions.values())
        sums: dict[str, Float64] = {}
        for place, segment in enumerate(step.segments):
            total = np.zeros(segment.length)
            for p in contributions.values():
                q = segment.quantisation
                norm = q.limit(p.weight) / q.share(p.weight) if q.rotated else q.clip_norm
                vector = clipped(p.vectors[place], norm) if clip else p.vectors[place]
                if clip and q.noise:
                    vector = vector + generator.normal(0, q.noise / q.scale, segment.length)
                total += p.weight * vector if segment.quantisation.weighted else vector
            sums[segment.name] = total / weight if segment.quantisation.weighted else total
        return Sums(sums, weight)

    return combine


def clipped(vector: Float64, norm: float | None) -> Float64:
    """The vector, shortened to the L2 norm `norm` if it is longer."""
    length = float(np.linalg.norm(vector))
    return vector if norm is None or length <= norm else vector * (norm / length)


def stream(seed: int) -> SeedOf:
    """Independent training seeds for every step and site."""
    return lambda step, site: int.from_bytes(np.random.SeedSequence([seed, step.index, site]).generate_state(4).tobytes(), "little")
