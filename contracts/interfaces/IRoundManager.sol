// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {KeyEpochId, Phase, RoundId, StudyId, WrongProduct} from "../types/RoundTypes.sol";

/// @title The rounds of every study
/// @notice Runs one round from its first commitment to the named model (P1 to P9). Sets of participants are bit maps
/// over the study's enrolment indices (bit 0 is the first enrolled). Bytes live on IPFS: the chain keeps roots and
/// hashes, and events carry CIDs. Every call costs the same whatever the model's size and however many take part.
/// Actions revert from a phase's deadline on; roots and hashes must not be zero and CIDs are 1 to 128 bytes everywhere.
/// The privacy a participant spends is its own word: the chain holds it to totals that never fall, but sees neither its
/// data nor its noise.
interface IRoundManager {
    struct Round {
        StudyId study;
        uint32 step; // finalised rounds of the study before this one
        Phase phase;
        uint64 deadline; // unix seconds at which the present phase ends, 0 once the round has ended
        RoundId parent; // the finalised round whose model this one starts from, 0 while the study has none
        uint256 committed; // bit i: the participant of index i + 1
        uint256 revealed;
        uint256 absent; // those for whom the round does not wait
        uint256 frozen;
        bytes32 aggregateRoot; // the one for which t shares were released
        bytes32 modelHash;
    }

    /// @notice An enrolled participant opened the study's next round.
    /// @param step finalised rounds of the study before this one
    /// @param parent the finalised round whose model this one starts from, 0 while the study has none
    event RoundOpened(RoundId indexed round, StudyId indexed study, uint32 step, RoundId parent, address opener);

    /// @notice P1. The round that was just opened does not wait for these participants: the last three rounds of the
    /// study that had a sum had none of their updates in it. Told only where there are such participants.
    /// @param absent bit i: the participant of index i + 1
    event AbsenteesPassedOver(RoundId indexed round, uint256 absent);

    /// @notice P1. An absent participant is back: the round waits for it.
    /// @param index of the participant, counted from 1 as in `ParticipantEnrolled`
    event ParticipantReturned(RoundId indexed round, address indexed participant, uint16 index);

    /// @notice The round entered a phase.
    /// @dev For the phases that have a deadline; `RoundFinalised` and `RoundVoided` tell of the other two.
    /// @param deadline of this phase, in unix seconds
    event PhaseEntered(RoundId indexed round, Phase phase, uint64 deadline);

    /// @notice P1. A participant committed to its update.
    /// @param index of the participant, counted from 1 as in `ParticipantEnrolled`
    event UpdateCommitted(RoundId indexed round, address indexed participant, uint16 index, bytes32 commitment);

    /// @notice A participant declared what the round costs its data in privacy.
    /// @dev Units and limits as in `declarePrivacy`.
    /// @param index of the participant, counted from 1 as in `ParticipantEnrolled`
    event PrivacyDeclared(
        RoundId indexed round, address indexed participant, uint16 index, uint64 epsilonRound, uint64 epsilonTotal, uint64 delta
    );

    /// @notice P2. A participant revealed the update that it had committed to.
    /// @dev Holds every argument of `commitmentOf` that `UpdateCommitted` and the sender do not give, the salt among
    /// them: an auditor redoes each commitment from events alone, without the transactions' input (R5). By then nothing
    /// is left for the salt to hide.
    /// @param index of the participant, counted from 1 as in `ParticipantEnrolled`
    event UpdateRevealed(
        RoundId indexed round, address indexed participant, uint16 index, bytes32 updateRoot, string cid, bytes32 proofHash, bytes32 salt
    );

    /// @notice P3. A key holder named the set of updates it attests to, and those that it found bad, in place of any that
    /// it named before.
    /// @param refused updates that can never pass
    /// @param reasons why revealed updates were left out
    event SetAttested(RoundId indexed round, address indexed holder, uint256 set, uint256 refused, string reasons);

    /// @notice P3. t holders named the same set, and it is large enough: it is now fixed.
    /// @param setHash as `setHashOf` gives it
    event SetFrozen(RoundId indexed round, uint256 set, bytes32 setHash);

    /// @notice P4. A participant posted an aggregate of the frozen set. It may be wrong: holders redo it.
    event AggregatePosted(RoundId indexed round, address indexed aggregator, bytes32 aggregateRoot, string cid);

