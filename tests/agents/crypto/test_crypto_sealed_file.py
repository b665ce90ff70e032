"""A sealed file says nothing that was not written, in another order, or only a part of it."""

from __future__ import annotations

import os
from io import BytesIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from defedbio.crypto import sealed_file
from defedbio.crypto.sealed_file import SealedReader, SealedWriter
from defedbio.errors import InvalidKey, WrongPassword

SIZE, TAG, LABEL = 16, 16, "defedbio-test/1"


@pytest.fixture(autouse=True, scope="module")
def small_chunks():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sealed_file, "CHUNK", SIZE)
        yield


def sealed(*parts: bytes) -> bytes:
    out = BytesIO()
    writer = SealedWriter(out, "password", LABEL, os.urandom, n=2)
    for part in parts:
        assert writer.write(part) == len(part)
    writer.close()
    return out.getvalue()


def opened(raw: bytes, password: str = "password", label: str = LABEL) -> bytes:
    reader = SealedReader(BytesIO(raw), password, label)
    found = b"".join(iter(lambda: reader.read(7), b""))
    reader.finish()
    return found


@given(st.lists(st.binary(max_size=3 * SIZE), max_size=5))
def test_what_was_written_is_read_however_it_was_cut(parts: list[bytes]) -> None:
    assert opened(sealed(*parts)) == b"".join(parts)


@given(st.integers(0, 4 * SIZE), st.data())
def test_a_changed_byte_is_found(size: int, data: st.DataObject) -> None:
    raw = bytearray(sealed(bytes(size)))
    at = data.draw(st.integers(raw.index(b"\n") + 1, len(raw) - 1))
    raw[at] ^= data.draw(st.integers(1, 255))
    with pytest.raises(InvalidKey, match="changed or is not whole"):
        opened(bytes(raw))


@pytest.mark.parametrize("size", [0, 5, SIZE, 3 * SIZE, 3 * SIZE + 1])
def test_a_file_cut_anywhere_or_grown_is_found(size: int) -> None:
    raw = sealed(bytes(size))
    start = raw.index(b"\n") + 1
    for length in range(start, len(raw)):
        with pytest.raises(InvalidKey, match="changed or is not whole"):
            opened(raw[:length])
    with pytest.raises(InvalidKey, match="changed or is not whole"):
        opened(raw + bytes(1))


def test_chunks_cannot_change_places_or_come_from_another_file() -> None:
    raw, other = sealed(bytes(4 * SIZE)), sealed(bytes(4 * SIZE))
    start = raw.index(b"\n") + 1
    chunks = [raw[at : at + SIZE + TAG] for at in range(start, len(raw), SIZE + TAG)]
    swapped = b"".join([chunks[1], chunks[0], *chunks[2:]])
    for body in (swapped, b"".join([*chunks[:2], chunks[3]]), other[other.index(b"\n") + 1 :]):
        with pytest.raises(InvalidKey, match="changed or is not whole"):
            opened(raw[:start] + body)


def test_password_and_label_are_needed() -> None:
    raw = sealed(b"content")
    with pytest.raises(WrongPassword):
        opened(raw, password="another")
    with pytest.raises(InvalidKey, match="holds 'defedbio-test/1'"):
        opened(raw, label="defedbio-other/1")


@pytest.mark.parametrize("raw", [b"", b"\n", b"{}\n", b"[]\n" + bytes(40), b"x" * 10_000])
def test_what_is_no_sealed_file_is_refused(raw: bytes) -> None:
    with pytest.raises(InvalidKey):
        opened(raw)


def test_a_changed_head_opens_nothing() -> None:
    raw = sealed(b"content")
    head, _, body = raw.partition(b"\n")
    with pytest.raises(InvalidKey, match="changed or is not whole"):
        opened(head.replace(b'", "', b'" , "', 1) + b"\n" + body)
