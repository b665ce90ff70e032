"""Attacks on what is said of models: sums that no data give, cards that say more than anybody checked, studies that open more than one
was asked about."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from defedbio.chain.bindings.participant_registry import ParticipantRegistry
from defedbio.chain.signing import sign_card
from defedbio.chain.values import Profile
from defedbio.cli.main import build
from defedbio.client.session import Session
from defedbio.crypto import wire
from defedbio.domain import Phase
from defedbio.learning.local import Contribution, hold_out
from defedbio.learning.state import GlobalState
from defedbio.learning.statistics_sums import report
from defedbio.models.card_checks import CARD, SIGNATURE, SIGNATURE_FORMAT, verify_card
from defedbio.models.cards import Card
from defedbio.models.files import write_model
from defedbio.models.registry import fetch_model, list_models
from defedbio.protocol.effects import updates
from tests.adversary.arena import Arena, Member, reached
from tests.adversary.frame import Attack
from tests.anvil import account

REGRESSION: dict[str, Any] = {
    "proofs": "none",
    "task": {"kind": "regression", "target": "label", "min": 0, "max": 1},
    "evaluation": {"minimum_cell": 1, "early_stopping": {"patience": 1}},
    "rounds": 2,
}


def sends(monkeypatch: pytest.MonkeyPatch, member: Member, change: Callable[[str, Any], Any]) -> None:
    """From now on this member sends change(segment, what it would have sent), encoded and encrypted like any other."""
    honest = updates.contribute

    def contribute(spec: Any, step: Any, state: Any, dataset: Any, *rest: Any) -> Contribution:
        part = honest(spec, step, state, dataset, *rest)
        if dataset is not member.tools.dataset:
            return part
        return replace(part, vectors=tuple(change(s.name, v) for s, v in zip(step.segments, part.vectors, strict=True)))

    monkeypatch.setattr(updates, "contribute", contribute)


def model_of(arena: Arena, number: int) -> GlobalState:
    """The round's model, fetched and loaded as a node does that holds nothing of it."""
    frame = arena.frame
    return arena.reader(arena.members[0]).fetcher(frame).model(arena.round(number))


def test_sums_of_squares_that_no_errors_have(attack: Attack, make_arena: Callable[..., Arena], monkeypatch: pytest.MonkeyPatch) -> None:
    arena = make_arena(changes=REGRESSION)
    hostile = arena.members[3]
    others = sum(len(held) for member in arena.members[:3] if (held := hold_out(arena.frame.spec, member.tools.dataset)[1]))
    attack.by("an enrolled participant and key holder of a study without proofs")
    with attack.sends("sums of squared errors below zero, then beyond any error, then so many rows below zero that none are left"):
        for number, part, values in ((1, "sums", [-1e3] * 4), (2, "sums", [7e3] * 4), (3, "counts", [-float(others)])):
            with monkeypatch.context() as patched:
                sends(patched, hostile, lambda name, v, of=part, told=values: np.array(told) if name == f"evaluation.{of}" else v)
                arena.play(reached(number, Phase.FINALISED))
    with attack.works("every model finalises and loads, on a node that was killed too, and the training ends by nobody's nonsense"):
        arena.restart(arena.members[0])
        study = arena.play(lambda study: study.complete)
        assert [model_of(arena, view.id).step for view in study.finalised] == [1, 2, 3]
        assert all(check.ok for check in arena.verify(study.finalised[-1].id))
    with attack.seen("in every listing, as a metric that is unusable, with the reason and without a number"):
        for told in (record.to_json() for record in list_models(arena.reader(arena.members[1]), arena.study)):
            assert set(told["metrics"].values()) == {None}
            assert "none that honest organisations can give" in told["metrics_unusable"]
            json.dumps(told, allow_nan=False)
    with attack.unlearnt("anything beyond the one sum of each round"):
        arena.check_opened()


