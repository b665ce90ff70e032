"""What a check finds, and the reason that it gives: of a true bundle, of one with a byte changed, and of one forged with care."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import rlp
from eth_account.signers.local import LocalAccount
from eth_account.typed_transactions import TypedTransaction
from eth_utils.address import to_checksum_address
from hexbytes import HexBytes

from defedbio.audit.against import Against
from defedbio.audit.bundle import MANIFEST, Manifest
from defedbio.audit.check import BundleCheck, check_bundle
from defedbio.audit.make import Made, make_bundle
from defedbio.audit.verdict import NotPossible, OwnWord, verdict_of
from defedbio.chain import events as ev
from defedbio.chain.client import ChainClient
from defedbio.chain.events import fetch_events
from defedbio.chain.network import Contracts
from defedbio.chain.parse import as_bytes, to_hex
from defedbio.chain.proofs import Header, index_nodes, index_trie, read_header
from defedbio.crypto.merkle import keccak256
from defedbio.errors import BadEvidence, BlobUnavailable, InvalidInput, NotFound
from defedbio.ipfs.cid import cid_of
from defedbio.network.peers import Peers
from defedbio.protocol.verify import Check
from tests.agents.audit.tampered import edit, forged
from tests.anvil import account

from .conftest import World

ROUND = ["commitments", "frozen set", "privacy", "updates", "proofs", "aggregate", "opening", "model", "model bytes"]
EVIDENCE = ["headers", "contracts", "receipts", "transactions", "signers", "events", "state", "spec", "key", "rounds"]


@pytest.fixture(autouse=True)
def offline(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A check has no network: whoever opens a socket while a test runs fails, but for tests that name `online`."""
    request.getfixturevalue("made")
    if "online" not in request.fixturenames:
        monkeypatch.setattr(socket.socket, "connect", _refuse)
        monkeypatch.setattr(socket, "getaddrinfo", _refuse)


@pytest.fixture
def online() -> None:
    """The test talks to Anvil."""


def _refuse(*args: object, **kwargs: object) -> None:
    raise AssertionError("a check opened a connection")


def failures(bundle: Path, expected_id: str = "") -> list[Check]:
    return [check for check in check_bundle(bundle, Against(id=expected_id)) if not check.ok]


def roots(world: World) -> Against:
    """What an auditor needs for a verdict without reserve: a network file and a node."""
    return Against(network=world.network, rpc=world.network.rpc)


def flip(path: Path, at: int = -1) -> None:
    raw = bytearray(path.read_bytes())
    raw[at] ^= 1
    path.write_bytes(raw)


def block_of(bundle: Path, event_data: bytes) -> Path:
    """The block file whose receipt holds these bytes."""
    return next(path for path in sorted((bundle / "chain" / "blocks").iterdir()) if event_data.hex() in path.read_text())


def names(bundle: Path, kind: str) -> str:
    """A file of each kind."""
    crate = {entity["@id"]: entity.get("name", "") for entity in json.loads((bundle / "ro-crate-metadata.json").read_bytes())["@graph"]}
    spec = next(p for p in sorted((bundle / "blobs").iterdir()) if b'"defedbio-study/1"' in p.read_bytes())
    transcript = next(p for p in sorted((bundle / "blobs").iterdir()) if b'"defedbio-ceremony/2"' in p.read_bytes())
    fixed = {"spec": f"blobs/{spec.name}", "transcript": f"blobs/{transcript.name}", "block": sorted(p for p in crate if "blocks" in p)[0]}
    prefixes = {"update": "Encrypted update", "aggregate": "Aggregate", "share": "Share", "opening": "Opening", "model": "Model of"}
    if kind in prefixes:
        return next(name for name, title in crate.items() if title.startswith(prefixes[kind]) and name.startswith("blobs/"))
    return fixed.get(kind, kind)


KINDS = [
    *("block", "chain/network.json", "chain/state.json", "spec", "transcript", "update", "aggregate", "share", "opening", "model"),
    *("report.html", "report.pdf", "controls.json", "ro-crate-metadata.json"),
]


def test_a_true_bundle_is_verified_without_network(made: Made) -> None:
    checks = list(check_bundle(made.path, Against(id=made.id)))
    rounds = [f"round {n}: {name}" for n in (3, 4) for name in ROUND]
    assert [c.name for c in checks] == ["manifest", "network", *EVIDENCE, *rounds, "report", "chain"]
    assert [c.name for c in checks if isinstance(c, OwnWord)] == ["network", "chain"]
    assert (verdict_of(checks), made.verdict, made.missing) == ("consistent in itself", "verified", ())


