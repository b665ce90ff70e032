"""Global models: list them, fetch one, check a file of one, apply one, tune one, hand one to other software."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from defedbio.chain.accounts import load_account
from defedbio.client.session import Session
from defedbio.client.values import Value, hex_of
from defedbio.errors import InvalidInput, NotFound
from defedbio.models.applying import predict_file, tune, write_predictions
from defedbio.models.card_checks import CardReport, verify_card
from defedbio.models.files import ExportFormat, Written, export_model, load_model, require_free, write_model
from defedbio.models.registry import Measured, Model, ModelRecord, Tuning, fetch_model, list_models
from defedbio.network.modules import needed
from defedbio.spec import StudySpec

if TYPE_CHECKING:
    from eth_account.signers.local import LocalAccount

__all__ = ["CardReport", "Measured", "Model", "ModelFile", "ModelRecord", "Models", "Personalised", "Predictions", "Tuning"]

StrPath = str | os.PathLike[str]
ModelRecords = list[ModelRecord]


@dataclass(frozen=True)
class ModelFile(Value):
    """A written model: of which round it is, its hash (keccak256), and the paths of what lies beside it. `card` and `page` are None where
    nobody vouches for the model, `signature` where nobody signed."""

    round: int | None
    step: int | None
    cid: str | None
    hash: str
    bytes: int
    file: str
    card: str | None
    page: str | None
    signature: str | None


@dataclass(frozen=True)
class Personalised:
    """A tuned model's file, and how it compares with the global model on held-out rows."""

    file: ModelFile
    tuning: Tuning

    def as_dict(self) -> dict[str, Any]:
        how = asdict(self.tuning)
        return {
            **self.file.as_dict(),
            "moves": how["moves"],
            "steps": how["steps"],
            "global": {"loss": how["global_loss"], **how["global_metrics"]},
            "personalised": {"loss": how["loss"], **how["metrics"]},
        }


@dataclass(frozen=True)
class Predictions:
    """`scores` are the task's [n, o] for the file's rows in their order: probabilities, log-hazards, or values in the target's unit, each
    column named in `spec.task.score_names`. `vouched` says who vouches for the model."""

    model: str
    hash: str
    vouched: str
    scores: npt.NDArray[np.float64] = field(repr=False)
    spec: StudySpec = field(repr=False)

    def __len__(self) -> int:
        return len(self.scores)

    def as_dict(self) -> dict[str, Any]:
        """Without the scores."""
        return {"model": self.model, "hash": self.hash, "vouched": self.vouched, "rows": len(self)}

    def table(self) -> list[dict[str, float]]:
        """A dictionary for each row: its number from 1, and its scores by name."""
        names = self.spec.task.score_names
        return [{"row": row, **dict(zip(names, values, strict=True))} for row, values in enumerate(self.scores.tolist(), 1)]

    def write(self, out: StrPath) -> None:
        """The same as CSV.

        Raises:
            InvalidInput: if the file exists or cannot be written.
        """
        write_predictions(Path(out), self.spec, self.scores)


