"""Headers, receipts, transactions and state against hashes: Ethereum's own genesis block, and a real Anvil's blocks."""

from __future__ import annotations

from typing import Any

import pytest
import rlp
from eth_utils import keccak

from defedbio.chain.abi import encode_call
from defedbio.chain.client import ChainClient
from defedbio.chain.network import Network
from defedbio.chain.parse import as_bytes, to_hex
from defedbio.chain.proofs import (
    Header,
    account_at,
    array_slot,
    at_index,
    header_of,
    index_nodes,
    index_trie,
    mapping_slot,
    pool,
    read_header,
    read_logs,
    read_transaction,
    storage_at,
)
from defedbio.chain.records import Call
from defedbio.chain.rpc import RpcError
from defedbio.chain.values import Profile
from defedbio.errors import BadEvidence, ChainUnreachable, InvalidInput

from .conftest import Anvil, Connect, account

EMPTY_ROOT = "0x56e81f171bcc55a6ff8345e692c0f86e5b48e01b996cadc001622fb5e363b421"
NOTHING = "0x" + "00" * 32
# https://etherscan.io/block/0
GENESIS: dict[str, Any] = {
    "hash": "0xd4e56740f876aef8c010b86a40d5f56745a118d0906a34e69aec8c0db1cb8fa3",
    "parentHash": NOTHING,
    "sha3Uncles": "0x1dcc4de8dec75d7aab85b567b6ccd41ad312451b948a7413f0a142fd40d49347",
    "miner": "0x" + "00" * 20,
    "stateRoot": "0xd7f8974fb5ac78d9ac099b9ad5018bedc2ce0a72dad1827a1709da30580f0544",
    "transactionsRoot": EMPTY_ROOT,
    "receiptsRoot": EMPTY_ROOT,
    "logsBloom": "0x" + "00" * 256,
    "difficulty": "0x400000000",
    "number": "0x0",
    "gasLimit": "0x1388",
    "gasUsed": "0x0",
    "timestamp": "0x0",
    "extraData": "0x11bbe8db4e347b4e8c937c1c8370e4b5ed33adb3db69cbdb7a38e1e50b1b82fa",
    "mixHash": NOTHING,
    "nonce": "0x0000000000000042",
    "totalDifficulty": "0x400000000",
    "size": "0x21c",
    "uncles": [],
    "transactions": [],
}
NOT_HASHED = ("hash", "totalDifficulty", "size", "uncles", "transactions")
FORKS = (
    {"baseFeePerGas": "0x7"},
    {"withdrawalsRoot": EMPTY_ROOT},
    {"blobGasUsed": "0x20000", "excessBlobGas": "0x0", "parentBeaconBlockRoot": NOTHING},
    {"requestsHash": NOTHING},
)


def test_ethereums_genesis_header_hashes_to_its_hash() -> None:
    header = header_of(GENESIS)
    assert header.hash.hex() == GENESIS["hash"][2:]
    assert (header.number, header.timestamp, header.state_root.hex()) == (0, 0, GENESIS["stateRoot"][2:])
    assert read_header(header.raw) == header


def test_a_header_that_does_not_hash_names_the_fields_that_are_not_known() -> None:
    with pytest.raises(InvalidInput, match="block 0 does not hash") as refusal:
        header_of({**GENESIS, "timestamp": "0x1", "mixDigestOfTomorrow": "0x1"})
    assert "mixDigestOfTomorrow" in refusal.value.hint


@pytest.mark.parametrize("forks", range(5))
def test_headers_of_every_fork_are_read_and_no_others(forks: int) -> None:
    """The fields of London, Shanghai, Cancun and Prague, each after those before it."""
    block = dict(GENESIS)
    for fork in FORKS[:forks]:
        block |= fork
    fields = {name: value for name, value in block.items() if name not in NOT_HASHED}
    items = [as_bytes(v) if len(v) > 20 or name in ("nonce", "miner") else int(v, 16) for name, v in fields.items()]
    raw = rlp.encode(items)
    assert header_of({**block, "hash": "0x" + keccak(raw).hex()}).raw == raw
    if forks == 3:
        with pytest.raises(BadEvidence, match="fork that this version knows"):
            read_header(rlp.encode(items[:-1]))


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"", "not RLP"),
        (b"\xff" * 40, "not RLP"),
        (rlp.encode([b"x"] * 15), "wrong length"),
        (rlp.encode([[b"x"]] * 15), "not the fields"),
        (b"\xc0" * 70_000, "longer than"),
        (rlp.encode([b"\x01" * 32] * 15 + [b"\x01"] * 20), "not the fields"),
    ],
)
def test_what_is_no_header_is_refused(raw: bytes, reason: str) -> None:
    with pytest.raises(BadEvidence, match=reason):
        read_header(raw)


@pytest.fixture
def block(connect: Connect, network: Network, anvil: Anvil) -> tuple[ChainClient, Header, list[str]]:
    """One block with a legacy, an access-list and a fee-market transaction, and a registration with an event."""
    accounts = [account(i).address for i in range(4)]
    price = hex(10**10)
    fees: tuple[dict[str, Any], ...] = (
        {"gasPrice": price},
        {"gasPrice": price, "accessList": [], "type": "0x1"},
        {"maxFeePerGas": price, "maxPriorityFeePerGas": "0x1"},
    )
    registration = encode_call(Call("ParticipantRegistry", "register", (Profile("proven", "", b"\x05" * 32, ""),)))
    anvil.rpc("evm_setAutomine", False)
    for sender, fee in enumerate(fees):
        anvil.rpc("eth_sendTransaction", {"from": accounts[sender], "to": accounts[3], "value": "0x1", "gas": hex(30_000), **fee})
    registering = {"from": accounts[3], "to": network.contracts["ParticipantRegistry"], "data": to_hex(registration), "gas": hex(500_000)}
    anvil.rpc("eth_sendTransaction", registering)
    anvil.mine()
    anvil.rpc("evm_setAutomine", True)
    client = connect(3)
    header = client.header(client.head().number)
    assert len(client.transaction_hashes(header)) == 4
    return client, header, accounts


