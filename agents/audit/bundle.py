"""A bundle's files: which names there may be, the manifest that fixes every byte of them, and reading a folder or a zip without trust.

`manifest.json` is canonical JSON; the bundle's id is its SHA-256. No name outside `NAME` is ever opened, links are refused, nothing is
unpacked, and every read is capped.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Protocol

from defedbio import foreign_json
from defedbio.errors import BadEvidence, InvalidInput, NotFound
from defedbio.text import printable

FORMAT = "defedbio-audit/1"
MANIFEST = "manifest.json"
NETWORK, STATE = "chain/network.json", "chain/state.json"
HTML, PDF, CONTROLS, CRATE = "report.html", "report.pdf", "controls.json", "ro-crate-metadata.json"
NAME = re.compile(
    r"manifest\.json|chain/(network|state|blocks/(0|[1-9][0-9]{0,18}))\.json|blobs/b[a-z2-7]{58}|"
    r"report\.(html|pdf)|controls\.json|ro-crate-metadata\.json"
)
MAX_FILES = 1 << 20
MAX_BLOCK_BYTES = 1 << 25
MAX_JSON_BYTES = 1 << 28
_CHUNK = 1 << 20
_UNIX = 3
_EPOCH = (1980, 1, 1, 0, 0, 0)


class Files(Protocol):
    """The files of a bundle, by their names in it."""

    def sizes(self) -> Mapping[str, int]:
        """Bytes of every file."""
        ...

    def open(self, name: str) -> IO[bytes]: ...


@dataclass(frozen=True)
class Manifest:
    """What a bundle says it is. `updates`: whether the encrypted updates are in it; `missing`: CIDs that could not be had when it was made;
    `rendering`: which renderer wrote the report; `files`: name -> (SHA-256, bytes)."""

    study: int
    chain_id: int
    anchor: int
    updates: bool
    missing: tuple[str, ...]
    rendering: str
    files: Mapping[str, tuple[str, int]] = field(repr=False)

    def to_bytes(self) -> bytes:
        files = {name: {"bytes": size, "sha256": digest} for name, (digest, size) in self.files.items()}
        document = {
            **{"format": FORMAT, "study": self.study, "chain_id": self.chain_id, "anchor": self.anchor, "updates": self.updates},
            **{"missing": sorted(self.missing), "rendering": self.rendering, "files": files},
        }
        return canonical(document)

    @classmethod
    def from_bytes(cls, raw: bytes) -> Manifest:
        """Raises InvalidInput unless `raw` is the canonical form of a manifest."""
        document = parse(raw, MANIFEST)
        if document.get("format") != FORMAT:
            raise InvalidInput(f"the bundle's format is not {FORMAT!r}", "another version of this software may read it")
        try:
            files = {str(name): (str(entry["sha256"]), whole(entry["bytes"])) for name, entry in document["files"].items()}
            numbers = (whole(document["study"]), whole(document["chain_id"]), whole(document["anchor"]))
            missing = tuple(map(str, document["missing"]))
            manifest = cls(*numbers, bool(document["updates"]), missing, str(document["rendering"]), files)
        except (KeyError, TypeError, ValueError, AttributeError):
            raise InvalidInput("the manifest has missing or wrong fields") from None
        if manifest.to_bytes() != raw:
            raise InvalidInput("the manifest is not in its canonical form: it was changed after it was made")
        return manifest


def canonical(document: Any) -> bytes:
    """The one JSON encoding of a document."""
    return (json.dumps(document, indent=1, sort_keys=True, ensure_ascii=False) + "\n").encode()


def parse(raw: bytes, what: str) -> dict[str, Any]:
    """A JSON object. Raises InvalidInput otherwise."""
    return foreign_json.read_object(raw, what, MAX_JSON_BYTES)


def whole(value: Any) -> int:
    """A number of a JSON document that counts something. Raises ValueError unless it is an integer of at most 64 bits."""
    if type(value) is not int or not 0 <= value < 1 << 64:
        raise ValueError("not a number of 64 bits")
    return value


def bundle_id(manifest: bytes) -> str:
    """The SHA-256 by which a bundle is known, as hexadecimal."""
    return hashlib.sha256(manifest).hexdigest()


def read(files: Files, name: str, most: int) -> bytes:
    """A file's bytes.

    Raises:
        NotFound: if the bundle has no such file. BadEvidence: if it is longer than `most` bytes or cannot be read.
    """
    size = files.sizes().get(name)
    if size is None:
        raise NotFound(f"the bundle has no {name}")
    if size > most:
        raise BadEvidence(f"{name} is longer than the {most} bytes that it may have")
    return b"".join(_chunks(files, name))


def digests(files: Files) -> Iterator[tuple[str, tuple[str, int]]]:
    """Name, SHA-256 and size of every file but the manifest, in order of name. Raises BadEvidence for one that cannot be read."""
    for name in sorted(files.sizes().keys() - {MANIFEST}):
        digest, size = hashlib.sha256(), 0
        for chunk in _chunks(files, name):
            size += len(chunk)
            digest.update(chunk)
        yield name, (digest.hexdigest(), size)


def _chunks(files: Files, name: str) -> Iterator[bytes]:
    left = files.sizes()[name]
    try:
        with files.open(name) as stream:
            while chunk := stream.read(_CHUNK):
                left -= len(chunk)
                if left < 0:
                    raise BadEvidence(f"{name} is longer than it says")
                yield chunk
    except (OSError, EOFError, zipfile.BadZipFile, NotImplementedError):
        raise BadEvidence(f"{name} cannot be read: it is not the file that was put in") from None


class Folder:
    """A bundle as a folder."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._sizes: dict[str, int] = {}
        for folder, folders, names in os.walk(root):
            for name in (*folders, *names):
                path = Path(folder) / name
                mode, shown = path.lstat(), path.relative_to(root).as_posix()
                if stat.S_ISDIR(mode.st_mode):
                    continue
                if not stat.S_ISREG(mode.st_mode):
                    raise BadEvidence(f"{printable(shown)} is no regular file: a bundle holds no links or devices")
                _admit(shown, self._sizes, mode.st_size)

    def sizes(self) -> Mapping[str, int]:
        return self._sizes

    def open(self, name: str) -> IO[bytes]:
        return os.fdopen(os.open(self._root / name, os.O_RDONLY | os.O_NOFOLLOW), "rb")


