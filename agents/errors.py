"""What can go wrong, by whose fault it is.

    DefedError                    every error this product raises on purpose; carries what happened and what to do
    ├── InvalidInput        (2)   the caller's: a file, an option or a value
    │   ├── InvalidSpec           a study spec that breaks its schema or rules
    │   ├── InvalidData           a local data file that does not fit the study
    │   │   └── OutsideRule       numbers that do not obey the study's rules, so that nothing can be proven of them
    │   ├── InvalidKey            key material that cannot be used
    │   ├── WrongPassword         a keystore or vault that the password does not open
    │   ├── WrongChain            an endpoint on another chain, or without our contracts
    │   └── NotFound              an unknown study, round, epoch or model
    ├── Unreachable         (3)   an endpoint or node that does not answer; retried with a bound before it is raised
    │   ├── ChainUnreachable
    │   ├── StoreUnreachable      the organisation's own IPFS node
    │   └── BlobUnavailable       a CID that no connected node delivers in time
    ├── PeerFault           (4)   another organisation's: names it and the evidence; only this can become a dispute
    │   ├── MalformedBlob         wrong magic, length, header or encoding
    │   ├── BlobMismatch          bytes that are not what the CID or the chain's hash says
    │   │   └── CidMismatch       not the CID's: a fault of whoever delivered them, which says nothing of what the CID names
    │   ├── BadCiphertext         outside the units below n^2
    │   ├── BadProof              a contribution whose proof does not hold
    │   ├── BadShare              a share whose proof fails
    │   ├── BadOpening            an opening that does not hold
    │   ├── BadTranscript         a key ceremony that does not verify
    │   └── BadEvidence           evidence that its block header, hash or manifest does not bear out
    ├── ContractRefused     (5)   a transaction the contracts revert, with the custom error's name and values
    ├── StudyHalted         (6)   the study cannot go on (too many voided rounds in a row)
    └── InternalFault      (70)   ours: an invariant that does not hold

The number is the command line's exit code. Messages never contain secrets or data values.

Example, a program that acts on whose move it is, without a word of the message:

    def joined(client, study):
        try:
            client.study.join(study, accept=True)
        except ContractRefused as refusal:
            if refusal.name != "StudyRegistryEnrolmentClosed":
                raise
            return "too late"
        except PeerFault as fault:
            return f"ask {fault.peer or 'the coordinator'} what it published"
        except Unreachable:
            return "try again later"
        except InvalidInput as mistake:
            return f"ours to put right: {mistake.hint or mistake.message}"
        return "joined"
"""

from __future__ import annotations


class DefedError(Exception):
    """What happened, and in `hint` what the reader can do about it."""

    exit_code = 1

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} ({self.hint})" if self.hint else self.message


class InvalidInput(DefedError):
    exit_code = 2


class InvalidSpec(InvalidInput):
    pass


class InvalidData(InvalidInput):
    pass


class OutsideRule(InvalidData):
    pass


class InvalidKey(InvalidInput):
    pass


class WrongPassword(InvalidInput):
    pass


class WrongChain(InvalidInput):
    pass


class NotFound(InvalidInput):
    pass


class Unreachable(DefedError):
    exit_code = 3


class ChainUnreachable(Unreachable):
    pass


class StoreUnreachable(Unreachable):
    pass


class BlobUnavailable(Unreachable):
    pass


class PeerFault(DefedError):
    """`peer` is the address at fault, empty when the raising code cannot know it; callers fill it in with `blame`."""

    exit_code = 4

    def __init__(self, message: str, hint: str = "", peer: str = "") -> None:
        super().__init__(message, hint)
        self.peer = peer

    def blame(self, peer: str) -> PeerFault:
        self.peer = peer
        return self


class MalformedBlob(PeerFault):
    pass


class BlobMismatch(PeerFault):
    pass


class CidMismatch(BlobMismatch):
    pass


class BadCiphertext(PeerFault):
    pass


class BadProof(PeerFault):
    pass


class BadShare(PeerFault):
    pass


class BadOpening(PeerFault):
    pass


class BadTranscript(PeerFault):
    pass


class BadEvidence(PeerFault):
    pass


class ContractRefused(DefedError):
    """`name` is the custom error's name (or the revert string), `values` its arguments in order."""

    exit_code = 5

    def __init__(self, name: str, values: tuple[object, ...] = (), hint: str = "") -> None:
        shown = ", ".join(str(v) for v in values)
        super().__init__(f"the contract refused: {name}({shown})", hint)
        self.name = name
        self.values = values


class StudyHalted(DefedError):
    exit_code = 6


class InternalFault(DefedError):
    exit_code = 70
