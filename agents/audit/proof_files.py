"""From a bundle's chain files to what they prove: every event is read from a receipt that its block's header bears out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from defedbio.audit.bundle import MAX_BLOCK_BYTES, MAX_JSON_BYTES, NETWORK, STATE, Files, parse, read, whole
from defedbio.audit.storage import Word, study_in
from defedbio.chain.code import what_is_foreign
from defedbio.chain.events import Event, decode_log
from defedbio.chain.network import CONTRACTS, Contracts, Network
from defedbio.chain.parse import UNREADABLE, as_bytes, as_hash, to_hex
from defedbio.chain.proofs import (
    Header,
    ProvenTransaction,
    account_at,
    at_index,
    pool,
    read_header,
    read_logs,
    read_transaction,
    storage_at,
)
from defedbio.chain.records import RawLog
from defedbio.crypto.merkle import keccak256
from defedbio.errors import BadEvidence, InternalFault, InvalidInput

BLOCKS = "chain/blocks/"
NO_RPC = "http://localhost"  # a bundle carries no endpoint: it may hold credentials
# An event's place in its block: transaction index, then the log's within the receipt, since a receipt does not say the log's index.
_LOG_BITS = 20


@dataclass(frozen=True)
class Entry:
    """A transaction of ours in a block: `tx_hash` is proven where the block's transactions are."""

    index: int
    tx_hash: bytes


@dataclass(frozen=True)
class BlockFile:
    """A header, and the trie nodes that lead from its roots to the receipts (and transactions, where `transactions`) of `entries`."""

    header: Header
    entries: tuple[Entry, ...]
    transactions: bool
    nodes: Mapping[bytes, bytes]

    def to_document(self) -> dict[str, Any]:
        return {
            "number": self.header.number,
            "hash": to_hex(self.header.hash),
            "header": to_hex(self.header.raw),
            "entries": [{"index": entry.index, "transaction": to_hex(entry.tx_hash)} for entry in self.entries],
            "transactions": self.transactions,
            "nodes": sorted(to_hex(node) for node in self.nodes.values()),
        }

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> BlockFile:
        """Raises BadEvidence if the header is not of the hash and number that go with it, InvalidInput for another form."""
        try:
            header = read_header(as_bytes(document["header"]))
            number = whole(document["number"])
            if to_hex(header.hash) != document["hash"] or header.number != number:
                raise BadEvidence(f"the header in block {number}'s file does not hash to that block's hash: header mismatch")
            entries = tuple(Entry(_index(entry["index"]), as_hash(entry["transaction"])) for entry in document["entries"])
            return cls(header, entries, document["transactions"] is True, pool(as_bytes(node) for node in document["nodes"]))
        except UNREADABLE as error:
            raise InvalidInput(f"a block file has missing or wrong fields: {type(error).__name__}") from None

    def proven(self, network: Network) -> tuple[list[Event], list[ProvenTransaction]]:
        """Our contracts' events in the receipts, and the transactions. Raises BadEvidence if one does not lead from the header's root."""
        events: list[Event] = []
        transactions = []
        for entry in self.entries:
            where = f"block {self.header.number}, transaction {entry.index}"
            try:
                logs = read_logs(at_index(self.nodes, self.header.receipts_root, entry.index))
            except BadEvidence as error:
                raise BadEvidence(f"receipt proof of {where}: {error.message}") from None
            if self.transactions:
                try:
                    transaction = read_transaction(at_index(self.nodes, self.header.transactions_root, entry.index))
                except BadEvidence as error:
                    raise BadEvidence(f"transaction proof of {where}: {error.message}") from None
                if transaction.hash != entry.tx_hash:
                    raise BadEvidence(f"{where} is another one than the bundle says")
                transactions.append(transaction)
            for position, log in enumerate(logs):
                place = entry.index << _LOG_BITS | position
                raw = RawLog(log.address, log.topics, log.data, self.header.number, self.header.hash, entry.tx_hash, place)
                try:
                    event = decode_log(network, raw)
                except InternalFault as error:
                    raise BadEvidence(f"{where} holds an event that our contracts cannot have emitted: {error.message}") from None
                if event is not None:
                    events.append(event)
        return events, transactions


