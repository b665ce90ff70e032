"""RoundManager: the rounds of every study (P1 to P9)."""

from __future__ import annotations

from math import ceil

from eth_abi.abi import encode
from eth_utils.crypto import keccak

from defedbio.chain.client import ChainClient
from defedbio.chain.events import RoundOpened, one_event
from defedbio.chain.records import Call, Receipt
from defedbio.chain.values import Round
from defedbio.domain import BitSet, Phase, check_hash32
from defedbio.errors import InvalidInput, NotFound

EPSILON_UNITS = 1e6
DELTA_UNITS = 1e18
MAX_EPSILON = 1e12


class RoundManager:
    def __init__(self, client: ChainClient) -> None:
        self._client = client

    def open_round(self, key: str, study: int) -> tuple[int, Receipt]:
        """Open the study's next round and return its id."""
        receipt = self._send(key, "openRound", study)
        return one_event(self._client.network, receipt, RoundOpened).round, receipt

    def commit(self, key: str, round: int, commitment: bytes) -> Receipt:
        """P1. `commitment` as `commitment_hash` gives it."""
        return self._send(key, "commit", round, commitment)

    def declare_privacy(self, key: str, round: int, epsilon_round: float, epsilon_total: float, delta: float) -> Receipt:
        """Put the privacy loss of this round, and of all the sender's rounds in the study, on record."""
        return self._send(key, "declarePrivacy", round, *privacy_units(epsilon_round, epsilon_total, delta))

    def privacy_spent(self, study: int, participant: str) -> float:
        """The epsilon that a participant declared for all its rounds of the study, 0 if none."""
        return int(self._client.call(_call("privacySpent", study, participant))) / EPSILON_UNITS

    def reveal(self, key: str, round: int, update_root: bytes, cid: str, proof_hash: bytes, salt: bytes) -> Receipt:
        """P2."""
        return self._send(key, "reveal", round, update_root, cid, proof_hash, salt)

    def attest_set(self, key: str, round: int, set: BitSet, reasons: str) -> Receipt:
        """P3. `reasons` says why revealed updates were left out."""
        return self._send(key, "attestSet", round, set, reasons)

    def post_aggregate(self, key: str, round: int, aggregate_root: bytes, cid: str) -> Receipt:
        """P4."""
        return self._send(key, "postAggregate", round, aggregate_root, cid)

    def release_share(self, key: str, round: int, aggregate_root: bytes, share_root: bytes, cid: str, proof_hash: bytes) -> Receipt:
        """P5. Once a round, ever: the caller has journalled (round, set hash, aggregate root) before."""
        return self._send(key, "releaseShare", round, aggregate_root, share_root, cid, proof_hash)

    def dispute_share(self, key: str, round: int, holder: str, reason: str) -> Receipt:
        return self._send(key, "disputeShare", round, holder, reason)

    def post_opening_part(self, key: str, round: int, part_root: bytes, cid: str) -> Receipt:
        """P6. The part that is the sender's to combine."""
        return self._send(key, "postOpeningPart", round, part_root, cid)

    def post_opening(self, key: str, round: int, opening_root: bytes, cid: str) -> Receipt:
        """P6."""
        return self._send(key, "postOpening", round, opening_root, cid)

    def attest_model(self, key: str, round: int, opening_root: bytes, model_hash: bytes, cid: str) -> Receipt:
        """P6. `cid` is the new model's."""
        return self._send(key, "attestModel", round, opening_root, model_hash, cid)

    def advance(self, key: str, round: int) -> Receipt:
        """P8. Move on or void a round whose deadline has passed."""
        return self._send(key, "advance", round)

    def round_count(self) -> int:
        return int(self._client.call(_call("roundCount")))

    def round_of(self, round: int) -> Round:
        """Raises NotFound for a round that was never opened."""
        found = self._client.call(_call("roundOf", round))
        if found["phase"] is Phase.NONE:
            raise NotFound(f"there is no round {round}")
        return Round(round=round, **found)

    def latest_round(self, study: int) -> int:
        """The study's newest round, 0 if it has none."""
        return int(self._client.call(_call("latestRound", study)))

    def steps_done(self, study: int) -> int:
        """Finalised rounds of the study."""
        return int(self._client.call(_call("stepsDone", study)))

    def commitment_of(self, round: int, sender: str, update_root: bytes, cid: str, proof_hash: bytes, salt: bytes) -> bytes:
        """The commitment as the contract computes it; `commitment_hash` is the same without telling the node the salt."""
        return bytes(self._client.call(_call("commitmentOf", round, sender, update_root, cid, proof_hash, salt)))

    def set_hash_of(self, round: int, set: BitSet) -> bytes:
        """The set's hash as the contract computes it; `set_hash` is the same without a node."""
        return bytes(self._client.call(_call("setHashOf", round, set)))

    def _send(self, key: str, function: str, *args: object) -> Receipt:
        return self._client.transact(key, _call(function, *args))


def privacy_units(epsilon_round: float, epsilon_total: float, delta: float) -> tuple[int, int, int]:
    """The contract's whole numbers, each rounded up: epsilons in millionths, delta in 1e-18.

    Raises:
        InvalidInput: unless 0 < epsilon_round <= epsilon_total < 2^64 millionths and 0 < delta < 1.
    """
    if not 0 < epsilon_round <= epsilon_total < MAX_EPSILON or not 0 < delta < 1:
        raise InvalidInput("a privacy loss needs 0 < epsilon of the round <= epsilon in total, and a delta between 0 and 1")
    most = int(DELTA_UNITS) - 1
    return ceil(epsilon_round * EPSILON_UNITS), ceil(epsilon_total * EPSILON_UNITS), min(most, ceil(delta * DELTA_UNITS))


def commitment_hash(
    chain_id: int, contract: str, round: int, sender: str, update_root: bytes, cid: str, proof_hash: bytes, salt: bytes
) -> bytes:
    """keccak256(abi.encode(chainId, contract, round, sender, updateRoot, cid, proofHash, salt)) (P1, P9).

    `contract` is the RoundManager's address.

    Raises:
        InvalidInput: if a hash or the salt is not 32 bytes.
    """
    for value, what in ((update_root, "update root"), (proof_hash, "proof hash"), (salt, "salt")):
        check_hash32(value, what)
    types = ["uint256", "address", "uint64", "address", "bytes32", "string", "bytes32", "bytes32"]
    return keccak(encode(types, [chain_id, contract, round, sender, update_root, cid, proof_hash, salt]))


def set_hash(chain_id: int, contract: str, round: int, set: BitSet) -> bytes:
    """keccak256(abi.encode(chainId, contract, round, set)): what a holder journals before it releases a share (P5)."""
    return keccak(encode(["uint256", "address", "uint64", "uint256"], [chain_id, contract, round, set.bits]))


def _call(function: str, *args: object) -> Call:
    return Call("RoundManager", function, args)
