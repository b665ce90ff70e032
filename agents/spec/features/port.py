"""What a kind of input data says of itself, so that nothing else needs to know which kinds there are."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar, Self

from defedbio.spec.features.variants import Variant

Range = tuple[float, float]


class Features(ABC):
    """What a study reads from every organisation's file; a kind is a frozen dataclass of what its entry in the schema lets a study choose.

    `kind` is the schema's word for it. Tuples have one entry a feature, in the order of the columns of x [n, width].
    """

    kind: ClassVar[str]

    @classmethod
    @abstractmethod
    def from_document(cls, document: dict[str, Any]) -> Self:
        """The features of a document that obeys this kind's entry in the schema.

        Raises:
            InvalidSpec: if it breaks a rule that the schema cannot say.
        """

    @property
    @abstractmethod
    def names(self) -> tuple[str, ...]:
        """Names that differ."""

    @property
    @abstractmethod
    def ranges(self) -> tuple[Range, ...]:
        """(least, greatest) value of every feature in its unit, agreed before anyone sees data."""

    @property
    @abstractmethod
    def in_words(self) -> str:
        """What is read, in a few words for those who are to accept the study."""

    @property
    def width(self) -> int:
        """How many features there are."""
        return len(self.names)

    @property
    def units(self) -> tuple[str, ...]:
        """The unit of every feature as the study declares it, "" where it has none."""
        return ("",) * self.width

    @property
    def nullable(self) -> bool:
        """Whether a row may lack a value."""
        return False

    @property
    def dosages(self) -> tuple[Variant, ...]:
        """The variants whose dosages are the first features, the others being covariates; none if this kind knows no variants."""
        return ()
