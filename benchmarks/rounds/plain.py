"""The plain federated run beside an encrypted one: same data, minibatches and IPFS nodes; float32 updates, averaged by the first site.

`python -m benchmarks.rounds.plain SPEC DATA IPFS SITE` is one organisation's process. whole.py carries messages between them, a JSON line
each: {"cid"} of an update, {"cids"} of all to the one that averages, {"model"} of its result to everybody, {"done"} back.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from defedbio.ipfs.kubo import KuboStore
from defedbio.learning.data import open_adapter
from defedbio.learning.global_update import finalise
from defedbio.learning.local import Contribution, contribute, use_threads
from defedbio.learning.plan import Step, schedule
from defedbio.learning.simulation import plain, stream
from defedbio.learning.state import GlobalState, genesis, size_cap
from defedbio.spec import StudySpec

LIMIT = 1 << 28
SECONDS = 60.0


def say(message: dict[str, Any]) -> None:
    print(json.dumps(message), flush=True)


def hear() -> dict[str, Any]:
    return dict(json.loads(sys.stdin.readline()))


def packed(contribution: Contribution) -> bytes:
    vector = np.concatenate(contribution.vectors).astype("<f4")
    return contribution.weight.to_bytes(8, "little") + vector.tobytes()


def unpacked(data: bytes, step: Step) -> Contribution:
    vector = np.frombuffer(data, dtype="<f4", offset=8).astype(np.float64)
    ends = np.cumsum([segment.length for segment in step.segments])[:-1]
    return Contribution(tuple(np.split(vector, ends)), int.from_bytes(data[:8], "little"))


def main(spec_path: Path, data: Path, ipfs: str, site: int) -> None:
    use_threads(1)
    spec = StudySpec.from_bytes(spec_path.read_bytes())
    dataset = open_adapter(spec).load(data)
    state, seeds, average = genesis(spec), stream(spec.seed), plain()
    with KuboStore(ipfs) as store:
        say({"ready": site})
        hear()
        for step in schedule(spec):
            started = time.monotonic()
            contribution = contribute(spec, step, state, dataset, seeds(step, site))
            trained = time.monotonic() - started
            blob = packed(contribution)
            say({"cid": store.add(blob), "train": trained, "bytes": len(blob)})
            message = hear()
            if "cids" in message:
                parts = {i: unpacked(store.get(cid, LIMIT, SECONDS), step) for i, cid in enumerate(message["cids"])}
                state = finalise(spec, step, state, average(step, parts))
                say({"model": store.add(state.to_bytes())})
            else:
                raw = store.get(message["model"], size_cap(spec), SECONDS)
                state = GlobalState.from_bytes(raw, spec)
                store.add(raw)
            say({"done": step.index})
            hear()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], int(sys.argv[4]))
