"""What is chosen for a study's updates, and the clip norm that follows its training."""

from __future__ import annotations

import json
from dataclasses import replace
from math import inf, sqrt
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from defedbio.domain import Quantisation, Run
from defedbio.errors import InvalidSpec, MalformedBlob
from defedbio.learning import clipping
from defedbio.learning.evaluation import evaluate
from defedbio.learning.global_update import Sums, finalise
from defedbio.learning.plan import schedule
from defedbio.learning.quantisation import ClipRange, choose, rotated_ranges, update_segment
from defedbio.learning.simulation import plain, simulate, stream
from defedbio.learning.state import GlobalState, genesis
from defedbio.network.precision import precision, rounding
from defedbio.protocol.form import proven_forms
from defedbio.protocol.simulate import exact, rotations_from, secrets_from
from defedbio.spec import StudySpec
from tests.agents.learning.conftest import separable, study

WIDE_MODEL: dict[str, Any] = {"kind": "mlp", "hidden": [400]}  # 1601 parameters


def narrow(quantisation: Any = "auto", **changes: Any) -> StudySpec:
    return study(**{"quantisation": quantisation, "model": WIDE_MODEL} | changes)


@pytest.mark.parametrize(
    ("values", "chosen"),
    [
        (1024, {3: (8, 4.0), 4: (8, 4.0), 16: (10, 3.5), 100: (12, 2.0), 256: (14, 3.25)}),
        (16_417, {3: (8, 4.0), 4: (8, 4.0), 16: (10, 3.5), 100: (12, 2.0), 256: (14, 3.25)}),
        (160_000, {3: (9, 2.5), 4: (9, 2.5), 16: (10, 3.5), 100: (12, 2.0), 256: (14, 3.25)}),
        (10**6, {3: (10, 2.0), 4: (10, 2.0), 16: (10, 2.0), 100: (12, 2.0), 256: (14, 3.25)}),
        (10**7, {3: (12, 2.5), 4: (12, 2.5), 16: (12, 2.5), 100: (12, 2.0), 256: (14, 3.25)}),
    ],
)
def test_pinned_choices(values: int, chosen: dict[int, tuple[int, float]]) -> None:
    """Another choice is another layout of every blob of a study."""
    assert {seats: choose(values, seats, 3072) for seats in chosen} == chosen


@given(st.integers(256, 10**7), st.integers(3, 256), st.sampled_from([2048, 3072, 4096]))
def test_what_is_chosen_holds_honest_sums_and_spares_the_others(values: int, seats: int, modulus_bits: int) -> None:
    bits, sigma = choose(values, seats, modulus_bits)
    assert 2 <= sigma <= 4 and seats * 5 * sigma < 2 ** (bits - 1) and (seats - 1) * 5 * sigma < 2 ** (bits - 2) + seats
    rows = -(-values // ((modulus_bits - 26) // bits))
    assert rows <= 256 or 2**bits >= 7.5 * sigma * sqrt(rows)


def test_what_a_study_fixes_is_kept_and_the_rest_chosen() -> None:
    assert choose(5000, 4, 3072, slot_bits=12) == (12, 4.0)
    assert choose(5000, 100, 3072, sigma=4.0) == (13, 4.0)
    assert choose(5000, 16, 3072, slot_bits=9, sigma=2.5) == (9, 2.5), "the honest fit, though a hostile one harms more than its bound"
    for fixed in ({"slot_bits": 8}, {"slot_bits": 8, "sigma": 2.0}):
        with pytest.raises(InvalidSpec, match="no slots fit 5000 rotated values of 100 organisations"):
            choose(5000, 100, 3072, **fixed)
    segment = update_segment(narrow({"rotated": True, "slot_bits": 10, "sigma": 3, "clip_norm": 2.0}))
    q = segment.quantisation
    assert (q.slot_bits, q.sigma, q.clip_norm, q.rotated) == (10, 3.0, 2.0, True)
    assert q.scale * 2.0 == pytest.approx(3 * sqrt(1601))


def test_small_models_stay_in_wide_slots() -> None:
    wide = update_segment(study(quantisation="auto")).quantisation
    assert (wide.slot_bits, wide.rotated) == (24, False)
    assert not rotated_ranges(study(quantisation="auto")) and not genesis(study(quantisation="auto")).extras
    wide.check_slot_rule(4, 2.45)
    with pytest.raises(InvalidSpec, match="too small to be rotated"):
        schedule(study(quantisation={"rotated": True}))


@pytest.mark.parametrize(("seats", "cap", "bits"), [(8, 2**20 - 1, 24), (8, 10**6 + 5 * 10**4, 25), (256, 10**6, 29)])
def test_wide_slots_have_room_for_the_total_weight(seats: int, cap: int, bits: int) -> None:
    spec = study(quantisation="auto", participants={"seats": seats}, weighting={"kind": "samples", "cap": min(cap, 10**6)})
    spec = replace(spec, weight_cap=cap)
    wide = update_segment(spec).quantisation
    assert wide.slot_bits == bits and seats * cap < 2 ** (bits - 1)
    proven_forms(spec)


@pytest.mark.parametrize(
    ("quantisation", "reason"),
    [
        ({"rotated": True, "clip_norm": 1.0, "least_clip_norm": 2.0}, "between"),
        ({"rotated": True, "clip_norm": 1.0, "most_clip_norm": 0.5}, "between"),
        ({"rotated": True, "most_clip_norm": 0.5}, "need a clip_norm"),
        ({"rotated": True, "sigma": 0.5}, "study spec"),
        ({"rotated": False, "slot_bits": 8}, "study spec"),
        ({"rotated": True, "scale": 2.0}, "study spec"),
        ({"slot_bits": 8, "clip_norm": 1.0}, "study spec"),
        ("wide", "study spec"),
    ],
)
def test_senseless_quantisations_are_refused(quantisation: Any, reason: str) -> None:
    with pytest.raises(InvalidSpec, match=reason):
        narrow(quantisation)


def test_noise_on_the_sum_needs_a_clip_norm_that_stays() -> None:
    privacy = {"kind": "sum", "noise_multiplier": 0.5, "honest": 2, "epsilon": 900.0, "delta": 1e-5}
    with pytest.raises(InvalidSpec, match="noise on the sum is measured in clip norms"):
        narrow(privacy=privacy, preprocessing=None, weighting=None)


def test_rotated_updates_come_last_in_slots_of_their_own() -> None:
    step = schedule(narrow(evaluation={}, strategy={"kind": "scaffold"}))[-2]
    names = [s.name for s in step.segments]
    assert names[-2:] == ["update", "control"] and all(n.startswith("evaluation.") for n in names[:-2])
    measured = sum(s.length for s in step.segments[:-2])
    assert step.runs == (Run(48, 1 + measured), Run(8, 1601), Run(8, 1601))
    assert schedule(narrow())[-1].runs == (Run(48, 1), Run(8, 1601))


def test_studies_with_numbers_of_their_own_are_what_they_were() -> None:
    step = schedule(study())[1]
    assert step.runs == (Run(24, 4),)
    assert step.segments[0].quantisation == Quantisation(24, (2**23 / (4 * 2.45) - 2) / 2.0, 1000, clip_norm=2.0)
    assert set(genesis(study()).extras) == set()


NORMS = ClipRange(1.0, 2.0**-10, 16.0)
means = st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=20).map(np.array)


