// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";

import {Ceremonies} from "./Ceremonies.sol";
import {IKeyRegistry} from "./interfaces/IKeyRegistry.sol";
import {IParticipantRegistry} from "./interfaces/IParticipantRegistry.sol";
import {BitSet} from "./libraries/BitSet.sol";
import {Committee} from "./libraries/Committee.sol";
import {CeremonyId, CeremonyKind, KeyEpochId, KeyEpochStatus} from "./types/RoundTypes.sol";

contract KeyRegistry is IKeyRegistry, Ceremonies {
    using BitSet for uint256;
    using Committee for mapping(address account => uint8 position);

    uint256 private constant MIN_MODULUS_BITS = 2048;
    uint256 private constant MAX_MODULUS_BITS = 16384;
    uint256 private constant MAX_REASON = 1024;

    /// @inheritdoc IKeyRegistry
    uint64 public epochCount;

    mapping(KeyEpochId epoch => KeyEpoch) private _epochs;

    /// @inheritdoc IKeyRegistry
    mapping(KeyEpochId epoch => mapping(address account => uint8 position)) public holderIndex;

    constructor(IParticipantRegistry participants_) Ceremonies(participants_) {}

    /// @inheritdoc IKeyRegistry
    function propose(
        bytes calldata modulus,
        address[] calldata holders,
        uint8 threshold,
        bytes32 transcriptHash,
        string calldata transcriptCid
    ) external returns (KeyEpochId epoch) {
        _checkMember(msg.sender);
        epoch = KeyEpochId.wrap(++epochCount);
        holderIndex[epoch].seat(participants, holders, threshold);

        KeyEpoch storage state = _epochs[epoch];
        state.kind = CeremonyKind.Dealer;
        state.threshold = threshold;
        state.holders = holders;
        _open(epoch, state, modulus, transcriptHash, transcriptCid);
    }

    /// @inheritdoc IKeyRegistry
    function proposeFrom(
        CeremonyId ceremony,
        bytes32 head,
        bytes calldata modulus,
        bytes32 transcriptHash,
        string calldata transcriptCid
    ) external returns (KeyEpochId epoch) {
        epoch = KeyEpochId.wrap(++epochCount);
        Ceremony storage made = _conclude(ceremony, head, epoch);
        address[] memory holders = made.holders;
        for (uint256 i = 0; i < holders.length; ++i) {
            holderIndex[epoch][holders[i]] = uint8(i + 1);
        }

        KeyEpoch storage state = _epochs[epoch];
        state.kind = CeremonyKind.Distributed;
        state.threshold = made.threshold;
        state.holders = holders;
        _open(epoch, state, modulus, transcriptHash, transcriptCid);
        // INVARIANT: D1, the key is the one that was announced.
        require(state.modulusBits == made.bits, KeyRegistryInvalidModulus(state.modulusBits));
    }

    /// @inheritdoc IKeyRegistry
    function confirm(KeyEpochId epoch, bytes32 transcriptHash) external {
        (KeyEpoch storage state, uint256 position) = _asHolderOfProposed(epoch);
        bool distributed = state.kind == CeremonyKind.Distributed;
        if (distributed) _inTime(ceremonyOfEpoch[epoch]);
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
            if (distributed) _succeed(ceremonyOfEpoch[epoch], epoch);
        }
    }

    /// @inheritdoc IKeyRegistry
    function reject(KeyEpochId epoch, string calldata reason) external {
        (KeyEpoch storage state,) = _asHolderOfProposed(epoch);
        _checkLength(reason, MAX_REASON);

        state.status = KeyEpochStatus.Rejected;
        emit KeyEpochRejected(epoch, msg.sender, reason);
        if (state.kind == CeremonyKind.Distributed) {
            CeremonyId ceremony = ceremonyOfEpoch[epoch];
            _fail(ceremony, _running(ceremony));
        }
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

    function _confirmationsOf(KeyEpochId epoch) internal view override returns (uint256) {
        return _epochs[epoch].confirmations;
    }

    function _lapse(KeyEpochId epoch) internal override {
        _epochs[epoch].status = KeyEpochStatus.Rejected;
        emit KeyEpochLapsed(epoch);
    }

    /// @dev Propose an epoch whose kind, threshold and holders are set.
    function _open(
        KeyEpochId epoch,
        KeyEpoch storage state,
        bytes calldata modulus,
        bytes32 transcriptHash,
        string calldata transcriptCid
    ) private {
        _checkReference(transcriptHash, transcriptCid);
        state.proposer = msg.sender;
        state.status = KeyEpochStatus.Proposed;
        state.modulusBits = _bitsOf(modulus);
        state.modulusHash = keccak256(modulus);
        state.transcriptHash = transcriptHash;
        emit KeyEpochProposed(
            epoch,
            msg.sender,
            state.holders,
            state.threshold,
            state.kind,
            state.modulusBits,
            state.modulusHash,
            transcriptHash,
            transcriptCid
        );
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
}
