// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {IRoundManager} from "../interfaces/IRoundManager.sol";
import {KeyEpochId, Phase, RoundId, StudyId, StudyRules} from "../types/RoundTypes.sol";
import {BitSet} from "./BitSet.sol";

/// @title One round's state and its transitions
/// @notice Who the caller is has been settled by the façade: `participant` and `holder` are positions counted from 0.
/// Each transition returns whether it moved the round into its next phase.
library Round {
    using BitSet for uint256;
    using BitSet for uint256[4];

    uint256 private constant WHOLE = 10_000;
    uint256 private constant MAX_ATTESTATIONS = 32;

    /// @dev The first two slots hold all that every call reads; a study's rules are copied here so that no call reads
    /// them elsewhere.
    struct State {
        StudyId study;
        uint32 step;
        Phase phase;
        uint48 deadline;
        RoundId parent;
        uint8 threshold;
        uint16 released; // bit i: the holder at position i has released its share
        uint16 attestedModel; // bit i: the holder at position i has attested to a model
        // second slot
        KeyEpochId keyEpoch;
        uint16 enrolled;
        uint16 minCohort;
        uint32 revealSeconds;
        uint32 attestSeconds;
        uint32 aggregateSeconds;
        uint32 shareSeconds;
        uint32 finaliseSeconds;
        // one word each
        uint256 committed;
        uint256 revealed;
        uint256 frozen;
        uint256 aggregators; // bit i: the participant at position i has posted an aggregate
        uint256 openers; // bit i: the participant at position i has posted an opening
        uint256 combiners; // bit i: the participant at position i has posted its part of one
        uint256 privacyDeclared; // bit i: the participant at position i has declared its privacy loss
        bytes32 aggregateRoot;
        bytes32 modelHash;
        mapping(uint256 participant => bytes32) commitments;
        mapping(uint256 holder => uint256 set) attestations;
        mapping(uint256 set => uint256) setVotes;
        mapping(bytes32 aggregateRoot => uint256 participants) aggregates; // who posted it; none once it is shown wrong
        mapping(bytes32 aggregateRoot => uint256) shares;
        mapping(bytes32 openingRoot => bool) openings;
        mapping(bytes32 result => uint256) modelVotes;
        uint256 absent; // bit i: the round does not wait for the participant at position i
        mapping(address accuser => uint16 holders) disputes; // bit i: disputes the share of the holder at position i
        // one word
        uint16 leastShare;
        uint16 refusers; // bit i: the holder at position i refuses some update
        uint128 attested; // byte i: how often the holder at position i has attested to a set
        // one word each
        uint256 agreed; // the set that t holders attest to while it is too small to be frozen
        mapping(uint256 holder => uint256 set) refusals;
        mapping(bytes32 aggregateRoot => uint256 participants) wrong; // who had posted what was shown wrong
    }

    /// @dev What the façade knows of a round before it exists.
    struct Start {
        StudyId study;
        uint32 step;
        RoundId parent;
        KeyEpochId keyEpoch;
        uint8 threshold;
        uint16 enrolled;
        uint256 absent;
    }

    function start(State storage self, Start memory start_, StudyRules memory rules) internal {
        self.study = start_.study;
        self.step = start_.step;
        self.parent = start_.parent;
        self.threshold = start_.threshold;
        self.keyEpoch = start_.keyEpoch;
        self.enrolled = start_.enrolled;
        self.absent = start_.absent;
        self.minCohort = rules.minCohort;
        self.revealSeconds = rules.revealSeconds;
        self.attestSeconds = rules.attestSeconds;
        self.aggregateSeconds = rules.aggregateSeconds;
        self.shareSeconds = rules.shareSeconds;
        self.finaliseSeconds = rules.finaliseSeconds;
        self.leastShare = rules.leastShare;
        _enter(self, Phase.Open, rules.commitSeconds);
    }

    /// @dev P1
    function commit(State storage self, RoundId id, uint256 participant, bytes32 commitment) internal returns (bool moved) {
        uint256 committed = self.committed;
        // INVARIANT: one commitment for each participant, unchangeable, so that nobody adapts its update to what it
        // sees.
        require(!committed.has(participant), IRoundManager.RoundManagerAlreadyDone(id, msg.sender));

        committed = committed.add(participant);
        self.committed = committed;
        self.commitments[participant] = commitment;

        moved = (committed | self.absent).size() == self.enrolled && committed.size() >= self.minCohort;
        if (moved) _enter(self, Phase.Committed, self.revealSeconds);
    }

    /// @dev P1: from here on the round waits for a participant that was absent.
    function comeBack(State storage self, RoundId id, uint256 participant) internal {
        uint256 absent = self.absent;
        require(absent.has(participant), IRoundManager.RoundManagerNotAbsent(id, msg.sender));
        self.absent = absent.remove(participant);
    }

    function declarePrivacy(State storage self, RoundId id, uint256 participant) internal {
        uint256 declared = self.privacyDeclared;
        require(!declared.has(participant), IRoundManager.RoundManagerAlreadyDone(id, msg.sender));
        self.privacyDeclared = declared.add(participant);
    }

    /// @dev P2
    function reveal(State storage self, RoundId id, uint256 participant, bytes32 commitment) internal returns (bool moved) {
        uint256 committed = self.committed;
        require(committed.has(participant), IRoundManager.RoundManagerNoCommitment(id, msg.sender));
        uint256 revealed = self.revealed;
        require(!revealed.has(participant), IRoundManager.RoundManagerAlreadyDone(id, msg.sender));
        // INVARIANT: what is revealed was chosen before anyone else's update could be seen.
        bytes32 expected = self.commitments[participant];
        require(commitment == expected, IRoundManager.RoundManagerCommitmentMismatch(id, expected, commitment));

        revealed = revealed.add(participant);
        self.revealed = revealed;

        // Whoever is absent and committed all the same may reveal as well, but does not keep the others from going on.
        moved = (committed & ~self.absent).isSubsetOf(revealed) && revealed.size() >= self.minCohort;
        if (moved) _enter(self, Phase.Revealed, self.attestSeconds);
    }

    /// @dev P3
    /// @return frozen the set that is now fixed, 0 while none is
    function attestSet(State storage self, RoundId id, uint256 holder, uint256 set, uint256 refused) internal returns (uint256 frozen) {
        uint256 revealed = self.revealed;
        // INVARIANT: only updates that were committed and revealed in this round are ever in its sum.
        require(set.isSubsetOf(revealed), IRoundManager.RoundManagerNotSubset(set, revealed));
        require(refused.isSubsetOf(revealed & ~set), IRoundManager.RoundManagerNotSubset(refused, revealed & ~set));
        // INVARIANT: a sum of fewer than the cohort is never opened; with two updates each owner would learn the
        // other's.
        require(set.size() >= self.minCohort, IRoundManager.RoundManagerCohortTooSmall(set.size(), self.minCohort));
        uint256 previous = self.attestations[holder];
        require(previous != set || self.refusals[holder] != refused, IRoundManager.RoundManagerAlreadyDone(id, msg.sender));

        _countAttestation(self, id, holder);
        // INVARIANT: a holder counts for one set at a time, and once for each update that it refuses; with t > T/2 two
        // sets can then never both be frozen.
        _refuse(self, holder, refused);
        uint256 before = self.agreed;
        uint256 agreed = previous == set ? before : _vote(self, holder, previous, set, before);
        // INVARIANT: what is summed never falls below a share of the good updates. One that t holders refuse is not
        // good; one that some of them could not fetch may be, so that keeping updates away costs the round and not the
        // privacy of those that are left.
        if (agreed != 0 && agreed.size() * WHOLE >= (revealed & ~_refusedByMost(self)).size() * self.leastShare) {
            frozen = agreed;
            self.frozen = frozen;
            _enter(self, Phase.Frozen, self.aggregateSeconds);
        } else if (agreed != before) {
            self.agreed = agreed;
        }
    }

    /// @dev P4
    function postAggregate(State storage self, RoundId id, uint256 participant, bytes32 aggregateRoot) internal returns (bool moved) {
        uint256 aggregators = self.aggregators;
        require(!aggregators.has(participant), IRoundManager.RoundManagerAlreadyDone(id, msg.sender));
        // INVARIANT: what is shown wrong stays wrong, and nobody comes to stand beside those who are named for it.
        require(self.wrong[aggregateRoot] == 0, IRoundManager.RoundManagerShownWrong(id, aggregateRoot));
        self.aggregators = aggregators.add(participant);
        self.aggregates[aggregateRoot] = self.aggregates[aggregateRoot].add(participant);

        // A later post must not restart the clock, else posters could take turns to stall the round.
        moved = self.phase == Phase.Frozen;
        if (moved) _enter(self, Phase.Aggregated, self.shareSeconds);
    }

    /// @dev P5
    function releaseShare(State storage self, RoundId id, uint256 holder, bytes32 aggregateRoot) internal returns (bool moved) {
        bool decrypted = self.phase == Phase.Decrypted;
        // INVARIANT: shares are only for an aggregate of the frozen set that is on record, and after t of them only for
        // that one.
        if (decrypted) require(aggregateRoot == self.aggregateRoot, IRoundManager.RoundManagerUnknownAggregate(id, aggregateRoot));
        else postersOf(self, id, aggregateRoot);
        // INVARIANT: one share for each holder and round, ever, so that no second ciphertext of the round is opened.
        uint256 released = self.released;
        require(!released.has(holder), IRoundManager.RoundManagerAlreadyDone(id, msg.sender));
        self.released = uint16(released.add(holder));

        if (!decrypted) {
            moved = ++self.shares[aggregateRoot] >= self.threshold;
            if (moved) {
                self.aggregateRoot = aggregateRoot;
                _enter(self, Phase.Decrypted, self.finaliseSeconds);
            }
        }
    }

    /// @dev P4: an aggregate that `checkFactor` and the multiplication have shown to be wrong.
    /// @return posters who posted it
    /// @return voided whether the round was being opened from it
    function markWrong(State storage self, RoundId id, bytes32 aggregateRoot) internal returns (uint256 posters, bool voided) {
        posters = postersOf(self, id, aggregateRoot);
        // INVARIANT: no share is released for it from now on, and no model rests on it that was not final before.
        self.aggregates[aggregateRoot] = 0;
        self.wrong[aggregateRoot] = posters;
        voided = self.phase == Phase.Decrypted && self.aggregateRoot == aggregateRoot;
        if (voided) _end(self, Phase.Voided);
    }

    /// @dev P5
    function disputeShare(State storage self, RoundId id, uint256 holder) internal {
        uint256 disputed = self.disputes[msg.sender];
        // INVARIANT: one accusation of each holder by each accuser: what everybody has to read of a round is bounded.
        require(!disputed.has(holder), IRoundManager.RoundManagerAlreadyDone(id, msg.sender));
        self.disputes[msg.sender] = uint16(disputed.add(holder));
    }

    /// @dev P6
    function postOpeningPart(State storage self, RoundId id, uint256 participant) internal {
        uint256 combiners = self.combiners;
        require(!combiners.has(participant), IRoundManager.RoundManagerAlreadyDone(id, msg.sender));
        self.combiners = combiners.add(participant);
    }

    /// @dev P6
    function postOpening(State storage self, RoundId id, uint256 participant, bytes32 openingRoot) internal {
        uint256 openers = self.openers;
        require(!openers.has(participant), IRoundManager.RoundManagerAlreadyDone(id, msg.sender));
        self.openers = openers.add(participant);
        self.openings[openingRoot] = true;
    }

    /// @dev P6
    function attestModel(
        State storage self,
        RoundId id,
        uint256 holder,
        bytes32 openingRoot,
        bytes32 modelHash,
        string calldata cid
    ) internal returns (bool moved) {
        // INVARIANT: a model rests on an opening that anyone can check.
        require(self.openings[openingRoot], IRoundManager.RoundManagerUnknownOpening(id, openingRoot));
        uint256 attested = self.attestedModel;
        require(!attested.has(holder), IRoundManager.RoundManagerAlreadyDone(id, msg.sender));
        self.attestedModel = uint16(attested.add(holder));

        // INVARIANT: t holders agree on all that the chain will say of the model, so that no single one can name a
        // wrong CID.
        moved = ++self.modelVotes[keccak256(abi.encode(openingRoot, modelHash, cid))] >= self.threshold;
        if (moved) {
            self.modelHash = modelHash;
            _end(self, Phase.Finalised);
        }
    }

    /// @dev P7 and P8: what a passed deadline leads to. The phases after the reveals end by a quorum or not at all.
    function advance(State storage self, RoundId id) internal {
        Phase phase = self.phase;
        require(
            phase != Phase.None && phase != Phase.Finalised && phase != Phase.Voided,
            IRoundManager.RoundManagerUnexpectedPhase(id, phase)
        );
        require(block.timestamp >= self.deadline, IRoundManager.RoundManagerNotDue(id, self.deadline, block.timestamp));

        if (phase == Phase.Open && self.committed.size() >= self.minCohort) {
            _enter(self, Phase.Committed, self.revealSeconds);
        } else if (phase == Phase.Committed && self.revealed.size() >= self.minCohort) {
            _enter(self, Phase.Revealed, self.attestSeconds);
        } else {
            _end(self, Phase.Voided);
        }
    }

    /// @dev The round is in one of two phases (the same one twice for a single one), before its deadline.
    function checkPhase(State storage self, RoundId id, Phase either, Phase other) internal view {
        Phase phase = self.phase;
        require(phase == either || phase == other, IRoundManager.RoundManagerUnexpectedPhase(id, phase));
        uint256 deadline = self.deadline;
        // INVARIANT: a round whose deadline has passed can only move by `advance`: nothing late is added to it or
        // decrypted.
        require(block.timestamp < deadline, IRoundManager.RoundManagerDeadlinePassed(id, uint64(deadline), block.timestamp));
    }

    /// @return posters who posted this aggregate, which nobody has shown to be wrong
    function postersOf(State storage self, RoundId id, bytes32 aggregateRoot) internal view returns (uint256 posters) {
        posters = self.aggregates[aggregateRoot];
        if (posters == 0) {
            require(self.wrong[aggregateRoot] == 0, IRoundManager.RoundManagerShownWrong(id, aggregateRoot));
            revert IRoundManager.RoundManagerUnknownAggregate(id, aggregateRoot);
        }
    }

    /// @dev P4: an update of the sum, as its participant committed to it. Only what was revealed is ever in the sum.
    /// @param index of the participant counted from 1, 0 for an account that is not enrolled
    /// @return position of the update in the set's order, counted from 1
    function checkFactor(State storage self, RoundId id, address account, uint256 index, bytes32 commitment)
        internal
        view
        returns (uint256 position)
    {
        uint256 frozen = self.frozen;
        require(index != 0 && frozen.has(index - 1), IRoundManager.RoundManagerNotInSet(id, account));
        bytes32 expected = self.commitments[index - 1];
        require(commitment == expected, IRoundManager.RoundManagerCommitmentMismatch(id, expected, commitment));
        position = (frozen & BitSet.first(index)).size();
    }

    /// @dev What everybody has to read of a round is bounded: nobody attests to one set after another without end.
    function _countAttestation(State storage self, RoundId id, uint256 holder) private {
        uint128 attested = self.attested;
        require(
            (attested >> (8 * holder)) & 0xff < MAX_ATTESTATIONS, IRoundManager.RoundManagerAttestedTooOften(id, msg.sender, MAX_ATTESTATIONS)
        );
        self.attested = attested + (uint128(1) << uint128(8 * holder));
    }

    function _refuse(State storage self, uint256 holder, uint256 refused) private {
        if (self.refusals[holder] == refused) return;
        self.refusals[holder] = refused;
        uint256 refusers = self.refusers;
        self.refusers = uint16(refused == 0 ? refusers & ~(1 << holder) : refusers.add(holder));
    }

    /// @return agreed the set that t holders attest to now, 0 if there is none; `before` was that set until now
    function _vote(State storage self, uint256 holder, uint256 previous, uint256 set, uint256 before) private returns (uint256 agreed) {
        agreed = before;
        if (previous != 0 && --self.setVotes[previous] < self.threshold && agreed == previous) agreed = 0;
        self.attestations[holder] = set;
        if (++self.setVotes[set] >= self.threshold) agreed = set;
    }

    /// @dev Loops over those of the at most 15 holders who refuse anything.
    function _refusedByMost(State storage self) private view returns (uint256) {
        uint256 left = self.refusers;
        if (left.size() < self.threshold) return 0;
        uint256[4] memory planes;
        for (uint256 holder = 0; left != 0; ++holder) {
            if (left & 1 == 1) planes.tally(self.refusals[holder]);
            left >>= 1;
        }
        return planes.atLeast(self.threshold);
    }

    function _enter(State storage self, Phase phase, uint256 lasts) private {
        self.phase = phase;
        self.deadline = uint48(block.timestamp + lasts);
    }

    function _end(State storage self, Phase phase) private {
        self.phase = phase;
        self.deadline = 0;
    }
}
