"""Where an organisation keeps its files. Secrets are encrypted at rest and readable by their owner only."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from defedbio import foreign_json
from defedbio.errors import InvalidInput, NotFound

DEFAULT_HOME = Path("~/.defedbio")
DEFAULT_NETWORK_FILE = Path("build/networks/development.json")
DEFAULT_IPFS_API = "/ip4/127.0.0.1/tcp/5001"
MAX_DOCUMENT_BYTES = 1 << 20
JOURNAL = "journal.sqlite"  # in a study's folder
SEED = "seed.json"  # in a ceremony's folder
NO_FIELDS: Mapping[str, type] = MappingProxyType({})


@dataclass(frozen=True)
class Home:
    """One organisation's folder.

    account.json                        Ethereum keystore v3
    transport.json                      X25519 key, to which key shares are sealed (transport.next.json, .erase: while it is replaced)
    shares/CHAIN-REGISTRY-EPOCH.json    this holder's share of a threshold key
    studies/CHAIN-MANAGER-STUDY/        accepted.json (what the operator agreed to), journal.sqlite, events.json (what was
                                        read from the chain)
    ceremonies/CHAIN-REGISTRY-NUMBER/   accepted.json, journal.sqlite, and while it runs seed.json (all that this holder draws
                                        in a ceremony without a dealer follows from it)
    modules/SHA256.py                   torch modules that the operator allowed
    tx.sqlite                           transactions outside studies, so that none is sent twice
    pins.sqlite                         which study keeps which blob on the IPFS node
    networks/CHAIN-REGISTRY.json        networks on which the organisation has sent something
    restored.json                       where the home is from a backup: of when
    ipfs/                               the embedded node's repository
    """

    root: Path

    @property
    def account(self) -> Path:
        return self.root / "account.json"

    @property
    def transport(self) -> Path:
        return self.root / "transport.json"

    @property
    def next_transport(self) -> Path:
        return self.root / "transport.next.json"

    @property
    def ipfs(self) -> Path:
        return self.root / "ipfs"

    @property
    def modules(self) -> Path:
        return self.root / "modules"

    @property
    def transactions(self) -> Path:
        return self.root / "tx.sqlite"

    @property
    def pins(self) -> Path:
        return self.root / "pins.sqlite"

    @property
    def networks(self) -> Path:
        return self.root / "networks"

    @property
    def restored(self) -> Path:
        return self.root / "restored.json"

    def share(self, chain_id: int, registry: str, epoch: int) -> Path:
        return self.root / "shares" / f"{chain_id}-{registry.lower()}-{epoch}.json"

    def ceremonies_under_way(self) -> list[str]:
        """Names of the folders of ceremonies in which this home takes part and that have not ended."""
        return sorted(path.parent.name for path in self.root.glob(f"ceremonies/*/{SEED}"))

    def ceremony(self, chain_id: int, registry: str, ceremony: int) -> Path:
        return self.root / "ceremonies" / f"{chain_id}-{registry.lower()}-{ceremony}"

    def study(self, chain_id: int, manager: str, study: int) -> Path:
        return self.root / "studies" / f"{chain_id}-{manager.lower()}-{study}"

    def study_folders(self) -> dict[str, Path]:
        """The folders of all studies here, on whichever network, by their names."""
        return {path.name: path for path in (self.root / "studies").glob("*-*-*") if path.is_dir()}


def private_folder(path: Path) -> Path:
    """Make a folder, and those above it that are missing, for its owner alone whatever the umask is. All are durable when it returns.

    Raises:
        OSError: if it cannot be made.
    """
    for folder in reversed([one for one in (path, *path.parents) if not one.exists()]):
        folder.mkdir(mode=0o700, exist_ok=True)
        sync_folder(folder.parent)
    return path


def erase(path: Path) -> None:
    """Overwrite a file, take its name away, and make both durable; nothing to do if it is not there. What a disk, a file system or a
    backup keeps of it elsewhere stays (docs/erasure.md).

    Raises:
        InvalidInput: if the disk refuses.
    """
    try:
        with suppress(FileNotFoundError), path.open("r+b", buffering=0) as stream:
            stream.write(os.urandom(path.stat().st_size))
            os.fsync(stream.fileno())
        path.unlink(missing_ok=True)
        if path.parent.is_dir():
            sync_folder(path.parent)
    except OSError as error:
        raise InvalidInput(f"{path} cannot be erased: {error.strerror}", "is it another user's? then try again") from None


def sync_folder(path: Path) -> None:
    """Make the names in a folder survive a cut of power: a file's own fsync does not cover them."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_private(path: Path, document: dict[str, Any], replace: bool = False) -> None:
    """Write JSON so that it is whole or absent, mode 0600, and durable when this returns.

    Raises:
        InvalidInput: if the file is there and `replace` is not set, or if it cannot be written.
    """
    write_private_bytes(path, json.dumps(document, indent=1, sort_keys=True).encode(), replace)


def write_private_bytes(path: Path, raw: bytes, replace: bool = False) -> None:
    """The same of any bytes. Of two that write beside each other without `replace` one is refused."""
    there = InvalidInput(f"{path} exists already", "move it away first if you mean to replace it")
    if path.exists() and not replace:
        raise there
    try:
        handle, temporary = tempfile.mkstemp(dir=private_folder(path.parent), prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "wb") as stream:
                stream.write(raw)
                stream.flush()
                os.fsync(stream.fileno())
            if replace:
                os.replace(temporary, path)
            else:
                os.link(temporary, path)
        finally:
            Path(temporary).unlink(missing_ok=True)
        sync_folder(path.parent)
    except FileExistsError:
        raise there from None
    except OSError as error:
        raise InvalidInput(f"{path} cannot be written: {error.strerror}", "is the disk full, or the folder another user's?") from error


def read_json(path: Path, what: str, hint: str, fields: Mapping[str, type] = NO_FIELDS) -> dict[str, Any]:
    """Read a JSON object of at most `MAX_DOCUMENT_BYTES`, which has at least these `fields`, each of its type.

    Raises:
        NotFound: if the file is absent, with `hint`.
        InvalidInput: if it is not such a JSON object.
    """
    try:
        document = foreign_json.read_file(path, f"{what} at {path}", MAX_DOCUMENT_BYTES)
    except FileNotFoundError:
        raise NotFound(f"no {what} at {path}", hint) from None
    except OSError as error:
        raise InvalidInput(f"{what} at {path} cannot be read: {type(error).__name__}") from None
    if any(type(document.get(name)) is not kind for name, kind in fields.items()):
        raise InvalidInput(f"{what} at {path} has missing or ill-typed fields", "restore the file from a backup")
    return document
