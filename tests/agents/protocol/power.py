"""What a cut of power leaves of the files that this process writes: SQLite's file system and `os.fsync`, made to tell what is durable.

Of a file, the bytes at its last sync are safe; of a folder, the names at its last. What was written since may be on the disk or may not.
"""

from __future__ import annotations

import _sqlite3
import ctypes
import itertools
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Image = dict[str, bytes | None]  # by path below the root; None is a folder

POINTER = ctypes.c_void_p
OPEN = ctypes.CFUNCTYPE(ctypes.c_int, POINTER, POINTER, POINTER, ctypes.c_int, POINTER)
DELETE = ctypes.CFUNCTYPE(ctypes.c_int, POINTER, ctypes.c_char_p, ctypes.c_int)
SYNC = ctypes.CFUNCTYPE(ctypes.c_int, POINTER, ctypes.c_int)
X_SYNC, CALLS = 4, 18  # where xSync is in sqlite3_io_methods, and how many calls its third version has
# A journal that it creates is synced together with its name.
SQLITE_OPEN_CREATE, JOURNALS = 0x4, 0x800 | 0x80000
# What SQLite points to must outlive every file, and a failed test's are closed when nobody knows.
KEPT: list[Any] = []


class _Vfs(ctypes.Structure):
    """The beginning of sqlite3_vfs."""

    _fields_ = [
        *((name, ctypes.c_int) for name in ("version", "file_size", "longest_name")),
        *((name, POINTER) for name in ("next", "name", "data", "open", "delete")),
    ]


class _Methods(ctypes.Structure):
    _fields_ = [("version", ctypes.c_int), ("calls", POINTER * CALLS)]


@dataclass
class Disk:
    """What is below `root`, durable and not. `cut` is called before everything that makes something durable."""

    root: Path
    cut: Callable[[], None] = lambda: None
    _contents: dict[int, bytes] = field(default_factory=dict)  # by inode: a name may move to another file
    _names: dict[Path, dict[str, int]] = field(default_factory=dict)

    def sync(self, path: Path) -> None:
        if not path.is_relative_to(self.root):
            return
        self.cut()
        if path.is_dir():
            self._names[path] = _entries(path)
        else:
            self._contents[path.stat().st_ino] = path.read_bytes()

    def images(self) -> Iterator[Image]:
        """Every mixture, whole files and all names at a time, of what is durable and what was written since."""
        now = {path.stat().st_ino: path.read_bytes() for path in self.root.rglob("*") if path.is_file()}
        changed = sorted(inode for inode in now if now[inode] != self._contents.get(inode, b""))
        for old in (frozenset(chosen) for n in range(len(changed) + 1) for chosen in itertools.combinations(changed, n)):
            contents = self._contents | {inode: raw for inode, raw in now.items() if inode not in old}
            for names in (self._names, None):
                yield dict(self._below(self.root, contents, names))

    def _below(
        self, folder: Path, contents: dict[int, bytes], names: dict[Path, dict[str, int]] | None
    ) -> Iterator[tuple[str, bytes | None]]:
        for name, inode in (_entries(folder) if names is None else names.get(folder, {})).items():
            path = folder / name
            if path.is_dir():
                yield str(path.relative_to(self.root)), None
                yield from self._below(path, contents, names)
            else:
                yield str(path.relative_to(self.root)), contents.get(inode, b"")


def _entries(folder: Path) -> dict[str, int]:
    return {entry.name: entry.inode() for entry in os.scandir(folder)}


def restore(image: Image, root: Path) -> Path:
    """Write an image below `root`, which is made."""
    root.mkdir()
    for name, raw in image.items():
        if raw is None:
            (root / name).mkdir(parents=True, exist_ok=True)
        else:
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_bytes(raw)
    return root


@contextmanager
def recorded(root: Path) -> Iterator[Disk]:
    """The disk below `root`, which is there and durable, while this process writes to it."""
    disk, fsync = Disk(root), os.fsync

    def told(descriptor: int) -> None:
        fsync(descriptor)
        disk.sync(Path(os.readlink(f"/proc/self/fd/{descriptor}")))

    os.fsync = told
    try:
        with _sqlite(disk):
            yield disk
    finally:
        os.fsync = fsync


@contextmanager
def _sqlite(disk: Disk) -> Iterator[None]:
    """SQLite's own file system with two of its calls wrapped, and the sync of every file that it opens."""
    library = ctypes.CDLL(_sqlite3.__file__)
    library.sqlite3_vfs_find.restype = ctypes.POINTER(_Vfs)
    vfs = library.sqlite3_vfs_find(None).contents
    true_open, true_delete = OPEN(vfs.open), DELETE(vfs.delete)

    def open_(self: int, name: int, file: int, flags: int, out: int) -> int:
        result = true_open(self, name, file, flags, out)
        pointer = POINTER.from_address(file)
        if result == 0 and name and pointer.value:
            methods = _Methods.from_buffer_copy(_Methods.from_address(pointer.value))
            path, true_sync = Path(os.fsdecode(ctypes.string_at(name))), SYNC(methods.calls[X_SYNC])
            names_too = [bool(flags & SQLITE_OPEN_CREATE and flags & JOURNALS)]

            def sync(file: int, how: int) -> int:
                result = true_sync(file, how)
                disk.sync(path)
                if names_too.pop() if names_too else False:
                    disk.sync(path.parent)
                return result

            call = SYNC(sync)
            methods.calls[X_SYNC] = ctypes.cast(call, POINTER)
            KEPT.extend((methods, call))
            pointer.value = ctypes.addressof(methods)
        return result

    def delete(self: int, name: bytes, sync: int) -> int:
        result = true_delete(self, name, sync)
        if sync:
            disk.sync(Path(os.fsdecode(name)).parent)
        return result

    before = vfs.open, vfs.delete
    wrapped = OPEN(open_), DELETE(delete)
    vfs.open, vfs.delete = (ctypes.cast(call, POINTER) for call in wrapped)
    try:
        yield
    finally:
        vfs.open, vfs.delete = before
