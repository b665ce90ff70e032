"""The scripts, run in this process on the development chain."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest
from brownie import accounts, chain, web3
from eth_account import Account
from eth_utils import keccak

from defedbio.chain.network import CONTRACTS, Network
from defedbio.errors import BlobMismatch, InvalidInput, NotFound, WrongChain
from defedbio.ipfs.cid import cid_of
from defedbio.spec import StudySpec
from scripts import admit, chainlib, compiler, deploy, inspect_round, open_round, open_study, verification
from scripts.consortium import one_brownie
from tests.contracts.consortium import CID, Consortium, Life, as_bytes, word

HOUR = 3600
SPEC = {
    "format": "defedbio-study/1",
    "name": "Solubility",
    "task": {"kind": "binary", "target": "soluble"},
    "features": {"kind": "table", "columns": [{"name": "mass", "min": 0, "max": 900, "unit": "g/mol"}]},
    "preprocessing": {"standardise": "federated"},
    "model": {"kind": "logistic"},
    "training": {"learning_rate": 0.1, "steps": 5, "batch_size": 8},
    "rounds": 4,
    "quantisation": {"slot_bits": 32, "clip_norm": 1.0},
    "seed": 7,
    "participants": {"seats": 5, "minimum": 3},
    "deadlines": {name: (i + 1) * HOUR for i, name in enumerate(("enrol", "commit", "reveal", "attest", "aggregate", "share", "finalise"))},
}


@pytest.fixture(autouse=True)
def environment(monkeypatch, tmp_path):
    for name in ("FOUNDERS", "ACCOUNT", "PASSWORD_FILE", "CANDIDATE", "SPEC", "SPEC_CID", "STUDY", "ROUND"):
        monkeypatch.delenv(f"DEFEDBIO_{name}", raising=False)
    monkeypatch.setenv("DEFEDBIO_NETWORK", str(tmp_path / "networks" / "network.json"))


@pytest.fixture
def deployed(monkeypatch) -> Consortium:
    monkeypatch.setenv("DEFEDBIO_FOUNDERS", ",".join(account.address for account in accounts[:3]))
    with one_brownie():
        deploy.main()
    names = ("ParticipantRegistry", "KeyRegistry", "StudyRegistry", "RoundManager")
    return Consortium(*(chainlib.contract(name) for name in names), accounts[:3])


def test_deploy_writes_the_network_file(deployed):
    network = Network.load(chainlib.network_file())
    assert network.chain_id == chain.id
    assert network.contracts["RoundManager"] == deployed.rounds.address
    assert network.deploy_block == chain.height - 3
    assert deployed.participants.memberCount() == 3


def test_deploy_makes_the_sender_the_founder_when_none_is_named(monkeypatch):
    with one_brownie():
        deploy.main()
    assert chainlib.contract("ParticipantRegistry").isMember(accounts[0])
    assert chainlib.contract("ParticipantRegistry").memberCount() == 1


@pytest.mark.parametrize("name", CONTRACTS)
def test_other_explorers_can_verify_what_was_deployed(deployed, name):
    """The standard-json input alone, with no file beside it, compiles to the code on the chain, metadata hash included."""
    folder = chainlib.verification_folder() / name
    document = json.loads((folder / "standard-input.json").read_text())
    assert all(set(source) == {"content"} for source in document["sources"].values())
    output = compiler.compile_standard(document, None)["contracts"][f"contracts/{name}.sol"][name]
    address = Network.load(chainlib.network_file()).contracts[name]
    on_chain = bytes(web3.eth.get_code(address))
    immutables = output["evm"]["deployedBytecode"]["immutableReferences"]
    assert without(immutables, bytes.fromhex(output["evm"]["deployedBytecode"]["object"])) == without(immutables, on_chain)
    metadata = (folder / "metadata.json").read_bytes()
    assert metadata.decode() == output["metadata"]
    assert ipfs_hash(metadata) in on_chain[-int.from_bytes(on_chain[-2:], "big") - 2 :], "the deployed code ends with the metadata's CID"
    arguments = (folder / "constructor-arguments").read_text()
    request = json.loads((folder / "sourcify.json").read_text())
    creation = web3.eth.get_transaction(request["creationTransactionHash"])["input"]
    assert bytes(creation).hex() == output["evm"]["bytecode"]["object"] + arguments
    assert (request["stdJsonInput"], request["contractIdentifier"]) == (document, f"contracts/{name}.sol:{name}")
    assert request["compilerVersion"].startswith("0.8.30+commit.")
    repository = folder.parent / "contracts" / "full_match" / str(chain.id) / address
    assert (repository / "metadata.json").read_bytes() == metadata
    assert {path: (repository / "sources" / path).read_text() for path in json.loads(metadata)["sources"]} == {
        path: source["content"] for path, source in document["sources"].items()
    }


def without(immutables: dict[str, list[dict[str, int]]], code: bytes) -> bytes:
    """Deployed code with what the constructor wrote into it set to zero."""
    masked = bytearray(code)
    for places in immutables.values():
        for place in places:
            masked[place["start"] : place["start"] + place["length"]] = bytes(place["length"])
    return bytes(masked)


def ipfs_hash(data: bytes) -> bytes:
    """The multihash of the CIDv0 of a file of one block."""

    def field(tag: int, value: bytes) -> bytes:
        return bytes((tag,)) + varint(len(value)) + value

    def varint(number: int) -> bytes:
        return bytes((number,)) if number < 128 else bytes((number & 127 | 128,)) + varint(number >> 7)

    unixfs = b"\x08\x02" + field(0x12, data) + b"\x18" + varint(len(data))
    return b"\x12\x20" + hashlib.sha256(field(0x0A, unixfs)).digest()


def test_brownies_own_settings_stop_a_deployment():
    ours: dict[str, Any] = {name: output["evm"]["bytecode"]["object"] for name, output in compiler.outputs().items()}
    verification.check_same(ours)
    with pytest.raises(SystemExit, match="Brownie compiled RoundManager with settings of its own"):
        verification.check_same(ours | {"RoundManager": "6000"})


def test_the_sender_may_be_a_keystore(monkeypatch, tmp_path):
    organisation = Account.create()
    (tmp_path / "keystore.json").write_text(json.dumps(organisation.encrypt("correct horse", iterations=2)))
    (tmp_path / "password").write_text("correct horse\n")
    monkeypatch.setenv("DEFEDBIO_ACCOUNT", str(tmp_path / "keystore.json"))
    with pytest.raises(SystemExit, match="DEFEDBIO_PASSWORD_FILE"):
        chainlib.sender()
    monkeypatch.setenv("DEFEDBIO_PASSWORD_FILE", str(tmp_path / "password"))
    assert chainlib.sender().address == organisation.address


def test_a_missing_or_foreign_network_file_is_named(deployed):
    path = chainlib.network_file()
    record = json.loads(path.read_text())
    path.write_text(json.dumps(record | {"chain_id": record["chain_id"] + 1}))
    with pytest.raises(WrongChain, match="is the record of chain"):
        chainlib.contract("RoundManager")
    path.unlink()
    with pytest.raises(InvalidInput, match="cannot read the network file"):
        chainlib.contract("RoundManager")


def test_R1_admit_votes(deployed, monkeypatch, capsys):
    candidate = accounts[5]
    deployed.participants.register(("Sixth", CID, word("key"), ""), {"from": candidate})
    monkeypatch.setenv("DEFEDBIO_CANDIDATE", candidate.address)
    admit.main()
    assert "more members must" in capsys.readouterr().out
    admit.admit(deployed.participants, candidate.address, accounts[1])
    assert deployed.participants.isMember(candidate)
    monkeypatch.delenv("DEFEDBIO_CANDIDATE")
    with pytest.raises(SystemExit, match="DEFEDBIO_CANDIDATE"):
        admit.main()


def test_S1_open_study_takes_the_rules_from_the_spec(deployed, tmp_path):
    spec = StudySpec.from_bytes(json.dumps(SPEC | {"key": {"epoch": deployed.active_key(accounts[:3], 2)}}).encode())
    (tmp_path / "spec.json").write_bytes(spec.raw)
    open_study.main(str(tmp_path / "spec.json"))
    study = deployed.studies.studyOf(1)
    assert as_bytes(study["specHash"]) == keccak(spec.raw)
    rules = tuple(study["rules"])
    assert rules == open_study.rules_of(spec, rules[3] - spec.deadlines.enrol)
    assert rules == (5, 3, 5, rules[3], 2 * HOUR, 3 * HOUR, 4 * HOUR, 5 * HOUR, 6 * HOUR, 7 * HOUR, 6_666)


def test_S1_open_study_refuses_a_cid_of_other_bytes(deployed, monkeypatch, tmp_path):
    (tmp_path / "spec.json").write_text(json.dumps(SPEC | {"key": {"epoch": deployed.active_key(accounts[:3], 2)}}))
    monkeypatch.setenv("DEFEDBIO_SPEC", str(tmp_path / "spec.json"))
    monkeypatch.setenv("DEFEDBIO_SPEC_CID", cid_of(b"something else"))
    with pytest.raises(BlobMismatch):
        open_study.main()
    assert deployed.studies.studyCount() == 0


def test_open_and_inspect_a_round(deployed, monkeypatch, capsys):
    epoch = deployed.active_key(accounts[:3], 2)
    study = deployed.study_with(accounts[:3], epoch)
    monkeypatch.setenv("DEFEDBIO_STUDY", str(study))
    open_round.main()
    life = Life(deployed, study, epoch, 1, accounts[:3], accounts[:3], 2)
    life.commit()
    life.reveal(accounts[1])
    capsys.readouterr()
    inspect_round.main("1")
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "Round 1: committed"
    assert "  committed: participants 1, 2, 3" in lines
    assert "  revealed: participants 2" in lines
    events = [line.split(": ", 1)[1].split("(")[0] for line in lines[lines.index("Events") + 1 :]]
    assert events == [
        "RoundOpened",
        "PhaseEntered",
        "UpdateCommitted",
        "UpdateCommitted",
        "UpdateCommitted",
        "PhaseEntered",
        "UpdateRevealed",
    ]
    assert f"cid={CID}" in lines[-1]
    with pytest.raises(NotFound, match="no round 7"):
        inspect_round.main("7")
