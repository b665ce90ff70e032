"""Model files: a card and a signature beside them, and the check on load. Every tampering is refused for its own reason."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from eth_account import Account
from eth_account.signers.local import LocalAccount

from defedbio.chain.network import Contracts, Network
from defedbio.chain.signing import CardStatement, card_signer, sign_card
from defedbio.errors import BlobMismatch, BlobUnavailable, DefedError, InvalidInput, NotFound
from defedbio.models.applying import predict_file, tune, write_predictions
from defedbio.models.card_checks import CardReport, read_card, verify_card
from defedbio.models.card_page import page_of
from defedbio.models.cards import Card, chain_facts
from defedbio.models.files import export_model, load_model, write_model, write_whole
from defedbio.models.registry import Model, fetch_model
from defedbio.network.connection import Connection
from defedbio.protocol.view import Privacy, RoundView
from tests.agents.models.finished_study import NETWORK, ReadOnly, finished_world
from tests.agents.protocol.in_process import CHAIN, CONTRACT, FEATURES, PEOPLE, STUDY, InProcess

SIGNER: LocalAccount = Account.create()
STRANGER: LocalAccount = Account.create()
ONE = "0x" + "01".rjust(64, "0")


@pytest.fixture
def world() -> InProcess:
    return finished_world()


@pytest.fixture
def reader(world: InProcess) -> ReadOnly:
    found = ReadOnly(world)
    found.members.add(SIGNER.address)
    return found


@pytest.fixture
def connection(reader: ReadOnly) -> Connection:
    return cast(Any, reader)


@pytest.fixture
def model(connection: Connection) -> Model:
    return fetch_model(connection, STUDY, 2)


@pytest.fixture
def signed(connection: Connection, model: Model, tmp_path: Path) -> Path:
    return write_model(connection, model, tmp_path / "m.safetensors", SIGNER).file


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A labelled file that fits the study."""
    generator = np.random.default_rng(1)
    x = generator.uniform(0, 1, (60, FEATURES))
    lines = [",".join([*(f"f{i}" for i in range(FEATURES)), "label"])]
    lines += [",".join([*(f"{v:.4f}" for v in row), str(int(row[0] + row[1] > 1))]) for row in x]
    path = tmp_path_factory.mktemp("rows") / "rows.csv"
    path.write_text("\n".join(lines) + "\n", "utf-8")
    return path


def edit(path: Path, change: Callable[[Any], object]) -> None:
    """Change a JSON file and write it in the form in which cards are written."""
    document = json.loads(path.read_text("utf-8"))
    change(document)
    path.write_text(json.dumps(document, indent=1, sort_keys=True) + "\n", "utf-8")


def card_of(file: Path) -> Path:
    return file.with_name(file.name + ".card.json")


def signature_of(file: Path) -> Path:
    return file.with_name(file.name + ".card.sig.json")


def sign_again(path: Path, account: LocalAccount = SIGNER, **changes: Any) -> None:
    """The account signs the card as it is now, or a statement that differs from it."""
    card = read_card(path)
    assert card is not None
    statement = replace(card.statement, **changes)
    document = {"format": "defedbio-card-signature/1", "signer": account.address, "typed_data": statement.typed_data()}
    document["signature"] = "0x" + sign_card(account, statement).hex()
    signature_of(path).write_text(json.dumps(document), "utf-8")


def failed(report: CardReport) -> dict[str, str]:
    return {check.name: check.detail for check in report.checks if not check.ok}


