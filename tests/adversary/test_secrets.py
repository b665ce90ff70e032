"""Whoever gets at what a node leaves behind: journals, blobs, records, dumps and files, after a crash at any moment too."""

from __future__ import annotations

import json
import os
import resource
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from defedbio.client.accounts import Accounts
from defedbio.client.password import Secret
from defedbio.client.session import Session
from defedbio.config import Home
from defedbio.crypto import wire
from defedbio.domain import Phase
from defedbio.ipfs.node import EmbeddedNode
from defedbio.network.acceptance import accept
from defedbio.network.modules import allow
from defedbio.network.shares import write_share
from defedbio.nodes.watching.logs import LogFile
from defedbio.nodes.watching.running import announced
from defedbio.protocol import catalogue as kinds
from defedbio.protocol.effects import updates
from defedbio.protocol.journal import Journal
from defedbio.protocol.memory import key_of
from defedbio.protocol.randomness import training_seed
from scripts.consortium import cli_command
from tests.adversary.arena import Arena, Member, reached
from tests.adversary.canaries import Canaries
from tests.adversary.frame import Attack
from tests.agents.protocol.in_process import primes

CORE_PATTERN = Path("/proc/sys/kernel/core_pattern")


def left_behind(arena: Arena) -> bytes:
    """What others can see of everyone, and what the nodes tell their operators: blobs, the chain's transactions, records."""
    newest = arena.members[0].client.head().number
    blocks = [arena.anvil.rpc("eth_getBlockByNumber", hex(number), True) for number in range(arena.network.deploy_block, newest + 1)]
    chain = b"".join(bytes.fromhex(tx["input"][2:]) for block in blocks for tx in block["transactions"])
    blobs = b"".join(raw for member in arena.members for raw in member.store.blobs.values())
    return chain + blobs + json.dumps([member.notes for member in arena.members]).encode()


def test_a_whole_round_is_searched_for_every_secret(attack: Attack, proven_arena: Arena, monkeypatch: pytest.MonkeyPatch) -> None:
    arena = proven_arena
    attack.by("whoever reads all logs, journals, blobs and transactions of a finished round")
    canaries, plain, drawn = Canaries(), Canaries(), []
    target = arena.members[1]
    salts: list[bytes] = []

    def rand(size: int) -> bytes:
        drawn.append(os.urandom(size))
        return drawn[-1]

    def contribute(*args: Any) -> Any:
        made = true_contribute(*args)
        for vector in made.vectors:
            plain.add("an update in the clear", vector.tobytes())
        return made

    def encrypt(key: Any, plaintexts: Any, pool: Any) -> Any:
        for number in plaintexts:
            plain.add("a plaintext", int(number))
        encrypted = true_encrypt(key, plaintexts, pool)
        for exponent in encrypted.exponents:
            plain.add("an obfuscator's exponent", int(exponent))
        return encrypted

    true_contribute, true_encrypt = updates.contribute, updates.encrypt_to_prove
    monkeypatch.setattr(updates, "contribute", contribute)
    monkeypatch.setattr(updates, "encrypt_to_prove", encrypt)
    with attack.sends("a search for every secret and data value in all forms, before the reveals and at the end"):
        target.tools.rand = rand
        arena.play(reached(1, Phase.COMMITTED))
        record = target.tools.memory.require(kinds.UPDATE, arena.round(1))
        salts.append(bytes.fromhex(record["salt"]))
        before_reveals = left_behind(arena)
        arena.play(lambda study: study.complete)
        for number, raw in enumerate(drawn):
            if raw not in salts and len(raw) >= 16:
                # The last of them: the first of a mask are those of the answer in a proof, which hides what is shorter.
                canaries.add(f"random bytes {number}", raw[-32:])
            if raw not in salts and len(raw) == 32:
                canaries.add(f"training seed {number}", training_seed(raw))
        for name, number in zip(("p", "q"), primes(), strict=True):
            canaries.add(name, number)
        for member in arena.members:
            assert member.tools.share is not None and member.tools.dataset is not None and member.client.account is not None
            canaries.add(f"key share {member.holder}", member.tools.share.value)
            canaries.add(f"account key {member.position}", bytes(member.client.account.key))
            for row in member.tools.dataset.x:
                plain.add("a row as it is read", row.tobytes())
                plain.add("a row as it is computed with", row.astype(float).tobytes())
                plain.add("a value in words", repr(float(row[0])))
        assert len(canaries.needles) > 60 and len(plain.needles) > 300
    with attack.seen("by this test, which finds what it plants"):
        planted = canaries.found(b"..." + str(training_seed(next(raw for raw in drawn if len(raw) == 32 and raw not in salts))).encode())
        assert len(planted) == 1
        assert Canaries({salts[0].hex().encode(): "salt"}).found(target.journal.get_bytes(key_of(kinds.UPDATE, arena.round(1))) or b"")
    with attack.works("the round finalises and can be verified"):
        assert all(check.ok for check in arena.verify(1))
    with attack.unlearnt("any key, share, seed, random number or value of the data, nor a salt before its reveal"):
        whole = left_behind(arena)
        assert canaries.found(whole) == plain.found(whole) == set()
        assert canaries.found_below([arena.folder]) == plain.found_below([arena.folder]) == {}
        salt = Canaries()
        salt.add("salt", salts[0])
        assert salt.found(before_reveals) == set()
        assert salt.found(whole) == {"salt"}, "the reveal is where it comes out"


