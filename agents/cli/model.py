"""`defedbio model`: fetch, verify and apply a global model."""

from __future__ import annotations

import json as jsonlib
from pathlib import Path
from typing import Annotated, Any

import typer

from agents.cli.common import HOME, NETWORK, HomeOption, IpfsOption, JsonOption, NetworkOption, RpcOption, Session, emit, study_view
from agents.config import DEFAULT_IPFS_API, Home
from agents.errors import InvalidInput, NotFound
from agents.learning.custom import Maker
from agents.learning.state import GlobalState
from agents.nodes.connection import Connection
from agents.nodes.modules import allowed
from agents.protocol.view import RoundView
from agents.spec import StudySpec

app = typer.Typer(help="Global models: fetch one, what their sums say, apply one to a file.", no_args_is_help=True)
StudyOption = Annotated[int, typer.Option("--study", min=1, help="Study number.")]
RoundOption = Annotated[int, typer.Option("--round", min=0, help="Round whose model; the newest finalised one when absent.")]


@app.command()
def get(
    study: StudyOption,
    out: Annotated[Path, typer.Option("--out", help="Where to write the safetensors file.")],
    round_: RoundOption = 0,
    network: NetworkOption = NETWORK,
    rpc: RpcOption = "",
    ipfs: IpfsOption = DEFAULT_IPFS_API,
    json: JsonOption = False,
) -> None:
    """Fetch a model by its CID, check it against the chain's hash, write it."""
    if out.exists():
        raise InvalidInput(f"{out} exists already")
    _, view, raw = _fetch(Session(network_path=network, rpc=rpc, ipfs=ipfs).reader(), study, round_)
    out.write_bytes(raw)
    data = {
        "round": view.id,
        "step": view.step,
        "cid": view.model_cid,
        "hash": "0x" + view.model_hash.hex(),
        "bytes": len(raw),
        "file": str(out),
    }
    emit(data, json, f"model of round {view.id}, {len(raw):,} bytes, hash 0x{view.model_hash.hex()} verified, written to {out}")


@app.command()
def report(
    study: StudyOption,
    round_: RoundOption = 0,
    network: NetworkOption = NETWORK,
    rpc: RpcOption = "",
    ipfs: IpfsOption = DEFAULT_IPFS_API,
    json: JsonOption = False,
) -> None:
    """What the encrypted sums say: the federated statistics, and the metrics of the model that a round started from."""
    from agents.learning import statistics
    from agents.learning.evaluation_sums import summary

    spec, view, raw = _fetch(Session(network_path=network, rpc=rpc, ipfs=ipfs).reader(), study, round_)
    state = GlobalState.from_bytes(raw, spec)
    totals = statistics.totals_of(state.extras)
    found: dict[str, Any] = {"round": view.id, "step": view.step}
    if spec.evaluation is not None:
        found["evaluation"] = summary(spec, state)
    if totals:
        found["statistics"] = statistics.report(spec, totals)
    if len(found) == 2:
        raise NotFound("the study sums neither statistics nor metrics", 'its spec would need "statistics" or "evaluation"')
    emit(found, json, jsonlib.dumps(found, indent=1))


@app.command()
def predict(
    study: StudyOption,
    data: Annotated[Path, typer.Option("--data", help="File with the study's features; labels are not needed.")],
    out: Annotated[Path, typer.Option("--out", help="CSV to write: row number and what the task predicts.")],
    round_: RoundOption = 0,
    model: Annotated[Path | None, typer.Option("--model", help="A fine-tuned model of the study instead of the chain's.")] = None,
    home: HomeOption = HOME,
    network: NetworkOption = NETWORK,
    rpc: RpcOption = "",
    ipfs: IpfsOption = DEFAULT_IPFS_API,
    json: JsonOption = False,
) -> None:
    """Fetch, verify and apply a model to a file. The file stays here."""
    from agents.learning.data import open_adapter
    from agents.learning.evaluation import predict as predict_scores

    if out.exists():
        raise InvalidInput(f"{out} exists already")
    connection = Session(network_path=network, rpc=rpc, ipfs=ipfs).reader()
    if model is None:
        spec, view, raw = _fetch(connection, study, round_)
        whose = f"round {view.id}'s model"
    else:
        spec, raw, whose = connection.frame(study).spec, _read(model), model.name
    scores = predict_scores(spec, GlobalState.from_bytes(raw, spec), open_adapter(spec).features(data), _installed(spec, home))
    lines = [",".join(["row", *map(_quoted, spec.task.score_names)])]
    lines += [",".join([str(row), *(f"{score:.6g}" for score in values)]) for row, values in enumerate(scores.tolist(), 1)]
    out.write_text("\n".join(lines) + "\n", "utf-8")
    emit({"model": whose, "rows": len(scores), "file": str(out)}, json, f"{len(scores)} predictions of {whose} written to {out}")


@app.command()
def personalise(
    study: StudyOption,
    data: Annotated[Path, typer.Option("--data", help="This organisation's labelled file; it stays here.")],
    out: Annotated[Path, typer.Option("--out", help="Where to write the fine-tuned model (safetensors). It stays here, too.")],
    round_: RoundOption = 0,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of the folds and the minibatches.")] = 0,
    home: HomeOption = HOME,
    network: NetworkOption = NETWORK,
    rpc: RpcOption = "",
    ipfs: IpfsOption = DEFAULT_IPFS_API,
    json: JsonOption = False,
) -> None:
    """Fine-tune a model on own data, choosing by cross-validation what to tune, and say whether it beats the global model here."""
    from agents.learning.data import open_adapter
    from agents.learning.personalise import personalise as fine_tune

    if out.exists():
        raise InvalidInput(f"{out} exists already")
    spec, view, raw = _fetch(Session(network_path=network, rpc=rpc, ipfs=ipfs).reader(), study, round_)
    done = fine_tune(spec, GlobalState.from_bytes(raw, spec), open_adapter(spec).load(data), seed, _installed(spec, home))
    out.write_bytes(done.state.to_bytes())
    report: dict[str, Any] = {
        "round": view.id,
        "moves": done.choice.moves,
        "steps": done.choice.steps,
        "global": {"loss": done.global_loss, **done.global_metrics},
        "personalised": {"loss": done.loss, **done.metrics},
        "file": str(out),
    }
    lines = [f"tuned: {done.choice.moves}, {done.choice.steps} minibatches (held-out rows of 5 folds; lower loss is better)"]
    lines += [
        f"  {which:<13}" + ", ".join(f"{k} {v:.4g}" for k, v in report[which].items() if v is not None)
        for which in ("global", "personalised")
    ]
    emit(report, json, "\n".join([*lines, f"written to {out}"]))


def _installed(spec: StudySpec, home: Path) -> dict[str, Maker]:
    return allowed(Home(home.expanduser()).modules) if spec.model.kind == "module" else {}


def _read(model: Path) -> bytes:
    try:
        return model.read_bytes()
    except OSError as error:
        raise InvalidInput(f"the model {model} cannot be read: {type(error).__name__}") from None


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"' if any(c in name for c in ',"\n') else name


def _fetch(connection: Connection, study: int, round_id: int) -> tuple[StudySpec, RoundView, bytes]:
    frame = connection.frame(study)
    view = study_view(connection, study)
    chosen = view.rounds.get(round_id) if round_id else view.head
    if chosen is None or not chosen.model_hash:
        raise NotFound(f"study {study} has no model {'of round ' + str(round_id) if round_id else 'yet'}", "see `defedbio round list`")
    return frame.spec, chosen, connection.fetcher(frame).model_bytes(chosen)
