"""Studies: publish one, read one, accept and join one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from math import ceil
from typing import TYPE_CHECKING

from defedbio.chain.network import confirmations_on
from defedbio.client.session import Session
from defedbio.client.specs import Spec, parse
from defedbio.client.values import Value, hex_of
from defedbio.config import JOURNAL
from defedbio.crypto.merkle import keccak256
from defedbio.domain import CeremonyKind
from defedbio.errors import InvalidInput
from defedbio.network.acceptance import accept as record_acceptance
from defedbio.network.connection import rules_of
from defedbio.network.consent import Consent
from defedbio.spec import StudySpec

if TYPE_CHECKING:
    from defedbio.chain.client import ChainClient
    from defedbio.chain.values import Study
    from defedbio.protocol.reading import Reader

__all__ = ["Consent", "Created", "Enrolment", "Studies", "StudySummary"]

PACE_BLOCKS = 100
Confirm = Callable[[Consent], bool]


@dataclass(frozen=True)
class Created(Value):
    """`dealt`: one machine made the study's key, and reads every update if it kept it."""

    study: int
    spec_cid: str
    spec_hash: str
    gas: int
    dealt: bool


@dataclass(frozen=True)
class StudySummary(Value):
    """`participants` are addresses in the order of enrolment; a study has `steps` rounds, `steps_done` of them finalised. `consent` is what
    they said yes to."""

    study: int
    name: str
    coordinator: str
    spec_hash: str
    key_epoch: int
    participants: tuple[str, ...]
    seats: int
    steps: int
    steps_done: int
    complete: bool
    consent: Consent


@dataclass(frozen=True)
class Enrolment(Value):
    """`position` counts from 1; `consent` is what was accepted."""

    study: int
    position: int
    seats: int
    spec_hash: str
    consent: Consent


