"""The optimisers beside torch's own objects, bit by bit, and what they load."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
import torch

from defedbio.learning.optimisers import open_optimiser, torch_optimiser
from tests.test_layers import ROOT

from .conftest import study

TRAININGS: list[dict[str, Any]] = [
    {"momentum": 0.0},
    {"momentum": 0.9, "weight_decay": 0.01},
    {"optimizer": "adam"},
    {"optimizer": "adam", "weight_decay": 0.1},
]
PROGRAM = """
import sys
import numpy as np
from defedbio.learning.local import contribute
from defedbio.learning.plan import schedule
from defedbio.learning.state import genesis
from tests.agents.learning.conftest import separable, study
for optimizer in ("sgd", "adam"):
    training = {"learning_rate": 0.1, "steps": 2, "batch_size": 8, "optimizer": optimizer}
    spec = study(preprocessing={"standardise": "none"}, training=training)
    contribute(spec, schedule(spec)[0], genesis(spec), separable(60, 1), 5)
print(*sys.modules)
"""


@pytest.mark.parametrize("training", TRAININGS)
def test_they_move_weights_as_torch_does(training: dict[str, Any]) -> None:
    spec = study(training={"learning_rate": 0.05, "steps": 10, "batch_size": 8, **training})
    torch.manual_seed(3)
    own = [torch.nn.Parameter(torch.randn(shape)) for shape in ((17, 5), (5,), (1,))]
    theirs = [torch.nn.Parameter(tensor.detach().clone()) for tensor in own]
    mine, torchs = open_optimiser(spec.training, own, 0.05), torch_optimiser(spec.training, theirs, 0.05)
    for _ in range(25):
        for one, other in zip(own, theirs, strict=True):
            one.grad = torch.randn(one.shape)
            other.grad = one.grad.clone()
        mine.step()
        torchs.step()  # type: ignore[no-untyped-call]
    assert all(torch.equal(one, other) for one, other in zip(own, theirs, strict=True))


def test_training_does_not_load_torchs_compiler() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "torch.optim.sgd" in done.stdout.split()
    assert not {"torch._dynamo", "torch._inductor"} & set(done.stdout.split())
