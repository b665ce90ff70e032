"""What a study says of how updates become integers: numbers of its own, or that the software chooses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from defedbio.domain import LEAST_SIGMA, MAX_NOISE, MOST_SIGMA, NOISE_TAIL, Quantisation
from defedbio.errors import InvalidSpec
from defedbio.spec.privacy import Privacy, SumPrivacy

NORM_PROOF_SLACK = 2.45


@dataclass(frozen=True)
class RotatedSpec:
    """Updates are rotated and lie in narrow slots; what is None is chosen (learning.quantisation).

    `clip_norm` is what the first training round clips to; the next ones follow the opened updates, between the least and the most.
    `always` is False where the study leaves it to the software whether its model is large enough to be rotated at all.
    """

    slot_bits: int | None = None
    sigma: float | None = None
    clip_norm: float | None = None
    least_clip_norm: float | None = None
    most_clip_norm: float | None = None
    always: bool = True

    def __post_init__(self) -> None:
        norms = [norm for norm in (self.least_clip_norm, self.clip_norm, self.most_clip_norm) if norm is not None]
        if norms != sorted(norms):
            raise InvalidSpec("quantisation.clip_norm must lie between least_clip_norm and most_clip_norm")
        if self.clip_norm is None and len(norms) > 0:
            raise InvalidSpec("quantisation.least_clip_norm and most_clip_norm need a clip_norm between them")
        if self.sigma is not None and not LEAST_SIGMA <= self.sigma <= MOST_SIGMA:
            raise InvalidSpec(f"quantisation.sigma must be {LEAST_SIGMA:g}..{MOST_SIGMA:g}")


def quantisation_from(document: dict[str, Any] | str, weight_cap: int, seats: int, privacy: Privacy | None) -> Quantisation | RotatedSpec:
    """Of a document that obeys the schema. Wide slots without a scale get the largest that the slot rule allows for every seat, with the
    slack that proofs of norms need."""
    noisy = privacy if isinstance(privacy, SumPrivacy) else None
    if isinstance(document, str) or document.get("rotated"):
        if noisy:
            raise InvalidSpec(
                "noise on the sum is measured in clip norms, and rotated updates have none that stays", "name slot_bits and clip_norm"
            )
        return (
            RotatedSpec(always=False) if isinstance(document, str) else RotatedSpec(**{k: v for k, v in document.items() if k != "rotated"})
        )
    slot_bits, clip_norm = document["slot_bits"], float(document["clip_norm"])
    tail = NOISE_TAIL * noisy.share(clip_norm) if noisy else 0.0
    widest = widest_scale(slot_bits, clip_norm + tail, seats, NOISE_TAIL if noisy else 0)
    scale = float(document.get("scale") or (min(widest, MAX_NOISE / noisy.share(clip_norm)) if noisy else widest))
    noise = noisy.units(clip_norm, scale) if noisy else 0
    return Quantisation(slot_bits=slot_bits, scale=scale, weight_cap=weight_cap, clip_norm=clip_norm, noise=noise)


def widest_scale(slot_bits: int, bound: float, participants: int, spare: int = 0) -> float:
    """The largest scale with participants * NORM_PROOF_SLACK * (bound * scale + 1 + spare) < 2^(slot_bits - 1)."""
    return ((1 << (slot_bits - 1)) / (participants * NORM_PROOF_SLACK) - 2 - spare) / bound