class TestWriting:
    def test_model_card_page_and_signature_lie_beside_each_other(self, signed: Path, model: Model, world: InProcess) -> None:
        names = ["m.safetensors", "m.safetensors.card.json", "m.safetensors.card.md", "m.safetensors.card.sig.json"]
        assert sorted(p.name for p in signed.parent.iterdir()) == names
        assert signed.read_bytes() == model.raw
        card = json.loads(card_of(signed).read_bytes())
        view = world.ledger.round(2)
        assert card["chain"]["model"] == {"cid": view.model_cid, "keccak256": "0x" + view.model_hash.hex()}
        assert card["chain"]["attested_by"] == list(dict.fromkeys(a.holder for a in view.attestations))
        assert (card["chain"]["threshold"], card["chain"]["round"], card["chain"]["chain_id"]) == (3, 2, CHAIN)
        assert [entry["round"] for entry in card["chain"]["lineage"]] == [2, 1]
        assert [(o["address"], o["in_set"], o["rounds"]) for o in card["chain"]["organisations"]] == [(p, True, 2) for p in PEOPLE]
        assert card["metrics"]["round"] == 3, "the next round measured it"
        assert 0 <= card["metrics"]["values"]["roc_auc"] <= 1
        assert card["file"]["source"] == card["file"]["keccak256"] == "0x" + model.hash.hex()
        assert card["tuning"] is None

    @pytest.mark.parametrize("ending", ["", ".card.json", ".card.md", ".card.sig.json"])
    def test_nothing_is_overwritten_and_nothing_half_written(
        self, connection: Connection, model: Model, tmp_path: Path, ending: str
    ) -> None:
        there = tmp_path / f"m{ending}"
        there.write_text("mine")
        with pytest.raises(InvalidInput, match="exists already"):
            write_model(connection, model, tmp_path / "m", SIGNER)
        assert [p.name for p in tmp_path.iterdir()] == [there.name]
        assert there.read_text() == "mine"

    def test_a_failure_in_the_middle_leaves_nothing(self, tmp_path: Path) -> None:
        with pytest.raises(InvalidInput, match="cannot write"):
            write_whole({tmp_path / "a": b"1", tmp_path / "missing" / "b": b"2"})
        assert list(tmp_path.iterdir()) == []

    def test_without_an_account_the_card_is_not_signed(self, connection: Connection, model: Model, tmp_path: Path) -> None:
        written = write_model(connection, model, tmp_path / "m")
        assert written.signature is None
        assert not signature_of(tmp_path / "m").exists()


class TestPage:
    def test_others_words_are_no_markup(self, signed: Path) -> None:
        """An organisation chose its name, the coordinator the description."""
        page = signed.with_name(signed.name + ".card.md").read_text("utf-8")
        assert "<script>" not in page and "<b>" not in page and "\x1b" not in page
        assert "](http" not in page and "\n# heading" not in page
        row = next(line for line in page.splitlines() if "Evil" in line)
        assert row.replace("\\|", "").count("|") == 5, "four cells: the name's own bar is escaped"

    def test_the_page_says_what_the_card_says(self, signed: Path) -> None:
        card = read_card(signed)
        assert card is not None
        page = page_of(card)
        assert page == signed.with_name(signed.name + ".card.md").read_text("utf-8")
        for title in ("Intended use", "Whose data", "Training", "Metrics", "Privacy", "Lineage", "Record", "Limits", "How to verify"):
            assert f"\n## {title}\n" in page
        for fact in (card.file["sha256"], card.file["keccak256"], card.chain["finalised"]["transaction"], *PEOPLE):
            assert fact in page
        error = card.document["metrics"]["values"]["roc_auc_error"]
        assert f"± {error:.2g}" in page

    def test_an_unusable_metric_is_told_with_its_reason_and_no_number(self, signed: Path) -> None:
        document = json.loads(card_of(signed).read_bytes())
        values = dict.fromkeys(document["metrics"]["values"])
        page = page_of(Card.make(document | {"metrics": {"round": 3, "values": values, "unusable": "sums below 0"}}))
        section = page.split("## Metrics")[1].split("## ")[0]
        assert "the sum of round 3, which measured this model, is unusable. sums below 0" in section and "|" not in section
        assert "model-index" not in page

    def test_the_front_matter_is_yaml(self, signed: Path) -> None:
        import yaml

        page = signed.with_name(signed.name + ".card.md").read_text("utf-8")
        front = yaml.safe_load(page.split("---\n")[1])
        assert front["library_name"] == "safetensors"
        told = {m["type"]: m["value"] for m in front["model-index"][0]["results"][0]["metrics"]}
        assert 0 <= told["roc_auc"] <= 1
        assert not any(m["verified"] for m in front["model-index"][0]["results"][0]["metrics"])


