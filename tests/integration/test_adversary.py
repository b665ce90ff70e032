"""One of four organisations is malicious: this project's own node, changed, inside the test. The other three are honest processes."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import pytest

from defedbio.chain.accounts import load_account
from defedbio.chain.client import ChainClient
from defedbio.chain.network import Network
from defedbio.config import Home
from defedbio.crypto.paillier import Encrypted, ObfuscatorPool, PublicKey, encrypt_to_prove
from defedbio.crypto.threshold import KeyShare
from defedbio.ipfs.kubo import KuboStore
from defedbio.nodes.organisation import LoopOptions, OrganisationNode
from defedbio.nodes.participation import assemble
from defedbio.protocol.effects import updates
from defedbio.protocol.journal import Journal
from defedbio.protocol.reading import Reader
from defedbio.report import Reporter
from tests.integration.fixtures import Study

MakeStudy = Callable[..., Study]
DELTA = 3


@contextmanager
def malicious(study: Study, change: Callable[[OrganisationNode], None] = lambda node: None) -> Iterator[None]:
    """Delta's node, changed, running in a thread until the block ends."""
    consortium, delta = study.consortium, study.consortium.organisations[DELTA]
    network, home = Network.load(consortium.network_file), Home(delta.home)
    password = consortium.password_file.read_text("utf-8")
    journal = Journal(home.study(network.chain_id, network.contracts["RoundManager"], study.number) / "journal.sqlite")
    client = ChainClient(consortium.rpc, network, load_account(home.account, password), journal)
    client.connect()
    connection = Reader(client, KuboStore(delta.ipfs_api), Reporter(study.watch.listener(delta.name)))
    node = assemble(connection, home, study.number, delta.data, password, journal, LoopOptions(poll_seconds=0.2))
    change(node)
    thread = threading.Thread(target=node.run, name="malicious-delta")
    thread.start()
    try:
        yield
    finally:
        node.stop.set()
        thread.join(60)
        journal.close()


def record(study: Study, number: int) -> dict[str, object]:
    return study.consortium.cli(study.consortium.organisations[0], "round", "show", str(number))


def test_p3_an_update_with_an_impossible_ciphertext_is_left_out(open_study: MakeStudy, monkeypatch: pytest.MonkeyPatch) -> None:
    def above_n_squared(key: PublicKey, plaintexts: Sequence[int], pool: ObfuscatorPool) -> Encrypted:
        encrypted = encrypt_to_prove(key, plaintexts, pool)
        first, *rest = encrypted.ciphertexts
        return Encrypted([key.n_squared + first % 2**64, *rest], encrypted.exponents)

    monkeypatch.setattr(updates, "encrypt_to_prove", above_n_squared)
    study = open_study(rounds=1)
    honest = study.consortium.organisations[:DELTA]
    with malicious(study):
        study.finish([study.start(o) for o in honest])
    address = study.consortium.organisations[DELTA].address
    for round_ in study.rounds():
        assert (round_["phase"], round_["revealed"], round_["in_set"]) == ("finalised", 4, 3)
        shown = record(study, round_["round"])
        (row,) = [r for r in shown["participants"] if r["participant"] == address]  # type: ignore[attr-defined]
        assert row["revealed"]
        assert not row["in_set"]
        reasons = shown["left_out"]
        assert isinstance(reasons, dict)
        assert len(reasons) >= 3
        assert all("BadCiphertext" in reason for reason in reasons.values())


def test_p5_p6_a_wrong_share_is_named_and_replaced(open_study: MakeStudy) -> None:
    """Delta's share is one of the first three; gamma, the fourth holder, comes late and its share takes the place of delta's."""

    def wrong_share(node: OrganisationNode) -> None:
        assert node.tools.share is not None
        node.tools.share = dataclasses.replace(node.tools.share, value=node.tools.share.value + 1)
        assert isinstance(node.tools.share, KeyShare)

    study = open_study(rounds=1, commit=25, finalise=150)
    alpha, beta, gamma, delta = study.consortium.organisations
    with malicious(study, wrong_share):
        agents = [study.start(alpha), study.start(beta)]
        study.watch.wait_for(lambda who, r: who in ("alpha", "beta") and "wrong share" in r.get("message", ""))
        agents.append(study.start(gamma))
        study.finish(agents)
    rounds = study.rounds()
    assert [r["phase"] for r in rounds] == ["finalised"] * 2
    shown = record(study, rounds[0]["round"])
    disputed = {row["participant"]: row["share_disputed"] for row in shown["participants"]}  # type: ignore[attr-defined]
    assert disputed == {alpha.address: False, beta.address: False, gamma.address: False, delta.address: True}
    assert study.consortium.cli(alpha, "verify", str(rounds[0]["round"]))["verified"]
