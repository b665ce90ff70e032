"""What a genotype file says at the study's positions, whatever its format."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Place = tuple[str, int]


@dataclass(frozen=True)
class Record:
    """Two alleles at a place (chromosome without "chr", position from 1), and each sample's dosage of the first.

    `dosage` is float32 [samples], 0 to 2, NaN without a call. An allele is None where the file does not tell it, as when no sample has it.
    """

    place: Place
    allele: str | None
    other: str | None
    dosage: npt.NDArray[np.float32]


@dataclass(frozen=True)
class Calls:
    """The samples of a file, and its records at the wanted places in no order."""

    samples: Sequence[str]
    records: Sequence[Record]


def chromosome(name: str) -> str:
    """A chromosome's name without a leading "chr"."""
    return name[3:] if name.lower().startswith("chr") else name
