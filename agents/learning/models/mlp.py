"""Multilayer perceptron with ReLU between its linear layers."""

from __future__ import annotations

from collections.abc import Sequence

import torch


def logits(weights: Sequence[torch.Tensor], x: torch.Tensor) -> torch.Tensor:
    """Logits [n] of inputs x [n, d]; weights alternate weight [out, in] and bias [out], the last layer has one output."""
    for i in range(0, len(weights) - 2, 2):
        x = torch.relu(torch.nn.functional.linear(x, weights[i], weights[i + 1]))
    return torch.nn.functional.linear(x, weights[-2], weights[-1]).squeeze(1)