class Studies:
    def __init__(self, session: Session) -> None:
        self._session = session

    def create(self, spec: Spec) -> Created:
        """Publish a spec and open the study; the caller becomes its coordinator, without power after (R3).

        Raises:
            InvalidSpec: for a spec that breaks a rule, or whose contributions cannot be proven. InvalidInput: if the key epoch's key is
                not of the size that the spec asks for, or a phase is too short for the confirmations that the study waits for.

        Example:
            client.study.create("spec.json").study
        """
        from defedbio.protocol.form import proven_forms  # brings the learning part, as counting parameters does

        parsed = parse(spec)
        proven_forms(parsed)
        digest = keccak256(parsed.raw)
        with self._session.signing() as connection:
            epoch, transcript = connection.transcript(parsed.key_epoch)
            bits = transcript.key.public_key.bits
            if bits != parsed.modulus_bits:
                raise InvalidInput(
                    f"the spec asks for {parsed.modulus_bits}-bit keys, and key epoch {epoch.epoch} has {bits}",
                    f'write "modulus_bits": {bits} beside the epoch under "key" in the spec, or name another epoch',
                )
            _check_pace(connection.client, parsed)
            cid = connection.store.add(parsed.raw)
            rules = rules_of(parsed, connection.client.head().timestamp + parsed.deadlines.enrol)
            key = f"study/{digest.hex()}/{rules.enrol_until}"
            receipt = connection.send(connection.studies.open(key, parsed.key_epoch, digest, cid, rules, parsed.invited))
        return Created(connection.studies.opened_in(receipt), cid, hex_of(digest), receipt.gas_used, epoch.kind is CeremonyKind.DEALER)

    def show(self, study: int) -> StudySummary:
        """A study's rules, participants and progress, its spec checked against the chain's hash.

        Raises:
            NotFound: for an unknown study. BlobMismatch, InvalidSpec: if its coordinator published something else.

        Example:
            shown = client.study.show(1)
            shown.steps_done, shown.steps
        """
        connection = self._session.reader()
        on_chain, spec = connection.spec(study)
        view = connection.study_view(study)
        return StudySummary(
            study=study,
            name=spec.name,
            coordinator=on_chain.coordinator,
            spec_hash=hex_of(on_chain.spec_hash),
            key_epoch=on_chain.key_epoch,
            participants=view.participants,
            seats=spec.seats,
            steps=on_chain.rules.steps,
            steps_done=len(view.finalised),
            complete=view.complete,
            consent=_consent(connection, on_chain, spec),
        )

    def spec(self, study: int) -> StudySpec:
        """The spec, checked against the chain's hash; `json.loads(spec.raw)` is its document.

        Example:
            json.loads(client.study.spec(1).raw)
        """
        return self._session.reader().spec(study)[1]

    def consent(self, study: int) -> Consent:
        """All that one must know before one accepts the study, from its schedule, its key and its rules: every sum that will be opened,
        how often, by whom. In words it is `str(consent)`.

        Example:
            sum(kind.rounds * kind.numbers for kind in client.study.consent(1).opened)
        """
        connection = self._session.reader()
        return _consent(connection, *connection.spec(study))

    def describe(self, study: int) -> str:
        """The same in words.

        Example:
            print(client.study.describe(1))
        """
        return str(self.consent(study))

    def join(self, study: int, *, accept: bool = False, confirm: Confirm | None = None) -> Enrolment | None:
        """Accept the spec, enrol (S2). The node refuses any study whose spec was not accepted here. Joining again changes nothing.

        Args:
            accept: the spec was read and is accepted.
            confirm: else decides; is called with the consent that is asked for, which prints as words. Where it says no, nothing happens
                and the result is None.

        Raises:
            InvalidInput: with neither. ContractRefused: when the study is full, enrolment has ended or the caller is not invited.

        Example:
            client.study.join(1, confirm=lambda study: input(f"{study} Join? ") == "yes")
        """
        from defedbio.nodes.pins import ClaimingStore, claims_of

        if not accept and confirm is None:
            raise InvalidInput(f"study {study} was not accepted", "read study.describe, then pass accept=True, or confirm to decide")
        with self._session.signing() as connection:
            on_chain, spec = connection.spec(study)
            consent = _consent(connection, on_chain, spec)
            if not accept and confirm is not None and not confirm(consent):
                return None
            network, address = self._session.network, connection.client.address
            folder = self._session.home.study(network.chain_id, network.contracts["RoundManager"], study)
            record_acceptance(folder, study, on_chain.spec_hash)
            connection.frame(study)  # the key's transcript is part of what is agreed
            claims = claims_of(self._session.home, folder)
            replace(connection, store=ClaimingStore(connection.store, claims)).pin_agreed(study)
            if not (folder / JOURNAL).exists() and not self._session.home.restored.exists():
                claims.tell(())  # no agent of it has pinned anything yet
            if connection.studies.participant_index(study, address) == 0:
                connection.send(connection.studies.enrol(f"study/{study}/enrol/{address}", study, on_chain.spec_hash))
            position = connection.studies.participant_index(study, address)
        return Enrolment(study, position, spec.seats, hex_of(on_chain.spec_hash), consent)


def _check_pace(client: ChainClient, spec: StudySpec) -> None:
    """Raises InvalidInput if a phase may end before nodes have acted on its begin, at the pace of the chain's last blocks."""
    depth = confirmations_on(client.network.chain_id) if spec.confirmations is None else spec.confirmations
    newest = client.head()
    before = client.block(max(newest.number - PACE_BLOCKS, 0))
    if not depth or before is None or before.number == newest.number:
        return
    seconds = depth * (newest.timestamp - before.timestamp) / (newest.number - before.number)
    phases = {name: length for name, length in asdict(spec.deadlines).items() if name != "enrol"}
    shortest = min(phases, key=lambda name: phases[name])
    if phases[shortest] < 2 * seconds:
        raise InvalidInput(
            f"an event counts after {depth} blocks, {seconds:.0f} s on this chain, and the phase {shortest!r} lasts {phases[shortest]} s",
            f"give every phase at least {ceil(2 * seconds)} s, or name fewer `confirmations` in the spec",
        )


def _consent(connection: Reader, on_chain: Study, spec: StudySpec) -> Consent:
    # Counting a model's parameters loads the learning part, which nobody needs before there is a spec.
    from defedbio.network.describe import consent_to

    epoch = connection.keys.epoch_of(on_chain.key_epoch)
    return consent_to(
        on_chain.study, on_chain, on_chain.rules, spec, epoch, connection.name_of, frozenset(epoch.holders) - frozenset(epoch.left)
    )
