"""What contributions have to obey: whatever an honest organisation sends fits, and next to nothing more does."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from math import isqrt, sqrt
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from defedbio.crypto import encoding
from defedbio.crypto.proofs import contribution
from defedbio.crypto.proofs.statement import Form
from defedbio.crypto.rules import Norm, Range, Rule
from defedbio.domain import Quantisation, Segment
from defedbio.errors import InvalidInput, InvalidSpec
from defedbio.learning.data.port import Dataset
from defedbio.learning.global_update import Sums
from defedbio.learning.local import Contribution
from defedbio.learning.plan import Step, schedule
from defedbio.learning.simulation import plain, simulate, stream
from defedbio.protocol import form
from defedbio.protocol.form import form_of, rule_of
from defedbio.spec import StudySpec
from tests.agents.learning.conftest import study

COLUMNS = [{"name": "age", "min": 0, "max": 100}, {"name": "dose", "min": -5, "max": 5}]
GENES = {
    "kind": "genotypes",
    "variants": [{"id": f"v{i}", "chromosome": "1", "position": i + 1, "effect": "A", "other": "G"} for i in range(3)],
    "sample": "iid",
    "missing": "mean",
    "covariates": [{"name": "age", "min": 0, "max": 100}],
}
SHORT = {"learning_rate": 0.5, "steps": 1, "batch_size": 16}
EVERYTHING: dict[str, Any] = {
    "evaluation": {"minimum_cell": 1, "bins": 4},
    "statistics": {"bins": 3, "minimum_cell": 1},
    "rounds": 1,
    "training": SHORT,
}
ALONE: dict[str, Any] = {"preprocessing": None, "weighting": {"kind": "uniform"}, "rounds": 1, "training": SHORT}
TASKS: dict[str, dict[str, Any]] = {
    "binary": {"kind": "binary", "target": "label"},
    "multiclass": {"kind": "multiclass", "target": "label", "classes": ["a", "b", "c"]},
    "multitask": {"kind": "multitask", "targets": ["t1", "t2"]},
    "regression": {"kind": "regression", "target": "y", "min": -4, "max": 4},
    "survival": {"kind": "survival", "time": "days", "event": "dead"},
}
STUDIES: dict[str, StudySpec] = {
    **{name: study(task=task, **EVERYTHING) for name, task in TASKS.items()},
    "scaffold": study(strategy={"kind": "scaffold"}, **EVERYTHING),
    "missing values": study(features={"kind": "table", "columns": [c | {"missing": "mean"} for c in COLUMNS]}, **EVERYTHING),
    "genes": study(features=GENES, **EVERYTHING | {"statistics": {"association": True, "rows": 500, "minimum_cell": 1}}),
    "a trait": study(features=GENES, task=TASKS["regression"], **EVERYTHING | {"statistics": {"association": True, "minimum_cell": 1}}),
    "uniform": study(weighting={"kind": "uniform"}, **EVERYTHING),
    "16 bits": study(quantisation={"slot_bits": 16, "clip_norm": 2.0}, **EVERYTHING),
    "48 bits": study(quantisation={"slot_bits": 48, "clip_norm": 2.0}, **EVERYTHING),
    "noise on the sum": study(
        privacy={"kind": "sum", "noise_multiplier": 1.0, "honest": 3, "epsilon": 900, "delta": 1e-5},
        quantisation={"slot_bits": 32, "clip_norm": 2.0},
        **ALONE,
    ),
    "noise on records": study(
        privacy={"kind": "record", "noise_multiplier": 1, "max_grad_norm": 1, "sample_rate": 0.5, "epsilon": 900, "delta": 1e-5}, **ALONE
    ),
}


def obeys(rule: Rule, values: list[int], weight: int) -> bool:
    """The rule as its words have it, in whole numbers."""
    match rule:
        case Range():
            return all(v >= 0 and rule.divisor * v <= rule.slope * weight + rule.offset for v in values)
        case Norm():
            return rule.divisor * sum(v * v for v in values) <= rule.square * weight**2 + rule.linear * weight + rule.constant


def broken(whole: Form, values: list[int]) -> list[str]:
    """The pieces of a contribution that do not obey their rules; "weight" for the weight."""
    weight, start, found = values[0], 1, []
    for piece in (piece for block in whole.blocks for piece in block.pieces):
        if not obeys(piece.rule, values[start : start + piece.length], weight):
            found.append(piece.name)
        start += piece.length
    assert start == len(values)
    return found if 1 <= weight <= whole.weight_cap else [*found, "weight"]


def data_of(spec: StudySpec, rows: int, seed: int) -> Dataset:
    """Any rows that a study takes, features far outside of their ranges among them."""
    draw = np.random.default_rng(seed)
    kind, width = spec.task.kind, len(spec.task.columns)
    x = draw.normal(20, 60, (rows, spec.features.width))
    if spec.features.dosages:
        x[:, : len(spec.features.dosages)] = draw.integers(0, 3, (rows, len(spec.features.dosages)))
    if spec.features.nullable:
        x[draw.random(x.shape) < 0.2] = np.nan
    y = draw.integers(0, 3 if kind == "multiclass" else 2, (rows, width)).astype(float)
    if kind == "regression":
        y = draw.uniform(-4, 4, (rows, 1))
    if kind == "survival":
        y[:, 0] = draw.exponential(50, rows)
    return Dataset(x.astype(np.float32), y.astype(np.float32))


@pytest.mark.parametrize("name", STUDIES)
def test_whatever_an_organisation_sends_in_any_step_obeys_its_form(name: str) -> None:
    spec = STUDIES[name]
    sums = plain()
    kinds = set()

    def checked(step: Step, contributions: Mapping[int, Contribution]) -> Sums:
        kinds.add(step.kind)
        whole = form_of(spec, step)
        assert whole.layout.runs == step.runs and whole.weight_cap == step.weight_cap
        for one in contributions.values():
            # Far beyond its clip norm as well: the encoder is what brings it within.
            for factor in (1.0, 1e6):
                vectors = [x * factor if s.quantisation.clip_norm else x for s, x in zip(step.segments, one.vectors, strict=True)]
                values = encoding.encode(vectors, one.weight, step.segments, os.urandom)
                assert broken(whole, values.tolist()) == []
                assert contribution.fits(whole, whole.layout.split(values))
        return sums(step, contributions)

    for _ in simulate(spec, [data_of(spec, rows, rows) for rows in (3, 20, 70)], stream(1), checked):
        pass
    assert kinds == {step.kind for step in schedule(spec)} and "train" in kinds


def quantisations(kind: str) -> st.SearchStrategy[Quantisation]:
    whole = st.builds(float, st.integers(1, 1 << 16))
    scale = whole if kind == "signed" else st.one_of(whole, st.floats(1e-3, 1e13))
    caps = st.sampled_from([1, 3, 1000, 10**6])
    bound = st.floats(1e-3, 1e3)
    if kind in ("norm", "noisy", "unweighted norm"):
        noise = st.sampled_from([1, 7, 1000]) if kind == "noisy" else st.just(0)
        return st.builds(Quantisation, st.just(62), scale, caps, clip_norm=bound, weighted=st.just(kind != "unweighted norm"), noise=noise)
    return st.builds(
        Quantisation, st.just(62), scale, caps, max_abs=bound, weighted=st.just(kind == "weighted"), signed=st.just(kind == "signed")
    )


@settings(max_examples=30, deadline=None)
@given(data=st.data())
@pytest.mark.parametrize("kind", ["norm", "noisy", "unweighted norm", "weighted", "counted", "signed"])
def test_an_encoder_stays_within_the_rule_whatever_it_encodes(kind: str, data: st.DataObject) -> None:
    q, length = data.draw(quantisations(kind)), data.draw(st.integers(1, 40))
    weight = data.draw(st.sampled_from([1, q.weight_cap, 1 + q.weight_cap // 3]))
    draw = np.random.default_rng(data.draw(st.integers(0, 1 << 32)))
    most = q.clip_norm if q.clip_norm is not None else q.max_abs
    assert most is not None
    x = draw.choice([0.0, 1.0, 1e-9, 1e9, most, most * (1 - 2**-52), most / 3], length) * draw.random(length) ** draw.choice([0, 1])
    if kind in ("norm", "noisy", "unweighted norm", "signed"):
        x *= draw.choice([-1, 1], length)
    segment = Segment("x", length, q)
    values = encoding.encode([x], weight, [segment], os.urandom)[1:].tolist()
    assert obeys(rule_of(segment), values, weight)
    if not q.noise:
        # Zeros round every element up that is not whole.
        assert obeys(rule_of(segment), encoding.encode([x], weight, [segment], bytes)[1:].tolist(), weight)


@settings(max_examples=50, deadline=None)
@given(q=quantisations("norm"), length=st.integers(1, 1000), part=st.floats(0, 1))
def test_a_norm_is_what_its_weight_gives_it_and_what_rounding_adds(q: Quantisation, length: int, part: float) -> None:
    """One value of the whole norm passes; one that is longer by a part in a million does not, unless by a unit or two."""
    rule, weight = rule_of(Segment("x", length, q)), 1 + int(part * (q.weight_cap - 1))
    assert isinstance(rule, Norm) and q.clip_norm is not None
    longest = weight / q.weight_cap * q.clip_norm * q.scale + sqrt(length)
    assert obeys(rule, [int(longest * (1 - 1e-6))], weight)
    assert not obeys(rule, [int(longest * (1 + 1e-6)) + 3], weight)
    most = isqrt((rule.square * weight**2 + rule.linear * weight + rule.constant) // rule.divisor)
    assert obeys(rule, [most], weight) and not obeys(rule, [most + 1], weight)


def test_ranges_end_where_an_encoder_does() -> None:
    counted = Segment("counts", 2, Quantisation(48, 7.0, 10, max_abs=100.0, weighted=False))
    assert rule_of(counted) == Range(701)
    assert rule_of(replace(counted, quantisation=replace(counted.quantisation, signed=True))) == Range(1402)
    moments = rule_of(Segment("moments", 2, Quantisation(48, 1000.5, 10, max_abs=1.0)))
    assert obeys(moments, [1002, 0], 10) and not obeys(moments, [1003, 0], 10) and not obeys(moments, [-1, 0], 10)
    assert obeys(moments, [101], 1) and not obeys(moments, [102], 1), "one of ten rows gives a tenth"


def test_contributions_that_nothing_can_be_proven_of_are_no_study() -> None:
    noisy = Segment("x", 3, Quantisation(48, 1.0, 1, max_abs=5.0, noise=3))
    with pytest.raises(InvalidInput, match="no norm"):
        rule_of(noisy)


@pytest.mark.parametrize("name", STUDIES)
def test_of_every_kind_of_study_a_proof_can_be_made(name: str) -> None:
    form.proven_forms(STUDIES[name])


def test_a_study_whose_contributions_cannot_be_proven_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def none_can(whole: Form) -> int:
        raise InvalidInput("the slots are too narrow")

    monkeypatch.setattr(contribution, "size", none_can)
    with pytest.raises(InvalidSpec, match="moments round cannot be proven: the slots are too narrow") as caught:
        form.proven_forms(study())
    assert '"proofs": "none"' in caught.value.hint
    form.proven_forms(study(proofs="none"))


def test_large_models_with_noise_can_be_proven() -> None:
    """The norm of noise is far above a slot: it must reach into no other segment, and need not keep anybody from a study."""
    noisy = study(
        privacy={"kind": "sum", "noise_multiplier": 1.0, "honest": 3, "epsilon": 900, "delta": 1e-5},
        quantisation={"slot_bits": 24, "clip_norm": 1.0},
        model={"kind": "mlp", "hidden": [512, 64]},
        **ALONE,
    )
    form.proven_forms(noisy)
    assert [len(block.pieces) for block in form_of(noisy, schedule(noisy)[-1]).blocks] == [0, 1]


def test_norms_of_many_do_not_reach_into_counts_beside_them() -> None:
    """Each of these norms fits its slot, and all of them together do not: a scale of the study's own, where the software leaves room."""
    spread = {"evaluation": {"minimum_cell": 1, "bins": 4}, "model": {"kind": "mlp", "hidden": [64]}, "weighting": {"kind": "uniform"}}
    form.proven_forms(study(quantisation={"slot_bits": 16, "clip_norm": 1.0, "scale": 4000.0}, **spread))
    with pytest.raises(InvalidSpec, match="could reach into the counts"):
        form.proven_forms(study(quantisation={"slot_bits": 16, "clip_norm": 1.0, "scale": 8190.0}, **spread))
