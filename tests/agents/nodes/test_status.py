"""An organisation's own state: what is read from where, and what happens where nothing can be read. And its picture in the terminal."""

from __future__ import annotations

import io
import json
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from defedbio.chain.records import Receipt
from defedbio.chain.values import Profile
from defedbio.cli.top import frame, span
from defedbio.config import Home
from defedbio.errors import ChainUnreachable, NotFound, StoreUnreachable, Unreachable
from defedbio.nodes.watching.logs import LOG_FILE, LogFile
from defedbio.nodes.watching.metrics import NodeMetrics
from defedbio.nodes.watching.probes import pending_transactions, read_metrics
from defedbio.nodes.watching.running import announced
from defedbio.nodes.watching.status import Status, StatusReader
from defedbio.protocol.journal import Journal
from defedbio.report import Reporter, Tee
from tests.agents.nodes.test_organisation import Feed
from tests.agents.protocol.in_process import PEOPLE, RULES, Ledger, Recorder

GWEI = 10**9


@dataclass
class Chain:
    """What a status asks of a client. `mined` are the hashes that have a receipt; None: every one."""

    network: Any = field(default_factory=lambda: SimpleNamespace(chain_id=1, contracts={"RoundManager": "0xC0"}))
    mined: set[bytes] | None = None
    away: bool = False

    def balance(self, address: str) -> int:
        if self.away:
            raise ChainUnreachable("the chain is away")
        return 10**18

    def receipt(self, tx_hash: bytes) -> Receipt | None:
        known = self.mined is None or tx_hash in self.mined
        return Receipt(tx_hash, 1, bytes(32), "", 50_000, GWEI, ()) if known else None


@dataclass
class World:
    home: Home
    ledger: Ledger = field(default_factory=Ledger)
    chain: Chain = field(default_factory=Chain)
    ipfs_away: bool = False
    privacy: Any = None

    @property
    def folder(self) -> Path:
        return self.home.study(1, "0xC0", 1)

    def peers(self) -> list[str]:
        if self.ipfs_away:
            raise StoreUnreachable("the IPFS node is away")
        return ["a", "b", "c"]

    def spec(self, study: int) -> Any:
        if self.ipfs_away:
            raise Unreachable("the spec is away")
        return None, SimpleNamespace(name="a \x1b[31mstudy", privacy=self.privacy)

    def profile(self, address: str) -> Profile:
        if address == PEOPLE[3]:
            raise NotFound("no profile")
        return Profile(f"[bold]\x1b]0;{address[-2:]}", "", bytes(32), "")

    def reader(self) -> StatusReader:
        rules = replace(RULES, steps=2)
        connection: Any = SimpleNamespace(
            client=self.chain,
            studies=SimpleNamespace(study_of=lambda study: SimpleNamespace(key_epoch=1, rules=rules)),
            keys=SimpleNamespace(epoch_of=lambda epoch: SimpleNamespace(holders=PEOPLE)),
            registry=SimpleNamespace(profile_of=self.profile),
            store=SimpleNamespace(peers=self.peers),
            spec=self.spec,
        )
        feed: Any = Feed(self.ledger)
        made = StatusReader(connection, self.home, 1, feed)
        made._address = PEOPLE[0]  # the ledger's addresses have no checksums
        return made

    def read(self) -> Status:
        return self.reader().read()


@pytest.fixture
def world(tmp_path: Path) -> World:
    home = Home(tmp_path)
    home.account.write_text(json.dumps({"address": PEOPLE[0][2:]}), "utf-8")
    made = World(home)
    made.folder.mkdir(parents=True)
    return made


def opened(world: World) -> None:
    Recorder(world.ledger, PEOPLE[1]).open_round("o", 1)
    Recorder(world.ledger, PEOPLE[0]).commit("c", 1, b"\x01" * 32)


def shown(status: Status, now: float = 5_000.0) -> str:
    buffer = io.StringIO()
    Console(file=buffer, width=140, force_terminal=True, color_system=None).print(frame(status, now))
    return buffer.getvalue()


def test_without_an_agent_and_without_a_round(world: World) -> None:
    status = world.read()
    assert not status.running and status.round is None and status.own.committed is None
    assert (status.enrolled, status.seats, status.steps, status.transactions_pending, status.peers) == (4, 4, 2, 0, 3)
    assert "not running" in shown(status) and "defedbio run --study 1" in shown(status)
    json.dumps(status.to_json())


def test_in_a_round(world: World) -> None:
    opened(world)
    status = world.read()
    assert status.round is not None
    assert (status.round.id, status.round.phase, status.round.window, status.round.organisations["committed"]) == (1, "open", 60, 1)
    assert status.own.committed and not status.own.revealed and status.own.in_set is None
    assert len(status.round.missing) == 3 and status.round.missing[2] == PEOPLE[3], "who has no name is named by address"
    text = shown(status)
    assert "1 min 0 s left" in text and "✓ committed" in text and "1 committed" in text
    assert "1 min 40 s over" in shown(status, now=5_160.0)


def test_others_words_do_not_steer_the_terminal(world: World) -> None:
    opened(world)
    log = LogFile(world.folder / LOG_FILE)
    Reporter(log.sink).note("refused: \x1b[2J [red]x[/]", peer=PEOPLE[2])
    log.close()
    text = shown(world.read())
    assert "\x1b[31m" not in text and "\x1b]0;" not in text and "\x1b[2J" not in text
    assert "[bold]" in text and "[red]x[/]" in text, "nor are they markup"


