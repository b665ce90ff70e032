"""What every machine behind the port promises: the real one at a small size, and the one that stands for it in other tests."""

from __future__ import annotations

from dataclasses import replace

import pytest

from defedbio.errors import BadTranscript, InvalidInput
from tests.agents.ceremony.conftest import Made


def test_D3_a_machine_that_starts_anew_makes_the_same_messages(made: Made) -> None:
    for step in (0, 1, len(made.posts) - 1):
        assert made.machine(1).message(made.posts[:step]) == made.posts[step][1]


def test_D2_other_posts_are_answered_otherwise(made: Made) -> None:
    machine = made.machine(0)
    assert machine.message(made.posts[:1]) == made.posts[1][0]
    other = made.make(made.terms, 1, bytes(32)).message([])
    assert machine.message([[made.posts[0][0], other, made.posts[0][2]]]) != made.posts[1][0]
    assert machine.message(made.posts[:1]) == made.posts[1][0], "and these as before"


def test_D1_other_terms_are_another_ceremony(made: Made) -> None:
    assert made.make(replace(made.terms, ceremony=8), 0, made.seeds[0]).message([]) != made.posts[0][0]


def test_D20_all_come_to_one_transcript_and_each_to_a_share_of_its_own(made: Made) -> None:
    transcripts = {made.machine(i).transcript(made.posts).to_bytes() for i in range(3)}
    shares = [made.machine(i).share(made.posts) for i in range(3)]
    assert len(transcripts) == 1 and [share.index for share in shares] == [1, 2, 3]
    assert len({share.value for share in shares}) == 3


def test_after_step_0_who_contributes_nothing_posts_nothing(made: Made) -> None:
    assert len(made.machine(2).awaited(made.posts[:1]).sizes) == 2
    with pytest.raises(InvalidInput):
        made.machine(2).message(made.posts[:1])
    assert made.machine(2).awaited(made.posts).sizes == ()


@pytest.mark.parametrize("step", [0, 1])
def test_D4_who_posts_what_is_no_message_is_named(made: Made, step: int) -> None:
    posts = [list(those) for those in made.posts[: step + 1]]
    posts[step][1] = bytes(len(posts[step][1]))
    machine = made.machine(0)
    with pytest.raises(BadTranscript) as fault:
        machine.awaited(posts)
    assert fault.value.peer.lower() == made.terms.holders[1].lower()
    assert machine.awaited(made.posts[: step + 1]).sizes, "and it goes on from what is right"


def test_a_seed_is_in_no_repr(made: Made) -> None:
    assert made.seeds[0].hex() not in repr(made.machine(0)) and repr(made.seeds[0]) not in repr(made.machine(0))