class TestPrivacy:
    def test_each_organisations_declared_loss_is_in_the_card(self, connection: Connection, world: InProcess) -> None:
        """Totals up to the model's round count, those of rounds that were voided, too, and none of later rounds."""
        study = world.ledger.study()

        def declared(number: int, epsilon: float) -> RoundView:
            return replace(study.rounds[number], privacy={PEOPLE[1]: Privacy(0.5, epsilon, 1e-6)})

        told = replace(study, rounds={1: declared(1, 0.5), 2: study.rounds[2], 3: declared(3, 1.5)})
        epsilons = [
            {o["address"]: (o["epsilon"], o["delta"]) for o in chain_facts(connection, told, told.rounds[number])["organisations"]}
            for number in (2, 3)
        ]
        assert [e[PEOPLE[1]] for e in epsilons] == [(0.5, 1e-6), (1.5, 1e-6)]
        assert epsilons[1][PEOPLE[0]] == (None, None)

    def test_the_page_names_mechanism_budget_and_who_spent_what(self, signed: Path) -> None:
        document = json.loads(card_of(signed).read_bytes())
        assert "No differential privacy" in page_of(Card.make(document))
        document["study"]["privacy"] = {"kind": "sum", "noise_multiplier": 1.25, "epsilon": 8.0, "delta": 1e-6}
        document["chain"]["organisations"][2] |= {"epsilon": 3.5, "delta": 1e-6}
        page = page_of(Card.make(document))
        assert "everything that an organisation holds, noise multiplier 1.25, budget epsilon 8 at delta 1e-06" in page
        assert f"| `{PEOPLE[2]}` | org 3 | 3.5 | 1e-06 |" in page
        assert f"| `{PEOPLE[1]}` | org 2 | – | – |" in page


