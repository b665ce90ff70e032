"""C7 and K3 with whole nodes: a home from a stale backup sends nothing twice, and a share is not destroyed while it is needed."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from scripts.consortium import CHAIN_ID, Consortium, StepFailed
from tests.integration.fixtures import Study

MakeStudy = Callable[..., Study]
LEFT_OUT = re.compile(r"ipfs/.*|studies/[^/]+/(agent\.(json|log(\.\d)?)|events\.json)|pins\.sqlite|.*\.sqlite(\.lock|-journal)")


def test_c7_a_home_from_a_stale_backup_goes_on_and_sends_nothing_twice(
    consortium: Consortium, open_study: MakeStudy, epoch: int, tmp_path: Path
) -> None:
    study, beta = open_study(rounds=1), consortium.organisations[1]
    agents = [study.start(o) for o in consortium.organisations[:2]]  # the commitments wait for the others

    def of_beta(phase: str, status: str) -> Callable[[str, dict[str, object]], bool]:
        return lambda who, record: who == beta.name and (record["phase"], record["status"]) == (phase, status)

    study.watch.wait_for(of_beta("commit", "done"))
    made = consortium.cli(beta, "backup", str(tmp_path / "beta.backup"))
    assert any(name.endswith("journal.sqlite") for name in made["files"]), "while its agent holds the journal"
    others = {path.relative_to(beta.home).as_posix() for path in beta.home.rglob("*") if path.is_file()} - set(made["files"])
    assert {name for name in others if not LEFT_OUT.fullmatch(name)} == set(), "what is in a home is in its backup or known to be left out"
    with pytest.raises(StepFailed, match="in use"):
        consortium.cli(beta, "restore", str(tmp_path / "beta.backup"), "--replace")
    agents += [study.start(o) for o in consortium.organisations[2:]]
    study.watch.wait_for(of_beta("post-share", "start"))
    for agent in agents:  # all, so that no other round begins meanwhile, whose commitments would wait for this organisation
        agent.kill()
    restored = consortium.cli(beta, "restore", str(tmp_path / "beta.backup"), "--replace")
    assert restored["account"] == beta.address and restored["left_out"] == []
    with pytest.raises(StepFailed, match=r"may be needed still: .*is not complete"):
        consortium.cli(beta, "key", "destroy", "--epoch", str(epoch), "--yes")
    agents = [study.start(o) for o in consortium.organisations]
    study.watch.wait_for(lambda who, record: who == beta.name and "is from a backup" in str(record.get("message", "")))
    study.finish(agents)

    rounds = study.rounds()
    assert [(r["phase"], r["in_set"]) for r in rounds] == [("finalised", 4)] * 2, "it takes part again from the next round on"
    assert consortium.cli(consortium.organisations[0], "verify", str(rounds[-1]["round"]))["verified"]
    settled = json.loads((beta.home / "restored.json").read_bytes())["settled"]
    assert settled[str(CHAIN_ID)] > 0, "for studies that are opened later"
    (share,) = [s for s in consortium.cli(beta, "key", "list")["rows"] if s["epoch"] == epoch]
    assert share["here"] and not share["retired"] and share["left"] == share["holders"] == 4
