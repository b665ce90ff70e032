"""From a form to what is committed and shown: a matrix of integers and the relations between them, a function of the form alone.

The witness is a matrix of vectors of `width` integers each: long vectors make the proof's responses longer, short ones its commitments
more. Every relation has one shape: position by position of a group of vectors,

    sum of m_a x_a² = an affine form of other numbers of the matrix.

That x >= 0 is said by 4x + 1 = a² + b² + c², which no negative x satisfies (Rabin and Shallit 1986). The numbers are tied to the
ciphertexts' digits by `Strip`s. Ciphertexts that hold nothing but one segment under a norm are many in a large model; of more than
`Parameters.rows` of them not the digits are committed but that many random combinations (docs/proofs.md, Rows).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from math import gcd, isqrt

from defedbio.crypto.packing import SlotLayout
from defedbio.crypto.proofs.group import GROUP, Group
from defedbio.crypto.proofs.statement import Block, Form, Piece
from defedbio.crypto.rules import Norm, Range
from defedbio.errors import InvalidInput

CHALLENGE_BITS = 128
HIDING_BITS = 80  # a number is hidden by a mask of so many bits more
SLACK = 17, 10  # f: what the sum of squares of honest rows may be above its mean
WRAP = 15, 2  # rows need slots of at least 7.5 times the bound, and then no vector above 2.9 times it passes
CARRIES = 2, 3  # what carries between slots add to the bound of a slot column, in units
SPREAD = 9, 2  # deviations by which a slot column's share of a norm may be above its mean
LARGEST_ROOT_BITS = 62
MOST_CIPHERTEXTS = 1 << 20
MOST_ENTRIES = 1 << 22
MOST_WIDTH = 1 << 13
_LOWER = "choose constants of fewer digits, or a lower weight cap"
GUARD_BITS = 16  # of the bits that a plaintext leaves above its slots, those that a norm may be above a slot


@dataclass(frozen=True)
class Parameters:
    """Lowered by tests only: the random rows, those of the approximate range proof, and the group."""

    rows: int = 256
    checks: int = 128
    group: Group = GROUP


PRODUCTION = Parameters()


@dataclass(frozen=True)
class Term:
    """`coefficient` times the sum of `count` consecutive numbers of the matrix, counted vector after vector."""

    coefficient: int
    start: int
    count: int = 1


@dataclass(frozen=True)
class Affine:
    constant: int
    terms: tuple[Term, ...] = ()


@dataclass(frozen=True)
class Squares:
    """At position t: sum of m · x² over `vectors` (index, m) = relations[t], and 0 where there is none.

    `roots` are the three of the vectors whose numbers are found so that it holds; without them relations[t] is a single number that is.
    """

    vectors: tuple[tuple[int, int], ...]
    relations: tuple[Affine, ...]
    roots: tuple[int, int, int] | None = None


@dataclass(frozen=True)
class Strip:
    """Numbers vector[position : position + length] are slots slot, slot + 1, … of a line of a block."""

    block: int
    line: int
    slot: int
    vector: int
    position: int
    length: int


@dataclass(frozen=True)
class Run:
    """Ciphertexts first..last-1 of a block of which random rows are shown: its lines `line` to `line + rows - 1`.

    A slot column may hold the part share[0] / share[1] of what the norm allows, where every column has a bound of its own.
    """

    first: int
    last: int
    line: int
    rule: Norm
    share: tuple[int, int] | None


@dataclass(frozen=True)
class Lines:
    """A block's lines: a ciphertext each whose digits are shown (index, ciphertext), then the rows of its runs. γ is one a line."""

    slots: int
    slot_bits: int
    digits: tuple[tuple[int, int], ...]
    runs: tuple[Run, ...]
    count: int
    offset: int  # of the block's numbers in the vector of links
    number_bits: int  # no number in a line is longer

    @property
    def link_bits(self) -> int:
        """Bits of a sum of γ times number."""
        return CHALLENGE_BITS + self.count.bit_length() + self.number_bits

    @property
    def response_bits(self) -> int:
        return self.link_bits + CHALLENGE_BITS + HIDING_BITS


