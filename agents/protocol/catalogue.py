"""All that a node keeps of a study or a ceremony: for each kind of journal entry and of pinned blob who reads it, when it goes, why then.

The journal takes no entry of a kind that is not here. docs/storage.md shows the same table (tests/agents/protocol/test_catalogue.py).
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from typing import Any, Generic, Protocol, TypeVar

T = TypeVar("T")


class Filed(Enum):
    """What an entry's key names, which is what the entry rests on: where a reorganisation changed that, it counts as not there (C1)."""

    ROUND = "the round's number"
    START = "the round's step and parent"
    SET = "the frozen set and the updates in it"
    STUDY = "the study"
    MODEL = "the model's hash"
    EFFECT = "the effect's name"
    RECEIVER = "the hook's receiver"
    STEP = "the ceremony's step"
    CEREMONY = "the ceremony"
    CEREMONY_EFFECT = "the ceremony and the effect's name"


class Goes(Enum):
    """When an entry goes. A round is forgotten once it has ended, and its end is so deep in the chain that it counts as final."""

    FORGOTTEN = "when its round is forgotten"
    ADOPTED = "when its round's model is adopted, else when its round is forgotten"
    LATER = "when its round is forgotten and two newer ones are there"
    COUNTED = "when its round is forgotten, unless it is the newest that counted and the study goes on"
    UNUSED = "when neither the newest model nor a round that is not forgotten needs it"
    MINED = "when its round is forgotten and the account's nonce is past it"
    WHOLE = "when its round is forgotten, unless it names some"
    DELIVERED = "once it is deep in the chain and all before it is delivered"
    STAYS = "with the study's folder"
    ENDED = "with the ceremony's folder"


class Codec(Protocol[T]):
    def dump(self, value: T) -> bytes: ...

    def load(self, raw: bytes) -> T: ...


class _Json:
    def dump(self, value: dict[str, Any]) -> bytes:
        return json.dumps(value, sort_keys=True).encode()

    def load(self, raw: bytes) -> dict[str, Any]:
        return dict(json.loads(raw))


class _Bytes:
    def dump(self, value: bytes) -> bytes:
        return value

    def load(self, raw: bytes) -> bytes:
        return raw


JSON: Codec[dict[str, Any]] = _Json()
BYTES: Codec[bytes] = _Bytes()
_EFFECTS = "privacy|commit|reveal|attest-set|aggregate|wrong-product|share|dispute|part|opening|model|advance"
# With the kind's name in the place of NAME.
_KEYS = {
    Filed.ROUND: r"round/(?P<round>\d+)/NAME",
    Filed.START: r"round/(?P<round>\d+)/[0-9a-f]{16}/NAME",
    Filed.SET: r"round/(?P<round>\d+)/[0-9a-f]{16}/NAME",
    Filed.STUDY: r"study/NAME",
    Filed.MODEL: r"NAME/[0-9a-f]{64}",
    Filed.EFFECT: rf"round/(?P<round>\d+)/(?:come-back|(?:{_EFFECTS})/.+)|study/\d+/open/(?P<before>\d+)|restored/\w+",
    Filed.RECEIVER: r"NAME/[0-9a-f]{32}(?:/.+)?",
    Filed.STEP: r"step/\d+/NAME",
    Filed.CEREMONY: r"ceremony/NAME",
    Filed.CEREMONY_EFFECT: r"ceremony/\d+/(?:post/\d+|expire|complain|seed|propose|confirm|reject)",
}


@dataclass(frozen=True)
class Kind(Generic[T]):
    """One kind of journal entry. With `parts`, an entry's key ends in the name of one of several of its kind. What is `late` may be written
    of a forgotten round, too."""

    name: str
    filed: Filed
    codec: Codec[T]
    holds: str
    reader: str
    goes: Goes
    why: str
    parts: bool = False
    late: bool = False

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        return re.compile(_KEYS[self.filed].replace("NAME", self.name) + (r"/\w+" if self.parts else ""), re.DOTALL)

    def round_of(self, key: str) -> int | None:
        """The round that an entry of this kind is of; None for one of the study."""
        found = self.pattern.fullmatch(key)
        numbers = [number for number in found.groupdict().values() if number is not None] if found else []
        return int(numbers[0]) if numbers else None


_REDONE = "it was for a step of the round; the node takes none in a round that it has forgotten"

