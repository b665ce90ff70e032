"""The report's sections on rounds: what each organisation did, what left it, and what it declared of its privacy budget."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from defedbio.audit.document import Properties, Section, Table, Text
from defedbio.audit.evidence import NONE, Evidence, hex_of
from defedbio.chain import events as ev
from defedbio.chain.bindings.round_manager import EPSILON_UNITS
from defedbio.crypto import wire
from defedbio.learning.evaluation_sums import Evaluation
from defedbio.protocol.left_out import left_out
from defedbio.protocol.view import RoundView
from defedbio.text import printable


def round_section(evidence: Evidence, view: RoundView) -> Section:
    record, step = evidence.record, evidence.frame.step(view)
    events = evidence.within(view)
    opened = next(e for e in events if isinstance(e, ev.RoundOpened))
    measured = evidence.metrics.get(view.id, Evaluation({}))
    told = ", ".join(f"{k} {v:.4g}" for k, v in measured.values.items() if v is not None)
    metrics = f"unusable: {measured.unusable}" if measured.unusable else told
    parent = f"the model of round {view.parent}" if view.parent else "the first model, which follows from the spec's seed"
    names = [evidence.who(record.view.participants[p]) for p in view.frozen.positions()]
    root = view.aggregate_root(record.epoch.threshold)
    facts = [
        ("Step", f"{view.step + 1}: {step.kind}, {step.length} numbers from each organisation, starting from {parent}"),
        ("Opened", f"{evidence.time(opened)} by {evidence.who(view.opener)}"),
        ("Outcome", _outcome(evidence, view, events)),
        ("Set", f"{len(names)}: {'; '.join(names)}" if names else "none was frozen"),
        ("Set hash", hex_of(view.set_hash)),
        ("Proofs", _proofs(evidence, view)),
        ("Aggregate root", hex_of(root or b"")),
        ("Opening root", hex_of(view.opening_root)),
        ("Model", f"{printable(view.model_cid)}, keccak256 {hex_of(view.model_hash)}" if view.model_hash else NONE),
        *([("Measured of the starting model", metrics)] if metrics else []),
    ]
    acts, missing = _acts(evidence, view, events), left_out(record.view, view)
    rows = []
    for person in dict.fromkeys((*record.view.participants, *record.epoch.holders)):
        position = record.view.participants.index(person) if person in record.view.participants else -1
        reveal = view.reveals.get(position)
        proof = f", proof {hex_of(reveal.proof_hash)}" if reveal is not None and evidence.frame.spec.proofs else ""
        update = f"{printable(reveal.cid)}, root {hex_of(reveal.update_root)}{proof}" if reveal is not None else NONE
        rows.append((evidence.who(person), _standing(view, position, missing), "; ".join(acts.get(person, ())) or NONE, update))
    table = Table(f"Round {view.id} by organisation", ("Organisation", "In the sum", "Did", "Update"), tuple(rows), (3, 2, 4, 4))
    return Section(f"round-{view.id}", f"Round {view.id}", (Properties(tuple(facts)), table))


def _proofs(evidence: Evidence, view: RoundView) -> str:
    if not evidence.frame.spec.proofs:
        return "the study asks for none: nothing shows that an update obeys the study's rules, or that its sender knows what is in it"
    vouching = sum(attested == view.frozen for attested in view.attested.values()) if view.set_hash else 0
    return (
        f"each update of {evidence.frame.proof_bytes(view)} bytes of proof that its sender knows what is in it, and that it obeys the "
        f"study's rules; {vouching} key holders checked those of the set"
    )


def _outcome(evidence: Evidence, view: RoundView, events: Sequence[ev.Event]) -> str:
    ends = [e for e in events if isinstance(e, ev.RoundFinalised | ev.RoundVoided)]
    if not ends:
        return f"running: {view.phase.name.lower()}"
    end = ends[-1]
    if isinstance(end, ev.RoundFinalised):
        return f"finalised, {evidence.time(end)}"
    return f"voided in phase {end.phase.name.lower()}, {evidence.time(end)}: nothing of it is reused"


def _acts(evidence: Evidence, view: RoundView, events: Sequence[ev.Event]) -> dict[str, list[str]]:
    """By organisation, what it did in a round."""
    words: dict[type[ev.Event], str] = {
        ev.ParticipantReturned: "came back",
        ev.UpdateCommitted: "committed",
        ev.UpdateRevealed: "revealed",
        ev.SetAttested: "attested the set",
        ev.AggregatePosted: "posted the aggregate",
        ev.ProductShownWrong: "showed a product to be wrong",
        ev.ShareReleased: "released its share",
        ev.ShareDisputed: "disputed a share",
        ev.OpeningPartPosted: "combined a part of the opening",
        ev.OpeningPosted: "posted the opening",
        ev.ModelAttested: "attested the model",
    }
    acts: dict[str, list[str]] = {}
    for event in events:
        if type(event) in words:
            acts.setdefault(event.actor, []).append(f"{words[type(event)]} {evidence.time(event)[11:19]}")
    for post in view.wrongly_posted:
        acts.setdefault(post.sender, []).append("its product was shown to be wrong")
    for holder in view.disputed:
        acts.setdefault(holder, []).append("its share was disputed")
    return acts


def _standing(view: RoundView, position: int, missing: Mapping[int, str]) -> str:
    """Whether a participant's update is in the sum, and if not why."""
    if position < 0:
        return "not a participant"
    if position in view.frozen:
        return "yes"
    return f"no: {missing[position]}" if view.set_hash else "no set was frozen"