@given(st.floats(2.0**-10, 16), st.floats(0, 16), means, st.floats(1e-3, 256))
def test_the_clip_norm_stays_in_its_range_and_falls_by_half_at_most(norm: float, highest: float, mean: np.ndarray, shares: float) -> None:
    after, high = clipping.follow(NORMS, np.array([norm, highest]), mean, shares)
    assert max(NORMS.least, norm / 2) <= after <= NORMS.most
    assert high <= NORMS.most and after >= high / 8


@given(st.floats(2.0**-10, 16), means, st.floats(1, 10), st.floats(1e-3, 256))
def test_a_longer_mean_never_lowers_it(norm: float, mean: np.ndarray, longer: float, shares: float) -> None:
    known = np.array([norm, 0.0])
    assert clipping.follow(NORMS, known, mean * longer, shares)[0] >= clipping.follow(NORMS, known, mean, shares)[0]


@given(means, st.randoms(use_true_random=False))
def test_the_order_of_the_elements_does_not_matter(mean: np.ndarray, random: Any) -> None:
    """Its bytes are in the model, which every node must compute alike."""
    shuffled = mean.tolist()
    random.shuffle(shuffled)
    known = np.array([1.0, 0.0])
    assert clipping.follow(NORMS, known, mean, 3.0).tolist() == clipping.follow(NORMS, known, np.array(shuffled), 3.0).tolist()


def test_means_beyond_what_squares_can_hold_clip_to_the_most() -> None:
    for mean in (np.array([1e200, -1e200]), np.array([1e308])):
        assert clipping.follow(NORMS, np.array([1.0, 0.0]), mean, 3.0)[0] == 16.0
    assert clipping.follow(NORMS, np.array([1.0, 0.0]), np.array([1e-200, 0.0]), 3.0)[0] == 0.5


@pytest.mark.parametrize("weights", [[1.0] * 4, [1.0, 0.1, 0.1, 0.1], [0.02] * 9, [0.3, 0.3, 0.1, 0.01, 0.01]])
@pytest.mark.parametrize("angle", ["independent", "alike"])
def test_it_allows_what_honest_organisations_send(weights: list[float], angle: str) -> None:
    """Of weighted updates that do not point against each other the longest fits, and not by more than the number of organisations."""
    generator = np.random.default_rng(1)
    common = generator.normal(size=5000)
    updates = [common if angle == "alike" else generator.normal(size=5000) for _ in weights]
    sums = sum(w * x for w, x in zip(weights, updates, strict=True))
    after = clipping.follow(ClipRange(1.0, 0.0, inf), np.array([0.0, 0.0]), sums / sum(weights), sum(weights))[0]
    longest = max(w * float(np.linalg.norm(x)) for w, x in zip(weights, updates, strict=True))
    assert longest <= after <= 2 * len(weights) * longest


