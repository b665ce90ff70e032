"""The network file: which chain, which endpoint, where our contracts are."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eth_utils.address import is_address, to_checksum_address

from defedbio.errors import InvalidInput

FORMAT = "defedbio-network/1"
CONTRACTS = ("ParticipantRegistry", "KeyRegistry", "StudyRegistry", "RoundManager")
_FIELDS = frozenset({"format", "chain_id", "rpc", "contracts", "deploy_block"})


@dataclass(frozen=True)
class ContractAddresses:
    """Checksummed on construction; four different ones."""

    participant_registry: str
    key_registry: str
    study_registry: str
    round_manager: str

    def __post_init__(self) -> None:
        for name in ("participant_registry", "key_registry", "study_registry", "round_manager"):
            value = getattr(self, name)
            if not isinstance(value, str) or not is_address(value):
                raise InvalidInput(f"{name}: {value!r} is not an address")
            object.__setattr__(self, name, to_checksum_address(value))
        if len(set(self.all())) != len(CONTRACTS):
            raise InvalidInput("the four contracts must have different addresses")

    def all(self) -> tuple[str, ...]:
        """In the order of `CONTRACTS`."""
        return (self.participant_registry, self.key_registry, self.study_registry, self.round_manager)

    def address(self, name: str) -> str:
        """Address of the contract of this Solidity name.

        Raises:
            InvalidInput: if we have none of that name.
        """
        if name not in CONTRACTS:
            raise InvalidInput(f"there is no contract {name!r}", f"one of {', '.join(CONTRACTS)}")
        return self.all()[CONTRACTS.index(name)]

    def name_of(self, address: str) -> str | None:
        """Solidity name of the contract at this address, None if it is not ours."""
        asked = address.lower()
        return next((name for name, own in zip(CONTRACTS, self.all(), strict=True) if own.lower() == asked), None)


@dataclass(frozen=True)
class Network:
    """`deploy_block` is the first block that can hold an event of ours. `rpc` may carry credentials: do not print it."""

    chain_id: int
    rpc: str
    contracts: ContractAddresses
    deploy_block: int

    def __post_init__(self) -> None:
        if not _is_count(self.chain_id) or not 0 < self.chain_id < 1 << 64:
            raise InvalidInput("chain_id must be an integer from 1")
        if not _is_count(self.deploy_block):
            raise InvalidInput("deploy_block must be a block number")
        if not isinstance(self.rpc, str) or not self.rpc.startswith(("http://", "https://")):
            raise InvalidInput("rpc must be an http or https URL")
        if not isinstance(self.contracts, ContractAddresses):
            raise InvalidInput("contracts must be the four addresses")

    def to_json(self) -> str:
        contracts = dict(zip(CONTRACTS, self.contracts.all(), strict=True))
        document = {"format": FORMAT, "chain_id": self.chain_id, "rpc": self.rpc, "contracts": contracts, "deploy_block": self.deploy_block}
        return json.dumps(document, indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Network:
        """Read the document that `to_json` writes; nothing may be missing or added.

        Raises:
            InvalidInput: saying what is wrong.
        """
        try:
            document = json.loads(text)
        except ValueError as error:
            raise InvalidInput(f"the network file is not JSON: {error}") from None
        if not isinstance(document, dict) or document.get("format") != FORMAT:
            raise InvalidInput(f"the network file's format is not {FORMAT!r}", "it is written when the contracts are deployed")
        _same_fields(document, _FIELDS, "the network file")
        contracts = document["contracts"]
        if not isinstance(contracts, dict):
            raise InvalidInput("the network file's contracts must be an object")
        _same_fields(contracts, frozenset(CONTRACTS), "the network file's contracts")
        addresses = ContractAddresses(*(contracts[name] for name in CONTRACTS))
        return cls(document["chain_id"], document["rpc"], addresses, document["deploy_block"])

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
            text = Path(path).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
            raise InvalidInput(f"cannot read the network file {path}: {reason}") from error
        return cls.from_json(text)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _same_fields(found: dict[str, Any], expected: frozenset[str], where: str) -> None:
    missing, unknown = expected - found.keys(), found.keys() - expected
    if missing or unknown:
        raise InvalidInput(f"{where}: missing {sorted(missing)}, unknown {sorted(unknown)}")
