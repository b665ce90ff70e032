"""A holder's side of the ceremony: the message of the next step, a function of its seed and of all posts so far (D3).

What it works out is kept in memory, and is worked out again from seed and posts by a process that starts anew.
"""

from __future__ import annotations

from collections.abc import Sequence

from defedbio.crypto import numbers, sealing
from defedbio.crypto.arithmetic import ONE_THREAD, Arithmetic
from defedbio.crypto.keygen import bounded, boxes, candidates, dealing, elements, exponent, product, seeds, square_roots
from defedbio.crypto.keygen.candidates import Candidate, Mask
from defedbio.crypto.keygen.messages import MASK_BITS, NOTHING, Body, Kind, encode
from defedbio.crypto.keygen.own_key import OwnKey
from defedbio.crypto.keygen.record import Record, dealt_hash, promise
from defedbio.crypto.keygen.terms import Terms
from defedbio.crypto.paillier import PublicKey
from defedbio.errors import InvalidInput

Posts = Sequence[Sequence[bytes]]
"""The messages of every step so far, in the order of their senders: all holders in step 0, and then the contributors."""


class Progress:
    """A record that follows the posts: it takes those that are new, and starts again when others than those it has taken are given."""

    def __init__(self, terms: Terms) -> None:
        self._terms = terms
        self._record, self._taken = Record(terms), 0
        self._posts: list[list[bytes]] = []

    def after(self, posts: Posts) -> Record:
        """The record after these posts; raises as `Record.take`."""
        given = [list(step) for step in posts]
        if given[: self._taken] != self._posts:
            self._record, self._taken, self._posts = Record(self._terms), 0, []
        for step in given[self._taken :]:
            try:
                self._record.take(step)
            except BaseException:  # what was interrupted has taken half of a step
                self._record, self._taken, self._posts = Record(self._terms), 0, []
                raise
            self._posts.append(step)
            self._taken += 1
        return self._record


class Contributor:
    """The holder at `position` (from 0) with its seed; the first `threshold` holders contribute, the others post in step 0 alone.

    Raises:
        InvalidInput: for a position that is none, or a seed that is not 32 bytes.
    """

    def __init__(self, terms: Terms, position: int, seed: bytes, arithmetic: Arithmetic = ONE_THREAD) -> None:
        if not 0 <= position < len(terms.holders):
            raise InvalidInput(f"position {position} of {len(terms.holders)} holders")
        if len(seed) != seeds.SEED_BYTES:
            raise InvalidInput(f"the seed of a ceremony has {seeds.SEED_BYTES} bytes")
        self._progress = Progress(terms)
        self._secrets = Secrets(terms, position, seed, arithmetic)
        self._answered: list[bytes] = []

    @property
    def transport_private(self) -> bytes:
        """What this holder's sub-shares are sealed to the public half of."""
        return self._secrets.transport_private

    def message(self, posts: Posts) -> bytes:
        """The message of the step after these posts.

        Where it has answered a post it answers no other (D3): what is promised in R2 hides p_i from one challenge, not from two. Whoever
        starts it anew for the same ceremony sees to that by a journal.

        Raises:
            BadTranscript: when a post is wrong, naming in `peer` who made it, where that is to be seen without the seeds.
            InvalidInput: when this holder has nothing to post in this step, or has answered others of these posts.
        """
        record = self._progress.after(posts)
        if any(now != before for now, before in zip(record.contexts, self._answered, strict=False)):
            raise InvalidInput("other posts than this holder has answered: it posts nothing more in this ceremony")
        message = self._secrets.message(record)
        self._answered = max(self._answered, record.contexts[:], key=len)
        return message


