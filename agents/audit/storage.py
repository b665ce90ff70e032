"""What the contracts' storage must hold if a study's events are all there are: so that an event left out is found.

Slots and packing are those of Solidity's storage layout (tests/agents/audit/test_storage.py pins them to what the compiler says).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from defedbio.audit.record import Record
from defedbio.chain.proofs import array_slot, mapping_slot
from defedbio.domain import NO_ONE, BitSet
from defedbio.protocol.view import RoundView

STUDIES, PARTICIPANT_INDEX = 1, 2  # StudyRegistry
EPOCHS, HOLDER_INDEX = 6, 7  # KeyRegistry
MEMBERS, PROFILES = 1, 2  # ParticipantRegistry
PRIVACY_SPENT, PROGRESS, ROUNDS = 1, 2, 3  # RoundManager
TRANSPORT_KEY = 2  # within a profile
COMMITTED, REVEALED, FROZEN, AGGREGATORS, OPENERS, COMBINERS, DECLARED = range(2, 9)
AGGREGATE_ROOT, MODEL_HASH, COMMITMENTS, ATTESTATIONS = range(9, 13)
ABSENT, DISPUTES, SHARE = range(18, 21)
REFUSALS = 22
WRONG = 23


@dataclass(frozen=True)
class Word:
    """A storage word as the events have it: `what` names it for a reader, `peer` the address that it is about, if any."""

    contract: str
    slot: int
    value: int
    what: str
    peer: str = ""


def packed(*fields: tuple[int, int]) -> int:
    """(value, bits) from the lowest bits up."""
    word = shift = 0
    for value, bits in fields:
        word |= value << shift
        shift += bits
    return word


def expected(record: Record) -> Iterator[Word]:
    """Every word that the record decides."""
    yield from _study(record)
    yield from _epoch(record)
    for person in record.people:
        yield Word("ParticipantRegistry", mapping_slot(MEMBERS, person), int(record.members[person]), "membership", person)
        profile = record.profiles.get(person)
        key = int.from_bytes(profile.transport_key, "big") if profile is not None else 0
        yield Word("ParticipantRegistry", mapping_slot(PROFILES, person) + TRANSPORT_KEY, key, "transport key", person)
        spent = mapping_slot(mapping_slot(PRIVACY_SPENT, record.view.id), person)
        yield Word("RoundManager", spent, record.spent.get(person, 0), "declared privacy", person)
    for view in record.view.rounds.values():
        yield from _round(record, view)


def foreign_rounds(record: Record) -> Iterator[tuple[int, int]]:
    """(round, slot of its first word) of the rounds before the study's latest that the events do not give to it."""
    latest = max(record.view.rounds, default=0)
    return ((number, mapping_slot(ROUNDS, number)) for number in range(1, latest) if number not in record.view.rounds)


def study_in(first_word: int) -> int:
    """The study that a round's first word names."""
    return first_word & (1 << 64) - 1


def _study(record: Record) -> Iterator[Word]:
    view, rules = record.view, record.study.rules
    base = mapping_slot(STUDIES, view.id)
    people = packed((int(view.coordinator, 16), 160), (view.key_epoch, 64), (len(view.participants), 16), (len(view.invited), 16))
    yield Word("StudyRegistry", base, people, "enrolment")
    yield Word("StudyRegistry", base + 1, int.from_bytes(view.spec_hash, "big"), "spec hash")
    first = packed(
        *((rules.seats, 16), (rules.min_cohort, 16), (rules.steps, 32), (rules.enrol_until, 64)),
        *((s, 32) for s in (rules.commit_seconds, rules.reveal_seconds, rules.attest_seconds, rules.aggregate_seconds)),
    )
    yield Word("StudyRegistry", base + 2, first, "rules")
    yield Word("StudyRegistry", base + 3, packed((rules.share_seconds, 32), (rules.finalise_seconds, 32), (rules.least_share, 16)), "rules")
    for index, person in enumerate(view.participants, 1):
        yield Word("StudyRegistry", mapping_slot(mapping_slot(PARTICIPANT_INDEX, view.id), person), index, "enrolment", person)
    finalised = view.finalised
    progress = packed((max(view.rounds, default=0), 64), (finalised[-1].id if finalised else 0, 64), (len(finalised), 32))
    yield Word("RoundManager", mapping_slot(PROGRESS, view.id), progress, "rounds of the study")


