"""The Python API over the finished study of a real consortium: the command line's facts, and the notebook from top to bottom."""

from __future__ import annotations

import json
import os
import sys
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nbformat
import pandas as pd
import pytest
from ipykernel.kernelspec import write_kernel_spec
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient

from defedbio import Client, RunOptions
from defedbio.cli.main import main
from defedbio.client.studies import Consent
from defedbio.errors import InvalidInput, NotFound
from scripts.consortium import ROOT, Consortium, Organisation
from tests.integration.fixtures import Study

NOTEBOOK = ROOT / "docs" / "notebooks" / "study.ipynb"
SECONDS_A_CELL = 120
Cli = Callable[..., Any]
RESULTS = """
print(json.dumps({
    "address": client.address,
    "participants": list(study.participants),
    "report": report.to_json(),
    "simulated": simulation.table(),
    "trials": trials.to_dict("records"),
    "final": [final(simulation), final(exact)],
    "rounds": rounds.reset_index().to_dict("records"),
    "record": record.as_dict(),
    "checks": checks.to_dict("records"),
    "models": [m.to_json() for m in client.model.list(STUDY)],
    "scores": scores.reset_index().to_dict("records"),
    "agreement": agreement,
}))
"""


@pytest.fixture
def organisation(consortium: Consortium) -> Organisation:
    return consortium.organisations[1]


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], consortium: Consortium) -> Cli:
    """`defedbio ... --json` of an organisation, in this process: importing everything anew for every call would take most of the time."""

    def run(organisation: Organisation, *arguments: object) -> Any:
        with monkeypatch.context() as patch:
            for name, value in consortium.environment(organisation).items():
                patch.setenv(name, value)
            patch.setattr(sys, "argv", ["defedbio", *map(str, arguments), "--json"])
            with pytest.raises(SystemExit) as caught:
                main()
        out = capsys.readouterr()
        assert not caught.value.code, out.err
        return json.loads(out.out)

    return run


@pytest.fixture
def client(consortium: Consortium, organisation: Organisation) -> Iterator[Client]:
    with Client(
        organisation.home, consortium.network_file, consortium.rpc, organisation.ipfs_api, password_file=consortium.password_file
    ) as made:
        yield made


def test_the_client_says_what_the_command_line_says(
    cli: Cli, organisation: Organisation, client: Client, finished: Study, tmp_path: Path
) -> None:
    number, data = finished.number, organisation.data
    assert data is not None

    def said(*arguments: object) -> Any:
        return cli(organisation, *arguments)

    def same(answer: Any, *args: object) -> None:
        plain = [each.as_dict() for each in answer] if isinstance(answer, list) else answer.as_dict()
        assert json.loads(json.dumps(plain)) == said(*args)

    rounds = client.round.list(number)
    same(rounds, "round", "list", "--study", number)
    last = rounds[-1].round
    same(client.round.show(last), "round", "show", last)
    same(client.study.show(number), "study", "show", number)
    same(client.study.join(number, accept=True), "study", "join", number, "--yes")
    same(client.account.show(), "account", "show")
    epoch = client.study.spec(number).key_epoch
    same(client.ceremony.show(epoch), "ceremony", "show", "--epoch", epoch)
    same(client.ceremony.confirm(epoch), "ceremony", "confirm", "--epoch", epoch)
    assert client.data.check(number, data).to_json() == said("data", "check", "--study", number, "--data", data)
    findings = client.doctor()
    assert [f.name for f in findings] == [f["name"] for f in said("doctor")]
    assert {f.level for f in findings if f.name in ("ipfs", "chain and contracts", "membership", "transport key on chain")} == {"ok"}

    seen: list[str] = []
    checks = client.verify(last, on_check=lambda check: seen.append(check.name))
    assert all(check.ok for check in checks) and seen == [c["name"] for c in said("verify", last)["checks"]]
    assert client.model.report(number) == said("model", "report", "--study", number)
    assert [m.to_json() for m in client.model.list(number)] == said("model", "list", "--study", number)

    ours, theirs = tmp_path / "ours.csv", tmp_path / "theirs.csv"
    predictions = client.model.predict(number, data, ours)
    told = said("model", "predict", "--study", number, "--data", data, "--out", theirs)
    assert ours.read_bytes() == theirs.read_bytes() and predictions.as_dict() | {"file": str(theirs)} == told
    assert len(pd.DataFrame(predictions.table())) == len(predictions) == told["rows"]


