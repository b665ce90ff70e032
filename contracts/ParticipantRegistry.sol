// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {IParticipantRegistry} from "./interfaces/IParticipantRegistry.sol";
import {Profile} from "./types/RoundTypes.sol";

contract ParticipantRegistry is IParticipantRegistry {
    uint256 private constant MAX_NAME = 64;
    uint256 private constant MAX_CID = 128;
    uint256 private constant MAX_MULTIADDR = 256;

    /// @inheritdoc IParticipantRegistry
    uint32 public memberCount;

    /// @dev Votes belong to the number of removals at the time they were cast, so that a removal ends every open
    /// ballot.
    uint32 private _removals;

    mapping(address account => bool) private _members;
    mapping(address account => Profile) private _profiles;
    mapping(bytes32 ballot => uint32) private _votes;
    mapping(bytes32 ballot => mapping(address voter => bool)) private _voted;

    modifier onlyMember() {
        require(_members[msg.sender], ParticipantRegistryNotMember(msg.sender));
        _;
    }

    /// @param founders members from the start, distinct
    constructor(address[] memory founders) {
        require(founders.length != 0, ParticipantRegistryNoFounders());
        for (uint256 i = 0; i < founders.length; ++i) {
            address founder = founders[i];
            require(founder != address(0) && !_members[founder], ParticipantRegistryInvalidFounder(founder));
            _admit(founder);
        }
    }

    /// @inheritdoc IParticipantRegistry
    function register(Profile calldata profile) external {
        uint256 nameLength = bytes(profile.name).length;
        require(nameLength != 0 && nameLength <= MAX_NAME, ParticipantRegistryInvalidProfile("name"));
        require(bytes(profile.metadataCid).length <= MAX_CID, ParticipantRegistryInvalidProfile("metadataCid"));
        require(profile.transportKey != bytes32(0), ParticipantRegistryInvalidProfile("transportKey"));
        require(bytes(profile.multiaddr).length <= MAX_MULTIADDR, ParticipantRegistryInvalidProfile("multiaddr"));

        _profiles[msg.sender] = profile;
        emit ParticipantRegistered(msg.sender, profile.name, profile.metadataCid, profile.transportKey, profile.multiaddr);
    }

    /// @inheritdoc IParticipantRegistry
    function voteToAdmit(address candidate) external onlyMember {
        require(!_members[candidate], ParticipantRegistryAlreadyMember(candidate));
        require(_profiles[candidate].transportKey != bytes32(0), ParticipantRegistryNotRegistered(candidate));

        if (_vote(candidate, true)) _admit(candidate);
    }

    /// @inheritdoc IParticipantRegistry
    function voteToRemove(address member) external onlyMember {
        require(_members[member], ParticipantRegistryNotMember(member));
        // INVARIANT: there is always a member, else nobody could ever be admitted again.
        require(memberCount > 1, ParticipantRegistryLastMember(member));

        if (_vote(member, false)) _remove(member);
    }

    /// @inheritdoc IParticipantRegistry
    function isMember(address account) external view returns (bool) {
        return _members[account];
    }

    /// @inheritdoc IParticipantRegistry
    function profileOf(address account) external view returns (Profile memory) {
        return _profiles[account];
    }

    /// @return carried whether more than half of the members have now voted so
    function _vote(address subject, bool admit) private returns (bool carried) {
        bytes32 ballot = keccak256(abi.encode(subject, admit, _removals));
        // INVARIANT: one member, one vote; a ballot never holds the vote of a removed member, since its removal ended
        // the ballot.
        require(!_voted[ballot][msg.sender], ParticipantRegistryAlreadyVoted(subject, msg.sender));

        _voted[ballot][msg.sender] = true;
        uint32 votes = ++_votes[ballot];
        uint32 needed = memberCount / 2 + 1;
        emit VoteCast(subject, msg.sender, admit, votes, needed);
        return votes >= needed;
    }

    function _admit(address account) private {
        _members[account] = true;
        uint32 members = ++memberCount;
        emit MemberAdmitted(account, members);
    }

    function _remove(address account) private {
        _members[account] = false;
        ++_removals;
        uint32 members = --memberCount;
        emit MemberRemoved(account, members);
    }
}
