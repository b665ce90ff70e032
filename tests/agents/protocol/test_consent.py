"""S2: what an operator is asked to accept is what a run opens, by whom, under which rules."""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

from defedbio.chain import events as ev
from defedbio.chain.values import KeyEpoch, Study
from defedbio.crypto import wire
from defedbio.domain import BitSet, CeremonyKind, KeyEpochStatus
from defedbio.errors import InvalidSpec
from defedbio.learning.plan import schedule
from defedbio.network.connection import rules_of
from defedbio.network.consent import Consent, Timing
from defedbio.network.describe import WEIGHT, consent_to, retired_before
from defedbio.protocol.evidence import round_blobs
from defedbio.protocol.frame import StudyFrame
from defedbio.protocol.view import RoundView
from defedbio.spec import StudySpec
from tests.agents.learning.test_possible import STUDIES
from tests.agents.protocol.in_process import FEATURES, PEOPLE, PROVEN, QUORUM, RULES, STUDY, InProcess, frame, frame_of

EVERYTHING = {
    "statistics": {"bins": 8},
    "evaluation": {"minimum_cell": 1, "bins": 16, "early_stopping": {"patience": 3}},
    "strategy": {"kind": "scaffold"},
    "rounds": 2,
}
HOSTILE = "Royal Hospital\n  is opened    nothing\n  by whom      nobody \x1b[2J"


def asked(spec: StudySpec, kind: CeremonyKind = CeremonyKind.DEALER) -> Consent:
    """What `study join` shows of a study whose key the four people hold."""
    epoch = KeyEpoch(1, PEOPLE[3], QUORUM, kind, KeyEpochStatus.ACTIVE, spec.modulus_bits, BitSet(), BitSet(), bytes(32), bytes(32), PEOPLE)
    on_chain = Study(STUDY, PEOPLE[0], 1, 0, len(spec.invited), b"\xab" * 32, rules_of(spec, 1_700_000_000))
    return consent_to(STUDY, on_chain, on_chain.rules, spec, epoch, lambda who: "" if who == PEOPLE[1] else f"org {who[-1]}")


def opened_in(world: InProcess, study: StudyFrame, view: RoundView) -> int:
    """How many numbers the round's published opening holds, by the blob itself."""
    post = next(post for post in view.openings if post.root == view.opening_root)
    header = study.header(wire.BlobKind.OPENING, view)
    openings = wire.decode_opening(world.store(0).get(post.cid, 1 << 20, 1.0), header, study.key.public_key)
    return len(study.layout(view).unpack([o.m for o in openings], study.key.n))


@pytest.mark.parametrize("changes", [{}, EVERYTHING], ids=["plain", "everything"])
def test_what_is_said_to_be_opened_is_what_a_run_opens(tmp_path: Path, changes: dict[str, Any]) -> None:
    study = frame_of(changes)
    world = InProcess(tmp_path, study)
    said = {opened.kind: opened for opened in asked(study.spec).opened}
    try:
        finalised = world.play(lambda played: played.complete).finalised
        for view in finalised:
            one = said[study.step(view).kind]
            assert opened_in(world, study, view) == one.numbers == study.layout(view).length
            assert [(s.name, s.numbers) for s in one.sums] == [(WEIGHT, 1), *((s.name, s.length) for s in study.step(view).segments)]
        assert Counter(study.step(view).kind for view in finalised) == {kind: one.rounds for kind, one in said.items()}
    finally:
        world.close()


@pytest.mark.parametrize("spec", [pytest.param(spec, id=name) for name, spec in STUDIES.items()])
def test_every_number_of_every_kind_of_study_is_in_the_text(spec: StudySpec) -> None:
    consent = asked(spec)
    text = str(consent)
    lines = [(int(n), name) for n, name in re.findall(r"^ {17}(\d+) ([a-z_.]+): \S", text, re.MULTILINE)]
    expected = [(1, WEIGHT) if s is None else (s.length, s.name) for step in _kinds(spec) for s in (None, *step.segments)]
    assert lines == expected
    total = sum(step.length + 1 for step in schedule(spec))
    assert f"{len(schedule(spec))} rounds, {total} numbers in all" in text
    for one in (one for opened in consent.opened for one in opened.sums):
        assert (one.minimum_cell is not None) == (f"{one.name}: {one.what} (0 is sent for fewer than {one.minimum_cell} rows)" in text)


