"""A contract that shows what a library does, compiled with the settings of the release."""

from __future__ import annotations

from typing import Any

from brownie import Contract

from scripts.compiler import ROOT, compile_standard, settings


def harness(account: Any, library: str, contract: str) -> Any:
    """Deploy `contract`, Solidity of a contract named Harness, which may use contracts/libraries/`library`.sol and what that imports.

    By the compiler itself: Brownie's own `compile_source` maps every instruction, which takes it several seconds.
    """
    content = f'pragma solidity 0.8.30;\nimport "contracts/libraries/{library}.sol";\n{contract}'
    asked = {"outputSelection": {"Harness.sol": {"Harness": ["abi", "evm.bytecode.object"]}}}
    document = {"language": "Solidity", "sources": {"Harness.sol": {"content": content}}, "settings": settings() | asked}
    made = compile_standard(document, ROOT)["contracts"]["Harness.sol"]["Harness"]
    address = account.transfer(data=made["evm"]["bytecode"]["object"]).contract_address
    return Contract.from_abi("Harness", address, made["abi"], owner=account, persist=False)
