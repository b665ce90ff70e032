"""A long file under a password: chunks sealed one by one, so that none is believed before it is checked, in an order that cannot be changed
and to an end that cannot be cut off (the STREAM construction: Hoang, Reyhanitabar, Rogaway and Vizár, CRYPTO 2015).

file = head ‖ newline ‖ chunk ‖ chunk ‖ ... The head is a vault (see defedbio.crypto.vault) that holds a fresh key. Each chunk but the last
is of `CHUNK` bytes, sealed with ChaCha20-Poly1305 under nonce = index (11 bytes, big-endian) ‖ 1 for the last chunk or 0; SHA-256 of
the head is authenticated with each.
"""

from __future__ import annotations

import json
from hashlib import sha256
from typing import BinaryIO

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from defedbio import foreign_json
from defedbio.crypto.numbers import Rand
from defedbio.crypto.vault import DEFAULT_N, open_with_password, seal_with_password
from defedbio.errors import InvalidKey

CHUNK = 1 << 20
MAX_HEAD_BYTES = 4096
_KEY_BYTES, _TAG_BYTES = 32, 16


class SealedWriter:
    """Seals what is written; only `close` makes the file whole."""

    def __init__(self, out: BinaryIO, password: str, label: str, rand: Rand, n: int = DEFAULT_N) -> None:
        """`label` says what the file is and must be given again to open it; n is scrypt's cost.

        Raises:
            InvalidInput: for an empty password.
        """
        key = rand(_KEY_BYTES)
        head = json.dumps(seal_with_password(key, password, label, rand, n), sort_keys=True).encode()
        out.write(head + b"\n")
        self._out, self._cipher, self._head = out, ChaCha20Poly1305(key), sha256(head).digest()
        self._waiting, self._index = bytearray(), 0

    def write(self, data: bytes) -> int:
        self._waiting += data
        while len(self._waiting) > CHUNK:  # the last chunk is known by `close` alone
            self._seal(bytes(self._waiting[:CHUNK]), last=False)
            del self._waiting[:CHUNK]
        return len(data)

    def close(self) -> None:
        self._seal(bytes(self._waiting), last=True)
        self._waiting.clear()

    def _seal(self, chunk: bytes, *, last: bool) -> None:
        self._out.write(self._cipher.encrypt(_nonce(self._index, last), chunk, self._head))
        self._index += 1


class SealedReader:
    """Reads what was sealed. Every byte that `read` returns is authentic; that the file is whole, `finish` says."""

    def __init__(self, source: BinaryIO, password: str, label: str) -> None:
        """
        Raises:
            InvalidKey: for what is no sealed file of this label. WrongPassword: for a wrong password, or a changed head.
        """
        head = source.readline(MAX_HEAD_BYTES)
        box = foreign_json.read_object(head.rstrip(b"\n"), "the head of the sealed file", MAX_HEAD_BYTES, InvalidKey)
        key = open_with_password(box, password, label)
        if len(key) != _KEY_BYTES:
            raise InvalidKey("the sealed file's key has a wrong length")
        self._source, self._cipher, self._head = source, ChaCha20Poly1305(key), sha256(head.rstrip(b"\n")).digest()
        self._ready, self._index = bytearray(), 0
        self._sealed = source.read(CHUNK + _TAG_BYTES)
        self._ended = False

    def read(self, size: int) -> bytes:
        """So many bytes, fewer only at the end.

        Raises:
            InvalidKey: if a chunk was changed or moved, or the file ends too early or too late.
        """
        while len(self._ready) < size and not self._ended:
            self._open_next()
        taken = bytes(self._ready[:size])
        del self._ready[:size]
        return taken

    def finish(self) -> None:
        """Check what was not read. Raises InvalidKey as `read`."""
        while not self._ended:
            self._open_next()

    def _open_next(self) -> None:
        following = self._source.read(CHUNK + _TAG_BYTES)
        try:
            self._ready += self._cipher.decrypt(_nonce(self._index, not following), self._sealed, self._head)
        except InvalidTag:
            raise InvalidKey("the sealed file was changed or is not whole") from None
        self._ended, self._sealed, self._index = not following, following, self._index + 1


def _nonce(index: int, last: bool) -> bytes:
    return index.to_bytes(11, "big") + bytes([last])
