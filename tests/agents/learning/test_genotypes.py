"""Genotypes: dosages by the study's effect allele whatever the file calls first, alleles and strands aligned, samples matched by name."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from defedbio.errors import InvalidSpec
from defedbio.learning.data import DataReport, open_adapter
from defedbio.spec import StudySpec, complement

from .files import DOSAGES, SAMPLES, VARIANTS, genotype_study, write_genotypes, write_vcf

LABELS = ["yes", "no"] * 6
INDEXED = Path(__file__).parent / "fixtures" / "indexed.vcf.gz"
FORMATS = pytest.mark.parametrize("suffix", [".vcf", ".bed"])


def _table(folder: Path, samples: list[str] = SAMPLES) -> None:
    pd.DataFrame({"iid": samples, "age": 50, "label": LABELS[: len(samples)]}).to_csv(folder / "cohort.csv", index=False)


def _as_filed(**changes: Any) -> list[dict[str, Any]]:
    """The study's variants as a file reports them, rs1 with changes."""
    return [VARIANTS[0] | changes, *VARIANTS[1:]]


def _texts(report: DataReport) -> list[tuple[str | None, str]]:
    return [(p.column, p.text) for p in report.problems if p.column != "age"]


@FORMATS
@pytest.mark.parametrize("chromosome", ["", "chr"])
def test_dosages_count_the_effect_allele(tmp_path: Path, suffix: str, chromosome: str) -> None:
    _table(tmp_path)
    swapped = [v | {"effect": v["other"], "other": v["effect"]} for v in VARIANTS]
    for variants, dosages in ((VARIANTS, DOSAGES), (swapped, 2 - DOSAGES)):
        path = write_genotypes(tmp_path / f"cohort{suffix}", variants, dosages, chromosome=chromosome)
        dataset = open_adapter(genotype_study()).load(path)
        assert np.array_equal(dataset.x[:, :3], DOSAGES.T)
        assert (dataset.x[:, 3] == 50).all()


@FORMATS
def test_the_other_strand_is_complemented_and_reported(tmp_path: Path, suffix: str) -> None:
    _table(tmp_path)
    path = write_genotypes(tmp_path / f"cohort{suffix}", _as_filed(effect="T", other="C"))
    report = open_adapter(genotype_study()).check(path)
    assert _texts(report) == [("rs1", "is on the other strand: its alleles were complemented")]
    assert report.ok
    assert np.array_equal(open_adapter(genotype_study()).load(path).x[:, :3], DOSAGES.T)


@FORMATS
@pytest.mark.parametrize("change", [{"effect": "C"}, {"position": 1001}, {"chromosome": "3"}], ids=["alleles", "position", "chromosome"])
def test_variants_that_are_not_the_studys_are_refused_or_read_as_the_mean(tmp_path: Path, suffix: str, change: dict[str, Any]) -> None:
    _table(tmp_path)
    path = write_genotypes(tmp_path / f"cohort{suffix}", _as_filed(**change))
    text = "has other alleles than the study's" if "effect" in change else "is missing"
    assert _texts(open_adapter(genotype_study()).check(path)) == [("rs1", text)]
    optional = open_adapter(genotype_study(missing="mean"))
    assert [p.warning for p in optional.check(path).problems if p.column == "rs1"] == [True]
    x = optional.load(path).x
    assert np.isnan(x[:, 0]).all()
    assert np.array_equal(x[:, 1:3], DOSAGES[1:].T)


@FORMATS
def test_missing_calls_are_refused_or_read_as_the_mean(tmp_path: Path, suffix: str) -> None:
    _table(tmp_path)
    dosages = DOSAGES.copy()
    dosages[1, [4, 7]] = np.nan
    path = write_genotypes(tmp_path / f"cohort{suffix}", VARIANTS, dosages)
    assert [(p.column, p.text, p.rows) for p in open_adapter(genotype_study()).check(path).errors] == [("rs2", "has no call", (5, 8))]
    assert np.array_equal(open_adapter(genotype_study(missing="mean")).load(path).x[:, :3], dosages.T, equal_nan=True)


