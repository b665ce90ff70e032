"""P3: how large a set must be to be frozen, and which one a holder can stand for beside the others: pure functions of what is on record."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable

from defedbio.domain import BitSet


def refused_by(refusals: Iterable[BitSet], threshold: int) -> BitSet:
    """The updates that at least `threshold` holders refuse: those are not good, whatever anyone else says."""
    counts = Counter(position for refused in refusals for position in refused.positions())
    return BitSet.of(*(position for position, count in counts.items() if count >= threshold))


def joined(good: BitSet, must: BitSet, others: Collection[BitSet], threshold: int, least: int) -> BitSet:
    """What a holder attests to when its good set does not win by itself: of what it found good together with others, at least `least`
    updates and `must` among them, the largest set that its word would make `threshold` equal ones; else the one for which most others could
    stand too, having found all of it good, and of these again the largest. `good` itself when there is none."""
    shared = {good.bits}
    for other in others:
        shared |= {both for bits in shared if (both := bits & other.bits).bit_count() >= least and must.bits & ~both == 0}

    def preference(bits: int) -> tuple[bool, int, int, int]:
        wins = sum(other.bits == bits for other in others) + 1 >= threshold
        could = sum(bits & ~other.bits == 0 for other in others)
        return wins, bits.bit_count() if wins else could, bits.bit_count(), -bits

    return BitSet(max(shared, key=preference))
