"""An Ethereum endpoint that hangs, or lies to the node that asks it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from defedbio.chain.feed import EventFeed
from defedbio.domain import Phase
from defedbio.errors import ChainUnreachable
from tests.adversary.arena import Arena, reached
from tests.adversary.faults import faulty_rpc
from tests.adversary.frame import Attack

HUGE = "0x" + "f" * 5_000
NONSENSE: tuple[Any, ...] = (None, True, -1, 2**70, 1e300, "", "0x", "0xzz", HUGE, [], [[]], [None], {}, {"hash": None}, [{"topics": 7}])
ASKED_WHILE_READING = ("eth_getBlockByNumber", "eth_getLogs")
SHORT = ("eth_getLogs", "eth_getTransactionReceipt")
NEVER_TRUE = {"eth_getBlockByNumber": len(NONSENSE), "eth_sendRawTransaction": 0}  # the last is not believed
ASKED_WHILE_SENDING = (
    "eth_estimateGas",
    "eth_getTransactionCount",
    "eth_getTransactionReceipt",
    "eth_maxPriorityFeePerGas",
    "eth_sendRawTransaction",
)


def test_an_endpoint_that_hangs(attack: Attack, arena: Arena) -> None:
    attack.by("whoever runs the endpoint of one organisation, or the network before it")
    victim, *others = arena.members
    arena.play(reached(1, Phase.OPEN))
    with faulty_rpc(arena.anvil) as faulty:
        arena.restart(victim, faulty.url, request_seconds=0.2, attempts=2)
        with attack.sends("no answer to any question for logs"):
            faulty.hangs.add("eth_getLogs")
        with attack.seen("by that organisation, whose node says within bounded time that the endpoint does not answer"):
            with pytest.raises(ChainUnreachable, match="does not answer"):
                arena.step(victim)
            assert faulty.calls["eth_getLogs"] == 2
        with attack.works("the others' round; and its own node, which goes on from its journal once the endpoint answers"):
            faulty.heal()
            study = arena.play(reached(1, Phase.FINALISED), [*others, victim])
            assert len(study.rounds[1].frozen) == 4
        with attack.unlearnt("anything beyond the one sum of the round"):
            arena.check_opened()


def test_an_endpoint_that_says_a_transaction_was_mined(attack: Attack, arena: Arena) -> None:
    attack.by("whoever runs the endpoint of one organisation")
    victim = arena.members[0]
    arena.play(reached(1, Phase.OPEN))
    with faulty_rpc(arena.anvil) as faulty:
        arena.restart(victim, faulty.url)
        swallowed: list[str] = []

        def lie(method: str, answer: dict[str, Any]) -> dict[str, Any]:
            """The receipt of another transaction, for one that the chain never saw."""
            if method == "eth_getTransactionReceipt" and answer.get("result") is None:
                newest = arena.anvil.rpc("eth_getBlockByNumber", "latest", False)
                receipt = {"status": "0x1", "blockNumber": newest["number"], "blockHash": newest["hash"], "from": victim.address}
                receipt |= {"transactionHash": "0x" + "00" * 32, "gasUsed": "0x1", "effectiveGasPrice": "0x1", "logs": []}
                swallowed.append(method)
                return {**answer, "result": receipt}
            return answer

        faulty.lie = lie
        with attack.sends("receipts for the organisation's commitment, which it keeps from the chain"):
            while not swallowed:
                assert arena.step(victim)
            arena.step(victim)
        with attack.seen("on the chain, which the node believes and not the receipt: it has no commitment there, and sends it again"):
            assert victim.address not in arena.round(1).commitments
        with attack.works("the round of all four, once the endpoint tells the truth before the deadline"):
            faulty.heal()
            study = arena.play(reached(1, Phase.FINALISED))
            assert len(study.rounds[1].frozen) == 4
        with attack.unlearnt("anything beyond the one sum of the round"):
            arena.check_opened()


@pytest.mark.parametrize(
    "method",
    [pytest.param(method, marks=() if method in SHORT else pytest.mark.long) for method in (*ASKED_WHILE_READING, *ASKED_WHILE_SENDING)],
)
def test_an_endpoint_that_answers_nonsense(attack: Attack, arena: Arena, method: str) -> None:
    attack.by("whoever runs the endpoint of one organisation")
    victim = arena.members[0]
    arena.play(reached(1, Phase.OPEN))
    with faulty_rpc(arena.anvil) as faulty:
        arena.restart(victim, faulty.url, attempts=1)
        following, unreachable = victim.node.following, 0
        with attack.sends("answers that are of another kind than was asked for, impossible or huge"):
            for nonsense in NONSENSE:
                faulty.lie = lambda asked, answer, nonsense=nonsense: {**answer, "result": nonsense} if asked == method else answer
                victim.node.following = replace(following, feed=EventFeed(victim.client))
                try:
                    arena.step(victim)
                except ChainUnreachable:
                    unreachable += 1
        with attack.seen("by that organisation's node as an endpoint that cannot be reached, which is tried again and ends nothing"):
            assert unreachable >= NEVER_TRUE.get(method, 1)
        with attack.works("the whole round, its own update in it, once the endpoint answers truly"):
            faulty.heal()
            study = arena.play(reached(1, Phase.FINALISED))
            assert len(study.rounds[1].frozen) == 4
        with attack.unlearnt("anything beyond the one sum of the round"):
            arena.check_opened()
