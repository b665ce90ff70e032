"""Small files of the formats that laboratories use, written here."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
from bed_reader import to_bed
from scipy import sparse

from defedbio.spec import StudySpec

from .conftest import study

SAMPLES = [f"S{number}" for number in range(12)]
VARIANTS = [
    {"id": "rs1", "chromosome": "1", "position": 1000, "effect": "A", "other": "G"},
    {"id": "rs2", "chromosome": "1", "position": 2000, "effect": "T", "other": "C"},
    {"id": "rs3", "chromosome": "2", "position": 500, "effect": "G", "other": "T"},
]
# Copies of each variant's effect allele, [3, 12].
DOSAGES = np.array([[0, 1, 2] * 4, [2, 2, 1, 0] * 3, [1, 0] * 6], dtype=np.float32)


def genotype_study(variants: Sequence[dict[str, Any]] = VARIANTS, **features: Any) -> StudySpec:
    kind = {"kind": "genotypes", "variants": list(variants), "sample": "iid", "covariates": [{"name": "age", "min": 0, "max": 100}]}
    return study(features=kind | features)


def write_genotypes(
    path: Path,
    variants: Sequence[dict[str, Any]] = VARIANTS,
    dosages: Any = DOSAGES,
    samples: Sequence[str] = SAMPLES,
    chromosome: str = "",
) -> Path:
    """A .vcf or .bed file with the variants' effect alleles as alternative or first alleles; NaN is no call."""
    if path.suffix == ".bed":
        to_bed(
            path,
            np.asarray(dosages, dtype=np.float32).T,
            properties={
                "iid": list(samples),
                "sid": [v["id"] for v in variants],
                "chromosome": [chromosome + v["chromosome"] for v in variants],
                "bp_position": [v["position"] for v in variants],
                "allele_1": [v["effect"] for v in variants],
                "allele_2": [v["other"] for v in variants],
            },
        )
        return path
    texts = {0: "0/0", 1: "0|1", 2: "1/1"}
    records = [
        (v, [(texts[int(d)] if d == int(d) else f"./.:{d}") if not np.isnan(d) else "./." for d in row])
        for v, row in zip(variants, dosages, strict=True)
    ]
    return write_vcf(path, [(chromosome + v["chromosome"], v["position"], v["other"], v["effect"], cells) for v, cells in records], samples)


def write_vcf(path: Path, records: Sequence[tuple[str, int, str, str, Sequence[str]]], samples: Sequence[str] = SAMPLES) -> Path:
    """Records of chromosome, position, REF, ALT and a GT:DS cell a sample."""
    lines = [
        "##fileformat=VCFv4.3",
        *(f"##contig=<ID={name}>" for name in dict.fromkeys(r[0] for r in records)),
        '##FORMAT=<ID=GT,Number=1,Type=String,Description="Genotype">',
        '##FORMAT=<ID=DS,Number=A,Type=Float,Description="Dosage">',
        "\t".join(["#CHROM", "POS", "ID", "REF", "ALT", "QUAL", "FILTER", "INFO", "FORMAT", *samples]),
        *("\t".join([c, str(p), ".", ref, alt, ".", "PASS", ".", "GT:DS", *cells]) for c, p, ref, alt, cells in records),
    ]
    path.write_text("\n".join(lines) + "\n")
    return path


def write_h5ad(path: Path, frame: pd.DataFrame, genes: Sequence[str], layout: str = "dense") -> Path:
    """`genes` of the frame as X (dense, csr or csc), the other columns as text columns of obs."""
    with h5py.File(path, "w") as file:
        others = [c for c in frame if c not in genes]
        for name, index, columns in (("obs", [f"cell{i}" for i in range(len(frame))], others), ("var", list(genes), [])):
            group = file.create_group(name)
            group.attrs.update({"encoding-type": "dataframe", "encoding-version": "0.2.0", "_index": "_index", "column-order": columns})
            group.create_dataset("_index", data=np.array(index, dtype=object), dtype=h5py.string_dtype())
            for column in columns:
                group.create_dataset(column, data=frame[column].astype(str).to_numpy(dtype=object), dtype=h5py.string_dtype())
        matrix = frame[list(genes)].apply(pd.to_numeric, errors="coerce").to_numpy(dtype=np.float64)
        if layout == "dense":
            file.create_dataset("X", data=matrix)
        else:
            own = {"csr": sparse.csr_matrix, "csc": sparse.csc_matrix}[layout](matrix)
            group = file.create_group("X")
            group.attrs.update({"encoding-type": f"{layout}_matrix", "encoding-version": "0.1.0", "shape": matrix.shape})
            for part in ("data", "indices", "indptr"):
                group.create_dataset(part, data=getattr(own, part))
    return path
