"""One proof that the sender knows every plaintext and every obfuscator's exponent: the batch Schnorr proof of Paillier ciphertexts.

With 128-bit E_l hashed from everything public and a first message A = (1+n)^μ h_s^ρ, the prover answers z = μ + sum E_l m_l mod n and
z_R = ρ + sum E_l r_l over the integers, and A prod c_l^(E_l) = (1+n)^z h_s^(z_R). Rewinding the hash L + 1 times gives every plaintext:
who can prove can decrypt. It says nothing of the sizes of what is inside.
"""

from __future__ import annotations

import numpy as np

from defedbio.crypto import numbers
from defedbio.crypto.arithmetic import ONE_THREAD, Arithmetic
from defedbio.crypto.numbers import Rand
from defedbio.crypto.proofs.statement import Form, Statement, Witness
from defedbio.crypto.roots import update_root
from defedbio.crypto.transcript import Transcript
from defedbio.errors import BadProof

CHALLENGE_BITS = 128
HIDING_BITS = 128


def size(form: Form) -> int:
    """Bytes of an encoded proof."""
    n = (form.modulus_bits + 7) // 8
    return 3 * n + _response_bytes(form)


def prove(statement: Statement, witness: Witness, rand: Rand) -> bytes:
    """The proof's bytes, `size` of them."""
    key, form = statement.key, statement.form
    plaintexts = form.layout.pack(np.concatenate(witness.values), key.n)
    mu, rho = numbers.random_below(rand, key.n), numbers.random_bits(rand, _mask_bits(form))
    first = (1 + mu * key.n) * numbers.powmod(key.hs, rho, key.n_squared) % key.n_squared
    weights = _weights(statement, first)
    z = (mu + sum(e * m for e, m in zip(weights, plaintexts, strict=True))) % key.n
    response = rho + sum(e * r for e, r in zip(weights, witness.exponents, strict=True))
    return b"".join(
        (
            numbers.to_bytes(first, key.ciphertext_bytes),
            numbers.to_bytes(z, key.modulus_bytes),
            numbers.to_bytes(response, _response_bytes(form)),
        )
    )


def verify(statement: Statement, proof: bytes, arithmetic: Arithmetic = ONE_THREAD) -> None:
    """Raises BadProof, saying why, unless the proof holds. The ciphertexts were checked before (`check_ciphertexts`)."""
    key, form = statement.key, statement.form
    if len(proof) != size(form):
        raise BadProof(f"the proof has {len(proof)} bytes, {size(form)} are expected")
    first, z, response = (
        numbers.from_bytes(part)
        for part in (
            proof[: key.ciphertext_bytes],
            proof[key.ciphertext_bytes : key.ciphertext_bytes + key.modulus_bytes],
            proof[key.ciphertext_bytes + key.modulus_bytes :],
        )
    )
    if not 0 < first < key.n_squared or numbers.gcd(first, key.n) != 1 or z >= key.n or response.bit_length() > _mask_bits(form) + 1:
        raise BadProof("a number of the proof is outside its range")
    product = arithmetic.multi_power(statement.ciphertexts, _weights(statement, first), key.n, squared=True)
    left = (1 + z * key.n) * numbers.powmod(key.hs, response, key.n_squared) % key.n_squared
    if left != first * product % key.n_squared:
        raise BadProof("the sender does not know what is in its ciphertexts")


def _mask_bits(form: Form) -> int:
    exponent, count = form.modulus_bits // 2 + 8, form.layout.ciphertexts
    return exponent + CHALLENGE_BITS + count.bit_length() + HIDING_BITS


def _response_bytes(form: Form) -> int:
    return (_mask_bits(form) + 1 + 7) // 8


def _weights(statement: Statement, first: int) -> list[int]:
    transcript = bound_transcript("defedbio/contribution-knowledge/1", statement)
    transcript.append("first message", numbers.to_bytes(first, statement.key.ciphertext_bytes))
    drawn = transcript.challenge_bytes("weights", CHALLENGE_BITS // 8 * len(statement.ciphertexts))
    return [numbers.from_bytes(drawn[i : i + CHALLENGE_BITS // 8]) for i in range(0, len(drawn), CHALLENGE_BITS // 8)]


def bound_transcript(domain: str, statement: Statement) -> Transcript:
    """A transcript that holds all that a statement says."""
    transcript, key, form = Transcript(domain), statement.key, statement.form
    transcript.append("round", statement.context.to_bytes())
    transcript.append("key epoch", statement.key_epoch.to_bytes(8, "big"))
    transcript.append("modulus", numbers.to_bytes(key.n, key.modulus_bytes))
    transcript.append("sender", bytes.fromhex(statement.sender[2:]))
    transcript.append("parent model", statement.parent)
    transcript.append("form", repr(form).encode())
    transcript.append("update root", update_root(statement.ciphertexts, key))
    return transcript
