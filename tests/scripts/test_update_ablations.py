"""docs/ablations.md is written from what is stored, preset by preset."""

import csv
import json
import math
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from convnet.experiments import ablate

from convnet.ablation import recomputed
from convnet.cli import parse_command, run_command
from scripts import update_ablations

ROOT = Path(__file__).resolve().parents[2]

ARM = {
    "levels": {}, "seeds": 10, "diverged": 0, "divergence_p": 1.0, "parameters": 5, "epochs": 2, "compile_seconds": 1.0,
    "same_as": None, "remarks": [],
}  # fmt: skip
EFFECT = {"pairs": 10, "difference": [-0.05, -0.08, -0.02], "p": 0.0001, "p_holm": 0.0002, "detectable": 0.0123}
SUMMARY = {
    "environment": {"device": "a CPU", "cpus": 2, "packages": {"jax": "1"}, "python": "3", "started": "2026-01-02T"},
    "plan": {"name": "depth", "changed": False, "seeds": 10, "base": {"data": {"name": "digits"}}},
    "cells": {"planned": 20, "finished": 19, "diverged": 1},
    "arms": [
        ARM | {"arm": "1", "test_accuracy": 0.9, "interval95": [0.88, 0.91], "effect": None, "train_seconds": 1.5},
        ARM
        | {"arm": "2", "test_accuracy": 0.85, "interval95": [None, None], "effect": EFFECT, "train_seconds": None}
        | {"remarks": ["no interval, for all 10 runs have the same score"]},
    ],
}