class TestCard:
    def test_a_good_one_holds_with_and_without_the_chain(self, connection: Connection, signed: Path) -> None:
        online = verify_card(signed, connection)
        assert online.ok and online.signer == SIGNER.address
        assert [check.name for check in online.checks] == ["file", "signature", "chain", "study", "names", "metrics"]
        assert "3 key holders attested" in online.checks[2].detail or "4 key holders attested" in online.checks[2].detail
        offline = verify_card(card_of(signed), signers=[SIGNER.address.lower()])
        assert offline.ok and offline.notes == ("the chain was not asked",)

    def test_changed_weights(self, connection: Connection, signed: Path) -> None:
        raw = bytearray(signed.read_bytes())
        raw[-1] ^= 1
        signed.write_bytes(raw)
        assert failed(verify_card(signed)) == {"file": "the file is not the one that its card names: another hash"}
        with pytest.raises(InvalidInput, match="not the one that its card names"):
            load_model(connection, STUDY, signed, [SIGNER.address], unsigned=True)

    def test_a_changed_card(self, connection: Connection, signed: Path) -> None:
        edit(card_of(signed), lambda card: card["study"].update(description="Fit for surgery"))
        assert failed(verify_card(signed)) == {"signature": "the signature is under another card"}
        assert set(failed(verify_card(signed, connection))) == {"signature", "study"}
        with pytest.raises(InvalidInput, match="under another card"):
            load_model(connection, STUDY, signed)

    def test_a_card_that_is_not_in_its_one_form(self, signed: Path) -> None:
        card_of(signed).write_bytes(card_of(signed).read_bytes() + b"\n")
        with pytest.raises(InvalidInput, match="canonical form"):
            verify_card(signed)

    @pytest.mark.parametrize(
        ("raw", "reason"),
        [
            (b"\xff", "not UTF-8"),
            (b"[1e999]", "too large"),
            (b'{"a": NaN}', "not a number"),
            (b"[" * 100_000, "nested too deeply"),
            (b"{}", "breaks its schema"),
        ],
    )
    def test_what_is_no_card(self, signed: Path, raw: bytes, reason: str) -> None:
        card_of(signed).write_bytes(raw)
        with pytest.raises(InvalidInput, match=reason):
            read_card(signed)

    def test_a_metric_that_is_no_number_is_refused_and_not_written(self, signed: Path) -> None:
        document = json.loads(card_of(signed).read_bytes())
        document["metrics"]["values"]["roc_auc"] = float("nan")
        with pytest.raises(InvalidInput, match="not finite"):
            Card.make(document)

    def test_a_signature_by_another(self, signed: Path) -> None:
        sign_again(signed, STRANGER)
        edit(signature_of(signed), lambda document: document.update(signer=SIGNER.address))
        assert f"is not that of '{SIGNER.address}'" in failed(verify_card(signed))["signature"]
        sign_again(signed, STRANGER)
        assert "not whose signature was asked for" in failed(verify_card(signed, signers=[SIGNER.address]))["signature"]

    @pytest.mark.parametrize(
        ("changes", "reason"),
        [
            ({"chain_id": 1}, "the signature is for chain '1'"),
            ({"contract": "0x" + "d0" * 20}, "the signature is for contract"),
            ({"round": 1}, "under another card"),
            ({"study": 9}, "under another card"),
            ({"file": b"\x01" * 32}, "under another card"),
        ],
    )
    def test_a_signature_for_another_chain_contract_or_model(
        self, connection: Connection, signed: Path, changes: dict[str, Any], reason: str
    ) -> None:
        sign_again(signed, **changes)
        assert reason in failed(verify_card(signed))["signature"]
        with pytest.raises(InvalidInput, match=reason):
            load_model(connection, STUDY, signed, [SIGNER.address])

    def test_a_signature_cannot_be_carried_over_by_renaming_its_domain(self, signed: Path) -> None:
        """What was signed for another chain recovers to nobody when the file says it was for this one."""
        sign_again(signed, chain_id=1)
        edit(signature_of(signed), lambda document: document["typed_data"]["domain"].update(chainId=CHAIN))
        assert "whom it names" in failed(verify_card(signed))["signature"]

    @pytest.mark.parametrize("raw", [b"[]", b"{}", b"\xff", b'{"typed_data": 1, "signer": 2, "signature": 3}'])
    def test_what_is_no_signature(self, signed: Path, raw: bytes) -> None:
        signature_of(signed).write_bytes(raw)
        assert ".card.sig.json is no" in failed(verify_card(signed))["signature"]

    def test_a_card_of_another_network(self, world: InProcess, signed: Path) -> None:
        elsewhere = Contracts.of(*list(NETWORK.contracts.addresses().values())[:3], "0x" + "e0" * 20)
        for network in (Network(1, NETWORK.rpc, NETWORK.contracts), Network(CHAIN, NETWORK.rpc, elsewhere)):
            found = cast(Any, ReadOnly(world, network, members={SIGNER.address}))
            assert "this network is another one" in failed(verify_card(signed, found))["chain"]
            with pytest.raises(InvalidInput, match="this network is another one"):
                load_model(found, STUDY, signed)

    @pytest.mark.parametrize(
        ("change", "reason"),
        [
            (lambda card: card["chain"].update(step=0), "differ in step"),
            (lambda card: card["chain"]["attested_by"].append(STRANGER.address), "differ in attested_by"),
            (lambda card: card["chain"]["organisations"][0].update(in_set=False), "differ in organisations"),
            (lambda card: card["chain"]["finalised"].update(transaction=ONE), "differ in finalised"),
            (lambda card: card["chain"]["lineage"][1].update(keccak256=ONE), "differ in lineage"),
            (lambda card: card["chain"].update(round=99), "round 99 of study 1 has no model"),
        ],
    )
    def test_a_signed_untruth_is_its_signers_fault(
        self, connection: Connection, signed: Path, change: Callable[[Any], object], reason: str
    ) -> None:
        edit(card_of(signed), change)
        sign_again(signed)
        found = verify_card(signed, connection)
        assert reason in failed(found)["chain"]
        assert {check.peer for check in found.checks if not check.ok} == {SIGNER.address}
        with pytest.raises(BlobMismatch, match=reason) as caught:
            load_model(connection, STUDY, signed, [SIGNER.address])
        assert caught.value.peer == SIGNER.address
        signature_of(signed).unlink()
        with pytest.raises(DefedError, match=reason) as caught:
            load_model(connection, STUDY, signed)
        assert caught.value.exit_code == 2, "nobody signed it: nobody can be blamed"

    def test_too_few_attestations_are_told(self, reader: ReadOnly, model: Model, tmp_path: Path) -> None:
        """Not what the contract lets happen; a chain that tells it is not to be believed."""
        reader.keys.epoch_of = lambda epoch: replace_threshold(5)
        file = write_model(cast(Any, reader), model, tmp_path / "m").file
        assert "5 needed" in failed(verify_card(file, cast(Any, reader)))["chain"]

    def test_unsigned_and_offline_nobody_vouches(self, connection: Connection, model: Model, tmp_path: Path) -> None:
        file = write_model(connection, model, tmp_path / "m").file
        assert verify_card(file, connection).ok
        assert "not signed, and the chain does not vouch" in failed(verify_card(file))["signature"]

    def test_no_card(self, tmp_path: Path) -> None:
        (tmp_path / "m").write_bytes(b"weights")
        with pytest.raises(NotFound, match="no card beside it"):
            verify_card(tmp_path / "m")


