"""What people and machines read: the same in HTML and PDF, safe to open, and lineage that others' tools understand."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from io import BytesIO
from pathlib import Path

import pypdf
import pytest
from rdflib import Graph, Namespace, URIRef
from rocrate.rocrate import ROCrate

from defedbio.audit import render
from defedbio.audit.bundle import NAME
from defedbio.audit.controls import controls
from defedbio.audit.document import Document, Properties, Section, Table, Text
from defedbio.audit.make import Made
from defedbio.audit.page import html
from defedbio.audit.pdf import encodable, pdf
from defedbio.text import printable

from .conftest import NAMES, World

PROV = Namespace("http://www.w3.org/ns/prov#")
VOID = frozenset({"meta", "link", "br", "hr", "img", "input"})
HOSTILE = "<img src=x onerror=\"alert(1)\"> & 'quotes' {{ 7*7 }} </style><script>alert(2)</script>"


class Page(HTMLParser):
    """Tags, attributes and text of a page; fails on a tag that does not close."""

    def __init__(self, raw: bytes) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self._open: list[str] = []
        self.feed(raw.decode())
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def text_of(raw: bytes) -> str:
    return "".join(page.extract_text() for page in pypdf.PdfReader(BytesIO(raw)).pages)


def document(text: str) -> Document:
    table = Table("All", ("Name", "Value"), ((text, "x" * 500), *((str(i), "y") for i in range(200))), (1, 2))
    return Document(text, text, (Section("s", text, (Text(text), Properties(((text, text),)), table)),))


def test_others_words_neither_run_nor_load_anything() -> None:
    page = Page(html(document(HOSTILE)))
    assert not {"script", "img", "iframe", "object", "link"} & {tag for tag, _ in page.tags}
    assert not [name for _, attrs in page.tags for name in attrs if name.startswith("on") or name in ("src", "srcset")]
    assert all(attrs["href"] == "#s" for tag, attrs in page.tags if tag == "a")
    assert HOSTILE in "".join(page.words), "it is shown as it is"
    (policy,) = [attrs["content"] for tag, attrs in page.tags if attrs.get("http-equiv") == "Content-Security-Policy"]
    assert policy is not None and policy.startswith("default-src 'none'; style-src 'sha256-") and "unsafe" not in policy


def test_the_pages_style_is_the_one_its_policy_allows() -> None:
    raw = html(document("x")).decode()
    style = raw[raw.index("<style>") + 7 : raw.index("</style>")]
    assert f"'sha256-{base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()}'" in raw
    assert "url(" not in style and "@import" not in style


def test_pdf_is_deterministic_and_shows_all_text() -> None:
    raw = pdf(document(HOSTILE))
    assert raw == pdf(document(HOSTILE))
    shown = text_of(raw)
    assert "onerror" in shown and "alert(2)" in shown and "199" in shown
    assert not re.search(rb"/(JavaScript|JS|URI|Launch|EmbeddedFile)\b", raw)
    assert encodable("研究 é \u202e") == "[U+7814][U+7A76] é [U+202E]"


def test_the_report_tells_who_did_what_when(made: Made, world: World) -> None:
    raw = (made.path / "report.html").read_bytes()
    page = Page(raw)
    shown = "".join(page.words)
    assert NAMES[0] in shown and NAMES[1] in shown and NAMES[3] in shown
    assert "\N{RIGHT-TO-LEFT OVERRIDE}" not in shown and "\N{REPLACEMENT CHARACTER}gamma" in shown
    for client in world.clients:
        assert client.address in shown
    for said in (
        "voided in phase open",
        "Epsilon declared",
        "votes and membership",
        "What never left",
        "4 of 4",
        "checked and confirmed",
        "; erased it, ",
        "3 of 4, by the word of those who say that they erased theirs",
        "one machine made the key",
        "its norm up to a small factor",
        "UpdateRevealed",
        "noise of 2 clip norms",
    ):
        assert said.lower() in shown.lower(), said
    times = re.findall(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC", shown)
    assert len(times) > 100
    ids = [attrs["id"] for _, attrs in page.tags if "id" in attrs]
    assert len(ids) == len(set(ids)) and {"round-1", "round-3", "round-4", "limits", "controls"} <= set(ids)
    headings = [tag for tag, _ in page.tags if tag in ("h1", "h2", "h3")]
    assert headings[0] == "h1" and headings.count("h1") == 1 and set(headings[1:]) == {"h2"}
    assert all(attrs.get("scope") for tag, attrs in page.tags if tag == "th")


def test_html_and_pdf_say_the_same(made: Made) -> None:
    page = Page((made.path / "report.html").read_bytes())
    printed = re.sub(r"\s+", "", text_of((made.path / "report.pdf").read_bytes()))
    body = "".join(page.words).split("Summary", 1)[1]
    for word in set(re.findall(r"0x[0-9a-f]{64}|0x[0-9a-fA-F]{40}|baf[a-z2-7]{56}|\d{4}-\d\d-\d\d", body)):
        assert word in printed, word


def test_every_control_says_what_is_not_supported() -> None:
    listed = controls()
    assert {c.framework for c in listed} == {"HIPAA Security Rule", "GDPR", "21 CFR Part 11", "ISO/IEC 27001:2022 Annex A"}
    assert {c.reference for c in listed} >= {f"Art. {n}" for n in (25, 30, 32, 35)} | {
        "11.10(a)",
        "11.10(c)",
        "11.10(d)",
        "11.10(e)",
        "11.50",
        "11.70",
    }
    for control in listed:
        assert control.does_not_support and control.title and control.supports
        assert (control.supports == "Nothing.") == (not control.evidence)
        for name in control.evidence:
            assert NAME.fullmatch(name) or name in ("chain/blocks/", "blobs/", "blobs/ (the spec's CID)"), name
        assert not re.search(r"\bcompl(y|ies|iant)\b", control.supports), "evidence is no statement of compliance"


def test_the_crate_is_read_by_ro_crate(made: Made) -> None:
    crate = ROCrate(made.path)
    assert crate.name == "Evidence of study 1: audited"
    listed = {entity.id for entity in crate.data_entities}
    assert {p.relative_to(made.path).as_posix() for p in (made.path / "blobs").iterdir()} <= listed
    assert {entity["name"] for entity in crate.contextual_entities if "Organization" in entity.type} >= {NAMES[0], NAMES[3]}


def lineage(path: Path) -> Graph:
    """The crate's triples of its own and of PROV, without fetching RO-Crate's context from the web."""
    text = json.loads((path / "ro-crate-metadata.json").read_bytes())
    local = [context for context in text["@context"] if isinstance(context, dict)]
    graph = Graph()
    graph.parse(data=json.dumps({**text, "@context": local}), format="json-ld", publicID="https://bundle.example/")
    return graph


def test_every_model_leads_back_to_the_first_and_to_organisations(made: Made, world: World) -> None:
    graph = lineage(made.path)
    genesis = URIRef("https://bundle.example/#genesis")
    view = world.connection().study_view(world.studies[0])
    for number in (3, 4):
        model = URIRef(f"https://bundle.example/blobs/{view.rounds[number].model_cid}")
        assert genesis in set(graph.transitive_objects(model, PROV.wasDerivedFrom))
        (activity,) = graph.objects(model, PROV.wasGeneratedBy)
        people = {str(person).rpartition("#")[2] for person in graph.objects(activity, PROV.wasAssociatedWith)}
        assert people == {client.address for client in world.clients}
        updates = {f"https://bundle.example/blobs/{reveal.cid}" for reveal in view.rounds[number].frozen_reveals()}
        assert updates <= {str(o) for o in graph.objects(model, PROV.wasDerivedFrom)}
        assert list(graph.objects(activity, PROV.startedAtTime)) and list(graph.objects(activity, PROV.endedAtTime))
    parent = URIRef(f"https://bundle.example/blobs/{view.rounds[3].model_cid}")
    assert parent in set(graph.objects(URIRef(f"https://bundle.example/blobs/{view.rounds[4].model_cid}"), PROV.wasDerivedFrom))
    for update in graph.subjects(PROV.wasAttributedTo, None):
        assert all(str(agent).rpartition("#")[2].startswith("0x") for agent in graph.objects(update, PROV.wasAttributedTo))


@pytest.mark.parametrize("text", ["", "\x00\x1b[31m", "a" * 9_000, "\ud800"])
def test_odd_text_is_printed(text: str) -> None:
    shown = document(printable(text))
    assert pdf(shown).startswith(b"%PDF") and Page(html(shown))


def test_the_fingerprint_covers_what_words_of_a_report_come_from() -> None:
    named = set(render.sources())
    assert {"audit/report.py", "audit/templates/report.html", "audit/controls.json"} <= named
    assert {"text.py", "network/describe.py", "protocol/left_out.py", "spec/features/genotypes.py"} <= named
    assert {"network/consent.py", "learning/tasks/binary.py", "learning/statistics.py", "learning/possible.py"} <= named


@pytest.mark.parametrize("path", ["text.py", "network/describe.py", "spec/features/table.py", "audit/report.py"])
def test_a_changed_word_changes_the_fingerprint(path: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    before, found = render.fingerprint(), render.sources()
    changed = tmp_path / "changed.py"
    changed.write_bytes(found[path].read_bytes() + b"\n")
    monkeypatch.setattr(render, "sources", lambda: {**found, path: changed})
    assert render.fingerprint.__wrapped__() != before
