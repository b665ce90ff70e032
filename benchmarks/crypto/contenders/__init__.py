"""Who is measured. The list is read without importing anybody: a contender's module is imported in its own process only."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Contender:
    """One row of the table.

    `module` has run(case, clock, option) -> Outcome. `at_most` caps the parameters that are measured;
    a larger case is extrapolated from as many. `keyed` ones have a modulus; `apart` ones live in the benchmark's own virtual environment.
    """

    name: str
    title: str
    module: str
    decrypts: str
    option: str = ""
    at_most: int | None = None
    keyed: bool = True
    apart: bool = False

    @property
    def one_by_one(self) -> bool:
        """Whether every number is a ciphertext of its own."""
        return self.at_most is not None and self.at_most <= 1_000


QUORUM = "any 3 of 5 key holders, once, and all can check it"
OWNER = "the one key owner, every update"

CONTENDERS = (
    Contender("native", "DeFed-Bio, native kernel", "ours", QUORUM, "native"),
    Contender("gmpy2", "DeFed-Bio, gmpy2 alone", "ours", QUORUM, "gmpy2", at_most=10_000),
    Contender("phe", "phe, one number each", "phe_each", OWNER, at_most=32),
    Contender("pypaillier", "pypaillier, one number each", "pypaillier", OWNER, "each", at_most=200, apart=True),
    Contender("pypaillier-packed", "pypaillier, packed as ours", "pypaillier", OWNER, "packed", at_most=10_000, apart=True),
    Contender("ckks", "TenSEAL CKKS 8192, [60, 40, 40]", "ckks", OWNER, keyed=False, apart=True),
    Contender("secagg", "Flower SecAgg+", "secagg", "the server, the sum; 6 of 10 clients' shares unmask", keyed=False, apart=True),
    Contender("float32", "plain float32 sum", "floats", "everybody, every update", keyed=False),
)