UPDATE = Kind("update", Filed.START, JSON, "root, CID, proof hash and salt of the own update", "commit, reveal", Goes.FORGOTTEN, _REDONE)
UPDATE_BLOB = Kind(
    "update-blob", Filed.START, BYTES, "the own update, encrypted and proven", "reveal, checking", Goes.ADOPTED, "the own IPFS node has it"
)
KEEP = Kind(
    "keep",
    Filed.START,
    BYTES,
    "what training needs of the round before: SCAFFOLD's own control variate, in plaintext",
    "training",
    Goes.COUNTED,
    "older ones, and those of void rounds, are never trained from; with the one before it gives the plaintext update",
    parts=True,
)
SITS_OUT = Kind(
    "sits-out", Filed.START, JSON, "that and why the node sits the round out", "decide", Goes.LATER, "of older ones nobody asks"
)
PUBLISHED = Kind(
    "published",
    Filed.START,
    JSON,
    "that the own update left the node",
    "the privacy budget",
    Goes.STAYS,
    "without it the round's charge would be free again",
)
CHECKED = Kind("checked", Filed.START, JSON, "what was found of each revealed update", "attest", Goes.FORGOTTEN, _REDONE)
AGGREGATE = Kind("aggregate", Filed.SET, JSON, "root and CID of the own product", "release, posting", Goes.FORGOTTEN, _REDONE)
AGGREGATE_BLOB = Kind("aggregate-blob", Filed.SET, BYTES, "the own product", "shares, openings", Goes.ADOPTED, "updates give it again")
WEIGHED_PRODUCTS = Kind("weighed-products", Filed.SET, JSON, "which products of others were looked at", "decide", Goes.FORGOTTEN, _REDONE)
RELEASE = Kind(
    "release",
    Filed.ROUND,
    JSON,
    "the set and product that the one release was for",
    "release (P5)",
    Goes.STAYS,
    "it refuses a second release for ever, as does `forgotten`",
)
SHARE = Kind("share", Filed.ROUND, JSON, "root, CID and proof hash of the own share", "release", Goes.FORGOTTEN, _REDONE)
SHARE_BLOB = Kind("share-blob", Filed.ROUND, BYTES, "the own share and its proof", "release", Goes.ADOPTED, "the own IPFS node has it")
WITHHELD = Kind("withheld", Filed.SET, JSON, "that the one release was for another product", "decide", Goes.FORGOTTEN, _REDONE)
WEIGHED_SHARES = Kind("weighed-shares", Filed.SET, JSON, "which accused shares were looked at", "decide", Goes.FORGOTTEN, _REDONE)
REFUSED_SHARES = Kind("refused-shares", Filed.SET, JSON, "which shares are wrong", "combining", Goes.FORGOTTEN, _REDONE)
COMBINING = Kind("combining", Filed.SET, JSON, "which shares were too few to combine", "decide", Goes.FORGOTTEN, _REDONE)
PART = Kind("part", Filed.SET, JSON, "root and CID of the own part of the opening", "posting", Goes.FORGOTTEN, _REDONE)
PARTS = Kind("parts", Filed.SET, JSON, "that posted parts do not hold", "decide", Goes.FORGOTTEN, _REDONE)
OPENINGS = Kind("openings", Filed.SET, JSON, "which posted openings were looked at", "decide", Goes.FORGOTTEN, _REDONE)
OPENING = Kind("opening", Filed.SET, JSON, "root and CID of the opening that holds", "posting, attesting", Goes.FORGOTTEN, _REDONE)
MODEL = Kind("model", Filed.SET, JSON, "hash and CID of the model that follows", "attesting, adopting", Goes.FORGOTTEN, _REDONE)
ADOPTED = Kind(
    "adopted",
    Filed.ROUND,
    JSON,
    "that the round's model was adopted, and whether training stopped",
    "decide",
    Goes.LATER,
    "of older ones nobody asks",
    late=True,
)
PINS = Kind(
    "pins",
    Filed.ROUND,
    JSON,
    "the CIDs that the node pinned of the round, by kind of blob",
    "forgetting",
    Goes.FORGOTTEN,
    "what is not kept of the round is unpinned by then; what is kept follows from the chain",
    late=True,
)
KEPT = Kind(
    "kept",
    Filed.SET,
    JSON,
    "which blobs of the finalised round are lacking, and which are not what they should be",
    "keeping, letting go",
    Goes.WHOLE,
    "without it all that the chain names of the round is pinned",
    late=True,
)
MODEL_BYTES = Kind("model-bytes", Filed.MODEL, BYTES, "a global model", "training, opening", Goes.UNUSED, "any other is on IPFS")
CHARGED = Kind(
    "privacy",
    Filed.STUDY,
    JSON,
    "the rounds that were charged to the privacy budget",
    "the privacy budget",
    Goes.STAYS,
    "the budget is the study's",
)
FORGOTTEN = Kind(
    "forgotten",
    Filed.STUDY,
    JSON,
    "up to which round all are forgotten",
    "every step of a round",
    Goes.STAYS,
    "it refuses every step in these rounds for ever",
)
LACKING = Kind("lacking", Filed.STUDY, JSON, "the finalised rounds of which blobs are lacking", "keeping", Goes.STAYS, "one entry")
LET_GO = Kind(
    "let-go",
    Filed.STUDY,
    JSON,
    "that the retention is over and the study's blobs are unpinned, up to which round",
    "keeping",
    Goes.STAYS,
    "one entry; it goes if a study that seemed to stand still goes on",
)
RESTORED = Kind(
    "restored",
    Filed.STUDY,
    JSON,
    "that the journal is from a backup, and up to which round it does not know what the node did (C7)",
    "every step of a round",
    Goes.STAYS,
    "in these rounds nothing leaves the node for ever",
)
TRANSACTION = Kind(
    "transaction",
    Filed.EFFECT,
    JSON,
    "a signed transaction, by the name of its effect",
    "sending (C2)",
    Goes.MINED,
    "no step asks for the effect again, and the chain takes no transaction of a nonce that was used",
)
HOOK = Kind(
    "hook",
    Filed.RECEIVER,
    JSON,
    "from which block on a receiver gets events, and which arrived",
    "hooks",
    Goes.DELIVERED,
    "events up to that block are not told again",
)
MESSAGE = Kind(
    "message",
    Filed.STEP,
    JSON,
    "hash and CID of the own message",
    "posting (D3)",
    Goes.ENDED,
    "it refuses another message in this step for ever",
)
HELD = Kind("held", Filed.STEP, JSON, "the CIDs of messages that are right, and pinned", "letting go", Goes.ENDED, "few a step")
DIVERGED = Kind(
    "diverged",
    Filed.CEREMONY,
    JSON,
    "since when chain and journal disagree on what this holder posted",
    "every step of a ceremony",
    Goes.ENDED,
    "nothing is sent in this ceremony any more",
)
ACTIVE = Kind(
    "active",
    Filed.CEREMONY,
    JSON,
    "that the ceremony's key was seen active",
    "publishing the seed",
    Goes.ENDED,
    "the seed is never published then, whatever a reorganisation makes of it",
)
CEREMONY_TRANSACTION = Kind(
    "ceremony-transaction",
    Filed.CEREMONY_EFFECT,
    JSON,
    "a signed transaction of a ceremony",
    "sending (C2)",
    Goes.ENDED,
    "a few per step",
)

