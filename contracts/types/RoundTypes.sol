// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

type StudyId is uint64;
type RoundId is uint64;
type KeyEpochId is uint64;
type CeremonyId is uint64;

/// @notice The state of a round. A state says what has been completed, so `Committed` is the state in which reveals are
/// taken.
/// @dev Mirrored by `defedbio.domain.Phase`; a test pins the two together.
enum Phase {
    None,
    Open, // takes commitments
    Committed, // takes reveals
    Revealed, // takes the key holders' attestations of the set of good updates
    Frozen, // takes aggregates
    Aggregated, // takes decryption shares
    Decrypted, // takes openings and attestations of the new model
    Finalised,
    Voided
}

enum CeremonyKind {
    Dealer,
    Distributed
}

enum KeyEpochStatus {
    None,
    Proposed,
    Active,
    Rejected,
    Retired // fewer shares than the threshold are left
}

/// @dev `Succeeded` and `Failed` are for ever.
enum CeremonyStatus {
    None,
    Running,
    Succeeded, // its key epoch became active
    Failed
}

/// @notice How other organisations find a participant. The registry is the address book (R1).
struct Profile {
    string name;
    string metadataCid;
    bytes32 transportKey; // X25519 public key, to which key shares are sealed
    string multiaddr; // of the organisation's IPFS node, with its peer id
}

/// @notice What the chain itself must know of a study's spec to run its rounds.
struct StudyRules {
    uint16 seats; // most participants, 3..256
    uint16 minCohort; // fewest updates in a set, at least 3
    uint32 steps; // rounds to finalise, preprocessing rounds included
    uint64 enrolUntil; // unix seconds
    uint32 commitSeconds; // local training happens here
    uint32 revealSeconds;
    uint32 attestSeconds;
    uint32 aggregateSeconds;
    uint32 shareSeconds;
    uint32 finaliseSeconds;
    uint16 leastShare; // of the good updates a set must hold, in ten-thousandths: more than half, at most all
}

/// @notice What shows that a posted aggregate is wrong at one place (P4): for the ciphertext of index l and the update of
/// position t in the set's order, the product before it, the update's ciphertext, and the product that was posted.
/// @dev Numbers are big-endian and of twice the modulus's length; paths lead from a value's leaf to its root.
struct WrongProduct {
    address participant; // whose update is multiplied in here
    bytes32 updateRoot; // of that update, and with the next three what `commitmentOf` makes its commitment of
    string cid;
    bytes32 proofHash;
    bytes32 salt;
    uint32 ciphertext; // l, from 0
    bytes factor; // the update's ciphertext of this index
    bytes32[] factorPath;
    bytes before; // the product of those before it, P_{l,t-1}; like its path and the modulus not read for the first update
    bytes32[] beforePath;
    bytes product; // P_{l,t} as it was posted
    bytes32[] productPath;
    bytes modulus; // the key's, as it was proposed
}