    /// @notice P4. An aggregate was shown to be wrong. No share is released for it any more; a round that was being
    /// opened from it is void.
    /// @param posters who had posted it, bit i: the participant of index i + 1
    /// @param ciphertext l, from 0, of a product that is wrong
    /// @param position in the set's order, counted from 1, of the update that was not multiplied in rightly
    event ProductShownWrong(
        RoundId indexed round, address indexed prover, bytes32 aggregateRoot, uint256 posters, uint32 ciphertext, uint16 position
    );

    /// @notice P5. A key holder released its decryption share of an aggregate.
    /// @param holderIndex of the holder, counted from 1: its share is the one at this x
    /// @param proofHash of the proof that the share is right
    event ShareReleased(
        RoundId indexed round,
        address indexed holder,
        uint8 holderIndex,
        bytes32 aggregateRoot,
        bytes32 shareRoot,
        string cid,
        bytes32 proofHash
    );

    /// @notice A participant or key holder put on record that a holder's share failed its proof.
    event ShareDisputed(RoundId indexed round, address indexed accuser, address indexed holder, string reason);

    /// @notice P6. A participant posted its part of the opening.
    event OpeningPartPosted(RoundId indexed round, address indexed poster, bytes32 partRoot, string cid);

    /// @notice P6. A participant posted an opening of the aggregate. It may be wrong: holders check it.
    event OpeningPosted(RoundId indexed round, address indexed poster, bytes32 openingRoot, string cid);

    /// @notice P6. A key holder attested to an opening and to the model that follows from it.
    /// @param cid of the new model
    event ModelAttested(RoundId indexed round, address indexed holder, bytes32 openingRoot, bytes32 modelHash, string cid);

    /// @notice P6. t holders attested to the same opening and model. The round has ended with a model.
    /// @param step finalised rounds of the study before this one
    /// @param cid of the new model
    /// @param parent the finalised round whose model this one started from, 0 while the study had none
    event RoundFinalised(
        RoundId indexed round, StudyId indexed study, uint32 step, bytes32 openingRoot, bytes32 modelHash, string cid, RoundId parent
    );

    /// @notice P7. The round has ended without a model: a deadline passed before the phase had what it needed, or the
    /// aggregate that it was being opened from was shown to be wrong.
    /// @param phase that the round was in
    event RoundVoided(RoundId indexed round, StudyId indexed study, Phase phase);

    /// @notice The round is in a phase that does not take this call. Raised by every call on a round that is not a
    /// view but `showWrongProduct`, which looks at no phase: by `disputeShare` only for a round that was never opened, by
    /// `advance` only for such a round or one that has ended.
    /// @param current phase, `None` for a round that was never opened
    error RoundManagerUnexpectedPhase(RoundId round, Phase current);

    /// @notice The round is in the right phase, but its deadline has come. Raised by `commit`, `comeBack`,
    /// `declarePrivacy`, `reveal`, `attestSet`, `postAggregate`, `releaseShare`, `postOpeningPart`, `postOpening` and
    /// `attestModel`. Nothing but `advance` moves the round now.
    /// @param deadline of the present phase, in unix seconds
    /// @param time of the block, in unix seconds
    error RoundManagerDeadlinePassed(RoundId round, uint64 deadline, uint256 time);

    /// @notice The deadline has not come yet. Raised by `advance`. Call again from the deadline on.
    /// @param deadline of the present phase, in unix seconds
    /// @param time of the block, in unix seconds
    error RoundManagerNotDue(RoundId round, uint64 deadline, uint256 time);

    /// @notice The caller is not enrolled in the study. Raised by `openRound`, also for a study that does not exist,
    /// and by `commit`, `comeBack`, `declarePrivacy`, `reveal`, `postAggregate`, `postOpeningPart` and `postOpening`;
    /// by `disputeShare` when the caller is not a key holder either.
    error RoundManagerNotEnrolled(StudyId study, address account);

    /// @notice An account holds no share of the study's key. Raised by `attestSet`, `releaseShare` and `attestModel`
    /// for the caller, and by `disputeShare` for the accused.
    /// @param epoch the study's key epoch
    error RoundManagerNotHolder(KeyEpochId epoch, address account);

    /// @notice Members may still enrol in the study. Raised by `openRound`. Call again when `enrolmentClosed` of the
    /// study registry is true.
    error RoundManagerEnrolmentOpen(StudyId study);

