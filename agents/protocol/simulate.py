"""A study's learning part without chain, IPFS and encryption, with the very integers that would have been encrypted."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping

from defedbio.crypto import encoding
from defedbio.learning.global_update import Sums
from defedbio.learning.local import Contribution
from defedbio.learning.plan import Step
from defedbio.learning.simulation import Combine, SeedOf
from defedbio.protocol.randomness import rounding, training_seed

# The secret of (step, site), 32 bytes.
SecretOf = Callable[[Step, int], bytes]
# What makes the rotation of a step's round unlike every other.
RotationOf = Callable[[Step], bytes]


def exact(secret_of: SecretOf, rotation_of: RotationOf) -> tuple[SeedOf, Combine]:
    """For `learning.simulation.simulate`: the same minibatches, rotation, rounding and integer sums as in rounds with these secrets."""

    def seed_of(step: Step, site: int) -> int:
        return training_seed(secret_of(step, site))

    def combine(step: Step, contributions: Mapping[int, Contribution]) -> Sums:
        encoded = [
            encoding.encode(one.vectors, one.weight, step.segments, rounding(secret_of(step, site)), rotation_of(step))
            for site, one in sorted(contributions.items())
        ]
        decoded = encoding.decode(sum(encoded[1:], start=encoded[0]), step.segments, len(encoded), rotation_of(step))
        return Sums.of(step, decoded.vectors, decoded.weight)

    return seed_of, combine


def rotations_from(seed: int) -> RotationOf:
    """Reproducible rotations for a simulation; those of real rounds come from the round's context."""
    return lambda step: f"defedbio-simulate/1 {seed} {step.index}".encode()


def secrets_from(seed: int) -> SecretOf:
    """Reproducible secrets for a simulation; real rounds draw theirs from the operating system."""
    return lambda step, site: hashlib.sha256(f"defedbio-simulate/1 {seed} {step.index} {site}".encode()).digest()
