// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {Profile} from "../types/RoundTypes.sol";

/// @title Who is a member, and where its node is
/// @notice Founders are members from deployment. Everyone else registers a profile and is admitted, or later removed,
/// by a majority of the members' votes (R1). Any removal ends every open ballot: the votes cast before it no longer
/// count, so that none of a removed member's does.
interface IParticipantRegistry {
    /// @notice An account published its profile or replaced it. The values are those of `Profile`.
    event ParticipantRegistered(address indexed participant, string name, string metadataCid, bytes32 transportKey, string multiaddr);

    /// @notice A member voted to admit a candidate or to remove a member.
    /// @param admit true for admission, false for removal
    /// @param votes cast so in this ballot, this one included
    /// @param needed votes that carry the ballot: more than half of the members
    event VoteCast(address indexed subject, address indexed voter, bool admit, uint32 votes, uint32 needed);

    /// @notice A founder or a candidate became a member.
    /// @param members how many there are now
    event MemberAdmitted(address indexed member, uint32 members);

    /// @notice A member was voted out. Every ballot that was open has ended.
    /// @param members how many there are now
    event MemberRemoved(address indexed member, uint32 members);

    /// @notice An account is not a member. Raised by `voteToAdmit` and `voteToRemove` for a caller, and by
    /// `voteToRemove` for the account that is to be removed.
    error ParticipantRegistryNotMember(address account);

    /// @notice The candidate is a member already. Raised by `voteToAdmit`.
    error ParticipantRegistryAlreadyMember(address account);

    /// @notice The candidate has published no profile. Raised by `voteToAdmit`. The candidate calls `register` first.
    error ParticipantRegistryNotRegistered(address account);

    /// @notice The caller has cast this vote on the subject already. Raised by `voteToAdmit` and `voteToRemove`. The
    /// vote stands until any member is removed; then it may be cast anew.
    /// @param subject the candidate or member that the vote is on
    error ParticipantRegistryAlreadyVoted(address subject, address voter);

    /// @notice A field of the profile is outside the limits given at `register`, which raises this.
    /// @param field name of the first such field, as in `Profile`
    error ParticipantRegistryInvalidProfile(string field);

    /// @notice The list of founders is empty. Raised on deployment: without a member nobody could ever be admitted.
    error ParticipantRegistryNoFounders();

    /// @notice A founder is the zero address or is listed twice. Raised on deployment.
    error ParticipantRegistryInvalidFounder(address founder);

    /// @notice The only member cannot be removed. Raised by `voteToRemove`. Admit another first.
    error ParticipantRegistryLastMember(address account);

    /// @notice Publish or replace the caller's profile. Needs no membership: a candidate registers before it is voted
    /// on.
    /// @dev name 1..64 bytes, metadataCid and multiaddr at most 128 and 256 bytes, transportKey not zero.
    function register(Profile calldata profile) external;

    /// @notice Vote to admit a registered candidate; admitted when more than half of the members have voted so.
    function voteToAdmit(address candidate) external;

    /// @notice Vote to remove a member; removed when more than half of the members have voted so.
    function voteToRemove(address member) external;

    /// @notice True from deployment for founders and from admission for others, until removal.
    function isMember(address account) external view returns (bool);

    /// @notice How many members there are now.
    function memberCount() external view returns (uint32);

    /// @notice The profile that the account last published, empty when it published none. A removed member's stays.
    function profileOf(address account) external view returns (Profile memory);
}
