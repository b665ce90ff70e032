"""The consent that a study asks for. Nothing here is written for one study: numbers come from the schedule that rounds follow, holders
and rules from the chain."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Protocol

from defedbio.chain.events import Event, KeyShareRetired, StudyOpened
from defedbio.chain.values import StudyRules
from defedbio.crypto.packing import Layout
from defedbio.crypto.proofs import share as share_proof
from defedbio.crypto.wire import HEADER_BYTES
from defedbio.domain import CeremonyKind
from defedbio.errors import InternalFault
from defedbio.learning import statistics
from defedbio.learning.parameters import count
from defedbio.learning.plan import EVALUATION, Step, schedule
from defedbio.learning.state import size_cap
from defedbio.learning.tasks import open_task
from defedbio.network.consent import Cohort, Consent, KeyTerms, Opened, Party, PrivacyTerms, Retention, Sum, Timing
from defedbio.network.precision import precision
from defedbio.spec import RegressionSpec, StudySpec, SumPrivacy

WEIGHT = "weight"


class StudyFacts(Protocol):
    """What the chain says of a study, in whichever form it was read."""

    @property
    def coordinator(self) -> str: ...
    @property
    def spec_hash(self) -> bytes: ...


class EpochFacts(Protocol):
    """What the chain says of a key epoch, in whichever form it was read."""

    @property
    def epoch(self) -> int: ...
    @property
    def proposer(self) -> str: ...
    @property
    def threshold(self) -> int: ...
    @property
    def kind(self) -> CeremonyKind: ...
    @property
    def modulus_bits(self) -> int: ...
    @property
    def holders(self) -> tuple[str, ...]: ...


def retired_before(study: int, epoch: int, events: Iterable[Event]) -> frozenset[str]:
    """The holders of the epoch that had retired their shares when the study was opened, by the chain's events in order."""
    retired: set[str] = set()
    for event in events:
        if isinstance(event, StudyOpened) and event.study == study:
            break
        if isinstance(event, KeyShareRetired) and event.epoch == epoch:
            retired.add(event.holder)
    return frozenset(retired)


def consent_to(
    study: int,
    on_chain: StudyFacts,
    rules: StudyRules,
    spec: StudySpec,
    epoch: EpochFacts,
    name_of: Callable[[str], str],
    retired: Collection[str] = (),
) -> Consent:
    """All that one must know before one accepts the study. `name_of` says what an address calls itself; `retired` holders of the epoch
    have erased their shares."""

    def party(address: str) -> Party:
        return Party(address, name_of(address))

    layers = " -> ".join(map(str, (spec.features.width, *(spec.model.hidden or spec.model.channels), spec.task.outputs)))
    module = f" of the module {spec.model.module} (sha256 {spec.model.sha256})" if spec.model.module else ""
    training, stopping = spec.training, spec.evaluation.early_stopping if spec.evaluation is not None else None
    return Consent(
        study=study,
        name=spec.name,
        description=spec.description,
        spec_hash="0x" + on_chain.spec_hash.hex(),
        coordinator=party(on_chain.coordinator),
        task=spec.task.kind,
        columns=tuple(spec.task.columns),
        features=spec.features.in_words,
        standardised=spec.standardise,
        model=f"{spec.model.kind} {layers}{module}",
        parameters=count(spec),
        training=f"{training.steps} steps of {training.batch_size} rows, {training.optimizer} {training.learning_rate:g}, "
        f"{spec.strategy.kind}",
        precision=precision(spec),
        proofs=spec.proofs,
        weight_cap=spec.weight_cap,
        patience=stopping.patience if stopping is not None else None,
        opened=tuple(_opened(spec)),
        key=KeyTerms(
            epoch=epoch.epoch,
            modulus_bits=epoch.modulus_bits,
            ceremony=epoch.kind.name.lower(),
            proposer=party(epoch.proposer),
            threshold=epoch.threshold,
            holders=tuple(party(holder) for holder in epoch.holders if holder not in retired),
            retired=tuple(party(holder) for holder in epoch.holders if holder in retired),
        ),
        cohort=Cohort(rules.seats, rules.min_cohort, rules.least_share, tuple(map(party, spec.invited))),
        timing=Timing(
            enrol_until=rules.enrol_until,
            commit=rules.commit_seconds,
            reveal=rules.reveal_seconds,
            attest=rules.attest_seconds,
            aggregate=rules.aggregate_seconds,
            share=rules.share_seconds,
            finalise=rules.finalise_seconds,
            confirmations=spec.confirmations,
            max_voids=spec.max_voids,
        ),
        retention=Retention(spec.retention_days, _kept_bytes(spec, rules.seats, epoch)),
        privacy=_privacy(spec),
    )


