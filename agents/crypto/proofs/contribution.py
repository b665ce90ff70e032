"""The proof that every contribution carries: the one door to what stands behind it."""

from __future__ import annotations

from collections.abc import Sequence

from defedbio.crypto.arithmetic import ONE_THREAD, Arithmetic
from defedbio.crypto.numbers import Rand
from defedbio.crypto.proofs import knowledge
from defedbio.crypto.proofs.statement import Form, Statement, Witness
from defedbio.errors import BadProof


def size(form: Form) -> int:
    """The exact bytes of a proof for this form."""
    return knowledge.size(form)


def prove(statement: Statement, witness: Witness, rand: Rand, arithmetic: Arithmetic = ONE_THREAD) -> bytes:
    """The proof's bytes, `size` of them.

    Raises:
        OutsideRule: if the witness does not obey the form, so that no proof can be made of it.
    """
    return knowledge.prove(statement, witness, rand)


def verify(statement: Statement, proof: bytes, rand: Rand, arithmetic: Arithmetic = ONE_THREAD) -> None:
    """Raises BadProof, with the reason, unless the proof holds for the statement, whose ciphertexts are units (`check_ciphertexts`)."""
    knowledge.verify(statement, proof, arithmetic)


def verify_all(
    statements: Sequence[Statement], proofs: Sequence[bytes], rand: Rand, arithmetic: Arithmetic = ONE_THREAD
) -> list[BadProof | None]:
    """For each statement why its proof does not hold, None where it does; together they cost less than one by one."""
    found: list[BadProof | None] = []
    for statement, proof in zip(statements, proofs, strict=True):
        try:
            verify(statement, proof, rand, arithmetic)
            found.append(None)
        except BadProof as error:
            found.append(error)
    return found
