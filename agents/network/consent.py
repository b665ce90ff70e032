"""What an operator says yes to when it joins a study: all that will be opened, how often, by whom, under which rules (S2)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from defedbio.chain.network import CONFIRMATIONS
from defedbio.domain import TWO_THIRDS, WHOLE, CeremonyKind, least_set
from defedbio.text import moment, printable

if TYPE_CHECKING:
    from defedbio.network.precision import Precision


@dataclass(frozen=True)
class Party:
    """An account, and what it calls itself ("" if it registered no name)."""

    address: str
    name: str


@dataclass(frozen=True)
class Sum:
    """So many `numbers` that every organisation adds to and that are opened. An organisation sends 0 for what rests on fewer of its rows
    than `minimum_cell`; None: it sends whatever it has."""

    name: str
    numbers: int
    what: str
    minimum_cell: int | None


@dataclass(frozen=True)
class Opened:
    """What each of `rounds` successful rounds of a kind opens: `numbers` in all."""

    kind: str
    rounds: int
    numbers: int
    sums: tuple[Sum, ...]


@dataclass(frozen=True)
class KeyTerms:
    """Who can open: any `threshold` of the `holders` together. The `retired` were holders, too, and say that they erased their shares."""

    epoch: int
    modulus_bits: int
    ceremony: str
    proposer: Party
    threshold: int
    holders: tuple[Party, ...]
    retired: tuple[Party, ...] = ()

    @property
    def dealt(self) -> bool:
        return self.ceremony == CeremonyKind.DEALER.name.lower()


@dataclass(frozen=True)
class Cohort:
    """Who may take part (any member where nobody is `invited`), and how many must be in a sum that is opened: `minimum`, and
    `least_share` ten-thousandths of the good updates."""

    seats: int
    minimum: int
    least_share: int
    invited: tuple[Party, ...]


@dataclass(frozen=True)
class Timing:
    """`enrol_until` in unix seconds, the phases' deadlines in seconds. A node acts on blocks with so many `confirmations` (None: as many as
    the chain needs), and stops after `max_voids` void rounds in a row."""

    enrol_until: int
    commit: int
    reveal: int
    attest: int
    aggregate: int
    share: int
    finalise: int
    confirmations: int | None
    max_voids: int


@dataclass(frozen=True)
class Retention:
    """For so many `days` after the study's end every participant keeps what finalised rounds published: about so many `bytes`, without the
    proofs of updates."""

    days: int
    bytes: int


@dataclass(frozen=True)
class PrivacyTerms:
    """`kind` is record or sum; `honest` is the number of honest organisations that the noise of a sum rests on."""

    kind: str
    noise_multiplier: float
    epsilon: float
    delta: float
    max_grad_norm: float | None
    sample_rate: float | None
    honest: int | None


@dataclass(frozen=True)
class Consent:
    """`weight_cap` is 1 when all organisations weigh alike; `patience` the rounds without gain after which training stops, None: never."""

    study: int
    name: str
    description: str
    spec_hash: str
    coordinator: Party
    task: str
    columns: tuple[str, ...]
    features: str
    standardised: bool
    model: str
    parameters: int
    training: str
    precision: Precision
    proofs: bool
    weight_cap: int
    patience: int | None
    opened: tuple[Opened, ...]
    key: KeyTerms
    cohort: Cohort
    timing: Timing
    retention: Retention
    privacy: PrivacyTerms | None

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    def __str__(self) -> str:
        return _in_words(self)


def _in_words(agreed: Consent) -> str:
    """Every number of the consent; others' words cannot pass for lines of it."""
    cohort = agreed.cohort
    return "\n".join(
        (
            f"study {agreed.study}: {printable(agreed.name)}",
            *([f"  {printable(agreed.description)}"] if agreed.description else []),
            *_rows("coordinator", [f"{_who(agreed.coordinator)}; sets the rules before anyone enrols, and has no power after that"]),
            *_rows("target", [f"{agreed.task} {', '.join(map(repr, agreed.columns))}"]),
            *_rows("features", [f"{agreed.features}{', standardised over all organisations' if agreed.standardised else ''}"]),
            *_rows("model", [f"{agreed.model}, {agreed.parameters} parameters"]),
            *_rows("training", [f"{agreed.training}{_stops(agreed)}"]),
            *_rows("updates", list(agreed.precision.in_words())),
            *_rows("stays here", ["the rows; every update and count of this organisation leaves it encrypted only"]),
            *_rows("is opened", _openings(agreed)),
            *_rows("to whom", ["to everyone: each opened sum is on IPFS, beside the model that follows from it"]),
            *_rows("by whom", _holders(agreed.key)),
            *_rows("key", _ceremony(agreed.key)),
            *_rows("cohort", _least(cohort)),
            *_rows("who joins", _invited(cohort)),
            *_rows("weighting", [_weighting(agreed)]),
            *_rows("proven", [_proven(agreed)]),
            *_rows("privacy", _privacy(agreed)),
            *_rows(
                "in the clear",
                ["name, IPFS address, keys, commitments, roots, CIDs, times; who is in which sum, or was left out and why"],
            ),
            *_rows("kept", _kept(agreed.retention)),
            *_rows("deadlines", _deadlines(agreed.timing)),
            *_rows("spec", [f"keccak256 {agreed.spec_hash}"]),
        )
    )


def _rows(label: str, lines: list[str]) -> Iterator[str]:
    for place, line in enumerate(lines):
        yield f"  {label if place == 0 else '':<12} {printable(line)}"


