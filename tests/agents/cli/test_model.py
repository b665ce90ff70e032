"""`defedbio model` as a user runs it, over a study in process: what is printed, which exit codes, which files."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from eth_account import Account

from defedbio.chain.accounts import create_keystore, keystore_address, load_account
from defedbio.chain.signing import sign_card
from defedbio.cli.main import main
from defedbio.client.session import Session
from defedbio.models.card_checks import read_card
from tests.agents.models.finished_study import ReadOnly, finished_world
from tests.agents.protocol.in_process import FEATURES, PEOPLE, InProcess

PASSWORD = "correct horse"


@dataclass(frozen=True)
class Done:
    code: int
    out: str
    err: str


@pytest.fixture
def world() -> InProcess:
    return finished_world()


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an account; its password is PASSWORD."""
    folder = tmp_path_factory.mktemp("home")
    create_keystore(folder / "account.json", PASSWORD, iterations=2)
    return folder


@pytest.fixture
def model(world: InProcess, home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Done]:
    """The command line's own entry in this process, on the study above."""
    reader = ReadOnly(world)
    reader.members.add(keystore_address(home / "account.json"))
    monkeypatch.setattr(Session, "reader", lambda self: reader)
    monkeypatch.setenv("DEFEDBIO_HOME", str(home))
    monkeypatch.setenv("COLUMNS", "250")
    for name in ("DEFEDBIO_PASSWORD", "DEFEDBIO_PASSWORD_FILE"):
        monkeypatch.delenv(name, raising=False)

    def run(*arguments: object) -> Done:
        monkeypatch.setattr(sys, "argv", ["defedbio", "model", *map(str, arguments)])
        with pytest.raises(SystemExit) as caught:
            main()
        out = capsys.readouterr()
        return Done(int(caught.value.code or 0), out.out, out.err)

    return run


def test_list_prints_lineage_and_metrics_with_their_error(model: Callable[..., Done]) -> None:
    done = model("list", "--study", 1)
    assert done.code == 0, done.err
    (train,) = [line for line in done.out.splitlines() if "1 train" in line]
    assert "roc_auc" in train and "±" in train and "4" in train
    assert sum("newest" in line for line in done.out.splitlines()) == 1
    rows = json.loads(model("list", "--json").out)
    assert [r["round"] for r in rows] == [1, 2, 3]
    assert rows[1]["organisations"] == list(PEOPLE)
    assert rows[1]["metrics"]["roc_auc_error"] is not None


