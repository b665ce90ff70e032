"""Threshold key ceremonies: deal a key and confirm a share of one, or make one together without a dealer; look at an epoch."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from defedbio.ceremony import consent
from defedbio.ceremony import dealer as ceremony
from defedbio.ceremony.holder import Holder
from defedbio.ceremony.machine import Terms
from defedbio.ceremony.mill import Mill
from defedbio.ceremony.progress import seconds_left
from defedbio.ceremony.taking_part import Ended, Pace, read, take_part, terms_of
from defedbio.ceremony.view import CeremonyView
from defedbio.chain.sender import checksum
from defedbio.client.session import Session
from defedbio.client.values import Value, hex_of
from defedbio.compute.executor import Place, open_arithmetic
from defedbio.config import JOURNAL
from defedbio.domain import CeremonyStatus
from defedbio.errors import InvalidInput, NotFound
from defedbio.protocol.memory import open_journal


@dataclass(frozen=True)
class Dealt(Value):
    """A proposed key: any `threshold` of the holders open a sum once all have confirmed; `bits` are the modulus'."""

    epoch: int
    threshold: int
    holders: tuple[str, ...]
    bits: int


@dataclass(frozen=True)
class Announced(Value):
    """An announced ceremony, in which the holders make a key of so many bits together; each step takes at most `step_seconds`."""

    ceremony: int
    threshold: int
    holders: tuple[str, ...]
    bits: int
    step_seconds: int


@dataclass(frozen=True)
class CeremonyTerms(Announced):
    """What one agrees to by taking part in a ceremony; `str()` is in words."""

    chain_id: int
    registry: str

    def __str__(self) -> str:
        return consent.sentence(Terms(**asdict(self)))


@dataclass(frozen=True)
class Progress(Value):
    """How far a ceremony without a dealer is. `waited_for` are the holders that it waits for, until `deadline` (unix seconds): to post in
    `step`, to confirm `epoch` (0 while none is proposed), or once it has failed to publish their seeds. `seconds_left` is how long it takes
    at least from when the step began, None while nobody can know. `complaints` are (holder, reason)."""

    ceremony: int
    status: str
    step: int
    threshold: int
    holders: tuple[str, ...]
    bits: int
    waited_for: tuple[str, ...]
    deadline: int
    seconds_left: float | None
    epoch: int
    complaints: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class TakenPart(Value):
    """How a ceremony ended for this organisation: `status` is succeeded or failed, or left where this home could not go on. Of a failed one
    `at_fault` are those whom the chain and the seeds name, nobody where they cannot tell, and `reason` says why."""

    ceremony: int
    status: str
    epoch: int
    at_fault: tuple[str, ...]
    reason: str


@dataclass(frozen=True)
class Confirmation(Value):
    """`confirmed` of `holders` have confirmed; the key is usable when `status` is active."""

    epoch: int
    confirmed: int
    holders: int
    status: str


@dataclass(frozen=True)
class KeyHolder(Value):
    """`retired` is its own word that it erased its share."""

    address: str
    confirmed: bool
    retired: bool


@dataclass(frozen=True)
class Epoch(Value):
    """A key epoch whose public transcript verifies: one that does not is an error, so `transcript_verified` is always True. `left` counts
    the holders that did not retire their shares; `threshold` of them open a sum."""

    epoch: int
    status: str
    threshold: int
    bits: int
    holders: tuple[KeyHolder, ...]
    transcript_hash: str
    left: int
    transcript_verified: bool = True


