"""Homes that come back from backups, and shares that must not."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from copy import copy
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from defedbio.ceremony import dealer, ending
from defedbio.chain.bindings.key_registry import KeyRegistry
from defedbio.chain.events import KeyShareRetired
from defedbio.chain.network import Contracts, Network
from defedbio.client.keys import Keys
from defedbio.config import Home, write_private
from defedbio.crypto.ceremony import open_share
from defedbio.crypto.sealed_file import SealedWriter
from defedbio.crypto.sealing import transport_public
from defedbio.crypto.vault import seal_with_password
from defedbio.domain import KeyEpochStatus, Phase
from defedbio.errors import BlobUnavailable, ChainUnreachable, InvalidInput, InvalidKey, StudyHalted
from defedbio.network.acceptance import accept
from defedbio.network.known import remember
from defedbio.network.shares import write_share
from defedbio.network.transport import TRANSPORT_LABEL, private_transport_key, published_transport_key
from defedbio.nodes.backup import back_up
from defedbio.nodes.organisation import LoopOptions
from defedbio.nodes.participation import assemble
from defedbio.nodes.restore import restore
from defedbio.protocol.journal import Journal, snapshot
from defedbio.protocol.memory import open_journal
from defedbio.protocol.reading import Reader
from defedbio.protocol.restored import mark
from defedbio.spec import DEFAULT_RETENTION_DAYS
from tests.adversary.arena import Arena, Member, reached
from tests.adversary.faults import faulty_rpc
from tests.adversary.frame import Attack

MakeArena = Callable[..., Arena]
PASSWORD, CHEAP = "a long password", 2


def from_backup(arena: Arena, member: Member, journal: bytes, rpc: str = "", **options: Any) -> None:
    """Start a member's node on a journal from a backup, as `defedbio restore` leaves it."""
    member.journal.close()
    path = arena.folder / f"{member.position}.sqlite"
    path.write_bytes(journal)
    with closing(Journal(path)) as opened:
        mark(opened, 1_700_000_000)
    arena.restart(member, rpc, **options)


def play_alone(member: Member) -> None:
    for _ in range(20):
        member.node.turn()


def test_a_share_that_left_a_node_before_its_home_was_restored(attack: Attack, arena: Arena) -> None:
    attack.by("an operator in good faith, or whoever has it restore a backup at the right moment")
    holder, others = arena.members[1], [member for member in arena.members if member.position != 1]
    arena.play(reached(1, Phase.AGGREGATED), who=arena.members)
    early, before = snapshot(arena.folder / "1.sqlite"), set(holder.store.blobs)
    with attack.sends("a backup from before the holder's release, after its share has left the node, and its transaction has not"):

        class Cut:
            def send(self, transaction: Any) -> Any:
                if transaction.call.function == "releaseShare":
                    raise ChainUnreachable("the power is cut here")
                return holder.client.send(transaction)

        holder.tools.chain = Cut()
        with pytest.raises(ChainUnreachable):
            play_alone(holder)
        assert holder.journal.get("round/1/share"), "its share is in its IPFS node"
        left = set(holder.store.blobs) - before
        from_backup(arena, holder, early)
    with attack.seen("by the holder's node, which finds that the round began before it was restored, and sits out what it may have sent"):
        arena.play(reached(1, Phase.FINALISED), who=arena.members)
        assert holder.tools.sits_out_through == 1 and holder.journal.get("round/1/release") is None
    with attack.works("the round is opened by the three others, with the restored organisation's update in the sum"):
        assert {share.holder for share in arena.round(1).shares} == {member.address for member in others}
        assert len(arena.round(1).frozen) == 4 and all(check.ok for check in arena.verify(1))
    with attack.unlearnt("a second share of the holder in that round, whatever it would have been of"):
        assert left and not [share for share in arena.round(1).shares if share.holder == holder.address]
        arena.check_opened()


