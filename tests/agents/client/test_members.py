"""Votes on membership, typed as organisations type them, on a real chain with the real contracts."""

from __future__ import annotations

import io
import json
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from eth_account import Account

from defedbio import Client
from defedbio.chain.bindings.key_registry import KeyRegistry
from defedbio.chain.bindings.participant_registry import ParticipantRegistry
from defedbio.chain.bindings.study_registry import StudyRegistry
from defedbio.chain.client import ChainClient
from defedbio.chain.network import Network
from defedbio.chain.records import Transaction
from defedbio.chain.values import Profile, StudyRules
from defedbio.cli.main import main
from defedbio.client.members import OwnVote
from defedbio.errors import InvalidInput
from tests.anvil import QUICK, Anvil, account, deployed_on, undone

PASSWORD = "a long enough password"
NAMES = ("Alpha", "Beta", "Gamma", "Delta", "Epsilon")
ADDRESSES = [str(account(i).address) for i in range(len(NAMES))]
MODULUS, HASH = b"\xc3" + b"\x07" * 255, b"\x11" * 32


@dataclass(frozen=True)
class Done:
    code: int
    out: str
    err: str


@pytest.fixture(scope="module")
def deployed(anvil: Anvil, artefacts: dict[str, dict[str, Any]]) -> Network:
    """The contracts, with Alpha to Delta as founders."""
    return deployed_on(anvil, artefacts, ADDRESSES[:4])


