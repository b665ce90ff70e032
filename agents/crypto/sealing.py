"""Bytes that one holder alone can open: ephemeral X25519, HKDF-SHA256, ChaCha20-Poly1305 (the shape of HPKE base mode, RFC 9180).

sealed = ephemeral public key (32) ‖ ciphertext and tag. The context is bound into the key derivation and authenticated.
"""

from __future__ import annotations

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from defedbio.crypto.numbers import Rand
from defedbio.errors import InvalidKey

KEY_BYTES = 32
OVERHEAD = KEY_BYTES + 16
_DOMAIN = b"defedbio-seal/1"
_NONCE = bytes(12)  # every key seals once


def generate_transport_key(rand: Rand) -> tuple[bytes, bytes]:
    """(private, public), 32 bytes each."""
    private = rand(KEY_BYTES)
    return private, transport_public(private)


def transport_public(private: bytes) -> bytes:
    """The public key of a private one; InvalidKey unless it is 32 bytes."""
    _check(private)
    return X25519PrivateKey.from_private_bytes(private).public_key().public_bytes_raw()


def check_transport_key(public: bytes) -> None:
    """Raises InvalidKey unless something can be sealed for the public key."""
    _check(public)
    _shared(bytes(KEY_BYTES), public)


def seal(public: bytes, plaintext: bytes, context: bytes, rand: Rand) -> bytes:
    """Seal for the owner of `public`: 48 bytes longer than the plaintext.

    Raises:
        InvalidKey: for a public key that is no usable point.
    """
    _check(public)
    ephemeral, ephemeral_public = generate_transport_key(rand)
    key = _derive(ephemeral, public, ephemeral_public + public, context)
    return ephemeral_public + ChaCha20Poly1305(key).encrypt(_NONCE, plaintext, context)


def unseal(private: bytes, sealed: bytes, context: bytes) -> bytes:
    """Open what was sealed for this key in this context.

    Raises:
        InvalidKey: when it was sealed for another key or context, or has been changed.
    """
    public = transport_public(private)
    if len(sealed) < OVERHEAD:
        raise InvalidKey("the sealed message is too short")
    key = _derive(private, sealed[:KEY_BYTES], sealed[:KEY_BYTES] + public, context)
    try:
        return ChaCha20Poly1305(key).decrypt(_NONCE, sealed[KEY_BYTES:], context)
    except InvalidTag:
        raise InvalidKey("the sealed message does not open with this key in this context") from None


def _derive(private: bytes, public: bytes, salt: bytes, context: bytes) -> bytes:
    return HKDF(hashes.SHA256(), 32, salt, _DOMAIN + len(context).to_bytes(8, "big") + context).derive(_shared(private, public))


def _shared(private: bytes, public: bytes) -> bytes:
    try:
        return X25519PrivateKey.from_private_bytes(private).exchange(X25519PublicKey.from_public_bytes(public))
    except ValueError:
        raise InvalidKey("the transport key is not a usable X25519 point") from None


def _check(key: bytes) -> None:
    if len(key) != KEY_BYTES:
        raise InvalidKey("a transport key must be 32 bytes")
