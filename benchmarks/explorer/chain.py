"""A chain that holds a consortium's events and answers an Ethereum node's questions about them, in a process of its own.

As many and as large events as real rounds emit, in blocks of 20 transactions. Every receipt reads the same gas.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from eth_abi import encode
from eth_utils.address import to_checksum_address

from defedbio.chain import events as ev
from defedbio.chain.abi import events_abi, parameter_type, snake_case, topic_of
from defedbio.chain.network import CONTRACTS, Contracts, Network
from defedbio.chain.values import StudyRules
from defedbio.domain import NO_ONE, TWO_THIRDS, BitSet, CeremonyKind, Phase
from defedbio.ipfs.cid import cid_of

HOLDERS, THRESHOLD, GAS = 7, 4, 95_000
CHAIN_ID, START = 31337, 1_700_000_000
ADDRESSES = Contracts.of(*(f"0x{i:040x}" for i in range(1, 5)))


@cache
def address(member: int) -> str:
    return str(to_checksum_address(f"0x{member + 1000:040x}"))


@cache
def cid(number: int) -> str:
    return cid_of(number.to_bytes(8, "big"))


class Book:
    """Numbers events into transactions and blocks of 20 of them."""

    def __init__(self) -> None:
        self.count = 0

    def at(self) -> ev.EventMeta:
        self.count += 1
        block = self.count // 20
        return ev.EventMeta(block, block_hash(block), self.count.to_bytes(32, "big"), self.count % 20, "")


def block_hash(number: int) -> bytes:
    return b"\x0b" + number.to_bytes(31, "big")


def events(rounds: int, members: int) -> Iterator[ev.Event]:
    book, everybody = Book(), BitSet((1 << members) - 1)
    for m in range(members):
        yield ev.ParticipantRegistered(address(m), f"site {m}", "", bytes(32), "/ip4/127.0.0.1/tcp/4001", meta=book.at())
        yield ev.MemberAdmitted(address(m), m + 1, meta=book.at())
    holders = tuple(address(m) for m in range(HOLDERS))
    yield ev.KeyEpochProposed(1, holders[0], holders, THRESHOLD, CeremonyKind.DEALER, 3072, bytes(32), b"t" * 32, cid(0), meta=book.at())
    rules = StudyRules(members, 3, rounds, 0, 60, 60, 60, 60, 60, 60, TWO_THIRDS)
    yield ev.StudyOpened(1, address(0), 1, b"s" * 32, cid(1), rules, meta=book.at())
    for m in range(members):
        yield ev.ParticipantEnrolled(1, address(m), m + 1, b"s" * 32, meta=book.at())
    for r in range(1, rounds + 1):
        yield from _round(book, r, members, everybody)


def value(kind: int, round_: int, member: int = 0) -> bytes:
    return bytes((kind,)) * 16 + round_.to_bytes(8, "big") + member.to_bytes(8, "big")


def _round(book: Book, r: int, members: int, everybody: BitSet) -> Iterator[ev.Event]:
    unit = r * 1000
    yield ev.RoundOpened(r, 1, r - 1, r - 1, address(0), meta=book.at())
    yield ev.PhaseEntered(r, Phase.OPEN, START, meta=book.at())
    for m in range(members):
        yield ev.UpdateCommitted(r, address(m), m + 1, value(1, r, m), meta=book.at())
    yield ev.PhaseEntered(r, Phase.COMMITTED, START, meta=book.at())
    for m in range(members):
        yield ev.UpdateRevealed(r, address(m), m + 1, value(2, r, m), cid(unit + m), bytes(32), bytes(32), meta=book.at())
    yield ev.PhaseEntered(r, Phase.REVEALED, START, meta=book.at())
    for m in range(THRESHOLD):
        yield ev.SetAttested(r, address(m), everybody, NO_ONE, "", meta=book.at())
    yield ev.SetFrozen(r, everybody, value(3, r), meta=book.at())
    yield ev.AggregatePosted(r, address(0), value(4, r), cid(unit + 200), meta=book.at())
    for m in range(THRESHOLD):
        yield ev.ShareReleased(r, address(m), m + 1, value(4, r), value(5, r, m), cid(unit + 300 + m), bytes(32), meta=book.at())
    yield ev.OpeningPosted(r, address(0), value(6, r), cid(unit + 400), meta=book.at())
    for m in range(THRESHOLD):
        yield ev.ModelAttested(r, address(m), value(6, r), value(7, r), cid(unit + 500), meta=book.at())
    yield ev.RoundFinalised(r, 1, r - 1, value(6, r), value(7, r), cid(unit + 500), r - 1, meta=book.at())


def log(event: ev.Event) -> dict[str, Any]:
    """As eth_getLogs gives it."""
    contract, entry = _entries()[type(event).__name__]
    values = {p["name"]: _plain(getattr(event, snake_case(p["name"]))) for p in entry["inputs"]}
    indexed = [p for p in entry["inputs"] if p["indexed"]]
    plain = [p for p in entry["inputs"] if not p["indexed"]]
    topics = [topic_of(entry), *(encode([parameter_type(p)], [values[p["name"]]]) for p in indexed)]
    data = encode([parameter_type(p) for p in plain], [values[p["name"]] for p in plain])
    return {
        "address": ADDRESSES[contract],
        "topics": ["0x" + t.hex() for t in topics],
        "data": "0x" + data.hex(),
        "blockNumber": hex(event.meta.block),
        "blockHash": "0x" + event.meta.block_hash.hex(),
        "transactionHash": "0x" + event.meta.tx_hash.hex(),
        "logIndex": hex(event.meta.log_index),
        "removed": False,
    }


@cache
def _entries() -> dict[str, tuple[str, dict[str, Any]]]:
    return {entry["name"]: (contract, entry) for (contract, _), entry in events_abi().items()}


def _plain(item: Any) -> Any:
    if isinstance(item, BitSet):
        return item.bits
    if isinstance(item, StudyRules):
        return tuple(vars(item).values())
    return item


def serve(rounds: int, members: int, delay: float, ready: Any) -> None:
    """Answer until killed, each request after `delay` seconds; sends (endpoint, number of events) once it does."""
    by_block: dict[int, list[str]] = {}
    count = 0
    for event in events(rounds, members):
        by_block.setdefault(event.meta.block, []).append(json.dumps(log(event)))
        count += 1
    newest = max(by_block) + 1

    def block(number: int) -> dict[str, Any]:
        head = {"number": hex(number), "hash": "0x" + block_hash(number).hex(), "timestamp": hex(START + number)}
        parent = "0x" + block_hash(max(number - 1, 0)).hex()
        return head | {"parentHash": parent, "transactions": [], "gasUsed": "0x5208", "gasLimit": "0x1c9c380"}

    def result(method: str, params: list[Any]) -> str:
        if method == "eth_getLogs":
            first, last = int(params[0]["fromBlock"], 16), int(params[0]["toBlock"], 16)
            return "[" + ",".join(text for number in range(first, last + 1) for text in by_block.get(number, ())) + "]"
        if method == "eth_getBlockByNumber":
            number = newest if params[0] == "latest" else int(params[0], 16)
            return json.dumps(block(number) if number <= newest else None)
        if method == "eth_getBlockByHash":
            return json.dumps(block(int(params[0][4:], 16)))
        if method == "eth_getTransactionReceipt":
            number = int(params[0], 16) // 20
            receipt = {"transactionHash": params[0], "blockNumber": hex(number), "blockHash": "0x" + block_hash(number).hex()}
            return json.dumps(receipt | {"from": address(0), "gasUsed": hex(GAS), "effectiveGasPrice": "0x1", "status": "0x1", "logs": []})
        return json.dumps({"eth_chainId": hex(CHAIN_ID), "eth_getCode": "0x00", "eth_getBalance": hex(10**18)}.get(method))

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1  # one packet an answer: the kernel delays a second small one
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
            time.sleep(delay)
            body = f'{{"jsonrpc":"2.0","id":{asked["id"]},"result":{result(asked["method"], asked["params"])}}}'.encode()
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    ready.send((f"http://127.0.0.1:{server.server_address[1]}", count))
    server.serve_forever()


def network(endpoint: str) -> Network:
    assert CONTRACTS
    return Network(CHAIN_ID, endpoint, ADDRESSES)