class Killed(BaseException):
    """SIGKILL, or a cut of power, here."""


@contextmanager
def killed_at_every_write(arena: Arena, target: Member, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[str, str]]]:
    """End the target's process right before and right after each of its journal's writes, once for every key, and start it again each
    time. Gives the moments."""
    moments: list[tuple[str, str]] = []
    execute, step = Journal._execute, arena.step

    def dying(self: Journal, statement: str, *values: Any) -> Any:
        moment = (str(values[0]), "before")
        mortal = self._name == f"{target.position}.sqlite" and not statement.startswith("SELECT")
        if mortal and moment not in moments:
            moments.append(moment)
            raise Killed
        result = execute(self, statement, *values)
        if mortal and (values[0], "after") not in moments:
            moments.append((str(values[0]), "after"))
            raise Killed
        return result

    def risen(member: Member) -> bool:
        try:
            return step(member)
        except Killed:
            arena.restart(member)
            return True

    monkeypatch.setattr(Journal, "_execute", dying)
    monkeypatch.setattr(arena, "step", risen)
    yield moments
    monkeypatch.setattr(Journal, "_execute", execute)


def test_a_node_killed_at_every_write_of_its_journal(attack: Attack, proven_arena: Arena, monkeypatch: pytest.MonkeyPatch) -> None:
    arena = proven_arena
    attack.by("whoever can end a holder's process, and collects all that leaves it")
    target, left = arena.members[2], []
    add = target.store.add

    def collected(data: bytes) -> str:
        left.append(bytes(data))
        return add(data)

    monkeypatch.setattr(target.store, "add", collected)
    with (
        attack.sends("SIGKILL right before and right after every write of its journal in a whole round"),
        killed_at_every_write(arena, target, monkeypatch) as moments,
    ):
        arena.play(lambda study: study.complete and all(m.journal.get("round/1/adopted") is not None for m in arena.members))
        assert len(moments) > 20 and {"round/1/release", "round/1/share"} <= {key for key, _ in moments}
    view = arena.round(1)
    with attack.works("the round finalises with it in the sum, and can be verified"):
        assert target.position in view.frozen
        assert all(check.ok for check in arena.verify(1))
    with attack.seen("by everyone: one commitment, one reveal, one attestation, one share of it are on the chain"):
        assert len([share for share in view.shares if share.holder == target.address]) <= 1
        sent = [event for event in arena.events() if getattr(event, "round", 0) == 1 and event.actor == target.address]
        kinds = [type(event).__name__ for event in sent if type(event).__name__ not in ("PhaseEntered", "RoundOpened")]
        assert len(kinds) == len(set(kinds)), kinds
    with attack.unlearnt("two updates or two shares to compare: all that ever left it of either is one blob"):
        for kind in (wire.BlobKind.UPDATE, wire.BlobKind.SHARE):
            header = arena.frame.header(kind, view, target.address).to_bytes()
            assert len({blob for blob in left if blob.startswith(header)}) == 1, kind


@contextmanager
def umask(mask: int) -> Iterator[None]:
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


