"""A model card for people: Markdown with the front matter that model hubs read. All text of others is escaped: it cannot become markup."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from defedbio.models.cards import Card
from defedbio.text import moment, printable

SHOWN_ANCESTORS = 10
_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", "@": "&#64;", ":": "&#58;"}
_PUNCTUATION = frozenset("\\`*_{}[]()#+-.!|~$\"'=^/")


def page_of(card: Card) -> str:
    """The card as Markdown; everything in it is in the card."""
    document, chain, study = card.document, card.chain, card.document["study"]
    return "\n".join(
        [
            *_front_matter(card),
            f"# {escape(study['name'])}, {_title(card)}",
            "",
            "This page is made from the card beside it, `*.card.json`, which is what hashes and signatures are of. **Nothing here is "
            "verified by standing here**: `defedbio model card FILE` compares each part of the card with the chain, and says whose word "
            "it is.",
            *_section("Intended use", _intended(study)),
            *_section("Whose data", _organisations(card)),
            *_section("Training", _training(document)),
            *_section("Metrics", _metrics(document)),
            *_section("Privacy", _privacy(card)),
            *_section("Lineage", _lineage(chain, study)),
            *_section("Record", _record(card)),
            *_section("Limits", _limits(card)),
            *_section("How to verify", _verify()),
            "",
        ]
    )


def escape(text: str) -> str:
    """One line of plain text in Markdown: no markup, HTML, link or control character of the text's own takes effect."""
    shown = printable(" ".join(text.split()))
    return "".join(_ENTITIES.get(c) or (f"\\{c}" if c in _PUNCTUATION else c) for c in shown)


def _title(card: Card) -> str:
    what = "tuned from the model of" if card.tuned else "model of"
    return f"{what} round {card.chain['round']}"


def _front_matter(card: Card) -> list[str]:
    study, format_ = card.document["study"], card.file["format"]
    kind = study["task"]["kind"]
    regression = kind in ("regression", "survival")
    lines = [
        "---",
        f"library_name: {'onnx' if format_ == 'onnx' else 'safetensors'}",
        f"pipeline_tag: tabular-{'regression' if regression else 'classification'}",
        "tags:",
        *(f"- {tag}" for tag in ("federated-learning", "biomedical", "defed-bio", kind)),
    ]
    metrics = card.document["metrics"]
    told = {} if metrics is None or card.tuned else {k: v for k, v in metrics["values"].items() if v is not None}
    if told:
        lines += ["model-index:", f"- name: {_yaml(study['name'])}", "  results:", "  - task:"]
        lines += [f"      type: tabular-{'regression' if regression else 'classification'}"]
        lines += ["    dataset:", "      name: rows that the organisations held out", "      type: private", "    metrics:"]
        for name, value in told.items():
            lines += [f"    - type: {_yaml(name)}", f"      value: {json.dumps(value)}", "      verified: false"]
    return [*lines, "---", ""]


def _yaml(text: str) -> str:
    """A double-quoted scalar of printable text."""
    return json.dumps(printable(text), ensure_ascii=False)


def _intended(study: dict[str, Any]) -> list[str]:
    task = study["task"]
    columns = ", ".join(map(escape, task["columns"]))
    unit = f", in {escape(task['unit'])}" if task["unit"] else ""
    return [
        escape(study["description"]) or "The study's spec does not say.",
        "",
        f"Predicts {columns} ({task['kind']}{unit}) from {study['features']['width']} features ({escape(study['features']['kind'])}).",
    ]


def _organisations(card: Card) -> list[str]:
    """Names are what their owners say of themselves; addresses are what the chain knows."""
    rows = [
        (escape(card.name_of(o["address"])) or "no name", f"`{o['address']}`", "yes" if o["in_set"] else "no", str(o["rounds"]))
        for o in card.chain["organisations"]
    ]
    head = ("name (as it says of itself)", "address", "in this round's sum", "rounds that led here")
    return _table(head, rows)


def _training(document: dict[str, Any]) -> list[str]:
    study, training, tuning = document["study"], document["study"]["training"], document["tuning"]
    lines = [
        f"- Model: {escape(study['model']['architecture'])}, {study['model']['parameters']:,} parameters"
        f"{'; features standardised over all organisations' if study['features']['standardised'] else ''}.",
        f"- Agreed rounds: {training['rounds']}; in each, every organisation takes {training['steps']} minibatches of "
        f"{training['batch_size']}, {escape(training['optimizer'])} at {training['learning_rate']:g}, {escape(training['strategy'])}, "
        f"weights {escape(training['weighting'])}.",
        f"- Each update is clipped to a norm of at most {training['clip_norm']:g} and encrypted under a "
        f"{training['modulus_bits']}-bit threshold key; only the sum of at least {training['minimum']} is ever opened.",
    ]
    if tuning is not None:
        lines.append(
            f"- Then tuned by one organisation on its own data: {escape(tuning['moves'])}, {tuning['steps']} minibatches "
            f"(held-out loss {tuning['loss']:.4g}, of the global model {tuning['global_loss']:.4g})."
        )
    return lines


