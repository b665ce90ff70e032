"""Whether the accounts that events name as acting are those whose keys signed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from defedbio.audit.verdict import NotPossible
from defedbio.chain.events import Event
from defedbio.chain.proofs import NO_CHAIN, ProvenTransaction
from defedbio.errors import BadEvidence
from defedbio.protocol.verify import Check

NAME = "signers"


def check_signers(events: Iterable[Event], transactions: Mapping[bytes, ProvenTransaction], chain_id: int) -> Check:
    """Every act in a transaction that calls the contract itself is signed by the account that acted, for this chain. Two kinds of acts are
    possible on the chain and have no such signature, and are named: those that came through another contract, since an account that is a
    contract signs nothing, and those whose transaction was signed for no chain of its own, which anybody may send on every chain. Events
    that follow from an act and name nobody are held to no signer. `transactions` are by their hashes; acts in others are not looked at.

    Raises:
        BadEvidence: for an act of one account that another has signed, with the one to whom it was ascribed, and for a transaction that
            was signed for another chain.
    """
    foreign = next((t for t in transactions.values() if t.chain not in (chain_id, NO_CHAIN)), None)
    if foreign is not None:
        signed = f"the transaction 0x{foreign.hash.hex()} is signed for chain {foreign.chain}, not for chain {chain_id}"
        raise BadEvidence(signed, peer=foreign.sender)
    acts, unsigned = 0, []
    for event in events:
        transaction = transactions.get(event.meta.tx_hash)
        if transaction is None or not event.actor:
            continue
        acts += 1
        if event.actor != transaction.sender and event.meta.contract == transaction.to:
            raise BadEvidence(
                f"{type(event).__name__} in block {event.meta.block} says that {event.actor} acted, and {transaction.sender} has signed it",
                peer=event.actor,
            )
        if event.actor != transaction.sender or transaction.chain == NO_CHAIN:
            unsigned.append(event)
    if unsigned:
        first, acting = unsigned[0], ", ".join(sorted({event.actor for event in unsigned}))
        return NotPossible(
            NAME,
            True,
            f"{len(unsigned)} of {acts} acts came through another contract or were signed for no chain of their own, the first in block "
            f"{first.meta.block}, so that no signature for this chain stands for those who acted: {acting}",
        )
    return Check(NAME, True, f"{acts} acts are each signed by the account that acted")