def test_training_recovers_from_a_norm_that_somebody_drove_down_or_up() -> None:
    """One member of four cancels the others' sum for ten rounds, or sends the most it may; then it stops. Honest updates have norm 1."""
    honest = [np.random.default_rng(i).normal(size=2000) for i in range(3)]
    honest = [x / np.linalg.norm(x) for x in honest]
    for attack in (lambda norm, s: -s * min(1.0, norm / np.linalg.norm(s)), lambda norm, s: np.full(2000, norm / sqrt(2000))):
        known, trace = np.array([2.0, 2.0]), []
        for round_ in range(30):
            norm = float(known[0])
            sent = [x * min(1.0, norm) for x in honest]
            sent.append(attack(norm, sum(sent)) if round_ < 10 else np.zeros(2000))
            known = clipping.follow(ClipRange(2.0, 2.0**-10, 16.0), known, sum(sent) / 4, 4.0)
            trace.append(float(known[0]))
        assert NORMS.least <= min(trace) and max(trace) <= 16.0
        assert 1.0 <= trace[-1] <= 4.0, trace


def test_the_norm_is_in_the_model_and_follows_only_finalised_training() -> None:
    spec = narrow({"rotated": True, "clip_norm": 4.0})
    sites = [separable(100, seed) for seed in range(3)]
    states = [done.state for done in simulate(spec, sites, stream(1), plain())]
    clips = [float(genesis(spec).extras["clip.update"][0]), *(float(s.extras["clip.update"][0]) for s in states)]
    assert clips[:2] == [4.0, 4.0], "moments say nothing of it"
    assert clips[2] == 2.0 > clips[3], "a half at most, then what the updates say"
    encoded = [clipping.at(step, s.extras).segments[-1].quantisation for step, s in zip(schedule(spec)[1:], states[:-1], strict=True)]
    assert [q.clip_norm for q in encoded] == clips[1:-1]
    again = GlobalState.from_bytes(states[-1].to_bytes(), spec)
    assert again.to_bytes() == states[-1].to_bytes()
    step = schedule(spec)[0]
    assert clipping.at(step, genesis(spec).extras) == step, "nothing of it is rotated"


@pytest.mark.parametrize("wrong", [[0.0, 0.0], [-1.0, 0.0], [4.0 * 16 * 1.01, 0.0], [4.0, 65.0], [4.0, -1.0]])
def test_a_model_with_a_norm_that_cannot_be_is_refused(wrong: list[float]) -> None:
    spec = narrow({"rotated": True, "clip_norm": 4.0})
    state = genesis(spec)
    forged = GlobalState(state.weights, None, 0, state.spec_digest, {**state.extras, "clip.update": np.array(wrong)})
    with pytest.raises(MalformedBlob, match=r"clip\.update holds a norm that the study does not allow"):
        GlobalState.from_bytes(forged.to_bytes(), spec)


def test_a_hostile_mean_moves_the_norm_no_further_than_the_study_says() -> None:
    spec = narrow({"rotated": True, "clip_norm": 4.0, "least_clip_norm": 1.0, "most_clip_norm": 8.0}, preprocessing=None)
    for size, want in ((1e30, 8.0), (0.0, 2.0)):
        after = finalise(spec, schedule(spec)[0], genesis(spec), Sums({"update": np.full(1601, size)}, 3000))
        assert after.extras["clip.update"][0] == want


def test_narrow_slots_train_as_well_as_plain_sums() -> None:
    spec = narrow(rounds=6)
    sites = [separable(150, seed) for seed in range(3)]
    seed_of, combine = exact(secrets_from(1), rotations_from(1))
    found = [
        evaluate(spec, [done.state for done in simulate(spec, sites, seed_of, each)][-1], separable(400, 9))["roc_auc"]
        for each in (plain(clip=False), combine)
    ]
    assert found[1] == pytest.approx(found[0], abs=0.02)


@pytest.mark.parametrize("deviation", [0.05, 0.3, 1.0, 4.0])
def test_the_rounding_that_is_announced_is_the_one_that_happens(deviation: float) -> None:
    generator = np.random.default_rng(1)
    x = generator.normal(0, deviation, 400_000)
    rounded = np.floor(x) + (generator.uniform(size=x.size) < x - np.floor(x))
    assert rounding(deviation) == pytest.approx(float(np.std(rounded - x)) / deviation, rel=0.02)


def test_what_a_quantisation_comes_to() -> None:
    one, other = precision(narrow()), precision(narrow({"slot_bits": 24, "clip_norm": 4}))
    assert (one.ciphertexts, one.bytes) == (1 + 5, 6 * 768) and (other.ciphertexts, other.bytes) == (13, 13 * 768)
    assert one.rounding == pytest.approx(rounding(2.0)) and other.rounding < 1e-4
    assert one.in_words()[0].startswith("rotated, slots of 8 bits, deviation of 4 units at the clip norm; clipped to norm 0.5 at first")
    assert other.in_words()[0] == "slots of 24 bits; clipped to norm 4"
    json.dumps(one.clip.__dict__)
