"""A study's specification: everything agreed before anyone enrols (S1), as frozen values that obey their schema."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from functools import cache
from importlib.resources import files
from typing import Any

from defedbio import foreign_json
from defedbio.domain import MIN_COHORT, TWO_THIRDS, WHOLE, Quantisation
from defedbio.errors import InvalidInput, InvalidSpec
from defedbio.spec.features import (
    Category,
    Column,
    ExpressionFeatures,
    Features,
    GenotypeFeatures,
    SmilesFeatures,
    TableFeatures,
    Variant,
    complement,
    features_from,
)
from defedbio.spec.learning import (
    EvaluationSpec,
    ModelSpec,
    StatisticsSpec,
    StrategySpec,
    TrainingSpec,
    evaluation_from,
    model_from,
    training_from,
)
from defedbio.spec.privacy import Privacy, RecordPrivacy, SumPrivacy, privacy_from
from defedbio.spec.quantisation import NORM_PROOF_SLACK, RotatedSpec, quantisation_from, widest_scale
from defedbio.spec.tasks import BinarySpec, MulticlassSpec, MultitaskSpec, RegressionSpec, SurvivalSpec, TaskSpec, task_from

__all__ = [
    "DEFAULT_RETENTION_DAYS",
    "NORM_PROOF_SLACK",
    "BinarySpec",
    "Category",
    "Column",
    "Deadlines",
    "EvaluationSpec",
    "ExpressionFeatures",
    "Features",
    "GenotypeFeatures",
    "ModelSpec",
    "MulticlassSpec",
    "MultitaskSpec",
    "Privacy",
    "RecordPrivacy",
    "RegressionSpec",
    "RotatedSpec",
    "SmilesFeatures",
    "StatisticsSpec",
    "StrategySpec",
    "StudySpec",
    "SumPrivacy",
    "SurvivalSpec",
    "TableFeatures",
    "TaskSpec",
    "TrainingSpec",
    "Variant",
    "complement",
    "widest_scale",
]

MAX_SPEC_BYTES = 1 << 22
DEFAULT_RETENTION_DAYS = 30


@dataclass(frozen=True)
class Deadlines:
    """Seconds that each phase may last."""

    enrol: int
    commit: int
    reveal: int
    attest: int
    aggregate: int
    share: int
    finalise: int


@dataclass(frozen=True)
class StudySpec:
    """`raw` is the exact text whose keccak256 is on the chain. `weight_cap` is 1 when weighting is uniform. `least_share` is in
    ten-thousandths. `invited` are the addresses that may enrol, as the text has them; empty when any member may. Where `confirmations`
    is None the chain decides (`chain.network.confirmations_on`). Participants keep what finalised rounds published for
    `retention_days` after the study's end. With `proofs` every contribution has to prove that it obeys the study's
    rules."""

    raw: bytes = field(repr=False)
    name: str
    task: TaskSpec
    features: Features
    standardise: bool
    model: ModelSpec
    training: TrainingSpec
    strategy: StrategySpec
    rounds: int
    weight_cap: int
    quantisation: Quantisation | RotatedSpec
    seed: int
    key_epoch: int
    modulus_bits: int
    seats: int
    minimum: int
    least_share: int
    deadlines: Deadlines
    confirmations: int | None
    max_voids: int
    retention_days: int
    evaluation: EvaluationSpec | None = None
    statistics: StatisticsSpec | None = None
    privacy: Privacy | None = None
    description: str = ""
    invited: tuple[str, ...] = ()
    proofs: bool = True

    def __post_init__(self) -> None:
        if self.minimum > self.seats:
            raise InvalidSpec("participants.minimum exceeds participants.seats")
        if self.invited and len({address.lower() for address in self.invited}) < max(self.seats, len(self.invited)):
            raise InvalidSpec("participants.invited names fewer organisations than there are seats, or one of them twice")
        if isinstance(self.quantisation, Quantisation):
            self.quantisation.check_slot_rule(self.seats)
        if self.privacy is not None:
            self._check_privacy(self.privacy)
        fits = self.features.dosages and self.task.kind in ("binary", "regression")
        if self.statistics is not None and self.statistics.association and not fits:
            raise InvalidSpec("statistics.association needs genotypes and a binary or regression task")

    def _check_privacy(self, privacy: Privacy) -> None:
        """Whatever leaves an organisation must be covered: exact moments, counts or weights beside noisy updates would not be."""
        exact = {"preprocessing.standardise": self.standardise, "evaluation": self.evaluation, "statistics": self.statistics}
        for name in (name for name, present in exact.items() if present):
            raise InvalidSpec(f"privacy does not cover {name}", "leave it out: it would sum numbers without noise")
        if not self.uniform_weights:
            raise InvalidSpec("privacy does not cover weighting by samples", "make the weighting uniform: the sum of counts has no noise")
        if self.strategy.kind == "scaffold":
            raise InvalidSpec("privacy does not cover SCAFFOLD's control variates", "choose another strategy")
        if isinstance(privacy, SumPrivacy):
            if privacy.honest > self.minimum:
                raise InvalidSpec("privacy.honest exceeds participants.minimum: a round may have fewer contributions than that")
            return
        if self.task.kind in ("survival", "multitask"):
            raise InvalidSpec(
                f"record privacy does not cover {self.task.kind} studies", "their losses are no means over records, so none can be bounded"
            )
        if self.training.momentum or self.training.optimizer != "sgd":
            raise InvalidSpec("record privacy is accounted for plain SGD", "leave out momentum and adam")

    @property
    def uniform_weights(self) -> bool:
        return self.weight_cap == 1

    @classmethod
    def from_bytes(cls, raw: bytes) -> StudySpec:
        """Parse and check a specification.

        Raises:
            InvalidSpec: saying where it breaks the schema or a rule.
        """
        document = foreign_json.read(raw, "the study spec", MAX_SPEC_BYTES, InvalidSpec)
        _schema().check(document, "the study spec", InvalidSpec)
        try:
            return cls(raw=raw, **_fields(document))
        except InvalidSpec:
            raise
        except InvalidInput as error:
            raise InvalidSpec(f"study spec: {error.message}", error.hint) from None


def _fields(document: dict[str, Any]) -> dict[str, Any]:
    weighting = document.get("weighting", {"kind": "uniform"})
    participants, key = document["participants"], document["key"]
    weight_cap = weighting.get("cap", 1)
    privacy = privacy_from(document.get("privacy", {"kind": "none"}))
    return {
        "name": document["name"],
        "description": document.get("description", ""),
        "task": task_from(document["task"]),
        "features": features_from(document["features"]),
        "standardise": document.get("preprocessing", {}).get("standardise", "none") == "federated",
        "model": model_from(document["model"]),
        "training": training_from(document["training"]),
        "strategy": StrategySpec(**document.get("strategy", {"kind": "fedavg"})),
        "evaluation": evaluation_from(document["evaluation"]) if "evaluation" in document else None,
        "statistics": StatisticsSpec(**document["statistics"]) if "statistics" in document else None,
        "privacy": privacy,
        "rounds": document["rounds"],
        "weight_cap": weight_cap,
        "quantisation": quantisation_from(document["quantisation"], weight_cap, participants["seats"], privacy),
        "seed": document["seed"],
        "key_epoch": key["epoch"],
        "modulus_bits": key.get("modulus_bits", 3072),
        "seats": participants["seats"],
        "minimum": participants.get("minimum", MIN_COHORT),
        # By its decimal digits: as binary fractions, some shares would come out below what was written.
        "least_share": int(Decimal(str(participants["share"])) * WHOLE) if "share" in participants else TWO_THIRDS,
        "invited": tuple(participants.get("invited", ())),
        "deadlines": Deadlines(**document["deadlines"]),
        "proofs": document.get("proofs", "required") == "required",
        "confirmations": document.get("confirmations"),
        "max_voids": document.get("max_voids", 3),
        "retention_days": document.get("retention_days", DEFAULT_RETENTION_DAYS),
    }


@cache
def _schema() -> foreign_json.Schema:
    return foreign_json.Schema(files("defedbio.spec").joinpath("study.schema.json").read_text("utf-8"))
