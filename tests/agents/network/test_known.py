"""Which networks a home was used on, by what it remembers and by the traces of before it did."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from eth_account import Account

from defedbio.chain.accounts import chain_of
from defedbio.chain.network import Contracts, Network
from defedbio.config import Home
from defedbio.errors import InvalidInput
from defedbio.network.known import others, remember, unknown
from defedbio.protocol.journal import Journal


def network(chain: int, first: int = 1) -> Network:
    return Network(chain, "http://user:secret@host:8545", Contracts.of(*(f"0x{number:040x}" for number in range(first, first + 4))))


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home")


def test_the_networks_on_which_something_was_sent_are_remembered(home: Home) -> None:
    here, twin, another = network(1), network(1, first=11), network(2)
    assert others(home, here) == []
    for one in (here, twin, another, another):
        remember(home, one)
    assert others(home, here) == [twin, another] and others(home, network(3)) == [here, twin, another]
    assert all(path.stat().st_mode & 0o77 == 0 for path in home.networks.iterdir()), "an endpoint can carry credentials"
    moved = Network(2, "http://elsewhere:8545", another.contracts)
    remember(home, moved)
    assert others(home, here) == [twin, moved]
    next(home.networks.glob("2-*")).write_text("{}")
    with pytest.raises(InvalidInput, match="network file"):
        others(home, here)


def sent(home: Home, key: str, chain: int, to: str) -> None:
    """What the journal of transactions holds once one was sent."""
    fields: dict[str, Any] = {"chainId": chain, "nonce": 0, "to": to, "data": "0x", "value": 0, "gas": 21_000}
    signed = Account.create().sign_transaction(fields | {"maxFeePerGas": 1, "maxPriorityFeePerGas": 1, "type": 2})
    raw = "0x" + bytes(signed.raw_transaction).hex()
    journal = Journal(home.transactions)
    journal.put(key, {"to": to, "raw": [raw]})
    journal.close()


def test_traces_of_networks_that_no_file_tells_of_are_found(home: Home) -> None:
    here, address = network(1), "0x" + "00" * 19 + "{:02x}"
    for path in (home.share(1, here.contracts["KeyRegistry"], 1), home.share(5, address.format(2), 1)):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("{}")
    home.study(6, address.format(4), 1).mkdir(parents=True)
    home.study(1, here.contracts["RoundManager"], 2).mkdir(parents=True)
    for key, chain in (("register/aa", 7), ("transport/bb", 8), ("register/cc", 1), ("epoch/1/confirm/0xa1", 9)):
        sent(home, key, chain, here.contracts["ParticipantRegistry"])
    told = [f"contract {address.format(number)} on chain {chain}" for chain, number in ((5, 2), (6, 4), (7, 1), (8, 1))]
    assert unknown(home, [here]) == told
    assert unknown(home, [here, network(5), network(7)]) == [told[1], told[3]]


def test_a_transaction_of_no_chain_is_none() -> None:
    with pytest.raises(InvalidInput, match="cannot be read"):
        chain_of(b"\x02nonsense")
    with pytest.raises(InvalidInput, match="cannot be read"):
        chain_of(b"")


def test_a_journal_of_transactions_that_cannot_be_read_is_told(home: Home) -> None:
    home.root.mkdir()
    home.transactions.write_bytes(b"no database, but longer than a header" * 10)
    with pytest.raises(InvalidInput, match=r"tx\.sqlite cannot be read"):
        unknown(home, [])
    assert home.transactions.read_bytes().startswith(b"no database")
