"""The proof that every contribution carries: the one door to what stands behind it (docs/proofs.md)."""

from __future__ import annotations

from collections.abc import Sequence

from defedbio.crypto.arithmetic import ONE_THREAD, Arithmetic
from defedbio.crypto.numbers import Rand
from defedbio.crypto.proofs import assignment, bounded, encoding
from defedbio.crypto.proofs.assignment import fits
from defedbio.crypto.proofs.plan import PRODUCTION, Parameters, plan
from defedbio.crypto.proofs.statement import Form, Statement, Witness
from defedbio.errors import BadProof, OutsideRule

AT_ONCE = 8  # proofs of which the random matrices, of up to a hundred megabytes each, are in memory together

__all__ = ["fits", "prove", "size", "verify", "verify_all"]


def size(form: Form, parameters: Parameters = PRODUCTION) -> int:
    """The exact bytes of a proof for this form. Raises InvalidInput, saying why, for one that nothing can be proven of."""
    return encoding.size(plan(form, parameters))


def prove(
    statement: Statement, witness: Witness, rand: Rand, arithmetic: Arithmetic = ONE_THREAD, parameters: Parameters = PRODUCTION
) -> bytes:
    """The proof's bytes, `size` of them.

    Raises:
        OutsideRule: if the values do not fit the form (`fits`), so that no proof is made of them, or, once in 2^31 bounds, by bad luck of
            random rows: the caller then encrypts again, values a little smaller. InvalidInput: for values of another shape.
    """
    made = plan(statement.form, parameters)
    if not fits(statement.form, witness.values, parameters):
        raise OutsideRule("the values are outside what the study allows, so nothing can be proven of them")
    argument = bounded.Argument(statement, made)
    matrix = assignment.matrix(made, assignment.digits(made, witness.values), argument.rows, rand)
    return bounded.prove(argument, matrix, witness.exponents, rand, arithmetic)


def verify(
    statement: Statement, proof: bytes, rand: Rand, arithmetic: Arithmetic = ONE_THREAD, parameters: Parameters = PRODUCTION
) -> None:
    """Raises BadProof, with the reason, unless the proof holds for the statement, whose ciphertexts are units (`check_ciphertexts`)."""
    (error,) = verify_all([statement], [proof], rand, arithmetic, parameters)
    if error is not None:
        raise error


def verify_all(
    statements: Sequence[Statement],
    proofs: Sequence[bytes],
    rand: Rand,
    arithmetic: Arithmetic = ONE_THREAD,
    parameters: Parameters = PRODUCTION,
) -> list[BadProof | None]:
    """For each statement why its proof does not hold, None where it does; together they cost less than one by one."""
    plans = [plan(statement.form, parameters) for statement in statements]
    found: list[bounded.Claim | BadProof] = []
    for start in range(0, len(statements), AT_ONCE):
        part = slice(start, start + AT_ONCE)
        found += bounded.claims(statements[part], plans[part], proofs[part], rand)
    held = iter(bounded.hold([claim for claim in found if isinstance(claim, bounded.Claim)], rand, arithmetic))
    return [claim if isinstance(claim, BadProof) else None if next(held) else _not_proven() for claim in found]


def _not_proven() -> BadProof:
    """One for each: whoever it is about is written into it."""
    return BadProof("the sender has not proven what its ciphertexts hold")