def test_a_home_under_the_most_open_umask(attack: Attack, arena: Arena, tmp_path: Path) -> None:
    attack.by("another user of the machine")
    home = Home(tmp_path / "above" / "home")
    source = tmp_path / "module.py"
    source.write_text("def build(spec): ...\n", "utf-8")
    with attack.sends("a look into every folder and file that a node makes, where the umask keeps nobody out"), umask(0):
        Accounts(Session(home.root, given_password=Secret("correct horse"))).new()
        share = arena.members[0].tools.share
        assert share is not None
        write_share(home.share(1, "0x01", 1), share, 1, "correct horse")
        study = home.study(1, "0x02", 1)
        accept(study, 1, bytes(32))
        allow(home.modules, source)
        log = LogFile(study / "agent.log", max_bytes=64)
        for number in range(3):
            log.sink({"status": "note", "number": number, "message": "x" * 64})
        log.close()
        with (
            closing(Journal(study / "journal.sqlite")) as journal,
            closing(Journal(home.transactions)),
            announced(study, ""),
            EmbeddedNode(home.ipfs) as node,
        ):
            journal.put("round/1/release", {"round": 1})
            node.open_store().add(b"a blob")
            made = [path for path in tmp_path.joinpath("above").rglob("*") if not path.is_socket()]
            modes = {path: stat.S_IMODE(path.lstat().st_mode) for path in (tmp_path / "above", *made)}
    with attack.seen("by this test, which finds the most open file"):
        assert {"account.json", "transport.json", "journal.sqlite", "journal.sqlite-journal", "agent.log.1", "tx.sqlite"} <= {
            p.name for p in made
        }
        assert stat.S_IMODE(source.stat().st_mode) & 0o044, "what a node did not make stays as it was"
    with attack.works("the owner's own use of them"):
        assert Accounts(Session(home.root)).show().address
    with attack.unlearnt("a single name or byte below the folder that was made for the home"):
        assert {str(path): oct(mode) for path, mode in modes.items() if mode & 0o077} == {}


def waiting_for_its_password(home: Path) -> tuple[subprocess.Popen[bytes], int]:
    """A command of the product that has opened its password file, and the other end of that file."""
    fifo = home / "password"
    os.mkfifo(fifo)
    argv = [*cli_command(), "account", "new", "--home", str(home / "home"), "--password-file", str(fifo)]

    def unlimited() -> None:
        resource.setrlimit(resource.RLIMIT_CORE, (resource.getrlimit(resource.RLIMIT_CORE)[1],) * 2)

    process = subprocess.Popen(argv, cwd=home, stderr=subprocess.DEVNULL, preexec_fn=unlimited)
    return process, os.open(fifo, os.O_WRONLY)


def test_a_crash_leaves_no_memory_behind(attack: Attack, tmp_path: Path) -> None:
    attack.by("whoever reads the disk of a machine on which a command crashed")
    home, control = tmp_path / "home", tmp_path / "control"
    home.mkdir()
    control.mkdir()
    process, pipe = waiting_for_its_password(home)
    with attack.sends("a signal that dumps core while the command holds its password"):
        limits = Path(f"/proc/{process.pid}/limits").read_text("utf-8") if sys.platform == "linux" else ""
        os.write(pipe, b"correct horse battery staple")
        process.send_signal(signal.SIGABRT)
        assert process.wait(20) == -signal.SIGABRT
        os.close(pipe)
    with attack.seen("by the kernel: the process may not dump, and no process of its user may look into it"):
        if limits:
            (row,) = [line.split() for line in limits.splitlines() if line.startswith("Max core file size")]
            assert row[4:6] == ["0", "0"]
            code = (
                "import ctypes; from defedbio.cli.main import keep_memory_private as k; k(); print(ctypes.CDLL(None).prctl(3, 0, 0, 0, 0))"
            )
            assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "0\n"
    with attack.works("other programs' dumps, where the machine writes them: only ours are held back"):
        if sys.platform == "linux" and CORE_PATTERN.read_text().strip() == "core" and resource.getrlimit(resource.RLIMIT_CORE)[1] != 0:
            script = f"ulimit -c $(ulimit -H -c); cd {control}; kill -ABRT $$"
            subprocess.run(["bash", "-c", script], check=False)
            assert list(control.glob("core*"))
    with attack.unlearnt("the password: there is no dump, and no file has it"):
        assert [path.name for path in home.iterdir()] == ["password"]
