"""CIDs computed in Python are those that a node gives (compared with the real node in test_store.py and here)."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from defedbio.errors import BlobMismatch, InvalidInput
from defedbio.ipfs.cid import check_cid, cid_of, file_size_below, parse_cid
from defedbio.ipfs.kubo import KuboStore
from defedbio.ipfs.node import EmbeddedNode

EMPTY = "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku"
CHUNK = 262144


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KuboStore]:
    with EmbeddedNode(tmp_path_factory.mktemp("node")) as running, running.open_store() as store:
        yield store


@pytest.mark.parametrize("size", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 5_000_000, 174 * CHUNK + 1])
def test_the_node_gives_the_same_cid(node: KuboStore, size: int) -> None:
    # KuboStore.add compares the node's answer with cid_of and refuses another one; `_client` is asked past that comparison.
    data = random.Random(size).randbytes(size)
    options = {"cid-version": "1", "raw-leaves": "true", "pin": "false"}
    assert node._client.add_bytes(data, opts=options) == cid_of(data)


def test_the_empty_blob_is_what_kubo_documents() -> None:
    assert cid_of(b"") == EMPTY


# Computed once with Helia 7.1's importer; the seeds are random.Random(size).
@pytest.mark.parametrize(
    ("size", "cid"),
    [
        (1, "bafkreiekgmp53zydf4z2ohq3fysx3aawny2i4ah4wf4rj5el3nl2drrqa4"),
        (CHUNK, "bafkreih2bk74eu5axngebs6vftmmkcaqboysjjy726xzy5hksnqmfgw5fy"),
        (CHUNK + 1, "bafybeidbbs6ocod3v27jtr4uhvc6n55y3gbrtur3bvjsnraudtbxkozi2y"),
        (5_000_000, "bafybeia7lw2cn5p3iscw3yazt4ekjn7tocnvyu4qoqaxd7wqmecyrkldmy"),
        (174 * CHUNK, "bafybeih3ebhydpblov22wbakszm4spvku7hbo3oa5gdhgoh7gnub26mtx4"),
        (174 * CHUNK + 1, "bafybeidsyc3rx6lmbjml2fg4ucagkjh3kse6tbphoyyhms46fqhmu6ujbi"),
    ],
)
def test_known_cids(size: int, cid: str) -> None:
    assert cid_of(random.Random(size).randbytes(size)) == cid


@given(st.binary(max_size=300), st.data())
def test_any_other_bytes_have_another_cid(data: bytes, draw: st.DataObject) -> None:
    other = draw.draw(st.binary(max_size=300).filter(lambda value: value != data))
    check_cid(cid_of(data), data)
    with pytest.raises(BlobMismatch, match=cid_of(data)):
        check_cid(cid_of(data), other)


@given(st.binary(max_size=64))
def test_a_cid_reads_back(data: bytes) -> None:
    parsed = parse_cid(cid_of(data))
    assert parsed.digest == hashlib.sha256(data).digest()
    assert str(parsed) == cid_of(data)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "base32"),
        ("QmYwAPJzv5CZsnA625s3Xf2nemtYgPpHdWEz79ojWnPbdG", "base32"),
        (EMPTY.upper(), "base32"),
        (EMPTY + "a", "base32"),
        (EMPTY[:-1] + "1", "base32"),
        (EMPTY[:-1] + "v", "canonical"),
        ("c" + EMPTY[1:], "base32"),
        ("bafyreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku", "codec is 0x71"),
        ("bafkrwihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku", "sha2-256"),
    ],
)
def test_other_spellings_are_refused_for_their_reason(text: str, reason: str) -> None:
    with pytest.raises(InvalidInput, match=reason):
        parse_cid(text)


def test_the_root_block_tells_the_size(node: KuboStore) -> None:
    data = random.Random(7).randbytes(CHUNK * 3 + 1)
    cid = parse_cid(node.add(data))
    block = node._client.block.get(str(cid))
    assert file_size_below(cid, block) == len(data)
    assert file_size_below(cid, block[:-1]) is None
    assert file_size_below(parse_cid(EMPTY), b"") == 0