@FORMATS
def test_rows_follow_the_table_not_the_genotype_file(tmp_path: Path, suffix: str) -> None:
    chosen = [SAMPLES[i] for i in (7, 2, 9)]
    _table(tmp_path, chosen)
    path = write_genotypes(tmp_path / f"cohort{suffix}")
    report = open_adapter(genotype_study()).check(path)
    assert ("9 samples of the genotype file are not in the table and are left out") in [p.text for p in report.warnings]
    assert np.array_equal(open_adapter(genotype_study()).load(path).x[:, :3], DOSAGES.T[[7, 2, 9]])


@FORMATS
def test_samples_must_be_known_and_distinct(tmp_path: Path, suffix: str) -> None:
    _table(tmp_path, ["S1", "S1", "S99", ""])
    path = write_genotypes(tmp_path / f"cohort{suffix}")
    report = open_adapter(genotype_study()).check(path)
    assert [(p.text, p.rows) for p in report.errors if p.column == "iid"] == [
        ("missing", (4,)),
        ("the genotype file has no such sample", (3,)),
        ("the sample has more than one row", (1, 2)),
    ]


def test_a_sample_twice_in_the_genotype_file(tmp_path: Path) -> None:
    _table(tmp_path)
    path = write_genotypes(tmp_path / "cohort.bed", samples=["S0", "S0", *SAMPLES[2:]])
    assert "the genotype file names a sample twice" in [p.text for p in open_adapter(genotype_study()).check(path).errors]


@pytest.mark.parametrize(("spoil", "text"), [((), "no table of samples lies beside"), ((".csv", ".tsv"), "several tables of samples lie")])
def test_exactly_one_table_lies_beside_the_genotypes(tmp_path: Path, spoil: tuple[str, ...], text: str) -> None:
    for suffix in spoil:
        (tmp_path / f"cohort{suffix}").write_text("iid\n")
    report = open_adapter(genotype_study()).check(write_genotypes(tmp_path / "cohort.vcf"))
    assert [p.text.startswith(text) for p in report.errors] == [True]


@pytest.mark.parametrize("suffix", [".bim", ".fam"])
def test_plink_needs_all_three_files(tmp_path: Path, suffix: str) -> None:
    _table(tmp_path)
    path = write_genotypes(tmp_path / "cohort.bed")
    path.with_suffix(suffix).unlink()
    assert f"the {suffix} file does not exist, or cannot be read" in [p.text for p in open_adapter(genotype_study()).check(path).errors]
    path.with_suffix(suffix).write_text("S3CR3T\n")
    errors = [p.text for p in open_adapter(genotype_study()).check(path).errors]
    assert "the .bed, .bim and .fam files do not fit each other, or are not PLINK 1 files" in errors


def test_a_variant_that_nobody_has_keeps_its_untold_allele(tmp_path: Path) -> None:
    _table(tmp_path)
    none = DOSAGES.copy()
    none[0] = 0
    bed = write_genotypes(tmp_path / "cohort.bed", _as_filed(effect="0"), none)
    assert np.array_equal(open_adapter(genotype_study()).load(bed).x[:, :3], none.T)
    own = genotype_study(VARIANTS[:1])
    assert (open_adapter(own).load(write_vcf(tmp_path / "cohort.vcf", [("1", 1000, "A", ".", ["0/0"] * 12)])).x[:, 0] == 2).all()


def _vcf_study(tmp_path: Path, alternatives: str, cells: list[str], **features: Any) -> tuple[StudySpec, Path]:
    _table(tmp_path)
    path = write_vcf(tmp_path / "cohort.vcf", [("1", 1000, "G", alternatives, cells)])
    return genotype_study(VARIANTS[:1], **features), path


def test_imputed_dosages_come_before_hard_calls(tmp_path: Path) -> None:
    spec, path = _vcf_study(tmp_path, "A", ["0/1:0.75", "0/1:.", *["1/1:1.9"] * 10])
    assert open_adapter(spec).load(path).x[:3, 0] == pytest.approx([0.75, 1, 1.9])
    spec, path = _vcf_study(tmp_path, "A", ["0/1:2.5"] * 12)
    assert [(p.text, p.count) for p in open_adapter(spec).check(path).errors] == [("has a dosage outside 0 to 2", 12)]


