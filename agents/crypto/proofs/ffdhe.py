"""The groups of RFC 7919: the squares modulo a safe prime P, whose bits are those of Euler's number, so that nobody chose them.

Their order is the prime (P - 1)/2, so every number in (0, P) with Legendre symbol 1 is an element.
"""

from __future__ import annotations

from functools import cache

from defedbio.crypto.proofs.group import Group
from defedbio.errors import InvalidInput

# Bits of P, and what is added to the bits of e so that P is a safe prime (RFC 7919, appendix A).
OFFSETS = {2048: 560316, 3072: 2625351, 4096: 5736041, 6144: 15705020, 8192: 10965728}


@cache
def ffdhe(bits: int) -> Group:
    """P = 2^bits - 2^(bits-64) + (⌊2^(bits-130) e⌋ + offset) 2^64 - 1."""
    p = (1 << bits) - (1 << (bits - 64)) + ((_euler(bits - 130) + OFFSETS[bits]) << 64) - 1
    return Group(p, p >> 1)


def with_order_above(bits: int) -> Group:
    """The smallest of the groups whose order is above 2^bits; raises InvalidInput when none is."""
    for size in OFFSETS:
        if size - 2 >= bits:
            return ffdhe(size)
    raise InvalidInput(f"no group has an order above 2^{bits}")


def _euler(bits: int) -> int:
    """⌊2^bits e⌋ by the series of 1/k!, with 64 bits more on the way."""
    total = term = 1 << (bits + 64)
    k = 1
    while term := term // k:
        total += term
        k += 1
    return total >> 64