    /// @notice Enrolment closed with fewer participants than the study's `minCohort`. Raised by `openRound`. Final: the
    /// study will have no round.
    /// @param enrolled participants of the study
    /// @param needed the study's `minCohort`
    error RoundManagerTooFewEnrolled(StudyId study, uint256 enrolled, uint256 needed);

    /// @notice The study's newest round has not ended. Raised by `openRound`. Once its deadline has come, anyone may
    /// `advance` it.
    /// @param round that has not ended
    error RoundManagerRoundRunning(StudyId study, RoundId round);

    /// @notice The study has finalised all its rounds. Raised by `openRound`. Final.
    /// @param steps rounds that the study was to finalise
    error RoundManagerStudyComplete(StudyId study, uint32 steps);

    /// @notice The caller has done this in the round already, and it stands. Raised on a second `commit`,
    /// `declarePrivacy`, `reveal`, `postAggregate`, `releaseShare`, `postOpeningPart`, `postOpening` or `attestModel`,
    /// on a second `disputeShare` of the same holder, and on an `attestSet` with the set and the refusals that the
    /// caller already attests to.
    error RoundManagerAlreadyDone(RoundId round, address account);

    /// @notice The round waits for the caller as it is. Raised by `comeBack`. Commit.
    error RoundManagerNotAbsent(RoundId round, address account);

    /// @notice The caller has come back already in this run of eight steps, and stayed away again. Raised by
    /// `comeBack`. Commit in time, before the others are through; or come back in the next run.
    error RoundManagerReturnedLately(StudyId study, address account);

    /// @notice A value is outside the limits given at `declarePrivacy`, which raises this.
    /// @param epsilonRound in millionths
    /// @param epsilonTotal in millionths
    /// @param delta in units of 1e-18
    error RoundManagerInvalidPrivacy(uint64 epsilonRound, uint64 epsilonTotal, uint64 delta);

    /// @notice The declared total is below the caller's total before. Raised by `declarePrivacy`.
    /// @param previous total epsilon in the study, in millionths
    /// @param given total epsilon, in millionths
    error RoundManagerPrivacyFell(StudyId study, uint64 previous, uint64 given);

    /// @notice The caller committed to nothing in this round. Raised by `reveal`.
    error RoundManagerNoCommitment(RoundId round, address account);

    /// @notice What is given as revealed is not what the participant committed to. Raised by `reveal` for the caller, and
    /// by `showWrongProduct` for whose update it is.
    /// @param expected commitment, as the participant made it
    /// @param given commitment, as `commitmentOf` gives it for the given values
    error RoundManagerCommitmentMismatch(RoundId round, bytes32 expected, bytes32 given);

    /// @notice An update of this root was revealed before, by anyone, in any round of any study. Raised by `reveal`.
    /// The caller committed to this root, so it can reveal no other in this round.
    error RoundManagerRootReused(bytes32 updateRoot);

    /// @notice A value is zero or a CID is empty. Raised by `commit` for the commitment; by `reveal`, `postAggregate`,
    /// `postOpeningPart` and `postOpening` for the root and the CID; by `releaseShare` for `shareRoot`, `proofHash` and
    /// the CID; by `attestModel` for `modelHash` and the CID.
    error RoundManagerEmptyValue();

    /// @notice A text is too long: the CID in `reveal`, `postAggregate`, `releaseShare`, `postOpeningPart`,
    /// `postOpening` or `attestModel`, the reasons in `attestSet`, or the reason in `disputeShare`.
    /// @param length of the text in bytes
    /// @param most bytes allowed: 128 for a CID, 1024 for reasons
    error RoundManagerTextTooLong(uint256 length, uint256 most);

    /// @notice The set holds a participant that revealed no update in this round, or an update is refused that was not
    /// revealed or is in the set. Raised by `attestSet`.
    /// @param set or refusals that the caller gave, as a bit map
    /// @param whole bit map that they must lie in
    error RoundManagerNotSubset(uint256 set, uint256 whole);

    /// @notice The caller has attested to sets of this round as often as a holder may. Raised by `attestSet`. Its last
    /// word stands.
    /// @param most attestations of one holder in a round
    error RoundManagerAttestedTooOften(RoundId round, address account, uint256 most);

    /// @notice The set holds fewer updates than the study's `minCohort`. Raised by `attestSet`.
    /// @param size updates in the set
    /// @param needed the study's `minCohort`
    error RoundManagerCohortTooSmall(uint256 size, uint256 needed);

