"""The Solidity compiler with the settings of brownie-config.yaml, without Brownie.

The binary comes from SOLCX_BINARY_PATH (build/solc by default) or, where the internet is open, from py-solc-x's download.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from pathlib import Path
from typing import Any

import yaml

from defedbio.chain.network import CONTRACTS

ROOT = Path(__file__).resolve().parent.parent
KEPT = ROOT / "build" / "compiled"
OUTPUTS = [
    "abi",
    "metadata",
    "storageLayout",
    "evm.bytecode.object",
    "evm.deployedBytecode.object",
    "evm.deployedBytecode.immutableReferences",
]


def outputs(root: Path = ROOT, fresh: bool = False) -> dict[str, dict[str, Any]]:
    """Compile the contracts: {name: the compiler's output}, `metadata` being JSON text; `immutables` is what each immutable's number in
    `immutableReferences` is of: {number: Solidity type}.

    The same sources, libraries, settings and compiler are compiled once, unless it is to be `fresh`: it takes seconds, and every
    deployment asks.

    Raises:
        solcx.exceptions.SolcError: when a source does not compile.
    """
    sources = {str(path.relative_to(root)): {"content": path.read_text("utf-8")} for path in sorted((root / "contracts").rglob("*.sol"))}
    document = {"language": "Solidity", "sources": sources, "settings": settings(root)}
    # Libraries are read below node_modules, whose content the lock file determines.
    asked = json.dumps([document, _configured(ROOT)["solc"]["version"], (ROOT / "package-lock.json").read_text("utf-8")], sort_keys=True)
    kept = KEPT / f"{hashlib.sha256(asked.encode()).hexdigest()}.json"
    if fresh or not kept.is_file():
        answer = compile_standard(document, root)
        immutables = _immutables(answer)
        made = {name: answer["contracts"][f"contracts/{name}.sol"][name] | {"immutables": immutables} for name in CONTRACTS}
        KEPT.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=KEPT, delete=False, encoding="utf-8") as written:
            json.dump(made, written)
        os.replace(written.name, kept)
    return dict(json.loads(kept.read_text("utf-8")))


def standard_inputs(root: Path = ROOT) -> dict[str, dict[str, Any]]:
    """By contract, what the compiler needs to make it again and nothing else: its sources, libraries inlined, and the settings."""
    found = {}
    for name, output in outputs(root).items():
        paths = json.loads(output["metadata"])["sources"]
        sources = {path: {"content": (root / path).read_text("utf-8")} for path in paths}
        found[name] = {"language": "Solidity", "sources": sources, "settings": settings(root)}
    return found


def compiler_version(root: Path = ROOT) -> str:
    """With its commit, as verifiers ask for it: 0.8.30+commit.…"""
    return str(json.loads(outputs(root)[CONTRACTS[0]]["metadata"])["compiler"]["version"])


def settings(root: Path = ROOT) -> dict[str, Any]:
    chosen = _configured(root)
    return {
        "evmVersion": chosen["evm_version"],
        "optimizer": chosen["solc"]["optimizer"],
        "remappings": chosen["solc"]["remappings"],
        "outputSelection": {"*": {"*": OUTPUTS, "": ["ast"]}},
    }


def compile_standard(document: dict[str, Any], folder: Path | None) -> dict[str, Any]:
    """Compile a standard-json input; what it does not hold itself is read below `folder`, or refused without one."""
    os.environ.setdefault("SOLCX_BINARY_PATH", str(ROOT / "build" / "solc"))
    import solcx

    version = _configured(ROOT)["solc"]["version"]
    if version not in map(str, solcx.get_installed_solc_versions()):
        solcx.install_solc(version)
    reach = {"base_path": str(folder), "allow_paths": str(folder)} if folder else {}
    return dict(solcx.compile_standard(document, solc_version=version, **reach))


def _immutables(answer: dict[str, Any]) -> dict[str, str]:
    contracts = (node for source in answer["sources"].values() for node in source["ast"]["nodes"])
    parts = (part for contract in contracts for part in contract.get("nodes", ()))
    return {str(part["id"]): part["typeDescriptions"]["typeString"] for part in parts if part.get("mutability") == "immutable"}


def _configured(root: Path) -> dict[str, Any]:
    return dict(yaml.safe_load((root / "brownie-config.yaml").read_text("utf-8"))["compiler"])
