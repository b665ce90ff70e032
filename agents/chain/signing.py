"""An organisation's signature under a model card: EIP-712 typed data, so that any Ethereum wallet or library can check it.

The domain is the RoundManager on its chain: a signature holds for one study's model on one chain and contract, and nowhere else.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from eth_account import Account
from eth_account.messages import SignableMessage, encode_typed_data
from eth_account.signers.local import LocalAccount
from eth_keys.exceptions import BadSignature
from eth_utils.address import to_checksum_address
from eth_utils.exceptions import ValidationError

from defedbio.domain import check_hash32
from defedbio.errors import InvalidInput

NAME, VERSION = "DeFed-Bio model card", "1"
_TYPES = {
    "EIP712Domain": [
        {"name": "name", "type": "string"},
        {"name": "version", "type": "string"},
        {"name": "chainId", "type": "uint256"},
        {"name": "verifyingContract", "type": "address"},
    ],
    "ModelCard": [
        {"name": "study", "type": "uint64"},
        {"name": "round", "type": "uint64"},
        {"name": "file", "type": "bytes32"},
        {"name": "card", "type": "bytes32"},
    ],
}


@dataclass(frozen=True)
class CardStatement:
    """What a signature under a card says. `file` is keccak256 of the model's bytes, `card` of the card's; `contract` the RoundManager."""

    chain_id: int
    contract: str
    study: int
    round: int
    file: bytes
    card: bytes

    def __post_init__(self) -> None:
        check_hash32(self.file, "the file's hash")
        check_hash32(self.card, "the card's hash")
        if not 0 < self.chain_id < 1 << 64 or not 0 < self.study < 1 << 64 or not 0 <= self.round < 1 << 64:
            raise InvalidInput("chain, study and round of a statement must fit 64 bits")

    def typed_data(self) -> dict[str, Any]:
        """The EIP-712 document, as wallets take it (eth_signTypedData_v4)."""
        return {
            "types": _TYPES,
            "primaryType": "ModelCard",
            "domain": {
                "name": NAME,
                "version": VERSION,
                "chainId": self.chain_id,
                "verifyingContract": to_checksum_address(self.contract),
            },
            "message": {"study": self.study, "round": self.round, "file": "0x" + self.file.hex(), "card": "0x" + self.card.hex()},
        }


def sign_card(account: LocalAccount, statement: CardStatement) -> bytes:
    """65 bytes: r, s, v."""
    return bytes(account.sign_message(_signable(statement)).signature)


def card_signer(statement: CardStatement, signature: bytes) -> str:
    """The checksummed address whose key made the signature over this statement; another statement gives another address.

    Raises:
        InvalidInput: if the bytes are no signature.
    """
    try:
        if len(signature) != 65:
            raise InvalidInput("a signature has 65 bytes")
        return str(Account.recover_message(_signable(statement), signature=signature))
    except (BadSignature, ValidationError, ValueError):
        raise InvalidInput("the bytes are no signature of any account") from None


def _signable(statement: CardStatement) -> SignableMessage:
    return encode_typed_data(full_message=statement.typed_data())
