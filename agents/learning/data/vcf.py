"""Genotypes in VCF or BCF, read by cyvcf2 (htslib)."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from cyvcf2 import VCF
from cyvcf2.cyvcf2 import set_htslib_log_level

from defedbio.errors import InvalidData
from defedbio.learning.data.calls import Calls, Place, Record, chromosome

Float32 = npt.NDArray[np.float32]
SILENT = 0


def read(path: Path, places: Collection[Place]) -> Calls:
    """The calls at `places`: imputed dosages (DS) where the file has them, else allele counts (GT).

    With an index (.tbi or .csi) beside the file only those places are read, else all of it. A genotype with a third allele is no call.

    Raises:
        InvalidData: if the file is missing or malformed.
    """
    if not path.is_file():
        raise InvalidData("the file does not exist, or cannot be read")
    set_htslib_log_level(SILENT)  # its messages quote the file
    records: list[Record] = []
    try:
        file = VCF(str(path.resolve()))
        samples = list(file.samples)
        for variant in _variants(file, path, places):
            place = (chromosome(variant.CHROM), int(variant.POS))
            if place in places:
                records += _records(variant, place, len(samples))
        file.close()
    except Exception as error:
        # cyvcf2 raises bare Exception for a malformed line; a fault of ours has a type of its own.
        if type(error) not in (Exception, OSError, ValueError):
            raise
        raise InvalidData("the file is not a VCF or BCF file that can be read") from None
    return Calls(samples, records)


def _variants(file: Any, path: Path, places: Collection[Place]) -> Iterator[Any]:
    if not any(path.with_name(path.name + suffix).exists() for suffix in (".tbi", ".csi")):
        yield from file
        return
    contigs = {chromosome(name): name for name in file.seqnames}
    for name, position in sorted(places):
        if name in contigs:
            yield from (v for v in file(f"{contigs[name]}:{position}-{position}") if position == v.POS)


def _records(variant: Any, place: Place, samples: int) -> list[Record]:
    """One record an alternative allele; a single one without it where the file lists none."""
    reference, alternatives = variant.REF.upper(), [a.upper() for a in variant.ALT]
    genotypes = variant.genotype.array()[:, :-1] if "GT" in variant.FORMAT else None
    imputed = variant.format("DS") if "DS" in variant.FORMAT else None
    records = []
    for number, allele in enumerate(alternatives or [None], start=1):
        dosage = np.full(samples, np.nan, dtype=np.float32) if genotypes is None else _counts(genotypes, number)
        if imputed is not None and imputed.shape[1] == len(alternatives):
            own = imputed[:, number - 1].astype(np.float32)
            dosage = np.where(np.isnan(own), dosage, own)
        records.append(Record(place, allele, reference, dosage))
    return records


def _counts(genotypes: npt.NDArray[np.int16], number: int) -> Float32:
    """Copies of allele `number` in diploid genotypes [samples, ploidy], NaN where an allele is missing (-1, -2) or a third one."""
    called = ((genotypes == 0) | (genotypes == number)).all(axis=1) & (genotypes.shape[1] == 2)
    return np.where(called, (genotypes == number).sum(axis=1), np.nan).astype(np.float32)
