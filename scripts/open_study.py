"""Open a study on the chain from its spec file, which is already on IPFS.

brownie run open_study --network NAME    with DEFEDBIO_SPEC=FILE DEFEDBIO_SPEC_CID=CID
brownie run open_study main FILE CID --network NAME

DEFEDBIO_SPEC: the spec, whose bytes are hashed as they are; it names the key epoch
DEFEDBIO_SPEC_CID: where they are on IPFS; computed from the bytes when unset, and checked against them when set
The sender and the network file are those of scripts/deploy.py.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from brownie import chain
from eth_utils import keccak

from defedbio.ipfs.cid import check_cid, cid_of
from defedbio.learning.plan import schedule
from defedbio.spec import StudySpec
from scripts.chainlib import contract, option, sender


def main(spec_path: str | None = None, spec_cid: str | None = None) -> None:
    spec = StudySpec.from_bytes(Path(option("SPEC", spec_path)).read_bytes())
    cid = spec_cid or os.environ.get("DEFEDBIO_SPEC_CID") or cid_of(spec.raw)
    check_cid(cid, spec.raw)
    study = open_study(contract("StudyRegistry"), spec, cid, sender())
    print(f"Study {study} is open under key epoch {spec.key_epoch}")


def rules_of(spec: StudySpec, now: int) -> tuple[int, ...]:
    """The contract's `StudyRules`: what the chain must know of the spec, for a study opened at `now` (unix seconds)."""
    limits = spec.deadlines
    return (
        spec.seats,
        spec.minimum,
        len(schedule(spec)),
        now + limits.enrol,
        limits.commit,
        limits.reveal,
        limits.attest,
        limits.aggregate,
        limits.share,
        limits.finalise,
        spec.least_share,
    )


def open_study(studies: Any, spec: StudySpec, cid: str, coordinator: Any) -> int:
    """Open the study; its number."""
    rules, invited = rules_of(spec, chain[-1].timestamp), list(spec.invited)
    tx = studies.open(spec.key_epoch, keccak(spec.raw), cid, rules, invited, {"from": coordinator})
    return int(tx.events["StudyOpened"]["study"])
