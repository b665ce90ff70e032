"""Bundles that are not bundles: whatever their documents, receipts and events hold, a check ends with a verdict."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any, get_type_hints

import pytest
import rlp
from hypothesis import example, given, settings
from hypothesis import strategies as st

from defedbio.audit.bundle import MANIFEST, NETWORK, STATE, canonical
from defedbio.audit.check import check_bundle
from defedbio.audit.make import Made
from defedbio.audit.proof_files import BlockFile, Entry
from defedbio.audit.record import record_of
from defedbio.audit.storage import expected, foreign_rounds
from defedbio.chain import events as ev
from defedbio.chain.abi import events_abi
from defedbio.chain.proofs import index_nodes, index_trie, pool, read_header
from defedbio.chain.values import StudyRules
from defedbio.domain import BitSet, CeremonyKind, Phase
from defedbio.errors import BadEvidence
from defedbio.protocol.verify import Check
from tests.agents.audit.tampered import forged
from tests.agents.audit.test_record import ENROLLED, KEY, OPENED, RULES, A, B, C, opened
from tests.agents.audit.test_record import events as events_of

from .conftest import World

# What stands in a document where something else was: JSON that Python takes and we do not, and values of every wrong kind and size.
HOSTILE = [
    *("NaN", "Infinity", "-Infinity", "1e400", "-1e400", "1e308", "1.5", "-1", "0", "0.0", str(1 << 64), str(1 << 256), "9" * 5000),
    *("null", "true", "false", "[]", "{}", "[[]]", '[{"index":0}]', '""', '"0x"', '"0xzz"', '"0x1"', '"é"', '"' + "f" * 100_000 + '"'),
    *("[" * 100_000, "[" * 5_000 + "]" * 5_000, '{"a":1,"a":2}', '"\\ud800"', '"\\u0000"', "'x'", "", "\x00", "\udcff"),
]
HERE = "@@@here@@@"


def places(document: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of every value in a document; of a long list, of its first two."""
    yield path
    parts = document.items() if isinstance(document, dict) else enumerate(document[:2]) if isinstance(document, list) else ()
    for key, value in parts:
        yield from places(value, (*path, key))


def with_hostile(document: Any, path: tuple[Any, ...], value: str) -> bytes:
    """The document with this text where the value at `path` was."""
    if not path:
        return value.encode("utf-8", "surrogateescape")
    document = json.loads(json.dumps(document))
    inner = document
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = HERE
    return canonical(document).replace(f'"{HERE}"'.encode(), value.encode("utf-8", "surrogateescape"))


Small = tuple[Path, list[tuple[str, tuple[Any, ...]]]]


@pytest.fixture(scope="module")
def small(made: Made, tmp_path_factory: pytest.TempPathFactory) -> Small:
    """A bundle of which only the last two blocks are left, so that a check is over soon, and every place in its documents."""
    folder = tmp_path_factory.mktemp("hostile") / "small"
    blocks = sorted((made.path / "chain" / "blocks").iterdir(), key=lambda path: int(path.stem))[-2:]
    for path in (made.path / MANIFEST, made.path / NETWORK, made.path / STATE, *blocks):
        target = folder / path.relative_to(made.path)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    forged(folder)
    names = [MANIFEST, NETWORK, STATE, *(path.relative_to(made.path).as_posix() for path in blocks)]
    return folder, [(name, path) for name in names for path in places(json.loads((folder / name).read_bytes()))]


@settings(max_examples=150)
@given(data=st.data())
def test_a_value_of_any_kind_anywhere_in_a_document(small: Small, data: st.DataObject) -> None:
    folder, everywhere = small
    name, path = data.draw(st.sampled_from(everywhere))
    assert check_with(folder, name, with_hostile(json.loads((folder / name).read_bytes()), path, data.draw(st.sampled_from(HOSTILE))))


@settings(max_examples=60)
@given(data=st.data(), noise=st.binary(max_size=40))
def test_any_bytes_anywhere_in_a_document(small: Small, data: st.DataObject, noise: bytes) -> None:
    folder, everywhere = small
    name = data.draw(st.sampled_from(sorted({name for name, _ in everywhere})))
    raw = (folder / name).read_bytes()
    at = data.draw(st.integers(0, len(raw)))
    assert check_with(folder, name, raw[:at] + noise + raw[at + data.draw(st.integers(0, 40)) :])


def check_with(folder: Path, name: str, raw: bytes) -> Check:
    """The first check that fails when a document of the bundle is these bytes."""
    kept = {path: (folder / path).read_bytes() for path in (name, MANIFEST)}
    try:
        (folder / name).write_bytes(raw)
        if name != MANIFEST:
            forged(folder)
        return next(check for check in check_bundle(folder) if not check.ok)
    finally:
        for path, whole in kept.items():
            (folder / path).unlink(missing_ok=True)
            (folder / path).write_bytes(whole)


