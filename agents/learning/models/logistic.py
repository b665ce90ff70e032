"""Logistic regression: one linear layer."""

from __future__ import annotations

from collections.abc import Sequence

import torch


def logits(weights: Sequence[torch.Tensor], x: torch.Tensor) -> torch.Tensor:
    """Logits [n] of inputs x [n, d]; weights are the weight [1, d] and the bias [1]."""
    weight, bias = weights
    return torch.nn.functional.linear(x, weight, bias).squeeze(1)
