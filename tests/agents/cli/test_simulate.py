"""`defedbio simulate` and `defedbio module` as a user runs them: arguments, files, exit codes."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from defedbio.cli.main import main

DEADLINES = dict.fromkeys(("enrol", "commit", "reveal", "attest", "aggregate", "share", "finalise"), 60)
SPEC: dict[str, Any] = {
    "format": "defedbio-study/1",
    "name": "simulated",
    "task": {"kind": "binary", "target": "ill"},
    "features": {"kind": "table", "columns": [{"name": "age", "min": 0, "max": 100}, {"name": "dose", "min": 0, "max": 1}]},
    "preprocessing": {"standardise": "federated"},
    "model": {"kind": "linear"},
    "training": {"learning_rate": 0.3, "steps": 10, "batch_size": 32},
    "evaluation": {"bins": 32},
    "statistics": {"bins": 4},
    "rounds": 3,
    "quantisation": {"slot_bits": 32, "clip_norm": 5.0},
    "seed": 1,
    "key": {"epoch": 1},
    "participants": {"seats": 4},
    "deadlines": DEADLINES,
}
MODULE = """
import torch

def build(spec):
    return torch.nn.Linear(spec.features.width, 1)
"""


@dataclass(frozen=True)
class Done:
    returncode: int
    stdout: str
    stderr: str


@pytest.fixture
def defedbio(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Done]:
    """The command line's own entry in this process: importing torch anew for every call would take most of the time."""

    def run(*arguments: object) -> Done:
        monkeypatch.setattr(sys, "argv", ["defedbio", *map(str, arguments)])
        with pytest.raises(SystemExit) as caught:
            main()
        out = capsys.readouterr()
        return Done(int(caught.value.code or 0), out.out, out.err)

    return run


def _write_spec(folder: Path, **changes: Any) -> Path:
    path = folder / "spec.json"
    path.write_text(json.dumps(SPEC | changes))
    return path


@pytest.fixture
def sites(tmp_path: Path) -> list[object]:
    """`--data` options of three organisations."""
    options: list[object] = []
    for seed in range(3):
        generator = np.random.default_rng(seed)
        frame = pd.DataFrame({"age": generator.uniform(20, 90, 80), "dose": generator.uniform(0, 1, 80)})
        frame["ill"] = (frame["age"] / 100 + generator.normal(0, 0.1, 80) > 0.55).astype(int)
        frame.to_csv(tmp_path / f"site{seed}.csv", index=False)
        options += ["--data", tmp_path / f"site{seed}.csv"]
    return options


def test_a_study_is_simulated_plainly_and_exactly(defedbio: Callable[..., Done], tmp_path: Path, sites: list[object]) -> None:
    spec, out = _write_spec(tmp_path), tmp_path / "model.safetensors"
    plain = defedbio("simulate", "--spec", spec, *sites, "--json")
    exact = defedbio("simulate", "--spec", spec, *sites, "--exact", "--test", tmp_path / "site0.csv", "--out", out, "--json")
    assert (plain.returncode, exact.returncode) == (0, 0), plain.stderr + exact.stderr
    rounds = json.loads(exact.stdout)["rounds"]
    assert [r["kind"] for r in rounds] == ["statistics", "moments", "train", "train", "train", "evaluate"]
    assert rounds[0]["statistics"]["rows"] == 240
    assert rounds[-1]["evaluation"]["roc_auc"] > 0.8 > rounds[2]["evaluation"]["roc_auc"]
    assert rounds[-2]["test"]["samples"] == 80
    last = [json.loads(run.stdout)["rounds"][-1]["evaluation"]["log_loss"] for run in (plain, exact)]
    assert last[0] == pytest.approx(last[1], rel=0.02)
    assert out.stat().st_size > 0
    assert defedbio("simulate", "--spec", spec, *sites, "--out", out).returncode != 0, "an existing file is not overwritten"


def test_too_few_organisations_are_refused(defedbio: Callable[..., Done], tmp_path: Path, sites: list[object]) -> None:
    done = defedbio("simulate", "--spec", _write_spec(tmp_path), *sites[:4])
    assert done.returncode != 0
    assert "for 3 to 4 organisations, and 2 files are named" in done.stderr


def test_a_module_is_allowed_by_its_hash_and_then_runs(defedbio: Callable[..., Done], tmp_path: Path, sites: list[object]) -> None:
    source, home = tmp_path / "mine.py", tmp_path / "home"
    source.write_text(MODULE)
    allowed = defedbio("module", "allow", source, "--home", home, "--json")
    assert allowed.returncode == 0, allowed.stderr
    digest = json.loads(allowed.stdout)["sha256"]
    assert json.loads(defedbio("module", "list", "--home", home, "--json").stdout) == [{"sha256": digest}]
    tensors = [{"name": "weight", "shape": [1, 2]}, {"name": "bias", "shape": [1]}]
    spec = _write_spec(tmp_path, model={"kind": "module", "module": "mine", "sha256": digest, "tensors": tensors})
    refused = defedbio("simulate", "--spec", spec, *sites)
    assert refused.returncode != 0
    assert "not installed here" in refused.stderr
    done = defedbio("simulate", "--spec", spec, *sites, "--module", source, "--json")
    assert json.loads(done.stdout)["rounds"][-1]["evaluation"]["roc_auc"] > 0.8


def test_a_module_that_changed_since_it_was_allowed_is_refused(defedbio: Callable[..., Done], tmp_path: Path) -> None:
    source, home = tmp_path / "mine.py", tmp_path / "home"
    source.write_text(MODULE)
    digest = json.loads(defedbio("module", "allow", source, "--home", home, "--json").stdout)["sha256"]
    (home / "modules" / f"{digest}.py").write_text(MODULE + "\nprint('changed')\n")
    done = defedbio("module", "list", "--home", home)
    assert done.returncode != 0
    assert "is not the source that was allowed" in done.stderr
    assert "changed" not in done.stdout, "it was not run"
