"""The model registry on a real consortium: list, fetch with a card, check, tamper, predict, tune, export; all through the command line."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest

from scripts.consortium import Consortium, Organisation, cli_command
from tests.integration.fixtures import FEATURES, Study, command


def refused(consortium: Consortium, organisation: Organisation, *args: object) -> tuple[int, str]:
    """Exit code and standard error of a command that does not end well."""
    done = command(consortium, organisation, *args)
    assert done.returncode != 0, done.stdout
    assert "Traceback" not in done.stderr
    return done.returncode, done.stderr + done.stdout


def test_the_registry_of_a_finished_study(consortium: Consortium, finished: Study, tmp_path: Path) -> None:
    alpha, beta, *_ = consortium.organisations
    study = ("--study", str(finished.number))

    # Listed: a round of statistics, one of training, an evaluation that measures it.
    rows = consortium.cli(alpha, "model", "list", *study)["rows"]
    assert [(r["kind"], r["newest"]) for r in rows] == [("moments", False), ("train", False), ("evaluate", True)]
    assert [r["parent"] for r in rows] == [0, rows[0]["round"], rows[1]["round"]]
    assert all(sorted(r["organisations"]) == sorted(o.address for o in consortium.organisations) for r in rows)
    assert rows[1]["measured_in"] == rows[2]["round"]
    assert rows[1]["metrics"]["roc_auc"] > 0.7 > abs(rows[0]["metrics"]["roc_auc"] - 0.5), "training told"
    chosen = ("--round", str(rows[1]["round"]))

    # Fetched by one organisation, which signs; checked by another, from the files and the chain, and from the files alone.
    file = tmp_path / "model.safetensors"
    got = consortium.cli(alpha, "model", "get", *study, *chosen, "--out", str(file))
    assert got["hash"] == rows[1]["hash"] and Path(got["signature"]).is_file() and Path(got["page"]).is_file()
    online = consortium.cli(beta, "model", "card", str(file))
    assert online["verified"] and online["signer"] == alpha.address
    assert [c["name"] for c in online["checks"]] == ["file", "signature", "chain", "study", "names", "metrics"]
    assert online["card"]["names"][beta.address] == "beta"
    assert len(online["card"]["chain"]["attested_by"]) >= 3
    nowhere = {**consortium.environment(beta), "DEFEDBIO_NETWORK": str(tmp_path / "none"), "DEFEDBIO_RPC": "http://127.0.0.1:1"}
    told = consortium.run(
        "card-offline", [*cli_command(), "model", "card", str(file), "--offline", "--signer", alpha.address, "--json"], nowhere
    )
    assert json.loads(told)["verified"]
    code, reason = refused(consortium, beta, "model", "card", file, "--signer", beta.address)
    assert code == 2 and "not whose signature was asked for" in reason
    code, reason = refused(consortium, alpha, "model", "get", *study, "--out", file)
    assert code == 2 and "exists already" in reason

    # Applied from the file and from the chain: the same.
    predictions = {}
    for name, extra in (("chain", chosen), ("file", ("--model", str(file)))):
        out = tmp_path / f"{name}.csv"
        consortium.cli(beta, "model", "predict", *study, *extra, "--data", str(beta.data), "--out", str(out))
        predictions[name] = out.read_text("utf-8")
    assert predictions["chain"] == predictions["file"]

    # Exported, and computed by other software.
    exported = consortium.cli(beta, "model", "export", *study, "--model", str(file), "--out", str(tmp_path / "model.onnx"))
    assert exported["format"] == "onnx"
    assert consortium.cli(alpha, "model", "card", exported["file"])["signer"] == beta.address
    with Path(str(beta.data)).open(encoding="utf-8") as stream:
        x = np.array([[float(row[f"f{i}"]) for i in range(FEATURES)] for row in csv.DictReader(stream)], dtype=np.float32)
    session = ort.InferenceSession(exported["file"], providers=["CPUExecutionProvider"])
    assert session.get_modelmeta().custom_metadata_map["round_model_cid"] == rows[1]["cid"]
    (scores,) = session.run(["scores"], {"features": x})
    expected = [float(line.split(",")[1]) for line in predictions["file"].splitlines()[1:]]
    np.testing.assert_allclose(np.asarray(scores)[:, 0], expected, atol=1e-5)
    plain = consortium.cli(
        beta, "model", "export", *study, *chosen, "--format", "safetensors", "--no-sign", "--out", str(tmp_path / "plain")
    )
    assert plain["signature"] is None

    # Tuned: the own signature vouches for it here, and for nobody else until they say so.
    tuned = tmp_path / "tuned.safetensors"
    done = consortium.cli(beta, "model", "personalise", *study, *chosen, "--data", str(beta.data), "--out", str(tuned))
    assert done["moves"] in ("nothing", "intercept", "last layer", "all")
    again = ("model", "predict", *study, "--model", str(tuned), "--data", str(alpha.data))
    consortium.cli(beta, *again, "--out", str(tmp_path / "own.csv"))
    consortium.cli(alpha, *again, "--out", str(tmp_path / "trusted.csv"), "--signer", beta.address)
    if done["moves"] != "nothing":
        code, reason = refused(consortium, alpha, *again, "--out", tmp_path / "stranger.csv")
        assert code == 2 and "not trusted here" in reason and not (tmp_path / "stranger.csv").exists()

    _tampering(consortium, beta, file, study, tmp_path)


def _tampering(consortium: Consortium, organisation: Organisation, file: Path, study: tuple[str, ...], folder: Path) -> None:
    """Each change is refused for its own reason before the file is used."""
    card, signature = (file.with_name(file.name + ending) for ending in (".card.json", ".card.sig.json"))
    whole = {path: path.read_bytes() for path in (file, card, signature)}

    def changed(path: Path, raw: bytes, reason: str) -> None:
        path.write_bytes(raw)
        command = ("predict", *study, "--data", organisation.data, "--model", file, "--out", folder / "no.csv")
        code, told = refused(consortium, organisation, "model", *command)
        assert code == 2 and reason in told, told
        path.write_bytes(whole[path])

    changed(file, whole[file][:-1] + bytes([whole[file][-1] ^ 1]), "not the one that its card names")
    document: Any = json.loads(whole[card])
    document["study"]["description"] = "cures everything"
    changed(card, (json.dumps(document, indent=1, sort_keys=True) + "\n").encode(), "under another card")
    document = json.loads(whole[signature])
    document["typed_data"]["domain"]["chainId"] = 1
    changed(signature, json.dumps(document).encode(), "the signature is for chain '1'")
    assert not list(folder.glob("no.*"))


def test_what_is_not_there(consortium: Consortium, finished: Study, tmp_path: Path) -> None:
    alpha = consortium.organisations[0]
    code, reason = refused(consortium, alpha, "model", "get", "--study", finished.number, "--round", 4000, "--out", tmp_path / "m")
    assert code == 2 and "no model of round 4000" in reason
    code, reason = refused(consortium, alpha, "model", "list", "--study", 4000)
    assert code == 2 and "there is no study 4000" in reason
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("arguments", [("list",), ("list", "--no-metrics")])
def test_all_studies_are_listed(consortium: Consortium, finished: Study, arguments: tuple[str, ...]) -> None:
    rows = consortium.cli(consortium.organisations[0], "model", *arguments)["rows"]
    assert {finished.number} <= {r["study"] for r in rows}
