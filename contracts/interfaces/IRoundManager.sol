// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {KeyEpochId, Phase, RoundId, StudyId} from "../types/RoundTypes.sol";

/// @title The rounds of every study
/// @notice Runs one round from its first commitment to the named model (P1 to P9). Sets of participants are bit maps over the
/// study's enrolment indices (bit 0 is the first enrolled). Bytes live on IPFS: the chain keeps roots and hashes, and events carry CIDs.
/// Every call costs the same whatever the model's size and however many take part. Actions revert from a phase's deadline on; roots and
/// hashes must not be zero and CIDs are 1 to 128 bytes everywhere. The privacy a participant spends is its own word: the chain holds it
/// to totals that never fall, but sees neither its data nor its noise.
interface IRoundManager {
    struct Round {
        StudyId study;
        uint32 step; // finalised rounds of the study before this one
        Phase phase;
        uint64 deadline; // unix seconds at which the present phase ends, 0 once the round has ended
        RoundId parent; // the finalised round whose model this one starts from, 0 for the first
        uint256 committed; // bit i: the participant of index i + 1
        uint256 revealed;
        uint256 frozen;
        bytes32 aggregateRoot; // the one for which t shares were released
        bytes32 modelHash;
    }

    event RoundOpened(RoundId indexed round, StudyId indexed study, uint32 step, RoundId parent, address opener);
    /// @dev For the phases that have a deadline; `RoundFinalised` and `RoundVoided` tell of the other two.
    event PhaseEntered(RoundId indexed round, Phase phase, uint64 deadline);
    /// @param index of the participant, counted from 1 as in `ParticipantEnrolled`
    event UpdateCommitted(RoundId indexed round, address indexed participant, uint16 index, bytes32 commitment);
    /// @dev Units and limits as in `declarePrivacy`.
    /// @param index of the participant, counted from 1 as in `ParticipantEnrolled`
    event PrivacyDeclared(
        RoundId indexed round, address indexed participant, uint16 index, uint64 epsilonRound, uint64 epsilonTotal, uint64 delta
    );
    /// @dev Holds every argument of `commitmentOf` that `UpdateCommitted` and the sender do not give, the salt among them: an auditor
    /// redoes each commitment from events alone, without the transactions' input (R5). By then nothing is left for the salt to hide.
    /// @param index of the participant, counted from 1 as in `ParticipantEnrolled`
    event UpdateRevealed(
        RoundId indexed round, address indexed participant, uint16 index, bytes32 updateRoot, string cid, bytes32 proofHash, bytes32 salt
    );
    event SetAttested(RoundId indexed round, address indexed holder, uint256 set, string reasons);
    event SetFrozen(RoundId indexed round, uint256 set, bytes32 setHash);
    event AggregatePosted(RoundId indexed round, address indexed aggregator, bytes32 aggregateRoot, string cid);
    /// @param holderIndex of the holder, counted from 1: its share is the one at this x
    event ShareReleased(
        RoundId indexed round,
        address indexed holder,
        uint8 holderIndex,
        bytes32 aggregateRoot,
        bytes32 shareRoot,
        string cid,
        bytes32 proofHash
    );
    event ShareDisputed(RoundId indexed round, address indexed accuser, address indexed holder, string reason);
    event OpeningPartPosted(RoundId indexed round, address indexed poster, bytes32 partRoot, string cid);
    event OpeningPosted(RoundId indexed round, address indexed poster, bytes32 openingRoot, string cid);
    event ModelAttested(RoundId indexed round, address indexed holder, bytes32 openingRoot, bytes32 modelHash, string cid);
    event RoundFinalised(
        RoundId indexed round, StudyId indexed study, uint32 step, bytes32 openingRoot, bytes32 modelHash, string cid, RoundId parent
    );
    event RoundVoided(RoundId indexed round, StudyId indexed study, Phase phase);

    error RoundManagerUnexpectedPhase(RoundId round, Phase current);
    error RoundManagerDeadlinePassed(RoundId round, uint64 deadline, uint256 time);
    error RoundManagerNotDue(RoundId round, uint64 deadline, uint256 time);
    error RoundManagerNotEnrolled(StudyId study, address account);
    error RoundManagerNotHolder(KeyEpochId epoch, address account);
    error RoundManagerEnrolmentOpen(StudyId study);
    error RoundManagerTooFewEnrolled(StudyId study, uint256 enrolled, uint256 needed);
    error RoundManagerRoundRunning(StudyId study, RoundId round);
    error RoundManagerStudyComplete(StudyId study, uint32 steps);
    error RoundManagerAlreadyDone(RoundId round, address account);
    error RoundManagerInvalidPrivacy(uint64 epsilonRound, uint64 epsilonTotal, uint64 delta);
    error RoundManagerPrivacyFell(StudyId study, uint64 previous, uint64 given);
    error RoundManagerNoCommitment(RoundId round, address account);
    error RoundManagerCommitmentMismatch(RoundId round, bytes32 expected, bytes32 given);
    error RoundManagerRootReused(bytes32 updateRoot);
    error RoundManagerEmptyValue();
    error RoundManagerTextTooLong(uint256 length, uint256 most);
    error RoundManagerNotSubset(uint256 set, uint256 revealed);
    error RoundManagerCohortTooSmall(uint256 size, uint256 needed);
    error RoundManagerUnknownAggregate(RoundId round, bytes32 aggregateRoot);
    error RoundManagerUnknownOpening(RoundId round, bytes32 openingRoot);
    error RoundManagerNoShare(RoundId round, address holder);

