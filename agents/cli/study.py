"""`defedbio study`: create, show and join studies."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from agents.cli.common import (
    HOME,
    NETWORK,
    HomeOption,
    IpfsOption,
    JsonOption,
    NetworkOption,
    PasswordFileOption,
    RpcOption,
    Session,
    emit,
    say,
    study_view,
)
from agents.config import DEFAULT_IPFS_API
from agents.crypto.merkle import keccak256
from agents.errors import InvalidInput
from agents.learning.plan import schedule
from agents.nodes.acceptance import accept
from agents.nodes.connection import rules_of
from agents.nodes.describe import describe
from agents.spec import StudySpec

app = typer.Typer(help="Studies: what is learned, how, and with whom.", no_args_is_help=True)
StudyArgument = Annotated[int, typer.Argument(min=1, help="Study number on the chain.")]


@app.command()
def create(
    spec: Annotated[Path, typer.Argument(help="Study spec (JSON).", exists=True, dir_okay=False)],
    home: HomeOption = HOME,
    network: NetworkOption = NETWORK,
    rpc: RpcOption = "",
    ipfs: IpfsOption = DEFAULT_IPFS_API,
    password_file: PasswordFileOption = None,
    json: JsonOption = False,
) -> None:
    """Publish a spec and open the study. The caller becomes its coordinator, without power after (R3)."""
    raw = spec.read_bytes()
    parsed = StudySpec.from_bytes(raw)
    connection = Session(home, network, rpc, ipfs, password_file).signer()
    epoch, transcript = connection.transcript(parsed.key_epoch)
    if transcript.key.public_key.bits != parsed.modulus_bits:
        raise InvalidInput(
            f"the spec asks for {parsed.modulus_bits}-bit keys, and key epoch {epoch.epoch} has {transcript.key.public_key.bits}",
            "name another epoch in the spec or hold another ceremony",
        )
    cid = connection.store.add(raw)
    rules = rules_of(parsed, connection.client.head().timestamp + parsed.deadlines.enrol)
    number, receipt = connection.studies.open(
        f"study/{keccak256(raw).hex()}/{rules.enrol_until}", parsed.key_epoch, keccak256(raw), cid, rules
    )
    text = f"study {number} is open: {parsed.name}\nspec {cid}\nOrganisations join with `defedbio study join {number}`."
    emit({"study": number, "spec_cid": cid, "spec_hash": "0x" + keccak256(raw).hex(), "gas": receipt.gas_used}, json, text)


@app.command()
def show(
    study: StudyArgument,
    network: NetworkOption = NETWORK,
    rpc: RpcOption = "",
    ipfs: IpfsOption = DEFAULT_IPFS_API,
    json: JsonOption = False,
) -> None:
    """Show a study's spec, rules, participants and progress, the spec checked against the chain's hash."""
    connection = Session(network_path=network, rpc=rpc, ipfs=ipfs).reader()
    on_chain, spec = connection.spec(study)
    view = study_view(connection, study)
    data = {
        "study": study,
        "name": spec.name,
        "coordinator": on_chain.coordinator,
        "spec_hash": "0x" + on_chain.spec_hash.hex(),
        "key_epoch": on_chain.key_epoch,
        "participants": list(view.participants),
        "seats": spec.seats,
        "steps": len(schedule(spec)),
        "steps_done": len(view.finalised),
        "complete": view.complete,
    }
    progress = f"{len(view.participants)} of {spec.seats} seats taken, {len(view.finalised)} of {data['steps']} rounds finalised"
    emit(data, json, f"{describe(study, spec)}\n{progress}")


@app.command()
def join(
    study: StudyArgument,
    yes: Annotated[bool, typer.Option("--yes", help="Accept the spec without being asked; it is printed all the same.")] = False,
    home: HomeOption = HOME,
    network: NetworkOption = NETWORK,
    rpc: RpcOption = "",
    ipfs: IpfsOption = DEFAULT_IPFS_API,
    password_file: PasswordFileOption = None,
    json: JsonOption = False,
) -> None:
    """Read the spec, accept it, enrol (S2). The node refuses any study whose spec was not accepted here."""
    session = Session(home, network, rpc, ipfs, password_file)
    connection = session.signer()
    on_chain, spec = connection.spec(study)
    if not json:
        say(describe(study, spec))
    if not yes and not typer.confirm("Train on this organisation's data under this spec?"):
        raise typer.Exit(1)
    folder = session.home.study(session.network.chain_id, session.network.contracts.round_manager, study)
    accept(folder, study, on_chain.spec_hash)
    address = connection.client.address
    if connection.studies.participant_index(study, address) == 0:
        connection.studies.enrol(f"study/{study}/enrol/{address}", study, on_chain.spec_hash)
    index = connection.studies.participant_index(study, address)
    emit(
        {"study": study, "position": index, "spec_hash": "0x" + on_chain.spec_hash.hex()},
        json,
        f"enrolled as participant {index} of {spec.seats}\nNext: `defedbio data check`, then `defedbio run --study {study}`.",
    )