KINDS: tuple[Kind[Any], ...] = (
    *(UPDATE, UPDATE_BLOB, KEEP, SITS_OUT, PUBLISHED, CHECKED),
    *(AGGREGATE, AGGREGATE_BLOB, WEIGHED_PRODUCTS, RELEASE, SHARE, SHARE_BLOB, WITHHELD, WEIGHED_SHARES, REFUSED_SHARES),
    *(COMBINING, PART, PARTS, OPENINGS, OPENING, MODEL, ADOPTED, PINS, KEPT),
    *(MODEL_BYTES, CHARGED, FORGOTTEN, LACKING, LET_GO, RESTORED, TRANSACTION, HOOK),
    *(MESSAGE, HELD, DIVERGED, ACTIVE, CEREMONY_TRANSACTION),
)


def kind_of(key: str) -> Kind[Any] | None:
    """The kind that an entry of this key is of; None for what no kind declares."""
    return next((kind for kind in KINDS if kind.pattern.fullmatch(key)), None)


class Pinned(Enum):
    """When a pinned blob goes. Study's end and retention: `retention.end_of`, `StudySpec.retention_days`."""

    RETAINED = "the retention after the study's end; of a void round, and where the sum is without it, when the round is forgotten"
    FORGOTTEN = "when its round is forgotten"
    AGREED = "the retention after the study's end, unless another study here rests on it"
    CEREMONY = "when the ceremony has ended, finally"


@dataclass(frozen=True)
class Blob:
    """One kind of pinned blob, and who reads it."""

    name: str
    holds: str
    reader: str
    goes: Pinned


BLOBS = (
    Blob("update", "an organisation's encrypted update with its proof", "key holders, auditors", Pinned.RETAINED),
    Blob("aggregate", "the product of the set", "who weighs products, auditors", Pinned.RETAINED),
    Blob("share", "a key holder's share of the sum with its proof", "who combines, auditors", Pinned.RETAINED),
    Blob("opening part", "a part of the opened sum", "who opens the sum", Pinned.FORGOTTEN),
    Blob("opening", "the opened sum", "everyone", Pinned.RETAINED),
    Blob("model", "a global model", "everyone", Pinned.RETAINED),
    Blob("spec", "what was agreed", "everyone", Pinned.AGREED),
    Blob("key transcript", "the key and its verification keys", "everyone", Pinned.AGREED),
    Blob("ceremony message", "a holder's message of a step of a ceremony without a dealer", "its holders", Pinned.CEREMONY),
)
