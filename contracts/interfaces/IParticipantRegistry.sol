// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {Profile} from "../types/RoundTypes.sol";

/// @title Who is a member, and where its node is
/// @notice Founders are members from deployment. Everyone else registers a profile and is admitted, or later removed, by a
/// majority of the members' votes (R1). Any removal ends every open ballot: the votes cast before it no longer count, so that none
/// of a removed member's does.
interface IParticipantRegistry {
    event ParticipantRegistered(address indexed participant, string name, string metadataCid, bytes32 transportKey, string multiaddr);
    event VoteCast(address indexed subject, address indexed voter, bool admit, uint32 votes, uint32 needed);
    event MemberAdmitted(address indexed member, uint32 members);
    event MemberRemoved(address indexed member, uint32 members);

    error ParticipantRegistryNotMember(address account);
    error ParticipantRegistryAlreadyMember(address account);
    error ParticipantRegistryNotRegistered(address account);
    error ParticipantRegistryAlreadyVoted(address subject, address voter);
    error ParticipantRegistryInvalidProfile(string field);
    error ParticipantRegistryNoFounders();
    error ParticipantRegistryInvalidFounder(address founder);
    error ParticipantRegistryLastMember(address account);

    /// @notice Publish or replace the caller's profile. Needs no membership: a candidate registers before it is voted on.
    /// @dev name 1..64 bytes, metadataCid and multiaddr at most 128 and 256 bytes, transportKey not zero.
    function register(Profile calldata profile) external;

    /// @notice Vote to admit a registered candidate; admitted when more than half of the members have voted so.
    function voteToAdmit(address candidate) external;

    /// @notice Vote to remove a member; removed when more than half of the members have voted so.
    function voteToRemove(address member) external;

    function isMember(address account) external view returns (bool);

    function memberCount() external view returns (uint32);

    function profileOf(address account) external view returns (Profile memory);
}