    /// @notice No aggregate of this root was posted in the round, or t shares have been released for another. Raised by
    /// `releaseShare`, and for the first reason by `showWrongProduct`, also for a round that was never opened.
    error RoundManagerUnknownAggregate(RoundId round, bytes32 aggregateRoot);

    /// @notice The aggregate of this root has been shown to be wrong. Raised by `postAggregate`, `releaseShare` and a second
    /// `showWrongProduct`. Multiply again: the product of the frozen set has another root.
    error RoundManagerShownWrong(RoundId round, bytes32 aggregateRoot);

    /// @notice The account's update is not in the round's frozen set. Raised by `showWrongProduct`.
    error RoundManagerNotInSet(RoundId round, address account);

    /// @notice A value's path does not lead to the root that it should be under. Raised by `showWrongProduct`: the values
    /// or their paths are not those of the update or of the posted aggregate.
    /// @param root of the update or the aggregate
    /// @param leaf that the value, its ciphertext index and its position give
    error RoundManagerNotInTree(bytes32 root, bytes32 leaf);

    /// @notice The modulus is not that of the study's key. Raised by `showWrongProduct`.
    /// @param expected keccak256 of the modulus as it was proposed
    /// @param given keccak256 of the bytes that the caller gave
    error RoundManagerModulusMismatch(bytes32 expected, bytes32 given);

    /// @notice The key's modulus is longer than 4096 bits: a power modulo its square is more than one MODEXP takes
    /// (EIP-7823). Raised by `showWrongProduct`. Wrong aggregates under such a key stay out-voted and can be shown by
    /// nobody, but for a first update's.
    /// @param length of the modulus in bytes
    /// @param most bytes allowed: 512
    error RoundManagerModulusTooLong(uint256 length, uint256 most);

    /// @notice The update's ciphertext or the product before it is not a number below n² in twice the modulus's bytes.
    /// Raised by `showWrongProduct`. Where it is the product before, that is the place to show.
    error RoundManagerNotACiphertext();

    /// @notice The product is right at this place, so that nothing is shown. Raised by `showWrongProduct`.
    /// @param ciphertext l, from 0
    /// @param position in the set's order, counted from 1
    error RoundManagerProductHolds(RoundId round, bytes32 aggregateRoot, uint32 ciphertext, uint256 position);

    /// @notice No opening of this root was posted in the round. Raised by `attestModel`. An opening is posted by
    /// `postOpening` first.
    error RoundManagerUnknownOpening(RoundId round, bytes32 openingRoot);

    /// @notice The accused holder has released no share in the round. Raised by `disputeShare`.
    error RoundManagerNoShare(RoundId round, address holder);

    /// @notice Open the study's next round. Any enrolled participant may, when enrolment is closed and no other round
    /// runs. It does not wait for those whose updates the last three sums went on without.
    function openRound(StudyId study) external returns (RoundId round);

    /// @notice P1. `commitment` as `commitmentOf` gives it; the last to commit of those that the round waits for moves
    /// it on. Whoever is absent may commit as well while commitments are taken.
    function commit(RoundId round, bytes32 commitment) external;

    /// @notice P1. An absent participant asks the round to wait for its commitment and reveal, because it needs more
    /// time than the others. While commitments are taken, and once in each run of eight steps of the study.
    function comeBack(RoundId round) external;

    /// @notice Put on record the differential privacy that the sender's update of this round costs its data. Once a
    /// round, while commitments are taken; the last commitment ends that, so declare before committing.
    /// @param epsilonRound of this round alone, in millionths, rounded up, at least 1
    /// @param epsilonTotal of all the sender's rounds in the study so far, in millionths, rounded up; at least
    /// `epsilonRound` and the sender's total before
    /// @param delta at which both epsilons hold, in units of 1e-18, rounded up; at least 1 and below 1e18, a
    /// probability of one
    function declarePrivacy(RoundId round, uint64 epsilonRound, uint64 epsilonTotal, uint64 delta) external;

    /// @notice P2. Reveal what was committed. A root that was ever revealed before reverts, so no update can be copied
    /// or replayed. The last reveal of those that committed and that the round waits for moves it on.
    /// @param proofHash of the proof that the update is bounded; zero while the study asks for none
    function reveal(RoundId round, bytes32 updateRoot, string calldata cid, bytes32 proofHash, bytes32 salt) external;

