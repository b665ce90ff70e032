"""The privacy that minibatches of DP-SGD cost, by Opacus' Rényi accountant."""

from __future__ import annotations

from functools import cache

from agents.errors import InvalidInput

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
    # Here and not above: Opacus brings torch, and only an organisation that trains needs either.
    from opacus.accountants.analysis import rdp

    spent = rdp.compute_rdp(q=sample_rate, noise_multiplier=noise_multiplier, steps=steps, orders=ORDERS)
    epsilon, _ = rdp.get_privacy_spent(orders=ORDERS, rdp=spent, delta=delta)
    return float(epsilon)
