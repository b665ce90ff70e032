"""What everybody knows of a ceremony from its posts: each step's are checked as they are taken, and say which step is next (D2)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from defedbio.crypto import numbers, sealing
from defedbio.crypto.keygen import bounded, candidates, dealing, elements, opened, own_key, product, seeds, square_roots
from defedbio.crypto.keygen.bounded import BoundedProof
from defedbio.crypto.keygen.messages import NOTHING, Body, Header, Kind, Layout, decode, encode_body, layout, posts_hash
from defedbio.crypto.keygen.opened import Batch
from defedbio.crypto.keygen.product import SameLogarithm
from defedbio.crypto.keygen.terms import PUBLISH, Terms
from defedbio.crypto.merkle import HASH_BYTES
from defedbio.crypto.paillier import PublicKey, check_ciphertexts
from defedbio.crypto.proofs import factors
from defedbio.crypto.proofs.factors import FactorsProof
from defedbio.crypto.threshold import ThresholdKey, base_square, commitment_at
from defedbio.errors import BadCiphertext, BadProof, BadTranscript, InvalidInput, InvalidKey, MalformedBlob


@dataclass
class Survivor:
    """What was posted of the survivor n, candidate `index` of its batch; lists are by contributor, and `answers[i, j]` are i's to j."""

    index: int
    n: int
    requests: list[tuple[int, int]]
    powers: list[tuple[int, int]] = field(default_factory=list)
    square_roots: tuple[int, ...] = ()
    x: int = 1
    products: list[int] = field(default_factory=list)
    promises: list[bytes] = field(default_factory=list)
    answers: dict[tuple[int, int], list[int]] = field(default_factory=dict)
    opened: int = 0
    revealed: list[tuple[int, int]] = field(default_factory=list)
    challenge: int = 0
    dealt: list[bytes] = field(default_factory=list)
    commitments: list[list[int]] = field(default_factory=list)
    boxes: list[list[bytes]] = field(default_factory=list)


