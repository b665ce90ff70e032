"""`defedbio simulate`: a study's learning part in one process, for tuning a spec before anyone enrols."""

from __future__ import annotations

import json as jsonlib
from pathlib import Path
from typing import Annotated, Any

import typer

from agents.cli.common import JsonOption, emit, read_spec, say
from agents.errors import InvalidInput
from agents.nodes.modules import read_modules


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
    from agents.learning import statistics
    from agents.learning.data import open_adapter
    from agents.learning.evaluation import evaluate
    from agents.learning.evaluation_sums import summary
    from agents.learning.local import use_threads
    from agents.learning.simulation import plain, stream
    from agents.learning.simulation import simulate as run
    from agents.protocol.simulate import exact as exactly
    from agents.protocol.simulate import secrets_from

    if out is not None and out.exists():
        raise InvalidInput(f"{out} exists already")
    parsed = read_spec(spec)
    if not parsed.minimum <= len(data) <= parsed.seats:
        raise InvalidInput(f"the study is for {parsed.minimum} to {parsed.seats} organisations, and {len(data)} files are named")
    use_threads(threads)
    adapter = open_adapter(parsed)
    datasets = [adapter.load(path) for path in data]
    tested = adapter.load(test) if test is not None else None
    installed = read_modules(module or [])
    seed_of, combine = exactly(secrets_from(seed)) if exact else (stream(seed), plain(seed=seed))
    rounds: list[dict[str, Any]] = []
    for done in run(parsed, datasets, seed_of, combine, parsed.minimum, installed):
        record: dict[str, Any] = {"step": done.step.index, "kind": done.step.kind}
        if done.step.kind == "statistics":
            record["statistics"] = statistics.report(parsed, statistics.totals_of(done.state.extras))
        if parsed.evaluation is not None and done.step.kind in ("train", "evaluate"):
            record["evaluation"] = summary(parsed, done.state)
        if tested is not None and done.step.kind == "train":
            record["test"] = evaluate(parsed, done.state, tested, installed)
        if done.sat_out:
            record["sat_out"] = {data[site].name: reason for site, reason in done.sat_out.items()}
        rounds.append(record)
        if not json:
            say(_line(record))
    if out is not None:
        out.write_bytes(done.state.to_bytes())
    if json:
        emit({"exact": exact, "seed": seed, "stopped_early": done.state.stopped, "rounds": rounds}, json, "")
    else:
        say("training stopped early" if done.state.stopped else "the schedule is complete")


def _line(record: dict[str, Any]) -> str:
    text = f"step {record['step']:>4} {record['kind']:<10}"
    for where in ("evaluation", "test"):
        shown = [f"{name} {value:.4g}" for name, value in record.get(where, {}).items() if value is not None]
        text += f"  {where}: {', '.join(shown)}" if shown else ""
    if "statistics" in record:
        text += "\n" + jsonlib.dumps(record["statistics"], indent=1)
    return text + "".join(f"\n  {name} sat out: {reason}" for name, reason in record.get("sat_out", {}).items())
