"""Architectures, one a file: pure functions from weights (in flattening order) and inputs to logits. No code comes from a spec (S2)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from agents.errors import InvalidSpec
from agents.learning.models import logistic, mlp
from agents.spec import StudySpec

Forward = Callable[[Sequence[torch.Tensor], torch.Tensor], torch.Tensor]

FORWARDS: dict[str, Forward] = {"logistic": logistic.logits, "mlp": mlp.logits}


def forward(spec: StudySpec) -> Forward:
    """The forward function of the study's architecture: (weights in flattening order, x float32 [n, d]) -> logits float32 [n].

    Raises:
        InvalidSpec: if this version has no such architecture.
    """
    if spec.model.kind not in FORWARDS:
        raise InvalidSpec(f"this version has no model of kind {spec.model.kind!r}")
    return FORWARDS[spec.model.kind]