class Ceremonies:
    def __init__(self, session: Session) -> None:
        self._session = session

    def deal(self, holders: Sequence[str], threshold: int, bits: int = 3072) -> Dealt:
        """Make the key in this process's memory, seal a share to each holder's transport key, propose the epoch on chain.

        A dealer that kept the factors could read every update: run it on a machine that all holders trust.

        Raises:
            InvalidInput: for holders that are no addresses, no members or have published no transport key, or sizes out of range.

        Example:
            dealt = client.ceremony.deal([one, two, three, four], threshold=3)  # their addresses
            dealt.epoch
        """
        holders = [checksum(holder) for holder in holders]
        with self._session.signing() as connection:
            epoch = ceremony.deal(connection, bits, threshold, holders)
        return Dealt(epoch, threshold, tuple(holders), bits)

    def propose(
        self, holders: Sequence[str], threshold: int, kind: str = "distributed", bits: int = 3072, step_seconds: int = 3600
    ) -> Announced | Dealt:
        """Begin a key: `distributed` announces a ceremony in which the holders make it together, so that nobody ever has it whole; `dealer`
        is `deal`. The first `threshold` of the holders do the work.

        Raises:
            InvalidInput: for another kind, a holder that is no address, or what `deal` refuses.
            ContractRefused: for a ceremony of other sizes than 2048 or 3072 bits and a minute to 30 days a step, or of no members.

        Example:
            client.ceremony.propose([one, two, three, four], threshold=3).ceremony  # their addresses
        """
        if kind == "dealer":
            return self.deal(holders, threshold, bits)
        if kind != "distributed":
            raise InvalidInput(f"a ceremony is distributed or dealer, not {kind!r}")
        holders = [checksum(holder) for holder in holders]
        with self._session.signing() as connection:
            where, nonce = connection.client.address, connection.client.nonce(connection.client.address)
            announcement = connection.keys.announce(f"ceremony/announce/{where}/{nonce}", holders, threshold, bits, step_seconds)
            number = connection.keys.announced_in(connection.send(announcement))
        return Announced(number, threshold, tuple(holders), bits, step_seconds)

    def terms(self, ceremony: int) -> CeremonyTerms:
        """What one agrees to by taking part in a ceremony.

        Raises:
            NotFound: for an unknown ceremony.

        Example:
            print(client.ceremony.terms(1))
        """
        return CeremonyTerms(**asdict(terms_of(self._session.reader(), ceremony)))

    def take_part(
        self,
        ceremony: int,
        *,
        accept: bool = False,
        confirm: Callable[[CeremonyTerms], bool] | None = None,
        on_progress: Callable[[Progress, str], None] = lambda progress, step: None,
        stop: threading.Event | None = None,
        threads: int = 1,
        poll: float = 2.0,
        patience: float = 600.0,
    ) -> TakenPart | None:
        """Make a key together with the other holders of a ceremony, and keep the own share. Blocks until the ceremony has ended; None where
        the terms are not accepted, or `stop` is set before. A killed process goes on where it was when this is called again.

        Args:
            accept: the terms were read and are accepted.
            confirm: else decides, once; is called with the terms, which print as words.
            on_progress: gets how far the ceremony is, and the step's name in docs/ceremony.md, at each change.
            threads: of the CPU.
            poll: seconds between looks at the chain.
            patience: seconds that chain or IPFS may stay away.

        Raises:
            InvalidInput: with neither, or for an account that is no holder. NotFound: for an unknown ceremony, or one whose seed is gone.
            Unreachable: when chain or IPFS stay away.

        Example:
            client.ceremony.take_part(1, confirm=lambda terms: input(f"{terms} Yes? ") == "yes")
        """
        session = self._session
        terms, address = terms_of(session.reader(), ceremony), session.own_address()
        if address not in terms.holders:
            raise InvalidInput(f"{address} is no holder in ceremony {ceremony}")
        folder = session.home.ceremony(terms.chain_id, terms.registry, ceremony)
        if not consent.accepted(folder, terms):
            if not accept and confirm is None:
                raise InvalidInput(f"ceremony {ceremony} was not accepted", "read its terms, then pass accept=True, or confirm to decide")
            if not accept and confirm is not None and not confirm(CeremonyTerms(**asdict(terms))):
                return None
            consent.accept(folder, terms, session.password)
        seed = consent.open_seed(folder, terms, session.password)
        with closing(open_journal(folder / JOURNAL)) as journal, open_arithmetic(Place(), threads, session.reporter) as arithmetic:
            connection, position, make = session.signer(journal), terms.holders.index(address), partial(Mill, arithmetic=arithmetic)
            holder = Holder(connection, terms, position, folder, journal, make, seed, self.share_file, session.password)
            ended = take_part(
                holder, stop or threading.Event(), Pace(poll, patience), lambda view, step: on_progress(_progress(view, step), step)
            )
        return None if ended is None else _taken_part(ended)

    def progress(self, ceremony: int) -> Progress:
        """How far a ceremony without a dealer is, by the newest block.

        Raises:
            NotFound: for an unknown ceremony.

        Example:
            client.ceremony.progress(1).waited_for
        """
        view = read(self._session.reader(), ceremony, 0)
        if view is None:
            raise NotFound(f"there is no ceremony {ceremony}")
        return _progress(view)

    def confirm(self, epoch: int) -> Confirmation:
        """Check the own share against the public transcript, keep it encrypted, confirm on chain; a wrong one is rejected there.

        Raises:
            BadTranscript, BlobMismatch, InvalidKey: after the rejection is on the chain. InvalidInput: if there is nothing to confirm, or
                the transport key that is here is not the published one.

        Example:
            client.ceremony.confirm(1).status
        """
        with self._session.signing() as connection:
            ceremony.confirm(connection, epoch, self._session.transport_private(), self.share_file(epoch), self._session.password)
            state = connection.keys.epoch_of(epoch)
        return Confirmation(epoch, len(state.confirmations), len(state.holders), state.status.name.lower())

    def show(self, epoch: int) -> Epoch:
        """A key epoch, its public transcript checked.

        Raises:
            NotFound: for an unknown epoch. BadTranscript, BlobMismatch: naming the proposer.

        Example:
            [holder.address for holder in client.ceremony.show(1).holders if not holder.confirmed]
        """
        state, transcript = self._session.reader().transcript(epoch)
        holders = tuple(KeyHolder(h, i in state.confirmations, i in state.retired) for i, h in enumerate(state.holders))
        bits = transcript.key.public_key.bits
        status, left = state.status.name.lower(), len(state.left)
        return Epoch(epoch, status, state.threshold, bits, holders, hex_of(state.transcript_hash), left)

    def share_file(self, epoch: int) -> Path:
        """Where this organisation keeps its share of the epoch's key, encrypted.

        Example:
            client.ceremony.share_file(1).exists()
        """
        network = self._session.network
        return self._session.home.share(network.chain_id, network.contracts["KeyRegistry"], epoch)


def _progress(view: CeremonyView, step: str = "") -> Progress:
    return Progress(
        ceremony=view.number,
        status=view.status.name.lower(),
        step=view.step,
        threshold=view.threshold,
        holders=view.holders,
        bits=view.bits,
        waited_for=tuple(view.holders[position] for position in view.waited_for),
        deadline=view.deadline,
        seconds_left=seconds_left(view, step),
        epoch=view.epoch.number if view.epoch is not None else 0,
        complaints=view.complaints,
    )


def _taken_part(ended: Ended) -> TakenPart:
    view, verdict = ended.view, ended.verdict
    status = "left" if ended.diverged and view.status is CeremonyStatus.RUNNING else view.status.name.lower()
    epoch = view.epoch.number if view.epoch is not None else 0
    at_fault = tuple(view.holders[position] for position in verdict.positions) if verdict is not None else ()
    return TakenPart(view.number, status, epoch, at_fault, verdict.reason if verdict is not None else "")
