"""Products of shared numbers with s - 1 = p + q - 1, and out of them shares of d = n^-1 modulo φ(n) (D15, D17, D19)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from defedbio.crypto import numbers
from defedbio.crypto.keygen.candidates import Candidate, Mask
from defedbio.crypto.keygen.own_key import OwnKey
from defedbio.crypto.keygen.seeds import drawn
from defedbio.crypto.keygen.sieve import FIRST, SPARE_BYTES, UNIT
from defedbio.crypto.keygen.terms import Terms
from defedbio.crypto.paillier import PublicKey

PIECES = 2


def summand(position: int, candidate: Candidate) -> int:
    """s_i: they add up to p + q - 1."""
    return candidate.p + candidate.q - (1 if position == 0 else 0)


def encrypted_summand(key: PublicKey, position: int, requests: tuple[int, int]) -> int:
    """E_j: of the two requests for p_j' and q_j', s_j = 8 (p_j' + q_j'), and 5 more for contributor 1."""
    both = numbers.powmod(requests[0] * requests[1], UNIT, key.n_squared)
    return both * (1 + (2 * FIRST - 1) * key.n) % key.n_squared if position == 0 else both


def masks(terms: Terms, key: PublicKey, seed: bytes, other: int, use: str, context: bytes) -> list[Mask]:
    """What hides the answers to `other` in every piece."""
    size = key.modulus_bytes + SPARE_BYTES
    found = []
    for piece in range(PIECES):
        data = drawn(seed, terms.hash, f"{use} {other} {piece}", context, size + terms.long_bytes)
        found.append(Mask(int.from_bytes(data[:size], "big") % key.n, data[size:]))
    return found


def answers(terms: Terms, key: PublicKey, encrypted: int, value: int, hidden: Sequence[Mask]) -> list[int]:
    """E_j^value in pieces of b bits, each hidden by a mask."""
    pieces = [value & (1 << terms.half) - 1, value >> terms.half]
    exponents = [int.from_bytes(mask.exponent, "little") for mask in hidden]
    # Both powers at once: for so few a table of h's would cost more.
    powers = numbers.column_powers([[encrypted] * PIECES, [key.hs] * PIECES], [pieces, exponents], key.n, squared=True)
    return numbers.column_products([powers, [1 + mask.plaintext * key.n for mask in hidden]], key.n, squared=True)


def share(terms: Terms, own: OwnKey, product: int, given: Mapping[int, Sequence[Mask]], got: Mapping[int, Sequence[int]]) -> int:
    """A summand of (Σ x_i) (Σ s_i), of the contributor's `product` x_i s_i, what hid its answers, and the answers that it got."""
    for hidden in given.values():
        product -= sum(mask.plaintext << terms.half * piece for piece, mask in enumerate(hidden))
    for ciphertexts in got.values():
        product += sum(plaintext << terms.half * piece for piece, plaintext in enumerate(own.decrypt(ciphertexts)))
    return product


def inverse_share(n: int, rho: int, opened: int) -> int:
    """y_i = ρ_i W^-1 mod n: they add up to (s-1)^-1 modulo n.

    Raises:
        InvalidInput: when W is no unit.
    """
    return rho * numbers.invert(opened, n) % n


def secret_share(terms: Terms, n: int, position: int, y: int, product: int) -> int:
    """d_i = y_i - u_i of the share of Y (s-1): u_i, in [0, Q), is (that - 1) / n modulo Q, with the 1 taken by contributor 1."""
    quotient = terms.quotient
    return y - (product - (1 if position == 0 else 0)) * numbers.invert(n, quotient) % quotient
