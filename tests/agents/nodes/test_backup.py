"""C7: a home in one sealed file while agents run, and back: all of it or nothing, without what the chain says is over."""

from __future__ import annotations

import io
import json
import os
import shutil
import tarfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from defedbio.chain.accounts import create_keystore, keystore_address
from defedbio.chain.values import KeyEpoch, Profile
from defedbio.config import Home, write_private
from defedbio.crypto import sealed_file, vault
from defedbio.crypto.sealed_file import SealedReader, SealedWriter
from defedbio.domain import BitSet, CeremonyKind, KeyEpochStatus
from defedbio.errors import ChainUnreachable, InvalidInput, InvalidKey, NotFound, WrongPassword
from defedbio.network.transport import new_transport_key
from defedbio.nodes.backup import FORMAT, MANIFEST, back_up
from defedbio.nodes.participation import backup_time, keep_settled
from defedbio.nodes.restore import Restored, restore
from defedbio.protocol.journal import Journal
from defedbio.protocol.restored import restored

PASSWORD, CHAIN = "a long password", 31337
REGISTRY, MANAGER = "0x" + "4e" * 20, "0x" + "c0" * 20
CHEAP = 2


@pytest.fixture(autouse=True, scope="module")
def cheap_scrypt() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(vault.seal_with_password, "__defaults__", (CHEAP,))
        patch.setattr(sealed_file.SealedWriter.__init__, "__defaults__", (CHEAP,))
        yield


@dataclass
class Chain:
    """What restoring asks of the chain: which of `epochs` this account retired, and the transport key in its profile."""

    account: str
    retired: set[int] = field(default_factory=set)
    published: bytes = bytes(32)
    epochs: tuple[int, ...] = (1, 2)
    away: bool = False
    behind: bool = False

    @property
    def client(self) -> Any:
        if self.away:
            raise ChainUnreachable("the chain is away")
        return SimpleNamespace(
            syncing=lambda: self.behind,
            network=SimpleNamespace(chain_id=CHAIN, contracts={"KeyRegistry": REGISTRY, "RoundManager": MANAGER}),
        )

    @property
    def keys(self) -> Chain:
        return self

    @property
    def registry(self) -> Chain:
        return self

    def epoch_of(self, epoch: int) -> KeyEpoch:
        if epoch not in self.epochs:
            raise NotFound(f"there is no key epoch {epoch}")
        gone = BitSet.of(1) if epoch in self.retired else BitSet.of()
        holders = ("0x" + "11" * 20, self.account, "0x" + "22" * 20)
        return KeyEpoch(
            epoch, holders[0], 2, CeremonyKind.DEALER, KeyEpochStatus.ACTIVE, 2048, BitSet(7), gone, bytes(32), bytes(32), holders
        )

    def profile_of(self, account: str) -> Profile:
        if not any(self.published):
            raise NotFound("no profile")
        return Profile("name", "", self.published, "")


@dataclass
class World:
    home: Home
    chain: Chain
    folder: Path
    study: Path

    @property
    def file(self) -> Path:
        return self.folder / "home.backup"

    def back_up(self) -> None:
        back_up(self.home, self.chain.account, PASSWORD, self.file)

    def restore(self, to: str = "again", password: str = PASSWORD, replace: bool = False) -> Restored:
        return restore(Home(self.folder / to), self.file, password, lambda: self.chain, replace)  # type: ignore[arg-type,return-value]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Home:
    home = Home(tmp_path_factory.mktemp("made") / "home")
    create_keystore(home.account, PASSWORD, iterations=CHEAP)
    write_private(home.transport, new_transport_key(PASSWORD))
    for epoch in (1, 2):
        write_private(home.share(CHAIN, REGISTRY, epoch), {"epoch": epoch})
    study = home.study(CHAIN, MANAGER, 1)
    write_private(study / "accepted.json", {"study": 1})
    write_private(home.modules / f"{'ab' * 32}.json", {"name": "net"})
    for path in (study / "journal.sqlite", home.transactions):
        journal = Journal(path)
        journal.put("round/1/release", {"aggregate": "aa"})
        journal.close()
    (study / "agent.log").write_text("a log\n")
    (home.ipfs / "blocks").mkdir(parents=True)
    (home.ipfs / "blocks" / "blob").write_bytes(b"a blob")
    return home


