"""The four bindings against the real contracts, from a key to an open round."""

from __future__ import annotations

import pytest

from defedbio.chain.bindings.key_registry import KeyRegistry, head_after
from defedbio.chain.bindings.participant_registry import ParticipantRegistry
from defedbio.chain.bindings.round_manager import RoundManager, commitment_hash
from defedbio.chain.bindings.study_registry import StudyRegistry
from defedbio.chain.events import (
    CeremonyAnnounced,
    CeremonyConcluded,
    CeremonyPosted,
    CeremonyStepEntered,
    CeremonySucceeded,
    KeyEpochActivated,
    ParticipantEnrolled,
    ParticipantsInvited,
    PhaseEntered,
    RoundOpened,
    StudyOpened,
    UpdateCommitted,
    fetch_events,
)
from defedbio.chain.feed import EventFeed
from defedbio.chain.network import Network
from defedbio.chain.values import KeyEpoch, Study, StudyRules
from defedbio.domain import BitSet, CeremonyKind, CeremonyStatus, KeyEpochStatus, Phase
from defedbio.errors import ContractRefused, NotFound

from .conftest import Anvil, Connect, account

MODULUS = b"\xc3" + b"\x07" * 255
TRANSCRIPT, SPEC = b"\x11" * 32, b"\x22" * 32
FOUNDERS = [account(i).address for i in range(4)]


def test_from_a_key_to_the_first_reveal(connect: Connect, network: Network, anvil: Anvil) -> None:
    clients = [connect(i) for i in range(4)]
    keys = [KeyRegistry(c) for c in clients]
    proposal = KeyRegistry.propose("p", MODULUS, FOUNDERS[:3], 2, TRANSCRIPT, "bafytranscript")
    epoch = keys[0].proposed_in(clients[0].send(proposal))
    assert keys[0].proposal_of(epoch).transcript_cid == "bafytranscript"
    with pytest.raises(ContractRefused) as refusal:
        clients[1].send(KeyRegistry.confirm("wrong", epoch, SPEC))
    assert refusal.value.name == "KeyRegistryTranscriptMismatch"
    assert refusal.value.values == (epoch, "0x" + TRANSCRIPT.hex(), "0x" + SPEC.hex())
    for holder in clients[:3]:
        holder.send(KeyRegistry.confirm("c", epoch, TRANSCRIPT))
    found = keys[3].epoch_of(epoch)
    assert isinstance(found, KeyEpoch)
    assert (found.status, found.confirmations, found.holders) == (KeyEpochStatus.ACTIVE, BitSet.of(0, 1, 2), tuple(FOUNDERS[:3]))
    assert found.threshold == 2
    assert (keys[0].holder_index(epoch, FOUNDERS[2]), keys[0].holder_index(epoch, FOUNDERS[3])) == (3, 0)

    rules = StudyRules(4, 3, 2, clients[0].head().timestamp + 3600, 600, 600, 600, 600, 600, 600, 6_666)
    studies = [StudyRegistry(c) for c in clients]
    study = studies[0].opened_in(clients[0].send(StudyRegistry.open("o", epoch, SPEC, "bafyspec", rules)))
    for enrolling in clients:
        enrolling.send(StudyRegistry.enrol("e", study, SPEC))
    assert studies[0].study_of(study) == Study(study, FOUNDERS[0], epoch, 4, 0, SPEC, rules)
    assert studies[0].opening_of(study).rules == rules
    assert [studies[0].participant_index(study, founder) for founder in FOUNDERS] == [1, 2, 3, 4]
    assert studies[0].study_count() == 1
    assert all(ParticipantRegistry(clients[0]).is_member(founder) for founder in FOUNDERS)

    rounds = [RoundManager(c) for c in clients]
    number = rounds[0].opened_in(clients[0].send(RoundManager.open_round("r", study)))
    where = network.contracts["RoundManager"]
    for i, client in enumerate(clients):
        root = bytes([i + 1]) * 32
        commitment = commitment_hash(network.chain_id, where, number, FOUNDERS[i], root, "bafy", SPEC, TRANSCRIPT)
        client.send(RoundManager.commit("commit", number, commitment))
    state = rounds[0].round_of(number)
    assert (state.phase, state.committed, state.parent, state.step) == (Phase.COMMITTED, BitSet.of(0, 1, 2, 3), 0, 0)
    clients[1].send(RoundManager.reveal("v", number, b"\x02" * 32, "bafy", SPEC, TRANSCRIPT))
    assert rounds[0].round_of(number).revealed == BitSet.of(1)

    last = clients[0].head().number
    of_study = fetch_events(clients[0], network.deploy_block, last, study=study)
    assert [type(e) for e in of_study] == [StudyOpened, *[ParticipantEnrolled] * 4, RoundOpened]
    of_round = fetch_events(clients[0], network.deploy_block, last, rounds=[number], kinds=[PhaseEntered, UpdateCommitted])
    assert [e.phase for e in of_round if isinstance(e, PhaseEntered)] == [Phase.OPEN, Phase.COMMITTED]
    assert len(of_round) == 6
    of_epoch = fetch_events(clients[0], network.deploy_block, last, epoch=epoch, kinds=[KeyEpochActivated])
    assert len(of_epoch) == 1

    other = studies[3].opened_in(clients[3].send(StudyRegistry.open("i", epoch, SPEC, "bafyspec", rules, FOUNDERS)))
    assert studies[0].invited_to(other) == tuple(FOUNDERS) and studies[0].invited_to(study) == ()
    assert (studies[0].study_of(other).invited, studies[0].study_of(study).invited) == (4, 0)
    kept = EventFeed(clients[0], study=study).poll().events
    assert len(kept) == 6 + 6 + 1, "a node keeps what its own study writes: enrolment, commitments with their phases, and the reveal"
    assert {type(e) for e in EventFeed(clients[0], study=other).poll().events} == {StudyOpened, ParticipantsInvited}


