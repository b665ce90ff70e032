"""Bad input and trouble at the command line: a clear refusal, the right exit code, nothing lost."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from scripts.consortium import Consortium
from tests.integration.fixtures import Study, command

MakeStudy = Callable[..., Study]


def test_wrong_password(consortium: Consortium, tmp_path: Path) -> None:
    wrong = tmp_path / "password"
    wrong.write_text("not the password", "utf-8")
    done = command(consortium, consortium.organisations[0], "register", "--name", "alpha", DEFEDBIO_PASSWORD_FILE=str(wrong))
    assert done.returncode == 2 and "password" in done.stderr and "not the password" not in done.stderr + done.stdout


def test_no_password_and_no_terminal(consortium: Consortium) -> None:
    done = command(consortium, consortium.organisations[0], "register", "--name", "alpha", DEFEDBIO_PASSWORD_FILE="")
    assert done.returncode == 2 and "DEFEDBIO_PASSWORD" in done.stderr


def test_wrong_chain_id(consortium: Consortium, tmp_path: Path) -> None:
    network = json.loads(consortium.network_file.read_text("utf-8"))
    network["chain_id"] = 1
    other = tmp_path / "network.json"
    other.write_text(json.dumps(network), "utf-8")
    done = command(consortium, consortium.organisations[0], "round", "list", "--study", "1", "--network", str(other))
    assert done.returncode == 2 and "31337" in done.stderr and "1" in done.stderr


def test_contracts_that_are_not_there(consortium: Consortium, tmp_path: Path) -> None:
    network = json.loads(consortium.network_file.read_text("utf-8"))
    network["contracts"]["RoundManager"] = "0x" + "11" * 20
    other = tmp_path / "network.json"
    other.write_text(json.dumps(network), "utf-8")
    done = command(consortium, consortium.organisations[0], "round", "list", "--study", "1", "--network", str(other))
    assert done.returncode == 2 and "RoundManager" in done.stderr


def test_unknown_study_round_and_epoch(consortium: Consortium) -> None:
    first = consortium.organisations[0]
    for args in (("study", "show", "999"), ("round", "show", "999"), ("ceremony", "show", "--epoch", "999"), ("verify", "999")):
        done = command(consortium, first, *args)
        assert done.returncode == 2 and "999" in done.stderr, (args, done.stderr)


def test_unreachable_rpc_stops_clearly_after_a_bounded_wait(consortium: Consortium) -> None:
    done = command(consortium, consortium.organisations[0], "round", "list", "--study", "1", "--rpc", "http://user:secret@127.0.0.1:9")
    assert done.returncode == 3 and "127.0.0.1:9" in done.stderr and "secret" not in done.stderr


def test_unreachable_ipfs_stops_clearly_after_a_bounded_wait(consortium: Consortium) -> None:
    done = command(consortium, consortium.organisations[0], "register", "--name", "alpha", "--ipfs", "/ip4/127.0.0.1/tcp/9")
    assert done.returncode == 3 and "IPFS" in done.stderr


def test_run_refuses_what_was_not_accepted_and_data_that_does_not_fit(
    consortium: Consortium, open_study: MakeStudy, tmp_path: Path
) -> None:
    study = open_study()
    first = consortium.organisations[0]
    folder = next(p for p in (first.home / "studies").iterdir() if p.name.endswith(f"-{study.number}"))
    accepted = folder / "accepted.json"
    text = accepted.read_text("utf-8")
    accepted.unlink()
    done = command(consortium, first, "run", "--study", str(study.number), "--data", str(first.data))
    assert done.returncode == 2 and f"defedbio study join {study.number}" in done.stderr, "S2: never without the operator's consent"
    accepted.write_text(text.replace('"spec_hash": "', '"spec_hash": "00'), "utf-8")
    done = command(consortium, first, "run", "--study", str(study.number), "--data", str(first.data))
    assert done.returncode == 2 and "not the chain's" in done.stderr, "S2: only the spec that was accepted"
    accepted.write_text(text, "utf-8")
    done = command(consortium, first, "run", "--study", str(study.number))
    assert done.returncode == 2 and "--data" in done.stderr

    unfit_data(consortium, study, tmp_path)


def unfit_data(consortium: Consortium, study: Study, tmp_path: Path) -> None:
    first = consortium.organisations[0]
    assert first.data is not None
    lines = first.data.read_text("utf-8").splitlines()
    cells = lines[3].split(",")
    cells[1], cells[2] = "123456.75", "secret-text"
    lines[3] = ",".join(cells)
    bad = tmp_path / "bad.csv"
    bad.write_text("\n".join(lines) + "\n", "utf-8")
    checked = command(consortium, first, "data", "check", "--study", str(study.number), "--data", str(bad))
    assert checked.returncode == 1 and "f1" in checked.stdout and "f2" in checked.stdout and "3" in checked.stdout
    refused = command(consortium, first, "run", "--study", str(study.number), "--data", str(bad))
    assert refused.returncode == 2
    missing = command(consortium, first, "run", "--study", str(study.number), "--data", str(tmp_path / "nowhere.csv"))
    assert missing.returncode == 2 and "nowhere.csv" in missing.stderr
    for done in (checked, refused):
        assert "123456" not in done.stdout + done.stderr and "secret-text" not in done.stdout + done.stderr, (
            "no value leaves, not even to the terminal"
        )


def test_doctor_names_what_is_wrong(consortium: Consortium) -> None:
    first = consortium.organisations[0]
    good = command(consortium, first, "doctor", "--json")
    assert good.returncode == 0, good.stdout
    assert {f["level"] for f in json.loads(good.stdout) if f["name"] in ("ipfs", "chain and contracts", "membership")} == {"ok"}
    bad = command(consortium, first, "doctor", "--json", "--ipfs", "/ip4/127.0.0.1/tcp/9")
    assert bad.returncode == 1 and any(f["name"] == "ipfs" and f["level"] == "error" for f in json.loads(bad.stdout))


def test_account_is_never_overwritten(consortium: Consortium) -> None:
    first = consortium.organisations[0]
    before = (first.home / "account.json").read_bytes()
    done = command(consortium, first, "account", "new")
    assert done.returncode == 2 and "exists already" in done.stderr and (first.home / "account.json").read_bytes() == before


@pytest.mark.parametrize(
    "command",
    [
        ["account", "new"],
        ["account", "show"],
        ["register"],
        ["ceremony", "deal"],
        ["ceremony", "confirm"],
        ["ceremony", "show"],
        ["key", "list"],
        ["key", "destroy"],
        ["backup"],
        ["restore"],
        ["study", "create"],
        ["study", "show"],
        ["study", "join"],
        ["data", "check"],
        ["run"],
        ["top"],
        ["round", "list"],
        ["round", "show"],
        ["model", "list"],
        ["model", "get"],
        ["model", "card"],
        ["model", "report"],
        ["model", "predict"],
        ["model", "personalise"],
        ["model", "export"],
        ["verify"],
        ["ipfs", "serve"],
        ["doctor"],
    ],
    ids=" ".join,
)
def test_every_command_has_help(command: list[str]) -> None:
    from typer.testing import CliRunner

    from defedbio.cli.main import build

    result = CliRunner().invoke(build(), [*command, "--help"])
    assert result.exit_code == 0 and "--json" in result.output