def _kinds(spec: StudySpec) -> list[Any]:
    return list({step.kind: step for step in reversed(schedule(spec))}.values())[::-1]


def test_who_opens_and_how_the_key_was_made_is_said() -> None:
    text = str(asked(frame().spec))
    assert f"any {QUORUM} of these {len(PEOPLE)} key holders together, who could open a single update, too" in text
    for who in PEOPLE:
        called = "no name" if who == PEOPLE[1] else f"calls itself 'org {who[-1]}'"
        assert f"{who} ({called})" in text
    assert f"a dealer made it, proposed by {PEOPLE[3]}" in text and "could have kept it; whoever did reads every single update" in text
    together = str(asked(frame().spec, CeremonyKind.DISTRIBUTED))
    assert f"its holders made it together, proposed by {PEOPLE[3]}" in together and "dealer" not in together
    assert f"nobody ever had the whole key, nor fewer than {QUORUM} of them together" in together


def test_k3_holders_who_retired_their_shares_are_said_to_have() -> None:
    spec = frame().spec
    epoch = KeyEpoch(1, PEOPLE[3], 3, CeremonyKind.DEALER, KeyEpochStatus.ACTIVE, 2048, BitSet(), BitSet(), bytes(32), bytes(32), PEOPLE)
    on_chain = Study(STUDY, PEOPLE[0], 1, 0, 0, b"\xab" * 32, rules_of(spec, 1_700_000_000))
    consent = consent_to(STUDY, on_chain, on_chain.rules, spec, epoch, lambda who: "", {PEOPLE[2]})
    assert [party.address for party in consent.key.holders] == [PEOPLE[0], PEOPLE[1], PEOPLE[3]]
    text = str(consent)
    assert "any 3 of these 3 key holders" in text and f"not {PEOPLE[2]} (no name), who says that it erased its share" in text
    assert "erased" not in str(asked(spec))


def test_k3_only_who_retired_before_the_study_was_opened_counts_as_that() -> None:
    meta = ev.EventMeta(1, bytes(32), bytes(32), 0, "")
    opened = ev.StudyOpened(STUDY, PEOPLE[0], 1, bytes(32), "cid", RULES, meta=meta)
    retired = [ev.KeyShareRetired(epoch, who, BitSet(), meta=meta) for epoch, who in ((1, PEOPLE[0]), (2, PEOPLE[1]), (1, PEOPLE[2]))]
    assert retired_before(STUDY, 1, [*retired[:2], opened, retired[2]]) == {PEOPLE[0]}


def test_every_rule_is_said() -> None:
    spec = frame_of({"confirmations": 12, "max_voids": 7, "participants": {"seats": 9, "minimum": 5}}).spec
    deadlines = {name: 100 + i for i, name in enumerate(("enrol", "commit", "reveal", "attest", "aggregate", "share", "finalise"))}
    document = json.loads(spec.raw) | {"deadlines": deadlines}
    text = str(asked(StudySpec.from_bytes(json.dumps(document).encode())))
    assert "a sum of at least 5 organisations' updates, of 9 seats" in text
    assert "it may be of 6, of which 5 who collude learn the one that is left" in text
    assert "12 confirmations before a node acts; it stops after 7 void rounds in a row" in text
    unsaid = str(asked(frame().spec))
    assert "12 confirmations (none on a local development chain) before a node acts" in unsaid
    assert ", ".join(f"{name} {seconds} s" for name, seconds in deadlines.items() if name != "enrol") in text
    assert "by sample count up to 100" in text and "encryption only" in text and "0x" + "ab" * 32 in text
    assert {f.name for f in fields(Timing)} == {*deadlines, "enrol_until", "confirmations", "max_voids"} - {"enrol"}


def test_how_long_ciphertexts_are_kept_and_what_that_means_is_said() -> None:
    study = frame_of({"retention_days": 77})
    consent = asked(study.spec)
    text = str(consent)
    assert "while the study runs and for 77 days after its end" in text and "old key shares as open a sum open each of these" in text
    assert "for 30 days after its end" in str(asked(frame().spec)), "unless the spec says otherwise"
    assert "until its end, and not after it" in str(asked(frame_of({"retention_days": 0}).spec))
    assert consent.retention.days == 77 and f"about {consent.retention.bytes / 1e6:,.1f} MB and the proofs at each" in text


