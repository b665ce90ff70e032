"""How long the shares of a distributed key are (docs/ceremony.md, D17 to D20), for a modulus of `bits` bits, t of T holders.

t contributors deal F_i(j) = Δ d_i + Σ a_k j^k, and a holder's share is the sum of what it got, and Δ κ Q for a carry κ below t.
"""

from __future__ import annotations

from math import factorial

SIGMA = 128
LONGEST_EXTRA_BITS = 240  # no share of up to 15 holders is longer than the modulus by more


def quotient(bits: int, threshold: int) -> int:
    """Q: shares of the quotient by n are uniform modulo it."""
    return 1 << (bits // 2 + 3 + 2 * threshold.bit_length() + SIGMA)


def coefficient_bits(bits: int, holders: int) -> int:
    """Of the random coefficients: whatever t-1 holders see fits any other secret but for 2^-128."""
    return bits + SIGMA + (factorial(holders) * (holders + 1)).bit_length()


def sub_share_bound(bits: int, threshold: int, holders: int) -> int:
    """F_i(j) is in [0, this), for d_i below 2^bits."""
    powers: int = threshold * holders ** (threshold - 1)
    return powers << coefficient_bits(bits, holders) + 1


def carried(bits: int, threshold: int, holders: int, kappa: int) -> int:
    """Δ κ Q: what every holder adds to the sum of its sub-shares."""
    return factorial(holders) * kappa * quotient(bits, threshold)


def share_bound(bits: int, threshold: int, holders: int) -> int:
    """A holder's share is in [0, this)."""
    return threshold * sub_share_bound(bits, threshold, holders) + carried(bits, threshold, holders, threshold)
