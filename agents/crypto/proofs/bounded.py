"""The proof that a contribution obeys its form (docs/proofs.md): commitments, one equation, and a link to the ciphertexts.

After Bootle, Cerulli, Chaidos, Groth and Petit (EUROCRYPT 2016): every vector x_a of the plan's matrix is committed to alone, and one
vector f(e) = sum of x_a (φ_a e^a + e^-a) + μ e^(K+1) is opened at a random e. The coefficient of e^0 in <f, θ f> + <f, ρ(e)> is the left
side of the equation of `relation`; the other coefficients are committed to before e is drawn, and there is no place for that of e^0.

The prover works on a matrix as it is given, whether it is honest or not (`assignment` makes honest ones): nothing here but the
verifier's equations decides what is accepted.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from defedbio.crypto import numbers
from defedbio.crypto.arithmetic import ONE_THREAD, Arithmetic
from defedbio.crypto.numbers import Rand
from defedbio.crypto.paillier import PublicKey
from defedbio.crypto.proofs import encoding, exact, relation
from defedbio.crypto.proofs.exact import Integers
from defedbio.crypto.proofs.group import GENERATORS
from defedbio.crypto.proofs.plan import CHALLENGE_BITS, Plan
from defedbio.crypto.proofs.relation import Links, Multipliers
from defedbio.crypto.proofs.statement import Statement
from defedbio.crypto.proofs.ternary import Ternary
from defedbio.crypto.roots import update_root
from defedbio.crypto.transcript import Transcript, challenges_bytes
from defedbio.errors import BadProof, InvalidInput

DOMAIN = "defedbio/contribution/1"
BATCH_BITS = 128
RIGHT_VECTORS = 64  # of one matrix product: 8,192 positions of them take 117 MB
SMALL_EXPONENTS = 16, 32, 61

Int64 = NDArray[np.int64]


class Argument:
    """One run of the protocol as both sides see it: what is bound so far, and the challenges drawn from it, in their order."""

    def __init__(self, statement: Statement, plan: Plan) -> None:
        self.statement, self.plan = statement, plan
        self._transcript = transcript = Transcript(DOMAIN)
        key, group, parameters = statement.key, plan.group, plan.parameters
        transcript.append("version", encoding.VERSION)
        transcript.append("group", numbers.to_bytes(group.p, group.element_bytes) + numbers.to_bytes(group.q, group.scalar_bytes))
        transcript.append("generators", GENERATORS.encode())
        transcript.append("parameters", parameters.rows.to_bytes(4, "big") + parameters.checks.to_bytes(4, "big"))
        transcript.append("round", statement.context.to_bytes())
        transcript.append("key epoch", statement.key_epoch.to_bytes(8, "big"))
        transcript.append("modulus", numbers.to_bytes(key.n, key.modulus_bytes))
        transcript.append("sender", bytes.fromhex(statement.sender.removeprefix("0x")))
        transcript.append("parent model", statement.parent)
        transcript.append("form", statement.form.to_bytes())
        transcript.append("update root", update_root(statement.ciphertexts, key))
        self.rows = [[self._ternary("rows", parameters.rows, run.last - run.first) for run in lines.runs] for lines in plan.lines]

    def links(self, data: bytes) -> Links:
        """After the commitments to the data."""
        (found,) = links_of([self], [data])
        return found

    def _gammas(self, data: bytes) -> list[list[int]]:
        self._transcript.append("data", data)
        gammas = []
        for lines in self.plan.lines:
            size = CHALLENGE_BITS // 8
            drawn = self._transcript.challenge_bytes("gamma", size * lines.count)
            gammas.append([numbers.from_bytes(drawn[i : i + size]) for i in range(0, len(drawn), size)])
        return gammas

    def multipliers(self, answers: bytes) -> Multipliers:
        """After the answers of the approximate range proof and the commitment to the links."""
        self._transcript.append("answers", answers)
        return Multipliers.split(self.plan, self._scalars("multipliers", sum(Multipliers.count(self.plan))))

    def challenges(self, cross: bytes) -> tuple[int, int]:
        """e in [1, Q) and the challenge of the ciphertexts, after the masks and the cross terms."""
        self._transcript.append("cross", cross)
        e = 1 + self._scalars("e", 1)[0] % (self.plan.group.q - 1)
        return e, self._transcript.challenge_int("ciphertexts", CHALLENGE_BITS)

    def _scalars(self, label: str, count: int) -> list[int]:
        return self.plan.group.scalars(lambda size: self._transcript.challenge_bytes(label, size), count)

    def _ternary(self, label: str, rows: int, columns: int) -> Ternary:
        return Ternary(self._transcript.challenge_bytes(label, Ternary.bytes_needed(rows, columns)), rows, columns)

    def exponents(self, gammas: Sequence[Sequence[int]]) -> list[int]:
        """E_l of every ciphertext: the product of the c_l^(E_l) holds what the links say. Signed, of at most 128 bits more than a row."""
        q, found = self.plan.group.q, []
        for lines, gamma, rows, count in zip(self.plan.lines, gammas, self.rows, self.plan.form.layout.counts, strict=True):
            held = [0] * count
            for line, ciphertext in lines.digits:
                held[ciphertext] = gamma[line]
            for run, matrix in zip(lines.runs, rows, strict=True):
                combined = matrix.transpose_apply(gamma[run.line : run.line + matrix.rows], q)
                held[run.first : run.last] = [x - q if 2 * x > q else x for x in combined]
            found += held
        return found

    def plaintext(self, slots: Sequence[int]) -> int:
        """What numbers in the slots of all blocks encrypt, modulo n."""
        total = 0
        for lines in self.plan.lines:
            part = slots[lines.offset : lines.offset + lines.slots]
            total += sum(z << lines.slot_bits * i for i, z in enumerate(part))
        return total % self.statement.key.n


def links_of(arguments: Sequence[Argument], data: Sequence[bytes]) -> list[Links]:
    """The `links` of each argument: their longest challenge is drawn side by side where their plans are the same."""
    gammas = [argument._gammas(part) for argument, part in zip(arguments, data, strict=True)]
    checks: dict[int, Ternary] = {}
    shapes = [(a.plan.parameters.checks, a.plan.width * len(a.plan.used)) for a in arguments]
    for shape in dict.fromkeys(shapes):
        places = [i for i, other in enumerate(shapes) if other == shape]
        drawn = challenges_bytes([arguments[i]._transcript for i in places], "checks", Ternary.bytes_needed(*shape))
        checks |= {i: Ternary(part, *shape) for i, part in zip(places, drawn, strict=True)}
    return [Links(gammas[i], checks[i]) for i in range(len(arguments))]


def prove(
    argument: Argument, vectors: Sequence[Integers], exponents: Sequence[int], rand: Rand, arithmetic: Arithmetic = ONE_THREAD
) -> bytes:
    """The proof of a matrix (`assignment.matrix`) and every ciphertext's exponent of h_s; of a false one, one that is refused.

    Raises:
        InvalidInput: when a number of the proof does not fit its place, which no honest matrix makes happen.
    """
    plan, group, key = argument.plan, argument.plan.group, argument.statement.key
    q, width = group.q, plan.width
    masks = [numbers.random_bits(rand, plan.mask_bits) for _ in range(plan.parameters.checks)]
    blinds = group.scalars(rand, plan.vectors)
    committed = [*vectors, masks]
    values: dict[str, list[int]] = {"data": _commit(plan, committed, blinds[:-1], arithmetic)}

    data = encoding.write(plan, values, encoding.MESSAGES[0])
    links = argument.links(data)
    answers = masks
    for vector, matrix in zip(vectors, links.of_vectors(plan), strict=True):
        answers = [z + x for z, x in zip(answers, _apply(matrix, vector), strict=True)]
    linked = _linked(plan, vectors, links.gammas)
    values |= {"answers": answers, "links": _commit(plan, [linked], blinds[-1:], arithmetic)}

    second = encoding.write(plan, values, encoding.MESSAGES[1])
    multipliers = argument.multipliers(second)
    padded: list[Integers] = [*vectors, _padded(masks, width), _padded(linked, width)]
    mask, mask_blind = group.scalars(rand, width), group.scalars(rand, 1)[0]
    phi = relation.weights(plan, multipliers)
    coefficients = _coefficients(plan, padded, mask, phi, multipliers.positions, relation.linear(plan, links, multipliers))
    cross = CrossTerms.of(plan, coefficients, rand)
    slot_masks = [numbers.random_bits(rand, lines.response_bits) for lines in plan.lines for _ in range(lines.slots)]
    slot_blind, exponent_mask = group.scalars(rand, 1)[0], numbers.random_bits(rand, plan.exponent_bits)
    (hidden,) = key.hs_base.powers([exponent_mask])
    values |= {
        "mask": _commit(plan, [mask], [mask_blind], arithmetic),
        "cross": _commit(plan, cross.rows, cross.blinds, arithmetic),
        "link_mask": _commit(plan, [slot_masks], [slot_blind], arithmetic),
        "cipher_mask": [(1 + argument.plaintext(slot_masks) * key.n) * hidden % key.n_squared],
    }

    third = encoding.write(plan, values, encoding.MESSAGES[2])
    e, challenge = argument.challenges(third)
    powers = Powers(plan, e)
    scales, crossing = powers.scales(phi), [powers[s] for s in cross.exponents]
    combined = sum(x * r for x, r in zip(argument.exponents(links.gammas), exponents, strict=True))
    values |= {
        "opening": [x % q for x in exact.combination([*scales, powers[plan.vectors + 1]], [*padded, mask], _limbs(plan))],
        "opening_blind": [(_dot(scales, blinds) + powers[plan.vectors + 1] * mask_blind) % q],
        "cross_opening": [_dot(crossing, column) % q for column in zip(*cross.rows, strict=True)],
        "cross_blind": [_dot(crossing, cross.blinds) % q],
        "slots": [mu + challenge * y for mu, y in zip(slot_masks, linked, strict=True)],
        "slots_blind": [(slot_blind + challenge * blinds[-1]) % q],
        "exponent": [exponent_mask + challenge * combined],
    }
    return encoding.VERSION + data + second + third + encoding.write(plan, values, encoding.MESSAGES[3])


class Powers:
    """Powers of e modulo Q, from exponent -m to m for the largest that a plan needs."""

    def __init__(self, plan: Plan, e: int) -> None:
        self._q = plan.group.q
        self._reach = max(plan.columns * max(plan.negative_rows, plan.positive_rows), 2 * plan.vectors) + 2
        held = [numbers.powmod(e, -self._reach, self._q)]
        for _ in range(2 * self._reach):
            held.append(held[-1] * e % self._q)
        self._held = held

    def __getitem__(self, exponent: int) -> int:
        return self._held[exponent + self._reach]

    def scales(self, phi: Sequence[int]) -> list[int]:
        """φ_a e^a + e^-a of every vector, a from 1 on."""
        return [(f * self[a] + self[-a]) % self._q for a, f in enumerate(phi, 1)]


@dataclass(frozen=True)
class CrossTerms:
    """The coefficients of all powers of e but e^0, in rows that are committed to: row i stands for e^exponents[i] · (1, e, e², …).

    The last row hides the others: what it holds is taken off the first positive row one place further on, so that it cancels out.
    It stands for e² (1, e, …), so nothing in it can be a coefficient of e^0 either.
    """

    rows: list[list[int]]
    blinds: list[int]
    exponents: list[int]

    @staticmethod
    def places(plan: Plan) -> list[int]:
        """The rows' exponents."""
        n = plan.columns
        return [*(-n * i for i in range(plan.negative_rows, 0, -1)), *(1 + n * i for i in range(plan.positive_rows)), 2]

    @classmethod
    def of(cls, plan: Plan, coefficients: dict[int, int], rand: Rand) -> CrossTerms:
        q, n, places = plan.group.q, plan.columns, cls.places(plan)
        rows = [[coefficients.get(s + j, 0) for j in range(n)] for s in places[:-1]]
        hiding = [*plan.group.scalars(rand, n - 1), 0]
        first = rows[plan.negative_rows]
        first[1:] = [(x - h) % q for x, h in zip(first[1:], hiding, strict=False)]
        return cls([*rows, hiding], plan.group.scalars(rand, len(places)), places)