@pytest.mark.parametrize("kind", KINDS)
def test_any_byte_is_found_and_its_file_named(bundle: Path, kind: str) -> None:
    name = names(bundle, kind)
    flip(bundle / name, 1)
    (failed,) = failures(bundle)
    assert (failed.name, failed.detail) == ("manifest", f"{name} was changed: it is not the file of the manifest's hash")


@pytest.mark.parametrize("kind", KINDS)
def test_a_missing_file_is_named(bundle: Path, kind: str) -> None:
    name = names(bundle, kind)
    (bundle / name).unlink()
    assert [c.detail for c in failures(bundle)] == [f"{name} is missing"]


def test_an_added_file_is_named(bundle: Path) -> None:
    extra = f"blobs/{cid_of(b'extra')}"
    (bundle / extra).write_bytes(b"extra")
    assert [c.detail for c in failures(bundle)] == [f"{extra} was added: the manifest does not name it"]
    (bundle / "notes.txt").write_text("hello")
    assert [c.detail for c in failures(bundle)] == ["notes.txt does not belong in a bundle"]


def test_two_blobs_that_change_places_are_both_named(bundle: Path) -> None:
    first, second = names(bundle, "update"), names(bundle, "opening")
    one, two = (bundle / first).read_bytes(), (bundle / second).read_bytes()
    (bundle / first).write_bytes(two)
    (bundle / second).write_bytes(one)
    assert {c.detail.split()[0] for c in failures(bundle)} == {first, second}


def test_a_replaced_manifest_shows_against_the_id(bundle: Path, made: Made) -> None:
    assert failures(bundle, made.id.upper()) == []
    manifest = Manifest.from_bytes((bundle / MANIFEST).read_bytes())
    (bundle / MANIFEST).write_bytes(replace(manifest, missing=("something",)).to_bytes())
    (failed,) = failures(bundle, made.id)
    assert failed.name == "manifest" and MANIFEST in failed.detail and made.id in failed.detail
    flip(bundle / MANIFEST, 3)
    assert MANIFEST in failures(bundle)[0].detail


# From here on the manifest fits: what is found is found by proofs.


@pytest.mark.parametrize(("kind", "step"), [("update", "updates"), ("opening", "opening")])
def test_a_forged_blob_names_its_owner(bundle: Path, kind: str, step: str) -> None:
    name = names(bundle, kind)
    flip(bundle / name)
    failed = failures(forged(bundle))[0]
    assert failed.name.endswith(f": {step}") and name.removeprefix("blobs/") in failed.detail and failed.peer.startswith("0x")


def test_a_forged_model_is_nobodys(bundle: Path) -> None:
    flip(bundle / names(bundle, "model"))
    (failed,) = [c for c in failures(forged(bundle)) if c.name.endswith("model bytes")]
    number = failed.name[len("round ")]
    assert failed.detail == f"no attested CID of round {number} holds the model of the chain's hash"


@pytest.mark.parametrize(("kind", "step"), [("spec", "spec"), ("transcript", "key")])
def test_a_forged_document_stops_the_check(bundle: Path, kind: str, step: str) -> None:
    flip(bundle / names(bundle, kind))
    (failed,) = failures(forged(bundle))
    assert failed.name == step and "have the CID" in failed.detail and failed.peer.startswith("0x")


def test_a_forged_receipt_fails_its_proof(bundle: Path, world: World) -> None:
    """Another model hash in the event of the attestation, with a trie of receipts that fits, and a manifest that fits."""
    view = world.connection().rounds.round_of(4)
    path = block_of(bundle, view.model_hash)
    document = json.loads(path.read_bytes())
    nodes = [node.replace(view.model_hash.hex(), "ab" * 32) for node in document["nodes"]]
    assert nodes != document["nodes"]
    edit(path, lambda d: d.update(nodes=nodes))
    (failed,) = failures(forged(bundle))
    assert failed.name == "receipts" and f"receipt proof of block {document['number']}" in failed.detail