@dataclass(frozen=True)
class State:
    """The trie nodes of one block's state that lead to the contracts and their slots, and the contracts' code."""

    nodes: Mapping[bytes, bytes]
    code: Mapping[str, bytes]

    def to_document(self, anchor: int) -> dict[str, Any]:
        return {
            "block": anchor,
            "code": {name: to_hex(code) for name, code in self.code.items()},
            "nodes": sorted(to_hex(node) for node in self.nodes.values()),
        }

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> State:
        try:
            code = {str(name): as_bytes(code) for name, code in document["code"].items()}
            return cls(pool(as_bytes(node) for node in document["nodes"]), code)
        except UNREADABLE:
            raise InvalidInput("the state file has missing or wrong fields") from None

    def check_code(self, network: Network, header: Header) -> None:
        """Hold the contracts' code against the header's state root, and against what this version of the software releases.

        Raises:
            BadEvidence: if a proof fails, or a contract is another than ours.
        """
        for name in CONTRACTS:
            code = self.code.get(name, b"")
            if keccak256(code) != account_at(self.nodes, header.state_root, network.contracts[name]).code_hash:
                raise BadEvidence(f"{name}'s code is not the one in the state of block {header.number}")
            if foreign := what_is_foreign(network.contracts, name, code):
                raise BadEvidence(foreign, "another version of this software may have been the one that deployed it")

    def check_storage(self, network: Network, header: Header, words: Iterable[Word], foreign: Iterable[tuple[int, int]], study: int) -> int:
        """Hold storage against the header's state root; returns how many words were compared.

        Raises:
            BadEvidence: if a proof fails, or a word is not what the events say; with whom it is about.
        """
        roots = {name: account_at(self.nodes, header.state_root, network.contracts[name]).storage_root for name in CONTRACTS}
        compared = 0
        for word in words:
            found = storage_at(self.nodes, roots[word.contract], word.slot)
            if found != word.value:
                raise BadEvidence(
                    f"{word.what}: {word.contract}'s storage at block {header.number} is not what the events add up to: "
                    "events were left out or made up"
                ).blame(word.peer)
            compared += 1
        for number, slot in foreign:
            of = study_in(storage_at(self.nodes, roots["RoundManager"], slot))
            if of == study:
                raise BadEvidence(f"round {number} is the study's, and its events were left out")
            if of == 0:  # a made-up round of any number would have all those before it looked for
                raise BadEvidence(f"there is no round {number}, though the study has a later one")
            compared += 1
        return compared


def write_network(network: Network) -> dict[str, Any]:
    contracts = network.contracts.addresses()
    return {"chain_id": network.chain_id, "contracts": contracts, "deploy_block": network.deploy_block}


def read_network(files: Files) -> Network:
    """Raises InvalidInput if the file is not what `write_network` makes."""
    document = parse(read(files, NETWORK, MAX_JSON_BYTES), NETWORK)
    try:
        contracts = Contracts.of(*(document["contracts"][name] for name in CONTRACTS), block=document["deploy_block"])
        return Network(document["chain_id"], NO_RPC, contracts)
    except UNREADABLE:
        raise InvalidInput(f"{NETWORK} has missing or wrong fields") from None


def read_blocks(files: Files) -> list[BlockFile]:
    """All blocks, in order.

    Raises:
        BadEvidence: if a header is not of its hash, or two neighbours are not parent and child.
    """
    names = sorted((name for name in files.sizes() if name.startswith(BLOCKS)), key=_number)
    blocks: list[BlockFile] = []
    for name in names:
        block = BlockFile.from_document(parse(read(files, name, MAX_BLOCK_BYTES), name))
        if block.header.number != _number(name):
            raise BadEvidence(f"{name} holds block {block.header.number}")
        if blocks:
            _follows(blocks[-1].header, block.header)
        blocks.append(block)
    return blocks


def read_state(files: Files) -> State | None:
    """The state file; None where the bundle has none."""
    return State.from_document(parse(read(files, STATE, MAX_JSON_BYTES), STATE)) if STATE in files.sizes() else None


def proven_events(network: Network, blocks: Sequence[BlockFile]) -> tuple[list[Event], dict[bytes, ProvenTransaction]]:
    """All events in chain order, and the proven transactions by their hashes."""
    events: list[Event] = []
    transactions: dict[bytes, ProvenTransaction] = {}
    for block in blocks:
        found, signed = block.proven(network)
        events += found
        transactions |= {transaction.hash: transaction for transaction in signed}
    return events, transactions


def block_name(number: int) -> str:
    return f"{BLOCKS}{number}.json"


def _follows(before: Header, after: Header) -> None:
    if after.timestamp < before.timestamp or (after.number == before.number + 1 and after.parent != before.hash):
        raise BadEvidence(f"the header of block {after.number} does not follow that of block {before.number}")


def _number(name: str) -> int:
    return int(name.removeprefix(BLOCKS).removesuffix(".json"))


def _index(value: Any) -> int:
    if (index := whole(value)) >= 1 << 24:
        raise ValueError("an index")
    return index