@pytest.mark.parametrize("value", ["Infinity", "NaN", "1e400"])
def test_what_is_no_number_is_named_with_its_document(small: Small, value: str) -> None:
    folder, everywhere = small
    block = everywhere[-1][0]
    for name, field, step in (
        (MANIFEST, "anchor", "manifest"),
        (NETWORK, "deploy_block", "network"),
        (block, "number", "headers"),
        (STATE, "block", "contracts"),
    ):
        failed = check_with(folder, name, with_hostile(json.loads((folder / name).read_bytes()), (field,), value))
        assert failed.name == step and name in failed.detail and "number" in failed.detail


# Receipts, of a block that somebody made up: the proofs hold, and what they prove is any bytes.

nested = st.recursive(st.binary(max_size=70), lambda inner: st.lists(inner, max_size=5), max_leaves=20)
words = st.one_of(st.binary(min_size=32, max_size=32), st.integers(0, 300).map(lambda n: n.to_bytes(32, "big")), st.binary(max_size=40))


@settings(max_examples=150)
@given(data=st.data())
def test_any_receipt_that_its_header_bears_out(world: World, data: st.DataObject) -> None:
    topics = [topic for _, topic in events_abi()]
    address = bytes.fromhex(data.draw(st.sampled_from(list(world.network.contracts.addresses().values())))[2:])
    log = [
        address,
        [data.draw(st.sampled_from(topics)), *data.draw(st.lists(words, max_size=4))],
        b"".join(data.draw(st.lists(words, max_size=12))),
    ]
    receipt = data.draw(st.one_of(st.just(rlp.encode([b"\1", b"", b"", [log]])), nested.map(rlp.encode), st.binary(max_size=80)))
    transaction = data.draw(
        st.one_of(nested.map(rlp.encode), nested.map(lambda n: b"\2" + rlp.encode(n)), st.binary(min_size=1, max_size=80))
    )
    receipts, transactions = index_trie([receipt or b"\0"]), index_trie([transaction])
    items = [b"\0" * 32] * 15
    items[4], items[5], items[8], items[11] = transactions.root_hash, receipts.root_hash, b"\1", b"\1"
    nodes = pool(index_nodes(receipts, [0]) | index_nodes(transactions, [0]))
    header = read_header(rlp.encode(items))
    for signed in (True, False):
        document = BlockFile(header, (Entry(0, bytes(32)),), signed, nodes).to_document()
        try:
            BlockFile.from_document(json.loads(canonical(document))).proven(world.network)
        except BadEvidence:
            continue


# Events of such receipts: a history that no contract of ours has written.

PEOPLE = st.sampled_from([A, B, C, "0x" + "0" * 40, "0x" + "ff" * 20])
NUMBERS = st.one_of(st.integers(0, 4), st.sampled_from([255, 256, (1 << 16) - 1, 1 << 32, (1 << 64) - 1]))
BY_TYPE: dict[Any, st.SearchStrategy[Any]] = {
    int: NUMBERS,
    bool: st.booleans(),
    bytes: st.sampled_from([bytes(32), b"\x01" * 32]),
    BitSet: st.one_of(st.integers(0, 15), st.just((1 << 256) - 1)).map(BitSet),
    Phase: st.sampled_from(Phase),
    CeremonyKind: st.sampled_from(CeremonyKind),
    tuple[str, ...]: st.lists(PEOPLE, max_size=4).map(tuple),
    StudyRules: st.just(RULES),
}
NAMES_PEOPLE = {
    "participant",
    "voter",
    "subject",
    "member",
    "proposer",
    "holder",
    "coordinator",
    "opener",
    "aggregator",
    "accuser",
    "poster",
}
OURS = {name: st.one_of(st.just(1), st.just(1), NUMBERS) for name in ("study", "epoch", "round", "index")}


def an_event(kind: type[ev.Event]) -> st.SearchStrategy[tuple[Any, ...]]:
    hints = get_type_hints(kind)

    def value(name: str) -> st.SearchStrategy[Any]:
        return PEOPLE if name in NAMES_PEOPLE else OURS.get(name) or (st.text(max_size=5) if hints[name] is str else BY_TYPE[hints[name]])

    return st.tuples(st.just(kind), *(value(f.name) for f in fields(kind) if f.name != "meta"))


HISTORY = st.lists(st.sampled_from(ev.EVENTS).flatmap(an_event), max_size=14)
FOUNDED = [KEY, OPENED, *ENROLLED, opened()]


@settings(max_examples=300)
@given(history=HISTORY)
@example(history=[(ev.RoundOpened, (1 << 64) - 1, 1, 0, 0, A)])
def test_any_history_is_told_or_refused(history: list[tuple[Any, ...]]) -> None:
    try:
        record = record_of(1, events_of(*FOUNDED, *history))
    except BadEvidence:
        return
    assert all(0 <= word.value < 1 << 256 and 0 <= word.slot < 1 << 256 for word in expected(record))
    for _, first in zip(range(5), foreign_rounds(record), strict=False):
        assert first[1] < 1 << 256
