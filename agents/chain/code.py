"""The contracts' code as this version releases it, and whether what runs at an address is that.

The four contracts know one another by addresses within their code (Solidity's immutables). A mark leaves those out, and says where they
are, so that they can be held against the network's. It also leaves out the compiler's note on the sources at the code's end, which never
runs, so that a comment makes no other contract.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from eth_utils.crypto import keccak

from defedbio.chain.abi import interface
from defedbio.chain.network import Contracts
from defedbio.chain.parse import as_bytes, checksummed, to_hex

_WORD = 32
_ADDRESS = 20
_LENGTH_OF_NOTE = 2


@dataclass(frozen=True)
class Mark:
    """Of code that has `size` bytes, of which the first `runs` can run: their keccak256, with the words at `links` (name of one of our
    contracts -> where its address is) made zero."""

    size: int
    runs: int
    hash: bytes
    links: Mapping[str, tuple[int, ...]]

    def to_document(self) -> dict[str, Any]:
        links = {name: list(places) for name, places in self.links.items()}
        return {"bytes": self.size, "run": self.runs, "keccak256": to_hex(self.hash), "links": links}


@cache
def released(name: str) -> Mark:
    """The mark of one of our contracts, as `make abi` wrote it."""
    document = interface(name)["code"]
    links = {contract: tuple(places) for contract, places in document["links"].items()}
    return Mark(document["bytes"], document["run"], as_bytes(document["keccak256"]), links)


def mark_of(code: bytes, links: Mapping[str, tuple[int, ...]]) -> Mark:
    """The mark of code as the compiler gives it, its note on the sources at the end."""
    note = int.from_bytes(code[-_LENGTH_OF_NOTE:], "big") + _LENGTH_OF_NOTE
    return Mark(len(code), len(code) - note, _hash(code[: len(code) - note], links), links)


def what_is_foreign(contracts: Contracts, name: str, code: bytes) -> str:
    """Why this code at the address of the contract is not the released contract, linked with the others of `contracts`; "" if it is."""
    mark, at = released(name), f"{name} at {contracts[name]}"
    if len(code) != mark.size or _hash(code[: mark.runs], mark.links) != mark.hash:
        return f"{at} is another contract than the one that this version of the software releases: its code is foreign"
    for linked, places in mark.links.items():
        for place in places:
            found = code[place : place + _WORD]
            if found != as_bytes(contracts[linked]).rjust(_WORD, b"\0"):
                return f"{at} works with another {linked} than the network's: {checksummed(to_hex(found[-_ADDRESS:]))}"
    return ""


def _hash(code: bytes, links: Mapping[str, tuple[int, ...]]) -> bytes:
    masked = bytearray(code)
    for places in links.values():
        for place in places:
            masked[place : place + _WORD] = bytes(_WORD)
    return keccak(bytes(masked))
