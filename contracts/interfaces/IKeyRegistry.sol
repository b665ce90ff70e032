// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {CeremonyId, CeremonyKind, KeyEpochId, KeyEpochStatus} from "../types/RoundTypes.sol";

/// @title Threshold key epochs
/// @notice An epoch fixes the Paillier modulus, its holders and the threshold. It becomes active only when every holder
/// has confirmed that it checked its share against the public transcript (K1); one holder's rejection ends it. A dealer
/// made the key, or the holders did in a ceremony (see `ICeremonies`), which then fails or succeeds with the epoch. A holder
/// that erased its share says so here (K3); when fewer shares than the threshold are left, the epoch is retired.
interface IKeyRegistry {
    struct KeyEpoch {
        address proposer;
        uint8 threshold;
        CeremonyKind kind;
        KeyEpochStatus status;
        uint16 modulusBits;
        uint16 confirmations; // bit i: holder at position i has confirmed
        uint16 retired; // bit i: holder at position i has erased its share
        bytes32 modulusHash; // keccak256 of the big-endian modulus
        bytes32 transcriptHash; // keccak256 of the transcript's bytes
        address[] holders; // position i holds the share at x = i + 1
    }

    /// @notice A member proposed an epoch. Its holders are to check their shares, then to confirm or reject.
    /// @dev The values are those of `KeyEpoch`; the transcript's CID is in this event alone.
    event KeyEpochProposed(
        KeyEpochId indexed epoch,
        address indexed proposer,
        address[] holders,
        uint8 threshold,
        CeremonyKind kind,
        uint16 modulusBits,
        bytes32 modulusHash,
        bytes32 transcriptHash,
        string transcriptCid
    );

    /// @notice A holder confirmed that it checked its share.
    /// @param confirmations bit map of all so far, this one included: bit i is the holder at position i, counted from 0
    event KeyShareConfirmed(KeyEpochId indexed epoch, address indexed holder, uint16 confirmations);

    /// @notice Every holder has confirmed: studies may be opened under the epoch.
    event KeyEpochActivated(KeyEpochId indexed epoch);

    /// @notice A holder rejected the epoch, which can no longer become active.
    event KeyEpochRejected(KeyEpochId indexed epoch, address indexed holder, string reason);

    /// @notice The ceremony that made the epoch's key failed: the epoch can no longer become active.
    event KeyEpochLapsed(KeyEpochId indexed epoch);

    /// @notice A holder says that it has erased its share. Nobody can check that; a share that it releases later refutes
    /// it.
    /// @param retired bit map of all so far, this one included: bit i is the holder at position i, counted from 0
    event KeyShareRetired(KeyEpochId indexed epoch, address indexed holder, uint16 retired);

    /// @notice Fewer shares than the threshold are left: nothing under the epoch's key can be opened any more, and no study
    /// can be opened under it.
    event KeyEpochRetired(KeyEpochId indexed epoch);

    /// @notice An account is not a member. Raised by `propose` and `announce` for the caller and for each of the holders it
    /// names.
    error KeyRegistryNotMember(address account);

    /// @notice There are fewer than 2 or more than 15 holders, or the threshold is not more than half of them (R2), or
    /// it is more than all of them. Raised by `propose` and `announce`.
    /// @param holders how many were named
    error KeyRegistryInvalidThreshold(uint256 threshold, uint256 holders);

    /// @notice The modulus is empty, begins with a zero byte, is even or is not of 2048 to 16384 bits, or not of as many as
    /// the ceremony's. Raised by `propose` and `proposeFrom`.
    /// @param bits length of the modulus in bits, 0 when it is empty or begins with a zero byte
    error KeyRegistryInvalidModulus(uint256 bits);

    /// @notice A holder is named twice. Raised by `propose` and `announce`.
    error KeyRegistryDuplicateHolder(address holder);

    /// @notice The caller holds no share of the epoch. Raised by `confirm`, `reject` and `retireShare`.
    error KeyRegistryNotHolder(KeyEpochId epoch, address account);

    /// @notice The epoch is in no status for this. Raised by `confirm` and `reject` unless it is proposed, and by
    /// `retireShare` unless it is active or retired: a share of an epoch that never became active counts for nothing.
    /// @param current status, `None` for an epoch that was never proposed
    error KeyRegistryUnexpectedStatus(KeyEpochId epoch, KeyEpochStatus current);

