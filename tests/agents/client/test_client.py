"""The Python API where no chain is needed: settings, secrets, accounts, local files; and what it says when nothing is there."""

from __future__ import annotations

import getpass
import json
import os
import shutil
import subprocess
import sys
import traceback
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import pytest
from eth_account import Account

import defedbio
from defedbio import Client
from defedbio.chain.accounts import load_account
from defedbio.client.accounts import NewAccount
from defedbio.client.simulation import SimulatedRound
from defedbio.client.specs import parse
from defedbio.errors import InvalidInput, InvalidSpec, NotFound, WrongPassword
from defedbio.spec import StudySpec

PASSWORD = "a long enough password"
SPEC: dict[str, Any] = {
    "format": "defedbio-study/1",
    "name": "simulated",
    "task": {"kind": "binary", "target": "ill"},
    "features": {"kind": "table", "columns": [{"name": "age", "min": 0, "max": 100}, {"name": "dose", "min": 0, "max": 1}]},
    "model": {"kind": "linear"},
    "training": {"learning_rate": 0.3, "steps": 10, "batch_size": 32},
    "evaluation": {"bins": 32},
    "rounds": 2,
    "quantisation": {"slot_bits": 32, "clip_norm": 5.0},
    "seed": 1,
    "key": {"epoch": 1},
    "participants": {"seats": 4},
    "deadlines": dict.fromkeys(("enrol", "commit", "reveal", "attest", "aggregate", "share", "finalise"), 60),
}
PEOPLE = [f"0x{i:040x}" for i in range(0xA1, 0xA5)]
MODULE = "import torch\n\ndef build(spec):\n    return torch.nn.Linear(spec.features.width, 1)\n"


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Neither this machine's settings nor its folders."""
    for name in [name for name in os.environ if name.startswith("DEFEDBIO_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "nobody"))
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> NewAccount:
    """An account, made once, and its keystore sealed again so that it opens at once: as it is made, scrypt takes its time."""
    account = Client(tmp_path_factory.mktemp("account"), password=PASSWORD).account.new()
    keystore = Path(account.keystore)
    keystore.write_text(json.dumps(Account.encrypt(load_account(keystore, PASSWORD).key, PASSWORD, iterations=2)))
    return account


@pytest.fixture
def equipped(home: Path, made: NewAccount) -> Path:
    """A home with that account."""
    shutil.copytree(Path(made.keystore).parent, home)
    return home


@pytest.fixture
def sites(tmp_path: Path) -> list[Path]:
    """Labelled files of three organisations."""
    paths = []
    for seed in range(3):
        generator = np.random.default_rng(seed)
        frame = pd.DataFrame({"age": generator.uniform(20, 90, 80), "dose": generator.uniform(0, 1, 80)})
        frame["ill"] = (frame["age"] / 100 + generator.normal(0, 0.1, 80) > 0.55).astype(int)
        paths.append(tmp_path / f"site{seed}.csv")
        frame.to_csv(paths[-1], index=False)
    return paths


class TestSettings:
    def test_they_come_from_arguments_then_the_environment_then_defaults(self, monkeypatch: pytest.MonkeyPatch) -> None:
        assert repr(Client()) == "Client(home='~/.defedbio', network='build/networks/development.json', ipfs='/ip4/127.0.0.1/tcp/5001')"
        for name, value in {"HOME": "/srv/home", "NETWORK": "/srv/net.json", "IPFS": "/ip4/127.0.0.1/tcp/7"}.items():
            monkeypatch.setenv(f"DEFEDBIO_{name}", value)
        assert repr(Client()) == "Client(home='/srv/home', network='/srv/net.json', ipfs='/ip4/127.0.0.1/tcp/7')"
        assert "home='/srv/other'" in repr(Client("/srv/other"))

    def test_an_endpoint_with_credentials_is_not_shown(self) -> None:
        client = Client(rpc="https://user:credential@example.org")
        assert "credential" not in repr(client) + repr(vars(client))

    def test_nothing_is_opened_before_it_is_needed(self, home: Path) -> None:
        with Client(home, home / "network.json", "http://127.0.0.1:9", "/ip4/127.0.0.1/tcp/9") as client:
            assert client.study is client.study
        assert not home.exists()

    def test_a_missing_network_file_is_named_with_what_to_do(self) -> None:
        for ask in (lambda c: c.network, lambda c: c.round.list(1), lambda c: c.study.show(1), lambda c: c.verify(1)):
            with pytest.raises(NotFound, match=r"no network file at build/networks/development\.json .*brownie run deploy"):
                ask(Client())

    def test_importing_it_brings_no_torch_and_no_command_line(self) -> None:
        program = "import sys\nfrom defedbio import Client\nClient().study\nprint(*sys.modules, sep='\\n')"
        loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
        assert "defedbio.client" in loaded and not {"torch", "typer", "rdkit", "starlette"} & set(loaded)

    def test_the_package_has_nothing_else(self) -> None:
        with pytest.raises(AttributeError, match="has no attribute 'Clients'"):
            defedbio.Clients  # noqa: B018


class TestPassword:
    def test_it_is_in_no_repr_and_no_traceback(self, equipped: Path) -> None:
        wrong = Client(equipped, password="wrong-secret-password")
        assert "wrong-secret" not in repr(wrong) + repr(vars(wrong)) + repr(wrong._session)
        with pytest.raises(WrongPassword) as caught:
            wrong.register("x", multiaddr="/ip4/127.0.0.1/tcp/4001")
        shown = "".join(traceback.TracebackException.from_exception(caught.value, capture_locals=True).format())
        assert "<secret>" in shown, "the frames' variables are shown"
        assert "wrong-secret" not in shown

    def test_a_file_or_the_environment_gives_it(self, equipped: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        file = tmp_path / "password"
        file.write_text(PASSWORD + "\n")

        def register(client: Client) -> None:
            client.register("x", multiaddr="/ip4/127.0.0.1/tcp/4001")

        for client in (Client(equipped, password_file=file), Client(equipped)):
            with pytest.raises(NotFound, match="no network file"):
                # The account opens, and only then the network is looked for.
                register(client)
            monkeypatch.setenv("DEFEDBIO_PASSWORD", PASSWORD)
        monkeypatch.setenv("DEFEDBIO_PASSWORD_FILE", str(tmp_path / "nowhere"))
        with pytest.raises(InvalidInput, match="nowhere cannot be read"):
            register(Client(equipped))

    def test_both_are_refused(self, tmp_path: Path) -> None:
        with pytest.raises(InvalidInput, match="both"):
            Client(password=PASSWORD, password_file=tmp_path / "password")

    def test_it_is_asked_for_only_where_somebody_answers(self, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        answers = [PASSWORD, "another password", PASSWORD, PASSWORD]
        monkeypatch.setattr(getpass, "getpass", lambda prompt: answers.pop(0))
        with pytest.raises(InvalidInput, match="no password"):
            Client(home).account.new()
        assert len(answers) == 4, "nobody was asked"
        monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
        with pytest.raises(InvalidInput, match="differ"):
            Client(home).account.new()
        assert Client(home).account.new().keystore == str(home / "account.json")

    def test_a_notebook_that_nobody_reads_is_told(self, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(prompt: str) -> str:
            raise NotImplementedError

        monkeypatch.setattr(getpass, "getpass", refuse)
        monkeypatch.setitem(sys.modules, "ipykernel", ModuleType("ipykernel"))
        with pytest.raises(InvalidInput, match=r"no password .*DEFEDBIO_PASSWORD"):
            Client(home).account.new()
        assert not home.exists()


class TestAccount:
    def test_it_is_made_once(self, equipped: Path, made: NewAccount) -> None:
        client = Client(equipped, password=PASSWORD)
        assert client.address == made.address
        assert client.account.show().as_dict() == {"address": made.address, "transport_key": made.transport_key}
        files = {path.name: (path.stat().st_mode & 0o777, path.read_bytes()) for path in equipped.iterdir()}
        assert {name: mode for name, (mode, _) in files.items()} == {"account.json": 0o600, "transport.json": 0o600}
        with pytest.raises(InvalidInput, match="exists already"):
            client.account.new()
        assert {path.name: path.read_bytes() for path in equipped.iterdir()} == {name: raw for name, (_, raw) in files.items()}

    def test_a_short_password_is_refused_before_anything_is_written(self, home: Path) -> None:
        with pytest.raises(InvalidInput, match="at least 8"):
            Client(home, password="short").account.new()
        assert not home.exists()

    def test_without_one_the_hint_says_how(self, home: Path) -> None:
        for ask in (lambda c: c.address, lambda c: c.account.show(), lambda c: c.study.join(1, accept=True)):
            with pytest.raises(NotFound, match=r"no account at .*defedbio account new"):
                ask(Client(home, password=PASSWORD))


class TestLocalFiles:
    def test_data_is_checked_against_a_spec_however_it_is_given(self, tmp_path: Path, sites: list[Path]) -> None:
        file = tmp_path / "spec.json"
        file.write_text(json.dumps(SPEC))
        bad = tmp_path / "bad.csv"
        bad.write_text(sites[0].read_text("utf-8").replace("dose", "doze", 1))
        client = Client()
        for spec in (SPEC, file, str(file), StudySpec.from_bytes(file.read_bytes())):
            assert client.data.check(spec, sites[0]).ok
            report = client.data.check(spec, bad)
            assert not report.ok and report.problems[0].column == "dose"
        with pytest.raises(InvalidInput, match=r"nowhere\.json cannot be read"):
            client.data.check("nowhere.json", sites[0])
        with pytest.raises(InvalidSpec, match="rounds"):
            client.data.check(SPEC | {"rounds": -1}, sites[0])

    @pytest.mark.parametrize(
        ("invited", "reason"),
        [
            (PEOPLE[:2], "invited"),
            (PEOPLE[:3], "fewer organisations than there are seats"),
            ([*PEOPLE[:3], PEOPLE[2].upper().replace("X", "x")], "one of them twice"),
            ([*PEOPLE[:3], "0xA"], "invited"),
        ],
    )
    def test_who_is_invited_is_checked_before_a_study_opens(self, invited: list[str], reason: str) -> None:
        with pytest.raises(InvalidSpec, match=reason):
            parse(SPEC | {"participants": {"seats": 4, "invited": invited}})

    def test_a_study_is_simulated(self, tmp_path: Path, sites: list[Path]) -> None:
        told: list[SimulatedRound] = []
        out = tmp_path / "model.safetensors"
        done = Client().simulate(SPEC, sites, test=sites[0], seed=3, out=out, on_round=told.append)
        assert tuple(told) == done.rounds and [r.kind for r in told] == ["train", "train", "evaluate"]
        assert out.stat().st_size > 0 and not done.exact and not done.stopped_early
        table = pd.DataFrame(done.table())
        assert list(table["kind"]) == ["train", "train", "evaluate"]
        assert table["evaluation log_loss"].is_monotonic_decreasing, "every round measures what the round before made better"
        assert table["test samples"].tolist()[:2] == [80, 80]
        assert "statistics" not in done.as_dict()["rounds"][0] and json.loads(json.dumps(done.as_dict()))["seed"] == 3
        with pytest.raises(InvalidInput, match="exists already"):
            Client().simulate(SPEC, sites, out=out)

    def test_a_module_is_allowed(self, home: Path, tmp_path: Path) -> None:
        source = tmp_path / "mine.py"
        source.write_text(MODULE)
        client = Client(home)
        digest = client.module.allow(source)
        assert client.module.list() == [digest]
        (home / "modules" / f"{digest}.py").write_text(MODULE + "\n")
        with pytest.raises(InvalidInput, match="is not the source that was allowed"):
            client.module.list()


def test_a_study_is_not_joined_by_accident(home: Path) -> None:
    with pytest.raises(InvalidInput, match=r"not accepted .*accept=True"):
        Client(home, password=PASSWORD).study.join(1)


def test_the_doctor_finds_what_is_not_there(home: Path) -> None:
    found = {finding.name: finding for finding in Client(home, ipfs="nonsense").doctor()}
    assert found["torch"].level == "ok"
    assert (found["account"].level, found["transport key"].level) == ("warning", "warning")
    assert found["ipfs"].level == "error" and "not an RPC multiaddress" in found["ipfs"].detail
    assert found["chain and contracts"].level == "error" and "no network file" in found["chain and contracts"].detail
    assert "membership" not in found
