"""docs/ablations.md is written from what is stored, preset by preset."""

import json
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from convnet.experiments import ablate

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "update_ablations.py"
ROOT = SCRIPT.parents[1]

ARM = {
    "levels": {}, "seeds": 10, "diverged": 0, "divergence_p": 1.0, "parameters": 5, "epochs": 2, "compile_seconds": 1.0,
}  # fmt: skip
EFFECT = {"pairs": 10, "difference": [-0.05, -0.08, -0.02], "p": 0.0001, "p_holm": 0.0002, "detectable": 0.0123}
SUMMARY = {
    "environment": {"device": "a CPU", "cpus": 2, "packages": {"jax": "1"}, "python": "3", "started": "2026-01-02T"},
    "plan": {"name": "depth", "changed": False, "seeds": 10, "base": {"data": {"name": "digits"}}},
    "cells": {"planned": 20, "finished": 19, "diverged": 1},
    "arms": [
        ARM | {"arm": "1", "test_accuracy": 0.9, "interval95": [0.88, 0.91], "effect": None, "train_seconds": 1.5},
        ARM | {"arm": "2", "test_accuracy": 0.85, "interval95": [None, None], "effect": EFFECT, "train_seconds": None},
    ],
}


@pytest.fixture
def docs(tmp_path):
    run, docs = tmp_path / "run", tmp_path / "docs"
    (run / "figures").mkdir(parents=True)
    docs.mkdir()
    (run / "summary.json").write_text(json.dumps(SUMMARY))
    (run / "results.csv").write_text("arm,seed\n")
    (run / "figures" / "paired-differences.png").write_bytes(b"png")
    done = subprocess.run([sys.executable, str(SCRIPT), str(run), "--docs", str(docs)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "1 ablations" in done.stdout
    return docs


def test_answers_stand_in_a_table(docs):
    text = (docs / "ablations.md").read_text()
    assert "| 1 | 90.00 | 88.00 … 91.00 |  |  |  |  | 0 of 10 | 1.5 |" in text
    assert "| 2 | 85.00 |  | -5.00 | -8.00 … -2.00 | < 0.001 | 1.23 | 0 of 10 |  |" in text
    assert "10 seeds (19 of 20 cells), 15 s of training; a CPU, 2 CPU cores; JAX 1, Python 3; 2026-01-02." in text
    assert (docs / "results" / "ablations" / "depth" / "paired-differences.png").read_bytes() == b"png"
    assert "](results/ablations/depth/paired-differences.png)" in text


def test_every_preset_has_its_place(docs):
    text = (docs / "ablations.md").read_text()
    names = [path.stem for path in (ROOT / "experiments" / "presets").glob("*.toml")]
    assert names
    for name in names:
        assert f"## {name}\n" in text
        assert (f"Not measured yet: `python experiments/ablate.py --preset {name}`" in text) == (name != "depth")


def test_the_page_is_up_to_date():
    page = runpy.run_path(str(SCRIPT))["page"]
    assert (ROOT / "docs" / "ablations.md").read_text() == page(ROOT / "docs")


def test_bad_input_is_one_line(tmp_path, docs):
    before = shutil.copy(docs / "ablations.md", tmp_path / "before.md").read_text()
    for args, message in (
        ([str(tmp_path)], "ablation is"),
        (["--run", "--presets", "nothing"], "presets is 'nothing': expected one of activations"),
    ):
        done = subprocess.run([sys.executable, str(SCRIPT), *args, "--docs", str(docs)], capture_output=True, text=True)
        assert done.returncode == 2
        assert f"error: {message}" in done.stderr
    assert (docs / "ablations.md").read_text() == before


@pytest.mark.parametrize("change", [{"seeds": 2}, {"quick": True}, {"set": ("train.epochs=3",)}, {}], ids=str)
def test_a_preset_that_was_run_otherwise_is_refused(change, tmp_path):
    """Its figures would stand under the preset's command."""
    store = runpy.run_path(str(SCRIPT))["store"]
    plan = ablate.describe(*ablate.plan_of(ablate.Ablate(preset="depth", **change)))
    (tmp_path / "summary.json").write_text(json.dumps(SUMMARY | {"plan": plan}))
    (tmp_path / "results.csv").write_text("arm,seed\n")
    if not change:
        store(tmp_path, tmp_path / "docs")
        return
    with pytest.raises(ValueError, match="expected the preset depth as it stands"):
        store(tmp_path, tmp_path / "docs")
    assert not (tmp_path / "docs").exists()