def _metrics(document: dict[str, Any]) -> list[str]:
    metrics, tuning = document["metrics"], document["tuning"]
    if tuning is not None:
        both = ((name, tuning["metrics"].get(name), value) for name, value in tuning["global_metrics"].items())
        rows = [(escape(name), _number(tuned), _number(value)) for name, tuned, value in both]
        whose = "Means over held-out rows of the organisation that tuned it: its word, which nobody can check."
        return [whose, "", *_table(("metric", "tuned", "global model"), rows)]
    if metrics is None:
        return ["None: the study has no encrypted evaluation, or no round has measured this model yet."]
    if "unusable" in metrics:
        return [f"None: the sum of round {metrics['round']}, which measured this model, is unusable. {escape(metrics['unusable'])}."]
    values = metrics["values"]
    rows = []
    for name, value in values.items():
        if not name.endswith("_error"):
            error = values.get(f"{name}_error")
            rows.append((escape(name), _number(value), f"± {error:.2g}" if error is not None else ""))
    return [
        f"Over rows that the organisations held out, from the encrypted sum of round {metrics['round']}. The error is the most that "
        "counting in bins can be off; other sums are exact but for rounding. An organisation with too few rows of a class tells nothing "
        "of it, and a single row's loss counts up to a bound.",
        "",
        *_table(("metric", "value", "error"), rows),
    ]


def _privacy(card: Card) -> list[str]:
    agreed = card.document["study"]["privacy"]
    if agreed is None:
        return [
            "No differential privacy: updates are encrypted and only sums are opened, but the model itself may tell of its training data."
        ]
    whose = "of each record" if agreed["kind"] == "record" else "of everything that an organisation holds"
    rows = [
        (f"`{o['address']}`", escape(card.name_of(o["address"])), _number(o["epsilon"]), _number(o["delta"]))
        for o in card.chain["organisations"]
    ]
    return [
        f"Differential privacy {whose}, noise multiplier {agreed['noise_multiplier']:g}, budget epsilon {agreed['epsilon']:g} at delta "
        f"{agreed['delta']:g}. Declared by each organisation on the chain, up to this round:",
        "",
        *_table(("address", "name", "epsilon", "delta"), rows),
    ]


def _lineage(chain: dict[str, Any], study: dict[str, Any]) -> list[str]:
    ancestors = chain["lineage"]
    rows = [(str(a["round"]), escape(a["cid"]), f"`{a['keccak256']}`", str(a["organisations"])) for a in ancestors[:SHOWN_ANCESTORS]]
    if len(ancestors) > SHOWN_ANCESTORS:
        rows.append(("…", f"{len(ancestors) - SHOWN_ANCESTORS} more in the card", "", ""))
    rows.append(("–", "the spec's first model", f"`{study['genesis']}`", ""))
    return _table(("round", "CID", "keccak256", "organisations"), rows)


def _record(card: Card) -> list[str]:
    chain, file = card.chain, card.file
    final = chain["finalised"]
    when = moment(final["time"]).strftime("%Y-%m-%d %H:%M:%S UTC")
    facts = {
        "file": f"{file['format']}, {file['bytes']:,} bytes",
        "sha256": f"`{file['sha256']}`",
        "keccak256": f"`{file['keccak256']}`",
        "keccak256 of the model in it": f"`{file['source']}`",
        "study": f"{chain['study']} on chain {chain['chain_id']}, RoundManager `{chain['round_manager']}`",
        "spec": f"CID {escape(chain['spec_cid'])}, keccak256 `{chain['spec_hash']}`",
        "round": f"{chain['round']}, step {chain['step']}",
        "the round's model": f"CID {escape(chain['model']['cid'])}, keccak256 `{chain['model']['keccak256']}`",
        "finalised": f"block {final['block']} (`{final['block_hash']}`), transaction `{final['transaction']}`, {when}",
        "attested by": f"{len(chain['attested_by'])} key holders, {chain['threshold']} needed: "
        + ", ".join(f"`{a}`" for a in chain["attested_by"]),
    }
    return _table(("", ""), list(facts.items()))


def _limits(card: Card) -> list[str]:
    lines = [
        "- Nothing here says that the model was validated for clinical or any other use; the intended use above is the study's own words.",
        "- Metrics are over the same organisations that trained it: other populations and instruments may differ.",
        "- An organisation's name is what it says of itself.",
        "- That key holders attested says that the model follows from the opened sum, not that the data behind it is right.",
    ]
    return [*lines, "- Tuned on one organisation's data without noise: it may tell of that data."] if card.tuned else lines


def _verify() -> list[str]:
    return [
        "`defedbio model card FILE` compares the file's hashes with the card's, the signature beside it (EIP-712) with who made it, the "
        "card with the chain and the spec, its names with those that organisations registered, and its metrics with the sums in the "
        "chain's models; `--offline` leaves all of that but the file and the signature out. `defedbio verify ROUND` recomputes the round.",
    ]


def _section(title: str, lines: Iterable[str]) -> list[str]:
    return ["", f"## {title}", "", *lines]


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> list[str]:
    return [_row(head), _row(("---",) * len(head)), *map(_row, rows)]


def _row(cells: tuple[str, ...]) -> str:
    return "| " + " | ".join(cells) + " |"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.4g}"
