"""The machine of defedbio.crypto.keygen, behind the port."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from defedbio.ceremony.machine import Awaited, Posts, Terms
from defedbio.crypto.arithmetic import ONE_THREAD, Arithmetic
from defedbio.crypto.ceremony import CeremonyTranscript
from defedbio.crypto.keygen import messages, outcome
from defedbio.crypto.keygen.machine import Progress, Secrets
from defedbio.crypto.keygen.terms import CANDIDATES
from defedbio.crypto.keygen.terms import Terms as Announced
from defedbio.crypto.threshold import KeyShare


@dataclass
class Mill:
    """What the posts say is worked out once, however often it is asked for. `sizes` are those of keygen's terms, and `arithmetic` is told
    secrets.

    Raises:
        InvalidInput: for terms that no key can be made under.
    """

    terms: Terms
    position: int
    seed: bytes = field(repr=False)
    sizes: Mapping[int, int] = field(default_factory=lambda: CANDIDATES)
    arithmetic: Arithmetic = ONE_THREAD

    def __post_init__(self) -> None:
        of = self.terms
        announced = Announced(of.chain_id, of.registry, of.ceremony, of.holders, of.threshold, of.bits, of.step_seconds, sizes=self.sizes)
        self._progress = Progress(announced)
        self._secrets = Secrets(announced, self.position, self.seed, self.arithmetic)

    def awaited(self, posts: Posts) -> Awaited:
        record = self._progress.after(posts)
        return Awaited(record.kind.value, tuple(messages.size(record.layout(i)) for i in range(record.senders)))

    def message(self, posts: Posts) -> bytes:
        return self._secrets.message(self._progress.after(posts))

    def transcript(self, posts: Posts) -> CeremonyTranscript:
        return outcome.transcript(self._progress.after(posts))

    def share(self, posts: Posts) -> KeyShare:
        return outcome.share(self._progress.after(posts), self.position, self._secrets.transport_private)
