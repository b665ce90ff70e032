"""Whole encrypted studies of four organisations' processes over a real chain and real IPFS nodes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from defedbio.learning.baselines import federated
from defedbio.learning.data import open_adapter
from defedbio.learning.evaluation import evaluate
from defedbio.learning.evaluation_sums import summary
from defedbio.learning.local import hold_out
from defedbio.learning.state import GlobalState
from defedbio.spec import StudySpec
from scripts.consortium import Consortium, Process
from tests.integration.fixtures import Study

MakeStudy = Callable[..., Study]
KILL_AT = [
    # (phase at whose start it is killed, organisation; None: whoever comes to it first)
    ("obfuscate", 0),
    ("train", 1),
    ("encrypt", 2),
    ("publish", 3),
    ("commit", 0),
    ("reveal", 1),
    ("check", 2),
    ("attest", 3),
    ("aggregate", 0),
    ("share", 1),
    ("post-share", 2),
    ("combine", None),
    ("post-part", None),
    ("model", 3),
    ("attest-model", 0),
    ("adopt", 1),
]


def test_p1_to_p6_four_organisations_train_one_model(consortium: Consortium, open_study: MakeStudy, tmp_path: Path) -> None:
    study = open_study(rounds=2, changes={"strategy": {"kind": "scaffold"}, "evaluation": {}})
    agents = [study.start(o) for o in consortium.organisations]
    study.finish(agents)
    assert_nothing_secret_or_raw(consortium, agents)
    rounds = study.rounds()
    assert [r["phase"] for r in rounds] == ["finalised"] * 4 and all(r["in_set"] == 4 for r in rounds)

    first, last = consortium.organisations[0], consortium.organisations[3]
    models = []
    for organisation in (first, last):
        out = tmp_path / f"{organisation.name}.safetensors"
        consortium.cli(organisation, "model", "get", "--study", str(study.number), "--out", str(out))
        models.append(out.read_bytes())
    assert models[0] == models[1], "P6: every organisation gets the same bytes"

    spec = StudySpec.from_bytes((consortium.folder / "study.json").read_bytes())
    adapter = open_adapter(spec)
    sites = [adapter.load(o.data) for o in consortium.organisations if o.data]
    state = GlobalState.from_bytes(models[0], spec)
    pooled_x = np.concatenate([hold_out(spec, d)[0].x for d in sites]).astype(np.float64) / 10
    assert state.scaler is not None
    np.testing.assert_allclose(state.scaler.mean, pooled_x.mean(0), atol=1e-6, err_msg="S3: the encrypted moments are the pooled ones")
    np.testing.assert_allclose(state.scaler.std, pooled_x.std(0), atol=1e-5)
    measured = summary(spec, state).values
    assert measured["samples"] == 144, "a fifth of every organisation's rows, encrypted and summed"
    assert measured["roc_auc"] is not None and measured["roc_auc"] > 0.8
    plain = np.mean([evaluate(spec, federated(spec, sites, seed=s), sites[0])["accuracy"] for s in range(3)])
    assert evaluate(spec, state, sites[0])["accuracy"] == pytest.approx(plain, abs=0.06), "encrypted training is as good as plain"

    checked = consortium.cli(last, "verify", str(rounds[-1]["round"]))
    assert checked["verified"] and [c["name"] for c in checked["checks"]] == [
        "commitments",
        "frozen set",
        "updates",
        "proofs",
        "aggregate",
        "opening",
        "model",
        "model bytes",
    ]
    predictions = tmp_path / "predictions.csv"
    consortium.cli(first, "model", "predict", "--study", str(study.number), "--data", str(first.data), "--out", str(predictions))
    assert len(predictions.read_text("utf-8").splitlines()) == 121


def test_s6_privacy_losses_are_on_the_chain_and_audited(consortium: Consortium, open_study: MakeStudy) -> None:
    privacy = {"kind": "record", "noise_multiplier": 1.0, "max_grad_norm": 1.0, "sample_rate": 0.1, "epsilon": 5.0, "delta": 1e-5}
    changes = {"privacy": privacy, "preprocessing": {"standardise": "none"}, "weighting": {"kind": "uniform"}}
    study = open_study(rounds=1, changes=changes)
    study.finish([study.start(o) for o in consortium.organisations])
    (round_,) = study.rounds()
    checked = consortium.cli(consortium.organisations[2], "verify", str(round_["round"]))
    assert checked["verified"], checked
    (found,) = [c for c in checked["checks"] if c["name"] == "privacy"]
    assert "declared by all in the sum" in found["detail"]


def assert_nothing_secret_or_raw(consortium: Consortium, agents: list[Process]) -> None:
    """No password, no data row in any log; no password in any file of the homes."""
    logs = "".join(agent.log.read_text("utf-8") for agent in agents)
    password = consortium.password_file.read_text("utf-8")
    assert "verify-opening" in logs and password not in logs
    for organisation in consortium.organisations:
        assert organisation.data is not None
        row = organisation.data.read_text("utf-8").splitlines()[1]
        assert row not in logs and row.split(",")[0] not in logs
        assert password not in "".join(p.read_text("utf-8", errors="replace") for p in organisation.home.rglob("*.json"))


def test_c4_agents_killed_in_every_phase_go_on(consortium: Consortium, open_study: MakeStudy) -> None:
    """Each agent is killed with SIGKILL at the start of a phase, every phase of a round in turn, and started again. The sums have
    more than the 128 ciphertexts from which on two organisations combine a part each."""
    study = open_study(rounds=6, changes={"model": {"kind": "mlp", "hidden": [104, 104]}})
    agents = [study.start(o) for o in consortium.organisations]
    names = [o.name for o in consortium.organisations]
    for phase, victim in KILL_AT:
        may = names if victim is None else [names[victim]]
        study.watch.wait_for(lambda who, r, p=phase, n=may: who in n and r["phase"] == p and r["status"] == "start")  # type: ignore[misc]
        killed = names.index(study.watch.records[-1][0])
        agents[killed].kill()
        agents[killed] = study.start(consortium.organisations[killed])
    study.finish(agents)
    rounds = study.rounds()
    assert [r["phase"] for r in rounds] == ["finalised"] * 7, rounds
    for round_ in rounds:
        record = consortium.cli(consortium.organisations[0], "round", "show", str(round_["round"]))
        assert all(row["in_set"] and row["update_cid"] for row in record["participants"]), "no update was lost or made twice"
    assert consortium.cli(consortium.organisations[0], "verify", str(rounds[-1]["round"]))["verified"]


def test_c4_chain_and_ipfs_lost_in_a_round_come_back(consortium: Consortium, open_study: MakeStudy) -> None:
    study = open_study(rounds=3)
    agents = [study.start(o) for o in consortium.organisations]
    study.watch.wait_for(lambda who, r: r["phase"] == "reveal" and r["status"] == "start")
    beta = consortium.organisations[1]
    consortium.processes[f"ipfs-{beta.name}"].kill()
    study.watch.wait_for(lambda who, r: who == beta.name and "again in" in r.get("message", ""))
    consortium.start_ipfs(beta)
    study.watch.wait_for(lambda who, r: r["phase"] == "round" and r["status"] == "done")
    consortium.processes["chain"].stop()
    study.watch.wait_for(lambda who, r: "again in" in r.get("message", ""))
    consortium.start_chain()
    study.finish(agents)
    assert [r["phase"] for r in study.rounds()] == ["finalised"] * 4


def test_p7_one_of_four_never_answers(consortium: Consortium, open_study: MakeStudy) -> None:
    study = open_study(rounds=1, commit=12, reveal=10, attest=20, aggregate=20, share=20, finalise=20)
    study.finish([study.start(o) for o in consortium.organisations[:3]])
    rounds = study.rounds()
    assert [r["phase"] for r in rounds] == ["finalised"] * 2 and all(r["in_set"] == 3 for r in rounds)


def test_p7_a_round_without_enough_commitments_is_voided(consortium: Consortium, open_study: MakeStudy) -> None:
    study = open_study(rounds=1, commit=3)
    agents = [study.start(o) for o in consortium.organisations[:2]]
    for agent in agents:
        assert agent.popen.wait(120) == 6, agent.log.read_text("utf-8")[-2000:]
    assert [r["phase"] for r in study.rounds()] == ["voided"] * 3
    assert "3 rounds in a row were voided" in agents[0].log.read_text("utf-8")
