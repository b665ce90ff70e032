"""What a study's rounds cost an organisation's records, from the study alone."""

from __future__ import annotations

from dataclasses import dataclass

from agents.errors import InvalidInput
from agents.learning.privacy.accounting import record_epsilon
from agents.spec import StudySpec


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
    one, all_ = (
        record_epsilon(privacy.noise_multiplier, privacy.sample_rate, count * spec.training.steps, privacy.delta) for count in (1, rounds)
    )
    return Loss(one, all_, privacy.delta)