def left(evidence: Evidence) -> Section:
    record = evidence.record
    rows = []
    for person in record.people:
        mine = [e for e in record.events if e.actor == person]
        reveals = [e for e in mine if isinstance(e, ev.UpdateRevealed)]
        size = sum(_update_bytes(evidence, record.view.rounds[e.round]) for e in reveals if e.round in record.view.rounds)
        rows.append(
            (
                evidence.who(person),
                str(sum(isinstance(e, ev.UpdateCommitted) for e in mine)),
                f"{len(reveals)} ({size:,} bytes)",
                str(sum(isinstance(e, ev.SetAttested | ev.ModelAttested) for e in mine)),
                str(sum(isinstance(e, ev.ShareReleased) for e in mine)),
                str(sum(isinstance(e, ev.PrivacyDeclared) for e in mine)),
            )
        )
    head = ("Organisation", "Commitments", "Encrypted updates", "Attestations", "Decryption shares", "Privacy declarations")
    never = (
        "By the protocol, nothing else of an organisation's data leaves it. What never left: records and rows, features, labels, "
        "identifiers, file names, the update before encryption, the model that the organisation trained locally, its key share, and its "
        "sample count in the clear (where updates are weighted by samples, the count is encrypted within the update). What was opened are "
        "sums over the set of each round. "
        "This is what the agents' software sends; the evidence cannot exclude that an operator sent something by another way."
    )
    beside = "Beside those, its registered profile (name, transport public key, network address of its IPFS node) and its votes are public."
    table = Table("What left each organisation in this study", head, tuple(rows), (5, 2, 3, 2, 2, 2))
    return Section("left", "What left each organisation, and what never did", (table, Text(never), Text(beside)))


def _update_bytes(evidence: Evidence, view: RoundView) -> int:
    return evidence.frame.blob_size(wire.BlobKind.UPDATE, view)


def privacy(evidence: Evidence) -> Section:
    agreed, record = evidence.frame.spec.privacy, evidence.record
    if agreed is None:
        return Section("privacy", "Privacy budget", (Text("The study has no differential privacy, and so no budget: encryption only."),))
    of = "each record" if agreed.kind == "record" else "everything an organisation holds"
    rows = []
    for person in record.view.participants:
        spent = record.spent.get(person, 0) / EPSILON_UNITS
        rows.append((evidence.who(person), f"{spent:.6g}", f"{agreed.epsilon:g}", f"{agreed.delta:g}"))
    table = Table(f"Declared loss for {of}", ("Organisation", "Epsilon declared", "Budget", "Delta"), tuple(rows), (5, 2, 2, 2))
    said = "Each organisation's node accounts for its own loss and declares it; that it added the noise, nobody else can see."
    return Section("privacy", "Privacy budget", (table, Text(said)))
