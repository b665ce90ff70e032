"""How an attack is written down: as an expectation of who does what, who must see it, what must still work and what nobody may learn.

    def test_junk_first(attack, arena):
        attack.by("a participant that holds no share of the key")
        with attack.sends("a product of nothing, as the first post of the round"):
            ...
        with attack.seen("by every holder, which releases no share for it"):
            ...
        with attack.works("the round finalises with the sum of all four"):
            ...
        with attack.unlearnt("any one organisation's update"):
            ...

Each part is there once at least, with a sentence, and what must hold is asserted inside it: an attack that leaves one out fails. The
sentences of all attacks are collected in docs/attacks.md (`python -m tests.adversary`).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

PARTS = ("by", "sends", "seen", "works", "unlearnt")
FEWEST_WORDS = 3


@dataclass
class Attack:
    """What one test has said of its attack so far, in the order of saying it."""

    said: list[tuple[str, str]] = field(default_factory=list)

    def by(self, who: str) -> None:
        """Who attacks, and with which rights."""
        self._say("by", who)

    @contextmanager
    def sends(self, what: str) -> Iterator[None]:
        """What the attacker does. It is carried out inside."""
        self._say("sends", what)
        yield

    @contextmanager
    def seen(self, how: str) -> Iterator[None]:
        """Who must see it, and as what."""
        self._say("seen", how)
        yield

    @contextmanager
    def works(self, what: str) -> Iterator[None]:
        """What must go on all the same."""
        self._say("works", what)
        yield

    @contextmanager
    def unlearnt(self, what: str) -> Iterator[None]:
        """What nobody may have learnt by it."""
        self._say("unlearnt", what)
        yield

    def check_whole(self) -> None:
        """Raises AssertionError for an attack of which a part was not written down."""
        missing = [part for part in PARTS if part not in {said for said, _ in self.said}]
        assert not missing, f"the attack does not say: {', '.join(missing)}"

    def _say(self, part: str, sentence: str) -> None:
        assert len(sentence.split()) >= FEWEST_WORDS, f"what an attack says of {part!r} is a sentence: {sentence!r}"
        assert part == "by" or self.said, "an attack begins with who attacks"
        self.said.append((part, sentence))