    /// @notice Open the study's next round. Any enrolled participant may, when enrolment is closed and no other round runs.
    function openRound(StudyId study) external returns (RoundId round);

    /// @notice P1. `commitment` as `commitmentOf` gives it; the last of the enrolled to commit moves the round on.
    function commit(RoundId round, bytes32 commitment) external;

    /// @notice Put on record the differential privacy that the sender's update of this round costs its data. Once a round, while
    /// commitments are taken; the last commitment ends that, so declare before committing.
    /// @param epsilonRound of this round alone, in millionths, rounded up, at least 1
    /// @param epsilonTotal of all the sender's rounds in the study so far, in millionths, rounded up; at least `epsilonRound` and the
    /// sender's total before
    /// @param delta at which both epsilons hold, in units of 1e-18, rounded up; at least 1 and below 1e18, a probability of one
    function declarePrivacy(RoundId round, uint64 epsilonRound, uint64 epsilonTotal, uint64 delta) external;

    /// @notice P2. Reveal what was committed. A root that was ever revealed before reverts, so no update can be copied or replayed.
    /// @param proofHash of the proof that the update is bounded; zero while the study asks for none
    function reveal(RoundId round, bytes32 updateRoot, string calldata cid, bytes32 proofHash, bytes32 salt) external;

    /// @notice P3. A key holder names the set of updates it found good; t equal attestations freeze the set. A holder may change
    /// its attestation until then, so that a late fetch costs a transaction and not the round.
    /// @param reasons why revealed updates were left out, at most 1024 bytes
    function attestSet(RoundId round, uint256 set, string calldata reasons) external;

    /// @notice P4. Post the root over all prefix products of the frozen set. Different participants may post different roots; the
    /// one for which t holders release shares is the round's, so a wrong post delays nobody.
    function postAggregate(RoundId round, bytes32 aggregateRoot, string calldata cid) external;

    /// @notice P5. A key holder's decryption share of the aggregate of this root. Once a round, ever. Taken until the round ends, so
    /// that a wrong share among the first t can be replaced by another holder's.
    function releaseShare(RoundId round, bytes32 aggregateRoot, bytes32 shareRoot, string calldata cid, bytes32 proofHash) external;

    /// @notice Put on record that a holder's share failed its proof. Changes nothing else: anyone can redo the check.
    /// Any enrolled participant or key holder may, at any time after the release.
    /// @param reason at most 1024 bytes
    function disputeShare(RoundId round, address holder, string calldata reason) external;

    /// @notice P6. Post a part of the opening, of the ciphertexts that are the sender's to combine (docs/protocol.md). Once a round for
    /// each enrolled participant. Nothing rests on it: a model rests on a whole opening, and a wrong part is combined anew.
    function postOpeningPart(RoundId round, bytes32 partRoot, string calldata cid) external;

    /// @notice P6. Post an opening (w, M) of the aggregate that anyone can check. Any enrolled participant may, several times over
    /// different participants: a wrong one is ignored by the attestations.
    function postOpening(RoundId round, bytes32 openingRoot, string calldata cid) external;

    /// @notice P6. A key holder attests to the opening and to the hash and the CID of the new model; t equal attestations finalise the
    /// round. A model's CID follows from its bytes, so honest holders name the same.
    /// Once a round for each holder, and only for an opening that was posted, so that an auditor can redo the check.
    /// @param cid of the new model
    function attestModel(RoundId round, bytes32 openingRoot, bytes32 modelHash, string calldata cid) external;

    /// @notice P8. Move a round on, or void it (P7), when its deadline has passed. Anyone may.
    function advance(RoundId round) external;

    function roundCount() external view returns (uint64);

    function roundOf(RoundId round) external view returns (Round memory);

    /// @return the newest round of the study, 0 when it has none
    function latestRound(StudyId study) external view returns (RoundId);

    /// @return finalised rounds of the study
    function stepsDone(StudyId study) external view returns (uint32);

    /// @return the participant's last declared total epsilon in the study, in millionths; 0 when it has declared none
    function privacySpent(StudyId study, address participant) external view returns (uint64);

    /// @notice keccak256(abi.encode(chainId, this contract, round, sender, updateRoot, cid, proofHash, salt)) (P1, P9)
    function commitmentOf(RoundId round, address sender, bytes32 updateRoot, string calldata cid, bytes32 proofHash, bytes32 salt)
        external
        view
        returns (bytes32);

    /// @notice keccak256(abi.encode(chainId, this contract, round, set)): what a holder writes to its journal before it releases a share
    function setHashOf(RoundId round, uint256 set) external view returns (bytes32);
}
