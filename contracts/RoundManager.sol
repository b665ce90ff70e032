// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {IKeyRegistry} from "./interfaces/IKeyRegistry.sol";
import {IRoundManager} from "./interfaces/IRoundManager.sol";
import {IStudyRegistry} from "./interfaces/IStudyRegistry.sol";
import {Attendance} from "./libraries/Attendance.sol";
import {BitSet} from "./libraries/BitSet.sol";
import {Product} from "./libraries/Product.sol";
import {Round as RoundLibrary} from "./libraries/Round.sol";
import {KeyEpochId, Phase, RoundId, StudyId, WrongProduct} from "./types/RoundTypes.sol";

contract RoundManager is IRoundManager {
    using Attendance for Attendance.Counters;
    using BitSet for uint256;
    using Product for WrongProduct;
    using RoundLibrary for RoundLibrary.State;

    uint256 private constant MAX_CID = 128;
    uint256 private constant MAX_TEXT = 1024;
    uint256 private constant DELTA_ONE = 1e18;
    uint32 private constant RETURN_STEPS = 8;

    struct Progress {
        RoundId latest;
        RoundId finalised;
        uint32 stepsDone;
        // one word each
        Attendance.Counters attendance;
    }

    IStudyRegistry public immutable studies;
    IKeyRegistry public immutable keys;

    /// @inheritdoc IRoundManager
    uint64 public roundCount;

    /// @inheritdoc IRoundManager
    mapping(StudyId study => mapping(address participant => uint64 epsilonTotal)) public privacySpent;

    mapping(StudyId study => Progress) private _progress;
    mapping(RoundId round => RoundLibrary.State) private _rounds;
    mapping(bytes32 updateRoot => bool) private _revealedRoots;

    constructor(IStudyRegistry studies_, IKeyRegistry keys_) {
        studies = studies_;
        keys = keys_;
    }

    /// @inheritdoc IRoundManager
    function openRound(StudyId study) external returns (RoundId round) {
        _participant(study);
        Progress storage progress = _progress[study];
        RoundId latest = progress.latest;
        // INVARIANT: one round of a study at a time, so that every update is made from the newest model.
        require(RoundId.unwrap(latest) == 0 || _hasEnded(latest), RoundManagerRoundRunning(study, latest));
        // INVARIANT: the participants are fixed before the first commitment.
        require(studies.enrolmentClosed(study), RoundManagerEnrolmentOpen(study));
        IStudyRegistry.Study memory agreed = studies.studyOf(study);
        require(agreed.enrolled >= agreed.rules.minCohort, RoundManagerTooFewEnrolled(study, agreed.enrolled, agreed.rules.minCohort));
        uint32 step = progress.stepsDone;
        require(step < agreed.rules.steps, RoundManagerStudyComplete(study, agreed.rules.steps));

        uint256 absent = _callTheRoll(progress, step, agreed.enrolled);
        round = RoundId.wrap(++roundCount);
        progress.latest = round;
        RoundLibrary.Start memory start = RoundLibrary.Start({
            study: study,
            step: step,
            parent: progress.finalised,
            keyEpoch: agreed.keyEpoch,
            threshold: keys.thresholdOf(agreed.keyEpoch),
            enrolled: agreed.enrolled,
            absent: absent
        });
        _rounds[round].start(start, agreed.rules);
        emit RoundOpened(round, study, step, start.parent, msg.sender);
        if (absent != 0) emit AbsenteesPassedOver(round, absent);
        _emitPhase(round);
    }

    /// @inheritdoc IRoundManager
    function commit(RoundId round, bytes32 commitment) external {
        (RoundLibrary.State storage state, uint256 index) = _asParticipant(round, Phase.Open, Phase.Open);
        _checkNotEmpty(commitment);

        bool moved = state.commit(round, index, commitment);
        emit UpdateCommitted(round, msg.sender, uint16(index + 1), commitment);
        if (moved) _emitPhase(round);
    }

    /// @inheritdoc IRoundManager
    function comeBack(RoundId round) external {
        (RoundLibrary.State storage state, uint256 index) = _asParticipant(round, Phase.Open, Phase.Open);
        state.comeBack(round, index);
        // INVARIANT: whoever comes back and stays away again makes one round wait in so many steps, not every one.
        StudyId study = state.study;
        require(_progress[study].attendance.comeBack(index), RoundManagerReturnedLately(study, msg.sender));
        emit ParticipantReturned(round, msg.sender, uint16(index + 1));
    }

    /// @inheritdoc IRoundManager
    function declarePrivacy(RoundId round, uint64 epsilonRound, uint64 epsilonTotal, uint64 delta) external {
        (RoundLibrary.State storage state, uint256 index) = _asParticipant(round, Phase.Open, Phase.Open);
        require(
            epsilonRound != 0 && epsilonTotal >= epsilonRound && delta != 0 && delta < DELTA_ONE,
            RoundManagerInvalidPrivacy(epsilonRound, epsilonTotal, delta)
        );

        state.declarePrivacy(round, index);
        StudyId study = state.study;
        uint64 previous = privacySpent[study][msg.sender];
        // INVARIANT: a participant's total in a study never falls: privacy that is lost does not come back.
        require(epsilonTotal >= previous, RoundManagerPrivacyFell(study, previous, epsilonTotal));
        privacySpent[study][msg.sender] = epsilonTotal;
        emit PrivacyDeclared(round, msg.sender, uint16(index + 1), epsilonRound, epsilonTotal, delta);
    }

    /// @inheritdoc IRoundManager
    function reveal(RoundId round, bytes32 updateRoot, string calldata cid, bytes32 proofHash, bytes32 salt) external {
        (RoundLibrary.State storage state, uint256 index) = _asParticipant(round, Phase.Committed, Phase.Committed);
        _checkNotEmpty(updateRoot);
        _checkCid(cid);

        bool moved = state.reveal(round, index, commitmentOf(round, msg.sender, updateRoot, cid, proofHash, salt));
        // INVARIANT: no update counts twice, in any round of any study: copying another's would double it in the sum.
        require(!_revealedRoots[updateRoot], RoundManagerRootReused(updateRoot));
        _revealedRoots[updateRoot] = true;
        emit UpdateRevealed(round, msg.sender, uint16(index + 1), updateRoot, cid, proofHash, salt);
        if (moved) _emitPhase(round);
    }

    /// @inheritdoc IRoundManager
    function attestSet(RoundId round, uint256 set, uint256 refused, string calldata reasons) external {
        (RoundLibrary.State storage state, uint256 holder) = _asHolder(round, Phase.Revealed, Phase.Revealed);
        _checkLength(reasons, MAX_TEXT);

        uint256 frozen = state.attestSet(round, holder, set, refused);
        emit SetAttested(round, msg.sender, set, refused, reasons);
        if (frozen != 0) {
            emit SetFrozen(round, frozen, setHashOf(round, frozen));
            _emitPhase(round);
        }
    }

    /// @inheritdoc IRoundManager
    function postAggregate(RoundId round, bytes32 aggregateRoot, string calldata cid) external {
        (RoundLibrary.State storage state, uint256 index) = _asParticipant(round, Phase.Frozen, Phase.Aggregated);
        _checkNotEmpty(aggregateRoot);
        _checkCid(cid);

        bool moved = state.postAggregate(round, index, aggregateRoot);
        emit AggregatePosted(round, msg.sender, aggregateRoot, cid);
        if (moved) _emitPhase(round);
    }

    /// @inheritdoc IRoundManager
    function showWrongProduct(RoundId round, bytes32 aggregateRoot, WrongProduct calldata shown) external {
        RoundLibrary.State storage state = _rounds[round];
        state.postersOf(round, aggregateRoot);
        StudyId study = state.study;
        uint256 position = state.checkFactor(
            round,
            shown.participant,
            studies.participantIndex(study, shown.participant),
            commitmentOf(round, shown.participant, shown.updateRoot, shown.cid, shown.proofHash, shown.salt)
        );
        require(
            shown.isWrong(aggregateRoot, position, keys.modulusHashOf(state.keyEpoch)),
            RoundManagerProductHolds(round, aggregateRoot, shown.ciphertext, position)
        );

        Phase phase = state.phase;
        (uint256 posters, bool voided) = state.markWrong(round, aggregateRoot);
        emit ProductShownWrong(round, msg.sender, aggregateRoot, posters, shown.ciphertext, uint16(position));
        if (voided) emit RoundVoided(round, study, phase);
    }

    /// @inheritdoc IRoundManager
    function releaseShare(RoundId round, bytes32 aggregateRoot, bytes32 shareRoot, string calldata cid, bytes32 proofHash) external {
        (RoundLibrary.State storage state, uint256 holder) = _asHolder(round, Phase.Aggregated, Phase.Decrypted);
        _checkNotEmpty(shareRoot);
        _checkNotEmpty(proofHash);
        _checkCid(cid);

        bool moved = state.releaseShare(round, holder, aggregateRoot);
        emit ShareReleased(round, msg.sender, uint8(holder + 1), aggregateRoot, shareRoot, cid, proofHash);
        if (moved) _emitPhase(round);
    }

    /// @inheritdoc IRoundManager
    function disputeShare(RoundId round, address holder, string calldata reason) external {
        RoundLibrary.State storage state = _rounds[round];
        require(state.phase != Phase.None, RoundManagerUnexpectedPhase(round, Phase.None));
        KeyEpochId epoch = state.keyEpoch;
        require(
            studies.participantIndex(state.study, msg.sender) != 0 || keys.holderIndex(epoch, msg.sender) != 0,
            RoundManagerNotEnrolled(state.study, msg.sender)
        );
        uint256 position = keys.holderIndex(epoch, holder);
        require(position != 0, RoundManagerNotHolder(epoch, holder));
        require(uint256(state.released).has(position - 1), RoundManagerNoShare(round, holder));
        _checkLength(reason, MAX_TEXT);

        state.disputeShare(round, position - 1);
        emit ShareDisputed(round, msg.sender, holder, reason);
    }

    /// @inheritdoc IRoundManager
    function postOpeningPart(RoundId round, bytes32 partRoot, string calldata cid) external {
        (RoundLibrary.State storage state, uint256 index) = _asParticipant(round, Phase.Decrypted, Phase.Decrypted);
        _checkNotEmpty(partRoot);
        _checkCid(cid);

        state.postOpeningPart(round, index);
        emit OpeningPartPosted(round, msg.sender, partRoot, cid);
    }

    /// @inheritdoc IRoundManager
    function postOpening(RoundId round, bytes32 openingRoot, string calldata cid) external {
        (RoundLibrary.State storage state, uint256 index) = _asParticipant(round, Phase.Decrypted, Phase.Decrypted);
        _checkNotEmpty(openingRoot);
        _checkCid(cid);

        state.postOpening(round, index, openingRoot);
        emit OpeningPosted(round, msg.sender, openingRoot, cid);
    }

    /// @inheritdoc IRoundManager
    function attestModel(RoundId round, bytes32 openingRoot, bytes32 modelHash, string calldata cid) external {
        (RoundLibrary.State storage state, uint256 holder) = _asHolder(round, Phase.Decrypted, Phase.Decrypted);
        _checkNotEmpty(modelHash);
        _checkCid(cid);

        bool moved = state.attestModel(round, holder, openingRoot, modelHash, cid);
        emit ModelAttested(round, msg.sender, openingRoot, modelHash, cid);
        if (moved) {
            Progress storage progress = _progress[state.study];
            progress.finalised = round;
            ++progress.stepsDone;
            emit RoundFinalised(round, state.study, state.step, openingRoot, modelHash, cid, state.parent);
        }
    }

    /// @inheritdoc IRoundManager
    function advance(RoundId round) external {
        RoundLibrary.State storage state = _rounds[round];
        Phase before = state.phase;
        state.advance(round);
        if (state.phase == Phase.Voided) emit RoundVoided(round, state.study, before);
        else _emitPhase(round);
    }

    /// @inheritdoc IRoundManager
    function roundOf(RoundId round) external view returns (Round memory) {
        RoundLibrary.State storage state = _rounds[round];
        return Round({
            study: state.study,
            step: state.step,
            phase: state.phase,
            deadline: state.deadline,
            parent: state.parent,
            committed: state.committed,
            revealed: state.revealed,
            absent: state.absent,
            frozen: state.frozen,
            aggregateRoot: state.aggregateRoot,
            modelHash: state.modelHash
        });
    }

    /// @inheritdoc IRoundManager
    function latestRound(StudyId study) external view returns (RoundId) {
        return _progress[study].latest;
    }

    /// @inheritdoc IRoundManager
    function stepsDone(StudyId study) external view returns (uint32) {
        return _progress[study].stepsDone;
    }

    /// @inheritdoc IRoundManager
    function commitmentOf(RoundId round, address sender, bytes32 updateRoot, string calldata cid, bytes32 proofHash, bytes32 salt)
        public
        view
        returns (bytes32)
    {
        // INVARIANT: P9, no commitment is good on another chain, contract or round, or for another sender.
        return keccak256(abi.encode(block.chainid, address(this), round, sender, updateRoot, cid, proofHash, salt));
    }

    /// @inheritdoc IRoundManager
    function setHashOf(RoundId round, uint256 set) public view returns (bytes32) {
        return keccak256(abi.encode(block.chainid, address(this), round, set));
    }

    function _asParticipant(RoundId round, Phase either, Phase other)
        private
        view
        returns (RoundLibrary.State storage state, uint256 index)
    {
        state = _rounds[round];
        state.checkPhase(round, either, other);
        index = _participant(state.study);
    }

    function _asHolder(RoundId round, Phase either, Phase other)
        private
        view
        returns (RoundLibrary.State storage state, uint256 position)
    {
        state = _rounds[round];
        state.checkPhase(round, either, other);
        position = keys.holderIndex(state.keyEpoch, msg.sender);
        require(position != 0, RoundManagerNotHolder(state.keyEpoch, msg.sender));
        --position;
    }

    /// @return index of the caller counted from 0
    function _participant(StudyId study) private view returns (uint256 index) {
        index = studies.participantIndex(study, msg.sender);
        require(index != 0, RoundManagerNotEnrolled(study, msg.sender));
        --index;
    }

    /// @dev The round before is counted when the next one opens: each once, and by then it has ended.
    /// @return positions of those for whom the study's next round does not wait
    function _callTheRoll(Progress storage progress, uint32 step, uint16 enrolled) private returns (uint256) {
        RoundLibrary.State storage before = _rounds[progress.latest];
        Attendance.Counters storage attendance = progress.attendance;
        uint256 sum = before.frozen;
        if (sum != 0) attendance.count(BitSet.first(enrolled), sum);
        if (before.step / RETURN_STEPS != step / RETURN_STEPS) attendance.returned = 0;
        return attendance.absent();
    }

    function _hasEnded(RoundId round) private view returns (bool) {
        Phase phase = _rounds[round].phase;
        return phase == Phase.Finalised || phase == Phase.Voided;
    }

    function _emitPhase(RoundId round) private {
        RoundLibrary.State storage state = _rounds[round];
        emit PhaseEntered(round, state.phase, state.deadline);
    }

    function _checkNotEmpty(bytes32 value) private pure {
        require(value != bytes32(0), RoundManagerEmptyValue());
    }

    function _checkCid(string calldata cid) private pure {
        require(bytes(cid).length != 0, RoundManagerEmptyValue());
        _checkLength(cid, MAX_CID);
    }

    function _checkLength(string calldata text, uint256 most) private pure {
        require(bytes(text).length <= most, RoundManagerTextTooLong(bytes(text).length, most));
    }
}
