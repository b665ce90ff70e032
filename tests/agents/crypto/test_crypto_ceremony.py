"""The dealer ceremony: shares reach their holders only, and a changed transcript is refused with the reason."""

from __future__ import annotations

import json
import os
from dataclasses import replace

import pytest

from defedbio.crypto import ceremony, numbers, sealing, threshold
from defedbio.crypto.ceremony import CeremonyTranscript, Holder
from defedbio.errors import BadTranscript, InvalidInput, InvalidKey

REGISTRY = "0x" + "5A" * 20


@pytest.fixture(scope="session")
def transport() -> list[tuple[bytes, bytes]]:
    return [sealing.generate_transport_key(os.urandom) for _ in range(5)]


@pytest.fixture(scope="session")
def holders(transport) -> list[Holder]:
    return [Holder(f"0x{i + 1:040X}", public) for i, (_, public) in enumerate(transport)]


@pytest.fixture(scope="session")
def transcript(small, holders) -> CeremonyTranscript:
    return ceremony.publish(small.key, small.shares, holders, 31337, REGISTRY, os.urandom)


def test_k2_each_holder_gets_its_own_verified_share(small, transcript, transport) -> None:
    """K2: shares go to each holder encrypted to its transport key, commitments are public."""
    transcript.check()
    assert [ceremony.open_share(transcript, i, private) for i, (private, _) in enumerate(transport)] == small.shares
    data = transcript.to_bytes()
    for share in small.shares:
        assert f"{share.value:x}".encode() not in data


def test_the_dealer_runs_from_nothing(holders, transport) -> None:
    made = ceremony.run_dealer(512, 3, holders, 1, REGISTRY, os.urandom, minimum_bits=512)
    made.check()
    keys = [ceremony.open_share(made, i, transport[i][0]) for i in (0, 2, 4)]
    ciphertexts = [(1 + 42 * made.key.n) * pow(5, made.key.n, made.key.n**2) % made.key.n**2]
    shares = {k.index: threshold.share(made.key, k, ciphertexts) for k in keys}
    assert threshold.combine(made.key, ciphertexts, shares)[0].m == 42


def test_bytes_round_trip_and_are_canonical(transcript) -> None:
    data = transcript.to_bytes()
    again = CeremonyTranscript.from_bytes(data, minimum_bits=512)
    assert again == transcript
    assert again.to_bytes() == data
    assert again.hash == transcript.hash
    assert json.loads(data)["registry"] == REGISTRY.lower()


def test_production_refuses_a_transcript_of_a_short_key(transcript) -> None:
    with pytest.raises(BadTranscript, match="512 bits"):
        CeremonyTranscript.from_bytes(transcript.to_bytes())


def encoded(value: dict) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda v: v.update(extra=1), "unknown fields"),
        (lambda v: v.pop("v"), "missing or unknown"),
        (lambda v: v.update(format="defedbio-ceremony/3"), "not of the format defedbio-ceremony/2"),
        (lambda v: v.pop("format"), "not of the format"),
        (lambda v: v.update(kind="shared"), "kind that this version does not read"),
        (lambda v: v.update(kind="distributed"), "missing or unknown"),
        (lambda v: v.update(ceremony=1), "missing or unknown"),
        (lambda v: v.pop("square_roots"), "missing or unknown"),
        (lambda v: v.pop("factors"), "missing or unknown"),
        (lambda v: v["square_roots"].pop(), "wrong number"),
        (lambda v: v["square_roots"].append(v["square_roots"][0]), "wrong number"),
        (lambda v: v["square_roots"].__setitem__(0, v["square_roots"][0].replace("0x", "0x00")), "canonical"),
        (lambda v: v.update(factors=v["factors"] + "00"), "903 bytes, 902 are expected"),
        (lambda v: v.update(factors=v["factors"].upper().replace("0X", "0x")), "canonical"),
        (lambda v: v.update(factors=None), "hexadecimal"),
        (lambda v: v.update(threshold=2), "more than half"),
        (lambda v: v.update(threshold="3"), "must be integers"),
        (lambda v: v.update(threshold=True), "must be integers"),
        (lambda v: v.update(chain_id=-1), "chain id"),
        (lambda v: v.update(registry="0x12"), "registry"),
        (lambda v: v["holders"].pop(), "wrong number"),
        (lambda v: v["holders"].__setitem__(0, v["holders"][1]), "holder twice"),
        (lambda v: v["holders"][0].update(transport_key="0x00"), "32 bytes"),
        (lambda v: v["holders"][0].update(note="x"), "canonical"),
        (lambda v: v.update(holders=5), "not of the right type"),
        (lambda v: v.update(modulus="0x" + "00" * 64), "odd"),
        (lambda v: v.update(v=v["v"].replace("0x", "0x00")), "canonical"),
        (lambda v: v.update(v=v["v"].upper().replace("0X", "0x")), "canonical"),
        (lambda v: v.update(v=12), "hexadecimal"),
        (lambda v: v.update(v="0xzz"), "not of the right type"),
        (lambda v: v["commitments"].pop(), "wrong number"),
        (lambda v: v["sealed_shares"].pop(), "one sealed share"),
        (lambda v: v["sealed_shares"].__setitem__(0, "0x00"), "sealed share has a wrong length"),
    ],
)
def test_a_malformed_transcript_is_refused_with_the_reason(transcript, change, reason) -> None:
    value = json.loads(transcript.to_bytes())
    change(value)
    with pytest.raises(BadTranscript, match=reason):
        CeremonyTranscript.from_bytes(encoded(value), minimum_bits=512)


