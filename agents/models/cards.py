"""Model cards: what a model file is and where it comes from, as one canonical JSON document made of the chain's and the spec's facts."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cache, cached_property
from importlib.resources import files
from typing import Any

from defedbio import foreign_json
from defedbio.chain.events import block_time
from defedbio.chain.parse import to_hex
from defedbio.chain.signing import CardStatement
from defedbio.crypto.merkle import keccak256
from defedbio.errors import InvalidInput
from defedbio.learning.parameters import count
from defedbio.learning.quantisation import update_range
from defedbio.learning.state import genesis
from defedbio.models.registry import Measured, Model, Tuning, lineage
from defedbio.protocol.reading import Reader
from defedbio.protocol.view import RoundView, StudyView
from defedbio.spec import StudySpec

FORMAT = "defedbio-model-card/1"
MODEL_FORMAT = "defedbio-model/1"
MAX_CARD_BYTES = 1 << 25


@dataclass(frozen=True)
class Card:
    """`raw` is the document's one canonical form; it obeys model-card.schema.json."""

    raw: bytes
    document: dict[str, Any]

    @classmethod
    def make(cls, document: dict[str, Any]) -> Card:
        """Raises InvalidInput for what is no card, such as one with a metric that is no number."""
        try:
            raw = _canonical(document)
        except ValueError:
            raise InvalidInput("a number in the model card is not finite", "the model's metrics are not: look at its losses") from None
        return cls.from_bytes(raw)

    @classmethod
    def from_bytes(cls, raw: bytes) -> Card:
        """Raises InvalidInput for what is no card in canonical form."""
        document = foreign_json.read(raw, "the model card", MAX_CARD_BYTES)
        _schema().check(document, "the model card")
        if _canonical(document) != raw:
            raise InvalidInput("the model card is not in canonical form", "it was changed after it was written")
        return cls(raw, document)

    @property
    def file(self) -> dict[str, Any]:
        return dict(self.document["file"])

    @property
    def chain(self) -> dict[str, Any]:
        return dict(self.document["chain"])

    @property
    def tuned(self) -> bool:
        return self.document["tuning"] is not None

    @property
    def tuning(self) -> Tuning | None:
        return Tuning(**self.document["tuning"]) if self.tuned else None

    @property
    def is_export(self) -> bool:
        return bool(self.file["format"] != MODEL_FORMAT)

    def name_of(self, address: str) -> str:
        """What the address said its name is; "" if nothing."""
        return str(self.document["names"].get(address, ""))

    @cached_property
    def statement(self) -> CardStatement:
        """What a signature under this card is over."""
        chain = self.chain
        file = bytes.fromhex(self.file["keccak256"][2:])
        return CardStatement(chain["chain_id"], chain["round_manager"], chain["study"], chain["round"], file, keccak256(self.raw))

    def check_file(self, raw: bytes) -> None:
        """Raises InvalidInput unless these are the bytes that the card is about, and it says the same of them everywhere."""
        file = self.file
        if (len(raw), to_hex(hashlib.sha256(raw).digest()), to_hex(keccak256(raw))) != (file["bytes"], file["sha256"], file["keccak256"]):
            raise InvalidInput(
                "the file is not the one that its card names: another hash", "one of the two was changed; fetch the model again"
            )
        if not self.is_export and file["source"] != file["keccak256"]:
            raise InvalidInput("the card says that the file is a model and the export of another one")
        if not self.tuned and file["source"] != self.chain["model"]["keccak256"]:
            raise InvalidInput("the card says that the file is a round's model, and names another hash for that round")


def make_card(connection: Reader, model: Model, raw: bytes, format_: str, metrics: Measured | None) -> Card:
    """The card of a file `raw` of this format: the model's own bytes, or an export of it.

    Raises:
        InvalidInput: for a model whose round is not known.
    """
    if model.view is None:
        raise InvalidInput("nobody vouches for this model: it gets no card")
    chain = chain_facts(connection, model.study, model.view)
    return Card.make(
        {
            "format": FORMAT,
            "file": {
                "format": format_,
                "bytes": len(raw),
                "sha256": to_hex(hashlib.sha256(raw).digest()),
                "keccak256": to_hex(keccak256(raw)),
                "source": to_hex(model.hash),
            },
            "chain": chain,
            "study": study_facts(model.spec),
            "names": {address: connection.name_of(address) for address in named(chain)},
            "metrics": metrics_facts(metrics),
            "tuning": None if model.tuning is None else asdict(model.tuning),
        }
    )


