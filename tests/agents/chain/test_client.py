"""The connection: which chain, how failures read, how refusals are named."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from defedbio.chain.bindings.participant_registry import ParticipantRegistry
from defedbio.chain.bindings.round_manager import RoundManager, commitment_hash, set_hash
from defedbio.chain.bindings.study_registry import StudyRegistry
from defedbio.chain.client import ChainClient
from defedbio.chain.journal import MemoryJournal
from defedbio.chain.network import Contracts, Deployed, Network
from defedbio.chain.records import Call
from defedbio.chain.rpc import RpcError
from defedbio.chain.values import Profile
from defedbio.domain import BitSet
from defedbio.errors import ChainUnreachable, ContractRefused, InvalidInput, NotFound, WrongChain

from .conftest import QUICK, Anvil, Connect, account, free_port, vote

NOBODY = "0x000000000000000000000000000000000000dEaD"
PROFILE = Profile("Lab One", "bafy", b"\x07" * 32, "/ip4/127.0.0.1/tcp/4001")


def test_connect_returns_the_newest_block(connect: Connect, anvil: Anvil) -> None:
    assert connect().connect().number == int(anvil.rpc("eth_blockNumber"), 16)


def test_connect_refuses_another_chain(network: Network) -> None:
    with pytest.raises(WrongChain, match="is on chain 31337, the network file names chain 5"):
        ChainClient(network.rpc, replace(network, chain_id=5), options=QUICK).connect()


def test_connect_refuses_addresses_without_code(network: Network) -> None:
    moved = Contracts(dict(network.contracts.deployed) | {"KeyRegistry": Deployed(NOBODY, 0)})
    with pytest.raises(WrongChain, match=f"no contract at KeyRegistry's address {NOBODY}"):
        ChainClient(network.rpc, replace(network, contracts=moved), options=QUICK).connect()


def test_an_endpoint_that_does_not_answer_is_tried_a_bounded_number_of_times_and_its_credentials_stay_hidden() -> None:
    """C4: loss of the RPC endpoint is an error after a bound, and no secret of the URL is in it."""
    addresses = Contracts.of(*(f"0x{i:040x}" for i in range(1, 5)))
    port = free_port()
    url = f"http://user:hunter2@127.0.0.1:{port}/v3/apikey?token=sesame"
    client = ChainClient(url, Network(1, url, addresses), options=QUICK)
    started = time.monotonic()
    with pytest.raises(ChainUnreachable) as refusal:
        client.connect()
    assert time.monotonic() - started < 5
    assert f"http://127.0.0.1:{port} does not answer" in str(refusal.value)
    assert refusal.value.__cause__ is None
    assert not any(secret in str(refusal.value) for secret in ("hunter2", "user", "apikey", "sesame"))


@pytest.mark.parametrize("url", ["ws://127.0.0.1:1", "127.0.0.1:8545", "http://", "http://127.0.0.1:notaport"])
def test_an_endpoint_that_is_no_http_url_is_refused(network: Network, url: str) -> None:
    with pytest.raises(InvalidInput, match="RPC endpoint"):
        ChainClient(url, network)


def test_custom_errors_come_with_name_and_values(connect: Connect) -> None:
    outsider = connect(5)
    with pytest.raises(ContractRefused) as refusal:
        outsider.send(vote("vote", NOBODY))
    assert (refusal.value.name, refusal.value.values) == ("ParticipantRegistryNotMember", (account(5).address,))
    with pytest.raises(ContractRefused) as refusal:
        connect(0).send(vote("vote", account(1).address))
    assert (refusal.value.name, refusal.value.values) == ("ParticipantRegistryAlreadyMember", (account(1).address,))


def test_errors_of_another_contract_in_the_call_are_decoded_too(connect: Connect) -> None:
    with pytest.raises(ContractRefused) as refusal:
        connect(0).send(RoundManager.open_round("open", 9))
    assert refusal.value.name in {"StudyRegistryUnknownStudy", "RoundManagerNotEnrolled"}
    assert refusal.value.values[0] == 9


def test_a_refused_simulation_sends_nothing(connect: Connect, anvil: Anvil) -> None:
    client = connect(5)
    before = anvil.rpc("eth_blockNumber")
    with pytest.raises(ContractRefused):
        client.send(vote("vote", NOBODY))
    assert anvil.rpc("eth_blockNumber") == before
    assert anvil.rpc("eth_getTransactionCount", client.address, "pending") == "0x0"


def test_unknown_things_are_not_found(connect: Connect) -> None:
    client = connect()
    with pytest.raises(NotFound, match="no study 3"):
        StudyRegistry(client).study_of(3)
    with pytest.raises(NotFound, match="no round 3"):
        RoundManager(client).round_of(3)
    with pytest.raises(NotFound, match="published no profile"):
        ParticipantRegistry(client).profile_of(NOBODY)


def test_arguments_that_do_not_fit_are_the_callers_fault(connect: Connect) -> None:
    with pytest.raises(InvalidInput, match=r"RoundManager\.commit"):
        connect().send(RoundManager.commit("c", 1, b"too long" * 5))
    with pytest.raises(InvalidInput, match="takes 0 arguments, not 1"):
        connect().call(Call("RoundManager", "roundCount", (1,)))


def test_sending_needs_an_account_and_funds(network: Network) -> None:
    with pytest.raises(InvalidInput, match="needs an account"):
        ChainClient(network.rpc, network, options=QUICK).send(ParticipantRegistry.register("r", PROFILE))
    poor = account(99)
    with pytest.raises(InvalidInput, match=f"{poor.address} cannot pay"):
        ChainClient(network.rpc, network, poor, options=QUICK).send(ParticipantRegistry.register("r", PROFILE))


def test_value_can_be_sent_and_pays_for_a_new_account(connect: Connect, network: Network) -> None:
    newcomer = account(98)
    assert connect(0)._sending().send("fund", newcomer.address, b"", 10**18).gas_used == 21_000
    client = ChainClient(network.rpc, network, newcomer, options=QUICK)
    assert client.balance() == 10**18
    receipt = client.send(ParticipantRegistry.register("r", PROFILE))
    assert client.balance() == 10**18 - receipt.cost
    assert ParticipantRegistry(client).profile_of(newcomer.address) == PROFILE


def test_text_that_is_not_utf8_does_not_stop_the_readers(connect: Connect) -> None:
    """Anyone may register: bytes that are not UTF-8 in a name must not keep every node from reading the events."""
    client = connect(6)
    registry = ParticipantRegistry(client)
    data = client_calldata_with_bad_name()
    client._sending().send("raw", client.network.contracts["ParticipantRegistry"], data, 0)
    assert registry.profile_of(client.address).name == "\ufffdab"


def client_calldata_with_bad_name() -> bytes:
    from defedbio.chain.abi import encode_call

    good = encode_call(Call("ParticipantRegistry", "register", (Profile("zab", "", b"\x01" * 32, ""),)))
    assert good.count(b"zab") == 1
    return good.replace(b"zab", b"\xffab")


def test_the_hashes_computed_here_are_the_contracts(connect: Connect, network: Network) -> None:
    """P1, P9: the commitment and the set hash need no node, and the contract computes the same."""
    client, where = connect(), network.contracts["RoundManager"]
    committed = (account(2).address, b"\x01" * 32, "bafycid", b"\x02" * 32, b"\x03" * 32)
    assert commitment_hash(network.chain_id, where, 7, *committed) == client.call(Call("RoundManager", "commitmentOf", (7, *committed)))
    sides = BitSet.of(0, 255)
    assert set_hash(network.chain_id, where, 7, sides) == client.call(Call("RoundManager", "setHashOf", (7, sides)))


def test_blocks_and_logs(connect: Connect, network: Network) -> None:
    client = connect()
    head = client.head()
    assert client.block(head.number) == head == client.block_by_hash(head.hash)
    assert client.block(head.number + 1) is None
    logs = client.get_logs(network.deploy_block, head.number, tuple(network.contracts.addresses().values()))
    assert len(logs) == 4, "one MemberAdmitted for each founder"


def test_a_transfer_to_oneself_is_mined_once_a_key_and_moves_nothing(connect: Connect) -> None:
    client = connect(journal=MemoryJournal())
    before, used = client.balance(), client.nonce(client.address)
    mined = client.self_transfer("one")
    assert client.self_transfer("one") == mined == client.receipt(mined.tx_hash) and mined.gas_used < 23_000
    assert client.nonce(client.address) == used + 1 and before - client.balance() == mined.cost
    assert client.self_transfer("two") != mined


def test_c7_where_nonce_and_fees_are_the_same_another_key_still_gives_another_transfer(connect: Connect, anvil: Anvil) -> None:
    """Two restores of one backup, the second at an Ethereum node that is behind the transfer of the first: that one dates nothing."""
    snapshot = anvil.rpc("evm_snapshot")
    first, used = connect(journal=MemoryJournal()).self_transfer("restored/one"), connect().nonce(connect().address)
    anvil.rpc("evm_revert", snapshot)
    again = connect(journal=MemoryJournal()).self_transfer("restored/two")
    assert again.tx_hash != first.tx_hash and connect().nonce(connect().address) == used


def test_a_call_of_a_block_is_answered_by_that_block_or_not_at_all(connect: Connect) -> None:
    client = connect()
    before = client.head().number
    client.send(ParticipantRegistry.register("mine", PROFILE))
    profile = Call("ParticipantRegistry", "profileOf", (client.address,))
    assert client.call(profile)["name"] == PROFILE.name == client.call(profile, client.head().number)["name"]
    assert client.call(profile, before)["name"] != PROFILE.name
    for block in (client.head().number + 1, client.network.deploy_block - 1):
        with pytest.raises(ChainUnreachable):
            client.call(profile, block)


@pytest.mark.parametrize(
    ("answer", "behind"), [(False, False), ({"currentBlock": "0x1"}, True), (None, True), (RpcError(-32601, "no"), False)]
)
def test_a_node_that_says_it_is_syncing(connect: Connect, monkeypatch: pytest.MonkeyPatch, answer: object, behind: bool) -> None:
    client = connect()
    assert not client.syncing()

    def answered(method: str, params: object) -> object:
        assert method == "eth_syncing"
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(client._rpc, "_once", answered)
    assert client.syncing() is behind


def test_the_environment_names_the_way_to_the_node(network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("no_proxy", "")
    with pytest.raises(ChainUnreachable, match="ProxyError"):
        ChainClient(network.rpc, network, options=QUICK).connect()
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    assert ChainClient(network.rpc, network, options=QUICK).connect().number > 0
