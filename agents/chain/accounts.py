"""The account that signs: an eth-account keystore (version 3, scrypt), encrypted at rest."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eth_utils.address import is_address, to_checksum_address

from defedbio import foreign_json
from defedbio.config import private_folder, sync_folder
from defedbio.errors import InvalidInput, InvalidKey, WrongPassword

if TYPE_CHECKING:
    from eth_account.signers.local import LocalAccount

DEFAULT_ITERATIONS = 262144
_MAX_BYTES = 1 << 16


def create_keystore(path: str | os.PathLike[str], password: str, *, iterations: int = DEFAULT_ITERATIONS) -> str:
    """Make a new key, write it encrypted (mode 0600) and return its address. An existing file is never overwritten.

    Raises:
        InvalidInput: if the file exists or cannot be written, or the password is empty.
    """
    from eth_account import Account

    if not password:
        raise InvalidInput("a keystore needs a password")
    account: LocalAccount = Account.create()
    document = json.dumps(Account.encrypt(account.key, password, kdf="scrypt", iterations=iterations))
    target = Path(path)
    try:
        private_folder(target.parent)
        descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(document)
            file.flush()
            os.fsync(file.fileno())
        sync_folder(target.parent)
    except FileExistsError:
        raise InvalidInput(f"{target} exists", "a keystore is never overwritten; choose another path") from None
    except OSError as error:
        raise InvalidInput(f"cannot write the keystore {target}: {error.strerror}") from error
    return str(account.address)


def load_account(path: str | os.PathLike[str], password: str) -> LocalAccount:
    """Decrypt a keystore.

    Raises:
        WrongPassword: if the password does not open it.
        InvalidKey: if the file cannot be read or is not a keystore.
    """
    from eth_account import Account

    document = _read(path)
    try:
        key = Account.decrypt(document, password)
    except ValueError as error:
        if "MAC mismatch" in str(error):
            raise WrongPassword(f"the password does not open the keystore {path}") from None
        raise InvalidKey(f"{path} is not a keystore that can be used") from None
    except (KeyError, TypeError, NotImplementedError):
        raise InvalidKey(f"{path} is not a keystore that can be used") from None
    account: LocalAccount = Account.from_key(key)
    return account


def keystore_address(path: str | os.PathLike[str]) -> str:
    """The address that a keystore names, without opening it.

    Raises:
        InvalidKey: if the file cannot be read or names none.
    """
    address = _read(path).get("address")
    if not isinstance(address, str) or not is_address(address):
        raise InvalidKey(f"the keystore {path} names no address")
    return str(to_checksum_address(address))


def _read(path: str | os.PathLike[str]) -> dict[str, Any]:
    try:
        return foreign_json.read_file(Path(path), f"the keystore {path}", _MAX_BYTES, InvalidKey)
    except OSError as error:
        raise InvalidKey(f"cannot read the keystore {path}: {error.strerror}") from error


def chain_of(signed: bytes) -> int:
    """The chain for which a transaction was signed.

    Raises:
        InvalidInput: if the bytes are no transaction as this software signs them.
    """
    from eth_account.typed_transactions.typed_transaction import TypedTransaction
    from hexbytes import HexBytes
    from rlp.exceptions import RLPException

    try:
        return int(TypedTransaction.from_bytes(HexBytes(signed)).as_dict()["chainId"])
    except (ValueError, TypeError, KeyError, RLPException):
        raise InvalidInput("a signed transaction cannot be read", "restore the home from a backup") from None
