"""Which code is ours: what runs is the released code, and what it works with are the network's own contracts."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from defedbio.chain.client import ChainClient
from defedbio.chain.code import released, what_is_foreign
from defedbio.chain.network import CONTRACTS, Contracts, Network
from defedbio.errors import WrongChain
from tests.anvil import QUICK, Anvil, account, deployed_on

ELSEWHERE = "0x" + "ee" * 20


def code_of(anvil: Anvil, network: Network, name: str) -> bytes:
    return bytes.fromhex(anvil.rpc("eth_getCode", network.contracts[name], "latest")[2:])


def test_the_marks_are_of_what_the_sources_compile_to(artefacts: dict[str, dict[str, Any]]) -> None:
    for name in CONTRACTS:
        assert released(name).to_document() == artefacts[name]["code"], f"{name}: run make abi"


@pytest.mark.parametrize("name", CONTRACTS)
def test_deployed_code_is_ours_and_no_byte_of_it_can_be_another(anvil: Anvil, network: Network, name: str) -> None:
    code, mark = code_of(anvil, network, name), released(name)
    assert what_is_foreign(network.contracts, name, code) == ""
    for at in (0, mark.runs // 2, mark.runs - 1):
        assert "its code is foreign" in what_is_foreign(network.contracts, name, code[:at] + bytes([code[at] ^ 1]) + code[at + 1 :])
    for other in (b"", code[:-1], code + b"\0", code[: mark.runs]):
        assert "its code is foreign" in what_is_foreign(network.contracts, name, other)
    assert what_is_foreign(network.contracts, name, code[:-1] + b"\0") == "", "the compiler's note on the sources does not run"


@pytest.mark.parametrize("name", ["KeyRegistry", "StudyRegistry", "RoundManager"])
def test_our_code_that_works_with_a_foreign_contract_is_foreign(anvil: Anvil, network: Network, name: str) -> None:
    """Each single place is held against the network's address: one forged place would do for a forger."""
    code, linked = code_of(anvil, network, name), released(name).links
    assert linked
    for other, places in linked.items():
        for place in places:
            forged = code[:place] + bytes.fromhex(ELSEWHERE[2:]).rjust(32, b"\0") + code[place + 32 :]
            assert f"{name} at {network.contracts[name]} works with another {other}" in what_is_foreign(network.contracts, name, forged)
            above = code[:place] + b"\1" + code[place + 1 :]
            assert "works with another" in what_is_foreign(network.contracts, name, above)


def test_a_client_refuses_a_network_file_that_names_a_manager_of_other_registries(
    anvil: Anvil, network: Network, artefacts: dict[str, dict[str, Any]]
) -> None:
    forged = deployed_on(anvil, artefacts, [account(0).address])
    assert ChainClient(network.rpc, forged, options=QUICK).connect().number > 0, "by itself it is a network"
    mixed = Contracts(dict(network.contracts.deployed) | {"RoundManager": forged.contracts.deployed["RoundManager"]})
    with pytest.raises(WrongChain, match=r"RoundManager at 0x\w+ works with another \w+Registry"):
        ChainClient(network.rpc, replace(network, contracts=mixed), options=QUICK).connect()


def test_a_client_refuses_a_network_file_that_names_foreign_contracts(anvil: Anvil, network: Network) -> None:
    anvil.rpc("anvil_setCode", network.contracts["StudyRegistry"], "0x600160005260206000f3")
    with pytest.raises(WrongChain, match=r"StudyRegistry at .* its code is foreign") as refusal:
        ChainClient(network.rpc, network, options=QUICK).connect()
    assert "ask who gave you the network file" in refusal.value.hint
