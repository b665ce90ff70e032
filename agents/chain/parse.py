"""JSON-RPC's hexadecimal answers as our records. Each reader raises one of `UNREADABLE` for what is no such answer."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from eth_utils.address import to_checksum_address

from defedbio.chain.records import Block, Head, MinedTransaction, RawLog, Receipt

UNREADABLE = (ValueError, TypeError, KeyError, AttributeError, IndexError, OverflowError, RecursionError)
HASH_BYTES = 32
_WORD_DIGITS = 64
_LARGEST = 2**64 - 1


def as_int(quantity: str) -> int:
    """A quantity of at most 256 bits."""
    digits = quantity[2:]
    if quantity[:2] != "0x" or not 1 <= len(digits) <= _WORD_DIGITS or not digits.isalnum():
        raise ValueError("not a quantity")
    return int(digits, 16)


def as_bytes(data: str) -> bytes:
    if data[:2] != "0x":
        raise ValueError("not hexadecimal data")
    return bytes.fromhex(data[2:])


def as_hash(data: str) -> bytes:
    found = as_bytes(data)
    if len(found) != HASH_BYTES:
        raise ValueError("not a hash")
    return found


def as_count(quantity: str) -> int:
    """A number of a block, an index, a time in seconds, an amount of gas: below 2^64."""
    found = as_int(quantity)
    if found > _LARGEST:
        raise ValueError("not a number of 64 bits")
    return found


@lru_cache(4096)
def checksummed(address: str) -> str:
    """Remembered: a chain's events name the same few addresses over and over."""
    return str(to_checksum_address(address))


def to_hex(data: bytes) -> str:
    return "0x" + bytes(data).hex()


def parse_head(block: dict[str, Any]) -> Head:
    return Head(as_count(block["number"]), as_hash(block["hash"]), as_count(block["timestamp"]))


def parse_log(entry: dict[str, Any]) -> RawLog:
    return RawLog(
        address=checksummed(entry["address"]),
        topics=tuple(as_hash(topic) for topic in entry["topics"]),
        data=as_bytes(entry["data"]),
        block=as_count(entry["blockNumber"]),
        block_hash=as_hash(entry["blockHash"]),
        tx_hash=as_hash(entry["transactionHash"]),
        log_index=as_count(entry["logIndex"]),
    )


def parse_receipt(receipt: dict[str, Any]) -> Receipt:
    return Receipt(
        tx_hash=as_hash(receipt["transactionHash"]),
        block=as_count(receipt["blockNumber"]),
        block_hash=as_hash(receipt["blockHash"]),
        sender=checksummed(receipt["from"]),
        gas_used=as_count(receipt["gasUsed"]),
        gas_price=as_int(receipt.get("effectiveGasPrice") or "0x0"),
        logs=tuple(parse_log(entry) for entry in receipt["logs"]),
    )


@dataclass(frozen=True)
class Outcome:
    """What became of a mined transaction."""

    receipt: Receipt
    succeeded: bool


def mined(receipt: dict[str, Any] | None) -> Outcome | None:
    """The outcome in an answer to eth_getTransactionReceipt; None while there is none."""
    if receipt is None or receipt["blockHash"] is None:
        return None
    return Outcome(parse_receipt(receipt), as_int(receipt.get("status", "0x1")) == 1)


def parse_transaction(transaction: dict[str, Any], outcome: Outcome) -> MinedTransaction:
    receipt = outcome.receipt
    return MinedTransaction(
        tx_hash=as_hash(transaction["hash"]),
        block=receipt.block,
        sender=checksummed(transaction["from"]),
        to=checksummed(transaction["to"]) if transaction.get("to") else "",
        data=as_bytes(transaction["input"]),
        value=as_int(transaction["value"]),
        nonce=as_count(transaction["nonce"]),
        gas_used=receipt.gas_used,
        gas_price=receipt.gas_price,
        succeeded=outcome.succeeded,
        logs=receipt.logs,
    )


def parse_block(block: dict[str, Any]) -> Block:
    return Block(
        head=parse_head(block),
        parent=as_hash(block["parentHash"]),
        transactions=tuple(as_hash(tx) for tx in block["transactions"]),
        gas_used=as_count(block["gasUsed"]),
        gas_limit=as_count(block["gasLimit"]),
    )


def parse_logs(entries: list[dict[str, Any]]) -> list[RawLog]:
    """The logs in an answer to eth_getLogs, but those that a reorganisation took back."""
    return [parse_log(entry) for entry in entries if not entry.get("removed")]


def parse_proof(found: dict[str, Any]) -> list[bytes]:
    """The trie nodes in an answer to eth_getProof (EIP-1186)."""
    nodes = [as_bytes(node) for node in found["accountProof"]]
    return nodes + [as_bytes(node) for proof in found["storageProof"] for node in proof["proof"]]