class Zip:
    """A bundle as a zip file; read where it is, never unpacked."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive
        self._sizes: dict[str, int] = {}
        for entry in archive.infolist():
            if stat.S_IFMT(entry.external_attr >> 16) not in (0, stat.S_IFREG) or entry.is_dir():
                raise BadEvidence(f"{printable(entry.filename)} is no regular file: a bundle holds no links or folders")
            if entry.compress_type != zipfile.ZIP_STORED or entry.flag_bits & 1 or entry.file_size != entry.compress_size:
                raise InvalidInput(
                    f"{printable(entry.filename)} is compressed or encrypted in the zip file, which this software never does",
                    "unpack it with the tool that packed it and check the folder",
                )
            _admit(entry.filename, self._sizes, entry.file_size)

    def sizes(self) -> Mapping[str, int]:
        return self._sizes

    def open(self, name: str) -> IO[bytes]:
        return self._archive.open(name)


@contextmanager
def open_bundle(path: Path) -> Iterator[Files]:
    """The files of a bundle in a folder or a zip file.

    Raises:
        InvalidInput: if it is neither. BadEvidence: if it holds what no bundle holds.
    """
    nothing = NotFound(f"{path} is not a bundle: it has no {MANIFEST}")
    if path.is_dir():
        if not (path / MANIFEST).exists():
            raise nothing
        yield Folder(path)
        return
    try:
        archive = zipfile.ZipFile(path)
    except FileNotFoundError:
        raise NotFound(f"there is no bundle at {path}") from None
    except (OSError, zipfile.BadZipFile, EOFError, NotImplementedError, ValueError) as error:
        raise InvalidInput(f"{path} is not a bundle: {type(error).__name__}", "a bundle is a folder or a zip file") from None
    with archive:
        if MANIFEST not in archive.namelist():
            raise nothing
        yield Zip(archive)


def pack(files: Files, target: IO[bytes]) -> None:
    """Write files as a zip, stored in order of name and without times: the same files give the same bytes."""
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(files.sizes()):
            entry = zipfile.ZipInfo(name, _EPOCH)
            entry.create_system, entry.external_attr, entry.file_size = _UNIX, (stat.S_IFREG | 0o644) << 16, files.sizes()[name]
            with archive.open(entry, "w") as sink:
                for chunk in _chunks(files, name):
                    sink.write(chunk)


def is_packed_as(files: Files, path: Path) -> bool:
    """Whether a zip file is, to the byte, what `pack` makes of the files in it: its own structure can hide nothing."""
    with tempfile.TemporaryFile() as again, path.open("rb") as given:
        pack(files, again)
        again.seek(0)
        while True:
            ours, theirs = again.read(_CHUNK), given.read(_CHUNK)
            if ours != theirs:
                return False
            if not ours:
                return True


def _admit(name: str, sizes: dict[str, int], size: int) -> None:
    if not NAME.fullmatch(name):
        raise BadEvidence(f"{printable(name)[:200]} does not belong in a bundle")
    if name in sizes:
        raise BadEvidence(f"{name} is in the bundle twice")
    if len(sizes) >= MAX_FILES:
        raise BadEvidence(f"a bundle holds at most {MAX_FILES} files")
    sizes[name] = size
