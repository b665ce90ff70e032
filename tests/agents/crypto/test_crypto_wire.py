"""Blobs: exact lengths and headers before values, pinned bytes and roots."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from defedbio.crypto import merkle, numbers, paillier, roots, wire
from defedbio.crypto.packing import Layout
from defedbio.crypto.proofs import share as share_proof
from defedbio.crypto.threshold import Opening
from defedbio.crypto.wire import BlobKind, Header
from defedbio.domain import Run
from defedbio.errors import BadCiphertext, BadShare, InvalidInput, MalformedBlob

SENDER = "0x" + "a1" * 20


@pytest.fixture(scope="session")
def headers(context) -> dict[BlobKind, Header]:
    layout = Layout(512, (Run(24, 40),))
    return {kind: Header.make(kind, context, SENDER, layout) for kind in BlobKind}


@pytest.fixture(scope="session")
def header(headers) -> Header:
    return headers[BlobKind.UPDATE]


@pytest.fixture(scope="session")
def blob(small, header) -> bytes:
    return wire.encode_update(header, small.encrypt(1, 2))


def test_updates_and_aggregates_round_trip(small, header, headers) -> None:
    values = small.encrypt(5, 6)
    assert wire.decode_update(wire.encode_update(header, values), header, small.public) == wire.UpdatePayload(values, b"")
    proven = replace(header, proof_bytes=3)
    assert wire.decode_update(wire.encode_update(proven, values, b"abc"), proven, small.public) == wire.UpdatePayload(values, b"abc")
    other = headers[BlobKind.AGGREGATE]
    assert wire.decode_aggregate(wire.encode_aggregate(other, values), other, small.public) == values


@settings(deadline=None, max_examples=30)
@given(data=st.data())
def test_shares_and_openings_round_trip(small, headers, data) -> None:
    number = st.integers(0, small.public.n - 1)
    openings = [Opening(data.draw(number), data.draw(number)) for _ in range(2)]
    for kind in (BlobKind.OPENING, BlobKind.OPENING_PART):
        own = headers[kind]
        encoded = wire.encode_opening(own, openings)
        assert wire.decode_opening(encoded, own, small.public) == openings
        assert len(encoded) == own.size
    with pytest.raises(MalformedBlob, match="kind"):
        wire.decode_opening(encoded, headers[BlobKind.OPENING], small.public)


def test_a_share_carries_its_proof(small, headers) -> None:
    own = headers[BlobKind.SHARE]
    proof = bytes(range(100)) + bytes(share_proof.size(512) - 100)
    encoded = wire.encode_share(own, [2, 3], proof)
    assert wire.decode_share(encoded, own, small.public) == wire.SharePayload([2, 3], proof)
    assert len(encoded) == own.size
    with pytest.raises(InvalidInput, match="proof"):
        wire.encode_share(own, [2, 3], proof[:-1])
    with pytest.raises(MalformedBlob, match="are expected"):
        wire.decode_share(encoded[:-1], own, small.public)
    with pytest.raises(BadShare, match="value 0 is outside"):
        wire.decode_share(wire.encode_share(own, [0, 3], proof), own, small.public)


@pytest.mark.parametrize("cut", [0, 3, 114, 115, -1])
def test_short_blobs_are_refused_before_anything_else(small, header, blob, cut) -> None:
    with pytest.raises(MalformedBlob, match=f"bytes, {len(blob)} are expected"):
        wire.decode_update(blob[:cut], header, small.public)
    with pytest.raises(MalformedBlob, match="are expected"):
        wire.decode_update(blob + b"\x00", header, small.public)


@pytest.mark.parametrize(
    ("offset", "name"),
    [
        (0, "magic"),
        (4, "kind"),
        (5, "chain id"),
        (13, "contract"),
        (33, "study"),
        (41, "round"),
        (49, "sender"),
        (69, "modulus bits"),
        (71, "layout"),
        (102, "layout"),
        (103, "count"),
        (107, "proof bytes"),
        (111, "body bytes"),
    ],
)
def test_a_changed_header_is_refused_by_name(small, header, blob, offset, name) -> None:
    changed = blob[:offset] + bytes([blob[offset] ^ 1]) + blob[offset + 1 :]
    with pytest.raises(MalformedBlob, match=f"the blob's {name} differs"):
        wire.decode_update(changed, header, small.public)


@pytest.mark.parametrize(("field", "value", "name"), [("sender", "0x" + "a2" * 20, "sender"), ("kind", BlobKind.AGGREGATE, "kind")])
def test_p9_a_blob_of_another_sender_or_kind_is_refused(small, header, blob, field, value, name) -> None:
    expected = replace(header, **{field: value})
    decode = wire.decode_aggregate if field == "kind" else wire.decode_update
    with pytest.raises(MalformedBlob, match=f"{name} differs"):
        decode(blob, expected, small.public)


def test_p3_ciphertexts_that_are_no_units_are_refused(small, header) -> None:
    for value, reason in ((0, "outside"), (small.public.n_squared, "outside"), (small.p, "not a unit")):
        with pytest.raises(BadCiphertext, match=f"ciphertext 1 is {reason}"):
            wire.decode_update(wire.encode_update(header, [1, value]), header, small.public)


def test_addresses_compare_as_bytes(small, header, blob) -> None:
    assert wire.decode_update(blob, replace(header, sender="0x" + "A1" * 20), small.public)


def test_impossible_headers_do_not_exist(header, context) -> None:
    for change in (
        {"sender": "0x12"},
        {"layout": bytes(31)},
        {"proof_bytes": -1},
        {"count": 0},
        {"count": 1 << 31},
        {"modulus_bits": 1 << 16},
        {"context": replace(context, contract="0x1")},
        {"context": replace(context, round=1 << 64)},
        {"context": replace(context, study=-1)},
    ):
        with pytest.raises(InvalidInput):
            replace(header, **change)


def test_encoding_refuses_what_does_not_fit_the_header(small, header, headers) -> None:
    with pytest.raises(InvalidInput, match="values for a header"):
        wire.encode_update(header, [1])
    with pytest.raises(InvalidInput, match="kind"):
        wire.encode_aggregate(header, [1, 2])
    with pytest.raises(InvalidInput, match="does not fit"):
        wire.encode_update(header, [1, 1 << 1024])
    with pytest.raises(InvalidInput, match="openings"):
        wire.encode_opening(headers[BlobKind.OPENING], [])
    with pytest.raises(InvalidInput, match="proof has a wrong length"):
        wire.encode_update(header, [1, 2], b"x")
    with pytest.raises(InvalidInput, match="another kind or key"):
        wire.decode_aggregate(b"", header, small.public)


def test_pinned_headers_sizes_and_roots(small, headers, vectors) -> None:
    want = vectors("wire.json")
    large = Layout(3072, (Run(48, 1), Run(24, 16_400)))
    for kind, header in headers.items():
        assert header.to_bytes().hex() == want["headers"][kind.name]
        assert Header.make(kind, header.context, SENDER, large).size == want["sizes_3072"][kind.name]
    key = small.public
    assert wire.HEADER_BYTES == 115
    assert roots.update_root([1, 2], key).hex() == want["update_root"]
    assert roots.share_root([1, 2], key).hex() == want["share_root"]
    assert roots.opening_root([Opening(1, 2), Opening(3, 4)], key).hex() == want["opening_root"]
    assert roots.opening_root([Opening(1, 2), Opening(3, 4)], key, 7).hex() == want["part_root_from_7"]
    half, quarter, fifth = (numbers.invert(x, key.n_squared) for x in (2, 4, 5))
    product, root = roots.product_and_root([[1, 4], [2, 5 * quarter], [3 * half, 6 * fifth]], key)
    assert (product, root.hex()) == ([3, 6], want["aggregate_root"])


def test_an_aggregate_root_does_not_depend_on_slices(small, monkeypatch: pytest.MonkeyPatch) -> None:
    updates = [small.encrypt(*range(20)), small.encrypt(*range(20))]
    whole = roots.product_and_root(updates, small.public)
    monkeypatch.setattr(paillier, "AT_ONCE", 8)
    assert roots.product_and_root(updates, small.public) == whole


def test_p4_every_prefix_product_has_a_path_in_the_aggregate_root(small) -> None:
    """P4: the root commits to every prefix product."""
    key = small.public
    updates = [small.encrypt(1, 2), small.encrypt(3, 4), small.encrypt(5, 6)]
    prefixes = [[numbers.product([u[row] for u in updates[:t]], key.n_squared) for t in (1, 2, 3)] for row in (0, 1)]
    written = [[numbers.to_bytes(p, key.ciphertext_bytes) for p in row] for row in prefixes]
    leaves = merkle.prefix_leaves(written)
    product, root = roots.product_and_root(updates, key)
    assert product == [row[-1] for row in prefixes] == paillier.aggregate(key, updates)
    for index, leaf in enumerate(leaves):
        assert merkle.verify(merkle.proof(leaves, index), root, leaf)
