// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {CeremonyId, CeremonyStatus, KeyEpochId} from "../types/RoundTypes.sol";

/// @title Ceremonies in which holders make a threshold key together, without a dealer
/// @notice A ceremony goes in steps (D2). In step 0 every holder posts one message, in each later step every contributor,
/// which are the first `threshold` of the holders. The last post of a step begins the next. Then one contributor proposes
/// the key epoch, and the confirmation of all holders ends the ceremony. Everything has the same time, `stepSeconds`;
/// when it is over, or a holder complains, or rejects the epoch, the ceremony has failed for ever (D4). The contract
/// looks at no message: it fixes which were posted, and in what order.
interface ICeremonies {
    struct Ceremony {
        CeremonyStatus status;
        uint8 threshold;
        uint16 bits; // of the modulus
        uint16 step;
        uint16 posted; // bit i: the holder at position i has posted in this step
        uint16 seeds; // bit i: the contributor at position i has published its seed
        uint32 stepSeconds;
        uint48 deadline; // unix seconds: of the step, of the confirmations, and once it has failed of the seeds
        KeyEpochId epoch; // the key epoch that was proposed, 0 until then
        bytes32 head; // of the steps before this one
        address[] holders; // position i is to hold the share at x = i + 1
    }

    /// @notice A member announced a ceremony. Nobody takes part by being named.
    /// @dev The values are those of `Ceremony`.
    event CeremonyAnnounced(
        CeremonyId indexed ceremony, address indexed announcer, address[] holders, uint8 threshold, uint16 bits, uint32 stepSeconds
    );

    /// @notice A step began: with the announcement, or with the last post of the step before.
    /// @param head hash over all posts of all steps before, 0 for step 0
    /// @param deadline unix seconds, the last at which a post is taken
    event CeremonyStepEntered(CeremonyId indexed ceremony, uint16 step, bytes32 head, uint48 deadline);

    /// @notice A holder posted its message of a step.
    /// @param hash of the message, which is at the CID
    event CeremonyPosted(CeremonyId indexed ceremony, address indexed holder, uint16 step, bytes32 hash, string cid);

    /// @notice A contributor proposed the key epoch that the ceremony made. The holders are to confirm it.
    /// @param deadline unix seconds, the last at which a confirmation is taken
    event CeremonyConcluded(CeremonyId indexed ceremony, KeyEpochId indexed epoch, uint48 deadline);

    /// @notice A step's time is over.
    /// @param missing bit map of those who were waited for: bit i is the holder at position i, counted from 0, which did
    /// not post, or did not confirm the epoch if one was proposed
    event CeremonyExpired(CeremonyId indexed ceremony, uint16 step, uint16 missing);

    /// @notice A holder says that something is wrong.
    event CeremonyComplained(CeremonyId indexed ceremony, address indexed holder, string reason);

    /// @notice The ceremony failed, for ever. Every contributor is to publish its seed, so that everybody can recompute
    /// which message was the first to be wrong.
    /// @param deadline unix seconds; who published no seed by then is silent
    event CeremonyFailed(CeremonyId indexed ceremony, uint48 deadline);

    /// @notice A contributor published the seed of all that it did in a ceremony that failed.
    event CeremonySeedPublished(CeremonyId indexed ceremony, address indexed contributor, bytes32 seed);

    /// @notice The epoch that the ceremony made is active.
    event CeremonySucceeded(CeremonyId indexed ceremony, KeyEpochId indexed epoch);

    /// @notice The modulus is to have another length than 2048 or 3072 bits. Raised by `announce`.
    error CeremonyInvalidBits(uint256 bits);

    /// @notice A step is shorter than a minute or longer than 30 days. Raised by `announce`.
    error CeremonyInvalidStepSeconds(uint256 stepSeconds);

    /// @notice The ceremony is in no status for this. Raised by `publishSeed` unless it has failed, and unless it is
    /// running by `post`, `expire`, `complain`, `proposeFrom` and by the confirmation of its epoch.
    /// @param current status, `None` for a ceremony that was never announced
    error CeremonyUnexpectedStatus(CeremonyId ceremony, CeremonyStatus current);

    /// @notice The account is none of the ceremony's holders. Raised by `post` and `complain`.
    error CeremonyNotHolder(CeremonyId ceremony, address account);

