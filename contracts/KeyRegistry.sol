// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";

import {IKeyRegistry} from "./interfaces/IKeyRegistry.sol";
import {IParticipantRegistry} from "./interfaces/IParticipantRegistry.sol";
import {BitSet} from "./libraries/BitSet.sol";
import {CeremonyKind, KeyEpochId, KeyEpochStatus} from "./types/RoundTypes.sol";

contract KeyRegistry is IKeyRegistry {
    using BitSet for uint256;

    uint256 private constant MIN_HOLDERS = 2;
    uint256 private constant MAX_HOLDERS = 15;
    uint256 private constant MIN_MODULUS_BITS = 2048;
    uint256 private constant MAX_MODULUS_BITS = 16384;
    uint256 private constant MAX_CID = 128;
    uint256 private constant MAX_REASON = 1024;

    IParticipantRegistry public immutable participants;

    /// @inheritdoc IKeyRegistry
    uint64 public epochCount;

    mapping(KeyEpochId epoch => KeyEpoch) private _epochs;

    /// @inheritdoc IKeyRegistry
    mapping(KeyEpochId epoch => mapping(address account => uint8 position)) public holderIndex;

    constructor(IParticipantRegistry participants_) {
        participants = participants_;
    }

    /// @inheritdoc IKeyRegistry
    function propose(
        bytes calldata modulus,
        address[] calldata holders,
        uint8 threshold,
        CeremonyKind kind,
        bytes32 transcriptHash,
        string calldata transcriptCid
    ) external returns (KeyEpochId epoch) {
        require(participants.isMember(msg.sender), KeyRegistryNotMember(msg.sender));
        _checkThreshold(threshold, holders.length);
        require(transcriptHash != bytes32(0) && bytes(transcriptCid).length != 0, KeyRegistryEmptyValue());
        _checkLength(transcriptCid, MAX_CID);

        epoch = KeyEpochId.wrap(++epochCount);
        _seat(epoch, holders);

        KeyEpoch storage state = _epochs[epoch];
        state.proposer = msg.sender;
        state.threshold = threshold;
        state.kind = kind;
        state.status = KeyEpochStatus.Proposed;
        state.modulusBits = _bitsOf(modulus);
        state.modulusHash = keccak256(modulus);
        state.transcriptHash = transcriptHash;
        state.holders = holders;
        emit KeyEpochProposed(
            epoch, msg.sender, holders, threshold, kind, state.modulusBits, state.modulusHash, transcriptHash, transcriptCid
        );
    }

    /// @inheritdoc IKeyRegistry
    function confirm(KeyEpochId epoch, bytes32 transcriptHash) external {
        (KeyEpoch storage state, uint256 position) = _asHolderOfProposed(epoch);
        // INVARIANT: a confirmation names the very transcript that the holder checked.
        require(
            transcriptHash == state.transcriptHash, KeyRegistryTranscriptMismatch(epoch, state.transcriptHash, transcriptHash)
        );
        uint256 confirmations = state.confirmations;
        require(!confirmations.has(position), KeyRegistryAlreadyConfirmed(epoch, msg.sender));

        confirmations = confirmations.add(position);
        state.confirmations = uint16(confirmations);
        emit KeyShareConfirmed(epoch, msg.sender, uint16(confirmations));

        // INVARIANT: K1, no key is used before every holder has checked its share.
        if (confirmations.size() == state.holders.length) {
            state.status = KeyEpochStatus.Active;
            emit KeyEpochActivated(epoch);
        }
    }

    /// @inheritdoc IKeyRegistry
    function reject(KeyEpochId epoch, string calldata reason) external {
        (KeyEpoch storage state,) = _asHolderOfProposed(epoch);
        _checkLength(reason, MAX_REASON);

        state.status = KeyEpochStatus.Rejected;
        emit KeyEpochRejected(epoch, msg.sender, reason);
    }

    /// @inheritdoc IKeyRegistry
    function retireShare(KeyEpochId epoch) external {
        KeyEpoch storage state = _epochs[epoch];
        KeyEpochStatus status = state.status;
        require(
            status == KeyEpochStatus.Active || status == KeyEpochStatus.Retired, KeyRegistryUnexpectedStatus(epoch, status)
        );
        uint256 position = _positionOfCaller(epoch);
        uint256 retired = state.retired;
        // INVARIANT: K3, no share is retired twice, and none comes back.
        require(!retired.has(position), KeyRegistryAlreadyRetired(epoch, msg.sender));

        retired = retired.add(position);
        state.retired = uint16(retired);
        emit KeyShareRetired(epoch, msg.sender, uint16(retired));

        if (status == KeyEpochStatus.Active && state.holders.length - retired.size() < state.threshold) {
            state.status = KeyEpochStatus.Retired;
            emit KeyEpochRetired(epoch);
        }
    }

    /// @inheritdoc IKeyRegistry
    function epochOf(KeyEpochId epoch) external view returns (KeyEpoch memory) {
        return _epochs[epoch];
    }

    /// @inheritdoc IKeyRegistry
    function isActive(KeyEpochId epoch) external view returns (bool) {
        return _epochs[epoch].status == KeyEpochStatus.Active;
    }

    /// @inheritdoc IKeyRegistry
    function thresholdOf(KeyEpochId epoch) external view returns (uint8) {
        return _epochs[epoch].threshold;
    }

    /// @inheritdoc IKeyRegistry
    function modulusHashOf(KeyEpochId epoch) external view returns (bytes32) {
        return _epochs[epoch].modulusHash;
    }

    /// @dev The callers of `confirm` and `reject`: holders of an epoch that is still proposed.
    function _asHolderOfProposed(KeyEpochId epoch) private view returns (KeyEpoch storage state, uint256 position) {
        state = _epochs[epoch];
        require(state.status == KeyEpochStatus.Proposed, KeyRegistryUnexpectedStatus(epoch, state.status));
        position = _positionOfCaller(epoch);
    }

    /// @dev The caller's place among the epoch's holders, counted from 0.
    function _positionOfCaller(KeyEpochId epoch) private view returns (uint256) {
        uint256 index = holderIndex[epoch][msg.sender];
        require(index != 0, KeyRegistryNotHolder(epoch, msg.sender));
        return index - 1;
    }

    function _seat(KeyEpochId epoch, address[] calldata holders) private {
        for (uint256 i = 0; i < holders.length; ++i) {
            address holder = holders[i];
            require(participants.isMember(holder), KeyRegistryNotMember(holder));
            // INVARIANT: nobody counts twice towards the threshold.
            require(holderIndex[epoch][holder] == 0, KeyRegistryDuplicateHolder(holder));
            holderIndex[epoch][holder] = uint8(i + 1);
        }
    }

    function _checkThreshold(uint256 threshold, uint256 holders) private pure {
        // INVARIANT: R2, t > T/2, so that two disjoint groups never both reach a quorum.
        require(
            holders >= MIN_HOLDERS && holders <= MAX_HOLDERS && 2 * threshold > holders && threshold <= holders,
            KeyRegistryInvalidThreshold(threshold, holders)
        );
    }

    /// @dev Length of an odd big-endian number without leading zeros; a leading zero byte counts as no number at all.
    function _bitsOf(bytes calldata modulus) private pure returns (uint16) {
        uint256 length = modulus.length;
        require(length != 0 && modulus[0] != 0, KeyRegistryInvalidModulus(0));
        uint256 bits = 8 * (length - 1) + Math.log2(uint8(modulus[0])) + 1;
        // INVARIANT: no key is weaker than 2048 bits, and an RSA modulus is odd.
        require(
            bits >= MIN_MODULUS_BITS && bits <= MAX_MODULUS_BITS && uint8(modulus[length - 1]) & 1 == 1,
            KeyRegistryInvalidModulus(bits)
        );
        return uint16(bits);
    }

    function _checkLength(string calldata text, uint256 most) private pure {
        require(bytes(text).length <= most, KeyRegistryTextTooLong(bytes(text).length, most));
    }
}
