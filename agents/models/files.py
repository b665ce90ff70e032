"""Models as files: written with a card and a signature beside them, and checked before they are used (docs/models.md)."""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from defedbio.chain.signing import CardStatement, sign_card
from defedbio.errors import InvalidInput, MalformedBlob, PeerFault, Unreachable
from defedbio.learning.state import GlobalState, size_cap
from defedbio.models.card_checks import CARD, PAGE, SIGNATURE, SIGNATURE_FORMAT, check_chain, check_signature, read_card, read_file
from defedbio.models.card_page import page_of
from defedbio.models.cards import MODEL_FORMAT, make_card
from defedbio.models.registry import Measured, Model, measured
from defedbio.protocol.reading import Reader
from defedbio.protocol.view import RoundView

if TYPE_CHECKING:
    from eth_account.signers.local import LocalAccount

    from defedbio.learning.models import Installed

ExportFormat = Literal["onnx", "safetensors"]


@dataclass(frozen=True)
class Written:
    """What lies beside each other. `card` and `page` are None where nobody vouches for the model, `signature` where nobody signed."""

    file: Path
    card: Path | None = None
    page: Path | None = None
    signature: Path | None = None


def write_model(connection: Reader, model: Model, out: Path, signer: LocalAccount | None = None) -> Written:
    """Write a model, its card and page, and the signer's signature under the card.

    Raises:
        InvalidInput: if one of the files exists or cannot be written; then none is.
    """
    return _write(connection, model, model.raw, MODEL_FORMAT, out, signer)


def export_model(
    connection: Reader,
    model: Model,
    out: Path,
    format_: ExportFormat = "onnx",
    installed: Installed | None = None,
    signer: LocalAccount | None = None,
) -> Written:
    """Write a model for other software (defedbio.learning.export), with a card of that file.

    Raises:
        InvalidInput: as `write_model`, or if the model cannot be written in this format. InvalidSpec: if its module is not installed.
    """
    from defedbio.learning import export

    require_free(out)
    facts = {"chain_id": str(model.frame.chain_id), "round_manager": model.frame.contract, "study": str(model.study.id)}
    facts |= {"study_name": model.spec.name, "model_keccak256": "0x" + model.hash.hex()}
    if model.view is not None:
        facts |= {"round": str(model.view.id), "round_model_cid": model.view.model_cid, "tuned": str(model.tuning is not None).lower()}
    if format_ == "onnx":
        raw = export.export_onnx(model.spec, model.state, facts, installed)
    else:
        raw = export.export_safetensors(model.spec, model.state, facts)
    return _write(connection, model, raw, format_, out, signer)


def load_model(connection: Reader, study: int, file: Path, trusted: Collection[str] = (), unsigned: bool = False) -> Model:
    """A local model file of the study, once it is clear where it comes from.

    A card beside the file must hold: the file's hashes, the signature if there is one, the chain's record. Then somebody must vouch for
    the model: the chain, if it is a finalised round's; else a signature of a `trusted` address under its card; with `unsigned`, nobody.

    Raises:
        InvalidInput: saying which of these fails, or that the file is no model of the study.
        BlobMismatch: if a signed card contradicts the chain, with the signer to blame.
    """
    frame, view, card = connection.frame(study), connection.study_view(study), read_card(file)
    if card is not None and card.is_export:
        raise InvalidInput(f"{file} is an export ({card.file['format']})", "name the model that it was made of")
    if card is not None and card.chain["study"] != study:
        raise InvalidInput(f"{file} is a model of study {card.chain['study']}, not of study {study}")
    raw = read_file(file, size_cap(frame.spec))
    signer = ""
    if card is not None:
        card.check_file(raw)
        signer = check_signature(file, card)
        check_chain(connection, view, card, signer)
    try:
        GlobalState.from_bytes(raw, frame.spec)
    except MalformedBlob as error:
        raise InvalidInput(f"{file} is no model of study {study}: {error.message}") from None
    model = Model(frame, view, None, raw)
    final = next((v for v in view.finalised if v.model_hash == model.hash), None)
    if final is not None:
        return replace(model, view=final, vouched=f"the chain: round {final.id} finalised it")
    if card is not None and signer and signer.lower() in {address.lower() for address in trusted}:
        origin = view.rounds[card.chain["round"]]
        return replace(model, view=origin, tuning=card.tuning, vouched=f"the signature of {signer}")
    if unsigned:
        return replace(model, vouched="nobody")
    why = (
        "it has no card"
        if card is None
        else f"only {signer}, who is not trusted here, signed its card"
        if signer
        else "nobody signed its card"
    )
    raise InvalidInput(
        f"nobody vouches for {file}: it is the model of no round of study {study}, and {why}",
        "trust a signer with --signer ADDRESS, or take the file as it is with --unsigned",
    )


def require_free(out: Path) -> None:
    """Raises InvalidInput if the file, or one that would be written beside it, exists."""
    for path in (out, *(out.with_name(out.name + ending) for ending in (CARD, PAGE, SIGNATURE))):
        if path.exists():
            raise InvalidInput(f"{path} exists already", "choose another name, or move it away")


def write_whole(files: Mapping[Path, bytes]) -> None:
    """Write all files, each whole, or none.

    Raises:
        InvalidInput: if one exists or cannot be written.
    """
    parts = {path: path.with_name(f".{path.name}.{os.getpid()}.part") for path in files}
    placed: list[Path] = []
    try:
        for path, raw in files.items():
            if path.exists():
                raise InvalidInput(f"{path} exists already", "choose another name, or move it away")
            with parts[path].open("wb") as stream:
                stream.write(raw)
                stream.flush()
                os.fsync(stream.fileno())
        for path, part in parts.items():
            part.replace(path)
            placed.append(path)
    except OSError as error:
        for path in placed:
            path.unlink(missing_ok=True)
        raise InvalidInput(f"cannot write to {next(iter(files)).parent}: {error.strerror}") from None
    finally:
        for part in parts.values():
            part.unlink(missing_ok=True)


def _write(connection: Reader, model: Model, raw: bytes, format_: str, out: Path, signer: LocalAccount | None) -> Written:
    require_free(out)
    if model.view is None:
        if signer is not None:
            raise InvalidInput("nobody vouches for this model, so it gets no card that could be signed", "leave out --sign")
        write_whole({out: raw})
        return Written(out)
    card = make_card(connection, model, raw, format_, _metrics(connection, model, model.view))
    beside, page = out.with_name(out.name + CARD), out.with_name(out.name + PAGE)
    signature = out.with_name(out.name + SIGNATURE) if signer is not None else None
    files = {beside: card.raw, page: page_of(card).encode("utf-8")}
    if signer is not None and signature is not None:
        files[signature] = _signed(signer, card.statement)
    write_whole({**files, out: raw})
    return Written(out, beside, page, signature)


def _metrics(connection: Reader, model: Model, view: RoundView) -> Measured | None:
    """None, too, if the round that measured the model cannot be had: the model itself is there and right."""
    try:
        return measured(connection.fetcher(model.frame), model.study, view)
    except (Unreachable, PeerFault) as error:
        connection.report.note(f"the card is without metrics: {error.message}")
        return None


def _signed(signer: LocalAccount, statement: CardStatement) -> bytes:
    document = {
        "format": SIGNATURE_FORMAT,
        "signer": str(signer.address),
        "signature": "0x" + sign_card(signer, statement).hex(),
        "typed_data": statement.typed_data(),
    }
    return (json.dumps(document, indent=1, sort_keys=True) + "\n").encode()
