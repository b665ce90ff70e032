"""Evidence of a study: make a bundle, and check one with no network."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from defedbio.audit.against import Against
from defedbio.audit.check import BundleCheck
from defedbio.audit.make import Made, make_bundle
from defedbio.audit.verdict import NotPossible, OwnWord, Verdict, verdict_of
from defedbio.chain.network import Network
from defedbio.client.session import Session
from defedbio.client.values import hex_of
from defedbio.protocol.verify import Check

__all__ = ["Audit", "Bundle", "Examined", "NotPossible", "OwnWord"]

StrPath = str | os.PathLike[str]


@dataclass(frozen=True)
class Bundle:
    """A bundle as it was made. Keep `made.id` apart from it: with the id, a replaced bundle is known."""

    made: Made

    def as_dict(self) -> dict[str, Any]:
        made = self.made
        return {
            "bundle": str(made.path),
            "id": made.id,
            "verdict": made.verdict,
            "anchor": {"block": made.anchor, "hash": hex_of(made.anchor_hash)},
            "files": made.files,
            "bytes": made.bytes,
            "missing": list(made.missing),
            "complete": list(made.complete),
            "incomplete": list(made.incomplete),
            "checks": [asdict(check) for check in made.checks],
        }


@dataclass(frozen=True)
class Examined:
    """A checked bundle. `verdict` is "verified", "partly verified" (as far as the bundle goes), "consistent in itself" (nothing fails, but
    the network or the chain that it is of is the bundle's own word: `own_word` names which) or "NOT verified". `anchor` are number and hash
    of the block as of which it speaks, None if the check did not come so far; `against` says what it was checked against."""

    bundle: str
    id: str
    study: int | None
    verdict: Verdict
    anchor: tuple[int, str] | None
    against: Against
    checks: tuple[Check, ...]

    @property
    def own_word(self) -> tuple[str, ...]:
        return tuple(check.name for check in self.checks if isinstance(check, OwnWord))

    def as_dict(self) -> dict[str, Any]:
        return {
            "bundle": self.bundle,
            "id": self.id,
            "study": self.study,
            "verdict": self.verdict,
            "against": self.against.words(),
            "anchor": {"block": self.anchor[0], "hash": self.anchor[1]} if self.anchor is not None else None,
            "compared_with_network": self.against.network is not None,
            "compared_with_node": bool(self.against.rpc),
            "compared_with_block": bool(self.against.block),
            "compared_with_id": bool(self.against.id),
            "own_word": list(self.own_word),
            "not_possible": [check.name for check in self.checks if isinstance(check, NotPossible)],
            "checks": [asdict(check) for check in self.checks],
        }


class Audit:
    def __init__(self, session: Session) -> None:
        self._session = session

    def make(
        self,
        study: int,
        out: StrPath,
        *,
        without_updates: bool = False,
        zip: bool = False,
        confirmations: int = 0,
        progress: Callable[[str, int, int], None] = lambda what, done, total: None,
    ) -> Bundle:
        """Collect proofs, blobs and a report of a study into a folder, or a zip file if asked or if the name ends in .zip.

        Args:
            without_updates: leave the encrypted updates out: smaller, and only partly verifiable.
            confirmations: leave out this many of the newest blocks.
            progress: gets what is being done, how much of it is, and how much there is (0: unknown).

        Raises:
            InvalidInput: if `out` is there. NotFound: for an unknown study. Unreachable, PeerFault: if chain or IPFS does not give what is
                needed.

        Example:
            bundle = client.audit.make(1, "evidence.zip")
            bundle.made.id  # keep it apart from the bundle
        """
        # A connection of its own: the confirmations are this bundle's.
        with closing(replace(self._session)) as own:
            connection = own.reader()
            connection.client.confirmations = confirmations
            return Bundle(make_bundle(connection, study, Path(out), updates=not without_updates, zipped=zip, progress=progress))

    def check(
        self,
        bundle: StrPath,
        *,
        network: StrPath = "",
        rpc: str = "",
        block: str = "",
        id: str = "",
        on_start: Callable[[str], None] = lambda words: None,
        on_check: Callable[[Check], None] = lambda check: None,
    ) -> Examined:
        """Check a bundle; needs no account, chain or IPFS. Without `network`, and `rpc` or `block`, it is consistent in itself at best.

        Args:
            network: the network file that you trust: chain and contracts must be those, and not the ones that the bundle names.
            rpc: also compare every header with this Ethereum node. Nothing else uses the network.
            block: the hash of the block as of which the bundle speaks, from an explorer or node that you trust.
            id: the bundle's id as its maker told it; finds a replaced bundle.
            on_start: gets a line that says what the bundle is checked against, before anything is checked.
            on_check: gets each check as soon as it is made.

        Raises:
            InvalidInput: if there is no bundle, or for what is no network file, hash or id.

        Example:
            client.audit.check("evidence.zip", network="network.json", rpc="http://localhost:8545").verdict
        """
        against = Against(Network.load(network) if network else None, rpc, block, id)
        on_start(against.words())
        audit = BundleCheck(Path(bundle), against)
        checks = []
        for made in audit.run():
            checks.append(made)
            on_check(made)
        return Examined(
            bundle=os.fspath(bundle),
            id=audit.id,
            study=audit.manifest.study if audit.manifest is not None else None,
            verdict=verdict_of(checks),
            anchor=(audit.anchor.number, hex_of(audit.anchor.hash)) if audit.anchor is not None else None,
            against=against,
            checks=tuple(checks),
        )
