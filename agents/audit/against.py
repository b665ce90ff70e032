"""What an auditor brings to a check, so that it need not rest on the word of whoever made the bundle."""

from __future__ import annotations

from dataclasses import dataclass, field

from defedbio.chain.network import Network
from defedbio.errors import InvalidInput

HEXADECIMAL = frozenset("0123456789abcdef")


@dataclass(frozen=True)
class Against:
    """Each may be left out. `network` is the chain and contracts that the auditor means; `rpc` a node that the auditor trusts, to compare
    all headers with, and the only use of a network; `block` the hash of the block as of which the bundle speaks, from whoever the auditor
    trusts; `id` the bundle's id as its maker told it. Hashes are 64 hexadecimal digits, kept in small letters without 0x."""

    network: Network | None = None
    rpc: str = field(default="", repr=False)
    block: str = ""
    id: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "id", _digits(self.id, "an id", "`defedbio audit make` printed it"))
        object.__setattr__(self, "block", _digits(self.block, "a block's hash", "an explorer or node that you trust shows it"))

    def words(self) -> str:
        """Against what a check holds a bundle."""
        given = {
            "the network file that you gave": self.network is not None,
            "your node": bool(self.rpc),
            "the block hash that you gave": bool(self.block),
            "the id that you gave": bool(self.id),
        }
        listed = ", ".join(words for words, there in given.items() if there) or "nothing of yours"
        own = [
            *(["which network it is of"] if self.network is None else []),
            *(["which chain its headers are of"] if not self.rpc and not self.block else []),
        ]
        return f"checked against {listed}" + (f"; {' and '.join(own)} is the bundle's own word" if own else "")


def _digits(text: str, what: str, hint: str) -> str:
    """Raises InvalidInput for what is neither empty nor 64 hexadecimal digits."""
    digits = text.lower().removeprefix("0x")
    if text and (len(digits) != 64 or not set(digits) <= HEXADECIMAL):
        raise InvalidInput(f"{what} is 64 hexadecimal digits", hint)
    return digits
