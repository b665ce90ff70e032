"""What a node does about each error by which the contracts can refuse its transactions: one table, so that none is forgotten.

Other members can bring about the first two kinds, by ordering transactions or by luck: these cost a wait, or a step of one round.
"""

from __future__ import annotations

from enum import Enum


class Refusal(Enum):
    """RACE: the chain has moved, or moved back, since the node looked: it looks again. LOST: the step cannot be had in this round any more,
    and the node sits it out. OURS: the node is wrong about itself, and its operator must look."""

    RACE = "race"
    LOST = "lost"
    OURS = "ours"


REFUSALS = {
    # Someone else was first, or the block's clock differs from ours.
    "RoundManagerAlreadyDone": Refusal.RACE,
    "RoundManagerDeadlinePassed": Refusal.RACE,
    "RoundManagerEnrolmentOpen": Refusal.RACE,
    "RoundManagerNotAbsent": Refusal.RACE,
    "RoundManagerNotDue": Refusal.RACE,
    "RoundManagerReturnedLately": Refusal.RACE,
    "RoundManagerRoundRunning": Refusal.RACE,
    "RoundManagerStudyComplete": Refusal.RACE,
    "RoundManagerUnexpectedPhase": Refusal.RACE,
    # A reorganisation took what the node had seen off the chain.
    "RoundManagerCohortTooSmall": Refusal.RACE,
    "RoundManagerNoCommitment": Refusal.RACE,
    "RoundManagerNoShare": Refusal.RACE,
    "RoundManagerNotSubset": Refusal.RACE,
    "RoundManagerShownWrong": Refusal.RACE,
    "RoundManagerTooFewEnrolled": Refusal.RACE,
    "RoundManagerUnknownAggregate": Refusal.RACE,
    "RoundManagerUnknownOpening": Refusal.RACE,
    "StudyRegistryUnknownStudy": Refusal.RACE,
    # Someone revealed this update's root first, an agent with another journal committed for this account, or others had this holder change
    # its word as often as it may.
    "RoundManagerCommitmentMismatch": Refusal.LOST,
    "RoundManagerAttestedTooOften": Refusal.LOST,
    "RoundManagerRootReused": Refusal.LOST,
    # What this node would show of a product is not what the chain has any more, or more than the chain can check.
    "RoundManagerModulusMismatch": Refusal.LOST,
    "RoundManagerModulusTooLong": Refusal.LOST,
    "RoundManagerNotACiphertext": Refusal.LOST,
    "RoundManagerNotInSet": Refusal.LOST,
    "RoundManagerNotInTree": Refusal.LOST,
    "RoundManagerProductHolds": Refusal.LOST,
    # An account that is not in the study, a journal older than what was declared, or a fault in this program.
    "RoundManagerEmptyValue": Refusal.OURS,
    "RoundManagerInvalidPrivacy": Refusal.OURS,
    "RoundManagerNotEnrolled": Refusal.OURS,
    "RoundManagerNotHolder": Refusal.OURS,
    "RoundManagerPrivacyFell": Refusal.OURS,
    "RoundManagerTextTooLong": Refusal.OURS,
}