def test_a_home_that_is_restored_behind_an_ethereum_node_that_is_behind(attack: Attack, arena: Arena) -> None:
    attack.by("whoever runs the endpoint of one organisation and leaves out the newest blocks, or an operator whose node has not caught up")
    holder = arena.members[1]
    unopened = holder.client.head().number
    arena.play(reached(1, Phase.AGGREGATED), who=arena.members)
    early, multiplied = snapshot(arena.folder / "1.sqlite"), holder.client.head().number
    while not any(share.holder == holder.address for share in arena.round(1).shares):
        arena.step(holder)
    with faulty_rpc(arena.anvil) as faulty:
        with attack.sends(
            "to a home from before its release, a chain that ends before the round, and then one that ends before its release"
        ):
            faulty.tip = unopened
            from_backup(arena, holder, early, faulty.url, wait_seconds=0.2)
            assert arena.reader(holder).rounds.round_count() == 0, "by this chain no round had begun"
            for faulty.tip in (unopened, multiplied):
                with pytest.raises(ChainUnreachable, match="this home is from a backup"):
                    holder.node.turn()
            study = holder.node.refresh()
            assert study.rounds[1].phase == Phase.AGGREGATED and not study.rounds[1].shares, "it would be the holder's turn"
        with attack.seen("by its node, whose own transaction is not mined there: until it is, no round counts as begun after the restore"):
            assert holder.tools.sits_out_through is None and holder.journal.get("round/1/release") is None
        with attack.works("the round, and its node in the next one, once its Ethereum node has caught up"):
            faulty.heal()
            arena.play(reached(1, Phase.FINALISED), who=arena.members)
            assert holder.tools.sits_out_through == 1 and "in rounds up to 1" in holder.messages()
            assert len(arena.round(1).frozen) == 4 and all(check.ok for check in arena.verify(1))
    with attack.unlearnt("a second share of the holder"):
        assert holder.journal.get("round/1/share") is None
        assert [share.holder for share in arena.round(1).shares].count(holder.address) == 1
        arena.check_opened()


def test_a_study_that_a_restored_home_has_no_journal_of(attack: Attack, make_arena: MakeArena, tmp_path: Path) -> None:
    arena = make_arena(holders=3, quorum=3, outside=1)
    holder, network = arena.members[-1], arena.network
    assert holder.holder and holder.position >= arena.organisations
    others = arena.members[:-1]
    attack.by("an operator in good faith, or whoever has it restore a backup that is older than its part in the study")
    arena.play(reached(1, Phase.AGGREGATED))
    reader, home, journal = arena.reader(holder), Home(tmp_path / "restored"), open_journal(tmp_path / "new.sqlite")
    with attack.sends("a home from before the study was joined, where it is joined again while a round runs"):
        write_private(home.restored, {"made_at": 1_700_000_000})
        folder = home.study(network.chain_id, network.contracts["RoundManager"], arena.study)
        accept(folder, arena.study, reader.spec(arena.study)[0].spec_hash)
        assert holder.tools.share is not None
        write_share(share_of(arena, home), holder.tools.share, arena.frame.spec.key_epoch, PASSWORD)
        node = assemble(reader, home, arena.study, None, PASSWORD, journal, LoopOptions(poll_seconds=0.0))
    with attack.seen("by its node, for which the new journal is of a restored home, and the round one that began before"):
        for _ in range(20):
            node.turn()
        assert node.tools.sits_out_through == 1 and journal.get("round/1/release") is None
    with attack.works("the round is opened by the three others"):
        arena.play(reached(1, Phase.FINALISED), who=others)
        assert all(check.ok for check in arena.verify(1))
    with attack.unlearnt("a share of the holder in that round, in which it may have released another"):
        assert not [share for share in arena.round(1).shares if share.holder == holder.address]
        arena.check_opened()
    journal.close()


class Killed(BaseException):
    """The process ends here."""


@contextmanager
def killed_after_one_effect(patch: pytest.MonkeyPatch, connection: Reader) -> Iterator[None]:
    """Whatever is done inside is killed right after the first thing that it does to disk or chain."""

    def deadly(effect: Callable[..., Any], counts: Callable[..., bool] = lambda *args: True) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            real = counts(*args)
            done = effect(*args, **kwargs)
            if real:
                raise Killed
            return done

        return call

    with patch.context() as within:
        within.setattr(ending, "write_private", deadly(ending.write_private))
        within.setattr(ending, "erase", deadly(ending.erase, lambda path: path.exists()))
        within.setattr(os, "link", deadly(os.link, lambda source, target: Path(target).suffix == ".erase"))
        within.setattr(os, "replace", deadly(os.replace, lambda source, target: Path(source).name == "transport.next.json"))
        within.setattr(connection, "send", deadly(connection.send))
        yield