def test_a_running_agent_tells_of_its_work(world: World) -> None:
    opened(world)
    metrics, log = NodeMetrics(), LogFile(world.folder / LOG_FILE)
    report, stack = Reporter(Tee(metrics.sink, log.sink), study=1), ExitStack()
    url = stack.enter_context(metrics.serve("127.0.0.1", 0))
    with announced(world.folder, url), report.phase("commit", round=1) as phase:
        phase.gas = 47_000
        report.state(ipfs_up=True, peers=5)
        report.state(queue="pending", key="k")
        with report.phase("train", round=1) as training:
            training.progress(1, 4)
            status = world.read()
    after = world.read()
    stack.close()
    log.close()
    assert status.running and (status.work in ("train", "commit"), status.peers, status.transactions_pending) == (True, 5, 1)
    assert not after.running and [p["phase"] for p in after.phases] == ["train", "commit"] and after.phases[1]["gas"] == 47_000
    assert "47,000" in shown(after)


def test_an_agent_that_does_not_answer_or_serves_nothing(world: World) -> None:
    journal = Journal(world.folder / "journal.sqlite")
    journal.put("x", {})
    with announced(world.folder, "http://127.0.0.1:9/metrics"):
        status = world.read()
        assert status.running and status.transactions_pending is None and "metrics" in status.problems[0]
    with announced(world.folder, ""):
        status = world.read()
        assert status.running and status.problems == () and status.peers == 3 and "without metrics" in shown(status)
    journal.close()


def test_what_cannot_be_had_is_told_and_not_raised(world: World) -> None:
    world.ipfs_away = world.chain.away = True
    status = world.read()
    assert status.peers is None and status.balance is None and status.name == ""
    assert [p.partition(":")[0] for p in status.problems] == ["spec", "balance", "IPFS"]
    assert "the chain is away" in shown(status)


def test_an_ipfs_node_that_is_away_is_not_asked_every_time(world: World) -> None:
    world.ipfs_away = True
    reader = world.reader()
    assert reader.read().peers is None
    world.ipfs_away = False
    again = reader.read()
    assert again.peers is None and len(again.problems) == 2, "and the problem stays in view"


def test_gas_money_lasts_for(world: World) -> None:
    Recorder(world.ledger, PEOPLE[0]).open_round("o", 1)
    assert world.read().rounds_paid is None, "nothing is known before a round ended"
    Recorder(world.ledger, PEOPLE[0]).commit("c", 1, b"\x01" * 32)
    Recorder(world.ledger, PEOPLE[1]).commit("d", 1, b"\x02" * 32)
    Recorder(world.ledger, PEOPLE[2]).advance("v", 1)
    status = world.read()
    assert status.cost_per_round == 2 * 50_000 * GWEI, "opened and committed; what others paid does not count"
    assert status.rounds_paid == 10**18 // status.cost_per_round and f"{status.rounds_paid:,} rounds" in shown(status)


def test_the_privacy_budget(world: World) -> None:
    world.privacy = SimpleNamespace(epsilon=8.0)
    Recorder(world.ledger, PEOPLE[0]).open_round("o", 1)
    Recorder(world.ledger, PEOPLE[0]).declare_privacy("p", 1, 1.0, 3.0, 1e-5)
    status = world.read()
    assert (status.epsilon_spent, status.epsilon_budget) == (3.0, 8.0) and "epsilon 3 of 8 declared, 5 left" in shown(status)


def test_no_account_no_state(world: World) -> None:
    world.home.account.unlink()
    with pytest.raises(NotFound, match="no account"):
        world.read()


# -- the journal -------------------------------------------------------------------------------------------------------------------------


def entry(nonce: int, *hashes: bytes) -> dict[str, Any]:
    return {"nonce": nonce, "hashes": ["0x" + h.hex() for h in hashes], "raw": ["0x"] * len(hashes)}


def test_transactions_that_are_not_mined_are_counted_without_touching_the_journal(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    one, two, three, dearer = (bytes([n]) * 32 for n in range(1, 5))
    journal = Journal(path)
    journal.put("round/1/commit/aa", entry(7, one))
    journal.put("round/1/reveal/bb", entry(8, two, dearer))
    journal.put("study/1/open/0", entry(9, three))
    journal.put("round/1/update", {"root": "aa"})
    journal.put_bytes("round/1/update-blob", b"\xff" * 100)
    client: Any = Chain(mined={one})
    assert pending_transactions(path, client) == 2, "an agent holds it, and it is read all the same"
    journal.close()
    before = path.read_bytes()
    assert pending_transactions(path, client) == 2
    client.mined = {dearer}
    assert pending_transactions(path, client) == 1
    client.mined = None
    assert pending_transactions(path, client) == 0
    assert path.read_bytes() == before and pending_transactions(tmp_path / "none", client) == 0


def test_metrics_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(Unreachable, match="cannot be read"):
        read_metrics("http://127.0.0.1:9/metrics")


def test_lengths_of_time() -> None:
    assert [span(s) for s in (0, 59.9, 200, 18_120, 183_600)] == ["0 s", "59 s", "3 min 20 s", "5 h 2 min", "2 d 3 h"]