@pytest.fixture(scope="module")
def docs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ablations")
    run, docs = folder / "run", folder / "docs"
    (run / "figures").mkdir(parents=True)
    docs.mkdir()
    (run / "summary.json").write_text(json.dumps(SUMMARY))
    (run / "results.csv").write_text("arm,seed\n")
    (run / "figures" / "paired-differences.png").write_bytes(b"png")
    done = subprocess.run(
        [sys.executable, "-m", "scripts.update_ablations", str(run), "--docs", str(docs)],
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stderr
    assert "1 ablations" in done.stdout
    return docs


def test_answers_stand_in_a_table(docs):
    text = (docs / "ablations.md").read_text()
    assert "| 1 | 90.00 | 88.00 … 91.00 |  |  |  |  | 0 of 10 | 1.5 |" in text
    assert "| 2 | 85.00 | — | -5.00 | -8.00 … -2.00 | < 0.001 | 1.23 | 0 of 10 |  |" in text
    assert "\n\n- 2: no interval, for all 10 runs have the same score\n\n" in text
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
    page = vars(update_ablations)["page"]
    assert (ROOT / "docs" / "ablations.md").read_text() == page(ROOT / "docs")


def stored_ablations():
    return sorted((ROOT / "docs" / "results" / "ablations").iterdir())


@pytest.mark.parametrize("path", stored_ablations(), ids=lambda path: path.name)
def test_what_is_stored_are_the_statistics_of_the_stored_runs(path):
    summary, rows = json.loads((path / "summary.json").read_text()), rows_of(path)
    for old, new in zip(summary["arms"], recomputed(summary, rows)["arms"], strict=True):
        assert figures(new) == pytest.approx(figures(old), rel=1e-6, abs=1e-12, nan_ok=True)
        assert [new["same_as"], new["remarks"]] == [old["same_as"], old["remarks"]]


def figures(arm):
    """All numbers that are statistics; NaN where there is none."""
    effect = arm["effect"] or {"difference": [None] * 3, "p": None, "p_holm": None, "detectable": None}
    found = [arm["test_accuracy"], *arm["interval95"], arm["divergence_p"], *effect["difference"]]
    return [math.nan if x is None else x for x in (*found, *(effect[name] for name in ("p", "p_holm", "detectable")))]


def rows_of(path):
    with (path / "results.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def copied(docs, name):
    return Path(shutil.copytree(ROOT / "docs" / "results" / "ablations" / name, docs / "results" / "ablations" / name))


def test_statistics_are_computed_again_from_the_stored_runs(tmp_path):
    """And nothing else of the summary changes, but the picture of the differences."""
    path, update = copied(tmp_path, "gradients"), vars(update_ablations)
    before = json.loads((path / "summary.json").read_text())
    spoilt = json.loads(json.dumps(before))
    spoilt["arms"][1] |= {"test_accuracy": 0.5, "interval95": [0.5, 0.5], "remarks": [], "effect": EFFECT}
    (path / "summary.json").write_text(json.dumps(spoilt))
    (path / "paired-differences.png").write_bytes(b"")
    update["update"](update["Update"](recompute=True, docs=tmp_path))
    assert json.loads((path / "summary.json").read_text()) == before
    assert (path / "paired-differences.png").read_bytes().startswith(b"\x89PNG")
    assert "| auto | 95.99 | 94.13 … 97.84 | +0.00 | — | — | — |" in (tmp_path / "ablations.md").read_text()


def test_the_same_runs_are_named_in_the_table(tmp_path):
    path = copied(tmp_path, "gradients")
    summary, rows = json.loads((path / "summary.json").read_text()), rows_of(path)
    for hand, auto in zip(rows[:5], rows[5:], strict=True):
        auto |= {name: hand[name] for name in ("parameter_hash", "test_loss")}
    summary = recomputed(summary, rows)
    assert summary["arms"][1]["remarks"] == ["the same run as hand, bit for bit: gradient has no effect here"]
    (path / "summary.json").write_text(json.dumps(summary))
    text = vars(update_ablations)["page"](tmp_path)
    assert "| auto | 95.99 | 94.13 … 97.84 | same run |  |  |  |" in text
    assert "- auto: the same run as hand, bit for bit: gradient has no effect here" in text


def test_the_same_runs_stay_the_same_where_a_seed_diverged(tmp_path):
    """A run that diverged has left no parameters to tell it by."""
    path = copied(tmp_path, "gradients")
    summary, rows = json.loads((path / "summary.json").read_text()), rows_of(path)
    for hand, auto in zip(rows[:5], rows[5:], strict=True):
        auto |= {name: hand[name] for name in ("parameter_hash", "test_loss")}
    for row in (rows[0], rows[5]):
        row |= {"status": "diverged", "score": "0.1"}
    assert recomputed(summary, rows)["arms"][1]["same_as"] is None  # they may have diverged each in its own way
    summary["arms"][1]["same_as"] = "hand"  # as was found when they were run
    assert recomputed(summary, rows)["arms"][1]["same_as"] == "hand"


def test_runs_without_counts_are_refused(tmp_path):
    summary = json.loads((ROOT / "docs" / "results" / "ablations" / "gradients" / "summary.json").read_text())
    with pytest.raises(ValueError, match=r"^columns of results\.csv is 'arm, seed': expected test_hits among them"):
        recomputed(summary, [{"arm": "hand", "seed": "0"}])


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["SOME"], "ablation is"),
        (["--run", "--presets", "nothing"], "presets is 'nothing': expected one of activations"),
    ],
)
def test_bad_input_is_one_line(args, message, tmp_path, docs, monkeypatch, capsys):
    before = (docs / "ablations.md").read_text()
    args = [str(tmp_path) if arg == "SOME" else arg for arg in args]
    monkeypatch.setattr(sys, "argv", ["scripts.update_ablations", *args, "--docs", str(docs)])
    with pytest.raises(SystemExit, match=r"^2$"):
        sys.exit(run_command(update_ablations.Update, update_ablations.update))
    assert capsys.readouterr().err.strip().splitlines()[-1].startswith(f"error: {message}")
    assert (docs / "ablations.md").read_text() == before


@pytest.mark.parametrize("change", [["--seeds", "2"], ["--quick"], ["--train.epochs", "3"], []], ids=str)
def test_a_preset_that_was_run_otherwise_is_refused(change, tmp_path):
    """Its figures would stand under the preset's command."""
    store = vars(update_ablations)["store"]
    settings = parse_command(ablate.Ablate, ["--preset", "depth", *change], defaults=ablate.defaults)
    plan = ablate.describe(*ablate.plan_of(settings))
    (tmp_path / "summary.json").write_text(json.dumps(SUMMARY | {"plan": plan}))
    (tmp_path / "results.csv").write_text("arm,seed\n")
    if not change:
        store(tmp_path, tmp_path / "docs")
        return
    with pytest.raises(ValueError, match="expected the preset depth as it stands"):
        store(tmp_path, tmp_path / "docs")
    assert not (tmp_path / "docs").exists()
