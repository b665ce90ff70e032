"""What a study's rounds cost an organisation's records, from the study alone."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

from defedbio.errors import InvalidInput
from defedbio.learning.parameters import count
from defedbio.learning.privacy.accounting import record_epsilon, sum_epsilon
from defedbio.learning.quantisation import update_segment
from defedbio.spec import Privacy, RecordPrivacy, StudySpec


@dataclass(frozen=True)
class Loss:
    """(epsilon, delta) of one round alone, and of all rounds so far together at the same delta."""

    epsilon_round: float
    epsilon_total: float
    delta: float


def loss_after(spec: StudySpec, rounds: int) -> Loss:
    """The loss once an organisation has prepared updates for `rounds` training rounds, at least 1.

    Raises:
        InvalidInput: if the study has no differential privacy, or for fewer rounds.
    """
    privacy = spec.privacy
    if privacy is None or rounds < 1:
        raise InvalidInput("there is a privacy loss only in studies with privacy, from the first round on")
    return Loss(_epsilon(spec, privacy, 1), _epsilon(spec, privacy, rounds), privacy.delta)


def _epsilon(spec: StudySpec, privacy: Privacy, rounds: int) -> float:
    if isinstance(privacy, RecordPrivacy):
        return record_epsilon(privacy.noise_multiplier, privacy.sample_rate, rounds * spec.training.steps, privacy.delta)
    return sum_epsilon(update_segment(spec).quantisation.noise, privacy.honest, sensitivity(spec), count(spec), rounds, privacy.delta)


def sensitivity(spec: StudySpec) -> float:
    """L2 distance between any two contributions of one organisation, in units: both clipped, each element rounded by less than one."""
    quantisation = update_segment(spec).quantisation
    return 2 * (float(quantisation.clip_norm or 0) * quantisation.scale + sqrt(count(spec)))
