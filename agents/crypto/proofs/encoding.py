"""The proof's bytes: a version, then numbers of fixed width, big-endian. Every sequence of numbers has one encoding and no other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from defedbio.crypto.proofs.plan import Plan
from defedbio.errors import BadProof, InvalidInput

VERSION = b"\x01"
# What the prover sends before each of its challenges, and last of all its responses.
MESSAGES = (
    ("data",),
    ("answers", "links"),
    ("mask", "cross", "link_mask", "cipher_mask"),
    ("opening", "opening_blind", "cross_opening", "cross_blind", "slots", "slots_blind", "exponent"),
)

Values = Mapping[str, Sequence[int]]


@dataclass(frozen=True)
class Field:
    """`count` numbers of the same kind: each is written as number - least, which is below `limit`, in `size` bytes."""

    count: int
    least: int
    limit: int

    @property
    def size(self) -> int:
        return ((self.limit - 1).bit_length() + 7) // 8

    @property
    def length(self) -> int:
        return self.count * self.size

    def write(self, numbers: Sequence[int]) -> bytes:
        """Raises InvalidInput for numbers out of range, or not as many as there are."""
        if len(numbers) != self.count or any(not 0 <= x - self.least < self.limit for x in numbers):
            raise InvalidInput("a number of the proof is outside its range")
        size = self.size
        return b"".join([(x - self.least).to_bytes(size, "big") for x in numbers])

    def read(self, data: bytes) -> list[int]:
        """What `write` wrote. Raises BadProof for anything else."""
        size = self.size
        found = [int.from_bytes(data[i : i + size], "big") for i in range(0, self.count * size, size)]
        if max(found, default=0) >= self.limit:
            raise BadProof("a number of the proof is outside its range")
        return [x + self.least for x in found] if self.least else found


def fields(plan: Plan) -> dict[str, tuple[Field, ...]]:
    """By name, in the order of the bytes; slots are a field a block, the others one each."""
    group, n = plan.group, plan.form.modulus_bits
    bound = 1 << (plan.mask_bits + 1)

    def elements(count: int) -> tuple[Field, ...]:
        return (Field(count, 1, group.p - 1),)

    def scalars(count: int) -> tuple[Field, ...]:
        return (Field(count, 0, group.q),)

    return {
        "data": elements(len(plan.used) + 1),
        "answers": (Field(plan.parameters.checks, -bound, 2 * bound),),
        "links": elements(1),
        "mask": elements(1),
        "cross": elements(plan.negative_rows + plan.positive_rows + 1),
        "link_mask": elements(1),
        "cipher_mask": (Field(1, 0, 1 << 16 * ((n + 7) // 8)),),
        "opening": scalars(plan.width),
        "opening_blind": scalars(1),
        "cross_opening": scalars(plan.columns),
        "cross_blind": scalars(1),
        "slots": tuple(Field(lines.slots, -(1 << lines.response_bits), 1 << (lines.response_bits + 2)) for lines in plan.lines),
        "slots_blind": scalars(1),
        "exponent": (Field(1, -(1 << plan.exponent_bits), 1 << (plan.exponent_bits + 2)),),
    }


def size(plan: Plan) -> int:
    return len(VERSION) + sum(field.length for held in fields(plan).values() for field in held)


def write(plan: Plan, values: Values, names: Sequence[str]) -> bytes:
    """The bytes of these fields."""
    shapes, out = fields(plan), []
    for name in names:
        rest = list(values[name])
        for field in shapes[name]:
            out.append(field.write(rest[: field.count]))
            rest = rest[field.count :]
    return b"".join(out)


def messages(plan: Plan, proof: bytes) -> Iterator[bytes]:
    """The bytes of each of `MESSAGES`. Raises BadProof for a wrong length or version."""
    expected = size(plan)
    if len(proof) != expected:
        raise BadProof(f"the proof has {len(proof)} bytes, {expected} are expected")
    if proof[: len(VERSION)] != VERSION:
        raise BadProof("the proof is of another version")
    shapes, at = fields(plan), len(VERSION)
    for names in MESSAGES:
        length = sum(field.length for name in names for field in shapes[name])
        yield proof[at : at + length]
        at += length


def read(plan: Plan, proof: bytes) -> dict[str, list[int]]:
    """Raises BadProof for anything but what `write` gives of all messages after the version."""
    shapes = fields(plan)
    out: dict[str, list[int]] = {}
    for names, data in zip(MESSAGES, messages(plan, proof), strict=True):
        for name in names:
            out[name] = []
            for field in shapes[name]:
                out[name] += field.read(data[: field.length])
                data = data[field.length :]
    return out