def _epoch(record: Record) -> Iterator[Word]:
    epoch = record.epoch
    base = mapping_slot(EPOCHS, epoch.epoch)
    head = packed(
        *((int(epoch.proposer, 16), 160), (epoch.threshold, 8), (epoch.kind, 8), (epoch.status, 8)),
        *((epoch.modulus_bits, 16), (epoch.confirmations.bits, 16), (epoch.retired.bits, 16)),
    )
    yield Word("KeyRegistry", base, head, "key epoch, its confirmations and retired shares")
    yield Word("KeyRegistry", base + 1, int.from_bytes(epoch.modulus_hash, "big"), "modulus")
    yield Word("KeyRegistry", base + 2, int.from_bytes(epoch.transcript_hash, "big"), "key transcript")
    yield Word("KeyRegistry", base + 3, len(epoch.holders), "number of key holders")
    for index, holder in enumerate(epoch.holders):
        yield Word("KeyRegistry", array_slot(base + 3, index), int(holder, 16), "key holder", holder)
        yield Word("KeyRegistry", mapping_slot(mapping_slot(HOLDER_INDEX, epoch.epoch), holder), index + 1, "key holder", holder)


def _round(record: Record, view: RoundView) -> Iterator[Word]:
    base, rules, epoch = mapping_slot(ROUNDS, view.id), record.study.rules, record.epoch
    seats = {person: index for index, person in enumerate(record.view.participants)}
    holders = {person: index for index, person in enumerate(epoch.holders)}

    def word(slot: int, value: int, what: str, peer: str = "") -> Word:
        return Word("RoundManager", slot, value, f"round {view.id}: {what}", peer)

    def bits(of: dict[str, int], people: Iterator[str]) -> int:
        return BitSet.of(*(of[person] for person in people if person in of)).bits

    root = view.aggregate_root(epoch.threshold) or b""
    yield word(
        base,
        packed(
            *((view.study, 64), (view.step, 32), (view.phase, 8), (view.deadline, 48), (view.parent, 64), (epoch.threshold, 8)),
            (bits(holders, (s.holder for s in view.shares)), 16),
            (bits(holders, (a.holder for a in view.attestations)), 16),
        ),
        "study, step, phase, parent, shares and attestations",
    )
    timing = (rules.reveal_seconds, rules.attest_seconds, rules.aggregate_seconds, rules.share_seconds, rules.finalise_seconds)
    agreed = packed((record.view.key_epoch, 64), (len(seats), 16), (rules.min_cohort, 16), *((seconds, 32) for seconds in timing))
    yield word(base + 1, agreed, "rules")
    refusers = bits(holders, (holder for holder, refused in view.refused.items() if refused.bits))
    counts = sum(min(count, 255) << 8 * holders[holder] for holder, count in view.attestations_of_sets.items() if holder in holders)
    agreed_on = packed((rules.least_share, 16), (refusers, 16), (counts, 128))
    yield word(base + SHARE, agreed_on, "least share, who refuses updates, and how often each holder attested to a set")
    yield word(base + COMMITTED, bits(seats, iter(view.commitments)), "who committed")
    yield word(base + REVEALED, BitSet.of(*view.reveals).bits, "who revealed")
    yield word(base + FROZEN, view.frozen.bits, "the set")
    yield word(base + AGGREGATORS, bits(seats, (p.sender for p in view.aggregates)), "who aggregated")
    yield word(base + OPENERS, bits(seats, (p.sender for p in view.openings)), "who posted an opening")
    yield word(base + COMBINERS, bits(seats, (p.sender for p in view.parts)), "who posted a part of an opening")
    yield word(base + DECLARED, bits(seats, iter(view.privacy)), "who declared privacy")
    yield word(base + AGGREGATE_ROOT, int.from_bytes(root, "big"), "the aggregate's root")
    wrong = {post.root for post in view.wrongly_posted}
    for posted in dict.fromkeys(post.root for post in view.aggregates):
        posters = bits(seats, (post.sender for post in view.aggregates if post.root == posted)) if posted in wrong else 0
        yield word(mapping_slot(base + WRONG, int.from_bytes(posted, "big")), posters, "who posted a product that was shown wrong")
    yield word(base + MODEL_HASH, int.from_bytes(view.model_hash, "big"), "the model's hash")
    for person, commitment in view.commitments.items():
        slot = mapping_slot(base + COMMITMENTS, seats.get(person, 0))
        yield word(slot, int.from_bytes(commitment, "big"), "commitment", person)
    yield word(base + ABSENT, view.absent.bits, "for whom it did not wait")
    for person in record.people:
        disputed = bits(holders, (dispute.holder for dispute in view.disputes if dispute.accuser == person))
        yield word(mapping_slot(base + DISPUTES, person), disputed, "whose shares it disputes", person)
    for holder in epoch.holders:
        attested = view.attested.get(holder)
        slot = mapping_slot(base + ATTESTATIONS, holders[holder])
        yield word(slot, attested.bits if attested is not None else 0, "attestation of the set", holder)
        slot = mapping_slot(base + REFUSALS, holders[holder])
        yield word(slot, view.refused.get(holder, NO_ONE).bits, "refused updates", holder)