@pytest.fixture
def world(made: Home, tmp_path: Path) -> World:
    home = Home(Path(shutil.copytree(made.root, tmp_path / "home")))
    public = json.loads(home.transport.read_text("utf-8"))["public"]
    return World(home, Chain(keystore_address(home.account), published=bytes.fromhex(public)), tmp_path, home.study(CHAIN, MANAGER, 1))


def contents(home: Path) -> dict[str, bytes]:
    """The documents of a home, but for what its restore adds."""
    documents = (p for p in home.rglob("*") if p.is_file() and p.suffix in (".json", ".py") and p.name != "restored.json")
    return {p.relative_to(home).as_posix(): p.read_bytes() for p in documents}


def value_of(path: Path, key: str) -> dict[str, Any] | None:
    journal = Journal(path)
    try:
        return journal.get(key)
    finally:
        journal.close()


def test_a_home_comes_back_with_its_journals_marked(world: World) -> None:
    world.back_up()
    done = world.restore()
    again = world.folder / "again"
    assert contents(again) == contents(world.home.root) and done.left_out == () and done.kept is None
    assert json.loads((again / "restored.json").read_bytes()) == {"made_at": done.backup.made_at}, "for studies joined after the backup"
    journal = again / world.study.relative_to(world.home.root) / "journal.sqlite"
    assert value_of(journal, "round/1/release") == {"aggregate": "aa"} == value_of(again / "tx.sqlite", "round/1/release")
    opened = Journal(journal)
    past = restored(opened)
    opened.close()
    assert past is not None and (past.made_at, past.through) == (done.backup.made_at, None), "the chain has not been asked"
    modes = {path.stat().st_mode & 0o777 for path in again.rglob("*") if path.is_file()} | {again.stat().st_mode & 0o777}
    assert modes == {0o600, 0o700} and world.file.stat().st_mode & 0o777 == 0o600
    assert not any(name in str(path) for path in again.rglob("*") for name in ("ipfs", "agent.log"))
    raw = world.file.read_bytes()
    assert not any(secret in raw for secret in (b"aggregate", b"accepted", bytes(world.chain.account, "ascii")))


def test_a_backup_is_of_one_moment_while_an_agent_writes(world: World) -> None:
    """What an agent wrote as one step is in the backup whole or not at all, and the agent only waits."""
    journal, stop, written = Journal(world.study / "journal.sqlite"), threading.Event(), threading.Event()

    def write() -> None:
        count = 0
        while not stop.wait(0.002):
            count += 1
            journal.put("first", {"count": count, "long": "x" * 5_000})
            journal.put("second", {"count": count})
            written.set()

    agent = threading.Thread(target=write)
    agent.start()
    try:
        assert written.wait(10)
        with pytest.raises(InvalidInput, match="in use"):
            Journal(world.study / "journal.sqlite")
        world.back_up()
    finally:
        stop.set()
        agent.join()
        journal.close()
    world.restore()
    copy = world.folder / "again" / world.study.relative_to(world.home.root) / "journal.sqlite"
    first, second = value_of(copy, "first"), value_of(copy, "second")
    assert first is not None and second is not None and first["count"] - second["count"] in (0, 1)