class Secrets:
    """What a seed gives. `arithmetic` is told exponents: what computes must be as trusted as this process."""

    def __init__(self, terms: Terms, position: int, seed: bytes, arithmetic: Arithmetic = ONE_THREAD) -> None:
        self._terms, self._position, self._seed, self._arithmetic = terms, position, seed, arithmetic
        self._made: OwnKey | None = None
        self._batch: tuple[bytes, list[bytes], list[Candidate]] = (b"", [], [])

    @property
    def transport_private(self) -> bytes:
        return seeds.drawn(self._seed, self._terms.hash, "transport", NOTHING, sealing.KEY_BYTES)

    def message(self, record: Record) -> bytes:
        """The message of the record's step; raises InvalidInput when there is none."""
        if self._position >= record.senders:
            raise InvalidInput(f"holder {self._position + 1} posts nothing in step {record.step} of the ceremony")
        return encode(record.header(self._position), record.layout(self._position), self.body(record))

    def body(self, record: Record) -> Body:
        """What the message says."""
        match record.kind:
            case Kind.REQUESTS:
                return self._requests(record)
            case Kind.ANSWERS:
                return self._answers(record)
            case Kind.SHARES:
                return self._shares(record)
            case Kind.TRIALS:
                return self._trials(record)
            case Kind.OPENING:
                return self._opening(record)
            case Kind.PRODUCT:
                return self._product(record)
            case Kind.EXPONENT:
                return self._exponent(record)
            case Kind.PROMISE:
                return Body({}, {"promise": [dealt_hash(self._terms, self._position, record.survivor.n, self._dealing(record))]})
            case _:
                return self._dealing(record)

    # -- a batch ---------------------------------------------------------------------------------------------------------------------------

    def _requests(self, record: Record) -> Body:
        """D8."""
        first = record.batch_number == 0
        strings = (
            {"transport": [sealing.transport_public(self.transport_private)]}
            if first
            else {"opened": [self._root(record.batch_number - 1, record.batch_contexts[-2])]}
        )
        if self._position >= self._terms.threshold:
            return Body({}, strings)
        leaves, those = self._of_batch(record)
        found = {"requests": candidates.requests(self._terms, self._own.public, self._position, those, self._arithmetic)}
        if first:
            found |= {"modulus": [self._own.public.n], "roots": self._own.roots()}
        return Body(found, strings | {"commitment": [seeds.commitment(seeds.leaf_hashes(leaves))]})

    def _answers(self, record: Record) -> Body:
        """D9."""
        _, those = self._of_batch(record)
        found = {}
        for other in self._others:
            hidden = self._masks(record, other, record.context)
            asked = [record.batch.requests[other][k] for k in hidden]
            found[f"to {other}"] = candidates.answers(
                self._terms, record.keys[other], other, asked, [those[k] for k in hidden], list(hidden.values()), self._arithmetic
            )
        return Body(found, {})

    def _shares(self, record: Record) -> Body:
        """D10."""
        batch = record.batch
        given = {other: self._masks(record, other, batch.context) for other in self._others}
        got = {other: batch.answers[other, self._position] for other in self._others}
        return Body({"shares": candidates.shares(self._terms, self._own, self._of_batch(record)[1], given, got)}, {})

    def _trials(self, record: Record) -> Body:
        """D11."""
        batch, (_, those) = record.batch, self._of_batch(record)
        found, mine = [batch.products[k] for k in batch.alive], [those[k] for k in batch.alive]
        return Body({"factors": candidates.trials(found, self._position, mine, self._arithmetic)}, {})

    # -- the survivor ----------------------------------------------------------------------------------------------------------------------

    def _opening(self, record: Record) -> Body:
        """D12 to D15."""
        terms, survivor, position = self._terms, record.survivor, self._position
        leaves, _ = self._of_batch(record)
        candidate = self._kept(record)
        depth = (terms.candidates - 1).bit_length()
        p, q = (elements.power(terms, candidates.asked(value, position)) for value in (candidate.p, candidate.q))
        statement = bounded.Statement(
            terms, position, record.batch.number, survivor.index, survivor.n, self._own.public, survivor.requests[position], (p, q)
        )
        proof = bounded.prove(statement, candidate, seeds.source(self._seed, terms.hash, "bounded", record.context))
        rho = self._rho(record)
        found = {
            "powers": [p, q],
            "challenge": [proof.challenge],
            "number answers": list(proof.numbers),
            "exponent answers": list(proof.exponents),
            "square roots": square_roots.factors(survivor.n, position, candidate, self._arithmetic),
            **self._pieces(record, "opened", rho, record.context),
        }
        nodes = seeds.beside(self._root(record.batch_number, record.batch_contexts[-1]), depth, survivor.index)
        return Body(found, {"nodes": nodes, "kept": [seeds.leaf_hash(survivor.index, leaves[survivor.index])]})

    def _product(self, record: Record) -> Body:
        """D16."""
        terms, survivor, position = self._terms, record.survivor, self._position
        secret = candidates.asked(self._kept(record).q, position)
        z = numbers.powmod(survivor.x, secret, terms.group.p)
        statement = product.Statement(terms, position, survivor.n, survivor.x, survivor.powers[position][1], z)
        rand = seeds.source(self._seed, terms.hash, "product", record.context)
        proof = product.prove(statement, secret, rand)
        share = self._share(record, "opened", self._rho(record), record.context_of(Kind.OPENING)) % survivor.n
        found = {"factor": [z], "challenge": [proof.challenge], "answer": [proof.answer], "share": [share]}
        return Body(found, {"promise": [promise(terms, position, survivor.n, self._revealed(record))]})

    def _exponent(self, record: Record) -> Body:
        """D17."""
        y = self._inverse_share(record) % self._terms.quotient
        return Body({"revealed": list(self._revealed(record)), **self._pieces(record, "exponent", y, record.context)}, {})

    def _dealing(self, record: Record) -> Body:
        """D18 and D19: what is promised in one step and shown in the next."""
        terms, survivor, position = self._terms, record.survivor, self._position
        candidate, y = self._kept(record), self._inverse_share(record)
        masks = self._factor_masks(record)
        answers = [mask + survivor.challenge * value for mask, value in zip(masks, (candidate.p, candidate.q), strict=True)]
        shared = self._share(record, "exponent", y % terms.quotient, record.context_of(Kind.EXPONENT))
        secret = exponent.secret_share(terms, survivor.n, position, y, shared)
        rand = seeds.source(self._seed, terms.hash, "dealing", record.context_of(Kind.PROMISE))
        dealt = dealing.deal(terms, survivor.n, secret, rand)
        public, size = PublicKey(survivor.n, terms.bits), boxes.value_bytes(terms.bits, terms.threshold, len(terms.holders))
        sealed = [
            boxes.seal(value, size, recipient(terms, j), position, record.transport[j], public, rand)
            for j, value in enumerate(dealt.sub_shares)
        ]
        return Body({"answers": answers, "commitments": dealt.commitments, "roots": dealt.roots}, {"boxes": sealed})

    # -- what is worked out of the seed ----------------------------------------------------------------------------------------------------

    @property
    def _own(self) -> OwnKey:
        if self._made is None:
            self._made = OwnKey(self._terms.own_bits, seeds.source(self._seed, self._terms.hash, "own key", NOTHING))
        return self._made

    @property
    def _others(self) -> list[int]:
        return [other for other in range(self._terms.threshold) if other != self._position]

    def _root(self, batch: int, context: bytes) -> bytes:
        return seeds.drawn(self._seed, self._terms.hash, f"batch {batch}", context, seeds.SEED_BYTES)

    def candidates(self, batch: int, context: bytes = NOTHING) -> tuple[list[bytes], list[Candidate]]:
        """Leaves and candidates of a batch that begins after posts of this hash; the newest is kept."""
        root = self._root(batch, context)
        if self._batch[0] != root:
            leaves = seeds.leaves(root, (self._terms.candidates - 1).bit_length())
            self._batch = root, leaves, candidates.candidates(self._terms, self._position, leaves)
        return self._batch[1:]

    def _of_batch(self, record: Record) -> tuple[list[bytes], list[Candidate]]:
        return self.candidates(record.batch_number, record.batch_contexts[-1])

    def _kept(self, record: Record) -> Candidate:
        """The survivor's summands."""
        return self._of_batch(record)[1][record.survivor.index]

    def _masks(self, record: Record, other: int, context: bytes) -> dict[int, Mask]:
        """What hides the answers to `other`, by candidate."""
        leaves, _ = self._of_batch(record)
        indices = candidates.answered(self._terms, self._position, other)
        hidden = candidates.masks(self._terms, record.keys[other], other, [leaves[k] for k in indices], context)
        return dict(zip(indices, hidden, strict=True))

    def _rho(self, record: Record) -> int:
        """ρ_i, uniform below n (D15)."""
        rand = seeds.source(self._seed, self._terms.hash, "rho", record.context_of(Kind.OPENING))
        return numbers.random_below(rand, record.survivor.n)

    def _inverse_share(self, record: Record) -> int:
        """y_i (D17)."""
        return exponent.inverse_share(record.survivor.n, self._rho(record), record.survivor.opened)

    def _piece_masks(self, record: Record, use: str, other: int, context: bytes) -> list[Mask]:
        return exponent.masks(self._terms, record.keys[other], self._seed, other, use, context)

    def _pieces(self, record: Record, use: str, value: int, context: bytes) -> dict[str, list[int]]:
        """Answers to every other contributor's E_j (D15)."""
        found = {}
        for other in self._others:
            key = record.keys[other]
            encrypted = exponent.encrypted_summand(key, other, record.survivor.requests[other])
            hidden = self._piece_masks(record, use, other, context)
            found[f"to {other}"] = exponent.answers(self._terms, key, encrypted, value, hidden)
        return found

    def _share(self, record: Record, use: str, value: int, context: bytes) -> int:
        """Of the product with s - 1, from the answers that this contributor gave and got in the step before."""
        given = {other: self._piece_masks(record, use, other, context) for other in self._others}
        got = {other: record.survivor.answers[other, self._position] for other in self._others}
        own = value * exponent.summand(self._position, self._kept(record))
        return exponent.share(self._terms, self._own, own, given, got)

    def _factor_masks(self, record: Record) -> list[int]:
        """u_i and w_i, which hide the answers about the factors (D16)."""
        rand = seeds.source(self._seed, self._terms.hash, "factors", record.context_of(Kind.PRODUCT))
        return [numbers.random_bits(rand, self._terms.half + MASK_BITS) for _ in range(2)]

    def _revealed(self, record: Record) -> tuple[int, int]:
        """G^(u_i), X^(w_i)."""
        of_p, of_q = self._factor_masks(record)
        return elements.power(self._terms, of_p), numbers.powmod(record.survivor.x, of_q, self._terms.group.p)


def recipient(terms: Terms, position: int) -> boxes.Recipient:
    return boxes.Recipient(terms.chain_id, terms.contract, terms.ceremony, terms.holders[position], position)