def home_of(arena: Arena, member: Member, folder: Path) -> Home:
    """A holder's home with its transport key and its share."""
    home, private = Home(folder / f"home {member.position}"), arena.transport_keys[member.address]
    box = seal_with_password(private, PASSWORD, TRANSPORT_LABEL, os.urandom, CHEAP)
    write_private(home.transport, {"format": TRANSPORT_LABEL, "public": transport_public(private).hex(), "box": box})
    assert member.tools.share is not None
    write_share(share_of(arena, home), member.tools.share, arena.frame.spec.key_epoch, PASSWORD)
    return home


def as_session(arena: Arena, member: Member, home: Home, elsewhere: Callable[[Network], Reader] | None = None) -> Any:
    """A member's login as the client has it, which reads other networks as `elsewhere` does."""

    @contextmanager
    def signing() -> Iterator[Reader]:
        yield arena.reader(member)

    return SimpleNamespace(
        reader=lambda: arena.reader(member),
        reader_of=elsewhere,
        own_address=lambda: member.address,
        home=home,
        network=arena.network,
        signing=signing,
        password=PASSWORD,
    )


def share_of(arena: Arena, home: Home) -> Path:
    return home.share(arena.network.chain_id, arena.network.contracts["KeyRegistry"], arena.frame.spec.key_epoch)


def check_restored(connection: Reader, backup: Path, folder: Path) -> Home:
    """The home from a backup that was made amid `key destroy`: with one transport key, the published one if the backup has it."""
    restored = Home(folder)
    done = restore(restored, backup, PASSWORD, lambda: connection)
    assert [path.name for path in sorted(folder.glob("transport*"))] == ["transport.json"]
    published = published_transport_key(connection, connection.client.address)
    same = json.loads(restored.transport.read_bytes())["public"] == published
    assert same or any("publish it with" in told for told in done.left_out)
    return restored


def retirements(arena: Arena) -> list[str]:
    return [event.holder for event in arena.events() if isinstance(event, KeyShareRetired)]


def opens(arena: Arena, home: Home, member: Member, transcript: Any) -> bool:
    """Whether the home can come to the member's share, by its file or from the public transcript."""
    if share_of(arena, home).exists():
        return True
    for path in home.root.glob("transport*"):
        try:
            private = private_transport_key(json.loads(path.read_bytes()), PASSWORD)
            open_share(transcript, arena.key_holders.index(member), private)
        except (InvalidKey, ValueError):
            continue
        return True
    return False