def test_a_backup_replaces_nothing_and_leaves_nothing_half_made(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.file.write_bytes(b"somebody's")
    with pytest.raises(InvalidInput, match="exists already"):
        world.back_up()
    assert world.file.read_bytes() == b"somebody's"
    world.file.unlink()
    monkeypatch.setattr(SealedWriter, "close", lambda self: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(InvalidInput, match="No space left"):
        world.back_up()
    assert [path.name for path in world.folder.iterdir()] == ["home"]
    with pytest.raises(NotFound, match="no folder"):
        back_up(world.home, world.chain.account, PASSWORD, world.folder / "nowhere" / "file")


def test_c7_a_share_that_was_retired_since_does_not_come_back(world: World) -> None:
    world.back_up()
    world.chain.retired = {1}
    done = world.restore()
    shares = {path.name for path in (world.folder / "again" / "shares").iterdir()}
    assert shares == {f"{CHAIN}-{REGISTRY}-2.json"} and done.left_out == ("the share of key epoch 1: this organisation retired it",)


def test_c7_nor_does_a_transport_key_that_was_replaced_since(world: World) -> None:
    world.back_up()
    world.chain.published = b"\x05" * 32
    done = world.restore()
    old, new = (json.loads((root / "transport.json").read_text()) for root in (world.home.root, world.folder / "again"))
    assert old["public"] != new["public"] and old["box"] != new["box"] and "defedbio register" in done.left_out[0]


@pytest.mark.parametrize("published", ["transport.json", "transport.next.json", ""])
def test_c7_of_a_backup_amid_the_change_of_the_transport_key_the_published_one_comes_back(world: World, published: str) -> None:
    write_private(world.home.next_transport, new_transport_key(PASSWORD))
    world.back_up()
    keys = {path.name: json.loads(path.read_bytes())["public"] for path in (world.home.transport, world.home.next_transport)}
    world.chain.published = bytes.fromhex(keys[published]) if published else b"\x05" * 32
    done = world.restore()
    again = Home(world.folder / "again")
    public = json.loads(again.transport.read_bytes())["public"]
    assert sorted(again.root.glob("transport*")) == [again.transport]
    assert public == keys[published] if published else public not in keys.values()
    assert bool(done.left_out) == (published == "")


def test_a_share_of_another_network_or_of_an_unknown_epoch_is_restored(world: World) -> None:
    other = world.home.share(1, REGISTRY, 1)
    write_private(other, {"epoch": 1})
    world.back_up()
    world.chain.epochs, world.chain.published = (), bytes(32)
    done = world.restore()
    assert len(list((world.folder / "again" / "shares").iterdir())) == 3
    assert [other.name in left for left in done.left_out] == [True]


def test_nothing_is_restored_while_the_chain_cannot_be_asked(world: World) -> None:
    world.back_up()
    world.chain.away = True
    with pytest.raises(ChainUnreachable):
        world.restore()
    world.chain.away, world.chain.behind = False, True
    with pytest.raises(ChainUnreachable, match="still syncing"):
        world.restore()
    assert sorted(path.name for path in world.folder.iterdir()) == ["home", "home.backup"]


def test_a_home_is_never_overwritten_and_replaced_only_while_no_agent_works_in_it(world: World) -> None:
    world.back_up()
    before = contents(world.home.root)
    with pytest.raises(InvalidInput, match="pass --replace"):
        world.restore("home")
    agent = Journal(world.study / "journal.sqlite")
    with pytest.raises(InvalidInput, match="in use"):
        world.restore("home", replace=True)
    agent.put("round/2/release", {"aggregate": "bb"})
    agent.close()
    assert contents(world.home.root) == before
    done = world.restore("home", replace=True)
    kept = world.folder / "home.before-restore"
    assert done.kept == kept and value_of(kept / world.study.relative_to(world.home.root) / "journal.sqlite", "round/2/release")
    assert value_of(world.study / "journal.sqlite", "round/2/release") is None
    assert (world.home.ipfs / "blocks" / "blob").read_bytes() == b"a blob", "blobs are not in the backup, and stay with the home"
    with pytest.raises(InvalidInput, match="an earlier restore"):
        world.restore("home", replace=True)


@pytest.mark.parametrize("at", range(1, 5))
def test_killed_while_it_restores_there_is_the_old_home_or_the_new_one(world: World, at: int, monkeypatch: pytest.MonkeyPatch) -> None:
    world.back_up()
    calls = 0
    before = contents(world.home.root)

    def killed(name: str) -> Callable[..., Any]:
        original = getattr(os, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls == at:
                raise KeyboardInterrupt
            return original(*args, **kwargs)

        return call

    monkeypatch.setattr(os, "rename", killed("rename"))
    if at <= 3:
        with pytest.raises(KeyboardInterrupt):
            world.restore("home", replace=True)
        monkeypatch.undo()
        if world.home.account.exists():
            assert contents(world.home.root) == before
        else:
            assert contents(world.folder / "home.before-restore") == before
            world.restore("home")
            assert contents(world.home.root) == before and (world.home.ipfs / "blocks" / "blob").exists()
    else:
        world.restore("home", replace=True)
        assert calls == 3


def test_a_wrong_password_or_a_changed_backup_makes_no_home(world: World) -> None:
    world.back_up()
    with pytest.raises(WrongPassword):
        world.restore(password="another password")
    whole = world.file.read_bytes()
    for raw in (whole[:-1], whole[: len(whole) // 2], whole[:-40] + bytes([whole[-40] ^ 1]) + whole[-39:], whole + b"x", b"{}\n", b""):
        world.file.write_bytes(raw)
        with pytest.raises(InvalidKey):
            world.restore()
    world.file.unlink()
    with pytest.raises(NotFound, match="no backup"):
        world.restore()
    assert sorted(path.name for path in world.folder.iterdir()) == ["home"]


def sealed(world: World, *members: tuple[tarfile.TarInfo, bytes]) -> None:
    with world.file.open("wb") as stream:
        writer = SealedWriter(stream, PASSWORD, FORMAT, os.urandom, CHEAP)
        with tarfile.open(fileobj=writer, mode="w|") as archive:  # type: ignore[call-overload]
            for entry, raw in members:
                entry.size = len(raw)
                archive.addfile(entry, io.BytesIO(raw))
        writer.close()


def entry(name: str, kind: bytes = tarfile.REGTYPE, to: str = "") -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.type, made.linkname = kind, to
    return made


@pytest.mark.parametrize(
    "member",
    [
        entry("../account.json"),
        entry("/etc/account.json"),
        entry("studies/../../account.json"),
        entry("studies/1-0xab-1/agent.json"),
        entry("shares/x/y.json"),
        entry("account.json\n"),
        entry("account.json", tarfile.SYMTYPE, "/etc/passwd"),
        entry("account.json", tarfile.LNKTYPE, "/etc/passwd"),
        entry("shares", tarfile.DIRTYPE),
        entry(MANIFEST),
    ],
    ids=lambda made: repr(made.name) + made.type.decode(),
)
def test_whoever_knows_the_password_cannot_have_other_files_written(world: World, member: tarfile.TarInfo) -> None:
    manifest = json.dumps({"format": FORMAT, "account": world.chain.account, "made_at": 1}).encode()
    sealed(world, (entry(MANIFEST), manifest), (member, b""))
    with pytest.raises(InvalidKey, match=r"which is no file|does not know"):
        world.restore()
    assert not (world.folder / "again").exists()


@pytest.mark.parametrize(
    "document",
    [{}, {"format": FORMAT}, {"format": "other", "account": "a", "made_at": 1}, {"format": FORMAT, "account": 1, "made_at": "a"}],
)
def test_a_manifest_that_is_none_is_refused(world: World, document: dict[str, Any]) -> None:
    sealed(world, (entry(MANIFEST), json.dumps(document).encode()))
    with pytest.raises(InvalidKey, match="a format that this version does not read"):
        world.restore()


def test_the_account_is_the_one_that_the_backup_names(world: World) -> None:
    world.chain = replace(world.chain, account="0x" + "99" * 20)
    world.back_up()
    with pytest.raises(InvalidKey, match="not the one that it names"):
        world.restore()


def test_a_sealed_reader_ends_where_the_file_does(world: World) -> None:
    world.back_up()
    with world.file.open("rb") as stream:
        reader = SealedReader(stream, PASSWORD, FORMAT)
        reader.finish()
        assert len(reader.read(1 << 30)) > 0 and reader.read(1) == b""


@pytest.mark.parametrize("name", ["shares/a copy of 1.json", "studies/1 (old)/accepted.json", "transport.old.json"])
def test_what_no_restore_would_take_is_told_when_the_backup_is_made(world: World, name: str) -> None:
    write_private(world.home.root / name, {})
    with pytest.raises(InvalidInput, match="no file of this software's"):
        world.back_up()
    assert [path.name for path in world.folder.iterdir()] == ["home"]


def test_c7_a_study_that_was_opened_after_the_restore_has_nothing_to_sit_out(tmp_path: Path) -> None:
    home, made_at, chain = Home(tmp_path), 1_700_000_000, 31337
    keep_settled(home, chain, 20)
    assert not home.restored.exists() and backup_time(home, chain, lambda: 21) is None, "it never was restored"
    write_private(home.restored, {"made_at": made_at})
    assert backup_time(home, chain, lambda: 21) == made_at, "no block is known yet that came after the restore"
    keep_settled(home, chain, 20)
    assert [backup_time(home, chain, lambda block=block: block) for block in (19, 20, 21)] == [made_at, made_at, None]


def test_c7_a_block_of_one_chain_says_nothing_of_studies_on_another(tmp_path: Path) -> None:
    home, made_at = Home(tmp_path), 1_700_000_000
    write_private(home.restored, {"made_at": made_at})
    keep_settled(home, 31337, 20)
    assert backup_time(home, 1, lambda: 20_000_000) == made_at, "it may have been taken part in before the restore"
    keep_settled(home, 1, 20_000_001)
    assert [backup_time(home, chain, lambda: 21) for chain in (31337, 1)] == [None, made_at]
    write_private(home.restored, {"made_at": made_at, "settled": 20}, replace=True)
    assert backup_time(home, 31337, lambda: 21) == made_at, "of a version that did not say of which chain"
