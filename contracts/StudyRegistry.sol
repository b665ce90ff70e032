// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {IKeyRegistry} from "./interfaces/IKeyRegistry.sol";
import {IParticipantRegistry} from "./interfaces/IParticipantRegistry.sol";
import {IStudyRegistry} from "./interfaces/IStudyRegistry.sol";
import {KeyEpochId, StudyId, StudyRules} from "./types/RoundTypes.sol";

contract StudyRegistry is IStudyRegistry {
    uint256 private constant MIN_COHORT = 3;
    uint256 private constant MAX_SEATS = 256;
    uint256 private constant MAX_STEPS = 100_000;
    uint256 private constant MAX_PHASE_SECONDS = 31 days;
    uint256 private constant MAX_ENROL_SECONDS = 366 days;
    uint256 private constant MAX_CID = 128;
    uint256 private constant WHOLE = 10_000;

    IParticipantRegistry public immutable participants;
    IKeyRegistry public immutable keys;

    /// @inheritdoc IStudyRegistry
    uint64 public studyCount;

    mapping(StudyId study => Study) private _studies;

    /// @inheritdoc IStudyRegistry
    mapping(StudyId study => mapping(address participant => uint16 index)) public participantIndex;

    mapping(StudyId study => mapping(address account => bool)) private _invited;

    constructor(IParticipantRegistry participants_, IKeyRegistry keys_) {
        participants = participants_;
        keys = keys_;
    }

    /// @inheritdoc IStudyRegistry
    function open(
        KeyEpochId keyEpoch,
        bytes32 specHash,
        string calldata specCid,
        StudyRules calldata rules,
        address[] calldata invited
    ) external returns (StudyId study) {
        require(participants.isMember(msg.sender), StudyRegistryNotMember(msg.sender));
        require(keys.isActive(keyEpoch), StudyRegistryKeyNotActive(keyEpoch));
        require(specHash != bytes32(0), StudyRegistryInvalidRule("specHash", 0));
        _checkRule("specCid", bytes(specCid).length, 1, MAX_CID);
        _checkRules(rules);

        study = StudyId.wrap(++studyCount);
        Study storage state = _studies[study];
        state.coordinator = msg.sender;
        state.keyEpoch = keyEpoch;
        state.specHash = specHash;
        state.rules = rules;
        emit StudyOpened(study, msg.sender, keyEpoch, specHash, specCid, rules);
        if (invited.length != 0) _invite(study, state, invited);
    }

    /// @inheritdoc IStudyRegistry
    function enrol(StudyId study, bytes32 specHash) external {
        Study storage state = _known(study);
        require(participants.isMember(msg.sender), StudyRegistryNotMember(msg.sender));
        // INVARIANT: the coordinator said before anyone enrolled who may, so that no stranger takes a seat.
        require(_isInvited(study, state, msg.sender), StudyRegistryNotInvited(study, msg.sender));
        // INVARIANT: S2, the organisation agreed to the spec that is on the chain.
        require(specHash == state.specHash, StudyRegistrySpecMismatch(study, state.specHash, specHash));
        require(participantIndex[study][msg.sender] == 0, StudyRegistryAlreadyEnrolled(study, msg.sender));
        // INVARIANT: the set of participants is fixed before the first round, so that nobody joins or leaves between
        // rounds to make the difference of two sums tell one organisation's update.
        require(!_closed(state), StudyRegistryEnrolmentClosed(study));

        uint16 index = ++state.enrolled;
        participantIndex[study][msg.sender] = index;
        emit ParticipantEnrolled(study, msg.sender, index, specHash);
    }

    /// @inheritdoc IStudyRegistry
    function studyOf(StudyId study) external view returns (Study memory) {
        return _studies[study];
    }

    /// @inheritdoc IStudyRegistry
    function isInvited(StudyId study, address account) external view returns (bool) {
        return _isInvited(study, _known(study), account);
    }

    /// @inheritdoc IStudyRegistry
    function enrolmentClosed(StudyId study) external view returns (bool) {
        return _closed(_known(study));
    }

    function _invite(StudyId study, Study storage state, address[] calldata invited) private {
        _checkRule("invited", invited.length, state.rules.seats, MAX_SEATS);
        state.invited = uint16(invited.length);
        mapping(address account => bool) storage list = _invited[study];
        for (uint256 i = 0; i < invited.length; ++i) {
            // INVARIANT: nobody counts for two, else the list would be shorter than the seats.
            require(!list[invited[i]], StudyRegistryInvitedTwice(invited[i]));
            list[invited[i]] = true;
        }
        emit ParticipantsInvited(study, invited);
    }

    function _isInvited(StudyId study, Study storage state, address account) private view returns (bool) {
        return state.invited == 0 || _invited[study][account];
    }

    function _known(StudyId study) private view returns (Study storage state) {
        state = _studies[study];
        require(state.coordinator != address(0), StudyRegistryUnknownStudy(study));
    }

    function _closed(Study storage state) private view returns (bool) {
        return state.enrolled == state.rules.seats || block.timestamp >= state.rules.enrolUntil;
    }

    function _checkRules(StudyRules calldata rules) private view {
        // INVARIANT: a sum is never of fewer than three updates: with two, each would learn the other's.
        _checkRule("minCohort", rules.minCohort, MIN_COHORT, MAX_SEATS);
        _checkRule("seats", rules.seats, rules.minCohort, MAX_SEATS);
        _checkRule("steps", rules.steps, 1, MAX_STEPS);
        _checkRule("enrolUntil", rules.enrolUntil, block.timestamp + 1, block.timestamp + MAX_ENROL_SECONDS);
        _checkRule("commitSeconds", rules.commitSeconds, 1, MAX_PHASE_SECONDS);
        _checkRule("revealSeconds", rules.revealSeconds, 1, MAX_PHASE_SECONDS);
        _checkRule("attestSeconds", rules.attestSeconds, 1, MAX_PHASE_SECONDS);
        _checkRule("aggregateSeconds", rules.aggregateSeconds, 1, MAX_PHASE_SECONDS);
        _checkRule("shareSeconds", rules.shareSeconds, 1, MAX_PHASE_SECONDS);
        _checkRule("finaliseSeconds", rules.finaliseSeconds, 1, MAX_PHASE_SECONDS);
        // INVARIANT: most of the good updates are in a sum, so that nobody chooses whose are opened by keeping others'
        // from being seen.
        _checkRule("leastShare", rules.leastShare, WHOLE / 2 + 1, WHOLE);
    }

    function _checkRule(string memory rule, uint256 value, uint256 least, uint256 most) private pure {
        require(value >= least && value <= most, StudyRegistryInvalidRule(rule, value));
    }
}