class TestInvented:
    """Whatever a card says beyond file and chain: compared, or shown as nobody's."""

    @pytest.fixture
    def unsigned(self, connection: Connection, model: Model, tmp_path: Path) -> Path:
        return write_model(connection, model, tmp_path / "m").file

    @pytest.mark.parametrize(
        ("part", "change", "reason"),
        [
            ("metrics", lambda card: card["metrics"]["values"].update(roc_auc=0.997), "round 3 gives another roc_auc"),
            ("metrics", lambda card: card["metrics"]["values"].update(sensitivity=1.0), "round 3 gives another sensitivity"),
            ("metrics", lambda card: card["metrics"]["values"].update(roc_auc=None), "round 3 gives another roc_auc"),
            ("metrics", lambda card: card["metrics"].update(round=2), "no sum of round 2 measures this model"),
            ("names", lambda card: card["names"].update({PEOPLE[2]: "Charité"}), f"{PEOPLE[2]} never called itself"),
            ("names", lambda card: card["names"].update({PEOPLE[3]: "a hospital"}), f"{PEOPLE[3]} never called itself"),
            ("names", lambda card: card["names"].update({"0x" + "11" * 20: ""} | {STRANGER.address: "Charité"}), "never called itself"),
            ("study", lambda card: card["study"]["training"].update(rounds=500), "differ in training"),
        ],
    )
    def test_each_part_is_found_out_with_the_signer_to_blame_if_there_is_one(
        self, connection: Connection, unsigned: Path, part: str, change: Callable[[Any], object], reason: str
    ) -> None:
        assert set(verify_card(unsigned, connection).standing.values()) == {"checked"}
        edit(card_of(unsigned), change)
        found = verify_card(unsigned, connection)
        assert list(failed(found)) == [part] and reason in failed(found)[part]
        assert found.standing[part] == "wrong" and not found.ok
        sign_again(unsigned)
        signed = verify_card(unsigned, connection)
        assert [(check.name, check.peer) for check in signed.checks if not check.ok] == [(part, SIGNER.address)]

    def test_a_name_from_before_is_no_invention(self, connection: Connection, unsigned: Path) -> None:
        edit(card_of(unsigned), lambda card: card["names"].update({PEOPLE[1]: "org before", PEOPLE[2]: ""}))
        assert verify_card(unsigned, connection).ok

    def test_a_member_with_no_part_in_the_model_is_not_named(self, reader: ReadOnly, connection: Connection, unsigned: Path) -> None:
        reader.names_of = lambda addresses: {who: frozenset({"Charité", reader.name_of(who)}) for who in addresses}  # type: ignore[assignment,misc]
        edit(card_of(unsigned), lambda card: card["names"].update({SIGNER.address: "Charité"}))
        assert "has no part in this model" in failed(verify_card(unsigned, connection))["names"]

    def test_a_card_from_before_its_model_was_measured_claims_nothing(self, connection: Connection, unsigned: Path) -> None:
        edit(card_of(unsigned), lambda card: card.update(metrics=None))
        assert verify_card(unsigned, connection).ok

    def test_what_cannot_be_compared_is_the_signers_word_or_nobodys(self, reader: ReadOnly, connection: Connection, unsigned: Path) -> None:
        def nobody(*_: Any) -> Any:
            raise BlobUnavailable("nobody delivers it")

        reader.fetcher = nobody  # type: ignore[method-assign]
        found = verify_card(unsigned, connection)
        assert list(failed(found)) == ["metrics"] and found.standing["metrics"] == "unverified"
        assert "nobody vouches for it" in failed(found)["metrics"]
        sign_again(unsigned)
        signed = verify_card(unsigned, connection)
        assert signed.ok and signed.standing["metrics"] == f"the word of {SIGNER.address}"
        assert any(note.startswith("metrics: the word of") for note in signed.notes)
        reader.members.discard(SIGNER.address)
        assert list(failed(verify_card(unsigned, connection))) == ["metrics"], "a stranger's word is nobody's"

    def test_a_made_up_card_of_a_round_that_never_was_has_no_standing(self, connection: Connection, unsigned: Path) -> None:
        edit(card_of(unsigned), lambda card: card["chain"].update(round=99))
        sign_again(unsigned)
        standing = verify_card(unsigned, connection).standing
        assert standing == {"file": "checked", "chain": "wrong", "study": "unverified", "names": "unverified", "metrics": "unverified"}