def test_a_share_that_is_said_to_be_erased_and_is_not(
    attack: Attack, make_arena: MakeArena, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(seal_with_password, "__defaults__", (CHEAP,))
    monkeypatch.setattr(SealedWriter.__init__, "__defaults__", (CHEAP,))
    arena = make_arena(changes={"rounds": 2})
    epoch = arena.frame.spec.key_epoch
    victim, second = arena.members[3], arena.members[2]
    connection = arena.reader(victim)
    on_chain, transcript = connection.transcript(epoch)
    monkeypatch.setattr(Reader, "transcript", lambda self, number, others=(): (on_chain, transcript))
    home = home_of(arena, victim, tmp_path)
    attack.by("whoever cuts the power of a holder while it destroys its share, at any moment, or restores its backup afterwards")
    arena.play(reached(1, Phase.COMMITTED))
    kills, backups = 0, []
    (home.root / "account.json").write_text(json.dumps({"address": victim.address}))
    with attack.sends("a kill after each thing that the command does, the command again, and a backup and a restore in between"):
        while True:
            try:
                with killed_after_one_effect(monkeypatch, connection):
                    ending.destroy(connection, home, epoch, PASSWORD)
            except Killed:
                kills += 1
                assert not (retirements(arena) and opens(arena, home, victim, transcript)), "the chain never says what has not happened"
                assert published_transport_key(connection, victim.address), "others find a key to seal to at any time"
                backups.append(tmp_path / f"{kills}.backup")
                back_up(home, victim.address, PASSWORD, backups[-1])
                check_restored(connection, backups[-1], tmp_path / f"{kills} at once")
                continue
            break
        assert kills == 7 and retirements(arena) == [victim.address]
        left = ["account.json", "shares", "transport.json"]
        assert not opens(arena, home, victim, transcript) and sorted(p.name for p in home.root.iterdir()) == left
        for backup in backups:
            restored_home = check_restored(connection, backup, tmp_path / f"{backup.stem} in the end")
            assert not opens(arena, restored_home, victim, transcript)
    with attack.seen("by its running node, which lets go of the share and says so, and by everyone on the chain"):
        arena.play(reached(1, Phase.FINALISED))
        assert victim.tools.share is None and victim.messages().count("retired its key share") == 1
        assert connection.keys.epoch_of(epoch).left == tuple(member.address for member in arena.members[:3])
        assert victim.address not in {share.holder for share in arena.round(1).shares}
        with pytest.raises(InvalidInput, match="does not come back"):
            dealer.confirm(connection, epoch, arena.transport_keys[victim.address], share_of(arena, home), PASSWORD)
    with attack.works("the round finalises with its update, opened by the three others; after the next such word no other begins"):
        assert 3 in arena.round(1).frozen and all(check.ok for check in arena.verify(1))
        sent = arena.reader(second).client.head().number
        lost = tmp_path / "a share that a backup was too old for.json"
        dealer.confirm(arena.reader(second), epoch, arena.transport_keys[second.address], lost, PASSWORD)
        assert lost.exists() and arena.reader(second).client.head().number == sent, "had again, and nothing more is said"
        keys = Keys(as_session(arena, second, home_of(arena, second, tmp_path)))
        (before,) = keys.list()
        assert (before.here, before.retired, before.left) == (True, False, 3)
        assert not keys.destroy(epoch).done and not keys.destroy(epoch, confirm=lambda ending: not ending.opens_nothing_after).done
        with pytest.raises(InvalidInput, match="study 1: it is not complete"):
            keys.destroy(epoch, accept=True)
        assert keys.list() == [before], "nothing has happened yet"
        assert keys.destroy(epoch, accept=True, even_if_needed=True).left == 2
        (after,) = keys.list()
        assert not after.here and after.retired and keys.destroy(epoch).done, "a second time there is nothing to do"
        assert connection.keys.epoch_of(epoch).status == KeyEpochStatus.RETIRED
        with pytest.raises(StudyHalted, match="fewer than 3 shares of its key are left"):
            arena.play(reached(2, Phase.OPEN))
        over = connection.lifetime(arena.study)
        assert over.ended and over.end is not None and over.end.why == "fewer shares of its key are left than open a sum"
        assert over.end.block == max(over.view.retired.values()) and over.view.retired.keys() == {victim.address, second.address}
    with attack.unlearnt("anything with the share, which another transport key does not open"):
        assert not opens(arena, home, victim, transcript)
        arena.check_opened()


def test_a_key_that_is_destroyed_while_its_studies_run(attack: Attack, arena: Arena) -> None:
    epoch = arena.frame.spec.key_epoch
    connection = arena.reader(arena.members[0])
    attack.by("an operator in a hurry, whose share the other holders may need")
    with attack.sends("the end of a share while a study under its key runs, and before its rounds have been kept for as long as agreed"):
        (running,) = ending.studies_under(connection, epoch)
        arena.play(lambda study: study.complete)
        (kept,) = ending.studies_under(connection, epoch)
    with attack.seen("by the operator, to whom the command says which study needs it and why, and refuses"):
        assert running.needs == "it is not complete: 0 of 1 rounds are final"
        assert kept.needs.startswith("its rounds are kept until 20")
    with attack.works("the same once the study is complete and its time is over"):
        arena.skip(DEFAULT_RETENTION_DAYS * 24 * 3600)
        assert [under.needs for under in ending.studies_under(connection, epoch)] == [""]
    with attack.unlearnt("anything: nothing was sent"):
        assert retirements(arena) == []


def test_a_key_that_is_destroyed_when_its_transcript_is_gone(
    attack: Attack, arena: Arena, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(seal_with_password, "__defaults__", (CHEAP,))
    epoch, holder = arena.frame.spec.key_epoch, arena.members[1]
    connection = arena.reader(holder)
    _, transcript = connection.transcript(epoch)
    home = home_of(arena, holder, tmp_path)
    attack.by("whoever keeps a copy of the key's transcript, and no longer gives it to its holders")
    with attack.sends("nothing, when a holder asks for the transcript after the retention, to end its share"):

        def gone(self: Reader, number: int, others: Any = ()) -> Any:
            raise BlobUnavailable("nobody has it any more")

        monkeypatch.setattr(Reader, "transcript", gone)
    with attack.seen("by the command, which then takes the transport key that is here for the one that the share was sealed to"):
        before = published_transport_key(connection, holder.address)
        ending.destroy(connection, home, epoch, PASSWORD)
        assert published_transport_key(connection, holder.address) not in ("", before)
    with attack.works("the end of the share, on record"):
        assert retirements(arena) == [holder.address]
    with attack.unlearnt("the share, with the copy and all that is left in the holder's home"):
        assert not opens(arena, home, holder, transcript)


def test_a_key_that_nobody_delivers_and_that_names_a_holder(
    attack: Attack, arena: Arena, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(seal_with_password, "__defaults__", (CHEAP,))
    monkeypatch.setattr(ending, "studies_under", lambda connection, epoch: [])
    epoch, holder, hostile = arena.frame.spec.key_epoch, arena.members[1], arena.members[2]
    home, transcript = home_of(arena, holder, tmp_path), arena.reader(holder).transcript(epoch)[1]
    keys = Keys(as_session(arena, holder, home))
    attack.by("a member that wants a holder to keep its share")
    with attack.sends("a proposal of a key that names the holder, with a transcript that nobody has"):
        modulus, holders = transcript.key.public_key.n, [member.address for member in arena.key_holders]
        raw = modulus.to_bytes((modulus.bit_length() + 7) // 8, "big")
        arena.send(hostile, KeyRegistry.propose("bad", raw, holders, 3, b"\x01" * 32, "bafy"))
    refused = pytest.raises(InvalidInput, match=f"share of key epoch {epoch + 1} may be sealed .*--even-if-needed")
    with attack.seen("by the command, which names the key and asks for it to be confirmed first"), refused:
        keys.destroy(epoch, accept=True)
    with attack.works("the end of the share by the operator's explicit word"):
        assert keys.destroy(epoch, accept=True, even_if_needed=True).done and retirements(arena) == [holder.address]
    with attack.unlearnt("the share, which nothing in the holder's home opens any more"):
        assert not opens(arena, home, holder, transcript)


def test_a_transport_key_that_another_network_needs(attack: Attack, arena: Arena, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(seal_with_password, "__defaults__", (CHEAP,))
    epoch, holder = arena.frame.spec.key_epoch, arena.members[1]
    home, transcript = home_of(arena, holder, tmp_path), arena.reader(holder).transcript(epoch)[1]
    monkeypatch.setattr(ending, "studies_under", lambda connection, epoch: [])
    attack.by("an operator who ends its share on one network, while a key is dealt to it on another, or was and its share is not here yet")
    another = Network(7, "http://another:8545", Contracts.of(*(f"0x{number:040x}" for number in range(1, 5))))
    answers: list[Exception | None] = [ChainUnreachable("nobody answers"), None]

    def elsewhere(network: Network) -> Reader:
        assert network == another
        if (error := answers.pop(0)) is not None:
            raise error
        client = copy(holder.client)  # where it holds a share of a key, and the home has none of that chain
        client.network = Network(7, arena.network.rpc, arena.network.contracts)
        return replace(arena.reader(holder), client=client)

    keys = Keys(as_session(arena, holder, home, elsewhere))
    with attack.sends("the end of a share, with the transport key to which shares of both networks are sealed"):
        remember(home, another)
        tried = [keys.destroy(epoch).elsewhere for _ in range(2)]
        answers += [None]
        with pytest.raises(InvalidInput, match=f"chain 7.*the share of key epoch {epoch} may be sealed to the transport key"):
            keys.destroy(epoch, accept=True)
        (home.root / "shares" / f"9-0x{9:040x}-1.json").write_text("{}")
        answers += [None]
        with pytest.raises(InvalidInput, match=f"contract 0x{9:040x} on chain 9: its network is not known here"):
            keys.destroy(epoch, accept=True)
    with attack.seen(
        "by the command, which asks every network that the home knows, and takes one that does not answer for one that needs it"
    ):
        (silent,), (waiting,) = tried
        assert silent.startswith("chain 7") and "cannot be asked: nobody answers" in silent
        assert waiting.startswith("chain 7") and waiting.endswith("is not here")
    with attack.works("nothing has changed: the home has its transport key and its share, and the chain says nothing"):
        assert opens(arena, home, holder, transcript) and retirements(arena) == []
    with attack.unlearnt("anything: nothing was sent; the operator's explicit word does it all the same"):
        answers += [None]
        assert keys.destroy(epoch, accept=True, even_if_needed=True).done and retirements(arena) == [holder.address]
