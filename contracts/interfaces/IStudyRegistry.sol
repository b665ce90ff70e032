// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {KeyEpochId, StudyId, StudyRules} from "../types/RoundTypes.sol";

/// @title Studies and who is enrolled in them
/// @notice A study's spec and rules are fixed when it is opened, before anyone enrols; its coordinator has no power after (S1, R3).
interface IStudyRegistry {
    struct Study {
        address coordinator;
        KeyEpochId keyEpoch;
        uint16 enrolled;
        bytes32 specHash; // keccak256 of the spec's bytes
        StudyRules rules;
    }

    event StudyOpened(
        StudyId indexed study, address indexed coordinator, KeyEpochId keyEpoch, bytes32 specHash, string specCid, StudyRules rules
    );
    event ParticipantEnrolled(StudyId indexed study, address indexed participant, uint16 index, bytes32 specHash);

    error StudyRegistryNotMember(address account);
    error StudyRegistryUnknownStudy(StudyId study);
    error StudyRegistryInvalidRule(string rule, uint256 value);
    error StudyRegistryKeyNotActive(KeyEpochId epoch);
    error StudyRegistrySpecMismatch(StudyId study, bytes32 expected, bytes32 given);
    error StudyRegistryEnrolmentClosed(StudyId study);
    error StudyRegistryAlreadyEnrolled(StudyId study, address participant);

    /// @notice Open a study under an active key epoch. Any member may; it becomes the coordinator.
    /// @param specHash not zero
    /// @param specCid 1 to 128 bytes
    /// @param rules seats minCohort..256, minCohort at least 3, steps 1..100000, enrolUntil in the future and at most 366 days ahead, every phase 1 second to 31 days
    function open(KeyEpochId keyEpoch, bytes32 specHash, string calldata specCid, StudyRules calldata rules)
        external
        returns (StudyId study);

    /// @notice Enrol the calling member, naming the hash of the spec that its operator accepted (S2).
    /// @dev Enrolment is for the whole study: a member that the registry removes later stays in the studies it is enrolled in.
    function enrol(StudyId study, bytes32 specHash) external;

    function studyCount() external view returns (uint64);

    function studyOf(StudyId study) external view returns (Study memory);

    /// @return index of the participant counted from 1 in order of enrolment, or 0 when it is not enrolled.
    function participantIndex(StudyId study, address participant) external view returns (uint16 index);

    /// @notice True once every seat is taken or `enrolUntil` has passed.
    function enrolmentClosed(StudyId study) external view returns (bool);
}
