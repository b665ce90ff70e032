"""JSON-RPC's hexadecimal answers as our records."""

from __future__ import annotations

from typing import Any

from eth_utils.address import to_checksum_address

from agents.chain.records import Head, RawLog, Receipt


def as_int(quantity: str) -> int:
    return int(quantity, 16)


def as_bytes(data: str) -> bytes:
    return bytes.fromhex(data.removeprefix("0x"))


def to_hex(data: bytes) -> str:
    return "0x" + bytes(data).hex()


def parse_head(block: dict[str, Any]) -> Head:
    return Head(as_int(block["number"]), as_bytes(block["hash"]), as_int(block["timestamp"]))


def parse_log(entry: dict[str, Any]) -> RawLog:
    return RawLog(
        address=str(to_checksum_address(entry["address"])),
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
        sender=str(to_checksum_address(receipt["from"])),
        gas_used=as_int(receipt["gasUsed"]),
        gas_price=as_int(receipt.get("effectiveGasPrice") or "0x0"),
        logs=tuple(parse_log(entry) for entry in receipt["logs"]),
    )
