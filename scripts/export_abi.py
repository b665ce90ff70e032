"""Write the contracts' interfaces to agents/chain/abi/, or check that they are what the sources compile to.

    python -m scripts.export_abi [--check]

The compiler is the one that Brownie uses: version, EVM, optimiser and remappings come from brownie-config.yaml, the binary from
SOLCX_BINARY_PATH (build/solc by default) or, where the internet is open, from py-solc-x's download.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from functools import cache
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parent.parent
ABI_FOLDER = ROOT / "agents" / "chain" / "abi"
CONTRACTS = ("ParticipantRegistry", "KeyRegistry", "StudyRegistry", "RoundManager")


@cache
def compiled(root: Path = ROOT) -> dict[str, dict[str, Any]]:
    """Compile the four contracts, once a process: {name: {"abi": [...], "bytecode": "0x…", "size": bytes of deployed code}}.

    Raises:
        solcx.exceptions.SolcError: when a source does not compile.
    """
    os.environ.setdefault("SOLCX_BINARY_PATH", str(root / "build" / "solc"))
    import solcx

    settings = yaml.safe_load((root / "brownie-config.yaml").read_text())["compiler"]
    version = settings["solc"]["version"]
    if version not in map(str, solcx.get_installed_solc_versions()):
        solcx.install_solc(version)
    sources = sorted((root / "contracts").rglob("*.sol"))
    answer = solcx.compile_standard(
        {
            "language": "Solidity",
            "sources": {str(path.relative_to(root)): {"content": path.read_text()} for path in sources},
            "settings": {
                "evmVersion": settings["evm_version"],
                "optimizer": settings["solc"]["optimizer"],
                "remappings": settings["solc"]["remappings"],
                "outputSelection": {"*": {"*": ["abi", "evm.bytecode.object", "evm.deployedBytecode.object"]}},
            },
        },
        base_path=str(root),
        allow_paths=str(root),
        solc_version=version,
    )
    return {name: _artefact(answer["contracts"][f"contracts/{name}.sol"][name]) for name in CONTRACTS}


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
    if parser.parse_args(arguments).check:
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
