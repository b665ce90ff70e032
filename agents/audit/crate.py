"""Where every model comes from: RO-Crate 1.1 metadata with W3C PROV-O terms (entities, activities, agents)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from defedbio.audit.blobs import blob_name
from defedbio.audit.bundle import CRATE, canonical
from defedbio.audit.evidence import Evidence, moment
from defedbio.protocol.evidence import round_blobs
from defedbio.protocol.view import RoundView
from defedbio.text import printable

Entity = dict[str, Any]
CONTEXT: list[Any] = [
    "https://w3id.org/ro/crate/1.1/context",
    {
        "prov": "http://www.w3.org/ns/prov#",
        "sha256": "https://w3id.org/ro/terms/defedbio#sha256",
        "keccak256": "https://w3id.org/ro/terms/defedbio#keccak256",
    },
]
GENESIS = "#genesis"


def crate(evidence: Evidence) -> bytes:
    """JSON-LD. Files of the bundle are entities by their path, blobs that are not in it by ipfs:// and their CID."""
    graph = [_descriptor(), _root(evidence), *_files(evidence), *_agents(evidence), _genesis(evidence)]
    for view in evidence.record.view.finalised:
        graph += _round(evidence, view)
    return canonical({"@context": CONTEXT, "@graph": _merged(graph)})


def blob_iri(evidence: Evidence, cid: str) -> str:
    return blob_name(cid) if blob_name(cid) in evidence.manifest.files else f"ipfs://{printable(cid)}"


def _descriptor() -> Entity:
    return {
        "@id": CRATE,
        "@type": "CreativeWork",
        "about": _ref("./"),
        "conformsTo": _ref("https://w3id.org/ro/crate/1.1"),
    }


def _root(evidence: Evidence) -> Entity:
    spec, view = evidence.frame.spec, evidence.record.view
    return {
        "@id": "./",
        "@type": "Dataset",
        "name": f"Evidence of study {view.id}: {printable(spec.name)}",
        "description": f"Events with proofs, blobs and models of study {view.id} as of block {evidence.anchor.number} "
        f"(0x{evidence.anchor.hash.hex()}) of chain {evidence.network.chain_id}",
        "datePublished": _iso(evidence.anchor.timestamp),
        "license": "None granted: evidence for those to whom it is given",
        "hasPart": [_ref(name) for name in _data(evidence)],
    }


def _data(evidence: Evidence) -> list[str]:
    return sorted(name for name in evidence.manifest.files if name.startswith(("chain/", "blobs/")))


def _files(evidence: Evidence) -> Iterator[Entity]:
    for name in _data(evidence):
        digest, size = evidence.manifest.files[name]
        yield {"@id": name, "@type": ["File", "prov:Entity"], "name": name, "contentSize": str(size), "sha256": digest}


def _agents(evidence: Evidence) -> Iterator[Entity]:
    for person in evidence.record.people:
        name = printable(evidence.record.name_of(person)) or person
        yield {"@id": _agent(person), "@type": ["Organization", "prov:Agent", "prov:Organization"], "name": name, "identifier": person}


def _genesis(evidence: Evidence) -> Entity:
    return {
        "@id": GENESIS,
        "@type": ["CreativeWork", "prov:Entity"],
        "name": "First model, which follows from the spec's architecture and seed",
        "prov:wasDerivedFrom": [_ref(blob_iri(evidence, evidence.record.view.spec_cid))],
    }


def _round(evidence: Evidence, view: RoundView) -> Iterator[Entity]:
    record, activity = evidence.record, f"#round-{view.id}"
    parent = GENESIS if view.parent == 0 else blob_iri(evidence, record.view.rounds[view.parent].model_cid)
    updates = [(reveal, blob_iri(evidence, reveal.cid)) for reveal in view.frozen_reveals()]
    holders = [a.holder for a in view.attestations if a.model_hash == view.model_hash]
    people = dict.fromkeys((*(reveal.participant for reveal, _ in updates), *holders))
    times = [evidence.headers[e.meta.block].timestamp for e in evidence.within(view)]
    yield {
        "@id": activity,
        "@type": ["CreateAction", "prov:Activity"],
        "name": f"Round {view.id}: {evidence.frame.step(view).kind}",
        "startTime": _iso(min(times)),
        "endTime": _iso(max(times)),
        "agent": [_ref(_agent(person)) for person in people],
        "object": [_ref(parent), *(_ref(iri) for _, iri in updates)],
        "result": [_ref(blob_iri(evidence, view.model_cid))],
        "prov:used": [_ref(parent), *(_ref(iri) for _, iri in updates)],
        "prov:wasAssociatedWith": [_ref(_agent(person)) for person in people],
        "prov:startedAtTime": _iso(min(times)),
        "prov:endedAtTime": _iso(max(times)),
    }
    yield {
        "@id": blob_iri(evidence, view.model_cid),
        "@type": ["File", "prov:Entity"],
        "name": f"Model of round {view.id}",
        "encodingFormat": "application/vnd.safetensors",
        "keccak256": view.model_hash.hex(),
        "prov:wasGeneratedBy": [_ref(activity)],
        "prov:wasDerivedFrom": [_ref(parent), *(_ref(iri) for _, iri in updates)],
        "prov:wasAttributedTo": [_ref(_agent(holder)) for holder in holders],
    }
    for reveal, iri in updates:
        yield {
            "@id": iri,
            "@type": ["File", "prov:Entity"],
            "name": f"Encrypted update of {evidence.who(reveal.participant)} in round {view.id}",
            "prov:wasAttributedTo": [_ref(_agent(reveal.participant))],
            "prov:wasDerivedFrom": [_ref(parent)],
        }
    named = {reveal.cid for reveal, _ in updates} | {view.model_cid}
    for wanted in round_blobs(evidence.frame, view):
        if wanted.cid not in named and blob_name(wanted.cid) in evidence.manifest.files:
            yield {
                "@id": blob_name(wanted.cid),
                "@type": ["File", "prov:Entity"],
                "name": f"{wanted.kind.capitalize()} of round {view.id}",
                "prov:wasAttributedTo": [_ref(_agent(wanted.owner))],
            }


def _merged(graph: list[Entity]) -> list[Entity]:
    """One entity for each id: a model that two rounds reached by the same bytes keeps what both say."""
    found: dict[str, Entity] = {}
    for entity in graph:
        known = found.setdefault(entity["@id"], {})
        for name, value in entity.items():
            if name.startswith("prov:") and isinstance(value, list) and name in known:
                known[name] += [item for item in value if item not in known[name]]
            else:
                known[name] = value
    return list(found.values())


def _agent(address: str) -> str:
    return f"#{address}"


def _ref(iri: str) -> Entity:
    return {"@id": iri}


def _iso(seconds: int) -> str:
    return moment(seconds).replace(" UTC", "Z").replace(" ", "T")
