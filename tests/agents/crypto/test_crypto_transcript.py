"""Transcripts: no two histories draw the same challenge."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from defedbio.crypto.transcript import Transcript, challenges_bytes, hash_to_number

history = st.lists(st.tuples(st.sampled_from(["a", "b", "ab", ""]), st.binary(max_size=6)), max_size=4)


def drawn(domain: str, parts: list[tuple[str, bytes]]) -> bytes:
    transcript = Transcript(domain)
    for label, data in parts:
        transcript.append(label, data)
    return transcript.challenge_bytes("c", 32)


@settings(deadline=None, max_examples=200)
@given(history, history)
def test_different_histories_draw_different_challenges(one, other) -> None:
    assert (drawn("d", one) == drawn("d", other)) == (one == other)


def test_moving_a_byte_between_label_and_data_matters() -> None:
    assert drawn("d", [("a", b"bc")]) != drawn("d", [("ab", b"c")])
    assert drawn("d", [("a", b"b"), ("c", b"")]) != drawn("d", [("a", b""), ("c", b"b")])
    assert drawn("d", []) != drawn("e", [])


def test_drawing_changes_the_state() -> None:
    transcript = Transcript("d")
    assert transcript.challenge_bytes("c", 16) != transcript.challenge_bytes("c", 16)


def test_length_and_label_of_a_challenge_matter() -> None:
    assert Transcript("d").challenge_bytes("c", 32)[:16] != Transcript("d").challenge_bytes("c", 16)
    assert Transcript("d").challenge_bytes("c", 16) != Transcript("d").challenge_bytes("e", 16)


def test_integers_stay_in_their_bits() -> None:
    values = [Transcript(str(i)).challenge_int("c", 5) for i in range(200)]
    assert set(values) == set(range(32))


def test_hashed_numbers_depend_on_domain_modulus_and_index() -> None:
    n = (1 << 521) - 1
    numbers = {hash_to_number("a", n), hash_to_number("b", n), hash_to_number("a", n, 1), hash_to_number("a", n - 2)}
    assert len(numbers) == 4
    assert all(x < n for x in numbers)


def test_pinned_challenges(vectors) -> None:
    want = vectors("transcript.json")
    transcript = Transcript("defedbio/vector/1")
    transcript.append("a", b"\x01\x02")
    assert transcript.challenge_bytes("c", 16).hex() == want["first"]
    transcript.append("b", b"")
    assert transcript.challenge_bytes("c", 32).hex() == want["second"]
    assert transcript.challenge_int("n", 130) == int(want["number"])


@settings(deadline=None, max_examples=25)
@given(st.lists(st.binary(max_size=300), max_size=10), st.booleans(), st.integers(1, 400))
def test_challenges_of_several_are_those_of_each(parts: list[bytes], alike: bool, length: int) -> None:
    """Of histories of one length, which are hashed side by side, and of others; what is drawn later follows from them as well."""
    parts = [part.ljust(300) for part in parts] if alike else parts
    single, several = ([Transcript("d") for _ in parts] for _ in range(2))
    for held in (single, several):
        for transcript, part in zip(held, parts, strict=True):
            transcript.append("p", part)
    assert challenges_bytes(several, "c", length) == [t.challenge_bytes("c", length) for t in single]
    assert [t.challenge_bytes("e", 16) for t in several] == [t.challenge_bytes("e", 16) for t in single]
