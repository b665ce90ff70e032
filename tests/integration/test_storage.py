"""What a node keeps after a study that real processes ran, through the command line, on a real IPFS node."""

from __future__ import annotations

import requests

from defedbio.ipfs.kubo import KuboStore
from tests.integration.fixtures import Study


def test_what_is_kept_is_told_and_what_is_not_needed_goes(finished: Study) -> None:
    consortium, study = finished.consortium, str(finished.number)
    owner = consortium.organisations[3]
    before = consortium.cli(owner, "storage", "show", "--study", study)
    assert (
        before["retained_until"] is not None
        and before["end"] == "it is complete"
        and not before["let_go"]
        and before["retention_days"] == 30
    )
    assert before["journal"]["transaction"] > 0 and before["pinned"]["update"]["blobs"] >= 3
    mined = {"jsonrpc": "2.0", "id": 1, "method": "anvil_mine", "params": [hex(40)]}
    assert requests.post(consortium.rpc, json=mined, timeout=30).ok
    assert consortium.cli(owner, "storage", "clean", "--study", study)["done"] > 0
    after = consortium.cli(owner, "storage", "show", "--study", study)
    assert after["pinned"] == before["pinned"], "what verifies the rounds stays"
    assert "transaction" not in after["journal"] and "update" not in after["journal"]
    assert sum(after["journal"].values()) < sum(before["journal"].values())
    assert consortium.cli(owner, "storage", "clean", "--study", study)["done"] == 0
    with KuboStore(owner.ipfs_api) as store:
        for row in finished.rounds():
            shown = consortium.cli(owner, "round", "show", str(row["round"]))
            assert all(store.is_pinned(one["update_cid"]) for one in shown["participants"] if one["in_set"])


def test_what_no_study_keeps_is_told_and_goes_by_the_operators_word_alone(finished: Study) -> None:
    consortium = finished.consortium
    owner = consortium.organisations[0]  # which published the spec and the key, and keeps the study
    consortium.cli(owner, "storage", "clean", "--study", str(finished.number))
    before = consortium.cli(owner, "storage", "strays")
    assert before["untold"] == [] and before["enrolled"] == []
    with KuboStore(owner.ipfs_api) as store:
        cid = store.add(b"pinned by a process of which the backup knew nothing")
        kept = {*store.pinned()} - {*before["cids"], cid}
        assert kept, "the study keeps something"
        found = consortium.cli(owner, "storage", "strays")
        assert {*found["cids"]} == {*before["cids"], cid} and not found["done"]
        assert consortium.cli(owner, "storage", "show", "--study", str(finished.number))["strays"] == len(found["cids"])
        assert store.is_pinned(cid), "it was only told"
        assert consortium.cli(owner, "storage", "strays", "--unpin", "--yes")["done"]
        assert {*store.pinned()} == kept and consortium.cli(owner, "storage", "strays")["cids"] == []
