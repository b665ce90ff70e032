"""`defedbio model predict` and `personalise`: models on this organisation's own files, which stay here."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress

from defedbio.cli.common import (
    HOME,
    NETWORK,
    HomeOption,
    IpfsOption,
    JsonOption,
    NetworkOption,
    PasswordFileOption,
    RpcOption,
    connect,
    emit,
)
from defedbio.cli.model.options import ModelOption, RoundOption, SignerOption, SignOption, StudyOption, UnsignedOption, beside
from defedbio.config import DEFAULT_IPFS_API


def predict(
    study: StudyOption,
    data: Annotated[Path, typer.Option("--data", help="File with the study's features; labels are not needed.")],
    out: Annotated[Path, typer.Option("--out", help="CSV to write: row number and what the task predicts.")],
    round_: RoundOption = 0,
    model: ModelOption = None,
    signer: SignerOption = None,
    unsigned: UnsignedOption = False,
    home: HomeOption = HOME,
    network: NetworkOption = NETWORK,
    rpc: RpcOption = "",
    ipfs: IpfsOption = DEFAULT_IPFS_API,
    json: JsonOption = False,
) -> None:
    """Fetch, verify and apply a model to a file. The file stays here."""
    models = connect(home, network, rpc, ipfs).model
    with _bar() as progress:
        done = models.predict(study, data, out, round_, model=model, signer=signer or (), unsigned=unsigned, progress=progress)
    lines = (f"{len(done)} predictions of {done.model} written to {out}", f"vouched for by {done.vouched}")
    emit({**done.as_dict(), "file": str(out)}, json, lines)


def personalise(
    study: StudyOption,
    data: Annotated[Path, typer.Option("--data", help="This organisation's labelled file; it stays here.")],
    out: Annotated[Path, typer.Option("--out", help="Where to write the fine-tuned model (safetensors) and its card. It stays here, too.")],
    round_: RoundOption = 0,
    model: ModelOption = None,
    signer: SignerOption = None,
    unsigned: UnsignedOption = False,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of the folds and the minibatches.")] = 0,
    sign: SignOption = None,
    home: HomeOption = HOME,
    network: NetworkOption = NETWORK,
    rpc: RpcOption = "",
    ipfs: IpfsOption = DEFAULT_IPFS_API,
    password_file: PasswordFileOption = None,
    json: JsonOption = False,
) -> None:
    """Fine-tune a model on own data, choosing by cross-validation what to tune, and say whether it beats the global model here."""
    models = connect(home, network, rpc, ipfs, password_file).model
    done = models.personalise(study, data, out, round_, model=model, signer=signer or (), unsigned=unsigned, seed=seed, sign=sign)
    report = done.as_dict()
    lines = [f"tuned: {done.tuning.moves}, {done.tuning.steps} minibatches (held-out rows of 5 folds; lower loss is better)"]
    lines += [
        f"  {which:<13}" + ", ".join(f"{k} {v:.4g}" for k, v in report[which].items() if v is not None)
        for which in ("global", "personalised")
    ]
    emit(report, json, [*lines, *beside(done.file)])


@contextmanager
def _bar() -> Iterator[Callable[[int, int], None] | None]:
    """A progress bar on a terminal's standard error; nothing elsewhere."""
    screen = Console(stderr=True)
    if not screen.is_terminal:
        yield None
        return
    with Progress(console=screen, transient=True) as shown:
        task = shown.add_task("predict", total=None)
        yield lambda done, total: shown.update(task, completed=done, total=total)