def _kept_bytes(spec: StudySpec, seats: int, epoch: EpochFacts) -> int:
    """The numbers that the finalised rounds of a study publish, if all seats are taken and everyone is honest: updates, the product, a
    share of each holder, opening and model. Proofs of updates come on top, whose size follows from their forms (docs/proofs.md)."""
    steps, width = schedule(spec), spec.modulus_bits // 8
    ciphertexts = sum(Layout(spec.modulus_bits, step.runs).ciphertexts for step in steps)
    of_each = len(epoch.holders) * share_proof.size(spec.modulus_bits) + size_cap(spec) + HEADER_BYTES * (seats + 2 + len(epoch.holders))
    return ciphertexts * width * (2 * seats + 2 + 2 + len(epoch.holders)) + len(steps) * of_each


def _opened(spec: StudySpec) -> Iterator[Opened]:
    """The kinds of round in the order of the schedule; steps of one kind sum the same."""
    kinds: dict[str, list[Step]] = {}
    for step in schedule(spec):
        kinds.setdefault(step.kind, []).append(step)
    known = {one.name: one for one in _segments(spec)}
    what = "organisations in the sum" if spec.uniform_weights else f"rows of all in the sum, up to {spec.weight_cap} of each"
    for kind, steps in kinds.items():
        summed = {tuple((segment.name, segment.length) for segment in step.segments) for step in steps}
        sums = [known[segment.name] for segment in steps[0].segments]
        if summed != {tuple((one.name, one.numbers) for one in sums)}:
            raise InternalFault(f"what a {kind} round is said to open is not what it sums", "report this, and do not join")
        yield Opened(kind, len(steps), steps[0].length + 1, (Sum(WEIGHT, 1, what, None), *sums))


def _segments(spec: StudySpec) -> Iterator[Sum]:
    """Whatever a study can sum, in words."""
    weighing = "mean over organisations" if spec.uniform_weights else "mean over organisations by their rows"
    yield Sum("update", count(spec), f"{weighing} of each parameter's change", None)
    yield Sum("control", count(spec), "sum of the control variates' differences", None)
    quantities = "mean and mean square" + (", and share of rows with a value," if spec.features.nullable else "")
    of = "feature and of the target" if isinstance(spec.task, RegressionSpec) else "feature"
    width = spec.features.width + isinstance(spec.task, RegressionSpec)
    yield Sum("moments", (3 if spec.features.nullable else 2) * width, f"{quantities} of each {of}, over all rows", None)
    if spec.statistics is not None:
        for name, length in statistics.layout(spec).items():
            yield Sum(f"{statistics.PREFIX}{name}", length, statistics.in_words(spec, name), spec.statistics.minimum_cell)
    if spec.evaluation is not None:
        for measure in open_task(spec).measures(spec.evaluation):
            cell = spec.evaluation.minimum_cell if measure.withheld else None
            yield Sum(f"{EVALUATION}{measure.name}", measure.length, measure.what, cell)


def _privacy(spec: StudySpec) -> PrivacyTerms | None:
    agreed = spec.privacy
    if agreed is None:
        return None
    return PrivacyTerms(
        kind=agreed.kind,
        noise_multiplier=agreed.noise_multiplier,
        epsilon=agreed.epsilon,
        delta=agreed.delta,
        max_grad_norm=None if isinstance(agreed, SumPrivacy) else agreed.max_grad_norm,
        sample_rate=None if isinstance(agreed, SumPrivacy) else agreed.sample_rate,
        honest=agreed.honest if isinstance(agreed, SumPrivacy) else None,
    )
