"""Genotypes as dosages of the study's effect alleles, aligned by position and alleles; labels and covariates from the table beside them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from defedbio.errors import InvalidData
from defedbio.learning.data import plink, vcf
from defedbio.learning.data.calls import Calls, Place, Record
from defedbio.learning.data.files import TABLE_SUFFIXES, Cells, Columns, failed, first_rows, read_columns
from defedbio.learning.data.port import SHOWN_ROWS, Problem
from defedbio.learning.data.reading import FileAdapter, Float32, Source
from defedbio.learning.data.table import parse_table
from defedbio.spec import GenotypeFeatures, Variant, complement

Reader = Callable[[Path, Collection[Place]], Calls]
READERS: dict[str, Reader] = {".bed": plink.read, ".vcf.gz": vcf.read, ".vcf": vcf.read, ".bcf": vcf.read}


class GenotypeAdapter(FileAdapter[GenotypeFeatures]):
    """Reads COHORT.bed (with its .bim and .fam) or COHORT.vcf[.gz], and the table COHORT.csv, .tsv or .parquet in the same folder."""

    def source(self, path: Path) -> Source:
        columns = [self._features.sample, *(c.name for c in self._features.covariates.columns)]
        suffix = next((s for s in READERS if path.name.lower().endswith(s)), None)
        if suffix is None:
            return Source(_unreadable("the file must be a .bed, .vcf, .vcf.gz or .bcf file"), columns, lambda cells, rows: (None, []))
        stem = path.name[: -len(suffix)]
        tables = [table for s in TABLE_SUFFIXES if (table := path.with_name(stem + s)).exists()]
        if len(tables) != 1:
            found = "several tables of samples lie" if tables else "no table of samples lies"
            text = f"{found} beside the genotypes: one is needed, of the same name but ending {', '.join(TABLE_SUFFIXES)}"
            return Source(_unreadable(text), columns, lambda cells, rows: (None, []))
        return Source(partial(read_columns, tables[0]), columns, partial(self._parse, path, READERS[suffix]), telling=False)

    def _parse(self, path: Path, read: Reader, cells: dict[str, Cells], rows: int) -> tuple[Float32 | None, list[Problem]]:
        covariates, problems = parse_table(cells, rows, self._features.covariates)
        variants = self._features.variants
        try:
            calls = read(path, {(v.chromosome, v.position) for v in variants})
        except InvalidData as error:
            return None, [*problems, Problem(error.message)]
        where, trouble = _rows_of(calls.samples, cells.get(self._features.sample, [""] * rows), self._features.sample)
        x = np.full((rows, len(variants)), np.nan, dtype=np.float32)
        known = where >= 0
        matches, found = _align_all(variants, calls.records, self._features.optional)
        for place, match in matches.items():
            x[known, place] = match.dosage[where[known]]
            found += self._call_problems(x[:, place], known, variants[place])
        return np.concatenate([x, covariates], axis=1), [*problems, *trouble, *found]

    def _call_problems(self, dosage: Float32, known: npt.NDArray[np.bool_], variant: Variant) -> list[Problem]:
        problems = []
        absent = np.flatnonzero(np.isnan(dosage) & known)
        if len(absent) and not self._features.optional:
            problems.append(Problem("has no call", variant.name, len(absent), first_rows(absent)))
        with np.errstate(invalid="ignore"):
            outside = np.flatnonzero((dosage < 0) | (dosage > 2))
        if len(outside):
            problems.append(Problem("has a dosage outside 0 to 2", variant.name, len(outside), first_rows(outside)))
        return problems


@dataclass(frozen=True)
class Match:
    """Dosage of the study's effect allele, float32 [samples]; `flipped` if the file reports the other strand."""

    dosage: Float32
    flipped: bool


def align(variant: Variant, record: Record) -> Match | None:
    """The record's dosage as the study counts it, or None if its alleles are others. An allele that the file does not tell fits any."""
    for flipped in (False, True):
        effect, other = (complement(a) if flipped else a for a in (variant.effect, variant.other))
        if record.allele in (effect, None) and record.other in (other, None):
            return Match(record.dosage, flipped)
        if record.allele in (other, None) and record.other in (effect, None):
            return Match(2 - record.dosage, flipped)
    return None


def _align_all(variants: Sequence[Variant], records: Sequence[Record], optional: bool) -> tuple[dict[int, Match], list[Problem]]:
    """The match of every variant, by its place, that has exactly one; and what is wrong or worth knowing about the others."""
    at: dict[Place, list[Record]] = {}
    for record in records:
        at.setdefault(record.place, []).append(record)
    matches: dict[int, Match] = {}
    absent: list[str] = []
    others: list[str] = []
    several: list[str] = []
    flipped: list[str] = []
    for place, variant in enumerate(variants):
        there = at.get((variant.chromosome, variant.position), [])
        found = [match for record in there if (match := align(variant, record)) is not None]
        if len(found) == 1:
            matches[place] = found[0]
            if found[0].flipped:
                flipped.append(variant.name)
        else:
            (several if found else others if there else absent).append(variant.name)
    instead = ": read as the mean of all organisations" if optional else ""
    problems = _listed(absent, "is missing" + instead, warning=optional)
    problems += _listed(others, "has other alleles than the study's" + instead, warning=optional)
    problems += _listed(several, "is there more than once")
    problems += _listed(flipped, "is on the other strand: its alleles were complemented", warning=True)
    return matches, problems


def _listed(names: Sequence[str], text: str, warning: bool = False) -> list[Problem]:
    """A problem for each of the first few variants, and one that counts the others."""
    problems = [Problem(text, name, warning=warning) for name in names[:SHOWN_ROWS]]
    more = len(names) - SHOWN_ROWS
    return [*problems, Problem(f"the same holds for {more} more variants: {text}", warning=warning)] if more > 0 else problems


def _rows_of(samples: Sequence[str], cells: Cells, column: str) -> tuple[npt.NDArray[np.int64], list[Problem]]:
    """Where in `samples` each row's sample is (-1 nowhere), and what is wrong with the names."""
    if len(set(samples)) != len(samples):
        return np.full(len(cells), -1), [Problem("the genotype file names a sample twice")]
    places = {sample: place for place, sample in enumerate(samples)}
    times = Counter(cells)
    missing = [row for row, name in enumerate(cells) if not name]
    unknown = [row for row, name in enumerate(cells) if name and name not in places]
    again = [row for row, name in enumerate(cells) if name and times[name] > 1]
    texts = ((missing, "missing"), (unknown, "the genotype file has no such sample"), (again, "the sample has more than one row"))
    problems = [Problem(text, column, len(rows), first_rows(rows)) for rows, text in texts if rows]
    left = len(places.keys() - times.keys())
    if left:
        problems.append(Problem(f"{left} samples of the genotype file are not in the table and are left out", warning=True))
    return np.array([places.get(name, -1) for name in cells], dtype=np.int64), problems


def _unreadable(text: str) -> Callable[[Sequence[str]], Columns]:
    return lambda wanted: failed(text)
