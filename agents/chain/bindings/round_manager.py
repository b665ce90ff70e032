"""RoundManager: the rounds of every study (P1 to P9)."""

from __future__ import annotations

from math import ceil

from eth_abi.abi import encode
from eth_utils.crypto import keccak

from defedbio.chain.client import ChainClient
from defedbio.chain.events import RoundOpened, one_event
from defedbio.chain.records import Call, Receipt, Transaction
from defedbio.chain.values import Round, WrongProduct
from defedbio.domain import BitSet, Phase, check_hash32
from defedbio.errors import InvalidInput, NotFound

EPSILON_UNITS = 1e6
DELTA_UNITS = 1e18
MAX_EPSILON = 1e12


class RoundManager:
    def __init__(self, client: ChainClient) -> None:
        self._client = client

    @staticmethod
    def open_round(key: str, study: int) -> Transaction:
        """Start the study's next round."""
        return _transaction("start-round", key, "openRound", study)

    def opened_in(self, receipt: Receipt) -> int:
        """The id of the round that a transaction started."""
        return one_event(self._client.network, receipt, RoundOpened).round

    @staticmethod
    def commit(key: str, round: int, commitment: bytes) -> Transaction:
        """P1. `commitment` as `commitment_hash` gives it."""
        return _transaction("commit", key, "commit", round, commitment)

    @staticmethod
    def come_back(key: str, round: int) -> Transaction:
        """P1. Ask the round to wait for the sender, which was absent."""
        return _transaction("come-back", key, "comeBack", round)

    @staticmethod
    def declare_privacy(key: str, round: int, epsilon_round: float, epsilon_total: float, delta: float) -> Transaction:
        """Put the privacy loss of this round, and of all the sender's rounds in the study, on record."""
        return _transaction("declare-privacy", key, "declarePrivacy", round, *privacy_units(epsilon_round, epsilon_total, delta))

    @staticmethod
    def reveal(key: str, round: int, update_root: bytes, cid: str, proof_hash: bytes, salt: bytes) -> Transaction:
        """P2."""
        return _transaction("reveal", key, "reveal", round, update_root, cid, proof_hash, salt)

    @staticmethod
    def attest_set(key: str, round: int, set: BitSet, refused: BitSet, reasons: str) -> Transaction:
        """P3. `refused` are updates that can never pass; `reasons` says why revealed updates were left out."""
        return _transaction("attest", key, "attestSet", round, set, refused, reasons)

    @staticmethod
    def post_aggregate(key: str, round: int, aggregate_root: bytes, cid: str) -> Transaction:
        """P4."""
        return _transaction("post-aggregate", key, "postAggregate", round, aggregate_root, cid)

    @staticmethod
    def show_wrong_product(key: str, round: int, aggregate_root: bytes, shown: WrongProduct) -> Transaction:
        """P4. Name who posted this root, by one place where its product is wrong."""
        return _transaction("show-wrong-product", key, "showWrongProduct", round, aggregate_root, shown)

    @staticmethod
    def release_share(key: str, round: int, aggregate_root: bytes, share_root: bytes, cid: str, proof_hash: bytes) -> Transaction:
        """P5. Once a round, ever: the caller has journalled (round, set hash, aggregate root) before."""
        return _transaction("post-share", key, "releaseShare", round, aggregate_root, share_root, cid, proof_hash)

    @staticmethod
    def dispute_share(key: str, round: int, holder: str, reason: str) -> Transaction:
        return _transaction("dispute-share", key, "disputeShare", round, holder, reason)

    @staticmethod
    def post_opening_part(key: str, round: int, part_root: bytes, cid: str) -> Transaction:
        """P6. The part that is the sender's to combine."""
        return _transaction("post-part", key, "postOpeningPart", round, part_root, cid)

    @staticmethod
    def post_opening(key: str, round: int, opening_root: bytes, cid: str) -> Transaction:
        """P6."""
        return _transaction("post-opening", key, "postOpening", round, opening_root, cid)

    @staticmethod
    def attest_model(key: str, round: int, opening_root: bytes, model_hash: bytes, cid: str) -> Transaction:
        """P6. `cid` is the new model's."""
        return _transaction("attest-model", key, "attestModel", round, opening_root, model_hash, cid)

    @staticmethod
    def advance(key: str, round: int) -> Transaction:
        """P8. Move on or void a round whose deadline has passed."""
        return _transaction("advance", key, "advance", round)

    def round_count(self, block: int | None = None) -> int:
        """The number of the newest round of all studies, 0 before the first; by the chain's newest block, or by that of this number."""
        return int(self._client.call(_call("roundCount"), block))

    def round_of(self, round: int) -> Round:
        """Raises NotFound for a round that was never opened."""
        found = self._client.call(_call("roundOf", round))
        if found["phase"] is Phase.NONE:
            raise NotFound(f"there is no round {round}")
        return Round(round=round, **found)


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


def _transaction(phase: str, key: str, function: str, *args: object) -> Transaction:
    return Transaction(key, _call(function, *args), phase)


def _call(function: str, *args: object) -> Call:
    return Call("RoundManager", function, args)
