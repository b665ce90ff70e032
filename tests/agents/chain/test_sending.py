"""C2: one effect per key, whatever happens between the journal, the node and the receipt."""

from __future__ import annotations

from typing import Any

import pytest

from defedbio.chain.bindings.participant_registry import ParticipantRegistry
from defedbio.chain.events import ParticipantRegistered, fetch_events
from defedbio.chain.fees import raised
from defedbio.chain.journal import MemoryJournal
from defedbio.chain.records import Call, Transaction
from defedbio.chain.values import Profile
from defedbio.errors import ChainUnreachable, ContractRefused, InternalFault, InvalidInput

from .conftest import Anvil, Connect, account, vote


def profile(name: str) -> Profile:
    return Profile(name, "bafy", b"\x07" * 32, "/ip4/127.0.0.1/tcp/4001")


class Crash(Exception):
    """The process dies here."""


class CrashingJournal(MemoryJournal):
    """Dies right after the entry is durable, before anything is sent."""

    def __init__(self) -> None:
        super().__init__()
        self.armed = True

    def put(self, key: str, entry: dict[str, Any]) -> None:
        super().put(key, entry)
        if self.armed:
            raise Crash


def registrations(connect: Connect) -> list[str]:
    client = connect()
    found = fetch_events(client, client.network.deploy_block, client.head().number, kinds=[ParticipantRegistered])
    return [event.name for event in found if isinstance(event, ParticipantRegistered)]


def test_the_same_key_again_gives_the_same_receipt_and_no_second_effect(connect: Connect) -> None:
    """C2"""
    journal = MemoryJournal()
    first = connect(4, journal).send(ParticipantRegistry.register("k", profile("once")))
    again = connect(4, journal).send(ParticipantRegistry.register("k", profile("once")))
    assert again == first
    assert registrations(connect) == ["once"]


def test_a_crash_between_journal_and_send(connect: Connect, anvil: Anvil) -> None:
    """C2: the restarted process sends the journalled transaction, under the journalled nonce."""
    journal = CrashingJournal()
    with pytest.raises(Crash):
        connect(4, journal).send(ParticipantRegistry.register("k", profile("late")))
    assert registrations(connect) == []
    entry = journal.get("k")
    assert entry is not None
    journal.armed = False
    receipt = connect(4, journal).send(ParticipantRegistry.register("k", profile("late")))
    assert "0x" + receipt.tx_hash.hex() == entry["hashes"][0]
    assert registrations(connect) == ["late"]
    assert int(anvil.rpc("eth_getTransactionCount", account(4).address, "latest"), 16) == entry["nonce"] + 1


def test_a_crash_between_send_and_receipt(connect: Connect, anvil: Anvil) -> None:
    """C2: what was sent and mined meanwhile is found by its hash, not sent again."""
    journal = CrashingJournal()
    with pytest.raises(Crash):
        connect(4, journal).send(ParticipantRegistry.register("k", profile("sent")))
    entry = journal.get("k")
    assert entry is not None
    anvil.rpc("eth_sendRawTransaction", entry["raw"][0])
    journal.armed = False
    receipt = connect(4, journal).send(ParticipantRegistry.register("k", profile("sent")))
    assert "0x" + receipt.tx_hash.hex() == entry["hashes"][0]
    assert registrations(connect) == ["sent"]


def test_a_crash_while_it_is_still_in_the_pool(connect: Connect, anvil: Anvil) -> None:
    """C2: the node already knows the transaction; the restarted process waits for that one."""
    journal = MemoryJournal()
    anvil.rpc("evm_setAutomine", False)
    with pytest.raises(ChainUnreachable, match="is not mined after"):
        connect(4, journal, wait_seconds=0.05).send(ParticipantRegistry.register("k", profile("pooled")))
    anvil.rpc("evm_setAutomine", True)
    anvil.mine()
    receipt = connect(4, journal).send(ParticipantRegistry.register("k", profile("pooled")))
    entry = journal.get("k")
    assert entry is not None
    assert entry["hashes"] == ["0x" + receipt.tx_hash.hex()]
    assert registrations(connect) == ["pooled"]


def test_a_nonce_taken_by_another_transaction(connect: Connect) -> None:
    """C2: the journalled transaction can never be mined, so the effect is sent anew, once."""
    journal = CrashingJournal()
    with pytest.raises(Crash):
        connect(4, journal).send(ParticipantRegistry.register("k", profile("mine")))
    taken = journal.get("k")
    assert taken is not None
    connect(4)._sending().send("other", account(5).address, b"", 1)
    journal.armed = False
    connect(4, journal).send(ParticipantRegistry.register("k", profile("mine")))
    entry = journal.get("k")
    assert entry is not None
    assert entry["nonce"] == taken["nonce"] + 1
    assert registrations(connect) == ["mine"]


def test_a_node_that_lost_an_earlier_transaction(connect: Connect, anvil: Anvil) -> None:
    """C2: nonces before the journalled one are filled with empty transfers; signing anew could give two effects."""
    journal = MemoryJournal()
    anvil.rpc("evm_setAutomine", False)
    for key in ("first", "second"):
        with pytest.raises(ChainUnreachable):
            connect(4, journal, wait_seconds=0.05).send(ParticipantRegistry.register(key, profile(key)))
    anvil.rpc("anvil_dropAllTransactions")
    anvil.rpc("evm_setAutomine", True)
    second = connect(4, journal).send(ParticipantRegistry.register("second", profile("second")))
    entry = journal.get("second")
    assert entry is not None
    assert entry["hashes"] == ["0x" + second.tx_hash.hex()]
    connect(4, journal).send(ParticipantRegistry.register("first", profile("first")))
    assert registrations(connect) == ["second", "first"]


