"""`defedbio simulate`: a study's learning part in one process, for tuning a spec before anyone enrols."""

from __future__ import annotations

import json as jsonlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from defedbio.cli.common import JsonOption, connect, emit, say

if TYPE_CHECKING:
    from defedbio.client.simulation import SimulatedRound


def simulate(
    spec: Annotated[Path, typer.Option("--spec", help="Study spec (JSON).", exists=True, dir_okay=False)],
    data: Annotated[list[Path], typer.Option("--data", help="One organisation's file; repeat it for each.", exists=True, dir_okay=False)],
    test: Annotated[Path | None, typer.Option("--test", help="Labelled file on which every global model is measured.")] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of the minibatches (and the rounding).")] = 0,
    exact: Annotated[bool, typer.Option("--exact", help="Quantise and sum integers as the encrypted rounds do.")] = False,
    out: Annotated[Path | None, typer.Option("--out", help="Where to write the last model (safetensors).")] = None,
    module: Annotated[list[Path] | None, typer.Option("--module", help="Source of the study's own torch module.", exists=True)] = None,
    threads: Annotated[int, typer.Option("--threads", min=1, help="CPU threads for training.")] = 1,
    json: JsonOption = False,
) -> None:
    """Run a study on local files: no chain, no IPFS, no keys, no encryption. Prints every round's metrics."""

    from defedbio.client.simulation import precision_of

    def on_round(done: SimulatedRound) -> None:
        if not json:
            say(*_lines(done))

    if not json:
        say(*precision_of(spec).in_words())
    result = connect().simulate(
        spec, data, test=test, seed=seed, exact=exact, out=out, module=module or [], threads=threads, on_round=on_round
    )
    emit(result.as_dict(), json, "training stopped early" if result.stopped_early else "the schedule is complete")


def _lines(done: SimulatedRound) -> list[str]:
    text = f"step {done.step:>4} {done.kind:<10}"
    for where, metrics in (("evaluation", done.evaluation), ("test", done.test)):
        shown = [f"{name} {value:.4g}" for name, value in (metrics or {}).items() if value is not None]
        text += f"  {where}: {', '.join(shown)}" if shown else ""
    text += f"  rounding {done.rounding:.2g} of the mean update" if done.rounding is not None else ""
    statistics = [] if done.statistics is None else jsonlib.dumps(done.statistics, indent=1).splitlines()
    return [text, *statistics, *(f"  {name} sat out: {reason}" for name, reason in (done.sat_out or {}).items())]
