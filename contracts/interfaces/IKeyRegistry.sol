// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {CeremonyKind, KeyEpochId, KeyEpochStatus} from "../types/RoundTypes.sol";

/// @title Threshold key epochs
/// @notice An epoch fixes the Paillier modulus, its holders and the threshold. It becomes active only when every holder has
/// confirmed that it checked its share against the public transcript (K1); one holder's rejection ends it.
interface IKeyRegistry {
    struct KeyEpoch {
        address proposer;
        uint8 threshold;
        CeremonyKind kind;
        KeyEpochStatus status;
        uint16 modulusBits;
        uint16 confirmations; // bit i: holder at position i has confirmed
        bytes32 modulusHash; // keccak256 of the big-endian modulus
        bytes32 transcriptHash; // keccak256 of the transcript's bytes
        address[] holders; // position i holds the share at x = i + 1
    }

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
    event KeyShareConfirmed(KeyEpochId indexed epoch, address indexed holder, uint16 confirmations);
    event KeyEpochActivated(KeyEpochId indexed epoch);
    event KeyEpochRejected(KeyEpochId indexed epoch, address indexed holder, string reason);

    error KeyRegistryNotMember(address account);
    error KeyRegistryInvalidThreshold(uint256 threshold, uint256 holders);
    error KeyRegistryInvalidModulus(uint256 bits);
    error KeyRegistryDuplicateHolder(address holder);
    error KeyRegistryNotHolder(KeyEpochId epoch, address account);
    error KeyRegistryUnexpectedStatus(KeyEpochId epoch, KeyEpochStatus current);
    error KeyRegistryAlreadyConfirmed(KeyEpochId epoch, address holder);
    error KeyRegistryTranscriptMismatch(KeyEpochId epoch, bytes32 expected, bytes32 given);
    error KeyRegistryEmptyValue();
    error KeyRegistryTextTooLong(uint256 length, uint256 most);

    /// @notice Propose an epoch: 2 to 15 distinct members as holders, threshold more than half of them (R2), odd modulus
    /// of 2048 to 16384 bits.
    /// @dev A holder that the participant registry removes later keeps its share and its place: end the epoch by not using it.
    /// @param modulus big-endian, no leading zero byte; only its hash is stored.
    /// @param transcriptHash not zero
    /// @param transcriptCid 1 to 128 bytes
    function propose(
        bytes calldata modulus,
        address[] calldata holders,
        uint8 threshold,
        CeremonyKind kind,
        bytes32 transcriptHash,
        string calldata transcriptCid
    ) external returns (KeyEpochId epoch);

    /// @notice A holder says that its share agrees with the transcript of this hash. The last confirmation activates the epoch.
    function confirm(KeyEpochId epoch, bytes32 transcriptHash) external;

    /// @notice A holder says that its share or the transcript is wrong, in at most 1024 bytes. Final.
    function reject(KeyEpochId epoch, string calldata reason) external;

    function epochCount() external view returns (uint64);

    function epochOf(KeyEpochId epoch) external view returns (KeyEpoch memory);

    function isActive(KeyEpochId epoch) external view returns (bool);

    function thresholdOf(KeyEpochId epoch) external view returns (uint8);

    /// @return position of the holder counted from 1, or 0 when the account holds no share of this epoch.
    function holderIndex(KeyEpochId epoch, address account) external view returns (uint8 position);
}