def test_a_whole_forged_block_is_not_what_the_state_says(bundle: Path, world: World, online: None) -> None:
    """A block of its own making: receipts with another frozen set's hash, a header with their root, its hash beside it."""
    client = world.clients[0]
    commitment = world.connection().study_view(world.studies[0]).rounds[4].commitments[client.address]
    path = block_of(bundle, commitment)
    number = int(path.stem)
    header = client.header(number)
    receipts = [raw.replace(commitment, bytes([commitment[0] ^ 1]) + commitment[1:]) for raw in client.encoded_receipts(header)]
    transactions = client.encoded_transactions(header)
    assert transactions is not None and receipts != client.encoded_receipts(header)
    trie, signed = index_trie(receipts), index_trie(transactions)
    items = rlp.decode(header.raw)
    items[5] = trie.root_hash
    made = read_header(rlp.encode(items))
    entries = json.loads(path.read_bytes())["entries"]
    indices = [entry["index"] for entry in entries]
    nodes = sorted(to_hex(n) for n in index_nodes(trie, indices) | index_nodes(signed, indices))
    edit(path, lambda d: d.update(header=to_hex(made.raw), hash=to_hex(made.hash), nodes=nodes))
    (failed,) = failures(forged(bundle))
    assert failed.name == "headers" and f"block {number + 1} does not follow" in failed.detail
    rehash_after(path, made)
    (failed,) = failures(forged(bundle))
    assert failed.name == "state" and "round 4: commitment" in failed.detail and failed.peer == client.address


def test_a_header_of_another_hash(bundle: Path) -> None:
    path = bundle / names(bundle, "block")

    def later(document: dict[str, Any]) -> None:
        items = rlp.decode(as_bytes(document["header"]))
        items[11] = (int.from_bytes(items[11], "big") + 1).to_bytes(len(items[11]), "big")
        document["header"] = to_hex(rlp.encode(items))

    edit(path, later)
    (failed,) = failures(forged(bundle))
    assert failed.name == "headers" and "does not hash to that block's hash" in failed.detail


# What finds that the first event of a kind was left out: the state's word, or a later event that could not be without it.
OMITTED = {
    "RoundFinalised": ("events", "round 4"),
    "ParticipantEnrolled": ("events", "round 3"),
    "UpdateCommitted": ("state", "round 3: who committed"),
    "UpdateRevealed": ("events", "round 3"),
    "SetAttested": ("state", "round 3"),
    "ShareReleased": ("state", "round 3: study, step, phase"),
    "KeyShareConfirmed": ("state", "key epoch"),
    "PrivacyDeclared": ("state", "round 3: who declared privacy"),
    "RoundVoided": ("state", "round 1"),
    "ParticipantRegistered": ("state", "transport key"),
}


@pytest.mark.parametrize("event", sorted(OMITTED))
def test_an_omitted_event_is_found(bundle: Path, world: World, event: str, online: None) -> None:
    """Without its receipt, the first event of this kind is as if it had never been."""
    kind = getattr(ev, event)
    found = fetch_events(world.clients[0], 0, world.clients[0].head().number, kinds=[kind])
    first = next(e for e in found if getattr(e, "study", world.studies[0]) == world.studies[0])
    path = bundle / "chain" / "blocks" / f"{first.meta.block}.json"
    edit(path, lambda d: d.update(entries=[e for e in d["entries"] if e["transaction"] != to_hex(first.meta.tx_hash)]))
    (failed,) = failures(forged(bundle))
    step, about = OMITTED[event]
    assert failed.name == step and about in failed.detail and "left out or made up" in failed.detail


def test_an_omitted_round_is_found(bundle: Path, world: World, online: None) -> None:
    """The voided round, which no later one builds on: its first word still names the study."""
    view = world.connection().study_view(world.studies[0])
    client = world.clients[0]
    for event in fetch_events(client, 0, client.head().number, rounds=[min(view.rounds)]):
        path = bundle / "chain" / "blocks" / f"{event.meta.block}.json"
        edit(path, lambda d: d.update(entries=[]))
    (failed,) = failures(forged(bundle))
    assert failed.name == "state" and "round 1 is the study's, and its events were left out" in failed.detail


