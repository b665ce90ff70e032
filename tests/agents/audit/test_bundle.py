"""A bundle's container: one canonical form, and nothing in it that could harm who opens it."""

from __future__ import annotations

import hashlib
import io
import json
import stat
import warnings
import zipfile
from pathlib import Path

import pytest

from defedbio.audit.bundle import MANIFEST, Folder, Manifest, bundle_id, digests, is_packed_as, open_bundle, pack, read
from defedbio.audit.check import check_bundle
from defedbio.errors import BadEvidence, InvalidInput, NotFound

CID = "bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy"
FILES = {"controls.json": b"{}", f"blobs/{CID}": b"blob" * 100, "chain/blocks/7.json": b"{}"}
MANIFESTO = Manifest(1, 31337, 7, True, (), "r", {n: (hashlib.sha256(raw).hexdigest(), len(raw)) for n, raw in FILES.items()})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "bundle"
    for name, raw in (FILES | {MANIFEST: MANIFESTO.to_bytes()}).items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(raw)
    return root


def packed(folder: Path, name: str) -> Path:
    target = folder.parent / name
    with target.open("wb") as sink:
        pack(Folder(folder), sink)
    return target


def zipped(path: Path, **changes: object) -> Path:
    """A zip of a manifest and an entry with these fields of its header."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(MANIFEST, b"{}")
        entry = zipfile.ZipInfo(str(changes.pop("name", "report.html")))
        for field, value in changes.items():
            setattr(entry, field, value)
        archive.writestr(entry, b"{}" * 100)
    return path


def first_failure(path: Path) -> str:
    (failed,) = [check for check in check_bundle(path) if not check.ok]
    return failed.detail


def test_a_manifest_comes_back_and_has_one_encoding() -> None:
    raw = MANIFESTO.to_bytes()
    assert Manifest.from_bytes(raw) == MANIFESTO
    assert bundle_id(raw) == hashlib.sha256(raw).hexdigest()
    for other in (raw + b" ", raw.replace(b"\n ", b"\n  ", 1), raw.replace(b"true", b"1")):
        with pytest.raises(InvalidInput, match="canonical"):
            Manifest.from_bytes(other)
    for other, reason in ((b"[]", "JSON object"), (b"{", "not JSON"), (b"[" * 100_000, "nested too deeply"), (b"{}", "format")):
        with pytest.raises(InvalidInput, match=reason):
            Manifest.from_bytes(other)
    for wrong in (1.0, True, "1", -1, 1 << 64, None):
        with pytest.raises(InvalidInput, match="missing or wrong fields"):
            Manifest.from_bytes(json.dumps(json.loads(raw) | {"study": wrong}).encode())


def test_the_same_files_give_the_same_zip_and_the_zip_the_same_files(folder: Path) -> None:
    first, second = packed(folder, "a.zip"), packed(folder, "b.zip")
    assert first.read_bytes() == second.read_bytes()
    with open_bundle(first) as files:
        assert dict(digests(files)) == dict(MANIFESTO.files)
        assert read(files, MANIFEST, 10_000) == MANIFESTO.to_bytes()
        assert is_packed_as(files, first)


def test_a_zips_own_bytes_hide_nothing(folder: Path) -> None:
    path = packed(folder, "a.zip")
    raw = path.read_bytes()
    # the time of the first entry in its local header; nothing that unpacks the files would show it
    path.write_bytes(raw[:10] + bytes([raw[10] ^ 1]) + raw[11:])
    with open_bundle(path) as files:
        assert dict(digests(files)) == dict(MANIFESTO.files)
    assert "own structure" in first_failure(path)
    path.write_bytes(b"prefix" + raw)
    assert "own structure" in first_failure(path)


def test_a_byte_of_a_zipped_file_names_the_file(folder: Path) -> None:
    path = packed(folder, "a.zip")
    raw = bytearray(path.read_bytes())
    raw[raw.index(b"blobblob") + 50] ^= 1
    path.write_bytes(raw)
    assert f"blobs/{CID}" in first_failure(path)


@pytest.mark.parametrize(
    "name", ["../manifest.json", "/etc/passwd", "blobs/../manifest.json", "evil.txt", "blobs/x", "chain/blocks/007.json", "C:\\x"]
)
def test_names_outside_a_bundle_are_never_opened(tmp_path: Path, name: str) -> None:
    assert "does not belong in a bundle" in first_failure(zipped(tmp_path / "a.zip", name=name))


def test_links_are_refused(folder: Path, tmp_path: Path) -> None:
    link = zipped(tmp_path / "a.zip", external_attr=(stat.S_IFLNK | 0o777) << 16)
    assert "no regular file" in first_failure(link)
    (folder / "report.html").symlink_to("/etc/hostname")
    assert "report.html is no regular file" in first_failure(folder)
    (folder / "report.html").unlink()
    (folder / "more").symlink_to("/etc")
    assert "more is no regular file" in first_failure(folder)


def test_a_zip_bomb_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(MANIFEST, bytes(1 << 24))
    with pytest.raises(InvalidInput, match="compressed") as refusal:
        list(check_bundle(path))
    assert "unpack it" in refusal.value.hint


def test_a_name_twice_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for content in (b"1", b"2"):
            with warnings.catch_warnings(action="ignore"):
                archive.writestr(MANIFEST, content)
    assert "twice" in first_failure(path)


def test_a_file_longer_than_its_cap_is_refused(folder: Path) -> None:
    with pytest.raises(BadEvidence, match="longer than the 3 bytes"):
        read(Folder(folder), f"blobs/{CID}", 3)
    with pytest.raises(NotFound):
        read(Folder(folder), "report.pdf", 3)


def test_what_is_no_bundle(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="no bundle at"):
        list(check_bundle(tmp_path / "absent"))
    with pytest.raises(NotFound, match=r"no manifest\.json"):
        list(check_bundle(tmp_path))
    (tmp_path / "deeper" / "evidence").mkdir(parents=True)
    (tmp_path / "deeper" / "evidence" / MANIFEST).write_bytes(MANIFESTO.to_bytes())
    with pytest.raises(NotFound, match=r"no manifest\.json"):
        list(check_bundle(tmp_path / "deeper"))
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as archive:
        archive.writestr("word/document.xml", b"<xml/>")
    with pytest.raises(NotFound, match=r"no manifest\.json"):
        list(check_bundle(tmp_path / "other.zip"))
    (tmp_path / "text").write_text("not a zip")
    with pytest.raises(InvalidInput, match="not a bundle"):
        list(check_bundle(tmp_path / "text"))
    cut = io.BytesIO()
    with zipfile.ZipFile(cut, "w") as archive:
        archive.writestr(MANIFEST, b"{}")
    (tmp_path / "cut.zip").write_bytes(cut.getvalue()[:-10])
    with pytest.raises(InvalidInput, match="not a bundle"):
        list(check_bundle(tmp_path / "cut.zip"))
