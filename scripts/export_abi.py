"""Write the contracts' interfaces to agents/chain/abi/, or check that they are what the sources compile to.

python -m scripts.export_abi [--check]
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from defedbio.chain.network import CONTRACTS
from scripts.compiler import ROOT, outputs

__all__ = ["ABI_FOLDER", "CONTRACTS", "ROOT", "abi_texts", "compiled", "drifted", "export", "main"]

ABI_FOLDER = ROOT / "agents" / "chain" / "abi"


def compiled(root: Path = ROOT) -> dict[str, dict[str, Any]]:
    """The four contracts: {name: {"abi": [...], "bytecode": "0x…", "size": bytes of deployed code}}."""
    return {name: _artefact(output) for name, output in outputs(root).items()}


def abi_texts(root: Path = ROOT) -> dict[str, str]:
    """The text that belongs in each file of agents/chain/abi/: {contract name: canonical JSON}."""
    return {name: _text(artefact["abi"]) for name, artefact in compiled(root).items()}


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
            print(f"agents/chain/abi/{name}.json differs from the sources: run python -m scripts.export_abi", file=sys.stderr)
        return 1 if names else 0
    export()
    return 0


def _artefact(output: dict[str, Any]) -> dict[str, Any]:
    return {
        "abi": sorted(output["abi"], key=lambda entry: (entry["type"], entry.get("name", ""), json.dumps(entry, sort_keys=True))),
        "bytecode": "0x" + output["evm"]["bytecode"]["object"],
        "size": len(output["evm"]["deployedBytecode"]["object"]) // 2,
    }


def _text(abi: list[dict[str, Any]]) -> str:
    """One entry a line: small, and a diff shows which entry changed."""
    lines = ",\n".join(json.dumps(entry, sort_keys=True, separators=(",", ":")) for entry in abi)
    return f'{{"abi":[\n{lines}\n]}}\n'


if __name__ == "__main__":
    sys.exit(main())
