"""A home in one sealed file, made while agents run (C7).

What is left out has its like elsewhere: IPFS blobs with the others that keep them (C5), logs nowhere else and nobody needs them to go on.
"""

from __future__ import annotations

import io
import json
import os
import re
import tarfile
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from defedbio import foreign_json
from defedbio.config import MAX_DOCUMENT_BYTES, Home, sync_folder
from defedbio.crypto.sealed_file import SealedWriter
from defedbio.errors import InvalidInput, InvalidKey, NotFound
from defedbio.protocol.journal import snapshot

FORMAT = "defedbio-backup/1"
MANIFEST = "backup.json"
JOURNALS = ("tx.sqlite", "studies/*/journal.sqlite")
DOCUMENTS = (
    "account.json",
    "transport*.json",
    "studies/*/accepted.json",
    "shares/*.json",
    "networks/*.json",
    "modules/*.json",
    "modules/*.py",
)
_KNOWN = re.compile(
    r"tx\.sqlite|studies/[0-9a-zA-Z-]+/(journal\.sqlite|accepted\.json)|account\.json|transport(\.next)?\.json"
    r"|(shares|networks)/[0-9a-zA-Z-]+\.json|modules/[0-9a-f]{64}\.(json|py)"
)


@dataclass(frozen=True)
class Made:
    """`made_at` in unix seconds; `files` are names below the home."""

    account: str
    made_at: int
    files: tuple[str, ...]


def back_up(home: Home, account: str, password: str, target: Path) -> Made:
    """Write everything of the home that cannot be had elsewhere into `target`, sealed under the password.

    Journals come first. What one of them tells of was in the files before, so no file is older than the journals. The file has mode 0600,
    is whole or not there, and durable when this returns.

    Raises:
        InvalidInput: if the file is there, cannot be written, or the home holds what `unpacked` does not take.
        NotFound: if its folder is not there.
    """
    if not target.parent.is_dir():
        raise NotFound(f"there is no folder {target.parent}", "make it first")
    there = InvalidInput(f"{target} exists already", "a backup replaces nothing: name another file")
    if target.exists():
        raise there
    made_at, files = int(time.time()), []
    handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with os.fdopen(handle, "wb") as stream:
            sealed = SealedWriter(stream, password, FORMAT, os.urandom)
            with tarfile.open(fileobj=sealed, mode="w|", format=tarfile.PAX_FORMAT) as archive:  # type: ignore[call-overload]
                _add(archive, MANIFEST, json.dumps({"format": FORMAT, "account": account, "made_at": made_at}).encode())
                for name, path in _files(home):
                    _add(archive, name, snapshot(path) if path.suffix == ".sqlite" else path.read_bytes())
                    files.append(name)
            sealed.close()
            stream.flush()
            os.fsync(stream.fileno())
        os.link(temporary, target)
        sync_folder(target.parent)
    except FileExistsError:
        raise there from None
    except OSError as error:
        raise InvalidInput(f"{target} cannot be written: {error.strerror}", "is the disk full, or the folder another user's?") from error
    finally:
        Path(temporary).unlink(missing_ok=True)
    return Made(account, made_at, tuple(files))


def unpacked(source: Any, folder: Path) -> Made:
    """Write the files of an opened backup into an empty folder, each durable.

    Raises:
        InvalidKey: if it was changed or is not whole, or holds what this version does not know.
    """
    files: list[str] = []
    manifest: dict[str, Any] | None = None
    try:
        with tarfile.open(fileobj=source, mode="r|") as archive:
            for member in archive:
                raw = _content(archive, member)
                if manifest is None:
                    manifest = _manifest(member.name, raw)
                elif _KNOWN.fullmatch(member.name) is None or member.name in files:
                    raise InvalidKey(f"the backup holds {member.name!r}, which this version does not know")
                else:
                    _write(folder / member.name, raw)
                    files.append(member.name)
    except tarfile.TarError:
        raise InvalidKey("the backup holds no archive") from None
    source.finish()
    if manifest is None:
        raise InvalidKey("the backup is empty")
    return Made(str(manifest["account"]), int(manifest["made_at"]), tuple(files))


def _files(home: Home) -> Iterator[tuple[str, Path]]:
    for pattern in (*JOURNALS, *DOCUMENTS):
        for path in sorted(home.root.glob(pattern)):
            name = path.relative_to(home.root).as_posix()
            if _KNOWN.fullmatch(name) is None or not path.is_file():
                raise InvalidInput(f"{path} is no file of this software's, so that no backup would be restored", "move it elsewhere")
            yield name, path


def _add(archive: tarfile.TarFile, name: str, raw: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(raw)
    archive.addfile(entry, io.BytesIO(raw))


def _content(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    stream = archive.extractfile(member) if member.isreg() else None
    if stream is None:
        raise InvalidKey(f"the backup holds {member.name!r}, which is no file")
    return stream.read()


def _manifest(name: str, raw: bytes) -> dict[str, Any]:
    document = foreign_json.read_object(raw, "the backup's first entry", MAX_DOCUMENT_BYTES, InvalidKey)
    fields = {"format": str, "account": str, "made_at": int}
    if name != MANIFEST or any(type(document.get(field)) is not kind for field, kind in fields.items()) or document["format"] != FORMAT:
        raise InvalidKey("the backup has a format that this version does not read")
    return document


def _write(path: Path, raw: bytes) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as stream:
        stream.write(raw)
        stream.flush()
        os.fsync(stream.fileno())
    sync_folder(path.parent)
