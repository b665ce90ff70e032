"""`defedbio model get` and `export`: models as files, with their cards."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

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


class Format(StrEnum):
    ONNX = "onnx"
    SAFETENSORS = "safetensors"


def get(
    study: StudyOption,
    out: Annotated[Path, typer.Option("--out", help="Where to write the safetensors file; its card goes beside it.")],
    round_: RoundOption = 0,
    sign: SignOption = None,
    home: HomeOption = HOME,
    network: NetworkOption = NETWORK,
    rpc: RpcOption = "",
    ipfs: IpfsOption = DEFAULT_IPFS_API,
    password_file: PasswordFileOption = None,
    json: JsonOption = False,
) -> None:
    """Fetch a model by its CID, check it against the chain's hash, write it with a model card."""
    got = connect(home, network, rpc, ipfs, password_file).model.get(study, out, round_, sign=sign)
    emit(got.as_dict(), json, (f"model of round {got.round}, {got.bytes:,} bytes, hash {got.hash} verified", *beside(got)))


def export(
    study: StudyOption,
    out: Annotated[Path, typer.Option("--out", help="Where to write the export; its card goes beside it.")],
    format_: Annotated[Format, typer.Option("--format", help="onnx: features in, scores out. safetensors: plain tensors.")] = Format.ONNX,
    round_: RoundOption = 0,
    model: ModelOption = None,
    signer: SignerOption = None,
    unsigned: UnsignedOption = False,
    sign: SignOption = None,
    home: HomeOption = HOME,
    network: NetworkOption = NETWORK,
    rpc: RpcOption = "",
    ipfs: IpfsOption = DEFAULT_IPFS_API,
    password_file: PasswordFileOption = None,
    json: JsonOption = False,
) -> None:
    """Write a model for other software, preprocessing and output link included."""
    models = connect(home, network, rpc, ipfs, password_file).model
    done = models.export(study, out, format_.value, round_, model=model, signer=signer or (), unsigned=unsigned, sign=sign)
    emit({"format": format_.value, **done.as_dict()}, json, (f"{format_.value} of the model {done.hash}", *beside(done)))