def test_what_is_said_to_be_kept_is_what_is_kept(tmp_path: Path) -> None:
    study = frame_of({"rounds": 1})
    world = InProcess(tmp_path, study)
    said = asked(study.spec).retention.bytes
    try:
        finalised = world.play(lambda played: played.complete).finalised
        blobs = {blob.cid: blob for view in finalised for blob in round_blobs(study, view) if blob.kept}
        sizes = {cid: len(world.tools[0].fetcher.peers.fetch(cid, blob.owner, blob.most, 1.0)) for cid, blob in blobs.items()}
        missing = sum(len(PEOPLE) - len(view.shares) for view in finalised)
        share = max(sizes[cid] for cid, blob in blobs.items() if blob.kind == "share")
        assert sum(sizes.values()) == pytest.approx(said - missing * share, rel=0.05), "less the shares that no holder had to release"
    finally:
        world.close()


@pytest.mark.parametrize("days", [-1, 3651, 1.5, "30", None])
def test_a_retention_is_a_number_of_days(days: Any) -> None:
    document = json.loads(frame().spec.raw) | {"retention_days": days}
    with pytest.raises(InvalidSpec, match="retention_days"):
        StudySpec.from_bytes(json.dumps(document).encode())


def test_who_may_take_a_seat_is_said() -> None:
    assert "any member of the consortium may take a seat" in str(asked(frame().spec))
    consent = asked(frame_of({"participants": {"seats": 3, "invited": list(PEOPLE)}}).spec)
    assert [party.address for party in consent.cohort.invited] == list(PEOPLE)
    text = str(consent)
    assert "only these may take a seat:" in text and "any member" not in text
    assert all(text.count(who) > str(asked(frame().spec)).count(who) for who in PEOPLE)


@pytest.mark.parametrize(
    ("privacy", "words"),
    [
        (
            {"kind": "record", "noise_multiplier": 1.5, "max_grad_norm": 2.0, "sample_rate": 0.25, "epsilon": 8.0, "delta": 1e-6},
            ["noise 1.5, gradients clipped to 2, rows sampled at 0.25", "exceed epsilon 8 at delta 1e-06"],
        ),
        (
            {"kind": "sum", "noise_multiplier": 1.5, "honest": 3, "epsilon": 8.0, "delta": 1e-6},
            ["noise of 1.5 clip norms on the sum, even if only 3 of a round are honest", "exceed epsilon 8 at delta 1e-06"],
        ),
    ],
)
def test_the_privacy_is_said(privacy: dict[str, Any], words: list[str]) -> None:
    text = str(asked(frame_of({"privacy": privacy, "preprocessing": None, "weighting": None}).spec))
    assert all(each in text for each in words)


def test_what_is_proven_is_said_and_that_nothing_is_louder() -> None:
    assert "proven       of every update, before it is counted" in str(asked(frame_of(PROVEN).spec))
    assert "proven       NOTHING of updates: any one organisation can spoil a sum" in str(asked(frame().spec))


def test_others_words_are_no_lines_of_it() -> None:
    consent = asked(frame_of({"description": HOSTILE, "name": HOSTILE}).spec)
    hostile = replace(consent, coordinator=replace(consent.coordinator, name=HOSTILE))
    lines = str(hostile).splitlines()
    assert sum(line.startswith("  is opened") for line in lines) == sum(line.startswith("  by whom") for line in lines) == 1
    assert "\x1b" not in str(hostile)
    assert len(lines) == len(str(asked(frame_of({"description": "a", "name": "b"}).spec)).splitlines())


def test_it_is_json_of_the_same() -> None:
    consent = asked(frame_of(EVERYTHING).spec)
    told = json.loads(json.dumps(consent.as_dict()))
    assert [(o["kind"], o["rounds"], o["numbers"]) for o in told["opened"]] == [(o.kind, o.rounds, o.numbers) for o in consent.opened]
    assert told["key"]["holders"][0] == {"address": PEOPLE[0], "name": "org 1"}
    histogram = next(s for o in told["opened"] for s in o["sums"] if s["name"] == "statistics.histogram")
    assert histogram["numbers"] == 8 * FEATURES and histogram["minimum_cell"] == 5
