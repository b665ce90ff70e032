"""Write the contracts' interfaces and the marks of their code to agents/chain/abi/, or check that they are what the sources compile to.

python -m scripts.export_abi [--check]
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from defedbio.chain.code import mark_of
from defedbio.chain.network import CONTRACTS
from scripts.compiler import ROOT, outputs

__all__ = ["ABI_FOLDER", "CONTRACTS", "ROOT", "abi_texts", "compiled", "drifted", "export", "main"]

ABI_FOLDER = ROOT / "agents" / "chain" / "abi"


def compiled(root: Path = ROOT) -> dict[str, dict[str, Any]]:
    """The four contracts: {name: {"abi": [...], "bytecode": "0x…", "code": its mark, "size": bytes of deployed code}}."""
    return {name: _artefact(output) for name, output in outputs(root).items()}


def abi_texts(root: Path = ROOT) -> dict[str, str]:
    """The text that belongs in each file of agents/chain/abi/: {contract name: canonical JSON}."""
    return {name: _text(artefact) for name, artefact in compiled(root).items()}


def drifted(folder: Path = ABI_FOLDER, root: Path = ROOT) -> list[str]:
    """Names of the contracts whose file in `folder` is missing or not what the sources compile to."""
    texts = abi_texts(root)
    return [name for name, text in texts.items() if not (path := folder / f"{name}.json").exists() or path.read_text() != text]


def export(folder: Path = ABI_FOLDER, root: Path = ROOT) -> None:
    """Write one file a contract to `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in abi_texts(root).items():
        (folder / f"{name}.json").write_text(text)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Write or check agents/chain/abi/*.json.")
    parser.add_argument("--check", action="store_true", help="write nothing; fail when a file differs from the sources")
    check = parser.parse_args(arguments).check
    outputs(fresh=True)
    if check:
        names = drifted()
        for name in names:
            print(f"agents/chain/abi/{name}.json differs from the sources: run make abi", file=sys.stderr)
        return 1 if names else 0
    export()
    return 0


def _artefact(output: dict[str, Any]) -> dict[str, Any]:
    deployed = output["evm"]["deployedBytecode"]
    code = bytes.fromhex(deployed["object"])
    return {
        "abi": sorted(output["abi"], key=lambda entry: (entry["type"], entry.get("name", ""), json.dumps(entry, sort_keys=True))),
        "bytecode": "0x" + output["evm"]["bytecode"]["object"],
        "code": mark_of(code, _links(deployed["immutableReferences"], output["immutables"])).to_document(),
        "size": len(code),
    }


def _links(references: dict[str, list[dict[str, int]]], types: dict[str, str]) -> dict[str, tuple[int, ...]]:
    """By contract of ours, where the code holds its address. Another immutable than such an address has no mark yet."""
    interfaces = {f"contract I{name}": name for name in CONTRACTS}
    return {interfaces[types[number]]: tuple(sorted(at["start"] for at in places)) for number, places in references.items()}


def _text(artefact: dict[str, Any]) -> str:
    """One entry a line: small, and a diff shows which entry changed."""
    lines = ",\n".join(_line(entry) for entry in artefact["abi"])
    return f'{{"abi":[\n{lines}\n],\n"code":{_line(artefact["code"])}}}\n'


def _line(document: dict[str, Any]) -> str:
    return json.dumps(document, sort_keys=True, separators=(",", ":"))


if __name__ == "__main__":
    sys.exit(main())