def test_get_signs_when_the_password_is_given_and_only_then(
    model: Callable[..., Done], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = json.loads(model("get", "--study", 1, "--out", tmp_path / "a", "--json").out)
    assert plain["signature"] is None and Path(plain["card"]).is_file()
    monkeypatch.setenv("DEFEDBIO_PASSWORD", PASSWORD)
    done = model("get", "--study", 1, "--out", tmp_path / "b")
    assert done.code == 0 and "signed: " in done.out
    assert (tmp_path / "b.card.sig.json").is_file()
    assert json.loads(model("get", "--study", 1, "--no-sign", "--out", tmp_path / "c", "--json").out)["signature"] is None
    monkeypatch.setenv("DEFEDBIO_PASSWORD", "wrong")
    wrong = model("get", "--study", 1, "--out", tmp_path / "d")
    assert wrong.code == 2 and "does not open the keystore" in wrong.err and not list(tmp_path.glob("d*"))
    monkeypatch.setenv("DEFEDBIO_HOME", str(tmp_path / "nobody"))
    none = model("get", "--study", 1, "--sign", "--out", tmp_path / "d")
    assert none.code == 2 and "no account" in none.err and not list(tmp_path.glob("d*"))


def test_card_shows_a_tick_for_each_check_and_never_others_control_characters(
    model: Callable[..., Done], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DEFEDBIO_PASSWORD", PASSWORD)
    model("get", "--study", 1, "--round", 2, "--out", tmp_path / "m")
    done = model("card", tmp_path / "m")
    assert done.code == 0, done.out
    assert [line.split()[1] for line in done.out.splitlines() if line.startswith("ok ")] == [
        *("file", "signature", "chain", "study", "names", "metrics")
    ]
    facts = [line for line in done.out.splitlines() if line.startswith("  ")]
    assert len(facts) == 5 and all(line[12:].startswith("[checked] ") for line in facts)
    assert "Evil <script>" in done.out and "\x1b" not in done.out
    monkeypatch.setattr(Session, "reader", lambda self: pytest.fail("offline asks nobody"))
    offline = model("card", tmp_path / "m", "--offline")
    assert offline.code == 0 and "the chain was not asked" in offline.out
    standing = [line[12:] for line in offline.out.splitlines() if line.startswith("  ")]
    assert standing[0].startswith("[checked]") and all(each.startswith("[the word of 0x") for each in standing[1:])
    (tmp_path / "m.card.sig.json").unlink()
    unsigned = model("card", tmp_path / "m", "--offline", "--json")
    told = json.loads(unsigned.out)
    assert unsigned.code == 2 and not told["verified"]
    assert told["standing"] == {"file": "checked"} | dict.fromkeys(("chain", "study", "names", "metrics"), "unverified")


def test_the_exit_code_says_who_is_at_fault(
    model: Callable[..., Done], home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """2: the files were changed by nobody knows whom. 4: the signer vouches for what is not so."""
    monkeypatch.setenv("DEFEDBIO_PASSWORD", PASSWORD)
    file, rows = tmp_path / "m", tmp_path / "rows.csv"
    rows.write_text(",".join(f"f{i}" for i in range(FEATURES)) + "\n" + ",".join(["0.5"] * FEATURES) + "\n", "utf-8")
    model("get", "--study", 1, "--round", 2, "--out", file)
    predict = ("predict", "--study", 1, "--data", rows, "--model", file, "--out", tmp_path / "p.csv")
    card, signature = tmp_path / "m.card.json", tmp_path / "m.card.sig.json"
    document = json.loads(card.read_text())
    document["chain"]["attested_by"] = document["chain"]["attested_by"][:1]
    card.write_text(json.dumps(document, indent=1, sort_keys=True) + "\n")
    for command in (("card", file), predict):
        done = model(*command)
        assert done.code == 2 and "under another card" in done.out + done.err
    account = load_account(home / "account.json", PASSWORD)
    changed = read_card(file)
    assert changed is not None
    resigned = json.loads(signature.read_text()) | {"typed_data": changed.statement.typed_data()}
    signature.write_text(json.dumps(resigned | {"signature": "0x" + sign_card(account, changed.statement).hex()}))
    for command in (("card", file), predict):
        done = model(*command)
        assert done.code == 4 and "differ in attested_by" in done.out + done.err
    assert account.address in done.err
    assert not (tmp_path / "p.csv").exists()
    for path in (card, signature):
        path.unlink()
    good = model(*predict)
    assert good.code == 0 and "vouched for by the chain: round 2 finalised it" in good.out
    assert len((tmp_path / "p.csv").read_text().splitlines()) == 2


def test_unsigned_is_a_word_that_must_be_said(model: Callable[..., Done], world: InProcess, tmp_path: Path) -> None:
    from defedbio.learning.state import genesis

    (tmp_path / "m").write_bytes(genesis(world.study.spec).to_bytes())
    export = ("export", "--study", 1, "--format", "safetensors", "--model", tmp_path / "m", "--out", tmp_path / "e")
    done = model(*export)
    assert done.code == 2 and "nobody vouches" in done.err and "--unsigned" in done.err and not (tmp_path / "e").exists()
    done = model(*export, "--signer", Account.create().address)
    assert done.code == 2
    done = model(*export, "--unsigned")
    assert done.code == 0 and "without a card" in done.out and (tmp_path / "e").is_file()


def test_report_prints_the_metrics_of_the_model_before(model: Callable[..., Done]) -> None:
    told = json.loads(model("report", "--study", 1, "--round", 2, "--json").out)
    rows = json.loads(model("list", "--study", 1, "--json").out)
    assert told["evaluation"] == rows[0]["metrics"]
