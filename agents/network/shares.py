"""A holder's share of a threshold key in its home: encrypted under the operator's password, checked against the key when it is read, and
gone for good when it is retired."""

from __future__ import annotations

import os
from pathlib import Path

from defedbio.config import read_json, write_private
from defedbio.crypto import numbers
from defedbio.crypto.threshold import KeyShare, ThresholdKey
from defedbio.crypto.vault import open_with_password, seal_with_password
from defedbio.errors import InvalidKey, NotFound, PeerFault
from defedbio.network.connection import Connection

SHARE_FORMAT = "defedbio-share/1"


def load_share(path: Path, epoch: int, key: ThresholdKey, password: str) -> KeyShare:
    """This holder's share of the epoch, decrypted and checked against the key.

    Raises:
        NotFound: if the holder has not confirmed its share here. WrongPassword, InvalidKey.
    """
    hint = f"run `defedbio ceremony confirm --epoch {epoch}` first"
    document = read_json(path, f"key share of epoch {epoch}", hint, {"index": int, "box": dict})
    if document.get("format") != SHARE_FORMAT or document.get("epoch") != epoch:
        raise InvalidKey(f"{path} is no key share of epoch {epoch}")
    raw = open_with_password(document["box"], password, _label(epoch))
    share = KeyShare(document["index"], numbers.from_bytes(raw))
    try:
        share.check(key)
    except PeerFault as error:
        raise InvalidKey(error.message) from None
    return share


def write_share(path: Path, share: KeyShare, epoch: int, password: str) -> None:
    """Keep this holder's share of the epoch, encrypted, in place of any that is there."""
    raw = numbers.to_bytes(share.value, max(1, (share.value.bit_length() + 7) // 8))
    box = seal_with_password(raw, password, _label(epoch), os.urandom)
    write_private(path, {"format": SHARE_FORMAT, "epoch": epoch, "index": share.index, "box": box}, replace=True)


def retired(connection: Connection, epoch: int, account: str) -> bool:
    """Whether the chain has it that the account erased its share of the epoch (K3); no for an epoch that this chain does not know."""
    try:
        on_chain = connection.keys.epoch_of(epoch)
    except NotFound:
        return False
    return account in on_chain.holders and account not in on_chain.left


def _label(epoch: int) -> str:
    return f"{SHARE_FORMAT}/{epoch}"
