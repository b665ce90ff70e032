"""From what somebody types to the page that shows it."""

from __future__ import annotations

from defedbio.chain.network import Network
from defedbio.errors import NotFound
from defedbio.explorer.tables import Tables

LONGEST = 200
LARGEST = 1 << 63
_PAGES = ("study", "round", "block", "epoch")


def find(tables: Tables, network: Network, text: str) -> str:
    """The path of a number (block), `study 3`, `round 7`, `epoch 1`, a hash, an address, a CID, or an organisation's name.

    Raises:
        NotFound: if it is none of them.
    """
    asked = text.strip()[:LONGEST]
    words = asked.lower().replace("#", " ").split()
    if len(words) == 2 and words[0] in _PAGES and (number := _number(words[1])) is not None:
        return f"/{words[0]}/{number}"
    if (number := _number(asked)) is not None:
        return f"/block/{number}"
    value = _bytes(asked)
    if len(value) == 32:
        return f"/tx/0x{value.hex()}" if value in tables.by_tx else tables.paths.get(value, f"/tx/0x{value.hex()}")
    if len(value) == 20:
        known = {a.lower(): a for a in (*tables.by_address, *network.contracts.addresses().values())}
        return f"/address/{known.get('0x' + value.hex(), asked)}"
    if asked in tables.by_cid:
        return f"/cid/{asked}"
    # A member before somebody else who took its name.
    named = [address for address, profile in tables.profiles.items() if asked and profile.name.lower() == asked.lower()]
    if named:
        return f"/address/{next((a for a in named if a in tables.members), named[0])}"
    raise NotFound("nothing here has that name, number, hash, address or CID")


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 20 and int(text) < LARGEST else None


def _bytes(text: str) -> bytes:
    try:
        return bytes.fromhex(text[2:]) if text[:2].lower() == "0x" else b""
    except ValueError:
        return b""