@dataclass(frozen=True)
class Plan:
    """What is shown of a form. Vectors 0..len(used)-1 hold data; those of the range proof's masks and of the links come after them."""

    form: Form
    parameters: Parameters
    width: int
    used: tuple[int, ...] = field(repr=False)  # of each vector so many positions from the start; the others are zero
    squares: tuple[Squares, ...] = field(repr=False)
    strips: tuple[Strip, ...] = field(repr=False)
    lines: tuple[Lines, ...] = field(repr=False)
    number_bits: int  # no number of an honest matrix is longer

    @property
    def group(self) -> Group:
        return self.parameters.group

    @property
    def vectors(self) -> int:
        """All, those of masks and links included."""
        return len(self.used) + 2

    @property
    def links(self) -> int:
        """Numbers that link commitments and ciphertexts: one a slot of every block."""
        return sum(lines.slots for lines in self.lines)

    @property
    def mask_bits(self) -> int:
        """ℓ: bits of the masks of the approximate range proof."""
        return self.number_bits + (len(self.used) * self.width).bit_length() + HIDING_BITS + 1

    @property
    def short(self) -> int:
        """What no number of an accepted matrix is above, but for 2^-128."""
        return 1 << (self.mask_bits + 2)

    @property
    def exponent_bits(self) -> int:
        """Bits of the mask of the ciphertexts' randomness."""
        ciphertexts = self.form.layout.ciphertexts
        combined = CHALLENGE_BITS + self.parameters.rows.bit_length() + ciphertexts.bit_length()
        return self.form.modulus_bits // 2 + 8 + combined + CHALLENGE_BITS + HIDING_BITS

    @property
    def negative_rows(self) -> int:
        return -(-2 * self.vectors // self.columns)

    @property
    def positive_rows(self) -> int:
        return -(-(2 * self.vectors + 2) // self.columns)

    @property
    def columns(self) -> int:
        """Of the matrix in which the coefficients of the cross terms are committed: about as many bytes of commitments as of scalars."""
        coefficients = 4 * self.vectors + 2
        return max(2, isqrt(coefficients * self.group.element_bytes // self.group.scalar_bytes))


@lru_cache(maxsize=4)  # as many as a study has forms: those of 100,000 features take hundreds of MB each
def plan(form: Form, parameters: Parameters = PRODUCTION) -> Plan:
    """The plan of the shortest proof.

    Raises:
        InvalidInput: when nothing can be proven of this form: a bound does not fit its slots, or a relation's numbers are too large.
    """
    _check_slots(form)
    contents = _contents(form, parameters)
    least = max(parameters.checks, sum(min(slots.slots, n) for slots, n in zip(form.layout.slots, form.layout.lengths, strict=True)))
    widths = {least, *range(128, MOST_WIDTH + 1, 128)}
    for slots in form.layout.slots:
        widths |= set(range(slots.slots, MOST_WIDTH + 1, slots.slots))
    best = min(sorted(w for w in widths if least <= w <= MOST_WIDTH), key=lambda w: _cost(form, parameters, contents, w), default=0)
    if not best:
        raise InvalidInput("the form has too many slots in all its blocks together: fewer blocks or wider slots are needed")
    if best * _vectors(form, parameters, contents, best) > MOST_ENTRIES:
        raise InvalidInput("the form has too much to prove: a norm of this many values needs wider slots, or values that are spread")
    made = _Builder(form, parameters, contents, best).plan()
    _check_sizes(made)
    return made


@dataclass(frozen=True)
class _Digits:
    """Values start..stop-1 of a block, all of piece `index`, that are shown themselves."""

    block: int
    index: int
    piece: Piece
    start: int
    stop: int

    @property
    def count(self) -> int:
        return self.stop - self.start


@dataclass(frozen=True)
class _Rows:
    """Ciphertexts first..last-1 of a block, all of piece `index`, of which rows are shown; with `columns` every slot has its own bound."""

    block: int
    index: int
    piece: Piece
    first: int
    last: int
    columns: bool

    @property
    def rule(self) -> Norm:
        assert isinstance(self.piece.rule, Norm), "rows are of segments under a norm"
        return self.piece.rule


@dataclass(frozen=True)
class _Contents:
    digits: tuple[_Digits, ...]
    rows: tuple[_Rows, ...]


def _check_slots(form: Form) -> None:
    """Every number within its range fits its slot, and what is above a slot by a norm's leave carries next to nothing into others."""
    if form.layout.ciphertexts > MOST_CIPHERTEXTS:
        raise InvalidInput(f"a contribution that is proven has at most {MOST_CIPHERTEXTS} ciphertexts")
    for index, (block, slots) in enumerate(zip(form.blocks, form.layout.slots, strict=True)):
        if index == 0 and form.weight_cap >= slots.half:
            raise InvalidInput("the largest weight does not fit its slot")
        for piece in block.pieces:
            if piece.length < 1:
                raise InvalidInput(f"the segment {piece.name} has no values")
            if isinstance(piece.rule, Range) and _largest(form, piece.rule) >= slots.half:
                raise InvalidInput(f"the values of {piece.name} do not fit slots of {block.slot_bits} bits")
            if isinstance(piece.rule, Norm) and _root_above(_largest(form, piece.rule)) >= _most_norm(index, block, slots):
                hint = "give it a block of its own, or wider slots"
                raise InvalidInput(f"the norm of {piece.name} is too large for slots of {block.slot_bits} bits", hint)


def _most_norm(index: int, block: Block, slots: SlotLayout) -> int:
    """What a norm must be below. A digit of 2^(b-1) or more is read as another, and carries into the next slot.

    Alone in its block a segment hurts only itself; beside others under norms a carry of one unit is harmless; beside W and counts none is.
    """
    if len(block.pieces) == 1 and index > 0:
        return slots.half << GUARD_BITS
    if index > 0 and all(isinstance(piece.rule, Norm) for piece in block.pieces):
        return 3 * slots.half - 1
    return slots.half


def _largest(form: Form, rule: Range | Norm) -> int:
    """What a value, or a sum of squares, may be for the largest weight."""
    return rule.allowed(form.weight_cap) // rule.divisor


def _root_above(x: int) -> int:
    """The least integer whose square is at least x."""
    return isqrt(x - 1) + 1 if x > 0 else 0


def _contents(form: Form, parameters: Parameters) -> _Contents:
    digits: list[_Digits] = []
    rows: list[_Rows] = []
    for b, (block, slots, length) in enumerate(zip(form.blocks, form.layout.slots, form.layout.lengths, strict=True)):
        start = 1 if b == 0 else 0
        for index, piece in enumerate(block.pieces):
            stop = start + piece.length
            first, last = -(-start // slots.slots), slots.ciphertexts(length) if stop == length else stop // slots.slots
            columns = _columns(form, piece, slots, last - first, start == first * slots.slots and stop == length)
            parts = [(start, stop)]
            if last - first > parameters.rows and columns is not None:
                rows.append(_Rows(b, index, piece, first, last, columns))
                parts = [(start, first * slots.slots), (last * slots.slots, stop)]
            digits += [_Digits(b, index, piece, *part) for part in parts if part[0] < part[1]]
            start = stop
    return _Contents(tuple(digits), tuple(rows))


def _columns(form: Form, piece: Piece, slots: SlotLayout, ciphertexts: int, whole: bool) -> bool | None:
    """Whether rows of a piece need a bound for every slot column; None when rows say nothing sound of it."""
    rule = piece.rule
    if not isinstance(rule, Norm) or ciphertexts < 1:
        return None
    most = _largest(form, rule)
    if _wide_enough(slots, _root_above(most), _root_above(slots.slots)):
        return False
    part, of = _column_share(piece, ciphertexts)
    return True if rule.spread and whole and _wide_enough(slots, _root_above(-(-most * part // of)), 1) else None


def _wide_enough(slots: SlotLayout, bound: int, carries: int) -> bool:
    """2^b >= 7.5 (bound + 2/3 carries)."""
    return WRAP[0] * (CARRIES[1] * bound + CARRIES[0] * carries) <= WRAP[1] * CARRIES[1] << slots.slot_bits


def _column_share(piece: Piece, ciphertexts: int) -> tuple[int, int]:
    """What part of a spread sum of squares a slot column may hold: L/d, and above it 4.5 deviations of a χ² of L degrees of freedom.

    By Wilson and Hilferty 1931 the quantile is L (1 + z sqrt(2/(9 L)))³ and a little less; in integers, so that it is the same everywhere.
    """
    fine, coarse = 1 << 16, 1 << 10  # few digits, or the numbers that are proven grow with them
    relative = fine + isqrt(2 * SPREAD[0] ** 2 * fine**2 // (9 * SPREAD[1] ** 2 * ciphertexts)) + 1
    return ciphertexts * -(-(relative**3) * coarse // fine**3), piece.length * coarse


def _vectors(form: Form, parameters: Parameters, contents: _Contents, width: int) -> int:
    """How many vectors there are, masks and links included, when they have this width."""
    slots = form.layout.slots
    norms = [d for d in contents.digits if isinstance(d.piece.rule, Norm)]
    ranges = [(d.piece.rule, d.count) for d in contents.digits if isinstance(d.piece.rule, Range)]
    products = sum(n for rule, n in ranges if not rule.slope)
    lines = sum(n for rule, n in ranges if rule.slope)
    sums, forms, count = 1, 2 + 2 * lines, 1
    for d in norms:
        count, sums = count + -(-d.count // width), sums + min(d.count, width)
    for r in contents.rows:
        size = slots[r.block].slots
        side = min(width // size, parameters.rows)
        count, sums = count + -(-parameters.rows // side), sums + side * size
        forms += size if r.columns else 0
    rules = [p.rule for b in form.blocks for p in b.pieces if isinstance(p.rule, Norm)]
    forms += len(rules) + sum(rule.most is not None for rule in rules) - sum(r.columns for r in contents.rows)
    return count + 4 * -(-products // width) + -(-lines // width) + -(-sums // width) + 3 * -(-forms // width) + 2


def _cost(form: Form, parameters: Parameters, contents: _Contents, width: int) -> int:
    """Bytes that depend on the width."""
    group, vectors = parameters.group, _vectors(form, parameters, contents, width)
    cross = 2 * isqrt(4 * vectors * group.element_bytes * group.scalar_bytes)
    return vectors * group.element_bytes + width * group.scalar_bytes + cross


class _Builder:
    """Lays the numbers out, one segment after the other, and then states the relations."""

    def __init__(self, form: Form, parameters: Parameters, contents: _Contents, width: int) -> None:
        self._form, self._parameters, self._contents, self._width = form, parameters, contents, width
        self._slots = form.layout.slots
        self._used: list[int] = []
        self._squares: list[Squares] = []
        self._strips: list[Strip] = []
        self._summed: list[tuple[range, int]] = []  # vectors whose squares are added position by position, in so many positions
        self._not_negative: list[Affine] = []
        self._number_bits = 1
        self._line_bits = [1] * len(form.blocks)
        self._number_lines()

    def plan(self) -> Plan:
        normed: list[tuple[_Digits | _Rows, int]] = []
        normed += [(d, self._place_digits(d)) for d in self._contents.digits if isinstance(d.piece.rule, Norm)]
        normed += [(r, self._place_rows(r)) for r in self._contents.rows]
        weight = self._flat(1)
        self._tie(0, 0, 1, weight, self._form.weight_cap)
        square = self._sum(range(weight // self._width, weight // self._width + 1), 1)
        products = self._place_ranges(sloped=False)
        slopes = self._place_ranges(sloped=True)
        starts = self._place_sums()
        self._state_weight(weight)
        self._state_norms(Term(1, starts[square]), Term(1, weight), [(c, starts[i], self._summed[i][1]) for c, i in normed])
        self._state_slopes(Term(1, weight), slopes)
        self._state_products(products)
        self._state_not_negative()
        return self._made()

    def _number_lines(self) -> None:
        """A line for each ciphertext whose digits are shown, and for each row."""
        self._digit_lines: list[dict[int, int]] = []
        self._runs: list[dict[int, Run]] = []  # by piece
        self._line_counts: list[int] = []
        for b, count in enumerate(self._form.layout.counts):
            rows = [r for r in self._contents.rows if r.block == b]
            covered = {c for r in rows for c in range(r.first, r.last)}
            lines = {c: line for line, c in enumerate(c for c in range(count) if c not in covered)}
            runs = {}
            for i, r in enumerate(rows):
                share = _column_share(r.piece, r.last - r.first) if r.columns else None
                runs[r.index] = Run(r.first, r.last, len(lines) + i * self._parameters.rows, r.rule, share)
            self._digit_lines.append(lines)
            self._runs.append(runs)
            self._line_counts.append(len(lines) + len(runs) * self._parameters.rows)

    def _vectors(self, used: Sequence[int]) -> range:
        self._used += used
        return range(len(self._used) - len(used), len(self._used))

    def _flat(self, count: int) -> int:
        """Where so many consecutive numbers start."""
        start = len(self._used) * self._width
        self._vectors([min(self._width, count - i) for i in range(0, count, self._width)])
        return start

    def _tie(self, block: int, first: int, count: int, start: int, largest: int) -> None:
        """Numbers from `start` on are values first, first + 1, … of the block."""
        slots, end = self._slots[block].slots, first + count
        while first < end:
            line, slot = self._digit_lines[block][first // slots], first % slots
            vector, position = divmod(start, self._width)
            length = min(end - first, slots - slot, self._width - position)
            self._strips.append(Strip(block, line, slot, vector, position, length))
            first, start = first + length, start + length
        self._bound_line(block, largest)

    def _bound_line(self, block: int, largest: int) -> None:
        self._line_bits[block] = max(self._line_bits[block], largest.bit_length())
        self._bound(largest)

    def _bound(self, largest: int) -> None:
        self._number_bits = max(self._number_bits, largest.bit_length())

    def _sum(self, vectors: range, positions: int) -> int:
        self._summed.append((vectors, positions))
        return len(self._summed) - 1

    def _place_digits(self, digits: _Digits) -> int:
        start, before = self._flat(digits.count), len(self._used)
        most = _largest(self._form, digits.piece.rule)
        self._tie(digits.block, digits.start, digits.count, start, isqrt(most))
        self._bound(most)
        return self._sum(range(start // self._width, before), min(digits.count, self._width))

    def _place_rows(self, rows: _Rows) -> int:
        size, count = self._slots[rows.block].slots, self._parameters.rows
        side = min(self._width // size, count)
        vectors = self._vectors([min(side, count - i) * size for i in range(0, count, side)])
        line = self._runs[rows.block][rows.index].line
        for row in range(count):
            self._strips.append(Strip(rows.block, line + row, 0, vectors[row // side], row % side * size, size))
        most = self._most_of_rows(rows)
        self._bound_line(rows.block, isqrt(most))
        self._bound(most)
        return self._sum(vectors, side * size)

    def _most_of_rows(self, rows: _Rows) -> int:
        """What the squares of all rows, or of their numbers in one column, may add up to for the largest weight."""
        gain, cost = self._factors(rows)
        return rows.rule.allowed(self._form.weight_cap) * gain // cost

    def _factors(self, rows: _Rows) -> tuple[int, int]:
        """Of the inequality gain · bound(W) - cost · (sum of squares of rows) >= 0."""
        part, of = _column_share(rows.piece, rows.last - rows.first) if rows.columns else (1, 1)
        return SLACK[0] * self._parameters.rows * part, 2 * SLACK[1] * of * rows.rule.divisor

    def _place_ranges(self, sloped: bool) -> list[tuple[Range, int]]:
        """The numbers of all values under a range of this kind, one after the other, each with its rule."""
        found = [(d, d.piece.rule) for d in self._contents.digits if isinstance(d.piece.rule, Range) and bool(d.piece.rule.slope) is sloped]
        start, numbers = self._flat(sum(d.count for d, _ in found)), []
        for d, rule in found:
            self._tie(d.block, d.start, d.count, start, _largest(self._form, rule))
            numbers += [(rule, start + i) for i in range(d.count)]
            start += d.count
        return numbers

    def _place_sums(self) -> list[int]:
        start = self._flat(sum(positions for _, positions in self._summed))
        starts = []
        for vectors, positions in self._summed:
            relations = tuple(Affine(0, (Term(1, start + t),)) for t in range(positions))
            self._squares.append(Squares(tuple((a, 1) for a in vectors), relations))
            starts.append(start)
            start += positions
        return starts

    def _state(self, form: Affine, most: int) -> None:
        """The form is not negative, and at most `most`."""
        divisor = gcd(form.constant, *(t.coefficient for t in form.terms))
        terms = tuple(Term(t.coefficient // divisor, t.start, t.count) for t in form.terms)
        self._not_negative.append(Affine(form.constant // divisor, terms))
        self._bound_root(most // divisor)

    def _bound_root(self, most: int) -> None:
        root = isqrt(4 * most + 1)
        if root.bit_length() >= LARGEST_ROOT_BITS:
            raise InvalidInput("the bounds of the form are too large to be proven", _LOWER)
        self._bound(root)

    def _state_weight(self, weight: int) -> None:
        cap = self._form.weight_cap
        self._bound(cap * cap)
        self._state(Affine(-1, (Term(1, weight),)), cap)
        self._state(Affine(cap, (Term(-1, weight),)), cap)

    def _state_norms(self, square: Term, weight: Term, contents: list[tuple[_Digits | _Rows, int, int]]) -> None:
        """`contents`: what is under norms, and where the sums of its squares begin and how many they are."""
        held: dict[tuple[int, int], list[tuple[_Digits | _Rows, Term]]] = {}
        for content, start, count in contents:
            held.setdefault((content.block, content.index), []).append((content, Term(1, start, count)))
        for parts in held.values():
            rule = parts[0][0].piece.rule
            assert isinstance(rule, Norm), "sums of squares are of segments under a norm"
            self._state_norm(square, weight, rule, parts)

    def _state_norm(self, square: Term, weight: Term, rule: Norm, contents: list[tuple[_Digits | _Rows, Term]]) -> None:
        """Of columns, each has its share of what is allowed at most, and all together what the weight allows where these are two."""

        def of_weight(gain: int) -> tuple[Affine, int]:
            terms = Term(rule.square * gain, square.start), Term(rule.linear * gain, weight.start)
            return Affine(rule.constant * gain, terms), rule.of_weight(self._form.weight_cap) * gain

        def at_most(gain: int) -> list[tuple[Affine, int]]:
            return [] if rule.most is None else [(Affine(rule.most * gain), rule.most * gain)]

        def state(bounds: list[tuple[Affine, int]], terms: Iterable[Term]) -> None:
            for bound, most in bounds:
                self._state(Affine(bound.constant, (*bound.terms, *terms)), most)

        for content, sums in contents:
            if isinstance(content, _Rows) and content.columns:
                gain, cost = self._factors(content)
                size = self._slots[content.block].slots
                for i in range(size):
                    column = [Term(-cost, sums.start + t) for t in range(i, sums.count, size)]
                    state(at_most(gain) or [of_weight(gain)], column)
        columns = any(isinstance(c, _Rows) and c.columns for c, _ in contents)
        if columns and rule.most is None:
            return
        rows = any(isinstance(c, _Rows) for c, _ in contents)
        gain, cost = (SLACK[0] * self._parameters.rows, 2 * SLACK[1] * rule.divisor) if rows else (1, 0)
        terms = [Term(-rule.divisor * gain if isinstance(c, _Digits) else -cost, sums.start, sums.count) for c, sums in contents]
        state([of_weight(gain)] if columns else [of_weight(gain), *at_most(gain)], terms)

    def _state_slopes(self, weight: Term, numbers: list[tuple[Range, int]]) -> None:
        for rule, at in numbers:
            most = rule.allowed(self._form.weight_cap)
            self._state(Affine(0, (Term(1, at),)), most // rule.divisor)
            self._state(Affine(rule.offset, (Term(rule.slope, weight.start), Term(-rule.divisor, at))), most)

    def _state_products(self, numbers: list[tuple[Range, int]]) -> None:
        """4 v (U - v) + 1 is a sum of three squares, which it cannot be when v is outside 0..U."""
        for start in range(0, len(numbers), self._width):
            part = numbers[start : start + self._width]
            limits = [(rule.offset // rule.divisor, at) for rule, at in part]
            roots = self._vectors([len(part)] * 3)
            relations = tuple(Affine(1, (Term(4 * limit, at),)) for limit, at in limits)
            held = ((part[0][1] // self._width, 4), *((a, 1) for a in roots))
            self._squares.append(Squares(held, relations, (roots[0], roots[1], roots[2])))
            self._bound_root(max(limit * limit for limit, _ in limits) // 4)

    def _state_not_negative(self) -> None:
        for start in range(0, len(self._not_negative), self._width):
            part = self._not_negative[start : start + self._width]
            roots = self._vectors([len(part)] * 3)
            relations = tuple(_times(form, 4, 1) for form in part)
            self._squares.append(Squares(tuple((a, 1) for a in roots), relations, (roots[0], roots[1], roots[2])))

    def _made(self) -> Plan:
        lines, offset = [], 0
        for b, (slots, length) in enumerate(zip(self._slots, self._form.layout.lengths, strict=True)):
            digits = tuple((line, c) for c, line in self._digit_lines[b].items())
            size = min(slots.slots, length)
            lines.append(
                Lines(size, slots.slot_bits, digits, tuple(self._runs[b].values()), self._line_counts[b], offset, self._line_bits[b])
            )
            offset += size
        return Plan(
            self._form,
            self._parameters,
            self._width,
            tuple(self._used),
            tuple(self._squares),
            tuple(self._strips),
            tuple(lines),
            self._number_bits,
        )


def _times(form: Affine, factor: int, plus: int) -> Affine:
    return Affine(form.constant * factor + plus, tuple(Term(t.coefficient * factor, t.start, t.count) for t in form.terms))


def _check_sizes(made: Plan) -> None:
    """Nothing that holds modulo Q may fail to hold of the integers: raises InvalidInput otherwise."""
    q, short = made.group.q, made.short
    largest = max(
        sum(m for _, m in squares.vectors) * short * short + abs(r.constant) + sum(abs(t.coefficient) * t.count for t in r.terms) * short
        for squares in made.squares
        for r in squares.relations
    )
    links = max((1 << (lines.link_bits + CHALLENGE_BITS)) + (1 << (lines.response_bits + 3)) for lines in made.lines)
    if max(largest, links, 4 * short) >= q:
        raise InvalidInput("the numbers of the form are too large to be proven", _LOWER)