def chain_facts(connection: Reader, study: StudyView, view: RoundView) -> dict[str, Any]:
    """A card's `chain`: what the chain says of a finalised round, the same whenever and by whomever it is asked."""
    final, network = connection.finalisation(view.id), connection.client.network
    ancestors = lineage(study, view)
    return {
        "chain_id": network.chain_id,
        "round_manager": network.contracts["RoundManager"],
        "study": study.id,
        "coordinator": study.coordinator,
        "spec_hash": to_hex(study.spec_hash),
        "spec_cid": study.spec_cid,
        "key_epoch": study.key_epoch,
        "threshold": connection.keys.epoch_of(study.key_epoch).threshold,
        "round": view.id,
        "step": view.step,
        "model": {"cid": view.model_cid, "keccak256": to_hex(view.model_hash)},
        "finalised": {
            "block": final.meta.block,
            "block_hash": to_hex(final.meta.block_hash),
            "transaction": to_hex(final.meta.tx_hash),
            "time": block_time(connection.client, final),
        },
        "attested_by": attestors(view),
        "organisations": [_organisation(study, view, ancestors, position) for position in range(len(study.participants))],
        "lineage": [
            {"round": v.id, "step": v.step, "cid": v.model_cid, "keccak256": to_hex(v.model_hash), "organisations": len(v.frozen)}
            for v in ancestors
        ],
    }


def named(chain: Mapping[str, Any]) -> list[str]:
    """The addresses of which a card with this `chain` gives the names: those with a part in the model."""
    return list(dict.fromkeys([chain["coordinator"], *chain["attested_by"], *(o["address"] for o in chain["organisations"])]))


def metrics_facts(found: Measured | None) -> dict[str, Any] | None:
    """A card's `metrics`: what the sum of a round says of the model, or why it says nothing."""
    if found is None:
        return None
    return {"round": found.round, "values": found.values} | ({"unusable": found.unusable} if found.unusable else {})


def attestors(view: RoundView) -> list[str]:
    """The holders that attested to the round's final opening and model, in the order in which they did."""
    final = (view.opening_root, view.model_hash)
    return list(dict.fromkeys(a.holder for a in view.attestations if (a.opening_root, a.model_hash) == final))


def study_facts(spec: StudySpec) -> dict[str, Any]:
    """A card's `study`: what the spec says, as far as readers of a card need it."""
    training, privacy = spec.training, spec.privacy
    model = spec.model
    shape = " ".join(map(str, model.hidden or model.channels))
    named = {"module": f"module {model.module} (sha256 {model.sha256})"}.get(model.kind, " ".join(filter(None, (model.kind, shape))))
    return {
        "name": spec.name,
        "description": spec.description,
        "task": {
            "kind": spec.task.kind,
            "columns": list(spec.task.columns),
            "scores": list(spec.task.score_names),
            "unit": getattr(spec.task, "unit", ""),
        },
        "features": {"kind": spec.features.kind, "width": spec.features.width, "standardised": spec.standardise},
        "model": {"architecture": named, "parameters": count(spec)},
        "training": {
            "rounds": spec.rounds,
            "steps": training.steps,
            "batch_size": training.batch_size,
            "optimizer": training.optimizer,
            "learning_rate": training.learning_rate,
            "strategy": spec.strategy.kind,
            "clip_norm": update_range(spec).most,
            "weighting": "equal" if spec.uniform_weights else f"by sample count up to {spec.weight_cap}",
            "minimum": spec.minimum,
            "modulus_bits": spec.modulus_bits,
        },
        "privacy": privacy
        and {
            "kind": privacy.kind,
            "noise_multiplier": privacy.noise_multiplier,
            "epsilon": privacy.epsilon,
            "delta": privacy.delta,
        },
        "genesis": to_hex(keccak256(genesis(spec).to_bytes())),
    }


def _organisation(study: StudyView, view: RoundView, ancestors: list[RoundView], position: int) -> dict[str, Any]:
    """Losses that count are those declared by then, in rounds that ended in a model and in those that did not (S6)."""
    address = study.participants[position]
    declared = [r.privacy[address] for r in study.rounds.values() if r.id <= view.id and address in r.privacy]
    return {
        "address": address,
        "in_set": position in view.frozen,
        "rounds": sum(position in v.frozen for v in ancestors),
        "epsilon": max((p.epsilon_total for p in declared), default=None),
        "delta": max((p.delta for p in declared), default=None),
    }


def _canonical(document: dict[str, Any]) -> bytes:
    """ASCII: others' words in it cannot steer a terminal."""
    return (json.dumps(document, indent=1, sort_keys=True, ensure_ascii=True, allow_nan=False) + "\n").encode("ascii")


@cache
def _schema() -> foreign_json.Schema:
    return foreign_json.Schema(files("defedbio.models").joinpath("model-card.schema.json").read_text("utf-8"))