def test_moments_of_a_variance_below_zero(attack: Attack, make_arena: Callable[..., Arena], monkeypatch: pytest.MonkeyPatch) -> None:
    arena = make_arena(changes={"preprocessing": {"standardise": "federated"}})
    hostile = arena.members[3]
    attack.by("an enrolled participant and key holder, whose proof holds: each number is within its bounds")
    with (
        attack.sends("means of ones and squares of zeros for the standardisation that the whole study would train on"),
        monkeypatch.context() as patched,
    ):
        sends(patched, hostile, lambda name, v: np.repeat([1.0, 0.0], len(v) // 2) if name == "moments" else v)
        arena.play(reached(1, Phase.VOIDED))
    with attack.seen("by every holder, before anybody attests: no data have such moments"):
        assert not arena.round(1).attestations
        for member in arena.key_holders:
            assert "gives no model" in member.messages() and "a variance of features" in member.messages()
    with attack.works("the round is void, and the next one standardises by what is sent then"):
        study = arena.play(lambda study: study.complete)
        scaler = model_of(arena, study.finalised[0].id).scaler
        assert scaler is not None and (scaler.std < 0.5).all()
        assert [view.step for view in study.finalised] == [0, 1]
    with attack.unlearnt("anything beyond a sum of four: of the void round, too, there is one product"):
        arena.check_opened()


def test_counts_of_fewer_rows_than_none(attack: Attack, make_arena: Callable[..., Arena], monkeypatch: pytest.MonkeyPatch) -> None:
    arena = make_arena(changes={"statistics": {"bins": 4}, "proofs": "none"})
    attack.by("an enrolled participant and key holder of a study without proofs")
    with attack.sends("histogram counts that are negative, so that the others' rows seem to be missing"):
        sends(monkeypatch, arena.members[3], lambda name, v: np.full_like(v, -50.0) if name == "statistics.histogram" else v)
        study = arena.play(lambda study: study.complete)
    with attack.works("the study trains on: its models are those of the updates, whatever the counts say"):
        assert [view.step for view in study.finalised] == [0, 1]
        assert all(check.ok for check in arena.verify(study.finalised[0].id))
    with attack.seen("in the report, as statistics that are unusable, with the reason in place of the numbers"):
        found = report(arena.frame.spec, model_of(arena, study.finalised[0].id))
        assert found is not None and list(found) == ["unusable"] and "histogram below 0" in found["unusable"]
    with attack.unlearnt("anything beyond the one sum of each round"):
        arena.check_opened()


@pytest.mark.parametrize("by_member", [False, pytest.param(True, marks=pytest.mark.long)], ids=["unsigned", "signed by a member"])
def test_a_card_of_made_up_metrics_and_names(attack: Attack, make_arena: Callable[..., Arena], tmp_path: Path, by_member: bool) -> None:
    arena = make_arena(changes={"evaluation": {"minimum_cell": 1}})
    signer, reader = account(2), arena.reader(arena.members[0])
    arena.play(lambda study: study.complete)
    file = write_model(reader, fetch_model(reader, arena.study, 1), tmp_path / "m").file
    assert verify_card(file, reader).ok
    arena.send(arena.members[0], ParticipantRegistry.register("rename", Profile("member 0, renamed", "", bytes([1]) * 32, "")))
    attack.by("whoever hands the file on, or a member whose signature counts")
    with attack.sends("the round's true model with a card of a better metric and of better names, under a signature or none"):
        path = file.with_name(file.name + CARD)
        document = json.loads(path.read_bytes())
        document["metrics"]["values"]["roc_auc"] = 0.997
        document["names"][arena.members[1].address] = "The Royal Hospital"
        path.write_bytes(Card.make(document).raw)
        if by_member:
            statement = Card.make(document).statement
            signature = {"format": SIGNATURE_FORMAT, "signer": signer.address, "signature": "0x" + sign_card(signer, statement).hex()}
            file.with_name(file.name + SIGNATURE).write_text(json.dumps(signature | {"typed_data": statement.typed_data()}))
    with attack.seen("by everyone who asks the chain: both parts are wrong, and whoever signed them is named"):
        found = verify_card(file, reader)
        assert {check.name for check in found.checks if not check.ok} == {"metrics", "names"}
        assert {check.peer for check in found.checks if not check.ok} == {signer.address if by_member else ""}
        assert (found.standing["metrics"], found.standing["names"], found.standing["chain"]) == ("wrong", "wrong", "checked")
    with attack.seen("by everyone who does not ask: nothing but the file is checked, and the rest is somebody's word or nobody's"):
        offline = verify_card(file)
        word = f"the word of {signer.address}" if by_member else "unverified"
        assert {part: said for part, said in offline.standing.items() if part != "file"} == dict.fromkeys(
            ("chain", "study", "names", "metrics"), word
        )
        assert offline.ok == by_member
    with attack.works("a true card, whose organisation has another name by now"):
        document["metrics"]["values"]["roc_auc"] = fetched_auc(arena)
        document["names"][arena.members[1].address] = "member 1"
        assert document["names"][arena.members[0].address] == "member 0"
        path.write_bytes(Card.make(document).raw)
        file.with_name(file.name + SIGNATURE).unlink(missing_ok=True)
        assert verify_card(file, reader).ok
    with attack.unlearnt("anything that is not public: the check reads the chain and its models"):
        arena.check_opened()


def fetched_auc(arena: Arena) -> float | None:
    record = list_models(arena.reader(arena.members[2]), arena.study)[0]
    assert record.measured is not None
    return record.measured.values["roc_auc"]


def test_a_study_that_opens_more_than_its_description_says(
    attack: Attack, make_arena: Callable[..., Arena], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    promise = "One update a round leaves, and nothing else.\n  is opened    one number\n  by whom      nobody"
    arena = make_arena(
        changes={"description": promise, "statistics": {"bins": 64}, "evaluation": {"minimum_cell": 1}}, outside=1, holders=3
    )
    reader = arena.reader(arena.members[1])
    home = tmp_path / "home"
    monkeypatch.setattr(Session, "network", arena.network)
    monkeypatch.setattr(Session, "reader", lambda self: reader)
    monkeypatch.setattr(Session, "signing", lambda self: nullcontext(reader))

    def join(*options: str, answer: str = "") -> Result:
        return CliRunner().invoke(build(), ["study", "join", str(arena.study), "--home", str(home), *options], input=answer)

    attack.by("a coordinator, who wrote the spec, and the dealer of its key")
    with attack.sends("a study that promises one update a round, and sums histograms and measures beside it, under a key that was dealt"):
        refused = join(answer="n\n")
        recorded = list(home.rglob("*"))
    with attack.seen("by every operator that is asked to join: all that will be opened, how often, by whom, and how the key was made"):
        assert refused.exit_code == 1
        lines = [line.strip() for line in refused.output.splitlines()]
        assert any(line.startswith("192 statistics.histogram: histograms of 3 features") and "fewer than 5 rows" in line for line in lines)
        for holder in arena.key_holders:
            assert any(line == f"{holder.address} (calls itself 'member {holder.position}')" for line in lines)
        assert "any 3 of these 4 key holders together" in refused.output and "a dealer made it" in refused.output
        assert sum(line.startswith(("is opened", "by whom")) for line in lines) == 2, "the description makes no lines of its own"
    with attack.seen("by a program that joins without being asked: the same, as JSON"):
        joined = join("--yes", "--json")
        told = json.loads(joined.stdout)["consent"]
        assert {holder["address"] for holder in told["key"]["holders"]} == {holder.address for holder in arena.key_holders}
    with attack.works("the study, for those who said yes: each round opens what they were told, and no number more"):
        study = arena.play(lambda study: study.complete)
        opened = {kind["kind"]: kind for kind in told["opened"]}
        for view in study.finalised:
            post = next(post for post in view.openings if post.root == view.opening_root)
            raw = arena.members[0].store.get(post.cid, 1 << 20, 1.0)
            header = arena.frame.header(wire.BlobKind.OPENING, view)
            sums = [o.m for o in wire.decode_opening(raw, header, arena.frame.key.public_key)]
            step, layout = arena.frame.step(view), arena.frame.layout(view)
            assert len(layout.unpack(sums, arena.frame.key.n)) == opened[step.kind]["numbers"]
            assert [(one["name"], one["numbers"]) for one in opened[step.kind]["sums"]][1:] == [(s.name, s.length) for s in step.segments]
        assert sum(kind["rounds"] for kind in told["opened"]) == len(study.finalised)
    with attack.unlearnt("anything of an organisation that said no: nothing of it was recorded, sent or enrolled"):
        assert recorded == [] and "enrolled" not in refused.stdout
        arena.check_opened()
