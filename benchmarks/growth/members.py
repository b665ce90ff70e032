"""What more organisations cost: gas of every call on a real chain, events, folding and deciding, a holder's check and prefix products."""

from __future__ import annotations

import os
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import mean, median
from typing import Any

from eth_account import Account
from eth_utils import keccak

from benchmarks.crypto.measuring import primes
from defedbio.chain.bindings.key_registry import KeyRegistry
from defedbio.chain.bindings.round_manager import RoundManager, commitment_hash
from defedbio.chain.bindings.study_registry import StudyRegistry
from defedbio.chain.client import ChainClient
from defedbio.chain.events import fetch_events
from defedbio.chain.network import Network
from defedbio.chain.records import ClientOptions, Receipt
from defedbio.chain.values import StudyRules
from defedbio.crypto import roots, wire
from defedbio.crypto.packing import Layout
from defedbio.crypto.paillier import PublicKey
from defedbio.domain import NO_ONE, TWO_THIRDS, BitSet, RoundContext, Run
from defedbio.protocol.decide import Clock, Facts, Role, decide
from defedbio.protocol.view import StudyView, fold
from scripts.consortium import Consortium, Organisation, rpc_call

HOLDERS, THRESHOLD = 7, 4
MODULUS = b"\xc5" + b"\x11" * 254 + b"\x01"  # the registry looks at its length and parity
CID = "bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy"
DAY = 24 * 3600
SLOTS_PARAMETERS = 10_000
FUNDS = hex(10**24)


def word(*parts: object) -> bytes:
    return bytes(keccak(text="/".join(map(str, parts))))


class Member:
    """An organisation that only sends transactions: no key, no model."""

    def __init__(self, number: int, rpc: str, network: Network | None = None) -> None:
        self.account = Account.from_key(keccak(text=f"growth {number}"))
        self.address = str(self.account.address)
        if network is not None:
            self.client = ChainClient(rpc, network, self.account, options=ClientOptions(poll_seconds=0.05))


@contextmanager
def chain(folder: Path, members: int) -> Iterator[list[Member]]:
    """Anvil with the contracts deployed and so many founders."""
    consortium = Consortium(folder, [])
    try:
        consortium.start_chain()
        founders = [Member(i, consortium.rpc) for i in range(members)]
        for founder in founders:
            rpc_call(consortium.rpc, "anvil_setBalance", founder.address, FUNDS)
        consortium.organisations = [Organisation(f"m{i}", folder, address=f.address) for i, f in enumerate(founders)]
        consortium.deploy()
        network = Network.load(consortium.network_file)
        yield [Member(i, consortium.rpc, network) for i in range(members)]
    finally:
        consortium.stop()


def key_epoch(members: list[Member]) -> int:
    holders = members[:HOLDERS]
    transcript = word("transcript")
    proposal = KeyRegistry.propose("propose", MODULUS, [h.address for h in holders], THRESHOLD, transcript, CID)
    epoch = KeyRegistry(holders[0].client).proposed_in(holders[0].client.send(proposal))
    for holder in holders:
        holder.client.send(KeyRegistry.confirm("confirm", epoch, transcript))
    return epoch


def open_study(members: list[Member], epoch: int, rounds: int) -> int:
    count = len(members)
    until = members[0].client.head().timestamp + 30 * DAY
    rules = StudyRules(count, 3, rounds, until, *(30 * DAY,) * 6, TWO_THIRDS)
    first = members[0].client
    study = StudyRegistry(first).opened_in(first.send(StudyRegistry.open(f"open/{count}", epoch, word("spec"), CID, rules)))
    for member in members:
        member.client.send(StudyRegistry.enrol(f"enrol/{study}", study, word("spec")))
    return study