    /// @notice The account is none of the ceremony's contributors. Raised by `post` after step 0, by `proposeFrom` and by
    /// `publishSeed`.
    error CeremonyNotContributor(CeremonyId ceremony, address account);

    /// @notice The caller means another step than the one that takes posts, or one after other posts than those that are
    /// on this chain. Raised by `post` and `proposeFrom`: make the message anew from what is there.
    /// @param step that takes posts now
    /// @param head of the steps before it
    error CeremonyStepMismatch(CeremonyId ceremony, uint16 step, bytes32 head);

    /// @notice The caller has posted in this step already. Raised by `post`; the post stands.
    error CeremonyAlreadyPosted(CeremonyId ceremony, address holder);

    /// @notice The step's time is over. Raised by `post`, `proposeFrom` and by the confirmation of the epoch: anybody may
    /// call `expire` now.
    /// @param deadline that has passed, in unix seconds
    error CeremonyStepOver(CeremonyId ceremony, uint48 deadline);

    /// @notice The step's time is not over. Raised by `expire`.
    /// @param deadline that has to pass first, in unix seconds
    error CeremonyStepNotOver(CeremonyId ceremony, uint48 deadline);

    /// @notice The ceremony's epoch is proposed. Raised by `post` and `proposeFrom`: there is one epoch in a ceremony, and
    /// whoever finds it wrong rejects it.
    error CeremonyEpochProposed(CeremonyId ceremony, KeyEpochId epoch);

    /// @notice The caller has published its seed already. Raised by `publishSeed`.
    error CeremonyAlreadyPublished(CeremonyId ceremony, address contributor);

    /// @notice Announce a ceremony of 2 to 15 distinct members as holders, with a threshold of more than half of them (R2).
    /// Only a member may.
    /// @dev A holder that the participant registry removes later keeps its place, as in a key epoch: complain, or end the
    /// epoch by not using it.
    /// @param bits of the modulus, 2048 or 3072
    /// @param stepSeconds that each step takes at most, a minute to 30 days
    function announce(address[] calldata holders, uint8 threshold, uint16 bits, uint32 stepSeconds)
        external
        returns (CeremonyId ceremony);

    /// @notice Post the message of a step: in step 0 every holder, afterwards the contributors, once each.
    /// @param step the present one
    /// @param head of the steps before, 0 in step 0. So a post from before a reorganisation, which answers other posts,
    /// is refused.
    /// @param hash of the message, not zero
    /// @param cid where the message is, 1 to 128 bytes
    function post(CeremonyId ceremony, uint16 step, bytes32 head, bytes32 hash, string calldata cid) external;

    /// @notice Anybody says that a step's time is over and that something is missing. The ceremony has failed then.
    function expire(CeremonyId ceremony) external;

    /// @notice A holder says that something is wrong, in at most 1024 bytes. The ceremony has failed then.
    /// @dev Also after a step's time: the ceremony could only fail anyway.
    function complain(CeremonyId ceremony, string calldata reason) external;

    /// @notice A contributor publishes the seed that all its messages follow from, once and only when the ceremony has
    /// failed.
    /// @dev Wait until the failure is final on the chain: a seed that is sent cannot be called back, and if a
    /// reorganisation takes the failure away, the key could still be made, with this part of it known to all. Seeds are
    /// taken after their deadline as well: whether a message was right does not depend on when the seed came.
    function publishSeed(CeremonyId ceremony, bytes32 seed) external;

    /// @notice How many ceremonies were announced. Their ids are 1 to this.
    function ceremonyCount() external view returns (uint64);

    /// @notice The ceremony as it is now; every field is zero for one that was never announced.
    function ceremonyOf(CeremonyId ceremony) external view returns (Ceremony memory);

    /// @notice An account's place among the holders of a ceremony, whatever the ceremony's status.
    /// @return position of the holder counted from 1, or 0 when the account is none of them
    function ceremonyIndex(CeremonyId ceremony, address account) external view returns (uint8 position);

    /// @notice The ceremony that made the key of an epoch, 0 when a dealer did.
    function ceremonyOfEpoch(KeyEpochId epoch) external view returns (CeremonyId ceremony);
}
