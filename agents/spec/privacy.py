"""What limits how much the global model can tell about one record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar


@dataclass(frozen=True)
class RecordPrivacy:
    """DP-SGD at every organisation (Abadi et al. 2016): (epsilon, delta) for each record of each organisation's own data.

    Every minibatch takes each row with probability `sample_rate`, the same at every organisation: its loss then follows from the study and
    the number of rounds, and tells nothing about how many rows it has. `epsilon` is the budget of the whole study: an organisation's node
    sits out the round that would exceed it.
    """

    kind: ClassVar[str] = "record"
    noise_multiplier: float
    max_grad_norm: float
    sample_rate: float
    epsilon: float
    delta: float


def privacy_from(document: Mapping[str, Any]) -> RecordPrivacy | None:
    """The privacy of a document that obeys the schema; None where the study has none."""
    fields = {name: value for name, value in document.items() if name != "kind"}
    return RecordPrivacy(**fields) if document["kind"] == "record" else None
