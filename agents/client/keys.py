"""This organisation's shares of threshold keys: which it holds, and how one ends."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from defedbio.ceremony import ending
from defedbio.client.session import Session
from defedbio.client.values import Value
from defedbio.domain import KeyEpochStatus
from defedbio.errors import DefedError, InvalidInput
from defedbio.network import known
from defedbio.nodes.watching.running import running_agent
from defedbio.protocol.reading import Reader

Confirm = Callable[["Ending"], bool]


@dataclass(frozen=True)
class OwnShare(Value):
    """A seat of this organisation in a key epoch. `here` says that the share's file is in the home, `retired` that the chain has it as
    erased. Of the `holders`' shares `left` are left, and `threshold` of them open a sum."""

    epoch: int
    status: str
    here: bool
    retired: bool
    left: int
    holders: int
    threshold: int


@dataclass(frozen=True)
class Need(Value):
    """A study under the key, and why its rounds may have to be opened or checked still."""

    study: int
    why: str


@dataclass(frozen=True)
class Ending(Value):
    """What destroying a share means: `share` as it is before, `needs` of studies that are not over, `elsewhere` in words why another
    network may need the transport key that goes with it, and `left` shares afterwards. `done` says that it happened, now or before."""

    share: OwnShare
    needs: tuple[Need, ...]
    elsewhere: tuple[str, ...]
    left: int
    done: bool = False

    @property
    def opens_nothing_after(self) -> bool:
        """Whether nobody can open anything of this key any more afterwards, by the word of its holders."""
        return self.left < self.share.threshold


class Keys:
    def __init__(self, session: Session) -> None:
        self._session = session

    def list(self) -> list[OwnShare]:
        """Every key epoch in which this organisation has a seat. Needs no password.

        Example:
            [share.epoch for share in client.key.list() if share.here and share.left <= share.threshold]
        """
        connection, account = self._session.reader(), self._session.own_address()
        return [self._share(connection, epoch, account) for epoch in ending.seats_of(connection, account)]

    def destroy(self, epoch: int, *, accept: bool = False, confirm: Confirm | None = None, even_if_needed: bool = False) -> Ending:
        """Erase the own share of a key for ever, with the transport key if a dealer sealed it to that, and record that on the chain. What a
        backup, a snapshot or the disk keeps of it, nobody can see from here (docs/erasure.md). Again after a kill, it goes on.

        Args:
            accept: do it; without, and without `confirm`, nothing happens, and the result says what would.
            confirm: else decides; gets what it means.
            even_if_needed: also while studies under the key are not over: no `left` of their holders may be able to open their rounds; and
                where another key, on whichever network, may need the transport key: a share that is sealed to it is lost.

        Raises:
            InvalidInput: if there is no such seat, a study needs the share, another network the transport key, or an agent of a study runs.

        Example:
            client.key.destroy(1).needs  # of which studies; then: client.key.destroy(1, accept=True)
        """
        account = self._session.own_address()
        asked = self._ending(self._session.reader(), epoch, account)
        if asked.share.retired and not asked.share.here:
            return replace(asked, done=True)
        if not accept and (confirm is None or not confirm(asked)):
            return asked
        if (asked.needs or asked.elsewhere) and not even_if_needed:
            reasons = "; ".join([*(f"study {need.study}: {need.why}" for need in asked.needs), *asked.elsewhere])
            raise InvalidInput(f"the share of key epoch {epoch} may be needed still: {reasons}", "wait, or pass --even-if-needed")
        with self._session.signing() as connection:
            self._check_idle(connection, epoch)
            ending.destroy(connection, self._session.home, epoch, self._session.password, even_if_needed)
        return replace(asked, done=True)

    def _ending(self, connection: Reader, epoch: int, account: str) -> Ending:
        ending.check_seat(connection, epoch, account)
        share = self._share(connection, epoch, account)
        needs = tuple(Need(under.study, under.needs) for under in ending.studies_under(connection, epoch) if under.needs)
        return Ending(share, needs, self._elsewhere(connection, epoch, account), share.left - (not share.retired))

    def _elsewhere(self, connection: Reader, epoch: int, account: str) -> tuple[str, ...]:
        """Why another network may need the transport key, which serves all. What cannot be asked may need it."""
        home, here = self._session.home, self._session.network
        networks = known.others(home, here)
        found = [
            f"{trace}: its network is not known here, and may need the transport key" for trace in known.unknown(home, [here, *networks])
        ]
        if (not networks and not found) or ending.keeps_transport_key(connection, home, epoch, account):
            return ()
        for network in networks:
            where = f"chain {network.chain_id}, KeyRegistry {network.contracts['KeyRegistry']}"
            try:
                waiting = ending.waiting(self._session.reader_of(network), home, account)
            except DefedError as error:
                found.append(f"{where}: it may need the transport key, and cannot be asked: {error.message}")
                continue
            found += [f"{where}: the share of key epoch {number} may be sealed to the transport key, and is not here" for number in waiting]
        return tuple(found)

    def _share(self, connection: Reader, epoch: int, account: str) -> OwnShare:
        on_chain = connection.keys.epoch_of(epoch)
        return OwnShare(
            epoch=epoch,
            status=on_chain.status.name.lower(),
            here=self._file(epoch).exists(),
            retired=on_chain.status in (KeyEpochStatus.ACTIVE, KeyEpochStatus.RETIRED) and account not in on_chain.left,
            left=len(on_chain.left),
            holders=len(on_chain.holders),
            threshold=on_chain.threshold,
        )

    def _check_idle(self, connection: Reader, epoch: int) -> None:
        network = self._session.network
        for study in ending.opened_under(connection, epoch):
            folder = self._session.home.study(network.chain_id, network.contracts["RoundManager"], study)
            if running_agent(folder) is not None:
                raise InvalidInput(f"the agent of study {study} runs with this share", "stop it first")

    def _file(self, epoch: int) -> Path:
        network = self._session.network
        return self._session.home.share(network.chain_id, network.contracts["KeyRegistry"], epoch)
