"""The network file and the keystore."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from defedbio.chain.accounts import create_keystore, keystore_address, load_account
from defedbio.chain.network import Contracts, Deployed, Network
from defedbio.errors import InvalidInput, InvalidKey, WrongPassword

ADDRESSES = Contracts.of(*(f"0x{i:040x}" for i in range(0xA1, 0xA5)), block=12)
NETWORK = Network(31337, "http://127.0.0.1:8545", ADDRESSES)


def test_the_network_file_reads_back(tmp_path: Path) -> None:
    path = tmp_path / "networks" / "local.json"
    NETWORK.save(path)
    assert Network.load(path) == NETWORK
    assert [p.name for p in path.parent.iterdir()] == ["local.json"]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"format": "defedbio-network/3"}, "format is not"),
        ({"extra": 1}, "unknown \\['extra'\\]"),
        ({"rpc": None}, "rpc must be"),
        ({"chain_id": "31337"}, "chain_id must be"),
        ({"chain_id": True}, "chain_id must be"),
        ({"deploy_block": 5}, "unknown \\['deploy_block'\\]"),
        ({"contracts": {}}, "missing"),
        ({"contracts": []}, "must be an object"),
    ],
)
def test_a_network_file_that_is_wrong_is_refused(change: dict[str, object], reason: str) -> None:
    with pytest.raises(InvalidInput, match=reason):
        Network.from_json(json.dumps(json.loads(NETWORK.to_json()) | change))


@pytest.mark.parametrize(
    ("contract", "reason"),
    [
        ("0x" + "a1" * 20, "KeyRegistry must be an object of address and block"),
        ({"address": "0x" + "a1" * 20}, "KeyRegistry: missing \\['block'\\]"),
        ({"address": "0x12", "block": 5}, "KeyRegistry: '0x12' is not an address"),
        ({"address": "0x" + "a1" * 20, "block": -1}, "KeyRegistry: a contract's block must be"),
        ({"address": "0x" + "a1" * 20, "block": True}, "KeyRegistry: a contract's block must be"),
        ({"address": str(ADDRESSES["RoundManager"]), "block": 5}, "different addresses"),
    ],
)
def test_a_contract_that_is_wrong_is_named(contract: object, reason: str) -> None:
    document = json.loads(NETWORK.to_json())
    document["contracts"]["KeyRegistry"] = contract
    with pytest.raises(InvalidInput, match=reason):
        Network.from_json(json.dumps(document))


def test_a_file_of_the_first_format_is_refused_with_what_to_do() -> None:
    old = {"format": "defedbio-network/1", "chain_id": 31337, "rpc": NETWORK.rpc, "contracts": ADDRESSES.addresses(), "deploy_block": 12}
    with pytest.raises(InvalidInput, match="this version reads 'defedbio-network/2'") as refused:
        Network.from_json(json.dumps(old))
    assert "ask whoever deployed" in refused.value.hint
    # What the hint says, done by hand:
    del old["deploy_block"]
    contracts = {name: {"address": address, "block": 12} for name, address in ADDRESSES.addresses().items()}
    assert Network.from_json(json.dumps(old | {"format": "defedbio-network/2", "contracts": contracts})) == NETWORK


def test_events_are_looked_for_from_the_first_contract_on() -> None:
    blocks = {name: Deployed(address, 30 - place) for place, (name, address) in enumerate(ADDRESSES.addresses().items())}
    assert Network(1, NETWORK.rpc, Contracts(blocks)).deploy_block == 27


def test_addresses_must_be_four_different_ones() -> None:
    with pytest.raises(InvalidInput, match="different addresses"):
        Contracts.of(*[ADDRESSES["KeyRegistry"]] * 4)
    with pytest.raises(InvalidInput, match="is not an address"):
        Contracts.of("0x12", *list(ADDRESSES.addresses().values())[1:])
    assert ADDRESSES.name_of(ADDRESSES["RoundManager"].lower()) == "RoundManager"
    assert ADDRESSES.name_of("0x" + "00" * 20) is None


def test_a_network_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="cannot read the network file"):
        Network.load(tmp_path / "none.json")
    for text, reason in (("{", "not JSON"), ("[" * 10_000, "nested"), ("[" * 100_000, "more than"), ('{"a": "\ud800"}', "not UTF-8")):
        with pytest.raises(InvalidInput, match=reason):
            Network.from_json(text)


def test_a_keystore_opens_with_its_password_only(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "lab.json"
    address = create_keystore(path, "correct horse", iterations=2)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert load_account(path, "correct horse").address == address == keystore_address(path)
    with pytest.raises(WrongPassword, match="does not open") as refusal:
        load_account(path, "battery staple")
    assert "battery" not in str(refusal.value)


def test_a_keystore_is_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "lab.json"
    create_keystore(path, "p", iterations=2)
    before = path.read_bytes()
    with pytest.raises(InvalidInput, match="exists"):
        create_keystore(path, "p", iterations=2)
    assert path.read_bytes() == before
    with pytest.raises(InvalidInput, match="needs a password"):
        create_keystore(tmp_path / "other.json", "")


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"version": 3, "crypto": {}}', '{"version": 1}', "\x00"])
def test_a_file_that_is_no_keystore(tmp_path: Path, text: str) -> None:
    path = tmp_path / "bad.json"
    path.write_text(text)
    with pytest.raises(InvalidKey):
        load_account(path, "p")
    with pytest.raises(InvalidKey):
        load_account(tmp_path / "none.json", "p")