    /// @notice P3. A key holder names the set of updates it attests to; t equal attestations freeze the set, once it
    /// holds the study's `leastShare` of the revealed updates less those that at least t holders refuse. A holder may
    /// change its attestation until then, 32 times in all, so that a late fetch costs a transaction and not the round.
    /// @param refused updates that were fetched and can never pass; none of the set. One that could not be fetched is in
    /// neither
    /// @param reasons why revealed updates were left out, at most 1024 bytes
    function attestSet(RoundId round, uint256 set, uint256 refused, string calldata reasons) external;

    /// @notice P4. Post the root over all prefix products of the frozen set. Different participants may post different
    /// roots; the one for which t holders release shares is the round's, so a wrong post delays nobody. What was shown to
    /// be wrong is not taken again.
    function postAggregate(RoundId round, bytes32 aggregateRoot, string calldata cid) external;

    /// @notice P4. Show that a posted aggregate of this round is wrong, by one place where it is. Anyone may, in whatever
    /// phase, once for each root. It names who posted it, and no share is released for it from then on; a round that is
    /// being opened from it is void. A round that is final stays so: its model is what nodes go on from, and R5 finds out.
    /// @dev Costs the same whatever the number of organisations, but for paths that grow by 32 bytes where it doubles.
    /// What leaves no wrong product behind (a tree with leaves too few or too many, leaves that only the poster knows)
    /// cannot be shown; such an aggregate stays out-voted.
    function showWrongProduct(RoundId round, bytes32 aggregateRoot, WrongProduct calldata shown) external;

    /// @notice P5. A key holder's decryption share of the aggregate of this root. Once a round, ever. Taken until the
    /// round ends, so that a wrong share among the first t can be replaced by another holder's.
    function releaseShare(RoundId round, bytes32 aggregateRoot, bytes32 shareRoot, string calldata cid, bytes32 proofHash) external;

    /// @notice Put on record that a holder's share failed its proof. Changes nothing else: anyone can redo the check.
    /// Any enrolled participant or key holder may, at any time after the release, once a round for each holder.
    /// @param reason at most 1024 bytes
    function disputeShare(RoundId round, address holder, string calldata reason) external;

    /// @notice P6. Post a part of the opening, of the ciphertexts that are the sender's to combine (docs/protocol.md).
    /// Once a round for each enrolled participant. Nothing rests on it: a model rests on a whole opening, and a wrong
    /// part is combined anew.
    function postOpeningPart(RoundId round, bytes32 partRoot, string calldata cid) external;

    /// @notice P6. Post an opening (w, M) of the aggregate that anyone can check. Any enrolled participant may, several
    /// times over different participants: a wrong one is ignored by the attestations.
    function postOpening(RoundId round, bytes32 openingRoot, string calldata cid) external;

    /// @notice P6. A key holder attests to the opening and to the hash and the CID of the new model; t equal
    /// attestations finalise the round. A model's CID follows from its bytes, so honest holders name the same. Once a
    /// round for each holder, and only for an opening that was posted, so that an auditor can redo the check.
    /// @param cid of the new model
    function attestModel(RoundId round, bytes32 openingRoot, bytes32 modelHash, string calldata cid) external;

    /// @notice P8. Move a round on, or void it (P7), when its deadline has passed. Anyone may.
    function advance(RoundId round) external;

    /// @notice How many rounds were opened, of all studies. Their ids are 1 to this.
    function roundCount() external view returns (uint64);

    /// @notice The round as it is now; every field is zero for one that was never opened.
    function roundOf(RoundId round) external view returns (Round memory);

    /// @notice The study's newest round, running or ended.
    /// @return the newest round of the study, 0 when it has none
    function latestRound(StudyId study) external view returns (RoundId);

    /// @notice How far the study has come.
    /// @return finalised rounds of the study
    function stepsDone(StudyId study) external view returns (uint32);

    /// @notice What a participant says that the study has cost its data in privacy so far.
    /// @return the participant's last declared total epsilon in the study, in millionths; 0 when it has declared none
    function privacySpent(StudyId study, address participant) external view returns (uint64);

    /// @notice keccak256(abi.encode(chainId, this contract, round, sender, updateRoot, cid, proofHash, salt)) (P1, P9)
    function commitmentOf(RoundId round, address sender, bytes32 updateRoot, string calldata cid, bytes32 proofHash, bytes32 salt)
        external
        view
        returns (bytes32);

    /// @notice keccak256(abi.encode(chainId, this contract, round, set)): what a holder writes to its journal before it
    /// releases a share
    function setHashOf(RoundId round, uint256 set) external view returns (bytes32);
}