def round_gas(members: list[Member], holders: list[Member], study: int) -> dict[str, list[int]]:
    """One whole round; gas by call."""
    gas: dict[str, list[int]] = defaultdict(list)
    network = members[0].client.network

    def took(name: str, receipt: Receipt) -> None:
        gas[name].append(receipt.gas_used)

    first = members[0].client
    receipt = first.send(RoundManager.open_round(f"{study}/{first.head().number}/open", study))
    id_ = RoundManager(first).opened_in(receipt)
    key = f"round/{id_}"
    took("openRound", receipt)
    salts = {m.address: word(id_, m.address, "salt") for m in members}

    def commitment(m: Member) -> bytes:
        root = word(id_, m.address)
        return commitment_hash(network.chain_id, network.contracts["RoundManager"], id_, m.address, root, CID, bytes(32), salts[m.address])

    for m in members:
        took("commit", m.client.send(RoundManager.commit(f"{key}/commit", id_, commitment(m))))
    for m in members:
        took("reveal", m.client.send(RoundManager.reveal(f"{key}/reveal", id_, word(id_, m.address), CID, bytes(32), salts[m.address])))
    for h in holders[:THRESHOLD]:
        took("attestSet", h.client.send(RoundManager.attest_set(f"{key}/set", id_, BitSet((1 << len(members)) - 1), NO_ONE, "")))
    aggregate, opening, model = word(id_, "aggregate"), word(id_, "opening"), word(id_, "model")
    took("postAggregate", members[0].client.send(RoundManager.post_aggregate(f"{key}/aggregate", id_, aggregate, CID)))
    for h in holders[:THRESHOLD]:
        root, proof = word(id_, h.address, "share"), word(id_, h.address, "proof")
        took("releaseShare", h.client.send(RoundManager.release_share(f"{key}/share", id_, aggregate, root, CID, proof)))
    took("postOpening", members[0].client.send(RoundManager.post_opening(f"{key}/opening", id_, opening, CID)))
    for h in holders[:THRESHOLD]:
        took("attestModel", h.client.send(RoundManager.attest_model(f"{key}/model", id_, opening, model, CID)))
    return gas


def node(members: list[Member], study: int, first_block: int) -> dict[str, float]:
    """Events of the study's blocks, their bytes, and what a node does with them."""
    client = members[0].client
    head = client.head().number
    logs = client.get_logs(first_block, head, tuple(client.network.contracts.addresses().values()))
    started = time.process_time()
    events = fetch_events(client, first_block, head)
    fetched = time.process_time() - started
    folds, decisions = [], []
    for _ in range(5):
        started = time.process_time()
        view = fold(StudyView(study), events)
        folds.append(time.process_time() - started)
        role, clock = Role(members[0].address, 0, 1, THRESHOLD), Clock(time.time(), 1.0)
        started = time.process_time()
        for _ in range(100):
            decide(role, view, Facts(), clock)
        decisions.append((time.process_time() - started) / 100)
    return {
        "events": len(events),
        "event_bytes": sum(len(log.data) + 32 * len(log.topics) for log in logs),
        "fetch_s": fetched,
        "fold_s": median(folds),
        "decide_s": median(decisions),
    }


def holder_work(organisations: int, bits: int) -> dict[str, float]:
    """A holder's check of every update, and the product with all its prefixes."""
    p, q = primes(bits)
    key = PublicKey.from_modulus(p * q)
    context = RoundContext(31337, "0x" + "c0" * 20, 1, 1)
    header = wire.Header.make(wire.BlobKind.UPDATE, context, "0x" + "00" * 20, Layout(bits, (Run(24, SLOTS_PARAMETERS),)))
    blobs = []
    for _ in range(organisations):
        values = [int.from_bytes(os.urandom(key.ciphertext_bytes), "big") % key.n_squared for _ in range(header.count)]
        blobs.append(wire.encode_update(header, values))
    started = time.process_time()
    updates = [wire.decode_update(blob, header, key).ciphertexts for blob in blobs]
    for update in updates:
        roots.update_root(update, key)
    checked = time.process_time()
    roots.product_and_root(updates, key)
    return {"check_s": checked - started, "prefixes_s": time.process_time() - checked, "bytes": sum(map(len, blobs))}


def measure(folder: Path, sizes: list[int], rounds: int, bits: int) -> dict[str, Any]:
    found: dict[str, Any] = {}
    with chain(folder, max(sizes)) as members:
        epoch = key_epoch(members)
        for size in sizes:
            # A committee larger than the study: its other holders are not enrolled.
            study = open_study(members[:size], epoch, rounds)
            first = members[0].client.head().number + 1
            gas: dict[str, list[int]] = defaultdict(list)
            member, shared = [], []
            for number in range(rounds):
                made = round_gas(members[:size], members[:HOLDERS], study)
                if number == 0:
                    continue  # the first round writes some words for the first time
                for name, amounts in made.items():
                    gas[name] += amounts
                # The first of a round also writes words for the first time, and the last moves the phase on: shared steps.
                own = min(made["commit"]) + min(made["reveal"])
                member.append(own)
                shared.append(sum(sum(amounts) for amounts in made.values()) - own * size)
            per_round = node(members, study, first)
            found[str(size)] = {
                "calls": {name: {"mean": mean(a), "least": min(a), "most": max(a)} for name, a in gas.items()},
                "gas_member_round": mean(member),
                "gas_holder_round": mean(gas["attestSet"]) + mean(gas["releaseShare"]) + mean(gas["attestModel"]),
                "gas_shared_round": mean(shared),
                "rounds": rounds,
                **per_round,
                **holder_work(size, bits),
            }
    return found
