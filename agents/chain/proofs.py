"""Evidence that stands by itself: headers, receipts, transactions and state against hashes, with no node to ask.

A block's hash is keccak256 of its RLP header; the header holds the roots of the Merkle-Patricia tries of its receipts, transactions and
state (Ethereum yellow paper, section 4 and appendix D; EIP-2718 for typed receipts; EIP-1186 for state). What is proven is read from the
trie's own leaves: nothing is claimed beside a proof.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import rlp
from eth_account import Account
from eth_keys.exceptions import BadSignature
from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak
from eth_utils.exceptions import ValidationError as EthValidationError
from rlp.exceptions import DecodingError, RLPException
from trie import HexaryTrie
from trie.exceptions import InvalidNibbles, InvalidNode, MissingTrieNode
from trie.exceptions import ValidationError as TrieValidationError

from defedbio.chain.parse import as_bytes, as_int
from defedbio.errors import BadEvidence, InvalidInput

MAX_HEADER_BYTES = 1 << 16

# In the header's order; what a fork added comes after what was there, so that a header's length says which forks it has.
_INTEGERS = frozenset({"difficulty", "number", "gasLimit", "gasUsed", "timestamp", "baseFeePerGas", "blobGasUsed", "excessBlobGas"})
_FRONTIER = (
    *("parentHash", "sha3Uncles", "miner", "stateRoot", "transactionsRoot", "receiptsRoot", "logsBloom", "difficulty", "number"),
    *("gasLimit", "gasUsed", "timestamp", "extraData", "mixHash", "nonce"),
)
_FORKS = (
    ("baseFeePerGas",),  # London
    ("withdrawalsRoot",),  # Shanghai
    ("blobGasUsed", "excessBlobGas", "parentBeaconBlockRoot"),  # Cancun
    ("requestsHash",),  # Prague
)
_LENGTHS = frozenset(len(_FRONTIER) + sum(map(len, _FORKS[:count])) for count in range(len(_FORKS) + 1))
# By a transaction's type, which of its fields is the contract that it calls.
_LEGACY, _FIRST_LIST = 0, 0xC0
_CALLED = {_LEGACY: 3, 1: 4, 2: 5, 3: 5, 4: 5}
_LEGACY_V = 6
NO_CHAIN = 0
_NOT_IN_HEADER = frozenset({"hash", "size", "totalDifficulty", "transactions", "uncles", "withdrawals"})
# What the libraries raise for bytes that are no trie node, or no transaction.
_FOREIGN = (
    *(InvalidNibbles, InvalidNode, MissingTrieNode, TrieValidationError),
    *(RLPException, BadSignature, EthValidationError),
    *(LookupError, ValueError, TypeError, AttributeError, RecursionError),
)


@dataclass(frozen=True)
class Header:
    """A block header; `raw` is its RLP, `hash` the keccak256 of that, `timestamp` unix seconds."""

    raw: bytes
    hash: bytes
    parent: bytes
    number: int
    timestamp: int
    state_root: bytes
    transactions_root: bytes
    receipts_root: bytes


@dataclass(frozen=True)
class ProvenLog:
    address: str
    topics: tuple[bytes, ...]
    data: bytes


@dataclass(frozen=True)
class ProvenTransaction:
    """`sender` is whose key signed it, `to` the contract that it calls, "" where it creates one, and `chain` the chain id that was signed
    with it, `NO_CHAIN` where none was: such a signature holds on all of them."""

    hash: bytes
    sender: str
    to: str
    chain: int


@dataclass(frozen=True)
class AccountState:
    storage_root: bytes
    code_hash: bytes


def header_of(block: Mapping[str, Any]) -> Header:
    """The header in an answer to eth_getBlockByNumber.

    Raises:
        InvalidInput: if its fields do not hash to the hash that the node gives it.
    """
    names = list(_FRONTIER)
    for fork in _FORKS:
        if all(block.get(name) is not None for name in fork):
            names += fork
    raw = rlp.encode([as_int(block[name]) if name in _INTEGERS else as_bytes(block[name]) for name in names])
    if keccak(raw) != as_bytes(block["hash"]):
        unknown = sorted(block.keys() - set(names) - _NOT_IN_HEADER)
        raise InvalidInput(
            f"the header of block {as_int(block['number'])} does not hash to the hash that the node gives",
            f"this chain's headers may have fields that this version does not know (found besides: {', '.join(unknown) or 'none'})",
        )
    return read_header(raw)


def read_header(raw: bytes) -> Header:
    """Raises BadEvidence unless `raw` is the RLP of a header of a fork that is known."""
    if len(raw) > MAX_HEADER_BYTES:
        raise BadEvidence(f"a block header is longer than {MAX_HEADER_BYTES} bytes")
    items = _decoded(raw, "a block header")
    if not isinstance(items, list) or len(items) not in _LENGTHS or not all(isinstance(item, bytes) for item in items):
        raise BadEvidence("a block header has not the fields of a fork that this version knows")
    field = dict(zip(_FRONTIER, items, strict=False))
    roots = ("parentHash", "stateRoot", "transactionsRoot", "receiptsRoot")
    if any(len(field[name]) != 32 for name in roots) or max(len(field["number"]), len(field["timestamp"])) > 8:
        raise BadEvidence("a block header has a field of a wrong length")
    parent, state, transactions, receipts = (field[name] for name in roots)
    number, timestamp = (int.from_bytes(field[name], "big") for name in ("number", "timestamp"))
    return Header(raw, keccak(raw), parent, number, timestamp, state, transactions, receipts)


def encode_receipt(receipt: Mapping[str, Any]) -> bytes:
    """A receipt of eth_getBlockReceipts as it is in the trie (EIP-2718)."""
    logs = [[as_bytes(log["address"]), [as_bytes(topic) for topic in log["topics"]], as_bytes(log["data"])] for log in receipt["logs"]]
    outcome: int | bytes = as_int(receipt["status"]) if receipt.get("status") is not None else as_bytes(receipt["root"])
    body: bytes = rlp.encode([outcome, as_int(receipt["cumulativeGasUsed"]), as_bytes(receipt["logsBloom"]), logs])
    kind = as_int(receipt.get("type") or "0x0")
    return body if kind == 0 else bytes((kind,)) + body


def read_logs(receipt: bytes) -> tuple[ProvenLog, ...]:
    """The logs of an encoded receipt. Raises BadEvidence unless it is one."""
    body = receipt[1:] if receipt and receipt[0] < 0x80 else receipt
    items = _decoded(body, "a receipt")
    try:
        _, _, _, logs = items
        return tuple(ProvenLog(str(to_checksum_address(a)), tuple(bytes(t) for t in topics), bytes(data)) for a, topics, data in logs)
    except (ValueError, TypeError):
        raise BadEvidence("a receipt does not consist of outcome, gas, bloom and logs") from None


def read_transaction(raw: bytes) -> ProvenTransaction:
    """An encoded transaction (EIP-2718), its signer recovered. Raises BadEvidence if it is none."""
    try:
        sender = str(Account.recover_transaction(raw))
        kind = raw[0] if raw[0] < _FIRST_LIST else _LEGACY
        fields = rlp.decode(raw if kind == _LEGACY else raw[1:])
        to = bytes(fields[_CALLED[kind]])
        chain = _chain_of_v(_integer(fields[_LEGACY_V])) if kind == _LEGACY else _integer(fields[0])
        return ProvenTransaction(keccak(raw), sender, str(to_checksum_address(to)) if to else "", chain)
    except _FOREIGN as error:
        raise BadEvidence(f"a transaction cannot be read: {type(error).__name__}") from None


def index_trie(values: Sequence[bytes]) -> HexaryTrie:
    """The trie of a block's receipts or transactions: RLP of the index -> encoded value."""
    trie = HexaryTrie({})
    for index, value in enumerate(values):
        trie[rlp.encode(index)] = value
    return trie


