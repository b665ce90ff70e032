"""What a study's quantisation comes to, in the numbers that everybody is shown: slots, clip norms, bytes, and what rounding costs."""

from __future__ import annotations

from dataclasses import dataclass
from math import exp, pi, sqrt

from defedbio.crypto.packing import Layout
from defedbio.learning.plan import schedule
from defedbio.learning.quantisation import ClipRange, update_range, update_segment
from defedbio.spec import StudySpec


@dataclass(frozen=True)
class Precision:
    """`sigma` is 0 where updates are not rotated; `clip` has one norm thrice then. `bytes` are those of the `ciphertexts` of one
    organisation's contribution to a training round. `rounding` is the expected norm of what rounding adds to the mean update, relative to
    that mean, for organisations at the weight cap with independent updates of half the clip norm."""

    slot_bits: int
    sigma: float
    clip: ClipRange
    ciphertexts: int
    bytes: int
    rounding: float

    def in_words(self) -> tuple[str, ...]:
        clip, slots = self.clip, f"{'rotated, ' if self.sigma else ''}slots of {self.slot_bits} bits"
        norm = f"clipped to norm {clip.most:g}"
        if self.sigma:
            slots += f", deviation of {self.sigma:g} units at the clip norm"
            norm = f"clipped to norm {clip.first:g} at first, then as opened updates say, to {clip.least:g}..{clip.most:g}"
        cost = f"rounding moves a mean update by {self.rounding:.2g} of its norm"
        return (f"{slots}; {norm}", f"{self.ciphertexts} ciphertexts, {self.bytes:,} bytes a training round; {cost}")


def precision(spec: StudySpec) -> Precision:
    """What the study's quantisation, or what is chosen for it, comes to.

    Raises:
        InvalidSpec: as `schedule` does.
    """
    step = next(s for s in schedule(spec) if s.kind == "train")
    segment = update_segment(spec)
    quantisation = segment.quantisation
    ciphertexts = Layout(spec.modulus_bits, step.runs).ciphertexts
    return Precision(
        slot_bits=quantisation.slot_bits,
        sigma=quantisation.sigma,
        clip=update_range(spec) if quantisation.rotated else ClipRange(*[float(quantisation.clip_norm or 0)] * 3),
        ciphertexts=ciphertexts,
        bytes=ciphertexts * 2 * ((spec.modulus_bits + 7) // 8),
        rounding=rounding(float(quantisation.clip_norm or 0) * quantisation.scale / (2 * sqrt(segment.length))),
    )


def rounding(deviation: float) -> float:
    """The deviation of what stochastic rounding adds to a Gaussian of so many units, above 0, relative to the Gaussian's.

    The variance given a value of fraction f is f (1 - f), whose Fourier series is 1/6 - sum_k cos(2 pi k f) / (pi k)².
    """
    terms = range(1, 1 + max(8, int(2 / deviation)))
    variance = 1 / 6 - sum(exp(-2 * (pi * k * deviation) ** 2) / (pi * k) ** 2 for k in terms)
    return sqrt(max(variance, 0.0)) / deviation
