"""Whether a model file is what its card says, who signed the card, and whether the chain says the same."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from math import isclose
from pathlib import Path

from defedbio import foreign_json
from defedbio.chain.signing import card_signer
from defedbio.errors import BlobMismatch, BlobUnavailable, InvalidInput, NotFound, PeerFault, StoreUnreachable
from defedbio.models.cards import MAX_CARD_BYTES, Card, chain_facts, named, study_facts
from defedbio.models.registry import measured
from defedbio.protocol.reading import Reader
from defedbio.protocol.verify import Check
from defedbio.protocol.view import StudyView

CARD, PAGE, SIGNATURE = ".card.json", ".card.md", ".card.sig.json"
SIGNATURE_FORMAT = "defedbio-card-signature/1"
MAX_SIGNATURE_BYTES = 1 << 16
CHECKED, UNVERIFIED, WRONG = "checked", "unverified", "wrong"
# Relative: sums of a few numbers, made by another machine or version.
SAME_NUMBER = 1e-9


@dataclass(frozen=True)
class CardReport:
    """A card and what was found of it; `signer` is empty without a signature that holds. `notes` say what was not compared.

    `standing` says of every part of the card whose word it is: "checked", "the word of 0x…", "unverified", or "wrong". Nothing of a card
    is to be shown without it. `file` is the file's hashes and size; `made` is that a file which is no round's model, tuned or exported,
    was made of that model.
    """

    card: Card
    signer: str
    checks: tuple[Check, ...]
    standing: Mapping[str, str]
    notes: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        return all(check.ok for check in self.checks)


def verify_card(file: Path, connection: Reader | None = None, signers: Collection[str] = ()) -> CardReport:
    """Check a model file against its card, the card's signature, and the chain's record if there is a connection.

    Somebody must vouch for the file: the chain for a round's own model; for what was tuned or exported, and for everything without a
    connection, whoever signed the card.

    Args:
        file: the model, or its card.
        signers: whose signature counts. If empty, a member's, or without a connection anybody's: read who it was.

    Raises:
        NotFound: without file or card. InvalidInput: for a card that cannot be read. ChainUnreachable.
    """
    file = file.with_name(file.name.removesuffix(CARD)) if file.name.endswith(CARD) else file
    card = read_card(file)
    if card is None:
        raise NotFound(f"{file} has no card beside it", "`defedbio model get` writes one")
    checks = [_file_check(file, card)]
    signer = ""
    try:
        signer = check_signature(file, card)
        checks.append(_signer_check(connection, card, signer, signers))
    except InvalidInput as error:
        checks.append(Check("signature", False, error.message))
    word = f"the word of {signer}" if signer and checks[-1].ok and _counts(connection, signer, signers) else UNVERIFIED
    parts = ["chain", "study", "names", "metrics", *(["tuning"] if card.tuned else []), *(["made"] if card.tuned or card.is_export else [])]
    standing = {"file": CHECKED if checks[0].ok else WRONG} | dict.fromkeys(parts, word)
    if connection is None:
        return CardReport(card, signer, tuple(checks), standing, ("the chain was not asked",))
    checks.append(_chain_check(connection, card, signer))
    if not checks[-1].ok:
        # Of which study and round the rest is to be true, only the chain says.
        return CardReport(card, signer, tuple(checks), standing | dict.fromkeys(parts, UNVERIFIED) | {"chain": WRONG})
    standing["chain"], notes = CHECKED, []
    for part, compare in (("study", _study_check), ("names", _names_check), ("metrics", _metrics_check)):
        try:
            found = compare(connection, card, signer)
        except (BlobUnavailable, StoreUnreachable, PeerFault) as error:
            notes.append(f"{part}: {standing[part]}, it could not be compared: {error.message}")
            if standing[part] == UNVERIFIED:
                checks.append(Check(part, False, f"nobody vouches for it, and it could not be compared: {error.message}"))
        else:
            checks.append(found)
            standing[part] = CHECKED if found.ok else WRONG
    return CardReport(card, signer, tuple(checks), standing, tuple(notes))


def read_card(file: Path) -> Card | None:
    """The card beside a model file; None if there is none.

    Raises:
        InvalidInput: for what is no card.
    """
    path = file.with_name(file.name + CARD)
    return Card.from_bytes(read_file(path, MAX_CARD_BYTES)) if path.exists() else None


def check_signature(file: Path, card: Card) -> str:
    """Who signed the card beside the file; "" if nobody.

    Raises:
        InvalidInput: if the signature is not that of the account that it names, or for another card, chain or contract.
    """
    path = file.with_name(file.name + SIGNATURE)
    if not path.exists():
        return ""
    try:
        document = foreign_json.read_object(read_file(path, MAX_SIGNATURE_BYTES), str(path), MAX_SIGNATURE_BYTES)
        found, signer, signature = document["typed_data"], str(document["signer"]), bytes.fromhex(document["signature"].removeprefix("0x"))
        domain, message = dict(found["domain"]), dict(found["message"])
    except (ValueError, KeyError, TypeError, AttributeError):
        raise InvalidInput(f"{path} is no signature of a model card") from None
    wanted = card.statement.typed_data()
    for what, name in (("chain", "chainId"), ("contract", "verifyingContract")):
        if domain.get(name) != wanted["domain"][name]:
            raise InvalidInput(f"the signature is for {what} {str(domain.get(name))[:80]!r}, and the card for {wanted['domain'][name]}")
    if message != wanted["message"]:
        raise InvalidInput("the signature is under another card", "the card was changed after it was signed, or the files were mixed up")
    if found != wanted or document.get("format") != SIGNATURE_FORMAT:
        raise InvalidInput(f"{path} has a form that this version does not read")
    made_by = card_signer(card.statement, signature)
    if made_by.lower() != signer.lower():
        raise InvalidInput(f"the signature is not that of {signer[:80]!r}, whom it names: {made_by} made it")
    return made_by


def check_chain(connection: Reader, study: StudyView, card: Card, signer: str = "") -> None:
    """Compare a card with what the chain says now; `signer` is who signed it.

    Raises:
        InvalidInput: for a card of another chain or contract, or an unsigned one that contradicts the chain.
        BlobMismatch: for a signed one that does, with the signer to blame.
    """
    network, claimed = connection.client.network, card.chain
    ours = (network.chain_id, network.contracts["RoundManager"].lower())
    if (claimed["chain_id"], claimed["round_manager"].lower()) != ours:
        raise InvalidInput(
            f"the card is of chain {claimed['chain_id']}, RoundManager {claimed['round_manager']}: this network is another one",
            "name the card's own network with --network",
        )
    view = study.rounds.get(claimed["round"])
    if view is None or not view.model_hash:
        raise _contradicted(f"round {claimed['round']} of study {claimed['study']} has no model on the chain", signer)
    facts = chain_facts(connection, study, view)
    wrong = sorted(name for name in facts if facts[name] != claimed[name])
    if wrong:
        raise _contradicted(f"the card and the chain differ in {', '.join(wrong)}", signer)


def read_file(path: Path, limit: int) -> bytes:
    """Raises NotFound for no file, InvalidInput for one that is longer than `limit` bytes or cannot be read."""
    try:
        with path.open("rb") as stream:
            raw = stream.read(limit + 1)
    except FileNotFoundError:
        raise NotFound(f"no file at {path}") from None
    except OSError as error:
        raise InvalidInput(f"{path} cannot be read: {type(error).__name__}") from None
    if len(raw) > limit:
        raise InvalidInput(f"{path} is longer than the {limit} bytes it may have")
    return raw


def _file_check(file: Path, card: Card) -> Check:
    try:
        card.check_file(read_file(file, card.file["bytes"]))
    except NotFound:
        raise
    except InvalidInput as error:
        return Check("file", False, error.message)
    return Check("file", True, f"{card.file['bytes']:,} bytes with the card's sha256 and keccak256")


def _signer_check(connection: Reader | None, card: Card, signer: str, signers: Collection[str]) -> Check:
    on_chain = connection is not None and not card.tuned and not card.is_export
    if not signer:
        detail = "the card is not signed" + ("" if on_chain else ", and the chain does not vouch for this file")
        return Check("signature", on_chain and not signers, detail)
    detail = f"by {signer}"
    if connection is not None and (name := connection.name_of(signer)):
        detail += f", which calls itself {name!r}"
    if _counts(connection, signer, signers):
        return Check("signature", True, detail)
    if signers:
        return Check("signature", False, detail + ": not whose signature was asked for")
    return Check("signature", on_chain, detail + ": no member of this network")


def _chain_check(connection: Reader, card: Card, signer: str) -> Check:
    try:
        check_chain(connection, connection.study_view(card.chain["study"]), card, signer)
    except InvalidInput as error:
        return Check("chain", False, error.message)
    except PeerFault as error:
        return Check("chain", False, error.message, error.peer)
    count, needed = len(card.chain["attested_by"]), card.chain["threshold"]
    detail = f"round {card.chain['round']} is as the card says: {count} key holders attested to its model, {needed} needed"
    return Check("chain", count >= needed, detail)


def _study_check(connection: Reader, card: Card, signer: str) -> Check:
    _, spec = connection.spec(card.chain["study"])
    claimed = card.document["study"]
    wrong = sorted(name for name, fact in study_facts(spec).items() if claimed[name] != fact)
    detail = f"the card and the spec differ in {', '.join(wrong)}" if wrong else "the card says of the study what its spec says"
    return Check("study", not wrong, detail, signer if wrong else "")


def _counts(connection: Reader | None, signer: str, signers: Collection[str]) -> bool:
    """Whether this signer's word is one: asked for by name, or a member's; without a connection the reader must know who it is."""
    if signers:
        return signer.lower() in {address.lower() for address in signers}
    return connection is None or connection.registry.is_member(signer)


def _names_check(connection: Reader, card: Card, signer: str) -> Check:
    """Each name is one that its owner gave itself on the chain, now or before; no name at all is no claim."""
    claimed = {address: name for address, name in card.document["names"].items() if name}
    known = connection.names_of(claimed) if claimed else {}
    wrong = sorted(address for address, name in claimed.items() if name not in known[address])
    strangers = sorted(claimed.keys() - set(named(card.chain)))
    if wrong or strangers:
        what = f"{wrong[0]} never called itself what the card says" if wrong else f"{strangers[0]} has no part in this model"
        return Check("names", False, what, signer)
    return Check(
        "names", True, f"{len(claimed)} names are those that organisations gave themselves on the chain; nobody else vouches for them"
    )


def _metrics_check(connection: Reader, card: Card, signer: str) -> Check:
    """The metrics are those that the chain's models give; a card from before they were measured has none, and claims nothing."""
    claimed, chain = card.document["metrics"], card.chain
    if claimed is None:
        return Check("metrics", True, "the card names none")
    study = connection.study_view(chain["study"])
    found = measured(connection.fetcher(connection.frame(study.id)), study, study.rounds[chain["round"]])
    if found is None or found.round != claimed["round"]:
        return Check("metrics", False, f"no sum of round {claimed['round']} measures this model", signer)
    if found.unusable and "unusable" not in claimed:
        return Check("metrics", False, f"the card has metrics where the sum gives none: {found.unusable}", signer)
    wrong = sorted(name for name, value in claimed["values"].items() if not _same(value, found.values.get(name)))
    if wrong:
        return Check("metrics", False, f"the sum of round {found.round} gives another {', '.join(wrong)[:200]}", signer)
    return Check("metrics", True, f"recomputed from the sum in round {found.round}'s model")


def _same(claimed: float | None, found: float | None) -> bool:
    if claimed is None or found is None:
        return claimed is found
    return isclose(claimed, found, rel_tol=SAME_NUMBER, abs_tol=SAME_NUMBER)


def _contradicted(message: str, signer: str) -> InvalidInput | BlobMismatch:
    """Who signs what is not so is at fault; without a signature nobody knows who changed the card."""
    return BlobMismatch(message, f"ask {signer}, who signed the card", signer) if signer else InvalidInput(message, "the card was changed")
