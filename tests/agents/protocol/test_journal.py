"""The journal keeps what a kill must not lose."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from defedbio.config import write_private
from defedbio.errors import InvalidInput
from defedbio.protocol.journal import Journal
from tests.agents.protocol.power import Image, recorded, restore

WRITER = """
import sys
from pathlib import Path
from defedbio.protocol.journal import Journal
journal = Journal(Path(sys.argv[1]))
journal.put("round/1/release", {"aggregate": "aa"})
print("written", flush=True)
sys.stdin.read()
"""


def test_p5_release_survives_sigkill(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    writer = subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert writer.stdout is not None and writer.stdout.readline() == "written\n"
    os.kill(writer.pid, signal.SIGKILL)
    writer.wait()
    journal = Journal(path)
    assert journal.put_once("round/1/release", {"aggregate": "bb"}) == {"aggregate": "aa"}
    journal.close()


def test_two_agents_cannot_share_a_journal(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    first = Journal(path)
    with pytest.raises(InvalidInput, match="in use"):
        Journal(path)
    first.close()
    Journal(path).close()


def test_a_file_that_is_no_journal_is_refused_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    path.write_bytes(b"not a database, but something somebody wrote" * 50)
    before = path.read_bytes()
    with pytest.raises(InvalidInput, match="not a journal"):
        Journal(path)
    assert path.read_bytes() == before


def test_values_and_deletion(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j.sqlite")
    journal.put("a", {"x": 1})
    journal.put("a", {"x": 2})
    journal.put_bytes("round/1/blob", b"\x00\xff")
    assert journal.get("a") == {"x": 2} and journal.get_bytes("round/1/blob") == b"\x00\xff" and journal.get("b") is None
    journal.delete("round/1/blob")
    assert journal.get_bytes("round/1/blob") is None and journal.get("a") == {"x": 2}
    assert oct(os.stat(tmp_path / "j.sqlite").st_mode & 0o777) == "0o600"
    journal.close()


def values(folder: Path, keys: Sequence[str]) -> dict[str, Any]:
    """What a new process finds."""
    journal = Journal(folder / "home" / "studies" / "1" / "journal.sqlite")
    try:
        return {key: found for key in keys if (found := journal.get(key)) is not None}
    finally:
        journal.close()


def restored(images: Iterable[Image], folder: Path) -> Iterator[Path]:
    different = {repr(sorted(image.items())): image for image in images}
    for number, image in enumerate(different.values()):
        yield restore(image, folder / f"image {number}")


KEYS = ("round/1/release", "round/1/share", "round/1/commit/00", "round/1/share")
VALUES = [{"written": n, "long": "x" * 9_000 * n} for n in range(len(KEYS))]


def test_p5_a_cut_of_power_after_a_write_loses_nothing(tmp_path: Path) -> None:
    disk_folder = tmp_path / "disk"
    disk_folder.mkdir()
    with recorded(disk_folder) as disk:
        journal = Journal(disk_folder / "home" / "studies" / "1" / "journal.sqlite")
        written: dict[str, Any] = {}
        for number, (key, value) in enumerate(zip(KEYS, VALUES, strict=True)):
            journal.put(key, value)
            written[key] = value
            (tmp_path / str(number)).mkdir()
            for folder in restored(list(disk.images()), tmp_path / str(number)):
                assert values(folder, KEYS) == written
        journal.close()


def test_c4_a_cut_of_power_in_the_middle_of_a_write_leaves_the_old_or_the_new(tmp_path: Path) -> None:
    disk_folder, images = tmp_path / "disk", []
    disk_folder.mkdir()
    with recorded(disk_folder) as disk:
        journal = Journal(disk_folder / "home" / "studies" / "1" / "journal.sqlite")
        journal.put("round/1/share", VALUES[1])
        disk.cut = lambda: images.extend(disk.images())
        journal.put("round/1/share", VALUES[2])
        disk.cut = lambda: None
        journal.close()
    found = [values(folder, KEYS)["round/1/share"] for folder in restored(images, tmp_path)]
    assert VALUES[1] in found and VALUES[2] in found
    assert all(value in VALUES[1:3] for value in found)


def test_a_journal_that_does_not_sync_is_found_out(tmp_path: Path) -> None:
    """The two tests above see what a disk would lose."""
    disk_folder = tmp_path / "disk"
    disk_folder.mkdir()
    with recorded(disk_folder) as disk:
        journal = Journal(disk_folder / "home" / "studies" / "1" / "journal.sqlite")
        journal._db.execute("PRAGMA synchronous=OFF")
        journal.put("round/1/release", VALUES[0])
        found = [values(folder, KEYS) for folder in restored(list(disk.images()), tmp_path)]
        journal.close()
    assert {} in found


def test_a_private_file_survives_a_cut_of_power_with_its_folders(tmp_path: Path) -> None:
    """Keys and acceptances: whole or absent while they are written, there for good when that returned."""
    disk_folder, images = tmp_path / "disk", []
    disk_folder.mkdir()
    target = Path("home", "shares", "1.json")
    with recorded(disk_folder) as disk:
        disk.cut = lambda: images.extend(disk.images())
        write_private(disk_folder / target, {"box": "x" * 5_000})
        after = list(disk.images())
    whole = (disk_folder / target).read_bytes()
    assert after and all(image[str(target)] == whole for image in after)
    assert all(image.get(str(target), whole) == whole for image in images) and any(str(target) not in image for image in images)