class Record:
    """The public state after the posts so far. `contexts[s]` is the hash of all posts before step s: what a message of step s answers."""

    def __init__(self, terms: Terms) -> None:
        self.terms = terms
        self.kind = Kind.REQUESTS
        self.batch_number = 0
        self.contexts = [NOTHING]
        self._kinds = [Kind.REQUESTS]
        self.keys: list[PublicKey] = []
        self.transport: list[bytes] = []
        self._batch: Batch | None = None
        self._survivor: Survivor | None = None
        self._key: ThresholdKey | None = None

    @property
    def step(self) -> int:
        return len(self.contexts) - 1

    @property
    def context(self) -> bytes:
        return self.contexts[-1]

    def context_of(self, kind: Kind) -> bytes:
        """That of the last step of this kind, this one included."""
        return max((step, context) for step, (context, those) in enumerate(zip(self.contexts, self._kinds, strict=True)) if those is kind)[
            1
        ]

    @property
    def batch_contexts(self) -> list[bytes]:
        """Those of the steps in which batches began, this one included."""
        return [context for context, kind in zip(self.contexts, self._kinds, strict=True) if kind is Kind.REQUESTS]

    @property
    def senders(self) -> int:
        """How many holders post in this step, the first of all: every one in step 0, and then the contributors."""
        if self.kind is Kind.DONE:
            return 0
        return self.terms.threshold if self.step else len(self.terms.holders)

    @property
    def batch(self) -> Batch:
        assert self._batch is not None, "after the first requests"
        return self._batch

    @property
    def survivor(self) -> Survivor:
        assert self._survivor is not None, "after a candidate has survived"
        return self._survivor

    @property
    def key(self) -> ThresholdKey:
        """The key, when all steps are over."""
        if self._key is None:
            raise InvalidInput("the ceremony is not over")
        return self._key

    def header(self, position: int) -> Header:
        return Header(self.terms.hash, self.step, position, self.context)

    def layout(self, position: int) -> Layout:
        alive = len(self.batch.alive) if self.kind is Kind.TRIALS else 0
        return layout(self.terms, self.kind, position, self.batch_number, alive)

    def take(self, posts: Sequence[bytes]) -> None:
        """All messages of this step, in the order of their senders. After a fault the record is of no further use.

        Raises:
            BadTranscript: saying what is wrong; `peer` is whose fault it is, and empty when only the seeds can tell.
            InvalidInput: for a wrong number of messages.
        """
        if not self.senders or len(posts) != self.senders:
            raise InvalidInput(f"step {self.step} of the ceremony has {self.senders} messages, not {len(posts)}")
        bodies = []
        for position, data in enumerate(posts):
            try:
                bodies.append(decode(data, self.header(position), self.layout(position)))
            except MalformedBlob as fault:
                raise self.terms.fault(position, fault.message) from None
        context = posts_hash(posts)
        match self.kind:
            case Kind.REQUESTS:
                self._take_requests(bodies)
            case Kind.ANSWERS:
                self._take_answers(bodies)
            case Kind.SHARES:
                self._take_shares(bodies)
            case Kind.TRIALS:
                self._take_trials(bodies)
            case Kind.OPENING:
                self._take_opening(bodies)
            case Kind.PRODUCT:
                self._take_product(bodies)
            case Kind.EXPONENT:
                self._take_exponent(bodies)
            case Kind.PROMISE:
                self._take_promise(bodies)
            case _:
                self._take_dealing(bodies)
        self.contexts.append(context)
        self._kinds.append(self.kind)

    # -- a batch ---------------------------------------------------------------------------------------------------------------------------

    def _take_requests(self, bodies: Sequence[Body]) -> None:
        """D8."""
        contributors = bodies[: self.terms.threshold]
        if self.batch_number == 0:
            for position, body in enumerate(bodies):
                (transport,) = body.strings["transport"]
                try:
                    sealing.check_transport_key(transport)
                except InvalidKey as fault:
                    raise self.terms.fault(position, fault.message) from None
                self.transport.append(transport)
            self._take_keys(contributors)
        else:
            roots = [body.strings["opened"][0] for body in contributors]
            depth = (self.terms.candidates - 1).bit_length()
            self._open([seeds.leaves(root, depth) for root in roots], None)
        requested = []
        for position, body in enumerate(contributors):
            flat = body.numbers["requests"]
            self._check_units(position, position, flat)
            requested.append(list(zip(flat[::2], flat[1::2], strict=True)))
        self._batch = Batch(self.batch_number, [body.strings["commitment"][0] for body in contributors], requested)
        self.kind = Kind.ANSWERS

    def _take_keys(self, contributors: Sequence[Body]) -> None:
        for position, body in enumerate(contributors):
            try:
                key = own_key.check_modulus(body.numbers["modulus"][0], self.terms.own_bits, body.numbers["roots"])
            except (BadTranscript, InvalidInput) as fault:
                raise self.terms.fault(position, fault.message) from None
            if any(numbers.gcd(key.n, other.n) != 1 for other in self.keys):
                raise BadTranscript("two contributors' own moduli have a factor in common: one may be a copy", PUBLISH)
            self.keys.append(key)

    def _take_answers(self, bodies: Sequence[Body]) -> None:
        """D9."""
        self.batch.context = self.context
        for position, body in enumerate(bodies):
            for other in self._others(position):
                ciphertexts = body.numbers[f"to {other}"]
                self._check_units(position, other, ciphertexts)
                indices = candidates.answered(self.terms, position, other)
                self.batch.answers[position, other] = dict(zip(indices, ciphertexts, strict=True))
        self.kind = Kind.SHARES

    def _take_shares(self, bodies: Sequence[Body]) -> None:
        """D10."""
        self.batch.shares = [body.numbers["shares"] for body in bodies]
        self.batch.products = candidates.products(self.terms, self.batch.shares)
        self.batch.alive = candidates.alive(self.terms, self.batch.products)
        self.kind = Kind.TRIALS

    def _take_trials(self, bodies: Sequence[Body]) -> None:
        """D11."""
        batch = self.batch
        batch.trials = [body.numbers["factors"] for body in bodies]
        for at, k in enumerate(batch.alive):
            n, posted = batch.products[k], [those[at] for those in batch.trials]
            for position, factor in enumerate(posted):
                if not 0 < factor < n:
                    raise self.terms.fault(position, "a power in its trials is no number modulo its candidate")
            if candidates.survives(n, posted):
                batch.survivor = k
                self._survivor = Survivor(k, n, [those[k] for those in batch.requests])
                self.kind = Kind.OPENING
                return
        self.batch_number += 1
        self.kind = Kind.REQUESTS

    def _open(self, leaves: Sequence[Sequence[bytes | None]], kept: Sequence[bytes] | None) -> None:
        """D12: `kept` are the hashes of the survivor's leaves."""
        for position, those in enumerate(leaves):
            hashes = seeds.leaf_hashes([leaf or bytes(seeds.SEED_BYTES) for leaf in those])
            if kept is not None:
                hashes[self.survivor.index] = kept[position]
            if seeds.commitment(hashes) != self.batch.commitments[position]:
                raise self.terms.fault(position, "it opened other seeds than it committed to")
        if opened.differs(self.terms, self.keys, self.batch, leaves):
            raise BadTranscript("what was posted of a candidate that was opened is not what its leaves give", PUBLISH)

    # -- the survivor ----------------------------------------------------------------------------------------------------------------------

    def _take_opening(self, bodies: Sequence[Body]) -> None:
        """D12 to D15."""
        survivor = self.survivor
        leaves = [seeds.opened(body.strings["nodes"], survivor.index) for body in bodies]
        self._open(leaves, [body.strings["kept"][0] for body in bodies])
        for position, body in enumerate(bodies):
            powers = (body.numbers["powers"][0], body.numbers["powers"][1])
            self._check_elements(position, powers)
            statement = bounded.Statement(
                self.terms,
                position,
                self.batch.number,
                survivor.index,
                survivor.n,
                self.keys[position],
                survivor.requests[position],
                powers,
            )
            proof = BoundedProof(
                body.numbers["challenge"][0], tuple(body.numbers["number answers"]), tuple(body.numbers["exponent answers"])
            )
            try:
                bounded.verify(statement, proof)
            except BadProof as fault:
                raise self.terms.fault(position, fault.message) from None
            if any(factor >= survivor.n for factor in body.numbers["square roots"]):
                raise self.terms.fault(position, "a factor of a square root is no number modulo n")
            survivor.powers.append(powers)
        survivor.x = elements.whole(self.terms, self.terms.generator, [p for p, _ in survivor.powers])
        try:
            survivor.square_roots = square_roots.joined(survivor.n, [body.numbers["square roots"] for body in bodies])
        except BadTranscript as fault:
            raise BadTranscript(fault.message, PUBLISH) from None
        self._take_pieces(bodies)
        self.kind = Kind.PRODUCT

    def _take_product(self, bodies: Sequence[Body]) -> None:
        """D16."""
        survivor = self.survivor
        for position, body in enumerate(bodies):
            (z,) = body.numbers["factor"]
            self._check_elements(position, [z])
            statement = product.Statement(self.terms, position, survivor.n, survivor.x, survivor.powers[position][1], z)
            try:
                product.verify(statement, SameLogarithm(body.numbers["challenge"][0], body.numbers["answer"][0]))
            except BadProof as fault:
                raise self.terms.fault(position, fault.message) from None
            if body.numbers["share"][0] >= survivor.n:
                raise self.terms.fault(position, "its share of the opened product is no number modulo n")
            survivor.products.append(z)
            survivor.promises.append(body.strings["promise"][0])
        if elements.whole(self.terms, survivor.x, survivor.products) != elements.power(self.terms, survivor.n):
            raise BadTranscript("the modulus is not the product of the numbers that were asked for", PUBLISH)
        survivor.opened = sum(body.numbers["share"][0] for body in bodies) % survivor.n
        if numbers.gcd(survivor.opened, survivor.n) != 1:
            raise BadTranscript("the opened product is no unit modulo n", PUBLISH)
        self.kind = Kind.EXPONENT

    def _take_exponent(self, bodies: Sequence[Body]) -> None:
        """D17."""
        survivor = self.survivor
        for position, body in enumerate(bodies):
            revealed = (body.numbers["revealed"][0], body.numbers["revealed"][1])
            self._check_elements(position, revealed)
            if promise(self.terms, position, survivor.n, revealed) != survivor.promises[position]:
                raise self.terms.fault(position, "it revealed other commitments than it promised")
            survivor.revealed.append(revealed)
        first, second = (numbers.product(column, self.terms.group.p) for column in zip(*survivor.revealed, strict=True))
        survivor.challenge = factors.challenge_of(survivor.n, self.terms.group, survivor.x, first, second)
        self._take_pieces(bodies)
        self.kind = Kind.PROMISE

    def _take_promise(self, bodies: Sequence[Body]) -> None:
        """D18."""
        self.survivor.dealt = [body.strings["promise"][0] for body in bodies]
        self.kind = Kind.DEALING

    def _take_dealing(self, bodies: Sequence[Body]) -> None:
        """D19 and D20."""
        terms, survivor, n = self.terms, self.survivor, self.survivor.n
        for position, body in enumerate(bodies):
            if dealt_hash(terms, position, n, body) != survivor.dealt[position]:
                raise terms.fault(position, "it showed something else than it promised to deal")
            self._check_factors(position, body.numbers["answers"])
            for value in (*body.numbers["commitments"], *body.numbers["roots"]):
                if not 0 < value < n or numbers.gcd(value, n) != 1:
                    raise terms.fault(position, "a commitment or root that it dealt is no unit modulo n")
        survivor.commitments = [body.numbers["commitments"] for body in bodies]
        survivor.boxes = [body.strings["boxes"] for body in bodies]
        kappa = dealing.carry(terms, n, survivor.commitments)
        commitments = dealing.joined_commitments(terms, n, survivor.commitments, kappa)
        of_p, of_q = (sum(column) for column in zip(*(body.numbers["answers"] for body in bodies), strict=True))
        key = ThresholdKey(
            PublicKey(n, terms.bits),
            terms.threshold,
            len(terms.holders),
            base_square(n),
            commitments,
            tuple(commitment_at(commitments, index, n) for index in range(1, len(terms.holders) + 1)),
            dealing.joined_roots(terms, n, [body.numbers["roots"] for body in bodies], kappa),
            survivor.square_roots,
            FactorsProof(survivor.x, survivor.challenge, of_p, of_q, 0, 0),
            distributed=True,
        )
        try:
            key.check()
        except BadTranscript as fault:
            raise BadTranscript(fault.message, PUBLISH) from None
        self._key = key
        self.kind = Kind.DONE

    def _check_factors(self, position: int, answers: Sequence[int]) -> None:
        """D19: G^(u + c p) and X^(w + c q) are what was revealed, times the c-th powers of G^p and X^q."""
        survivor, p, bases = self.survivor, self.terms.group.p, (self.terms.generator, self.survivor.x)
        posted = (survivor.powers[position][0], survivor.products[position])
        powers = [elements.summand(self.terms, base, position, element) for base, element in zip(bases, posted, strict=True)]
        for base, answer, first, power in zip(bases, answers, survivor.revealed[position], powers, strict=True):
            if numbers.powmod(base, answer, p) != first * numbers.powmod(power, survivor.challenge, p) % p:
                raise self.terms.fault(position, "its answer about the factors is wrong")

    # -- what every step checks ------------------------------------------------------------------------------------------------------------

    def _others(self, position: int) -> list[int]:
        return [other for other in range(self.terms.threshold) if other != position]

    def _take_pieces(self, bodies: Sequence[Body]) -> None:
        for position, body in enumerate(bodies):
            for other in self._others(position):
                ciphertexts = body.numbers[f"to {other}"]
                self._check_units(position, other, ciphertexts)
                self.survivor.answers[position, other] = ciphertexts

    def _check_units(self, position: int, owner: int, ciphertexts: Sequence[int]) -> None:
        """Whether what `position` posted under the key of `owner` are ciphertexts: of another number its decryption would be a secret."""
        try:
            check_ciphertexts(self.keys[owner], ciphertexts)
        except BadCiphertext:
            raise self.terms.fault(position, "a ciphertext in its message is no unit") from None

    def _check_elements(self, position: int, values: Sequence[int]) -> None:
        if not all(elements.is_element(self.terms, value) for value in values):
            raise self.terms.fault(position, "a power in its message is no element of the group")


def promise(terms: Terms, position: int, n: int, revealed: tuple[int, int]) -> bytes:
    """The hash of (G^u, X^w), before they are revealed (D16)."""
    transcript = elements.bound("defedbio/ceremony-promise/1", terms, position, n)
    elements.append(transcript, terms, "commitments", revealed)
    return transcript.challenge_bytes("promise", HASH_BYTES)


def dealt_hash(terms: Terms, position: int, n: int, body: Body) -> bytes:
    """The hash of what a contributor deals, before it shows it (D18)."""
    transcript = elements.bound("defedbio/ceremony-dealing/1", terms, position, n)
    transcript.append("dealt", encode_body(layout(terms, Kind.DEALING, position, 0, 0), body))
    return transcript.challenge_bytes("promise", HASH_BYTES)
