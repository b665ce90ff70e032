"""A bundle of a study that real processes ran, made and checked through the command line; the check where there is no network."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from scripts.consortium import ROOT, cli_command
from tests.integration.fixtures import NAMES, Study, command

# A namespace without interfaces, where the kernel lets one be made: not even loopback answers there.
NO_NETWORK = ["unshare", "--user", "--map-root-user", "--net"]


@pytest.fixture(scope="session")
def evidence(finished: Study, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    out = tmp_path_factory.mktemp("audit") / "evidence"
    made = finished.consortium.cli(
        finished.consortium.organisations[1], "audit", "make", "--study", str(finished.number), "--out", str(out)
    )
    return out, made


def check(finished: Study, bundle: Path, *options: str, without: Sequence[str] = ()) -> tuple[int, dict[str, Any], str]:
    """Exit code, JSON and messages of a check in a process that has no addresses to use, started by the command `without` if given."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("DEFEDBIO_")}
    nowhere = {"DEFEDBIO_RPC": "http://192.0.2.1:1", "DEFEDBIO_IPFS": "/ip4/192.0.2.1/tcp/1", "HOME": str(bundle.parent)}
    argv = [*without, *cli_command(), "audit", "check", str(bundle), "--json", *options]
    with finished.consortium.popen(
        argv,
        cwd=ROOT,
        env={**environment, **nowhere},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        output, errors = process.communicate(timeout=300)
    return process.returncode, json.loads(output) if output.startswith("{") else {}, errors


def test_a_bundle_is_made_and_checked_with_no_network(finished: Study, evidence: tuple[Path, dict[str, Any]]) -> None:
    bundle, made = evidence
    assert (made["verdict"], made["missing"]) == ("verified", [])
    possible = shutil.which("unshare") is not None and subprocess.run([*NO_NETWORK, "true"], capture_output=True).returncode == 0
    code, told, _ = check(finished, bundle, "--id", made["id"], without=NO_NETWORK if possible else ())
    assert (code, told["verdict"], told["id"], told["not_possible"]) == (7, "consistent in itself", made["id"], [])
    assert told["own_word"] == ["network", "chain"] and "is the bundle's own word" in told["against"]
    assert told["anchor"] == made["anchor"] and told["compared_with_id"] and not told["compared_with_node"]
    rounds = {check["name"].split(":")[0] for check in told["checks"] if check["name"].startswith("round ")}
    assert len(rounds) == len(finished.rounds()) == 3
    report = (bundle / "report.html").read_text("utf-8")
    assert all(name in report for name in NAMES) and "Measured of the starting model" in report and "roc_auc" in report


def test_it_is_verified_against_the_auditors_own_network_and_node(
    finished: Study, evidence: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    consortium = finished.consortium
    told = consortium.cli(consortium.organisations[0], "audit", "check", str(evidence[0]), "--rpc", consortium.rpc)
    assert (told["verdict"], told["own_word"], told["compared_with_network"]) == ("verified", [], True), (
        "$DEFEDBIO_NETWORK is the auditor's"
    )
    assert told["checks"][-1]["name"] == "chain" and told["checks"][-1]["ok"]
    other = json.loads(consortium.network_file.read_text()) | {"chain_id": 5}
    (tmp_path / "other.json").write_text(json.dumps(other))
    code, told, _ = check(finished, evidence[0], "--network", str(tmp_path / "other.json"))
    assert (code, told["verdict"]) == (4, "NOT verified") and told["checks"][-1]["name"] == "network"


def test_a_changed_bundle_fails_and_says_where(finished: Study, evidence: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    bundle = Path(shutil.copytree(evidence[0], tmp_path / "evidence"))
    blob = sorted((bundle / "blobs").iterdir())[0]
    blob.write_bytes(blob.read_bytes()[:-1] + b"!")
    code, told, _ = check(finished, bundle)
    assert code == 4 and told["verdict"] == "NOT verified"
    assert [c["detail"].split()[0] for c in told["checks"] if not c["ok"]] == [f"blobs/{blob.name}"]
    code, _, said = check(finished, tmp_path)
    assert code == 2 and "is not a bundle" in said
    code, _, said = check(finished, bundle, "--id", "abc")
    assert code == 2 and "64 hexadecimal digits" in said


def test_a_zip_without_updates_is_partly_verified(finished: Study, tmp_path: Path) -> None:
    consortium, out = finished.consortium, tmp_path / "small.zip"
    made = consortium.cli(
        consortium.organisations[0], "audit", "make", "--study", str(finished.number), "--out", str(out), "--without-updates"
    )
    code, told, _ = check(finished, out, "--network", str(consortium.network_file), "--block", made["anchor"]["hash"])
    assert (code, told["verdict"]) == (1, "partly verified")
    rounds, *updates, chain = told["not_possible"]
    assert rounds == "rounds" and made["complete"] == [] and len(made["incomplete"]) == 3
    assert all(name.endswith(": updates") for name in updates) and len(updates) == 3 and chain == "chain"


def test_nothing_is_overwritten(finished: Study, tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    organisation = finished.consortium.organisations[0]
    done = command(finished.consortium, organisation, "audit", "make", "--study", finished.number, "--out", tmp_path / "there")
    assert done.returncode == 2 and "exists already" in done.stderr
    assert list((tmp_path / "there").iterdir()) == []