def replace_threshold(threshold: int) -> Any:
    from types import SimpleNamespace

    return SimpleNamespace(threshold=threshold)


class TestLoading:
    def test_the_chain_vouches_for_a_rounds_model_with_and_without_a_card(self, connection: Connection, signed: Path) -> None:
        assert load_model(connection, STUDY, signed).vouched == "the chain: round 2 finalised it"
        for path in (card_of(signed), signature_of(signed)):
            path.unlink()
        found = load_model(connection, STUDY, signed)
        assert found.view is not None and found.view.id == 2

    def test_what_nobody_vouches_for_needs_a_word(self, connection: Connection, model: Model, tmp_path: Path) -> None:
        state = model.state
        changed = replace(state, weights={name: array + 1 for name, array in state.weights.items()}).to_bytes()
        (tmp_path / "m").write_bytes(changed)
        with pytest.raises(InvalidInput, match=r"nobody vouches .* it has no card"):
            load_model(connection, STUDY, tmp_path / "m", [SIGNER.address])
        found = load_model(connection, STUDY, tmp_path / "m", unsigned=True)
        assert (found.vouched, found.view, found.raw) == ("nobody", None, changed)
        with pytest.raises(InvalidInput, match="no card that could be signed"):
            export_model(connection, found, tmp_path / "e", "safetensors", signer=SIGNER)
        assert export_model(connection, found, tmp_path / "e", "safetensors").card is None

    @pytest.mark.parametrize("raw", [b"", b"\xff" * 100, b"0" * (1 << 20)])
    def test_what_is_no_model(self, connection: Connection, tmp_path: Path, raw: bytes) -> None:
        (tmp_path / "m").write_bytes(raw)
        with pytest.raises(InvalidInput, match=r"is no model of study 1|is longer than"):
            load_model(connection, STUDY, tmp_path / "m", unsigned=True)

    def test_another_studys(self, connection: Connection, signed: Path) -> None:
        edit(card_of(signed), lambda card: card["chain"].update(study=4))
        with pytest.raises(InvalidInput, match="a model of study 4, not of study 1"):
            load_model(connection, STUDY, signed)


@pytest.fixture(scope="module")
def made(rows: Path) -> Model:
    """A model that moved, whatever cross-validation chose."""
    torch.set_num_threads(1)
    model = fetch_model(cast(Any, ReadOnly(finished_world())), STUDY, 2)
    done = tune(model, rows)
    assert done.tuning is not None
    moved = {name: array + np.float32(0.5) for name, array in model.state.weights.items()}
    return replace(done, raw=replace(model.state, weights=moved).to_bytes())


