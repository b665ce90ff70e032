// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {ICeremonies} from "./interfaces/ICeremonies.sol";
import {IKeyRegistry} from "./interfaces/IKeyRegistry.sol";
import {IParticipantRegistry} from "./interfaces/IParticipantRegistry.sol";
import {BitSet} from "./libraries/BitSet.sol";
import {Committee} from "./libraries/Committee.sol";
import {CeremonyId, CeremonyStatus, KeyEpochId} from "./types/RoundTypes.sol";

/// @dev Part of the key registry and not a contract of its own, so that "the ceremony failed" and "its key is active"
/// exclude each other within one transaction.
abstract contract Ceremonies is ICeremonies {
    using BitSet for uint256;
    using Committee for mapping(address account => uint8 position);

    uint256 private constant MIN_STEP_SECONDS = 1 minutes;
    uint256 private constant MAX_STEP_SECONDS = 30 days;
    uint256 private constant MAX_CID = 128;
    uint256 private constant MAX_REASON = 1024;

    IParticipantRegistry public immutable participants;

    /// @inheritdoc ICeremonies
    uint64 public ceremonyCount;

    mapping(CeremonyId ceremony => Ceremony) private _ceremonies;

    /// @dev Each step writes over the one before.
    mapping(CeremonyId ceremony => mapping(uint256 position => bytes32)) private _hashes;

    /// @inheritdoc ICeremonies
    mapping(CeremonyId ceremony => mapping(address account => uint8 position)) public ceremonyIndex;

    /// @inheritdoc ICeremonies
    mapping(KeyEpochId epoch => CeremonyId ceremony) public ceremonyOfEpoch;

    constructor(IParticipantRegistry participants_) {
        participants = participants_;
    }

    /// @inheritdoc ICeremonies
    function announce(address[] calldata holders, uint8 threshold, uint16 bits, uint32 stepSeconds)
        external
        returns (CeremonyId ceremony)
    {
        _checkMember(msg.sender);
        require(bits == 2048 || bits == 3072, CeremonyInvalidBits(bits));
        require(stepSeconds >= MIN_STEP_SECONDS && stepSeconds <= MAX_STEP_SECONDS, CeremonyInvalidStepSeconds(stepSeconds));

        ceremony = CeremonyId.wrap(++ceremonyCount);
        ceremonyIndex[ceremony].seat(participants, holders, threshold);

        Ceremony storage state = _ceremonies[ceremony];
        state.status = CeremonyStatus.Running;
        state.threshold = threshold;
        state.bits = bits;
        state.stepSeconds = stepSeconds;
        state.holders = holders;
        emit CeremonyAnnounced(ceremony, msg.sender, holders, threshold, bits, stepSeconds);
        emit CeremonyStepEntered(ceremony, 0, bytes32(0), _prolong(state));
    }

    /// @inheritdoc ICeremonies
    function post(CeremonyId ceremony, uint16 step, bytes32 head, bytes32 hash, string calldata cid) external {
        Ceremony storage state = _inTime(ceremony);
        uint256 waitedFor = _postersOf(state);
        uint256 position = _positionOf(ceremony);
        require(position < waitedFor, CeremonyNotContributor(ceremony, msg.sender));
        _checkHead(ceremony, state, step, head);
        uint256 posted = state.posted;
        // INVARIANT: D2, one message a poster and step, so that nobody shows different ones to different others.
        require(!posted.has(position), CeremonyAlreadyPosted(ceremony, msg.sender));
        _checkReference(hash, cid);

        posted = posted.add(position);
        _hashes[ceremony][position] = hash;
        emit CeremonyPosted(ceremony, msg.sender, step, hash, cid);
        if (posted.size() == waitedFor) {
            _enterNext(ceremony, state, waitedFor);
        } else {
            state.posted = uint16(posted);
        }
    }

    /// @inheritdoc ICeremonies
    function expire(CeremonyId ceremony) external {
        Ceremony storage state = _running(ceremony);
        require(block.timestamp > state.deadline, CeremonyStepNotOver(ceremony, state.deadline));

        bool proposed = _hasEpoch(state);
        uint256 waitedFor = BitSet.first(proposed ? state.holders.length : _postersOf(state));
        uint256 came = proposed ? _confirmationsOf(state.epoch) : state.posted;
        emit CeremonyExpired(ceremony, state.step, uint16(waitedFor & ~came));
        _failWithEpoch(ceremony, state);
    }

    /// @inheritdoc ICeremonies
    function complain(CeremonyId ceremony, string calldata reason) external {
        Ceremony storage state = _running(ceremony);
        _positionOf(ceremony);
        _checkLength(reason, MAX_REASON);

        emit CeremonyComplained(ceremony, msg.sender, reason);
        _failWithEpoch(ceremony, state);
    }

    /// @inheritdoc ICeremonies
    function publishSeed(CeremonyId ceremony, bytes32 seed) external {
        Ceremony storage state = _ceremonies[ceremony];
        // INVARIANT: D4, a seed is shown only where the key that follows from it can no longer become active.
        require(state.status == CeremonyStatus.Failed, CeremonyUnexpectedStatus(ceremony, state.status));
        uint256 position = _contributorOf(ceremony, state);
        uint256 seeds = state.seeds;
        require(!seeds.has(position), CeremonyAlreadyPublished(ceremony, msg.sender));

        state.seeds = uint16(seeds.add(position));
        emit CeremonySeedPublished(ceremony, msg.sender, seed);
    }

    /// @inheritdoc ICeremonies
    function ceremonyOf(CeremonyId ceremony) external view returns (Ceremony memory) {
        return _ceremonies[ceremony];
    }

    /// @dev The caller, a contributor, proposes this epoch as what the ceremony made.
    function _conclude(CeremonyId ceremony, bytes32 head, KeyEpochId epoch) internal returns (Ceremony storage state) {
        state = _inTime(ceremony);
        _contributorOf(ceremony, state);
        _checkHead(ceremony, state, state.step, head);

        state.epoch = epoch;
        ceremonyOfEpoch[epoch] = ceremony;
        emit CeremonyConcluded(ceremony, epoch, _prolong(state));
    }

    function _succeed(CeremonyId ceremony, KeyEpochId epoch) internal {
        _ceremonies[ceremony].status = CeremonyStatus.Succeeded;
        emit CeremonySucceeded(ceremony, epoch);
    }

    function _fail(CeremonyId ceremony, Ceremony storage state) internal {
        // INVARIANT: D4, nothing leads out of this status.
        state.status = CeremonyStatus.Failed;
        emit CeremonyFailed(ceremony, _prolong(state));
    }

    /// @dev A running ceremony.
    function _running(CeremonyId ceremony) internal view returns (Ceremony storage state) {
        state = _ceremonies[ceremony];
        require(state.status == CeremonyStatus.Running, CeremonyUnexpectedStatus(ceremony, state.status));
    }

    /// @dev A running ceremony whose present step may still come to its end.
    function _inTime(CeremonyId ceremony) internal view returns (Ceremony storage state) {
        state = _running(ceremony);
        require(block.timestamp <= state.deadline, CeremonyStepOver(ceremony, state.deadline));
    }

    /// @dev Bit i: the holder at position i has confirmed the epoch.
    function _confirmationsOf(KeyEpochId epoch) internal view virtual returns (uint256);

    /// @dev The epoch, which is proposed, can no longer become active.
    function _lapse(KeyEpochId epoch) internal virtual;

    function _checkMember(address account) internal view {
        require(participants.isMember(account), IKeyRegistry.KeyRegistryNotMember(account));
    }

    function _checkReference(bytes32 hash, string calldata cid) internal pure {
        require(hash != bytes32(0) && bytes(cid).length != 0, IKeyRegistry.KeyRegistryEmptyValue());
        _checkLength(cid, MAX_CID);
    }

    function _checkLength(string calldata text, uint256 most) internal pure {
        require(bytes(text).length <= most, IKeyRegistry.KeyRegistryTextTooLong(bytes(text).length, most));
    }

    function _failWithEpoch(CeremonyId ceremony, Ceremony storage state) private {
        _fail(ceremony, state);
        if (_hasEpoch(state)) _lapse(state.epoch);
    }

    /// @dev The head is over all posts of all steps of this ceremony of this contract on this chain. The messages' CIDs are
    /// not in it: they say where a message is found, not what it is, and no message answers them.
    function _enterNext(CeremonyId ceremony, Ceremony storage state, uint256 posters) private {
        bytes32[] memory hashes = new bytes32[](posters);
        for (uint256 i = 0; i < posters; ++i) {
            hashes[i] = _hashes[ceremony][i];
        }
        uint16 step = state.step;
        bytes32 head = keccak256(abi.encode(block.chainid, address(this), ceremony, step, state.head, hashes));
        state.head = head;
        state.step = ++step;
        state.posted = 0;
        emit CeremonyStepEntered(ceremony, step, head, _prolong(state));
    }

    /// @dev What is waited for next has `stepSeconds` from now.
    function _prolong(Ceremony storage state) private returns (uint48 deadline) {
        deadline = uint48(block.timestamp + state.stepSeconds);
        state.deadline = deadline;
    }

    /// @dev The caller's place among the holders, counted from 0.
    function _positionOf(CeremonyId ceremony) private view returns (uint256) {
        uint256 index = ceremonyIndex[ceremony][msg.sender];
        require(index != 0, CeremonyNotHolder(ceremony, msg.sender));
        return index - 1;
    }

    function _contributorOf(CeremonyId ceremony, Ceremony storage state) private view returns (uint256) {
        uint256 index = ceremonyIndex[ceremony][msg.sender];
        require(index != 0 && index <= state.threshold, CeremonyNotContributor(ceremony, msg.sender));
        return index - 1;
    }

    /// @dev How many post in the present step, from position 0 on.
    function _postersOf(Ceremony storage state) private view returns (uint256) {
        return state.step == 0 ? state.holders.length : state.threshold;
    }

    function _hasEpoch(Ceremony storage state) private view returns (bool) {
        return KeyEpochId.unwrap(state.epoch) != 0;
    }

    function _checkHead(CeremonyId ceremony, Ceremony storage state, uint256 step, bytes32 head) private view {
        require(!_hasEpoch(state), CeremonyEpochProposed(ceremony, state.epoch));
        // INVARIANT: D2, what is posted answers the posts that are on this chain.
        require(step == state.step && head == state.head, CeremonyStepMismatch(ceremony, state.step, state.head));
    }
}