    /// @notice The caller has confirmed this epoch already. Raised by `confirm`. The confirmation stands; while the
    /// epoch is proposed the holder may still `reject`.
    error KeyRegistryAlreadyConfirmed(KeyEpochId epoch, address holder);

    /// @notice The caller has said already that it erased its share. Raised by `retireShare`. That stands for ever.
    error KeyRegistryAlreadyRetired(KeyEpochId epoch, address holder);

    /// @notice The holder names another transcript than the epoch's. Raised by `confirm`. Check the share against the
    /// transcript of the expected hash first.
    /// @param expected hash given to `propose`
    /// @param given hash that the holder named
    error KeyRegistryTranscriptMismatch(KeyEpochId epoch, bytes32 expected, bytes32 given);

    /// @notice The hash or the CID of a transcript or of a message is zero or empty. Raised by `propose`, `proposeFrom` and
    /// `post`.
    error KeyRegistryEmptyValue();

    /// @notice A text is too long: the CID in `propose`, `proposeFrom` or `post`, or the reason in `reject` or `complain`.
    /// @param length of the text in bytes
    /// @param most bytes allowed: 128 for a CID, 1024 for a reason
    error KeyRegistryTextTooLong(uint256 length, uint256 most);

    /// @notice Propose an epoch whose key the caller dealt: 2 to 15 distinct members as holders, threshold more than half of them (R2), odd
    /// modulus of 2048 to 16384 bits.
    /// @dev A holder that the participant registry removes later keeps its share and its place: end the epoch by not
    /// using it.
    /// @param modulus big-endian, no leading zero byte; only its hash is stored.
    /// @param transcriptHash not zero
    /// @param transcriptCid 1 to 128 bytes
    function propose(
        bytes calldata modulus,
        address[] calldata holders,
        uint8 threshold,
        bytes32 transcriptHash,
        string calldata transcriptCid
    ) external returns (KeyEpochId epoch);

    /// @notice A contributor of a running ceremony proposes the epoch whose key the ceremony made, with its holders and
    /// threshold, once a ceremony. Raises the errors of `ICeremonies` as well.
    /// @param head of the ceremony's steps, whose posts the transcript follows from
    /// @param modulus big-endian, of as many bits as the ceremony's; only its hash is stored
    /// @param transcriptHash not zero
    /// @param transcriptCid 1 to 128 bytes
    function proposeFrom(
        CeremonyId ceremony,
        bytes32 head,
        bytes calldata modulus,
        bytes32 transcriptHash,
        string calldata transcriptCid
    ) external returns (KeyEpochId epoch);

    /// @notice A holder says that its share agrees with the transcript of this hash. The last confirmation activates
    /// the epoch, and so ends the ceremony that made its key.
    function confirm(KeyEpochId epoch, bytes32 transcriptHash) external;

    /// @notice A holder says that its share or the transcript is wrong, in at most 1024 bytes. Final. The
    /// ceremony that made the key has failed then.
    function reject(KeyEpochId epoch, string calldata reason) external;

    /// @notice A holder says that it has erased its share of an active epoch, for ever. Fewer left than the threshold retire
    /// the epoch.
    /// @dev Taken at any time, whatever studies there are: the word is about what has happened, and refusing it would bring
    /// no share back. Whether a study still needs the share is for the holder's software to look at, before it erases.
    function retireShare(KeyEpochId epoch) external;

    /// @notice How many epochs were proposed. Their ids are 1 to this.
    function epochCount() external view returns (uint64);

    /// @notice The epoch as it is now; every field is zero for one that was never proposed.
    function epochOf(KeyEpochId epoch) external view returns (KeyEpoch memory);

    /// @notice True once every holder has confirmed, and as long as at least the threshold of shares is left.
    function isActive(KeyEpochId epoch) external view returns (bool);

    /// @notice How many holders open a sum together (t); 0 for an epoch that was never proposed.
    function thresholdOf(KeyEpochId epoch) external view returns (uint8);

    /// @notice keccak256 of the epoch's modulus as it was proposed; 0 for an epoch that was never proposed.
    function modulusHashOf(KeyEpochId epoch) external view returns (bytes32);

    /// @notice An account's place among the holders of an epoch, whatever the epoch's status.
    /// @return position of the holder counted from 1, or 0 when the account holds no share of this epoch.
    function holderIndex(KeyEpochId epoch, address account) external view returns (uint8 position);
}
