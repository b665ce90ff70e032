"""The chain: connecting, sending once, and one binding a contract. Nothing of web3 leaves this room."""

from __future__ import annotations

from agents.chain.accounts import create_keystore, keystore_address, load_account
from agents.chain.client import ChainClient
from agents.chain.events import (
    EVENTS,
    AggregatePosted,
    Event,
    EventMeta,
    KeyEpochActivated,
    KeyEpochProposed,
    KeyEpochRejected,
    KeyShareConfirmed,
    MemberAdmitted,
    MemberRemoved,
    ModelAttested,
    OpeningPosted,
    ParticipantEnrolled,
    ParticipantRegistered,
    PhaseEntered,
    RoundFinalised,
    RoundOpened,
    RoundVoided,
    SetAttested,
    SetFrozen,
    ShareDisputed,
    ShareReleased,
    StudyOpened,
    UpdateCommitted,
    UpdateRevealed,
    VoteCast,
    decode_log,
    events_of,
    fetch_events,
)
from agents.chain.feed import EventFeed, FeedState
from agents.chain.journal import MemoryJournal, TxJournal
from agents.chain.keys import KeyRegistry
from agents.chain.network import CONTRACTS, ContractAddresses, Network
from agents.chain.records import Call, ClientOptions, Head, RawLog, Receipt
from agents.chain.registry import ParticipantRegistry
from agents.chain.reports import TransactionCost, block_time, gas_by_transaction
from agents.chain.rounds import RoundManager, commitment_hash, set_hash
from agents.chain.studies import StudyRegistry
from agents.chain.values import KeyEpoch, Profile, Round, Study, StudyRules

__all__ = [
    "CONTRACTS",
    "EVENTS",
    "AggregatePosted",
    "Call",
    "ChainClient",
    "ClientOptions",
    "ContractAddresses",
    "Event",
    "EventFeed",
    "EventMeta",
    "FeedState",
    "Head",
    "KeyEpoch",
    "KeyEpochActivated",
    "KeyEpochProposed",
    "KeyEpochRejected",
    "KeyRegistry",
    "KeyShareConfirmed",
    "MemberAdmitted",
    "MemberRemoved",
    "MemoryJournal",
    "ModelAttested",
    "Network",
    "OpeningPosted",
    "ParticipantEnrolled",
    "ParticipantRegistered",
    "ParticipantRegistry",
    "PhaseEntered",
    "Profile",
    "RawLog",
    "Receipt",
    "Round",
    "RoundFinalised",
    "RoundManager",
    "RoundOpened",
    "RoundVoided",
    "SetAttested",
    "SetFrozen",
    "ShareDisputed",
    "ShareReleased",
    "Study",
    "StudyOpened",
    "StudyRegistry",
    "StudyRules",
    "TransactionCost",
    "TxJournal",
    "UpdateCommitted",
    "UpdateRevealed",
    "VoteCast",
    "block_time",
    "commitment_hash",
    "create_keystore",
    "decode_log",
    "events_of",
    "fetch_events",
    "gas_by_transaction",
    "keystore_address",
    "load_account",
    "set_hash",
]
