"""The global models of studies, as chain and IPFS tell them: what each one is, which it came from, how good it is."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from defedbio.crypto.merkle import keccak256
from defedbio.errors import InvalidInput, NotFound, PeerFault, Unreachable
from defedbio.learning.evaluation_sums import summary
from defedbio.learning.state import GlobalState
from defedbio.learning.tasks import Metrics
from defedbio.protocol.fetch import Fetcher
from defedbio.protocol.frame import StudyFrame
from defedbio.protocol.reading import Reader
from defedbio.protocol.view import RoundView, StudyView
from defedbio.spec import StudySpec


@dataclass(frozen=True)
class Measured:
    """Metrics over all organisations of a model's weights, and the round whose opened sum says them; `unusable` as in `Evaluation`."""

    round: int
    values: Metrics
    unusable: str = ""


@dataclass(frozen=True)
class ModelRecord:
    """The model that `round` finalised. `parent` is the round it started from, 0 for the study's first model; `organisations` are the
    addresses in the round's sum. `kind` ("" if the spec could not be had) is that of the round; `measured` is None where no sum measures
    the model (yet), or it was not read."""

    study: int
    round: int
    step: int
    cid: str
    hash: bytes
    parent: int
    parent_cid: str
    organisations: tuple[str, ...]
    newest: bool
    kind: str = ""
    measured: Measured | None = None

    def to_json(self) -> dict[str, Any]:
        return {
            "study": self.study,
            "round": self.round,
            "step": self.step,
            "kind": self.kind,
            "cid": self.cid,
            "hash": "0x" + self.hash.hex(),
            "parent": self.parent,
            "parent_cid": self.parent_cid,
            "organisations": list(self.organisations),
            "newest": self.newest,
            "metrics": None if self.measured is None else self.measured.values,
            "metrics_unusable": self.measured.unusable or None if self.measured is not None else None,
            "measured_in": None if self.measured is None else self.measured.round,
        }


@dataclass(frozen=True)
class Tuning:
    """What an organisation did to a global model on its own data; losses and metrics are means over held-out rows of its own."""

    moves: str
    steps: int
    global_loss: float
    loss: float
    global_metrics: Metrics
    metrics: Metrics


@dataclass(frozen=True)
class Model:
    """A model's bytes with the study they belong to. `view` is the round that finalised it or, if `tuning` is set, the model it was made
    of; None only for a local file of unknown origin. `vouched` says in words who vouches for the bytes."""

    frame: StudyFrame
    study: StudyView = field(repr=False)
    view: RoundView | None
    raw: bytes = field(repr=False)
    tuning: Tuning | None = None
    vouched: str = ""

    @property
    def spec(self) -> StudySpec:
        return self.frame.spec

    @cached_property
    def state(self) -> GlobalState:
        return GlobalState.from_bytes(self.raw, self.spec)

    @cached_property
    def hash(self) -> bytes:
        """keccak256 of the bytes; the chain's hash for a global model."""
        return keccak256(self.raw)


def list_models(connection: Reader, study: int | None = None, metrics: bool = True) -> list[ModelRecord]:
    """The models of a study, or of all, oldest first. A metric that cannot be had is noted in the connection's report and left out.

    Raises:
        NotFound: for an unknown study. ChainUnreachable.
    """
    if study is not None:
        connection.studies.study_of(study)
        numbers = [study]
    else:
        numbers = list(range(1, connection.studies.study_count() + 1))
    found = []
    for number in numbers:
        view = connection.study_view(number)
        records = records_of(view)
        found += _with_metrics(connection, view, records) if metrics else records
    return found


def records_of(study: StudyView) -> list[ModelRecord]:
    """What the chain alone says of the study's models, oldest first."""
    return [
        ModelRecord(
            study=study.id,
            round=view.id,
            step=view.step,
            cid=view.model_cid,
            hash=view.model_hash,
            parent=view.parent,
            parent_cid=study.rounds[view.parent].model_cid if view.parent else "",
            organisations=tuple(reveal.participant for reveal in view.frozen_reveals()),
            newest=view is study.head,
        )
        for view in study.finalised
    ]


def lineage(study: StudyView, view: RoundView) -> list[RoundView]:
    """The round and those whose models led to its own, newest first; before the last of them is the study's first model."""
    found = [view]
    while found[-1].parent:
        found.append(study.rounds[found[-1].parent])
    return found


def fetch_model(connection: Reader, study: int, round_: int = 0) -> Model:
    """The model of a round, or the study's newest one, from IPFS and with the chain's hash.

    Raises:
        NotFound: if there is no such study, or the round has no model. BlobUnavailable, BlobMismatch: if no attesting holder delivers it.
    """
    frame = connection.frame(study)
    view = connection.study_view(study)
    chosen = view.rounds.get(round_) if round_ else view.head
    if chosen is None or not chosen.model_hash:
        raise NotFound(f"study {study} has no model {f'of round {round_}' if round_ else 'yet'}", "see `defedbio model list`")
    raw = connection.fetcher(frame).model_bytes(chosen)
    return Model(frame, view, chosen, raw, vouched=f"the chain: round {chosen.id} finalised it")


def measured(fetcher: Fetcher, study: StudyView, view: RoundView) -> Measured | None:
    """How good the round's model is: the sum of a round measures the model that the round started from (an evaluation changes no weights).

    Raises:
        BlobUnavailable, BlobMismatch: if the model that carries the sum cannot be had.
    """
    if fetcher.frame.spec.evaluation is None:
        return None
    carriers = [view] if fetcher.frame.step(view).kind == "evaluate" else [v for v in study.finalised if v.parent == view.id]
    for carrier in carriers:
        if fetcher.frame.step(carrier).measures:
            found = summary(fetcher.frame.spec, fetcher.model(carrier))
            return Measured(carrier.id, found.values, found.unusable)
    return None


def _with_metrics(connection: Reader, study: StudyView, records: list[ModelRecord]) -> list[ModelRecord]:
    """The records with kinds and metrics, newest first until one cannot be had."""
    if not records:
        return records
    known = list(records)
    try:
        frame = connection.frame(study.id)
        known = [replace(record, kind=frame.step(study.rounds[record.round]).kind) for record in records]
        fetcher = connection.fetcher(frame)
        for place in reversed(range(len(known))):
            known[place] = replace(known[place], measured=measured(fetcher, study, study.rounds[known[place].round]))
    except (Unreachable, PeerFault, InvalidInput) as error:
        connection.report.note(f"metrics of study {study.id} are not all known: {error.message}")
    return known
