"""What a study predicts: the label columns of every organisation's file, and how many outputs the model has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from defedbio.errors import InvalidSpec


@dataclass(frozen=True)
class BinarySpec:
    """Two classes, told by the texts `positive` and `negative` of the column `target`. Labels are float32 [n, 1] of 0 and 1."""

    kind: ClassVar[str] = "binary"
    target: str
    positive: str = "1"
    negative: str = "0"

    @property
    def columns(self) -> tuple[str, ...]:
        return (self.target,)

    @property
    def score_names(self) -> tuple[str, ...]:
        """What the columns of predictions are called."""
        return ("probability",)

    @property
    def outputs(self) -> int:
        return 1


@dataclass(frozen=True)
class MulticlassSpec:
    """One of several classes. Labels are float32 [n, 1], the index of the class in `classes`."""

    kind: ClassVar[str] = "multiclass"
    target: str
    classes: tuple[str, ...]

    def __post_init__(self) -> None:
        _distinct("classes", self.classes)

    @property
    def columns(self) -> tuple[str, ...]:
        return (self.target,)

    @property
    def score_names(self) -> tuple[str, ...]:
        """What the columns of predictions are called."""
        return tuple(f"p({name})" for name in self.classes)

    @property
    def outputs(self) -> int:
        return len(self.classes)


@dataclass(frozen=True)
class MultitaskSpec:
    """Several two-class labels at once, any of which may be missing. Labels are float32 [n, t] of 0, 1 and NaN (missing)."""

    kind: ClassVar[str] = "multitask"
    targets: tuple[str, ...]
    positive: str = "1"
    negative: str = "0"

    def __post_init__(self) -> None:
        _distinct("targets", self.targets)

    @property
    def columns(self) -> tuple[str, ...]:
        return self.targets

    @property
    def score_names(self) -> tuple[str, ...]:
        """What the columns of predictions are called."""
        return self.targets

    @property
    def outputs(self) -> int:
        return len(self.targets)


@dataclass(frozen=True)
class RegressionSpec:
    """A number within the declared range. Labels are float32 [n, 1] in `unit`."""

    kind: ClassVar[str] = "regression"
    target: str
    minimum: float
    maximum: float
    unit: str = ""

    def __post_init__(self) -> None:
        if not self.minimum < self.maximum:
            raise InvalidSpec(f"target {self.target!r}: min must be below max")

    @property
    def columns(self) -> tuple[str, ...]:
        return (self.target,)

    @property
    def score_names(self) -> tuple[str, ...]:
        """What the columns of predictions are called."""
        return (self.target,)

    @property
    def outputs(self) -> int:
        return 1


@dataclass(frozen=True)
class SurvivalSpec:
    """Time to an event, censored where `event` is 0. Labels are float32 [n, 2]: time (at least 0, in `unit`), 1 where the event came."""

    kind: ClassVar[str] = "survival"
    time: str
    event: str
    unit: str = ""

    def __post_init__(self) -> None:
        _distinct("time and event", self.columns)

    @property
    def columns(self) -> tuple[str, ...]:
        return (self.time, self.event)

    @property
    def score_names(self) -> tuple[str, ...]:
        """What the columns of predictions are called."""
        return ("log_hazard",)

    @property
    def outputs(self) -> int:
        return 1


TaskSpec = BinarySpec | MulticlassSpec | MultitaskSpec | RegressionSpec | SurvivalSpec


def task_from(document: Mapping[str, Any]) -> TaskSpec:
    """The task of a document that obeys the schema."""
    fields = {name: value for name, value in document.items() if name != "kind"}
    match document["kind"]:
        case "binary":
            return BinarySpec(**fields)
        case "multiclass":
            return MulticlassSpec(fields["target"], tuple(fields["classes"]))
        case "multitask":
            return MultitaskSpec(**fields | {"targets": tuple(fields["targets"])})
        case "regression":
            return RegressionSpec(fields["target"], float(fields["min"]), float(fields["max"]), fields.get("unit", ""))
        case _:
            return SurvivalSpec(**fields)


def _distinct(what: str, names: tuple[str, ...]) -> None:
    if len(set(names)) != len(names):
        raise InvalidSpec(f"the task's {what} must differ")
