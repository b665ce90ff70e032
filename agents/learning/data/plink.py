"""PLINK 1 binary genotypes (.bed, .bim, .fam), read by bed-reader."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import numpy as np
from bed_reader import open_bed

from defedbio.errors import InvalidData
from defedbio.learning.data.calls import Calls, Place, Record, chromosome

UNTOLD = "0"


def read(path: Path, places: Collection[Place]) -> Calls:
    """The calls at `places`; only those variants are read from the file.

    Raises:
        InvalidData: if one of the three files is missing or malformed.
    """
    for suffix in (".bed", ".bim", ".fam"):
        if not path.with_suffix(suffix).is_file():
            raise InvalidData(f"the {suffix} file does not exist, or cannot be read")
    try:
        with open_bed(
            path.resolve(), fam_filepath=path.with_suffix(".fam").resolve(), bim_filepath=path.with_suffix(".bim").resolve()
        ) as bed:
            found = [(chromosome(str(c)), int(p)) for c, p in zip(bed.chromosome, bed.bp_position, strict=True)]
            wanted = [i for i, place in enumerate(found) if place in places]
            dosages = bed.read(index=np.s_[:, wanted], dtype="float32") if wanted else np.zeros((bed.iid_count, 0), dtype=np.float32)
            alleles = [(_allele(bed.allele_1[i]), _allele(bed.allele_2[i])) for i in wanted]
            samples = [str(name) for name in bed.iid]
    except (OSError, ValueError, IndexError):
        raise InvalidData("the .bed, .bim and .fam files do not fit each other, or are not PLINK 1 files") from None
    rows = zip(wanted, alleles, dosages.T, strict=True)
    return Calls(samples, [Record(found[i], allele, other, dosage) for i, (allele, other), dosage in rows])


def _allele(name: object) -> str | None:
    return None if str(name) == UNTOLD else str(name).upper()