def test_saying_no_to_a_study_changes_nothing(client: Client, finished: Study) -> None:
    asked: list[Consent] = []
    assert client.study.join(finished.number, confirm=lambda consent: bool(asked.append(consent))) is None
    assert asked == [client.study.consent(finished.number)]
    assert str(asked[0]) == client.study.describe(finished.number) and "integration" in str(asked[0])


def test_what_is_not_there_is_said(client: Client, finished: Study) -> None:
    for ask in (client.study.show, client.round.list, client.round.show, client.verify, client.ceremony.show, client.top):
        with pytest.raises(NotFound, match="999"):
            ask(999)
    with pytest.raises(InvalidInput, match=r"needs this organisation's data"):
        client.run(finished.number, options=RunOptions(metrics=False))


def test_a_complete_study_is_run_to_its_end_at_once(client: Client, organisation: Organisation, finished: Study) -> None:
    records: list[dict[str, Any]] = []
    assert client.run(finished.number, organisation.data, RunOptions(metrics=False), on_record=records.append)
    assert "the study is complete" in [r.get("message") for r in records]
    assert client.top(finished.number).complete


def test_models_as_files(client: Client, organisation: Organisation, finished: Study, tmp_path: Path) -> None:
    file = client.model.get(finished.number, tmp_path / "model.safetensors")
    assert file.signature is not None, "the password is given, so the card is signed"
    card = client.model.card(file.file)
    assert card.ok and card.signer == client.address
    exported = client.model.export(finished.number, tmp_path / "model.onnx", model=file.file)
    assert exported.hash == file.hash and (tmp_path / "model.onnx").stat().st_size == exported.bytes
    assert organisation.data is not None
    tuned = client.model.personalise(finished.number, organisation.data, tmp_path / "own.safetensors", sign=False)
    assert tuned.file.signature is None and set(tuned.as_dict()["personalised"]) == set(tuned.as_dict()["global"])
    with pytest.raises(InvalidInput, match="exists already"):
        client.model.get(finished.number, tmp_path / "model.safetensors")


def test_evidence_is_made_and_checked(client: Client, consortium: Consortium, finished: Study, tmp_path: Path) -> None:
    bundle = client.audit.make(finished.number, tmp_path / "evidence.zip")
    assert bundle.made.verdict == "verified", bundle.as_dict()["checks"]
    path, own = tmp_path / "evidence.zip", Client(tmp_path).audit
    found = own.check(path, network=consortium.network_file, rpc=consortium.rpc, id=bundle.made.id)
    assert (found.verdict, found.study, found.id) == ("verified", finished.number, bundle.made.id)
    assert own.check(path).verdict == "consistent in itself"
    with pytest.raises(InvalidInput, match="64 hexadecimal digits"):
        client.audit.check(tmp_path / "evidence.zip", id="0x12")


def test_the_embedded_node_runs_while_it_is_wanted(tmp_path: Path) -> None:
    with Client(tmp_path / "home").ipfs.serve(rpc_port=0) as node:
        found = {f.name: f for f in Client(tmp_path / "home", ipfs=node.ready.rpc).doctor()}
        assert found["ipfs"].level == "ok" and node.ready.peer_id in found["ipfs"].detail
    assert not node.running()


