"""Whether the accounts that events name as acting are those whose keys signed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from defedbio.audit.verdict import NotPossible
from defedbio.chain.events import Event
from defedbio.chain.proofs import ProvenTransaction
from defedbio.errors import BadEvidence
from defedbio.protocol.verify import Check

NAME = "signers"


def check_signers(events: Iterable[Event], transactions: Mapping[bytes, ProvenTransaction], chain_id: int) -> Check:
    """Every act in a transaction that calls the contract itself is signed by the account that acted. An account that is a contract signs
    nothing: its acts come through it, by a transaction that calls something else, and are named. Events that follow from an act and name
    nobody are held to no signer. `transactions` are by their hashes; acts in others are not looked at.

    Raises:
        BadEvidence: for an act of one account that another has signed, with the one to whom it was ascribed, and for a transaction that
            was signed for another chain.
    """
    foreign = next((t for t in transactions.values() if t.chain != chain_id), None)
    if foreign is not None:
        signed = f"for chain {foreign.chain}" if foreign.chain else "for no chain of its own"
        raise BadEvidence(f"the transaction 0x{foreign.hash.hex()} is signed {signed}, not for chain {chain_id}", peer=foreign.sender)
    acts, through = 0, []
    for event in events:
        transaction = transactions.get(event.meta.tx_hash)
        if transaction is None or not event.actor:
            continue
        acts += 1
        if event.actor == transaction.sender:
            continue
        if transaction.to == event.meta.contract:
            raise BadEvidence(
                f"{type(event).__name__} in block {event.meta.block} says that {event.actor} acted, and {transaction.sender} has signed it",
                peer=event.actor,
            )
        through.append(event)
    if through:
        first, acting = through[0], ", ".join(sorted({event.actor for event in through}))
        return NotPossible(
            NAME,
            True,
            f"{len(through)} of {acts} acts came through another contract, the first in block {first.meta.block}, so that no signature "
            f"stands for those who acted: {acting}",
        )
    return Check(NAME, True, f"{acts} acts are each signed by the account that acted")
