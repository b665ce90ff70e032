"""What other explorers need to show these contracts with their sources: docs/explorer.md says how each takes it.

Beside the network file NAME.json lies the folder NAME.verify/:

    <Contract>/standard-input.json    the compiler's input, complete in itself
    <Contract>/metadata.json          the compiler's own, whose hash ends the deployed code
    <Contract>/constructor-arguments  ABI-encoded, in hexadecimal without 0x; empty for none
    <Contract>/sourcify.json          the body of a request to Sourcify's API
    contracts/full_match/…            the same as a Sourcify repository, for Otterscan
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from scripts import compiler


def check_same(brownie_bytecode: dict[str, str]) -> None:
    """Refuse to deploy what the files would not describe.

    Raises:
        SystemExit: if Brownie compiled other code than the compiler alone does, which packages in ~/.brownie/packages cause.
    """
    ours = {name: output["evm"]["bytecode"]["object"] for name, output in compiler.outputs().items()}
    other = [name for name, code in brownie_bytecode.items() if code.removeprefix("0x") != ours[name]]
    if other:
        raise SystemExit(f"Brownie compiled {', '.join(other)} with settings of its own: empty ~/.brownie/packages and build/brownie")


def write(folder: Path, chain_id: int, addresses: dict[str, str], created: dict[str, str], arguments: dict[str, str]) -> None:
    """Write the folder anew. By contract name: checksummed address, creating transaction's hash, constructor arguments in hexadecimal."""
    partial = folder.with_name(folder.name + ".part")
    shutil.rmtree(partial, ignore_errors=True)
    metadata = {name: output["metadata"] for name, output in compiler.outputs().items()}
    for name, document in compiler.standard_inputs().items():
        request = {
            "stdJsonInput": document,
            "compilerVersion": compiler.compiler_version(),
            "contractIdentifier": f"contracts/{name}.sol:{name}",
            "creationTransactionHash": created[name],
        }
        _put(partial / name / "standard-input.json", _json(document))
        _put(partial / name / "metadata.json", metadata[name])
        _put(partial / name / "constructor-arguments", arguments[name])
        _put(partial / name / "sourcify.json", _json(request))
        match = partial / "contracts" / "full_match" / str(chain_id) / addresses[name]
        _put(match / "metadata.json", metadata[name])
        for path, source in document["sources"].items():
            _put(match / "sources" / path, source["content"])
    shutil.rmtree(folder, ignore_errors=True)
    partial.rename(folder)


def _json(document: dict[str, Any]) -> str:
    return json.dumps(document, indent=1) + "\n"


def _put(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