def test_the_explorer_runs_while_it_is_wanted(client: Client) -> None:
    with client.explorer.serve(port=0) as url:
        assert urllib.request.urlopen(url, timeout=30).status == 200
    with pytest.raises(OSError):
        urllib.request.urlopen(url, timeout=5)


def test_the_notebook_runs_from_top_to_bottom(consortium: Consortium, cli: Cli, finished: Study, tmp_path: Path) -> None:
    """As another organisation, without its password; with this interpreter's kernel, and nothing left in anybody's home."""
    organisation = consortium.organisations[2]
    assert organisation.data is not None
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    assert not any(cell.get("outputs") or cell.get("execution_count") for cell in notebook.cells), "it is kept without outputs"
    results = nbformat.v4.new_code_cell(RESULTS)
    notebook.cells.insert(-1, results)
    env = consortium.environment(organisation) | {
        "DEFEDBIO_PASSWORD_FILE": "",
        "DEFEDBIO_STUDY": str(finished.number),
        "DEFEDBIO_DATA": str(organisation.data),
    }
    found = run_notebook(notebook, results, tmp_path, env)

    number, newest = finished.number, found["record"]["round"]
    assert found["address"] == organisation.address and set(found["participants"]) == {o.address for o in consortium.organisations}
    assert found["report"] == cli(organisation, "data", "check", "--study", number, "--data", organisation.data)
    assert found["rounds"] == cli(organisation, "round", "list", "--study", number)
    assert found["record"] == cli(organisation, "round", "show", newest) and newest == finished.rounds()[-1]["round"]
    assert [c["name"] for c in found["checks"]] == [c["name"] for c in cli(organisation, "verify", newest)["checks"]]
    assert all(c["ok"] for c in found["checks"])
    assert found["models"] == cli(organisation, "model", "list", "--study", number)

    assert [r["kind"] for r in found["simulated"]] == ["moments", "train", "evaluate"]
    losses = {t["learning_rate"]: t["log_loss"] for t in found["trials"]}
    assert min(losses, key=losses.__getitem__) != 0.01, "after one short round a tiny learning rate is not the best"
    plain, exact = found["final"]
    assert exact["log_loss"] == pytest.approx(plain["log_loss"], rel=0.05)

    out = tmp_path / "predictions.csv"
    cli(organisation, "model", "predict", "--study", number, "--data", organisation.data, "--out", out)
    predicted = pd.read_csv(out)
    assert [row["row"] for row in found["scores"]] == predicted["row"].tolist()
    scores = [value for row in found["scores"] for name, value in row.items() if name != "row"]
    assert scores == pytest.approx(predicted.iloc[:, 1].tolist(), abs=1e-5)
    labels = pd.read_csv(organisation.data)["label"]
    assert found["agreement"] == pytest.approx(((predicted.iloc[:, 1] > 0.5) == (labels == 1)).mean()) and found["agreement"] > 0.7


def run_notebook(notebook: Any, results: Any, folder: Path, env: dict[str, str]) -> dict[str, Any]:
    """Execute it in a kernel of its own; what its results cell printed."""
    kernels, home = folder / "kernels", folder / "home"
    home.mkdir()
    write_kernel_spec(kernels / "running-interpreter")
    manager = AsyncKernelManager(
        kernel_name="running-interpreter",
        kernel_spec_manager=KernelSpecManager(kernel_dirs=[str(kernels)], ensure_native_kernel=False),
        connection_file=str(folder / "kernel.json"),
    )
    executor = NotebookClient(
        notebook, km=manager, timeout=SECONDS_A_CELL, resources={"metadata": {"path": str(folder)}}, allow_errors=False
    )
    where = {"HOME": str(home), "IPYTHONDIR": str(home / "ipython"), "PYTHONPATH": str(ROOT), "PYDEVD_DISABLE_FILE_VALIDATION": "1"}
    executor.execute(env={**os.environ, **env, **where})
    (printed,) = (o.text for o in results.outputs if o.output_type == "stream" and o.name == "stdout")
    return dict(json.loads(printed))
