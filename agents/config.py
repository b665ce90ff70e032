"""Where an organisation keeps its files. Secrets are encrypted at rest and readable by their owner only."""

from __future__ import annotations

import json
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from defedbio.errors import InvalidInput, NotFound

DEFAULT_HOME = Path("~/.defedbio")
DEFAULT_NETWORK_FILE = Path("build/networks/development.json")
DEFAULT_IPFS_API = "/ip4/127.0.0.1/tcp/5001"


@dataclass(frozen=True)
class Home:
    """One organisation's folder.

    account.json                        Ethereum keystore v3
    transport.json                      X25519 key, to which key shares are sealed
    shares/CHAIN-REGISTRY-EPOCH.json    this holder's share of a threshold key
    studies/CHAIN-MANAGER-STUDY/        accepted.json (what the operator agreed to), journal.sqlite
    modules/SHA256.py                   torch modules that the operator allowed
    tx.sqlite                           transactions outside studies, so that none is sent twice
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
    def ipfs(self) -> Path:
        return self.root / "ipfs"

    @property
    def modules(self) -> Path:
        return self.root / "modules"

    @property
    def transactions(self) -> Path:
        return self.root / "tx.sqlite"

    def share(self, chain_id: int, registry: str, epoch: int) -> Path:
        return self.root / "shares" / f"{chain_id}-{registry.lower()}-{epoch}.json"

    def study(self, chain_id: int, manager: str, study: int) -> Path:
        return self.root / "studies" / f"{chain_id}-{manager.lower()}-{study}"


def write_private(path: Path, document: dict[str, Any], replace: bool = False) -> None:
    """Write JSON so that it is whole or absent, mode 0600.

    Raises:
        InvalidInput: if the file is there and `replace` is not set.
    """
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    if path.exists() and not replace:
        raise InvalidInput(f"{path} exists already", "move it away first if you mean to replace it")
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            json.dump(document, stream, indent=1, sort_keys=True)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, path)
    except OSError:
        Path(temporary).unlink(missing_ok=True)
        raise


def read_json(path: Path, what: str, hint: str) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        NotFound: if the file is absent, with `hint`.
        InvalidInput: if it is not a JSON object.
    """
    try:
        document = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise NotFound(f"no {what} at {path}", hint) from None
    except (OSError, ValueError) as error:
        raise InvalidInput(f"{what} at {path} cannot be read: {type(error).__name__}") from None
    if not isinstance(document, dict):
        raise InvalidInput(f"{what} at {path} is not a JSON object")
    return document