def _limbs(plan: Plan) -> int:
    return -(-plan.group.q.bit_length() // exact.LIMB_BITS)


def _dot(a: Iterable[int], b: Iterable[int]) -> int:
    return sum(x * y for x, y in zip(a, b, strict=True))


def _padded(values: Sequence[int], width: int) -> list[int]:
    return [*values, *[0] * (width - len(values))]


def _commit(plan: Plan, vectors: Sequence[Integers], blinds: Sequence[int], arithmetic: Arithmetic) -> list[int]:
    """H^r prod G_t^(x_t) of each vector: many vectors of one length at once, small numbers apart from long ones."""
    group = plan.group
    _, generators = group.generators(max(len(v) for v in vectors))
    found = [0] * len(vectors)
    sizes = [_bits(v) for v in vectors]
    before = 0
    for bits in SMALL_EXPONENTS:
        held = [i for i, size in enumerate(sizes) if before <= size <= bits]
        before = bits + 1
        if held:
            small = np.stack([np.asarray(vectors[i], dtype=np.int64) for i in held])
            for i, product in zip(held, numbers.signed_products(generators[: small.shape[1]], small, group.p), strict=True):
                found[i] = product
    long: dict[int, dict[int, list[int]]] = {}
    for i, size in enumerate(sizes):
        if size > SMALL_EXPONENTS[-1]:
            long.setdefault(len(vectors[i]), {})[i] = [int(x) % group.q for x in vectors[i]]
    for length, rows in long.items():
        bases, scalars = generators[:length], list(rows.values())
        if len(rows) == 1:
            products = [arithmetic.multi_power(bases, scalars[0], group.p)]
        else:
            products = numbers.multi_powmods(bases, scalars, group.p)
        for i, product in zip(rows, products, strict=True):
            found[i] = product
    return [product * hidden % group.p for product, hidden in zip(found, group.blinds(blinds), strict=True)]


def _bits(vector: Integers) -> int:
    if isinstance(vector, np.ndarray):
        return max(int(vector.max()), -int(vector.min())).bit_length()
    return max(abs(x).bit_length() for x in vector)


def _apply(matrix: Ternary, vector: Integers) -> list[int]:
    if isinstance(vector, np.ndarray):
        return matrix.apply(vector)
    total, step = [0] * matrix.rows, 60
    for shift in range(0, _bits(vector) + 1, step):
        part = np.array([(abs(x) >> shift & (1 << step) - 1) * (1 if x >= 0 else -1) for x in vector], dtype=np.int64)
        total = [a + (b << shift) for a, b in zip(total, matrix.apply(part), strict=True)]
    return total


def _linked(plan: Plan, vectors: Sequence[Integers], gammas: Sequence[Sequence[int]]) -> list[int]:
    """For every slot of every block the sum over its lines of γ times number."""
    kind = np.int64 if all(isinstance(vectors[s.vector], np.ndarray) for s in plan.strips) else object
    held = [np.zeros((lines.count, lines.slots), dtype=kind) for lines in plan.lines]
    for s in plan.strips:
        held[s.block][s.line, s.slot : s.slot + s.length] = vectors[s.vector][s.position : s.position + s.length]
    found: list[int] = []
    for gamma, rows in zip(gammas, held, strict=True):
        found += exact.combination(gamma, list(rows) if kind is np.int64 else rows.tolist(), CHALLENGE_BITS // exact.LIMB_BITS)
    return found


def _coefficients(
    plan: Plan, vectors: Sequence[Integers], mask: Sequence[int], phi: Sequence[int], theta: Sequence[int], linear: Sequence[Sequence[int]]
) -> dict[int, int]:
    """Of every power of e in <f, θ f> + <f, ρ(e)>, modulo Q.

    f is the sum of x_a (u_a e^a + d_a e^-a) over the vectors and the mask, and ρ(e) that of ρ_a e^a.
    """
    q, count, limbs = plan.group.q, len(vectors), _limbs(plan)
    every: list[Integers] = [*vectors, mask]
    left, scales = exact.Matrix(every), exact.limbs(theta, limbs)
    squares: list[list[int]] = [[] for _ in every]
    crossed: list[list[int]] = [[] for _ in every]
    for first in range(0, count + 1, RIGHT_VECTORS):
        part = slice(first, first + RIGHT_VECTORS)
        _extend(squares, left.times([_scaled(theta, scales, v, q) for v in every[part]]))
        if first < count:
            _extend(crossed, left.times([exact.limbs(v, limbs) for v in linear[part]]))
    coefficients = dict.fromkeys(range(-2 * count - 2, 2 * count + 3), 0)
    up, down = [*phi, 1], [*[1] * count, 0]
    for a in range(count + 1):
        for b in range(count + 1):
            product, i, j = squares[a][b], a + 1, b + 1
            both = up[b] * product + (crossed[a][b] if b < count else 0)
            coefficients[i + j] += up[a] * both
            coefficients[j - i] += down[a] * both
            coefficients[i - j] += up[a] * down[b] * product
            coefficients[-i - j] += down[a] * down[b] * product
    return {exponent: x % q for exponent, x in coefficients.items()}


def _extend(rows: list[list[int]], by: list[list[int]]) -> None:
    for row, more in zip(rows, by, strict=True):
        row += more


def _scaled(theta: Sequence[int], scales: NDArray[np.float64], vector: Integers, q: int) -> NDArray[np.float64]:
    """Limbs of θ x, which need not be below Q."""
    if isinstance(vector, np.ndarray) and _bits(vector) <= exact.NARROW_BITS:
        return exact.scaled(scales, vector)
    return exact.limbs([t * int(x) % q for t, x in zip(theta, vector, strict=True)], scales.shape[1] + 3)


@dataclass(frozen=True)
class Claim:
    """What is left of a proof to be checked: an equation in the group, and one of ciphertexts. Claims may be checked together.

    The group's: prod G_t^(generators[t]) · H^blind · prod of elements to their powers is 1 in the group, once raised to its cofactor.
    That of ciphertexts: (1 + n)^plaintext h_s^exponent = mask · (prod of ciphertexts to their `exponents`)^challenge modulo n².
    """

    key: PublicKey
    plan: Plan
    generators: list[int]
    blind: int
    elements: list[int]
    powers: list[int]
    plaintext: int
    exponent: int
    mask: int
    ciphertexts: Sequence[int]
    exponents: list[int]
    challenge: int


@dataclass(frozen=True)
class _Opened:
    """A proof of the right form, and the transcript that its first message comes to."""

    argument: Argument
    messages: list[bytes]
    values: Mapping[str, list[int]]


def claims(statements: Sequence[Statement], plans: Sequence[Plan], proofs: Sequence[bytes], rand: Rand) -> list[Claim | BadProof]:
    """Of each proof everything but the dear equations (`hold`), or why it is refused already. All are held in memory at once."""
    found: dict[int, Claim | BadProof] = {}
    opened: dict[int, _Opened] = {}
    for i, (statement, plan, proof) in enumerate(zip(statements, plans, proofs, strict=True)):
        try:
            opened[i] = _opened(statement, plan, proof)
        except BadProof as error:
            found[i] = error
    drawn = links_of([those.argument for those in opened.values()], [those.messages[0] for those in opened.values()])
    for (i, those), link in zip(opened.items(), drawn, strict=True):
        try:
            found[i] = _claim(those, link, rand)
        except BadProof as error:
            found[i] = error
    return [found[i] for i in range(len(statements))]


def _opened(statement: Statement, plan: Plan, proof: bytes) -> _Opened:
    key = statement.key
    messages = list(encoding.messages(plan, proof))
    values = encoding.read(plan, proof)
    if any(not 0 < c < key.n_squared for c in statement.ciphertexts):
        raise BadProof("a ciphertext is outside 1..n²-1")
    (cipher_mask,) = values["cipher_mask"]
    if not 0 < cipher_mask < key.n_squared or numbers.gcd(cipher_mask, key.n) != 1:
        raise BadProof("a number of the proof is outside its range")
    return _Opened(Argument(statement, plan), messages, values)


def _claim(opened: _Opened, links: Links, rand: Rand) -> Claim:
    argument, messages, values = opened.argument, opened.messages, opened.values
    statement, plan = argument.statement, argument.plan
    key, q = statement.key, plan.group.q
    multipliers = argument.multipliers(messages[1])
    e, challenge = argument.challenges(messages[2])
    powers = Powers(plan, e)

    opening = values["opening"]
    linear = relation.linear_at(plan, links, multipliers, [powers[a] for a in range(1, plan.vectors + 1)])
    value = sum(f * ((theta * f + rho) % q) for f, theta, rho in zip(opening, multipliers.positions, linear, strict=True))
    value -= relation.target(plan, multipliers, values["answers"])
    if (value - _dot(values["cross_opening"], [powers[j] for j in range(plan.columns)])) % q:
        raise BadProof("the proof is of another contribution, or of numbers that do not obey the form")

    second, third = (1 + numbers.random_bits(rand, BATCH_BITS) for _ in range(2))
    generators = list(opening)
    for t, x in enumerate(values["cross_opening"]):
        generators[t] += second * x
    for t, x in enumerate(values["slots"]):
        generators[t] += third * x
    blind = values["opening_blind"][0] + second * values["cross_blind"][0] + third * values["slots_blind"][0]
    places = CrossTerms.places(plan)
    scales = powers.scales(relation.weights(plan, multipliers))
    scales[-1] += third * challenge
    elements = [*values["data"], *values["links"], *values["mask"], *values["cross"], *values["link_mask"]]
    weights = [*scales, powers[plan.vectors + 1], *(second * powers[s] for s in places), third]
    return Claim(
        key,
        plan,
        generators,
        blind,
        elements,
        [-w % q for w in weights],
        argument.plaintext(values["slots"]),
        values["exponent"][0],
        values["cipher_mask"][0],
        statement.ciphertexts,
        argument.exponents(links.gammas),
        challenge,
    )


def hold(claims: Sequence[Claim], rand: Rand, arithmetic: Arithmetic = ONE_THREAD) -> list[bool]:
    """Of each claim whether it is true; they share one group. A false one passes with probability 2^-128 over `rand`.

    The group's equations are checked in one, and each alone only if that fails: several claims never cost more than one by one, but for
    that one equation.
    """
    found = _ciphertexts_hold(claims, arithmetic)
    rest = [i for i, held in enumerate(found) if held]
    if rest and not _commitments_hold([claims[i] for i in rest], rand, arithmetic):
        for i in rest:
            found[i] = len(rest) > 1 and _commitments_hold([claims[i]], rand, arithmetic)
    return found


def _commitments_hold(claims: Sequence[Claim], rand: Rand, arithmetic: Arithmetic) -> bool:
    """Elements outside the group are no worse than their parts inside: all is raised to the cofactor before it is compared."""
    group, weights = claims[0].plan.group, [1, *(1 + numbers.random_bits(rand, BATCH_BITS) for _ in claims[1:])]
    scalars = [0] * max(len(c.generators) for c in claims)
    bases: list[int] = []
    powers: list[int] = []
    blind = 0
    for c, weight in zip(claims, weights, strict=True):
        for t, x in enumerate(c.generators):
            scalars[t] += weight * x
        blind += weight * c.blind
        bases += c.elements
        powers += [weight * x % group.q for x in c.powers]
    h, generators = group.generators(len(scalars))
    product = arithmetic.multi_power([*generators, h, *bases], [*(x % group.q for x in scalars), blind % group.q, *powers], group.p)
    return numbers.powmod(product, group.cofactor, group.p) == 1


def _ciphertexts_hold(claims: Sequence[Claim], arithmetic: Arithmetic) -> list[bool]:
    """Each claim's equation alone, with the powers in it computed side by side.

    Who knows the factors of n knows numbers of order 2 or 3, to which a batch is blind by the luck of its weights: verifiers would differ.
    """
    found = [False] * len(claims)
    for key in {claim.key: None for claim in claims}:
        places = [i for i, claim in enumerate(claims) if claim.key == key]
        those = [claims[i] for i in places]
        try:
            products = arithmetic.multi_powers([(claim.ciphertexts, claim.exponents) for claim in those], key.n, squared=True)
        except InvalidInput:  # a ciphertext that is no unit, which the caller should not have let in
            if len(those) > 1:
                for i in places:
                    found[i] = _ciphertexts_hold([claims[i]], arithmetic)[0]
            continue
        hidden = key.hs_base.powers([abs(claim.exponent) for claim in those])
        for i, claim, product, power in zip(places, those, products, hidden, strict=True):
            left = (1 + claim.plaintext * key.n) * numbers.powmod(power, 1 if claim.exponent >= 0 else -1, key.n_squared)
            right = claim.mask * numbers.powmod(product, claim.challenge, key.n_squared)
            found[i] = (left - right) % key.n_squared == 0
    return found
