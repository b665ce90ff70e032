"""What the report says, section by section, from proven evidence only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from enum import IntEnum

from defedbio.audit.controls import Control, controls, note
from defedbio.audit.document import Document, Properties, Section, Table, Text
from defedbio.audit.evidence import NONE, Evidence, hex_of, moment, printable_lines
from defedbio.audit.round_sections import left, privacy, round_section
from defedbio.audit.verdict import NotPossible, OwnWord, verdict_of
from defedbio.chain import events as ev
from defedbio.chain.network import CONTRACTS
from defedbio.chain.values import StudyRules
from defedbio.domain import WHOLE, BitSet, CeremonyKind, Phase
from defedbio.network.describe import consent_to, retired_before
from defedbio.protocol.verify import Check
from defedbio.text import printable

# The maker's own network file and node are no roots for whoever reads the report.
MAKERS_WORD = OwnWord("network", True, "which network and chain this is of is the word of whoever made the bundle")


def document_of(evidence: Evidence, checks: Sequence[Check]) -> Document:
    """The whole report. `checks` are those of the evidence, which the report repeats."""
    view, verdict = evidence.record.view, verdict_of([*checks, MAKERS_WORD])
    sections = (
        _summary(evidence, verdict),
        Section("study", "What was agreed", (Text(printable_lines(_consent(evidence))), Properties(_terms(evidence)))),
        _organisations(evidence),
        _membership(evidence),
        _ceremony(evidence),
        *(round_section(evidence, round_) for round_ in view.rounds.values()),
        left(evidence),
        privacy(evidence),
        _chronology(evidence),
        _verification(checks, verdict),
        _controls(),
        _limits(evidence),
        _blocks(evidence),
    )
    return Document(f"Evidence of study {view.id}: {printable(evidence.frame.spec.name)}", _as_of(evidence), sections)


def _consent(evidence: Evidence) -> str:
    """What everyone who joined said yes to, the key's holders as they were when the study was opened."""
    record = evidence.record
    assert record.view.rules is not None
    retired = retired_before(record.view.id, record.epoch.epoch, record.events)
    return str(consent_to(record.view.id, record.view, record.view.rules, evidence.frame.spec, record.epoch, record.name_of, retired))


def _as_of(evidence: Evidence) -> str:
    return f"As of block {evidence.anchor.number} of chain {evidence.network.chain_id}, {moment(evidence.anchor.timestamp)}"


def _summary(evidence: Evidence, verdict: str) -> Section:
    record, view = evidence.record, evidence.record.view
    voided = sum(r.phase == Phase.VOIDED for r in view.rounds.values())
    assert view.rules is not None
    contents = "with the encrypted updates" if evidence.manifest.updates else "without the encrypted updates (their CIDs only)"
    rows = [
        ("Verdict", f"{verdict}, by the checks under Verification"),
        (
            "Checked against",
            "the contracts that this software releases, and itself; which network and chain it is of is its maker's word. To have it "
            "verified, hold it against your own: defedbio audit check BUNDLE --network FILE --rpc URL",
        ),
        ("Study", f"{view.id}, opened by {evidence.who(view.coordinator)}"),
        ("Participants", str(len(view.participants))),
        ("Rounds", f"{len(view.finalised)} of {view.rules.steps} finalised, {voided} voided"),
        ("Newest model", f"{printable(view.head.model_cid)}, keccak256 0x{view.head.model_hash.hex()}" if view.head else "none"),
        ("Chain", f"id {evidence.network.chain_id}"),
        *((name, evidence.network.contracts[name]) for name in CONTRACTS),
        ("Evidence up to", f"block {evidence.anchor.number}, 0x{evidence.anchor.hash.hex()}"),
        ("Bundle", f"{contents}; {len(record.events)} events"),
    ]
    reading = (
        "Everything below is derived from events in transaction receipts that were held against the headers of their blocks, and from "
        "files that were held against hashes in those events. `defedbio audit check` repeats that with no network. What ties the headers "
        "to the real chain is their hashes: compare them (last section) with a node or explorer that you trust. "
        "Names are those that organisations registered for themselves."
    )
    return Section("summary", "Summary", (Properties(tuple(rows)), Text(reading)))