def test_a_key_of_before_the_proofs_of_its_modulus_is_dealt_anew(transcript) -> None:
    value = json.loads(transcript.to_bytes())
    del value["square_roots"], value["factors"]
    value["format"] = "defedbio-ceremony/1"
    with pytest.raises(BadTranscript, match="no prime factor of its modulus is small") as caught:
        CeremonyTranscript.from_bytes(encoded(value), minimum_bits=512)
    assert caught.value.hint == "have a new key dealt: defedbio ceremony deal"


@pytest.mark.parametrize("data", [b"", b"[]", b"\xff", b"{" * 100_000, b"null"])
def test_what_is_no_transcript_is_refused(data) -> None:
    with pytest.raises(BadTranscript):
        CeremonyTranscript.from_bytes(data)


def test_other_encodings_of_the_same_transcript_are_refused(transcript) -> None:
    data = transcript.to_bytes()
    for other in (data + b"\n", json.dumps(json.loads(data), indent=1, sort_keys=True).encode()):
        with pytest.raises(BadTranscript, match="canonical"):
            CeremonyTranscript.from_bytes(other, minimum_bits=512)
    with pytest.raises(BadTranscript, match="names a field twice"):
        CeremonyTranscript.from_bytes(data.replace(b'"v":', b'"v":"0x00","v":'), minimum_bits=512)
    with pytest.raises(BadTranscript, match="has more than"):
        CeremonyTranscript.from_bytes(b" " * (ceremony.MAX_BYTES + 1))


def test_a_changed_commitment_is_refused(small, transcript) -> None:
    n = small.key.n
    bad = replace(small.key, commitments=(small.key.commitments[0] * 4 % n, *small.key.commitments[1:]))
    with pytest.raises(BadTranscript, match="A_0"):
        replace(transcript, key=bad).check()


def test_k1_a_wrong_share_is_refused_by_its_holder(small, holders, transport) -> None:
    """K1: an epoch becomes active only when every holder has checked its share."""
    wrong = [*small.shares[:4], threshold.KeyShare(5, small.shares[4].value ^ 1)]
    made = ceremony.publish(small.key, wrong, holders, 31337, REGISTRY, os.urandom)
    ceremony.open_share(made, 0, transport[0][0])
    with pytest.raises(BadTranscript, match="position 4 is wrong: share 5 does not agree"):
        ceremony.open_share(made, 4, transport[4][0])


@pytest.mark.parametrize("change", [{"chain_id": 1}, {"registry": "0x" + "5b" * 20}])
def test_p9_a_sealed_share_opens_in_its_own_ceremony_only(transcript, transport, change) -> None:
    with pytest.raises(BadTranscript, match=r"position 1 is wrong: .*does not open"):
        ceremony.open_share(replace(transcript, **change), 1, transport[1][0])


def test_swapped_shares_do_not_open(transcript, transport) -> None:
    swapped = replace(transcript, sealed_shares=(transcript.sealed_shares[1], transcript.sealed_shares[0], *transcript.sealed_shares[2:]))
    with pytest.raises(BadTranscript, match="does not open"):
        ceremony.open_share(swapped, 0, transport[0][0])


def test_a_foreign_transport_key_is_the_callers_fault(transcript, transport) -> None:
    with pytest.raises(InvalidKey, match="not the one"):
        ceremony.open_share(transcript, 0, transport[1][0])
    with pytest.raises(InvalidInput, match="position 5"):
        ceremony.open_share(transcript, 5, transport[1][0])


def test_shares_and_holders_must_match(small, holders) -> None:
    with pytest.raises(InvalidInput, match="do not match"):
        ceremony.publish(small.key, small.shares[::-1], holders, 1, REGISTRY, os.urandom)
    with pytest.raises(InvalidInput, match="address"):
        Holder("0x1", bytes(32))


def test_the_modulus_hash_is_the_registrys(transcript) -> None:
    data = numbers.to_bytes(transcript.key.n, 64)
    assert ceremony.keccak256(data) == transcript.key.public_key.hash