def test_a_stuck_transaction_is_replaced_at_the_same_nonce_by_a_dearer_one(connect: Connect, anvil: Anvil) -> None:
    """C2: replaced a bounded number of times, every version journalled, one effect."""
    journal = MemoryJournal()
    anvil.rpc("evm_setAutomine", False)
    options: dict[str, Any] = {"replace_after_seconds": 0.05, "max_replacements": 2, "wait_seconds": 0.6}
    with pytest.raises(ChainUnreachable, match="is not mined after"):
        connect(4, journal, **options).send(ParticipantRegistry.register("k", profile("stuck")))
    entry = journal.get("k")
    assert entry is not None
    assert len(entry["hashes"]) == len(set(entry["hashes"])) == 3
    pool = anvil.pending()
    assert [tx["hash"] for tx in pool] == [entry["hashes"][-1]]
    assert int(pool[0]["nonce"], 16) == entry["nonce"]
    anvil.rpc("evm_setAutomine", True)
    anvil.mine()
    receipt = connect(4, journal).send(ParticipantRegistry.register("k", profile("stuck")))
    assert "0x" + receipt.tx_hash.hex() == entry["hashes"][-1]
    assert registrations(connect) == ["stuck"]


def test_an_earlier_version_that_was_mined_counts(connect: Connect, anvil: Anvil) -> None:
    """C2: all hashes are journalled, because any version may be the one that is mined."""
    journal = MemoryJournal()
    anvil.rpc("evm_setAutomine", False)
    with pytest.raises(ChainUnreachable):
        connect(4, journal, replace_after_seconds=0.05, max_replacements=1, wait_seconds=0.3).send(
            ParticipantRegistry.register("k", profile("old"))
        )
    entry = journal.get("k")
    assert entry is not None
    assert len(entry["raw"]) == 2
    anvil.rpc("anvil_dropAllTransactions")
    anvil.rpc("evm_setAutomine", True)
    anvil.rpc("eth_sendRawTransaction", entry["raw"][0])
    receipt = connect(4, journal).send(ParticipantRegistry.register("k", profile("old")))
    assert "0x" + receipt.tx_hash.hex() == entry["hashes"][0]
    assert registrations(connect) == ["old"]


def test_a_reorganisation_that_drops_the_transaction(connect: Connect, anvil: Anvil) -> None:
    """C1, C2: the entry outlives success, so the same bytes go out again when a reorganisation took the effect away."""
    journal = MemoryJournal()
    snapshot = anvil.rpc("evm_snapshot")
    first = connect(4, journal).send(ParticipantRegistry.register("k", profile("again")))
    anvil.rpc("evm_revert", snapshot)
    anvil.mine()
    assert registrations(connect) == []
    second = connect(4, journal).send(ParticipantRegistry.register("k", profile("again")))
    assert second.tx_hash == first.tx_hash
    assert registrations(connect) == ["again"]


def test_a_transaction_that_reverts_when_mined_is_refused_by_name(connect: Connect, anvil: Anvil) -> None:
    """The simulation passed, the chain moved on: the refusal is read by replaying the call at the block."""
    candidate = account(5).address
    connect(5).send(ParticipantRegistry.register("r", profile("candidate")))
    journal = CrashingJournal()
    voter = connect(1, journal)
    with pytest.raises(Crash):
        voter.send(vote("vote", candidate))
    journal.armed = False
    for position in (0, 2, 3):
        connect(position).send(vote("vote", candidate))
    with pytest.raises(ContractRefused) as refusal:
        voter.send(vote("vote", candidate))
    assert (refusal.value.name, refusal.value.values) == ("ParticipantRegistryAlreadyMember", (candidate,))
    assert journal.get("vote") is None


def test_a_key_names_one_effect(connect: Connect) -> None:
    journal = MemoryJournal()
    connect(4, journal).send(ParticipantRegistry.register("k", profile("one")))
    with pytest.raises(InternalFault, match="already names another transaction"):
        connect(4, journal).send(ParticipantRegistry.register("k", profile("two")))
    with pytest.raises(InvalidInput, match="was sent by"):
        connect(5, journal).send(ParticipantRegistry.register("k", profile("one")))


def test_a_journal_of_a_chain_that_was_started_anew_is_not_believed(connect: Connect) -> None:
    journal = MemoryJournal()
    connect(4, journal).send(ParticipantRegistry.register("k", profile("one")))
    entry = journal.get("k")
    assert entry is not None
    journal.put("k", entry | {"chain": "0x" + "00" * 32})
    connect(4, journal).send(ParticipantRegistry.register("k", profile("two")))
    assert registrations(connect) == ["one", "two"]


def test_replacement_fees_rise_by_a_quarter_and_stay_below_the_limit() -> None:
    old = {"maxFeePerGas": 100, "maxPriorityFeePerGas": 8}
    assert raised(old, {"maxFeePerGas": 60, "maxPriorityFeePerGas": 1}, 1000) == {"maxFeePerGas": 125, "maxPriorityFeePerGas": 10}
    assert raised(old, {"maxFeePerGas": 300, "maxPriorityFeePerGas": 20}, 1000) == {"maxFeePerGas": 300, "maxPriorityFeePerGas": 20}
    assert raised(old, old, 105) is None
    assert raised({"gasPrice": 4}, {"gasPrice": 4}, 1000) == {"gasPrice": 5}


def test_call_arguments_are_part_of_the_effect(connect: Connect) -> None:
    client = connect(4)
    call = Call("ParticipantRegistry", "register", (profile("x"),))
    assert client.send(Transaction("k", call, "test")) == client.send(Transaction("k", call, "test"))
