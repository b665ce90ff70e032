// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {KeyEpochId, StudyId, StudyRules} from "../types/RoundTypes.sol";

/// @title Studies and who is enrolled in them
/// @notice A study's spec and rules are fixed when it is opened, before anyone enrols; its coordinator has no power
/// after (S1, R3).
interface IStudyRegistry {
    struct Study {
        address coordinator;
        KeyEpochId keyEpoch;
        uint16 enrolled;
        uint16 invited; // how many accounts may enrol, 0 where any member may
        bytes32 specHash; // keccak256 of the spec's bytes
        StudyRules rules;
    }

    /// @notice A member opened a study and became its coordinator. Enrolment has begun.
    /// @dev The values are those of `Study`; the spec's CID is in this event alone.
    event StudyOpened(
        StudyId indexed study, address indexed coordinator, KeyEpochId keyEpoch, bytes32 specHash, string specCid, StudyRules rules
    );

    /// @notice S2. Only these accounts may enrol in the study that was just opened. Told only where its coordinator
    /// names them; else any member may.
    event ParticipantsInvited(StudyId indexed study, address[] invited);

    /// @notice A member enrolled in a study.
    /// @param index of the participant, counted from 1 in order of enrolment
    /// @param specHash of the spec that its operator accepted, the study's own
    event ParticipantEnrolled(StudyId indexed study, address indexed participant, uint16 index, bytes32 specHash);

    /// @notice The caller is not a member. Raised by `open` and `enrol`.
    error StudyRegistryNotMember(address account);

    /// @notice No study of this id was opened. Raised by `enrol`, `isInvited` and `enrolmentClosed`; `studyOf` and
    /// `participantIndex` answer with zeros.
    error StudyRegistryUnknownStudy(StudyId study);

    /// @notice The spec's hash or CID or one of the rules is outside the limits given at `open`, which raises this.
    /// @param rule name of the first such value: "specHash", "specCid", "invited" or a field of `StudyRules`
    /// @param value that was given; for the CID its length in bytes, for the invited their number
    error StudyRegistryInvalidRule(string rule, uint256 value);

    /// @notice The key epoch is not active: it is proposed, rejected or unknown. Raised by `open`. A proposed epoch
    /// becomes active once all its holders have confirmed.
    error StudyRegistryKeyNotActive(KeyEpochId epoch);

    /// @notice The study's coordinator did not invite the caller. Raised by `enrol`. The list is fixed: ask the
    /// coordinator for another study.
    error StudyRegistryNotInvited(StudyId study, address account);

    /// @notice The list of those who are invited names an account twice. Raised by `open`.
    error StudyRegistryInvitedTwice(address account);

    /// @notice The caller names another spec than the study's. Raised by `enrol`. Accept the spec of the expected hash
    /// first (S2).
    /// @param expected hash given to `open`
    /// @param given hash that the caller named
    error StudyRegistrySpecMismatch(StudyId study, bytes32 expected, bytes32 given);

    /// @notice Every seat is taken or `enrolUntil` has come. Raised by `enrol`. Enrolment does not open again.
    error StudyRegistryEnrolmentClosed(StudyId study);

    /// @notice The caller is enrolled in the study already. Raised by `enrol`.
    error StudyRegistryAlreadyEnrolled(StudyId study, address participant);

    /// @notice Open a study under an active key epoch. Any member may; it becomes the coordinator.
    /// @param specHash not zero
    /// @param specCid 1 to 128 bytes
    /// @param rules seats minCohort..256, minCohort at least 3, steps 1..100000, enrolUntil in the future and at most
    /// 366 days ahead, every phase 1 second to 31 days, leastShare 5001..10000 ten-thousandths
    /// @param invited who may enrol, each named once, seats..256 accounts; empty when any member may
    /// @dev The list is the one loop that grows with a study. Its coordinator pays for it, once.
    function open(
        KeyEpochId keyEpoch,
        bytes32 specHash,
        string calldata specCid,
        StudyRules calldata rules,
        address[] calldata invited
    ) external returns (StudyId study);

    /// @notice Enrol the calling member, if it is invited, naming the hash of the spec that its operator accepted (S2).
    /// @dev Enrolment is for the whole study: a member that the registry removes later stays in the studies it is
    /// enrolled in.
    function enrol(StudyId study, bytes32 specHash) external;

    /// @notice How many studies were opened. Their ids are 1 to this.
    function studyCount() external view returns (uint64);

    /// @notice The study as it is now; every field is zero for one that was never opened.
    function studyOf(StudyId study) external view returns (Study memory);

    /// @notice A participant's place in the study. Its bit in the sets of `IRoundManager` is this less one.
    /// @return index of the participant counted from 1 in order of enrolment, or 0 when it is not enrolled.
    function participantIndex(StudyId study, address participant) external view returns (uint16 index);

    /// @notice Whether the study's coordinator lets this account enrol. It must be a member as well.
    function isInvited(StudyId study, address account) external view returns (bool);

    /// @notice True once every seat is taken or `enrolUntil` has come.
    function enrolmentClosed(StudyId study) external view returns (bool);
}
