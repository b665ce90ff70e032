"""A ceremony without a dealer by the client, over a real chain and real IPFS nodes, with a machine that is quick and makes no key."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest

from defedbio import Client
from defedbio.client.ceremonies import Announced, CeremonyTerms, Progress
from defedbio.errors import InvalidInput, NotFound
from scripts.consortium import Consortium
from tests.agents.ceremony.fakes import FakeMachine
from tests.integration.fixtures import command


def test_three_organisations_make_a_key_and_the_fourth_has_no_part_in_it(consortium: Consortium, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("defedbio.client.ceremonies.Mill", FakeMachine)
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
        begun = clients[3].ceremony.propose(holders, 2, bits=2048, step_seconds=600)
        assert isinstance(begun, Announced)
        number = begun.ceremony
        with pytest.raises(InvalidInput, match="is no holder"):
            clients[3].ceremony.take_part(number, accept=True)
        with pytest.raises(InvalidInput, match="was not accepted"):
            clients[0].ceremony.take_part(number)
        assert clients[0].ceremony.take_part(number, confirm=lambda terms: asked.append(terms) or False) is None
        assert "Any 2 of them" in str(asked[0]) and clients[0].ceremony.progress(number).waited_for == tuple(holders)

        with ThreadPoolExecutor() as pool:
            options = {"accept": True, "poll": 0.1, "on_progress": lambda progress, step: told.append(progress)}
            runs = [pool.submit(client.ceremony.take_part, number, **options) for client in clients[:3]]
            ended = [run.result(timeout=60) for run in runs]
        assert {end.status for end in ended if end} == {"succeeded"} and len({end.epoch for end in ended if end}) == 1
        assert told[-1].status == "succeeded" and clients[3].ceremony.progress(number).status == "succeeded"
        with pytest.raises(NotFound, match="seed"):
            clients[0].ceremony.take_part(number, accept=True)
        epoch = ended[0].epoch if ended[0] else 0
        assert clients[1].ceremony.share_file(epoch).exists()
        with pytest.raises(InvalidInput, match="take-part"):
            clients[0].ceremony.confirm(epoch)
    shown = command(consortium, consortium.organisations[3], "ceremony", "progress", "--ceremony", number)
    assert shown.returncode == 0 and f"key epoch {epoch} is active" in shown.stdout
