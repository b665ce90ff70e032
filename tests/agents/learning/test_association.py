"""Association tests by encrypted sums: what the sums say beside the pooled data, beside scikit-learn and beside Armitage's formula."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.stats import kstest
from sklearn.linear_model import LinearRegression, LogisticRegression

from defedbio.errors import InvalidSpec
from defedbio.learning import association, statistics
from defedbio.learning.data import Dataset
from defedbio.learning.simulation import simulate
from defedbio.protocol.simulate import exact, rotations_from, secrets_from
from defedbio.spec import StudySpec

from .conftest import study
from .files import genotype_study

REGRESSION = {"kind": "regression", "target": "label", "min": -20, "max": 20}


def _spec(variants: int, covariates: list[dict[str, Any]] | None = None, **changes: Any) -> StudySpec:
    listed = [{"id": f"v{i}", "chromosome": "1", "position": i + 1, "effect": "A", "other": "G"} for i in range(variants)]
    features = {"kind": "genotypes", "variants": listed, "sample": "iid", "missing": "mean", "covariates": covariates}
    features = {k: v for k, v in features.items() if v is not None}
    return study(features=features, statistics={"association": True, "rows": 10_000}, **changes)


def _site(rows: int, variants: int, seed: int, effect: float = 0.0, rate: float = 0.0, frequency: float = 0.3, age: float = 0.0) -> Dataset:
    """Dosages, an age, and a label that the first variant's dosage and the age move on the log odds scale."""
    generator = np.random.default_rng(seed)
    x = generator.binomial(2, frequency, (rows, variants)).astype(np.float32)
    years = generator.uniform(20, 80, rows).astype(np.float32)
    odds = rate + effect * x[:, 0] + age * (years - 50) / 30
    y = (generator.uniform(size=rows) < 1 / (1 + np.exp(-odds))).astype(np.float32)
    return Dataset(np.concatenate([x, years[:, None]], axis=1), y[:, None])


def _without_age(site: Dataset) -> Dataset:
    return Dataset(site.x[:, :-1].copy(), site.y)


def _report(spec: StudySpec, sites: list[Dataset]) -> list[dict[str, Any]]:
    parts = [association.contribution(spec, s.x, s.y, 5) for s in sites]
    return association.report(spec, {name: np.sum([p[name] for p in parts], axis=0) for name in association.layout(spec)})


AGE = [{"name": "age", "min": 0, "max": 100}]


def test_one_site_without_covariates_is_armitages_trend_test() -> None:
    site = _without_age(_site(500, 4, 1))
    g, y, n = site.x.astype(float), site.y[:, 0].astype(float), 500
    for place, found in enumerate(_report(_spec(4), [site])):
        own, cases = g[:, place], y.sum()
        top = n * (n * (own @ y) - cases * own.sum()) ** 2
        assert found["z"] ** 2 == pytest.approx(top / (cases * (n - cases) * (n * (own @ own) - own.sum() ** 2)))


def test_sums_over_sites_are_the_pooled_test_with_a_term_for_each_site() -> None:
    sites = [_without_age(_site(400, 3, seed, 0.4, rate, f)) for seed, rate, f in ((1, -1.0, 0.2), (2, 0.5, 0.5), (3, 0.0, 0.3))]
    terms = [{"name": "site", "categories": ["0", "1", "2"]}]
    pooled_x = [np.concatenate([s.x, np.eye(3, dtype=np.float32)[[i] * 400]], axis=1) for i, s in enumerate(sites)]
    pooled = Dataset(np.concatenate(pooled_x), np.concatenate([s.y for s in sites]))
    for ours, theirs in zip(_report(_spec(3), sites), _report(_spec(3, terms), [pooled]), strict=True):
        assert ours["z"] == pytest.approx(theirs["z"], abs=1e-4)
        assert ours["beta"] == pytest.approx(theirs["beta"], abs=1e-4)


def test_differences_between_sites_do_not_become_associations() -> None:
    """Case rate and allele frequency both differ: pooled without site terms every variant looks associated, by site none does."""
    sites = [_without_age(_site(2000, 30, 1, rate=-1.5, frequency=0.1)), _without_age(_site(2000, 30, 2, rate=1.5, frequency=0.5))]
    pooled = Dataset(np.concatenate([s.x for s in sites]), np.concatenate([s.y for s in sites]))
    assert min(abs(found["z"]) for found in _report(_spec(30), [pooled])) > 5
    assert max(abs(found["z"]) for found in _report(_spec(30), sites)) < 4