def _who(party: Party) -> str:
    """Names are what their owners say of themselves: the address comes first."""
    return f"{party.address} (calls itself {party.name!r})" if party.name else f"{party.address} (no name)"


def _openings(agreed: Consent) -> list[str]:
    rounds = sum(opened.rounds for opened in agreed.opened)
    lines = [f"{rounds} rounds, {sum(o.rounds * o.numbers for o in agreed.opened)} numbers in all; of each kind of round:"]
    for opened in agreed.opened:
        lines.append(f"{opened.kind}, {_times(opened)}: {opened.numbers} numbers")
        lines += [f"  {one.numbers} {one.name}: {one.what}{_cell(one.minimum_cell)}" for one in opened.sums]
    return [*lines, "a void round is done again, and may have opened its sum already"]


def _times(opened: Opened) -> str:
    return "once" if opened.rounds == 1 else f"{opened.rounds} times"


def _cell(minimum: int | None) -> str:
    return "" if minimum is None else f" (0 is sent for fewer than {minimum} rows)"


def _invited(cohort: Cohort) -> list[str]:
    if not cohort.invited:
        return ["any member of the consortium may take a seat"]
    return ["only these may take a seat:", *(f"  {_who(party)}" for party in cohort.invited)]


def _least(cohort: Cohort) -> list[str]:
    least = least_set(cohort.minimum, cohort.least_share, cohort.seats)
    return [
        f"a sum of at least {cohort.minimum} organisations' updates, of {cohort.seats} seats{_share(cohort)}",
        f"with all seats taken and all updates good it may be of {least}, of which {least - 1} who collude learn the one that is left",
    ]


def _share(cohort: Cohort) -> str:
    """In words that the agreed number of ten-thousandths bears out."""
    share = "two thirds" if cohort.least_share == TWO_THIRDS else f"{100 * cohort.least_share / WHOLE:g} %"
    return f", and of {share} of the good updates of its round"


def _holders(key: KeyTerms) -> list[str]:
    return [
        f"any {key.threshold} of these {len(key.holders)} key holders together, who could open a single update, too, if they agreed to:",
        *(f"  {_who(holder)}" for holder in key.holders),
        *(f"  not {_who(holder)}, who says that it erased its share" for holder in key.retired),
    ]


def _ceremony(key: KeyTerms) -> list[str]:
    made = (
        f"a dealer made it, proposed by {_who(key.proposer)}: one machine had the whole key and could have kept it; whoever did reads "
        "every single update"
        if key.dealt
        else f"its holders made it together, proposed by {_who(key.proposer)}: nobody ever had the whole key, nor fewer than "
        f"{key.threshold} of them together"
    )
    return [f"epoch {key.epoch}, {key.modulus_bits} bits", made]


def _weighting(agreed: Consent) -> str:
    return "equal" if agreed.weight_cap == 1 else f"by sample count up to {agreed.weight_cap}, itself encrypted; the total count is opened"


def _proven(agreed: Consent) -> str:
    if agreed.proofs:
        return (
            "of every update, before it is counted and without showing it: that its sender knows what is in it, and that its weight, its "
            "numbers and the norm of its vectors are within these bounds"
        )
    return (
        "NOTHING of updates: any one organisation can spoil a sum unnamed, count for more than its weight, or learn another's update "
        "by sending a changed copy of it"
    )


def _stops(agreed: Consent) -> str:
    return "" if agreed.patience is None else f"; ends early after {agreed.patience} rounds without gain"


def _privacy(agreed: Consent) -> list[str]:
    terms = agreed.privacy
    if terms is None:
        return ["encryption only: no differential privacy in this study; sums and models are opened as they are"]
    budget = f"this node sits out the round that would exceed epsilon {terms.epsilon:g} at delta {terms.delta:g}"
    if terms.kind == "sum":
        whose = "for all data of an organisation"
        return [
            f"{whose}: noise of {terms.noise_multiplier:g} clip norms on the sum, even if only {terms.honest} of a round are honest",
            budget,
        ]
    return [
        f"DP-SGD for each record: noise {terms.noise_multiplier:g}, gradients clipped to {terms.max_grad_norm:g}, rows sampled at "
        f"{terms.sample_rate:g}",
        budget,
    ]


def _kept(retention: Retention) -> list[str]:
    after = f"for {retention.days} days after its end" if retention.days else "until its end, and not after it"
    return [
        "every encrypted update in a sum, with proofs, products, shares, opened sums and models, by every participant and key holder: "
        f"while the study runs and {after}; about {retention.bytes / 1e6:,.1f} MB and the proofs at each",
        "until then, and for ever where somebody kept a copy, so many old key shares as open a sum open each of these updates, too",
    ]


def _deadlines(timing: Timing) -> list[str]:
    until = moment(timing.enrol_until).strftime("%Y-%m-%d %H:%M:%S UTC")
    phases = ("commit", "reveal", "attest", "aggregate", "share", "finalise")
    depth = f"{timing.confirmations} confirmations"
    if timing.confirmations is None:
        depth = f"{CONFIRMATIONS} confirmations (none on a local development chain)"
    return [
        f"enrolment until {until}; then by phase: {', '.join(f'{phase} {getattr(timing, phase)} s' for phase in phases)}",
        f"{depth} before a node acts; it stops after {timing.max_voids} void rounds in a row",
    ]
