"""JSON-RPC's hexadecimal answers as our records."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from eth_utils.address import to_checksum_address

from defedbio.chain.records import Block, Head, MinedTransaction, RawLog, Receipt


def as_int(quantity: str) -> int:
    return int(quantity, 16)


def as_bytes(data: str) -> bytes:
    return bytes.fromhex(data.removeprefix("0x"))


@lru_cache(4096)
def checksummed(address: str) -> str:
    """Remembered: a chain's events name the same few addresses over and over."""
    return str(to_checksum_address(address))


def to_hex(data: bytes) -> str:
    return "0x" + bytes(data).hex()


def parse_head(block: dict[str, Any]) -> Head:
    return Head(as_int(block["number"]), as_bytes(block["hash"]), as_int(block["timestamp"]))


def parse_log(entry: dict[str, Any]) -> RawLog:
    return RawLog(
        address=checksummed(entry["address"]),
        topics=tuple(as_bytes(topic) for topic in entry["topics"]),
        data=as_bytes(entry["data"]),
        block=as_int(entry["blockNumber"]),
        block_hash=as_bytes(entry["blockHash"]),
        tx_hash=as_bytes(entry["transactionHash"]),
        log_index=as_int(entry["logIndex"]),
    )


def parse_receipt(receipt: dict[str, Any]) -> Receipt:
    return Receipt(
        tx_hash=as_bytes(receipt["transactionHash"]),
        block=as_int(receipt["blockNumber"]),
        block_hash=as_bytes(receipt["blockHash"]),
        sender=checksummed(receipt["from"]),
        gas_used=as_int(receipt["gasUsed"]),
        gas_price=as_int(receipt.get("effectiveGasPrice") or "0x0"),
        logs=tuple(parse_log(entry) for entry in receipt["logs"]),
    )


def parse_transaction(transaction: dict[str, Any], receipt: dict[str, Any]) -> MinedTransaction:
    return MinedTransaction(
        tx_hash=as_bytes(transaction["hash"]),
        block=as_int(receipt["blockNumber"]),
        sender=checksummed(transaction["from"]),
        to=checksummed(transaction["to"]) if transaction.get("to") else "",
        data=as_bytes(transaction["input"]),
        value=as_int(transaction["value"]),
        nonce=as_int(transaction["nonce"]),
        gas_used=as_int(receipt["gasUsed"]),
        gas_price=as_int(receipt.get("effectiveGasPrice") or "0x0"),
        succeeded=as_int(receipt.get("status", "0x1")) == 1,
        logs=tuple(parse_log(entry) for entry in receipt["logs"]),
    )


def parse_block(block: dict[str, Any]) -> Block:
    return Block(
        head=parse_head(block),
        parent=as_bytes(block["parentHash"]),
        transactions=tuple(as_bytes(tx) for tx in block["transactions"]),
        gas_used=as_int(block["gasUsed"]),
        gas_limit=as_int(block["gasLimit"]),
    )
