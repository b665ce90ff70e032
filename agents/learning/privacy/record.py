"""DP-SGD (Abadi et al. 2016, algorithm 1) by Opacus: Poisson-sampled minibatches, clipped gradients of single rows, Gaussian noise."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch
from opacus import GradSampleModule
from opacus.optimizers import DPOptimizer
from opacus.validators import ModuleValidator

from defedbio.errors import InvalidData, InvalidSpec

Float32 = npt.NDArray[np.float32]
Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def private_steps(
    module: torch.nn.Module,
    optimiser: torch.optim.Optimizer,
    loss: Loss,
    x: Float32,
    y: Float32,
    *,
    steps: int,
    sample_rate: float,
    noise_multiplier: float,
    max_grad_norm: float,
    seed: int,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Train the module in place.

    The noise is torch's floating-point Gaussian, which is not exact (Mironov 2012): an observer who could measure the last bits of many
    updates might tell more than epsilon says. Updates are quantised and only their sum is opened, which hides those bits.

    Args:
        loss: mean over the rows of a loss of each row alone.
        x: inputs of the model [n, d]. y: labels [n, k].
        sample_rate: probability with which each row is in a minibatch; an empty minibatch adds noise alone.
        seed: of the sampling and of the noise, secret and fresh from the operating system in every round.

    Raises:
        InvalidSpec: if the module mixes rows, or a layer's gradients cannot be had row by row.
        InvalidData: if a loss or weight is not finite.
    """
    if ModuleValidator.validate(module, strict=False):
        raise InvalidSpec("the study's module mixes rows or hides gradients of single rows: DP-SGD cannot bound them")
    sampling, noise = np.random.SeedSequence(seed).spawn(2)
    generator = np.random.Generator(np.random.Philox(sampling))
    gaussian = torch.Generator().manual_seed(int(noise.generate_state(1, np.uint64)[0] >> np.uint64(1)))
    rows_apart = GradSampleModule(module, loss_reduction="mean")
    # What Opacus divides the noisy sum by must be whole; it is a step length only, and no part of the guarantee.
    private = DPOptimizer(
        optimiser,
        noise_multiplier=noise_multiplier,
        max_grad_norm=max_grad_norm,
        expected_batch_size=max(1, round(len(x) * sample_rate)),
        loss_reduction="mean",
        generator=gaussian,
    )
    rows_apart.train()
    try:
        for done in range(1, steps + 1):
            rows = np.flatnonzero(generator.random(len(x)) < sample_rate)
            outputs = rows_apart(torch.from_numpy(x[rows]))
            value = loss(outputs, torch.from_numpy(y[rows])) if len(rows) else outputs.sum() * 0.0
            private.zero_grad()
            with warnings.catch_warnings():
                # The inputs are data: nothing asks for their gradients, and Opacus does not need them.
                warnings.filterwarnings("ignore", message="Full backward hook is firing")
                value.backward()
            private.step()
            if not bool(torch.isfinite(value)) or not all(bool(torch.isfinite(p).all()) for p in module.parameters()):
                raise InvalidData(
                    f"private training diverged at minibatch {done} of {steps}: a loss or weight is not finite",
                    "check the data with the study's data check; if it passes, the study's learning rate is too high for it",
                )
            if progress is not None:
                progress(done, steps)
    finally:
        rows_apart.to_standard_module()