def test_from_an_announced_ceremony_to_its_key(connect: Connect, network: Network, anvil: Anvil) -> None:
    clients = [connect(i) for i in range(3)]
    keys = KeyRegistry(clients[0])
    with pytest.raises(NotFound):
        keys.ceremony_of(1)
    ceremony = keys.announced_in(clients[0].send(KeyRegistry.announce("a", FOUNDERS[:3], 2, 2048, 600)))
    assert keys.ceremony_count() == ceremony
    head, where = bytes(32), network.contracts["KeyRegistry"]
    for step, posters in ((0, 3), (1, 2)):
        hashes = [bytes([1 + step, i + 1]) * 16 for i in range(posters)]
        for client, hash_ in zip(clients, hashes, strict=False):
            client.send(KeyRegistry.post(f"p/{step}", ceremony, step, head, hash_, "bafymessage"))
        head = head_after(network.chain_id, where, ceremony, step, head, hashes)
    state = keys.ceremony_of(ceremony)
    assert (state.step, state.head, state.posted, state.status) == (2, head, BitSet(), CeremonyStatus.RUNNING)
    assert (state.holders, state.threshold, state.bits, state.step_seconds) == (tuple(FOUNDERS[:3]), 2, 2048, 600)

    epoch = keys.proposed_in(clients[1].send(KeyRegistry.propose_from("f", ceremony, head, MODULUS, TRANSCRIPT, "bafytranscript")))
    for client in clients:
        client.send(KeyRegistry.confirm("c", epoch, TRANSCRIPT))
    assert keys.ceremony_of(ceremony).status == CeremonyStatus.SUCCEEDED
    assert (keys.epoch_of(epoch).status, keys.epoch_of(epoch).kind) == (KeyEpochStatus.ACTIVE, CeremonyKind.DISTRIBUTED)
    found = fetch_events(clients[0], network.deploy_block, clients[0].head().number, ceremony=ceremony)
    entered = [CeremonyStepEntered, *[CeremonyPosted] * 3, CeremonyStepEntered, *[CeremonyPosted] * 2, CeremonyStepEntered]
    assert [type(e) for e in found] == [CeremonyAnnounced, *entered, CeremonyConcluded, CeremonySucceeded]

    second = keys.announced_in(clients[0].send(KeyRegistry.announce("b", FOUNDERS[:3], 2, 3072, 600)))
    clients[1].send(KeyRegistry.complain("x", second, "wrong"))
    clients[1].send(KeyRegistry.publish_seed("s", second, SPEC))
    assert keys.ceremony_of(second).seeds == BitSet.of(1)
    with pytest.raises(ContractRefused) as refusal:
        clients[0].send(KeyRegistry.expire("e", second))
    assert refusal.value.name == "CeremonyUnexpectedStatus"
    of_epoch = fetch_events(clients[0], network.deploy_block, clients[0].head().number, epoch=epoch)
    assert not any(isinstance(e, CeremonyAnnounced) for e in of_epoch), "an epoch's number is not a ceremony's"