def _terms(evidence: Evidence) -> tuple[tuple[str, str], ...]:
    rules, view = evidence.record.view.rules, evidence.record.view
    assert isinstance(rules, StudyRules)
    seconds = "; ".join(
        f"{f.name.removesuffix('_seconds')} {getattr(rules, f.name)} s" for f in fields(rules) if f.name.endswith("_seconds")
    )
    return (
        ("Spec", f"{printable(view.spec_cid)}, keccak256 0x{view.spec_hash.hex()}"),
        (
            "Seats and least cohort",
            f"{rules.seats} seats; a sum of at least {rules.min_cohort}, and of {100 * rules.least_share / WHOLE:g} % of the good updates",
        ),
        ("Rounds to finalise", str(rules.steps)),
        ("Enrolment until", moment(rules.enrol_until)),
        ("Time for each phase", seconds),
    )


def _organisations(evidence: Evidence) -> Section:
    record = evidence.record
    rows = []
    for person in record.people:
        roles = []
        if person in record.view.participants:
            roles.append(f"participant {record.view.participants.index(person) + 1}")
        if person in record.epoch.holders:
            roles.append(f"key holder {record.epoch.holders.index(person) + 1}")
        if person == record.view.coordinator:
            roles.append("coordinator")
        if person == record.epoch.proposer:
            roles.append("proposed the key")
        profile = record.profiles.get(person)
        registered = evidence.time(profile) if profile is not None else NONE
        member = "yes" if record.members[person] else "no"
        rows.append((printable(record.name_of(person)) or NONE, person, ", ".join(roles), member, registered))
    table = Table("Organisations", ("Name", "Account", "Roles", "Member", "Profile published"), tuple(rows), (3, 5, 4, 1, 3))
    return Section("organisations", "Organisations", (table,))


def _membership(evidence: Evidence) -> Section:
    rows = []
    for event in evidence.record.events:
        match event:
            case ev.VoteCast():
                what = f"votes to {'admit' if event.admit else 'remove'} {evidence.who(event.subject)}: {event.votes} of {event.needed}"
                rows.append((evidence.time(event), evidence.who(event.voter), what))
            case ev.MemberAdmitted():
                rows.append((evidence.time(event), evidence.who(event.member), f"is a member; {event.members} members"))
            case ev.MemberRemoved():
                rows.append((evidence.time(event), evidence.who(event.member), f"is no member any more; {event.members} members"))
    return Section("membership", "Votes and membership", (Table("Votes and membership", ("Time", "Who", "What"), tuple(rows), (2, 4, 5)),))


def _ceremony(evidence: Evidence) -> Section:
    epoch, proposal = evidence.record.epoch, evidence.record.proposal
    dealt = "one machine made the key and dealt the shares" if epoch.kind == CeremonyKind.DEALER else "nobody ever had the whole key"
    facts = (
        ("Key epoch", f"{epoch.epoch}, {epoch.status.name.lower()}"),
        ("Ceremony", f"{epoch.kind.name.lower()}: {dealt}"),
        ("Proposed", f"{evidence.time(proposal)} by {evidence.who(epoch.proposer)}"),
        ("Opens a sum", f"{epoch.threshold} of {len(epoch.holders)} holders together"),
        ("Modulus", f"{epoch.modulus_bits} bits, keccak256 0x{epoch.modulus_hash.hex()}"),
        ("Transcript", f"{printable(proposal.transcript_cid)}, keccak256 0x{epoch.transcript_hash.hex()}"),
        ("Shares left", f"{len(epoch.left)} of {len(epoch.holders)}, by the word of those who say that they erased theirs"),
    )
    said: dict[str, str] = {}
    erased: set[str] = set()
    for event in evidence.record.events:
        match event:
            case ev.KeyShareConfirmed(epoch=epoch.epoch):
                said[event.holder] = f"checked and confirmed, {evidence.time(event)}"
            case ev.KeyShareRetired(epoch=epoch.epoch):
                said[event.holder] = f"{said.get(event.holder, '')}; erased it, {evidence.time(event)}".removeprefix("; ")
                erased.add(event.holder)
            case ev.ShareReleased() if event.holder in erased:
                said[event.holder] += f"; RELEASED IT ALL THE SAME in round {event.round}, {evidence.time(event)}"
            case ev.KeyEpochRejected(epoch=epoch.epoch):
                said[event.holder] = f"rejected, {evidence.time(event)}: {printable(event.reason)}"
    rows = tuple((str(i), evidence.who(holder), said.get(holder, "said nothing")) for i, holder in enumerate(epoch.holders, 1))
    return Section("key", "Key ceremony", (Properties(facts), Table("Key holders", ("Share", "Holder", "Said"), rows, (1, 5, 4))))