class Models:
    """Where methods take `model`, it is a local file of the study's, checked first, instead of the chain's model of `round` (0: the newest
    final one). Somebody must vouch for such a file: the chain, the own account's signature or that of one of `signer`, or, with
    `unsigned`, nobody. `sign`: whether the own account signs the new card; None: if there is one and its password is given.
    """

    def __init__(self, session: Session) -> None:
        self._session = session

    def load(
        self, study: int, round: int = 0, *, model: StrPath | None = None, signer: Sequence[str] = (), unsigned: bool = False
    ) -> Model:
        """A model with its spec, weights (`state`) and who vouches for it.

        Raises:
            NotFound: if there is none. BlobUnavailable, BlobMismatch: if it cannot be had whole. InvalidInput: if nobody vouches for it.

        Example:
            client.model.load(1).state.weights
        """
        connection = self._session.reader()
        if model is None:
            return fetch_model(connection, study, round)
        own = [self._session.own_address()] if self._session.home.account.exists() else []
        return load_model(connection, study, Path(model), [*own, *signer], unsigned)

    def get(self, study: int, out: StrPath, round: int = 0, *, sign: bool | None = None) -> ModelFile:
        """Fetch a model, check it against the chain's hash, write it (safetensors) with a model card beside it.

        Raises:
            InvalidInput: if a file exists. NotFound, BlobUnavailable, BlobMismatch: as `load`.

        Example:
            client.model.get(1, "model.safetensors").card
        """
        require_free(Path(out))
        account = self._signer(sign)
        model = self.load(study, round)
        return _facts(model, write_model(self._session.reader(), model, Path(out), account))

    def export(
        self,
        study: int,
        out: StrPath,
        format: ExportFormat = "onnx",
        round: int = 0,
        *,
        model: StrPath | None = None,
        signer: Sequence[str] = (),
        unsigned: bool = False,
        sign: bool | None = None,
    ) -> ModelFile:
        """Write a model for other software, preprocessing and output link included. onnx: features in, scores out.

        Raises:
            InvalidInput: if a file exists, or the model cannot be written in this format.

        Example:
            client.model.export(1, "model.onnx").file
        """
        require_free(Path(out))
        account = self._signer(sign)
        found = self.load(study, round, model=model, signer=signer, unsigned=unsigned)
        installed = needed(found.spec, self._session.home.modules)
        return _facts(found, export_model(self._session.reader(), found, Path(out), format, installed, account))

    def card(self, file: StrPath, *, offline: bool = False, signer: Sequence[str] = ()) -> CardReport:
        """Check a model file against its card, the card's signature, and the chain's record unless `offline`. With `signer`, only their
        signatures count.

        Raises:
            NotFound: without file or card. InvalidInput: for a card that cannot be read.

        Example:
            client.model.card("model.safetensors", offline=True).ok
        """
        return verify_card(Path(file), None if offline else self._session.reader(), signer)

    def report(self, study: int, round: int = 0) -> dict[str, Any]:
        """What the encrypted sums say: federated `statistics`, and the `evaluation` of the model that the round started from. Of sums that
        honest organisations cannot give, either has one entry, `unusable`, the reason.

        Raises:
            NotFound: if the study sums neither.

        Example:
            client.model.report(1).get("evaluation")
        """
        from defedbio.learning.evaluation_sums import summary
        from defedbio.learning.statistics_sums import report

        model = self.load(study, round)
        assert model.view is not None
        found: dict[str, Any] = {"round": model.view.id, "step": model.view.step}
        if model.spec.evaluation is not None:
            evaluation = summary(model.spec, model.state)
            found["evaluation"] = {"unusable": evaluation.unusable} if evaluation.unusable else evaluation.values
        if (counted := report(model.spec, model.state)) is not None:
            found["statistics"] = counted
        if len(found) == 2:
            raise NotFound("the study sums neither statistics nor metrics", 'its spec would need "statistics" or "evaluation"')
        return found

    def predict(
        self,
        study: int,
        data: StrPath,
        out: StrPath | None = None,
        round: int = 0,
        *,
        model: StrPath | None = None,
        signer: Sequence[str] = (),
        unsigned: bool = False,
        progress: Callable[[int, int], None] | None = None,
    ) -> Predictions:
        """Apply a model to a file with the study's features, which stays here; labels are not needed. With `out`, write a CSV, too.

        Raises:
            InvalidData: if the file does not fit the study. InvalidInput: if `out` exists.

        Example:
            predictions = client.model.predict(1, "new.csv", "scores.csv")
            pandas.DataFrame(predictions.table())
        """
        if out is not None and Path(out).exists():
            raise InvalidInput(f"{os.fspath(out)} exists already")
        found = self.load(study, round, model=model, signer=signer, unsigned=unsigned)
        scores = predict_file(found, Path(data), needed(found.spec, self._session.home.modules), progress)
        whose = Path(model).name if model is not None else f"round {found.view.id}'s model" if found.view is not None else ""
        predictions = Predictions(whose, hex_of(found.hash), found.vouched, scores, found.spec)
        if out is not None:
            predictions.write(out)
        return predictions

    def personalise(
        self,
        study: int,
        data: StrPath,
        out: StrPath,
        round: int = 0,
        *,
        model: StrPath | None = None,
        signer: Sequence[str] = (),
        unsigned: bool = False,
        seed: int = 0,
        sign: bool | None = None,
    ) -> Personalised:
        """Fine-tune a model on own labelled data as cross-validation chooses, say whether that beats the global model here, and write it.
        Data and model stay here. `seed` is that of the folds and the minibatches.

        Raises:
            InvalidData: if the file does not fit the study or is too small. InvalidInput: if a file exists.

        Example:
            tuned = client.model.personalise(1, "mine.csv", "own.safetensors")
            tuned.tuning.moves, tuned.as_dict()["personalised"]
        """
        require_free(Path(out))
        account = self._signer(sign)
        found = self.load(study, round, model=model, signer=signer, unsigned=unsigned)
        tuned = tune(found, Path(data), seed, needed(found.spec, self._session.home.modules))
        assert tuned.tuning is not None
        return Personalised(_facts(tuned, write_model(self._session.reader(), tuned, Path(out), account)), tuned.tuning)

    def list(self, study: int | None = None, *, metrics: bool = True) -> ModelRecords:
        """The models of a study, or of all, oldest first: round, parent, organisations in the sum, and how good they are where sums say so.

        Raises:
            NotFound: for an unknown study.

        Example:
            pandas.DataFrame(record.to_json() for record in client.model.list(1))
        """
        return list_models(self._session.reader(), study, metrics)

    def _signer(self, sign: bool | None) -> LocalAccount | None:
        """The account that signs a card; None if none is to.

        Raises:
            NotFound, WrongPassword: if it is asked for and cannot be had.
        """
        wanted = sign if sign is not None else self._session.has_password and self._session.home.account.exists()
        if not wanted:
            return None
        self._session.own_address()
        return load_account(self._session.home.account, self._session.password)


def _facts(model: Model, written: Written) -> ModelFile:
    view = model.view
    return ModelFile(
        round=view.id if view is not None else None,
        step=view.step if view is not None else None,
        cid=view.model_cid if view is not None else None,
        hash=hex_of(model.hash),
        bytes=written.file.stat().st_size,
        file=str(written.file),
        card=_text(written.card),
        page=_text(written.page),
        signature=_text(written.signature),
    )


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)