def test_state_that_is_not_the_headers(bundle: Path) -> None:
    state = bundle / "chain" / "state.json"
    edit(state, lambda d: d["code"].update(RoundManager=d["code"]["RoundManager"][:-2] + "00"))
    (failed,) = failures(forged(bundle))
    assert failed.name == "contracts" and "RoundManager's code is not the one" in failed.detail
    edit(state, lambda d: d.update(nodes=d["nodes"][: len(d["nodes"]) // 2]))
    (failed,) = failures(forged(bundle))
    assert failed.name == "contracts" and "does not lead from the root" in failed.detail


def test_without_state_proofs_a_bundle_is_partly_verified(bundle: Path) -> None:
    (bundle / "chain" / "state.json").unlink()
    checks = list(check_bundle(forged(bundle)))
    assert [c.name for c in checks if isinstance(c, NotPossible)] == ["contracts", "state"]
    assert "left out would not be found" in next(c.detail for c in checks if c.name == "state")


@pytest.mark.parametrize("name", ["report.html", "report.pdf", "ro-crate-metadata.json", "controls.json"])
def test_a_report_that_says_something_else_is_named(bundle: Path, name: str) -> None:
    raw = (bundle / name).read_bytes()
    changed = raw.replace(b"audited", b"pleased") if b"audited" in raw else raw.replace(b"HIPAA", b"HAPPY")
    assert changed != raw
    (bundle / name).write_bytes(changed)
    (failed,) = failures(forged(bundle))
    assert (failed.name, failed.detail) == ("report", f"{name} says something else than the evidence")


def test_a_report_of_another_version_is_not_vouched_for_without_the_id(bundle: Path) -> None:
    manifest = Manifest.from_bytes((bundle / MANIFEST).read_bytes())
    raw = replace(manifest, rendering="00" * 32).to_bytes()
    (bundle / MANIFEST).write_bytes(raw)
    audit = BundleCheck(bundle)
    checks = list(audit.run())
    assert [c.name for c in checks if isinstance(c, NotPossible)] == ["report"]
    assert not any(isinstance(c, NotPossible) for c in check_bundle(bundle, Against(id=audit.id)))


def test_without_updates(world: World, tmp_path: Path, online: None) -> None:
    made = make_bundle(world.connection(), world.studies[0], tmp_path / "small", updates=False)
    checks = list(check_bundle(made.path, roots(world)))
    assert verdict_of(checks) == made.verdict == "partly verified"
    assert [c.name for c in checks if isinstance(c, NotPossible)] == ["rounds", "round 3: updates", "round 4: updates"]
    assert (made.complete, made.incomplete) == ((), (3, 4))
    assert [c.name for c in checks if c.name.startswith("round 4")] == [f"round 4: {n}" for n in [*ROUND[:4], "model bytes"]]
    # nobody gets rid of a blob by saying that updates were left out
    (made.path / names(made.path, "model")).unlink()
    assert any("model bytes" in c.name for c in failures(forged(made.path)))


def test_a_bundle_says_for_which_rounds_it_is_complete(
    world: World, made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, online: None
) -> None:
    """An update that nobody keeps any more costs its round, and not the bundle."""
    assert (made.complete, made.incomplete) == ((3, 4), ())
    connection = world.connection()
    view = connection.study_view(world.studies[0])
    gone, fetch = view.rounds[3].frozen_reveals()[0].cid, Peers.fetch

    def lost(self: Peers, cid: str, *rest: Any) -> bytes:
        if cid == gone:
            raise BlobUnavailable("nobody keeps it")
        return fetch(self, cid, *rest)

    monkeypatch.setattr(Peers, "fetch", lost)
    late = make_bundle(connection, world.studies[0], tmp_path / "late")
    checks = list(check_bundle(late.path, roots(world)))
    assert (late.complete, late.incomplete, late.missing) == ((4,), (3,), (gone,))
    assert verdict_of(checks) == late.verdict == "partly verified"
    assert [c.name for c in checks if isinstance(c, NotPossible)] == ["rounds", "round 3: updates"]
    assert "complete for 4; of 3 not all is here" in next(c.detail for c in checks if c.name == "rounds")


def test_with_a_node_that_gives_neither_state_nor_transactions(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, online: None
) -> None:
    monkeypatch.setattr(ChainClient, "state_nodes", lambda self, address, slots, header: None)
    monkeypatch.setattr(ChainClient, "encoded_transactions", lambda self, header: None)
    made = make_bundle(world.connection(), world.studies[0], tmp_path / "poor")
    checks = list(check_bundle(made.path, roots(world)))
    assert verdict_of(checks) == made.verdict == "partly verified"
    assert [c.name for c in checks if isinstance(c, NotPossible)] == ["contracts", "transactions", "state"]
    assert "signer not proven" in (made.path / "report.html").read_text("utf-8")


def test_a_bundle_that_says_it_is_whole_must_be(bundle: Path) -> None:
    name = names(bundle, "update")
    (bundle / name).unlink()
    failed = failures(forged(bundle))[0]
    assert failed.name.endswith("blobs") and name.removeprefix("blobs/") in failed.detail


def test_as_a_zip_it_is_the_same_bundle(world: World, made: Made, tmp_path: Path, online: None) -> None:
    zipped = make_bundle(world.connection(), world.studies[0], tmp_path / "evidence.zip")
    assert zipped.path.is_file() and zipped.id == made.id, "the same chain gives the same bundle"
    assert verdict_of(check_bundle(zipped.path, roots(world))) == "verified"


def test_verified_is_what_holds_against_ones_own_network_and_node(made: Made, world: World, online: None) -> None:
    world.anvil.mine()
    against = replace(roots(world), id=made.id)
    checks = list(check_bundle(made.path, against))
    assert verdict_of(checks) == "verified" and checks[-1].name == "chain"
    assert against.words() == "checked against the network file that you gave, your node, the id that you gave"
    for less, missing in (
        (Against(network=world.network), ["chain"]),
        (Against(rpc=world.network.rpc), ["network"]),
        (Against(block=made.anchor_hash.hex()), ["network"]),
        (Against(id=made.id), ["network", "chain"]),
    ):
        checks = list(check_bundle(made.path, less))
        assert verdict_of(checks) == "consistent in itself" and "is the bundle's own word" in less.words()
        assert [c.name for c in checks if isinstance(c, OwnWord)] == missing


def test_the_last_blocks_hash_settles_a_part(made: Made, world: World) -> None:
    checks = list(check_bundle(made.path, Against(network=world.network, block="0x" + made.anchor_hash.hex().upper())))
    assert verdict_of(checks) == "partly verified" and isinstance(checks[-1], NotPossible) and "what storage keeps" in checks[-1].detail
    (failed,) = [c for c in check_bundle(made.path, Against(network=world.network, block="ab" * 32)) if not c.ok]
    assert failed.name == "chain" and "not of the block whose hash you gave" in failed.detail
    for short in ("ab", "0x" + "zz" * 32):
        with pytest.raises(InvalidInput, match="64 hexadecimal digits"):
            Against(block=short)


@pytest.mark.parametrize("other", ["chain", "contract"])
def test_another_network_than_the_auditors(made: Made, world: World, other: str) -> None:
    deployed = world.network.contracts.deployed
    moved = Contracts(dict(deployed) | {"RoundManager": replace(deployed["RoundManager"], address=world.clients[0].address)})
    theirs = replace(world.network, chain_id=1) if other == "chain" else replace(world.network, contracts=moved)
    (failed,) = [c for c in check_bundle(made.path, Against(network=theirs)) if not c.ok]
    assert failed.name == "network" and "of another network than yours" in failed.detail
    assert ("chain 1 " if other == "chain" else world.clients[0].address) in failed.detail


def test_compared_with_a_node_of_another_chain(made: Made, world: World, monkeypatch: pytest.MonkeyPatch, online: None) -> None:
    block = ChainClient.block
    monkeypatch.setattr(
        ChainClient, "block", lambda self, number: replace(found, hash=bytes(32)) if (found := block(self, number)) else None
    )
    last = list(check_bundle(made.path, roots(world)))[-1]
    assert (last.name, last.ok) == ("chain", False) and "is another one than the bundle's" in last.detail


def test_an_act_that_another_account_signed(bundle: Path, world: World, online: None) -> None:
    """A block of the forger's making: the same receipts and state, and the transaction with the forger's signature under it."""
    resign(bundle, world, account(9), lambda tx: tx)
    (failed,) = failures(forged(bundle))
    assert failed.name == "signers" and f"{account(9).address} has signed it" in failed.detail
    assert failed.peer == world.clients[0].address and failed.peer in failed.detail


def test_an_act_through_another_contract_is_named(bundle: Path, world: World, online: None) -> None:
    resign(bundle, world, account(9), lambda tx: tx | {"to": account(8).address})
    (named,) = [c for c in check_bundle(forged(bundle)) if c.name == "signers"]
    assert isinstance(named, NotPossible)
    assert named.detail.startswith("1 of ") and named.detail.endswith(f"acted: {world.clients[0].address}")


def test_a_transaction_of_another_chain(bundle: Path, world: World, online: None) -> None:
    resign(bundle, world, account(0), lambda tx: tx | {"chainId": 5})
    (failed,) = failures(forged(bundle))
    assert failed.name == "signers" and "is signed for chain 5, not for chain 31337" in failed.detail


def test_a_transaction_of_no_chain(bundle: Path, world: World, online: None) -> None:
    """A signature from before chains had ids holds on all of them, and chains still take it."""
    resign(
        bundle,
        world,
        account(0),
        lambda tx: {"gasPrice": tx["maxFeePerGas"], **{k: tx[k] for k in ("nonce", "to", "data", "gas", "value")}},
    )
    (named,) = [c for c in check_bundle(forged(bundle)) if c.name == "signers"]
    assert isinstance(named, NotPossible) and "signed for no chain of their own" in named.detail
    assert named.detail.endswith(f"acted: {world.clients[0].address}")


def resign(bundle: Path, world: World, signer: LocalAccount, change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    """Put another transaction in place of the first act of the study's first organisation, and headers that fit."""
    client = world.clients[0]
    act = next(e for e in fetch_events(client, 0, client.head().number, kinds=[ev.ParticipantEnrolled]) if e.actor == client.address)
    path = bundle / "chain" / "blocks" / f"{act.meta.block}.json"
    header = client.header(act.meta.block)
    (index,) = [i for i, tx in enumerate(client.transaction_hashes(header)) if tx == act.meta.tx_hash]
    transactions = client.encoded_transactions(header)
    assert transactions is not None
    fields = TypedTransaction.from_bytes(HexBytes(transactions[index])).as_dict()
    kept = {name: fields[name] for name in ("chainId", "nonce", "to", "data", "value", "gas", "maxFeePerGas", "maxPriorityFeePerGas")}
    kept["to"] = to_checksum_address(fields["to"])
    transactions[index] = bytes(signer.sign_transaction(change(kept)).raw_transaction)
    receipts, signed = index_trie(client.encoded_receipts(header)), index_trie(transactions)
    nodes = sorted(to_hex(n) for n in index_nodes(receipts, [index]) | index_nodes(signed, [index]))
    entries = [{"index": index, "transaction": to_hex(keccak256(transactions[index]))}]
    items = rlp.decode(header.raw)
    items[4] = signed.root_hash
    made = read_header(rlp.encode(items))
    edit(path, lambda d: d.update(header=to_hex(made.raw), hash=to_hex(made.hash), nodes=nodes, entries=entries))
    rehash_after(path, made)


def rehash_after(path: Path, previous: Header) -> None:
    """A chain of false headers after a block's file, as far as there are blocks in a row."""
    while (path := path.with_name(f"{previous.number + 1}.json")).exists():
        items = rlp.decode(as_bytes(json.loads(path.read_bytes())["header"]))
        items[0] = previous.hash
        previous = read_header(rlp.encode(items))
        edit(path, lambda d, h=previous: d.update(header=to_hex(h.raw), hash=to_hex(h.hash)))  # type: ignore[misc]


def test_making_leaves_nothing_half_written(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, online: None) -> None:
    taken = tmp_path / "taken"
    taken.mkdir()
    with pytest.raises(InvalidInput, match="exists already"):
        make_bundle(world.connection(), world.studies[0], taken)
    with pytest.raises(NotFound, match="no study 99"):
        make_bundle(world.connection(), 99, tmp_path / "none")
    needed = world.connection().study_view(world.studies[0]).spec_cid
    for store in world.stores:
        monkeypatch.delitem(store.blobs, needed, raising=False)
    with pytest.raises(BlobUnavailable):
        make_bundle(world.connection(), world.studies[0], tmp_path / "half")
    assert [p.name for p in tmp_path.iterdir()] == ["taken"]


def test_a_node_that_lies_about_a_receipt_makes_no_bundle(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, online: None
) -> None:
    monkeypatch.setattr(ChainClient, "state_nodes", lambda self, address, slots, header: [b"\xc0"])
    with pytest.raises(BadEvidence, match="does not hold together: contracts"):
        make_bundle(world.connection(), world.studies[0], tmp_path / "lie")
    assert list(tmp_path.iterdir()) == []


def test_hostile_chain_files_are_refused_in_words(bundle: Path) -> None:
    path = bundle / names(bundle, "block")
    deep = "0x" + "c1" * 60_000
    for change, reason in (
        (lambda d: d.update(header=deep), "not RLP|not the fields"),
        (lambda d: d.update(header="0xzz"), "wrong fields"),
        (lambda d: d.update(entries=[{"index": -1, "transaction": "0x"}]), "wrong fields"),
        (lambda d: d.pop("nodes"), "wrong fields"),
        (lambda d: d.update(number=5_000), "block 5000's file"),
    ):
        whole = path.read_bytes()
        edit(path, change)
        (failed,) = failures(forged(bundle))
        assert failed.name == "headers"
        assert re.search(reason, failed.detail), failed.detail
        path.write_bytes(whole)
