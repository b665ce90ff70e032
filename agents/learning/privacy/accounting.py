"""What privacy costs: minibatches of DP-SGD, and rounds whose sum has distributed discrete Gaussian noise; by Opacus' Rényi accountant."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from functools import cache
from math import exp, pi, sqrt

from defedbio.errors import InvalidInput

ORDERS = (*(1 + i / 10 for i in range(1, 100)), *range(11, 64), *(2**i for i in range(6, 12)))


@cache
def record_epsilon(noise_multiplier: float, sample_rate: float, steps: int, delta: float) -> float:
    """epsilon at `delta` of `steps` Poisson-sampled Gaussian mechanisms, for adding or removing one record.

    Rényi differential privacy of the sampled Gaussian (Mironov, Talwar and Zhang 2019, section 3.3) at many orders, converted by Balle et
    al. 2020, theorem 21. An upper bound; numerical accountants come somewhat lower.

    Raises:
        InvalidInput: for noise that is not positive, a rate outside (0, 1], fewer than one step or a delta outside (0, 1).
    """
    if not noise_multiplier > 0 or not 0 < sample_rate <= 1 or steps < 1 or not 0 < delta < 1:
        raise InvalidInput("epsilon needs positive noise, a sample rate in (0, 1], at least one step and a delta in (0, 1)")
    from opacus.accountants.analysis import rdp  # as in _from_rdp

    return _from_rdp(rdp.compute_rdp(q=sample_rate, noise_multiplier=noise_multiplier, steps=steps, orders=ORDERS), delta)


@cache
def sum_epsilon(noise: int, honest: int, sensitivity: float, elements: int, rounds: int, delta: float) -> float:
    """epsilon at `delta` of `rounds` sums, each with the discrete Gaussians of `honest` organisations, for replacing one contribution.

    Kairouz, Liu and Steinke 2021 ("The Distributed Discrete Gaussian Mechanism"), theorem 1: a sum of discrete Gaussians is not one, but
    within tau of it in every element, so that a round is half epsilon squared concentrated differentially private with
    epsilon = sensitivity / (sqrt(honest) noise) + tau sqrt(elements). No subsampling is taken into account.

    Args:
        noise: deviation of each share, in units of the quantisation. sensitivity: L2 distance between two contributions, in the same.
        elements: of the update.

    Raises:
        InvalidInput: for numbers that are not positive, or a delta outside (0, 1).
    """
    if min(noise, honest, elements, rounds) < 1 or not sensitivity > 0 or not 0 < delta < 1:
        raise InvalidInput("epsilon needs positive noise, honest shares, sensitivity, elements and rounds, and a delta in (0, 1)")
    tau = 10 * sum(exp(-2 * pi**2 * noise**2 * k / (k + 1)) for k in range(1, honest))
    concentrated = sensitivity / (sqrt(honest) * noise) + tau * sqrt(elements)
    return _from_rdp([rounds * order * concentrated**2 / 2 for order in ORDERS], delta)


def _from_rdp(spent: Sequence[float], delta: float) -> float:
    # Here and not above: Opacus brings torch, and only an organisation that trains needs either.
    from opacus.accountants.analysis import rdp

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Optimal order is the")  # the bound holds at every order
        epsilon, _ = rdp.get_privacy_spent(orders=ORDERS, rdp=spent, delta=delta)
    return float(epsilon)
