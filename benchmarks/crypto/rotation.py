"""What rotation and encoding cost: `python benchmarks/crypto/rotation.py [--repeat 5]` prints CPU seconds, the best of so many."""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable

import numpy as np

from defedbio.crypto import encoding
from defedbio.crypto.rotation import rotate, rotate_back
from defedbio.domain import Quantisation, Segment

ROUND = b"benchmark"


def best(call: Callable[[], object], repeat: int) -> float:
    found = []
    for _ in range(repeat):
        start = time.process_time()
        call()
        found.append(time.process_time() - start)
    return min(found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeat", type=int, default=5)
    repeat = parser.parse_args().repeat
    print(f"{'values':>12}{'rotate':>10}{'back':>10}{'encode':>10}{'decode':>10}   CPU seconds")
    for length in (16_417, 100_000, 1_000_000, 10_000_000):
        segment = Segment("update", length, Quantisation(16, 1.0, 1, clip_norm=1.0, sigma=4.0)).clipped_to(1.0)
        vector = np.random.default_rng(1).normal(size=length) / length**0.5
        sent = encoding.encode((vector,), 1, (segment,), os.urandom, ROUND)
        calls: tuple[Callable[[], object], ...] = (
            lambda x=vector: rotate(x, ROUND, "update"),
            lambda x=vector: rotate_back(x, ROUND, "update"),
            lambda x=vector, s=segment: encoding.encode((x,), 1, (s,), os.urandom, ROUND),
            lambda x=sent, s=segment: encoding.decode(x, (s,), 1, ROUND),
        )
        print(f"{length:>12,}" + "".join(f"{best(call, 1 if length > 10**6 else repeat):>10.4f}" for call in calls), flush=True)


if __name__ == "__main__":
    main()