def test_a_third_allele_is_no_call(tmp_path: Path) -> None:
    spec, path = _vcf_study(tmp_path, "T,A", ["0/2", "2/2", "0/1", "1/2", "0/0", ".", *["./2"] * 6], missing="mean")
    expected = [1, 2, np.nan, np.nan, 0, *[np.nan] * 7]
    assert np.array_equal(open_adapter(spec).load(path).x[:, 0], np.array(expected, dtype=np.float32), equal_nan=True)


def test_a_variant_twice_is_refused(tmp_path: Path) -> None:
    _table(tmp_path)
    path = write_vcf(tmp_path / "cohort.vcf", [("1", 1000, "G", "A", ["0/1"] * 12), ("1", 1000, "A", "G", ["0/1"] * 12)])
    assert _texts(open_adapter(genotype_study(VARIANTS[:1])).check(path)) == [("rs1", "is there more than once")]


def test_a_torn_vcf_is_a_problem_and_prints_nothing(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    spec, path = _vcf_study(tmp_path, "A", ["0/1"] * 12)
    path.write_text(path.read_text() + "1\tS3CR3T\tbroken\n")
    errors = [p.text for p in open_adapter(spec).check(path).errors]
    assert errors == ["the file is not a VCF or BCF file that can be read"]
    assert "S3CR3T" not in "".join(capfd.readouterr())


def test_an_indexed_file_is_read_by_place_to_the_same_calls(tmp_path: Path) -> None:
    """The fixture: chr1 and chr2, a variant every 100 bases, samples S0 to S2, compressed and indexed by pysam (bgzip, tabix)."""
    _table(tmp_path, SAMPLES[:3])
    spec = genotype_study(VARIANTS[:1])
    whole = Path(shutil.copy(INDEXED, tmp_path / "cohort.vcf.gz"))
    streamed = open_adapter(spec).load(whole).x
    assert streamed[:, 0].tolist() == [1, 2, 0]
    shutil.copy(INDEXED.with_name(INDEXED.name + ".tbi"), tmp_path / "cohort.vcf.gz.tbi")
    assert np.array_equal(open_adapter(spec).load(whole).x, streamed)
    elsewhere = genotype_study([VARIANTS[0] | {"chromosome": "7"}])
    assert ("rs1", "is missing") in _texts(open_adapter(elsewhere).check(whole))


def test_many_missing_variants_are_counted_not_listed(tmp_path: Path) -> None:
    _table(tmp_path)
    many = [{"id": f"v{i}", "chromosome": "5", "position": i + 1, "effect": "A", "other": "G"} for i in range(40)]
    report = open_adapter(genotype_study([*VARIANTS, *many])).check(write_genotypes(tmp_path / "cohort.vcf"))
    assert [p.column for p in report.errors] == ["v0", "v1", "v2", "v3", "v4", None]
    assert report.errors[-1].text == "the same holds for 35 more variants: is missing"


@pytest.mark.parametrize(
    ("variants", "reason"),
    [
        ([VARIANTS[0], VARIANTS[1] | {"id": "rs1"}], "variant names must differ"),
        ([VARIANTS[0], VARIANTS[0] | {"id": "again", "effect": "G", "other": "A"}], "names a variant twice"),
        ([VARIANTS[0] | {"other": "A"}], "the two alleles must differ"),
        ([VARIANTS[0] | {"other": "T"}], "looks the same on both strands"),
        ([VARIANTS[0] | {"id": "age"}], "different names"),
        ([VARIANTS[0] | {"chromosome": "X"}], "chromosome"),
        ([VARIANTS[0] | {"effect": "<DEL>"}], "effect"),
    ],
)
def test_impossible_variants_are_refused(variants: list[dict[str, Any]], reason: str) -> None:
    with pytest.raises(InvalidSpec, match=reason):
        genotype_study(variants)


def test_palindromic_variants_may_be_trusted(tmp_path: Path) -> None:
    spec = genotype_study([VARIANTS[0] | {"other": "T"}], palindromic="trust")
    _table(tmp_path)
    path = write_vcf(tmp_path / "cohort.vcf", [("1", 1000, "T", "A", ["0/1"] * 12)])
    assert (open_adapter(spec).load(path).x[:, 0] == 1).all()


def test_an_indel_is_complemented_from_its_other_end() -> None:
    assert complement("AAC") == "GTT"