def index_nodes(trie: HexaryTrie, indices: Iterable[int]) -> set[bytes]:
    """The nodes on the ways from the root to these indices."""
    return {rlp.encode(node) for index in indices for node in trie.get_proof(rlp.encode(index))}


def pool(nodes: Iterable[bytes]) -> dict[bytes, bytes]:
    """Trie nodes by their hash, which is all that a proof is."""
    return {keccak(node): node for node in nodes}


def at_index(nodes: Mapping[bytes, bytes], root: bytes, index: int) -> bytes:
    """The value at an index of a block's trie. Raises BadEvidence if the nodes do not lead there, or there is none."""
    value = _lookup(nodes, root, rlp.encode(index))
    if not value:
        raise BadEvidence(f"the block has nothing at index {index}")
    return value


def account_at(nodes: Mapping[bytes, bytes], state_root: bytes, address: str) -> AccountState:
    """An account under a state root. Raises BadEvidence if the nodes do not lead there, or there is none."""
    raw = _lookup(nodes, state_root, keccak(as_bytes(address)))
    if not raw:
        raise BadEvidence(f"there is no account {address} in the state")
    try:
        _, _, storage_root, code_hash = _decoded(raw, "an account")
    except (ValueError, TypeError):
        raise BadEvidence("an account does not consist of nonce, balance, storage root and code hash") from None
    return AccountState(bytes(storage_root), bytes(code_hash))


def storage_at(nodes: Mapping[bytes, bytes], storage_root: bytes, slot: int) -> int:
    """The word in a storage slot, 0 where the trie has none. Raises BadEvidence if the nodes do not lead to the slot."""
    raw = _lookup(nodes, storage_root, keccak(slot.to_bytes(32, "big")))
    value = _decoded(raw, "a storage word") if raw else b""
    if not isinstance(value, bytes) or len(value) > 32:
        raise BadEvidence("a storage word is not one")
    return int.from_bytes(value, "big")


def mapping_slot(slot: int, key: int | str) -> int:
    """Slot of a mapping's value (Solidity, layout of state variables in storage); `key` is an integer or an address."""
    word = as_bytes(key).rjust(32, b"\0") if isinstance(key, str) else key.to_bytes(32, "big")
    return int.from_bytes(keccak(word + slot.to_bytes(32, "big")), "big")


def array_slot(slot: int, index: int) -> int:
    """Slot of an element of a dynamic array whose elements take a word each."""
    return int.from_bytes(keccak(slot.to_bytes(32, "big")), "big") + index


def _lookup(nodes: Mapping[bytes, bytes], root: bytes, key: bytes) -> bytes:
    try:
        return bytes(HexaryTrie(nodes, root)[key])
    except _FOREIGN as error:
        raise BadEvidence(f"the proof does not lead from the root 0x{root.hex()}: {type(error).__name__}") from None


def _integer(field: bytes) -> int:
    return int.from_bytes(field, "big")


def _chain_of_v(v: int) -> int:
    """The chain id that a transaction without a type was signed for (EIP-155)."""
    return (v - 35) // 2 if v >= 35 else NO_CHAIN


def _decoded(raw: bytes, what: str) -> Any:
    try:
        return rlp.decode(raw)
    except (DecodingError, RecursionError):
        raise BadEvidence(f"{what} is not RLP") from None