def _chronology(evidence: Evidence) -> Section:
    rows = []
    for event in evidence.record.events:
        signer = evidence.senders.get(event.meta.tx_hash)
        what = f"{type(event).__name__}: {_values(event)}"
        by = evidence.who(signer) if signer is not None else "signer not proven"
        rows.append((evidence.time(event), str(event.meta.block), by, what, f"0x{event.meta.tx_hash.hex()}"))
    head = ("Time", "Block", "Signed by", "Event", "Transaction")
    return Section("chronology", "Who did what when", (Table("All events, in the order of the chain", head, tuple(rows), (3, 1, 4, 7, 4)),))


def _values(event: ev.Event) -> str:
    return ", ".join(f"{f.name} {_shown(getattr(event, f.name))}" for f in fields(event) if f.name != "meta")


def _shown(value: object) -> str:
    match value:
        case bytes():
            return hex_of(value)
        case BitSet():
            return "{" + ", ".join(str(p + 1) for p in value.positions()) + "}"
        case IntEnum():
            return value.name.lower()
        case tuple():
            return "[" + ", ".join(_shown(item) for item in value) + "]"
        case StudyRules():
            return "as under What was agreed"
    return printable(str(value))


def _verification(checks: Sequence[Check], verdict: str) -> Section:
    rows = tuple((check.name, _result(check), printable(check.detail), check.peer or NONE) for check in checks)
    said = (
        f"Verdict: {verdict}. Each time `defedbio audit check` runs, it checks in addition the manifest, this report itself, and the "
        "network and the chain against those that its user trusts."
    )
    return Section("verification", "Verification", (Text(said), Table("Checks", ("Check", "Result", "Found", "About"), rows, (3, 1, 7, 3))))


def _result(check: Check) -> str:
    if not check.ok:
        return "FAILS"
    return "not possible" if isinstance(check, NotPossible) else "holds"


def _controls() -> Section:
    def row(control: Control) -> tuple[str, ...]:
        return (control.reference, control.title, control.supports, ", ".join(control.evidence) or NONE, control.does_not_support)

    frameworks = dict.fromkeys(control.framework for control in controls())
    head = ("Requirement", "About", "What the evidence supports", "Where", "What it does not support")
    tables = (
        Table(name, head, tuple(row(control) for control in controls() if control.framework == name), (2, 3, 5, 3, 5))
        for name in frameworks
    )
    return Section("controls", "Requirements and this evidence", (Text(note()), *tables))


def _limits(evidence: Evidence) -> Section:
    record, spec = evidence.record, evidence.frame.spec
    limits = [
        "The headers are held against proofs, not against the chain: a whole false chain would pass. Compare the hashes.",
        "Block times are set by block producers, within the rules of their chain.",
        "An account is not a person. Names are self-declared; who operates an account is not shown.",
        "That local data were true, complete and lawfully used cannot be seen in this evidence: nobody else ever sees them.",
        "Proofs bound what an update holds, its norm up to a small factor; that it comes of honest training they do not show."
        if spec.proofs
        else "The study asks for no proofs: a malicious participant could send an update beyond the agreed norm.",
        f"{record.epoch.threshold} key holders together could have opened single updates in secret; the chain would not show it.",
        "The cryptography has had no external review.",
    ]
    if record.epoch.kind == CeremonyKind.DEALER:
        limits.append("The key was dealt by one machine: if it kept the factors, its owner can read every update under this key.")
    if spec.privacy is None:
        limits.append("Without differential privacy nothing bounds what the models themselves tell of the data they were trained on.")
    else:
        limits.append("Whether an organisation added the noise that it declared cannot be seen from outside.")
    if not evidence.manifest.updates:
        limits.append("The bundle was made without the encrypted updates: proofs, products and openings cannot be redone from it.")
    if evidence.manifest.missing:
        limits.append("Could not be had when the bundle was made: " + ", ".join(map(printable, evidence.manifest.missing)) + ".")
    return Section("limits", "Limits", tuple(Text(limit) for limit in limits))


def _blocks(evidence: Evidence) -> Section:
    rows = tuple((str(n), f"0x{header.hash.hex()}", moment(header.timestamp)) for n, header in sorted(evidence.headers.items()))
    return Section("blocks", "Block hashes to compare", (Table("Blocks of this evidence", ("Block", "Hash", "Time"), rows, (1, 6, 2)),))