@pytest.fixture(scope="module")
def keystores(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A keystore of each organisation that opens at once."""
    folder = tmp_path_factory.mktemp("keystores")
    files = [folder / name for name in NAMES]
    for position, file in enumerate(files):
        file.write_text(json.dumps(Account.encrypt(account(position).key, PASSWORD, iterations=2)))
    return files


@dataclass
class World:
    folder: Path
    network: Network
    keystores: list[Path]
    run: Callable[..., Done]
    sent: int = 0

    def home(self, position: int) -> Path:
        home = self.folder / NAMES[position]
        if not home.exists():
            home.mkdir()
            shutil.copy(self.keystores[position], home / "account.json")
        return home

    def member(self, position: int, *arguments: object) -> Done:
        """`defedbio member ...` of this organisation."""
        return self.run(self.home(position), "member", *arguments)

    def told(self, position: int, *arguments: object) -> Any:
        done = self.member(position, *arguments, "--json")
        assert done.code == 0, done.err
        return json.loads(done.out)

    def client(self, position: int) -> Client:
        return Client(self.home(position), self.folder / "network.json", password=PASSWORD)

    def send(self, position: int, transaction: Transaction) -> Any:
        self.sent += 1
        client = ChainClient(self.network.rpc, self.network, account(position), options=QUICK)
        return client.send(replace(transaction, key=f"{self.sent}"))

    def nonce(self, position: int) -> int:
        return ChainClient(self.network.rpc, self.network).nonce(ADDRESSES[position])

    def votes(self, *positions: int, admit: int | None = None, remove: int | None = None) -> None:
        """Others' votes, by whatever they vote with."""
        for position in positions:
            if admit is not None:
                self.send(position, ParticipantRegistry.vote_to_admit("", ADDRESSES[admit]))
            if remove is not None:
                self.send(position, ParticipantRegistry.vote_to_remove("", ADDRESSES[remove]))

    def register(self, position: int, name: str = "") -> None:
        self.send(position, ParticipantRegistry.register("", Profile(name or NAMES[position], "", bytes([position + 1]) * 32, "")))

    def make_key(self, holders: int, threshold: int) -> int:
        seats = ADDRESSES[:holders]
        receipt = self.send(0, KeyRegistry.propose("", MODULUS, seats, threshold, HASH, "bafy"))
        epoch = KeyRegistry(ChainClient(self.network.rpc, self.network)).proposed_in(receipt)
        for holder in range(holders):
            self.send(holder, KeyRegistry.confirm("", epoch, HASH))
        return epoch

    def open_study(self, epoch: int) -> int:
        """A study in which Alpha to Gamma take part."""
        chain = ChainClient(self.network.rpc, self.network)
        rules = StudyRules(3, 3, 2, chain.head().timestamp + 3600, 600, 600, 600, 600, 600, 600, 6_666)
        study = StudyRegistry(chain).opened_in(self.send(0, StudyRegistry.open("", epoch, HASH, "bafyspec", rules)))
        for position in range(3):
            self.send(position, StudyRegistry.enrol("", study, HASH))
        return study


@pytest.fixture
def world(
    anvil: Anvil,
    deployed: Network,
    keystores: list[Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Iterator[World]:
    network, password = tmp_path / "network.json", tmp_path / "password"
    deployed.save(network)
    password.write_text(PASSWORD)
    for name, value in {"NETWORK": network, "PASSWORD_FILE": password}.items():
        monkeypatch.setenv(f"DEFEDBIO_{name}", str(value))
    monkeypatch.delenv("DEFEDBIO_RPC", raising=False)

    def run(home: Path, *arguments: object) -> Done:
        monkeypatch.setattr(sys, "argv", ["defedbio", *map(str, arguments), "--home", str(home)])
        with pytest.raises(SystemExit) as caught:
            main()
        out = capsys.readouterr()
        return Done(int(caught.value.code or 0), out.out, out.err)

    with undone(anvil):
        yield World(tmp_path, deployed, keystores, run)


def test_a_newcomer_is_admitted_and_removed_again(world: World) -> None:
    for position in range(5):
        world.register(position)
    listed = world.member(0, "list")
    assert "4 members; the votes of 3 admit or remove one" in listed.out and "no vote is open" in listed.out
    assert f"{ADDRESSES[0]}  Alpha, this organisation" in listed.out
    assert f"registered, and not members (names are what accounts call themselves):\n  {ADDRESSES[4]}  Epsilon\n" in listed.out

    first = world.member(0, "admit", "epsilon", "--yes")
    assert first.code == 0, first.err
    assert "0 of the 3 votes that it needs" in first.out and "compare the address with the organisation" in first.out
    assert "missing after this vote: 2" in first.out
    assert f"1 of the 3 votes that it needs\n  voted: Alpha {ADDRESSES[0]}\n  2 missing, of: Beta {ADDRESSES[1]}, Gamma" in first.out
    world.votes(1, admit=4)

    (voting,) = world.told(4, "list")["votes"]
    assert [party["name"] for party in voting["voters"]] == ["Alpha", "Beta"] and not voting["carried"]
    assert [party["name"] for party in voting["wait"]] == ["Gamma", "Delta"] and (voting["needed"], voting["admit"]) == (3, True)
    last = world.member(2, "admit", "Epsilon", "--yes")
    assert "this vote is the one that decides: it is a member at once" in last.out
    assert f"Epsilon {ADDRESSES[4]} is a member, by the votes of Alpha {ADDRESSES[0]}, Beta" in last.out
    assert [member["name"] for member in world.told(4, "list")["members"]] == list(NAMES)

    world.votes(4, 0, remove=4)
    done = world.member(1, "remove", "Epsilon", "--yes")
    assert done.code == 0 and "members that are left: 4; other open votes that it ends, to be cast anew: 0" in done.out
    assert f"Epsilon {ADDRESSES[4]} is no member any more" in done.out
    state = world.told(0, "list")
    assert [member["name"] for member in state["members"]] == list(NAMES[:4])
    assert state["candidates"] == [{"address": ADDRESSES[4], "name": "Epsilon", "former": True}]


def test_a_vote_is_sent_once_and_stands(world: World) -> None:
    world.register(4)
    before = world.nonce(0)
    for who in (ADDRESSES[4].lower(), "Epsilon"):
        again = world.told(0, "admit", who, "--yes")
    assert again["done"] and again["gas"] == 0 and len(again["voting"]["voters"]) == 1
    shown = world.member(0, "admit", "Epsilon")
    assert shown.code == 0 and "stands already; nothing was sent" in shown.out and "compare" not in shown.out
    world.votes(1, 2, admit=4)
    late = world.member(0, "admit", "Epsilon", "--yes")
    assert late.code == 0 and "stands already" in late.out and "is a member, by the votes of" in late.out
    assert world.nonce(0) == before + 1


def test_a_vote_that_is_not_mined_yet_is_not_sent_beside_itself(world: World, anvil: Anvil, monkeypatch: pytest.MonkeyPatch) -> None:
    world.register(4)
    monkeypatch.setattr("defedbio.chain.client.ClientOptions", lambda: replace(QUICK, wait_seconds=0.1))
    before = world.nonce(0)
    anvil.rpc("evm_setAutomine", False)
    for _ in range(2):
        waiting = world.member(0, "admit", "Epsilon", "--yes")
        assert waiting.code == 3 and "it is journalled" in waiting.err
        assert [int(tx["nonce"], 16) for tx in anvil.pending()] == [before]
    anvil.rpc("evm_setAutomine", True)
    anvil.mine()
    assert "stands already" in world.member(0, "admit", "Epsilon", "--yes").out and world.nonce(0) == before + 1


def test_a_vote_that_a_removal_ended_is_cast_anew(world: World) -> None:
    world.register(4)
    assert world.told(0, "admit", "Epsilon", "--yes")["gas"]
    world.votes(1, 2, remove=3)
    assert world.told(0, "remove", ADDRESSES[3], "--yes")["removal"]["votes"] == 1, "the vote on Epsilon ends with it"
    listed = world.member(0, "list").out
    assert "no vote is open" in listed and "without any one of them they are fewer than the 3 of the smallest study" in listed
    anew = world.told(0, "admit", "Epsilon", "--yes")
    assert anew["gas"] and len(anew["voting"]["voters"]) == 1 and anew["voting"]["needed"] == 2


@pytest.mark.parametrize(("answer", "code"), [("y", 0), ("n", 1), ("", 130)])
def test_nothing_is_sent_unless_somebody_says_yes(world: World, monkeypatch: pytest.MonkeyPatch, answer: str, code: int) -> None:
    world.register(4)
    monkeypatch.setattr(sys, "stdin", io.StringIO(answer))
    done = world.member(0, "admit", "Epsilon", "--json")
    assert done.code == code and bool(done.out.strip()) == (code == 0) and "compare the address" in done.err
    assert len(world.told(0, "list")["votes"]) == (code == 0)


def test_what_a_vote_means_is_told_without_casting_it(world: World) -> None:
    world.register(4)
    assert world.client(0).member.admit("Epsilon").voting.missing == 3
    assert not world.client(0).member.remove(ADDRESSES[1], confirm=lambda asked: False).done
    assert world.told(0, "list")["votes"] == []


def test_what_a_removal_means_is_looked_at_again_when_it_is_agreed_to(world: World) -> None:
    world.make_key(holders=4, threshold=3)

    def meanwhile(asked: OwnVote) -> bool:
        world.votes(0, 1, 2, remove=3)
        return True

    with pytest.raises(InvalidInput, match="has changed while it was looked at"):
        world.client(0).member.remove(ADDRESSES[2], confirm=meanwhile)
    assert world.told(0, "list")["votes"] == []


@pytest.mark.parametrize(
    ("voter", "arguments", "reason"),
    [
        (0, ("admit", ADDRESSES[1]), "is a member already"),
        (0, ("admit", ADDRESSES[3][:-1] + "0"), "capitals"),
        (0, ("admit", "0x" + "12" * 20), "defedbio register"),
        (0, ("admit", "Epsilom"), "did you mean 'Epsilon'?"),
        (0, ("remove", "Epsilon"), "is not a member"),
        (4, ("admit", "Epsilon"), "only members vote"),
    ],
)
def test_what_the_contract_would_refuse_is_said_before(world: World, voter: int, arguments: tuple[str, str], reason: str) -> None:
    world.register(4)
    done = world.member(voter, *arguments, "--yes")
    assert done.code == 2 and reason in done.err and done.out == ""


def test_the_last_member_is_not_removed(world: World) -> None:
    world.votes(0, 1, 2, remove=3)
    world.votes(0, 1, remove=2)
    world.votes(0, 1, remove=1)
    with pytest.raises(InvalidInput, match="the only member cannot be removed"):
        world.client(0).member.remove(ADDRESSES[0], accept=True)


def test_what_a_removed_holder_keeps_is_said_and_the_last_ones_are_not_removed_by_accident(world: World) -> None:
    for position in range(4):
        world.register(position)
    spare, scarce = world.make_key(holders=4, threshold=3), world.make_key(holders=3, threshold=3)
    study = world.open_study(scarce)

    listed = world.member(3, "list").out
    assert f"share of key epoch {spare} (active): 3 of 4 open a sum; left at members without it: 3\n" in listed
    assert listed.count(f"key epoch {scarce} (active): 3 of 3 open a sum; left at members without it: 2, FEWER THAN NEEDED") == 3
    assert "a removed member keeps its shares of keys and its seats in studies" in listed

    harmless = world.client(0).member.remove("Delta").removal
    assert harmless is not None and [share.epoch for share in harmless.shares] == [spare] and not harmless.stranded and not harmless.seats

    refused = world.member(0, "remove", "Gamma", "--yes")
    assert refused.code == 2 and f"shares of the key of study {study}" in refused.err and "--even-if-needed" in refused.err
    assert f"WITHOUT ITS SHARE NOTHING CAN BE OPENED in study {study}" in refused.out
    for said in (f"keeps its seat in study {study}", f"keeps its share of key epoch {spare}", "nobody can take a share away", "ceremony"):
        assert said in refused.out
    assert world.told(0, "list")["votes"] == []
    assert world.member(0, "remove", "Gamma", "--yes", "--even-if-needed").code == 0
    assert world.told(0, "list")["votes"][0]["subject"]["name"] == "Gamma"


def test_a_holder_that_has_not_confirmed_is_said_to_hold_up_the_key(world: World) -> None:
    world.send(0, KeyRegistry.propose("", MODULUS, ADDRESSES[:3], 2, HASH, "bafy"))
    world.send(0, KeyRegistry.confirm("", 1, HASH))
    listed = world.member(0, "list").out
    assert listed.count("share of key epoch 1 (proposed): 2 of 3") == 1
    assert listed.count("share of key epoch 1 (proposed, which it has not confirmed): 2 of 3") == 2 and "FEWER" not in listed


def test_whoever_erased_a_share_holds_none(world: World) -> None:
    epoch = world.make_key(holders=3, threshold=2)
    world.send(2, KeyRegistry.retire_share("", epoch))
    members = {member.address: member for member in world.client(0).member.list().members}
    assert members[ADDRESSES[2]].shares == ()
    (share,) = members[ADDRESSES[0]].shares
    assert (share.left_without, share.threshold, share.needed) == (1, 2, True)


def test_the_list_needs_no_account(world: World, tmp_path: Path) -> None:
    found = Client(tmp_path / "nobody", tmp_path / "network.json").member.list()
    assert [member.address for member in found.members] == ADDRESSES[:4] and not any(member.own for member in found.members)


def test_many_registrations_do_not_bury_the_list(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("defedbio.cli.member.MOST_CANDIDATES", 1)
    world.register(4, "first\n5 members")
    world.send(5, ParticipantRegistry.register("", Profile("\x1b[2Jsecond", "", bytes([9]) * 32, "")))
    listed = world.member(0, "list").out
    assert "1 older ones, see --json" in listed and "first" not in listed and "\x1b" not in listed and "[2Jsecond" in listed
    assert len(world.told(0, "list")["candidates"]) == 2