def test_receipts_of_all_types_lead_from_the_headers_root(block: tuple[ChainClient, Header, list[str]], network: Network) -> None:
    client, header, _ = block
    receipts = client.encoded_receipts(header)
    trie = index_trie(receipts)
    assert trie.root_hash == header.receipts_root
    assert {r[0] if r[0] < 0x80 else 0 for r in receipts} == {0, 1, 2}
    logs = []
    for index, receipt in enumerate(receipts):
        nodes = pool(index_nodes(trie, [index]))
        assert at_index(nodes, header.receipts_root, index) == receipt
        logs += read_logs(receipt)
    assert [log.address for log in logs] == [network.contracts["ParticipantRegistry"]]


def test_a_changed_or_missing_node_proves_nothing(block: tuple[ChainClient, Header, list[str]]) -> None:
    client, header, _ = block
    trie = index_trie(client.encoded_receipts(header))
    nodes = sorted(index_nodes(trie, [0, 3]))
    for index, node in enumerate(nodes):
        # every byte counts: one from the middle of each node
        changed = bytearray(node)
        changed[len(node) // 2] ^= 1
        for others in ([bytes(changed)], []):
            kept = pool([*nodes[:index], *others, *nodes[index + 1 :]])
            with pytest.raises(BadEvidence, match="does not lead from the root"):
                at_index(kept, header.receipts_root, 0), at_index(kept, header.receipts_root, 3)
    with pytest.raises(BadEvidence, match="nothing at index 9"):
        at_index(pool(index_nodes(trie, [0, 1, 2, 3])), header.receipts_root, 9)


def test_transactions_prove_who_signed_them(block: tuple[ChainClient, Header, list[str]]) -> None:
    client, header, accounts = block
    raw = client.encoded_transactions(header)
    assert raw is not None
    trie = index_trie(raw)
    assert trie.root_hash == header.transactions_root
    proven = [read_transaction(at_index(pool(index_nodes(trie, [i])), header.transactions_root, i)) for i in range(len(raw))]
    assert [p.hash for p in proven] == client.transaction_hashes(header)
    assert sorted(p.sender for p in proven) == sorted(accounts)
    with pytest.raises(BadEvidence, match="cannot be read"):
        read_transaction(b"\x02\xc0")


def test_state_is_proven_with_its_empty_slots(block: tuple[ChainClient, Header, list[str]], network: Network, anvil: Anvil) -> None:
    client, header, accounts = block
    registry = network.contracts["ParticipantRegistry"]
    base = mapping_slot(2, accounts[3])
    slots = [0, base, base + 2, mapping_slot(1, accounts[0]), 99]
    nodes = client.state_nodes(registry, slots, header)
    assert nodes is not None
    state = account_at(pool(nodes), header.state_root, registry)
    assert state.code_hash == keccak(client.code(registry, header))
    found = [storage_at(pool(nodes), state.storage_root, slot) for slot in slots]
    assert found == [int(anvil.rpc("eth_getStorageAt", registry, hex(slot), hex(header.number)), 16) for slot in slots]
    assert (found[1:]) == [int.from_bytes(b"proven".ljust(31, b"\0") + bytes([12]), "big"), int("05" * 32, 16), 1, 0]
    with pytest.raises(BadEvidence, match="does not lead"):
        storage_at(pool(nodes[:3]), state.storage_root, base)
    with pytest.raises(BadEvidence, match="does not lead"):
        account_at(pool(nodes), header.parent, registry)
    nobody = "0x" + "77" * 20
    absent = client.state_nodes(nobody, [], header)
    assert absent is not None
    with pytest.raises(BadEvidence, match="no account"):
        account_at(pool(absent), header.state_root, nobody)


def test_slots_of_arrays_follow_the_hash_of_their_own() -> None:
    assert array_slot(7, 3) - array_slot(7, 0) == 3
    assert array_slot(0, 0) == int("290decd9548b62a8d60345a988386fc84ba6bc95484008f6362f93160ef3e563", 16), "Solidity's documentation"


def test_a_node_that_lacks_the_newer_methods_is_asked_otherwise(
    block: tuple[ChainClient, Header, list[str]], network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, header, _ = block
    whole, ask = client.encoded_receipts(header), client._rpc.__class__.__call__

    def lacking(self: object, method: str, *params: object, read: Any) -> Any:
        if method in ("eth_getBlockReceipts", "eth_getRawTransactionByHash", "eth_getProof"):
            raise RpcError(-32601, "method not found")
        return ask(self, method, *params, read=read)  # type: ignore[arg-type]

    monkeypatch.setattr(client._rpc.__class__, "__call__", lacking)
    assert client.encoded_receipts(header) == whole
    assert client.encoded_transactions(header) is None
    assert client.state_nodes(network.contracts["RoundManager"], [0], header) is None
    with pytest.raises(ChainUnreachable, match="has no block"):
        client.header(header.number + 1000)
