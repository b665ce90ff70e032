"""Ceremonies without a dealer, over a real chain and real IPFS nodes, at 2048 bits: the least that contracts and nodes take.

A batch of a real ceremony has thousands of candidates, which takes minutes on the machines of tests: that is the long form, by the
commands that operators use. In the short form everything is real but two things, which no command or setting can bring about: a batch is
of 32 candidates, and the seeds are ones for which a candidate of the first batch survives.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest

from defedbio import Client
from defedbio.ceremony import consent
from defedbio.ceremony.machine import Terms
from defedbio.ceremony.mill import Mill
from defedbio.client.ceremonies import Announced, CeremonyTerms, Progress
from defedbio.crypto.keygen import terms as keygen
from defedbio.errors import InvalidInput, NotFound
from scripts.consortium import Consortium, Organisation
from tests.agents.crypto.keygen.runs import first_seeds, two_primes
from tests.integration.fixtures import BITS, THRESHOLD, Study, command, spec

SIZES = {BITS: 32}


def test_three_organisations_make_a_key_and_the_fourth_has_no_part_in_it(consortium: Consortium, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("defedbio.client.ceremonies.Mill", partial(Mill, sizes=SIZES))
    told: list[Progress] = []
    asked: list[CeremonyTerms] = []
    with ExitStack() as stack:
        clients = [
            stack.enter_context(
                Client(each.home, consortium.network_file, consortium.rpc, each.ipfs_api, password_file=consortium.password_file)
            )
            for each in consortium.organisations
        ]
        holders = [organisation.address for organisation in consortium.organisations[:3]]
        begun = clients[3].ceremony.propose(holders, 2, bits=BITS, step_seconds=600)
        assert isinstance(begun, Announced)
        number = begun.ceremony
        monkeypatch.setattr(consent, "open_seed", lucky(clients[3].ceremony.terms(number), consortium.organisations))
        with pytest.raises(InvalidInput, match="is no holder"):
            clients[3].ceremony.take_part(number, accept=True)
        with pytest.raises(InvalidInput, match="was not accepted"):
            clients[0].ceremony.take_part(number)
        assert clients[0].ceremony.take_part(number, confirm=lambda terms: asked.append(terms) or False) is None
        assert "Any 2 of them" in str(asked[0]) and clients[0].ceremony.progress(number).waited_for == tuple(holders)

        with ThreadPoolExecutor() as pool:
            options = {"accept": True, "poll": 0.1, "on_progress": lambda progress, step: told.append(progress)}
            runs = [pool.submit(client.ceremony.take_part, number, **options) for client in clients[:3]]
            ended = [run.result(timeout=300) for run in runs]
        assert {end.status for end in ended if end} == {"succeeded"} and len({end.epoch for end in ended if end}) == 1
        assert told[-1].status == "succeeded" and clients[3].ceremony.progress(number).status == "succeeded"
        with pytest.raises(NotFound, match="seed"):
            clients[0].ceremony.take_part(number, accept=True)
        epoch = ended[0].epoch if ended[0] else 0
        assert clients[1].ceremony.share_file(epoch).exists()
        shown = clients[3].ceremony.show(epoch)
        assert (shown.status, shown.threshold, shown.bits, shown.transcript_verified) == ("active", 2, BITS, True)
        with pytest.raises(InvalidInput, match="take-part"):
            clients[0].ceremony.confirm(epoch)
        transport = consortium.organisations[2].home.joinpath("transport.json").read_bytes()
        assert clients[2].key.destroy(epoch, accept=True).left == 2
        assert consortium.organisations[2].home.joinpath("transport.json").read_bytes() == transport, "K3: it never opened this share"
    progress = command(consortium, consortium.organisations[3], "ceremony", "progress", "--ceremony", number)
    assert progress.returncode == 0 and f"key epoch {epoch} is active" in progress.stdout


def lucky(of: CeremonyTerms, organisations: list[Organisation]) -> Callable[[Path, Terms, str], bytes]:
    """What opens a home's seed, and gives one instead with which the first batch has a survivor."""
    terms = keygen.Terms(of.chain_id, of.registry, of.ceremony, of.holders, of.threshold, of.bits, of.step_seconds, sizes=SIZES)
    seeds = dict(zip([o.home for o in organisations], first_seeds(terms, 1, lambda found: bool(two_primes(terms, found))), strict=False))
    true = consent.open_seed

    def open_seed(folder: Path, terms: Terms, password: str) -> bytes:
        true(folder, terms, password)
        return next(seed for home, seed in seeds.items() if folder.is_relative_to(home))

    return open_seed


@pytest.mark.skipif("DEFEDBIO_WHOLE_CEREMONY" not in os.environ, reason="takes minutes")
def test_processes_of_four_holders_make_a_key_and_a_study_runs_under_it(consortium: Consortium) -> None:
    told: list[str] = []
    epoch = consortium.ceremony_together(BITS, THRESHOLD, told.append)
    assert told[0].startswith("B1: step 0") and any(line.startswith("R5: ") for line in told)
    shown = consortium.cli(consortium.organisations[3], "ceremony", "show", "--epoch", str(epoch))
    assert shown["transcript_verified"] and shown["status"] == "active" and all(h["confirmed"] for h in shown["holders"])
    study = Study(consortium.open_study(spec(epoch, rounds=1)), consortium)
    consortium.join(study.number)
    study.finish([study.start(organisation) for organisation in consortium.organisations])
    assert [row["phase"] for row in study.rounds()] == ["finalised"] * 2
