"""The network file: which chain, which endpoint, where our contracts are."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any

from eth_utils.address import is_address, to_checksum_address

from defedbio import foreign_json
from defedbio.errors import InvalidInput

FORMAT = "defedbio-network/2"
MAX_BYTES = 1 << 16
_FIELDS = frozenset({"format", "chain_id", "rpc", "contracts"})

# The table of our contracts by their Solidity names, in the order in which they are deployed. A further contract is a row here, its
# interface in abi/ and a binding file in bindings/.
CONTRACTS = ("ParticipantRegistry", "KeyRegistry", "StudyRegistry", "RoundManager")

LOCAL_CHAINS = frozenset({1337, 31337})
CONFIRMATIONS = 12


def confirmations_on(chain_id: int) -> int:
    """How many blocks must follow an event before it counts where a study does not say. Only a chain of one's own is never reorganised."""
    return 0 if chain_id in LOCAL_CHAINS else CONFIRMATIONS


@dataclass(frozen=True)
class Deployed:
    """Where a contract is. `address` is checksummed on construction; `block` is the first that can hold an event of it."""

    address: str
    block: int

    def __post_init__(self) -> None:
        if not isinstance(self.address, str) or not is_address(self.address):
            raise InvalidInput(f"{self.address!r} is not an address")
        if not _is_count(self.block):
            raise InvalidInput("a contract's block must be a block number")
        object.__setattr__(self, "address", to_checksum_address(self.address))


@dataclass(frozen=True)
class Contracts:
    """Every contract of the table, each at an address of its own."""

    deployed: Mapping[str, Deployed]

    def __post_init__(self) -> None:
        _same_fields(self.deployed, frozenset(CONTRACTS), "the contracts")
        object.__setattr__(self, "deployed", MappingProxyType(dict(self.deployed)))
        if len({one.address for one in self.deployed.values()}) != len(CONTRACTS):
            raise InvalidInput("contracts must have different addresses")

    @classmethod
    def of(cls, *addresses: str, block: int = 0) -> Contracts:
        """In the order of the table, all from the same block on."""
        return cls({name: Deployed(address, block) for name, address in zip(CONTRACTS, addresses, strict=True)})

    def __getitem__(self, name: str) -> str:
        """Address of the contract of this Solidity name.

        Raises:
            InvalidInput: if we have none of that name.
        """
        if name not in self.deployed:
            raise InvalidInput(f"there is no contract {name!r}", f"one of {', '.join(CONTRACTS)}")
        return self.deployed[name].address

    def addresses(self) -> dict[str, str]:
        """By Solidity name, in the order of the table."""
        return {name: self[name] for name in CONTRACTS}

    def name_of(self, address: str) -> str | None:
        """Solidity name of the contract at this address, None if it is not ours."""
        return self._names.get(address.lower())

    @cached_property
    def _names(self) -> dict[str, str]:
        return {address.lower(): name for name, address in self.addresses().items()}


@dataclass(frozen=True)
class Network:
    """`rpc` may carry credentials: do not print it."""

    chain_id: int
    rpc: str
    contracts: Contracts

    def __post_init__(self) -> None:
        if not _is_count(self.chain_id) or self.chain_id == 0:
            raise InvalidInput("chain_id must be an integer from 1")
        if not isinstance(self.rpc, str) or not self.rpc.startswith(("http://", "https://")):
            raise InvalidInput("rpc must be an http or https URL")

    @property
    def deploy_block(self) -> int:
        """The first block that can hold an event of ours."""
        return min(one.block for one in self.contracts.deployed.values())

    def to_json(self) -> str:
        contracts = {name: asdict(self.contracts.deployed[name]) for name in CONTRACTS}
        return json.dumps({"format": FORMAT, "chain_id": self.chain_id, "rpc": self.rpc, "contracts": contracts}, indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Network:
        """Read the document that `to_json` writes; nothing may be missing or added.

        Raises:
            InvalidInput: saying what is wrong.
        """
        return cls._from(foreign_json.read_object(text.encode("utf-8", "surrogatepass"), "the network file", MAX_BYTES))

    @classmethod
    def _from(cls, document: dict[str, Any]) -> Network:
        if document.get("format") != FORMAT:
            raise _other_format(document)
        _same_fields(document, _FIELDS, "the network file")
        contracts = document["contracts"]
        if not isinstance(contracts, dict):
            raise InvalidInput("the network file's contracts must be an object")
        _same_fields(contracts, frozenset(CONTRACTS), "the network file's contracts")
        return cls(document["chain_id"], document["rpc"], Contracts({name: _deployed(name, one) for name, one in contracts.items()}))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the file whole or not at all, making its folder.

        Raises:
            InvalidInput: if it cannot be written.
        """
        target = Path(path)
        partial = target.with_name(target.name + ".part")
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            partial.write_text(self.to_json(), encoding="utf-8")
            partial.replace(target)
        except OSError as error:
            raise InvalidInput(f"cannot write the network file {target}: {error.strerror}") from error

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Network:
        """Read a network file.

        Raises:
            InvalidInput: if it cannot be read or is not one.
        """
        try:
            return cls._from(foreign_json.read_file(Path(path), "the network file", MAX_BYTES))
        except OSError as error:
            raise InvalidInput(f"cannot read the network file {path}: {error.strerror}") from error


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value < 1 << 64


def _other_format(document: dict[str, Any]) -> InvalidInput:
    if document.get("format") == "defedbio-network/1":
        return InvalidInput(
            "the network file is of format 'defedbio-network/1', and this version reads 'defedbio-network/2'",
            "ask whoever deployed the contracts for a new one; or put /2 for /1, write every contract as "
            '{"address": "0x…", "block": N} with N the old deploy_block, and leave deploy_block out',
        )
    return InvalidInput(f"the network file's format is not {FORMAT!r}", "it is written when the contracts are deployed")


def _deployed(name: str, document: object) -> Deployed:
    if not isinstance(document, dict):
        raise InvalidInput(f"the network file's {name} must be an object of address and block")
    _same_fields(document, frozenset({"address", "block"}), f"the network file's {name}")
    try:
        return Deployed(document["address"], document["block"])
    except InvalidInput as error:
        raise InvalidInput(f"the network file's {name}: {error.message}") from None


def _same_fields(found: Mapping[str, Any], expected: frozenset[str], where: str) -> None:
    missing, unknown = expected - found.keys(), found.keys() - expected
    if missing or unknown:
        raise InvalidInput(f"{where}: missing {sorted(missing)}, unknown {str(sorted(unknown))[:200]}")
