"""The network file and the keystore."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from defedbio.chain.accounts import create_keystore, keystore_address, load_account
from defedbio.chain.network import ContractAddresses, Network
from defedbio.errors import InvalidInput, InvalidKey, WrongPassword

ADDRESSES = ContractAddresses(*(f"0x{i:040x}" for i in range(0xA1, 0xA5)))
NETWORK = Network(31337, "http://127.0.0.1:8545", ADDRESSES, 12)


def test_the_network_file_reads_back(tmp_path: Path) -> None:
    path = tmp_path / "networks" / "local.json"
    NETWORK.save(path)
    assert Network.load(path) == NETWORK
    assert [p.name for p in path.parent.iterdir()] == ["local.json"]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"format": "defedbio-network/2"}, "format is not"),
        ({"extra": 1}, "unknown \\['extra'\\]"),
        ({"rpc": None}, "rpc must be"),
        ({"chain_id": "31337"}, "chain_id must be"),
        ({"chain_id": True}, "chain_id must be"),
        ({"deploy_block": -1}, "deploy_block must be"),
        ({"contracts": {}}, "missing"),
        ({"contracts": []}, "must be an object"),
    ],
)
def test_a_network_file_that_is_wrong_is_refused(change: dict[str, object], reason: str) -> None:
    with pytest.raises(InvalidInput, match=reason):
        Network.from_json(json.dumps(json.loads(NETWORK.to_json()) | change))


def test_addresses_must_be_four_different_ones() -> None:
    with pytest.raises(InvalidInput, match="different addresses"):
        ContractAddresses(*[ADDRESSES.key_registry] * 4)
    with pytest.raises(InvalidInput, match="is not an address"):
        ContractAddresses("0x12", *ADDRESSES.all()[1:])
    assert ADDRESSES.name_of(ADDRESSES.round_manager.lower()) == "RoundManager"
    assert ADDRESSES.name_of("0x" + "00" * 20) is None


def test_a_network_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="cannot read the network file"):
        Network.load(tmp_path / "none.json")
    with pytest.raises(InvalidInput, match="not JSON"):
        Network.from_json("{")


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