def test_p_values_are_uniform_where_nothing_is_associated() -> None:
    sites = [_site(700, 400, seed, rate=rate, age=1.0) for seed, rate in ((5, -0.5), (6, 0.3), (7, 0.0))]
    p = [found["p"] for found in _report(_spec(400, AGE), sites)]
    assert kstest(p, "uniform").pvalue > 0.01


def test_effects_are_those_of_a_logistic_regression_with_the_covariates() -> None:
    sites = [_site(3000, 2, seed, effect=0.25, age=1.0) for seed in (1, 2, 3)]
    x, y = np.concatenate([s.x for s in sites]).astype(float), np.concatenate([s.y for s in sites])[:, 0]
    fitted = LogisticRegression(C=np.inf, tol=1e-8, max_iter=1000).fit(x / [1, 1, 100], y)
    found = _report(_spec(2, AGE), sites)
    assert found[0]["beta"] == pytest.approx(fitted.coef_[0, 0], abs=0.5 * found[0]["se"])
    assert found[0]["p"] < 1e-4
    assert found[1]["p"] > 1e-3


def test_a_quantitative_trait_is_linear_regression_in_its_unit() -> None:
    site = _site(800, 2, 4)
    y = (0.7 * site.x[:, 0] - 0.05 * site.x[:, 2] + np.random.default_rng(1).normal(0, 2, 800)).astype(np.float32)[:, None]
    found = _report(_spec(2, AGE, task=REGRESSION), [Dataset(site.x, y)])
    for place in (0, 1):
        slope = LinearRegression().fit(site.x[:, [place, 2]].astype(float), y[:, 0]).coef_[0]
        assert found[place]["beta"] == pytest.approx(slope, rel=1e-4)
    assert abs(found[0]["beta"] - 0.7) < 4 * found[0]["se"]


@pytest.mark.parametrize(("carriers", "told"), [(4, False), (5, True)])
def test_rare_alleles_are_withheld_at_the_source(carriers: int, told: bool) -> None:
    x = np.zeros((100, 1), dtype=np.float32)
    y = np.array([[1], [0]] * 50, dtype=np.float32)
    x[:20:2] = x[1 : 2 * carriers : 2] = 1
    for dosages in (x, 2 - x):
        found = association.contribution(_spec(1), dosages, y, 5)
        assert bool(found["information"][0]) is told
        assert told or not found["score"].any()


def test_a_site_with_one_class_or_hardly_any_rows_adds_nothing() -> None:
    site = _without_age(_site(300, 2, 1))
    alone = _report(_spec(2), [site])
    one_class = Dataset(site.x, np.ones_like(site.y))
    few = site.take(np.arange(3))
    assert _report(_spec(2), [site, one_class, few]) == alone
    assert _report(_spec(2), [one_class])[0] | {"beta": None, "z": None, "p": None} == _report(_spec(2), [one_class])[0]


def test_missing_calls_count_as_the_sites_mean() -> None:
    site = _without_age(_site(300, 1, 2))
    gaps, filled = site.x.copy(), site.x.copy()
    gaps[:30] = np.nan
    filled[:30] = np.nanmean(gaps)
    a, b = (association.contribution(_spec(1), x, site.y, 5) for x in (gaps, filled))
    assert a["score"] == pytest.approx(b["score"])
    assert a["information"] == pytest.approx(b["information"])


def test_the_statistics_round_carries_the_tests() -> None:
    """S4: through the schedule, quantisation and the sums, the report is that of the plain sums but for the rounding."""
    spec = _spec(3, AGE)
    sites = [_site(300, 3, seed, effect=0.5, age=0.5) for seed in (1, 2, 3)]
    done = next(iter(simulate(spec, sites, *exact(secrets_from(1), rotations_from(1)))))
    assert done.step.kind == "statistics"
    for ours, plain in zip(
        statistics.report(spec, statistics.totals_of(done.state.extras))["association"], _report(spec, sites), strict=True
    ):
        assert ours["z"] == pytest.approx(plain["z"], abs=1e-3)


def test_association_needs_genotypes() -> None:
    with pytest.raises(InvalidSpec, match=r"statistics\.association needs genotypes"):
        study(statistics={"association": True})
    with pytest.raises(InvalidSpec, match=r"statistics\.association needs genotypes"):
        _spec(1, task={"kind": "survival", "time": "t", "event": "e"})
    assert genotype_study().statistics is None
