"""A home from a backup (C7): all of it or nothing, and only what the chain does not say is over."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

from defedbio.chain.accounts import keystore_address
from defedbio.config import Home, erase, private_folder, read_json, sync_folder, write_private
from defedbio.crypto.sealed_file import SealedReader
from defedbio.errors import ChainUnreachable, InvalidInput, InvalidKey, NotFound
from defedbio.network.connection import Connection
from defedbio.network.shares import retired
from defedbio.network.transport import new_transport_key, published_transport_key
from defedbio.nodes.backup import FORMAT, JOURNALS, Made, unpacked
from defedbio.protocol.journal import Journal, held
from defedbio.protocol.restored import mark


@dataclass(frozen=True)
class Restored:
    """`left_out` says in words what the backup holds and the home does not get; `kept` is where the home before it lies now, if any."""

    backup: Made
    left_out: tuple[str, ...]
    kept: Path | None


def restore(home: Home, source: Path, password: str, connect: Callable[[], Connection], replace: bool = False) -> Restored:
    """Make the home as the backup has it, marked as restored. A home that is there stays as it is until everything is checked; with
    `replace` it is then moved aside, and nothing of it is lost.

    Raises:
        InvalidInput: if there is a home and no `replace`, or an agent works in it. WrongPassword, InvalidKey: by the backup's fault.
        NotFound: if there is no backup. Unreachable: where the chain cannot be asked what is over.
    """
    root, staged, kept = home.root, _beside(home.root, "restoring"), _beside(home.root, "before-restore")
    there = root.exists() and any(root.iterdir())
    if there and not replace:
        raise InvalidInput(f"there is a home at {root} already", "restore into an empty one, or pass --replace to move it aside")
    if there and kept.exists():
        raise InvalidInput(f"there is something at {kept} already", "see what it is: an earlier restore moved a home there")
    with ExitStack() as stack:
        for journal in _journals(root):
            stack.enter_context(held(journal))
        try:
            shutil.rmtree(staged, ignore_errors=True)  # of a restore that was killed
            private_folder(staged)
            backup = _opened(source, password, staged)
            left_out = tuple(_settle(Home(staged), backup, password, connect()))
            for journal in _journals(staged):
                with closing(Journal(journal)) as opened:
                    opened.check()
                    if journal.parent != staged:
                        mark(opened, backup.made_at)
            # A study that was joined after the backup has no journal here to say so.
            write_private(Home(staged).restored, {"made_at": backup.made_at})
            if there:
                os.rename(root, kept)
            os.rename(staged, root)
            if (kept / "ipfs").is_dir():
                os.rename(kept / "ipfs", root / "ipfs")
            sync_folder(root.parent)
        except OSError as error:
            raise InvalidInput(f"{root} cannot be written: {error.strerror}", "is the disk full, or the folder another user's?") from error
        finally:
            shutil.rmtree(staged, ignore_errors=True)
    return Restored(backup, left_out, kept if there else None)


def _opened(source: Path, password: str, folder: Path) -> Made:
    try:
        with source.open("rb") as stream:
            return unpacked(SealedReader(stream, password, FORMAT), folder)
    except FileNotFoundError:
        raise NotFound(f"there is no backup at {source}") from None


def _settle(home: Home, backup: Made, password: str, connection: Connection) -> Iterator[str]:
    """Take out of the unpacked home what the chain says is over, telling it in words.

    A share that was retired since stays erased, and so does a transport key that was replaced: it opens every share that was sealed to it.
    """
    if connection.client.syncing():
        raise ChainUnreachable(
            "the Ethereum node is still syncing, and so cannot tell which shares and keys of the backup are over", "let it catch up first"
        )
    if not home.account.exists() or keystore_address(home.account) != backup.account:
        raise InvalidKey("the backup's account is not the one that it names")
    network = connection.client.network
    prefix = home.share(network.chain_id, network.contracts["KeyRegistry"], 0).stem.removesuffix("0")
    for path in sorted((home.root / "shares").glob("*.json")):
        number = path.stem.removeprefix(prefix)
        if not path.stem.startswith(prefix) or not number.isdecimal():
            yield f"{path.name} is of another network: whether it was retired, that network says when it is used"
        elif retired(connection, int(number), backup.account):
            erase(path)
            yield f"the share of key epoch {number}: this organisation retired it"
    yield from _settle_transport_key(home, published_transport_key(connection, backup.account), password)


def _settle_transport_key(home: Home, published: str, password: str) -> Iterator[str]:
    """Leave one transport key: the published one, if the backup holds it. That may be the next, of a backup that was made while
    `key destroy` replaced the one that is there."""
    following = home.next_transport
    if published in ("", _public(home.transport)):
        erase(following)
        return
    erase(home.transport)
    if following.exists() and _public(following) == published:
        os.rename(following, home.transport)
        sync_folder(home.root)
        return
    erase(following)
    write_private(home.transport, new_transport_key(password))
    yield (
        "the transport key: another was published since. A new one is made; publish it with `defedbio register`. A share that was sealed "
        "to one before, and is not in the backup, cannot be had again"
    )


def _public(path: Path) -> str:
    return str(read_json(path, "transport key", "", {"public": str, "box": dict})["public"])


def _journals(root: Path) -> list[Path]:
    return [path for pattern in JOURNALS for path in sorted(root.glob(pattern))]


def _beside(root: Path, what: str) -> Path:
    return root.with_name(f"{root.name}.{what}")
