"""Secrets at rest under a password: scrypt (RFC 7914) and ChaCha20-Poly1305, as a JSON-able dict."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from defedbio.crypto.numbers import Rand
from defedbio.errors import InvalidInput, InvalidKey, WrongPassword

FORMAT = "defedbio-vault/1"
DEFAULT_N = 1 << 17
MAX_N = 1 << 20  # 1 GiB with r = 8: a changed file must not exhaust the machine
_R, _P = 8, 1
_FIELDS = {"format": str, "label": str, "n": int, "r": int, "p": int, "salt": str, "nonce": str, "ciphertext": str}


def seal_with_password(secret: bytes, password: str, label: str, rand: Rand, n: int = DEFAULT_N) -> dict[str, Any]:
    """Encrypt `secret`; `label` says what it is and must be given again to open it.

    n is scrypt's cost, a power of two; 2^17 takes 128 MiB and some tenths of a second.

    Raises:
        InvalidInput: for an empty password or an n outside 2..2^20.
    """
    if not password:
        raise InvalidInput("a vault needs a password")
    box: dict[str, Any] = {"format": FORMAT, "label": label, "n": n, "r": _R, "p": _P, "salt": rand(16).hex(), "nonce": rand(12).hex()}
    _check_cost(box)
    box["ciphertext"] = ChaCha20Poly1305(_derive(box, password)).encrypt(bytes.fromhex(box["nonce"]), secret, _bound(box)).hex()
    return box


def open_with_password(box: Mapping[str, Any], password: str, label: str) -> bytes:
    """The secret of a vault made under this password and label.

    Raises:
        InvalidKey: for a vault of another format or label. WrongPassword: for a wrong password, or a changed vault.
    """
    if set(box) != set(_FIELDS) or any(type(box[name]) is not kind for name, kind in _FIELDS.items()):
        raise InvalidKey("the vault has missing, unknown or ill-typed fields")
    if box["format"] != FORMAT or (box["r"], box["p"]) != (_R, _P):
        raise InvalidKey("the vault has a format that this version does not read")
    if box["label"] != label:
        raise InvalidKey(f"the vault holds '{box['label']}', not '{label}'")
    try:
        _check_cost(box)
        nonce, ciphertext, salt = (bytes.fromhex(box[name]) for name in ("nonce", "ciphertext", "salt"))
    except (ValueError, InvalidInput):
        raise InvalidKey("the vault has values that are not hexadecimal or out of range") from None
    if len(nonce) != 12 or len(salt) != 16:
        raise InvalidKey("the vault has a salt or nonce of a wrong length")
    try:
        return ChaCha20Poly1305(_derive(box, password)).decrypt(nonce, ciphertext, _bound(box))
    except InvalidTag:
        raise WrongPassword("the password does not open the vault, or the vault was changed") from None


def _derive(box: Mapping[str, Any], password: str) -> bytes:
    return Scrypt(salt=bytes.fromhex(box["salt"]), length=32, n=box["n"], r=box["r"], p=box["p"]).derive(password.encode())


def _bound(box: Mapping[str, Any]) -> bytes:
    """Everything but the ciphertext is authenticated with it."""
    return json.dumps({k: v for k, v in box.items() if k != "ciphertext"}, sort_keys=True, separators=(",", ":")).encode()


def _check_cost(box: Mapping[str, Any]) -> None:
    n = box["n"]
    if not 2 <= n <= MAX_N or n & (n - 1):
        raise InvalidInput("scrypt's n must be a power of two up to 2^20")