class TestTuned:
    @pytest.fixture
    def tuned(self, connection: Connection, made: Model, tmp_path: Path) -> Path:
        return write_model(connection, made, tmp_path / "t", SIGNER).file

    def test_its_card_names_what_it_was_made_of(self, connection: Connection, tuned: Path, model: Model) -> None:
        card = read_card(tuned)
        assert card is not None and card.tuned
        assert card.chain["model"]["keccak256"] == "0x" + model.hash.hex() != card.file["keccak256"]
        found = verify_card(tuned, connection)
        word = f"the word of {SIGNER.address}"
        assert found.ok and (found.standing["tuning"], found.standing["made"], found.standing["metrics"]) == (word, word, "checked")
        assert "Then tuned by one organisation" in page_of(card)

    def test_it_is_used_on_the_word_of_a_trusted_signer(self, connection: Connection, tuned: Path) -> None:
        found = load_model(connection, STUDY, tuned, [SIGNER.address])
        assert found.vouched == f"the signature of {SIGNER.address}"
        assert found.tuning is not None and found.view is not None and found.view.id == 2
        with pytest.raises(InvalidInput, match=f"only {SIGNER.address}, who is not trusted here"):
            load_model(connection, STUDY, tuned, [STRANGER.address])

    def test_nobodys_word_is_not_enough(self, reader: ReadOnly, connection: Connection, tuned: Path) -> None:
        reader.members.discard(SIGNER.address)
        assert "no member of this network" in failed(verify_card(tuned, connection))["signature"]
        signature_of(tuned).unlink()
        assert "the chain does not vouch" in failed(verify_card(tuned, connection))["signature"]
        with pytest.raises(InvalidInput, match="nobody signed its card"):
            load_model(connection, STUDY, tuned, [SIGNER.address])
        found = load_model(connection, STUDY, tuned, unsigned=True)
        assert (found.vouched, found.view, found.tuning) == ("nobody", None, None), "nor is anything that its card says of it"
        assert export_model(connection, found, tuned.with_name("e"), "safetensors").card is None

    def test_it_cannot_pass_for_the_rounds_model(self, connection: Connection, tuned: Path) -> None:
        edit(card_of(tuned), lambda card: card.update(tuning=None))
        sign_again(tuned)
        with pytest.raises(InvalidInput, match="names another hash for that round"):
            load_model(connection, STUDY, tuned, [SIGNER.address])

    def test_it_is_not_tuned_again(self, connection: Connection, tuned: Path, rows: Path) -> None:
        with pytest.raises(InvalidInput, match="only a round's model can be tuned"):
            tune(load_model(connection, STUDY, tuned, [SIGNER.address]), rows)


class TestExport:
    def test_an_export_has_a_card_of_its_own_and_is_no_model(self, connection: Connection, model: Model, tmp_path: Path) -> None:
        written = export_model(connection, model, tmp_path / "e", "safetensors", signer=SIGNER)
        card = read_card(written.file)
        assert card is not None and card.is_export
        assert card.file["source"] == "0x" + model.hash.hex() != card.file["keccak256"]
        assert verify_card(written.file, connection).ok
        with pytest.raises(InvalidInput, match=r"is an export \(safetensors\)"):
            load_model(connection, STUDY, written.file, [SIGNER.address])
        edit(card_of(written.file), lambda document: document["file"].update(source=ONE))
        sign_again(written.file)
        assert "another hash for that round" in failed(verify_card(written.file, connection))["file"]


def test_predictions_of_a_file_are_written_whole(model: Model, rows: Path, tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    scores = predict_file(model, rows, progress=lambda done, total: told.append((done, total)))
    assert scores.shape == (60, 1) and told == [(60, 60)]
    write_predictions(tmp_path / "p.csv", model.spec, scores)
    lines = (tmp_path / "p.csv").read_text("utf-8").splitlines()
    assert lines[0] == "row,probability" and len(lines) == 61
    assert float(lines[1].split(",")[1]) == pytest.approx(scores[0, 0], rel=1e-5)
    with pytest.raises(InvalidInput, match="exists already"):
        write_predictions(tmp_path / "p.csv", model.spec, scores)


def test_a_statement_is_standard_typed_data(signed: Path) -> None:
    """EIP-712 by its definition, so that a wallet signs and checks the same: keccak(0x1901 ‖ domain separator ‖ struct hash)."""
    from eth_abi import encode
    from eth_keys import keys
    from eth_utils import keccak

    card = read_card(signed)
    assert card is not None
    s: CardStatement = card.statement
    assert s.contract.lower() == CONTRACT and isinstance(Card.from_bytes(card.raw), Card)
    domain = keccak(
        encode(
            ["bytes32", "bytes32", "bytes32", "uint256", "address"],
            [
                keccak(text="EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"),
                keccak(text="DeFed-Bio model card"),
                keccak(text="1"),
                s.chain_id,
                s.contract,
            ],
        )
    )
    struct = keccak(
        encode(
            ["bytes32", "uint64", "uint64", "bytes32", "bytes32"],
            [keccak(text="ModelCard(uint64 study,uint64 round,bytes32 file,bytes32 card)"), s.study, s.round, s.file, s.card],
        )
    )
    raw = bytes.fromhex(json.loads(signature_of(signed).read_text())["signature"][2:])
    assert card_signer(s, raw) == SIGNER.address
    standard = keys.Signature(vrs=(raw[64] - 27, int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:64], "big")))
    public = standard.recover_public_key_from_msg_hash(keccak(b"\x19\x01" + domain + struct))
    assert public.to_checksum_address() == SIGNER.address
