"""Bad input of an ablation is one line, and nothing is lost."""

import errno
import json

import pytest
from convnet.experiments import ablate

from convnet.record import RunDirectory
from tests.experiments.ablations import BASE, FACTORS, GRID, last_line, row_of, rows_of, run

# --- bad input --------------------------------------------------------------------------------------------------------

BAD = {
    "an empty place": (["--preset", "depth", "--out", ""], "--out is '': expected a value"),
    "an empty factor": (["--factor", ""], "--factor is '': expected a value"),
    "no cells": ([*FACTORS, "--max-cells", "0"], "expected at most max_cells = 0"),
    "no workers": ([*FACTORS, "--workers", "0"], "workers is 0: expected 1 or more"),
    "no chunk": ([*FACTORS, "--chunk", "0"], "chunk is 0: expected 1 or more"),
    "no sample": ([*FACTORS, "--design", "random", "--sample", "0"], "sample is 0: expected 1 arm or more"),
    "unknown factor": (["--factor", "model.initialiser=zeros"], "'model.initialiser': did you mean model.initializer"),
    "bad level": (["--factor", "model.initializer=he_nrmal"], "initializer is 'he_nrmal': did you mean he_normal"),
    "wrong type": (["--factor", "model.kernel=big"], "model.kernel is 'big': expected int"),
    "same level twice": (["--factor", "model.kernel=3,3"], "factor model.kernel has the level 3 twice"),
    "same config twice": (["--preset", "TWINS"], "arms 'a' and 'b' are the same config"),
    "too large": ([*FACTORS, "--max-cells", "39"], "4 arms × 10 seeds are 40 cells: expected at most max_cells = 39"),
    "setting of another model": ([*BASE, *FACTORS, "--model.head-width", "3"], "unknown setting 'model.head_width' of"),
    "factor of another model": ([*BASE, "--factor", "model.kernel=3,5"], "unknown setting 'model.kernel' of linear"),
    "a seed": ([*BASE, *FACTORS, "--seed", "3"], "seed is 3: expected --seeds, which says how many there are of each"),
    "a batch too large": ([*BASE, *FACTORS, "--train.batch-size", "999"], "train.batch_size is 999: expected at"),
    "unknown preset": (["--preset", "initialisers"], "unknown preset 'initialisers': did you mean initializers?"),
    "no such file": (["--preset", "nowhere.toml"], "preset is 'nowhere.toml': cannot be read"),
    "a setting without effect": (
        ["--factor", "model.head_width=64,128", "--model.head", "global_avg"],
        "arms '64' and '128' are the same network: model.head_width changes nothing in it",
    ),
    "smoothing without targets": (
        ["--factor", "train.label_smoothing=0,0.1", "--train.loss", "crammer_singer"],
        "train.label_smoothing is 0.1: expected 0 where train.loss is 'crammer_singer'",
    ),
    "preset and factor": (["--preset", "depth", *FACTORS], "preset is 'depth': expected a preset, or at least one"),
    "no seeds": ([*FACTORS, "--seeds", "0"], "seeds is 0: expected 1 or more"),
    "bad shard": ([*FACTORS, "--shard", "9/3"], "shard is '9/3': expected i/n"),
    "random without a size": ([*FACTORS, "--design", "random"], "sample is None: expected the number of arms"),
    "unknown reference": ([*FACTORS, "--reference", "optim sgd"], "unknown reference 'optim sgd': did you mean"),
    "nothing to report": ([*FACTORS, "--report-only"], "finished cells is 0: expected one or more"),
}  # fmt: skip
TWINS = """
[factors.f]
a = {model.kernel = 3}
b = {model.depth = 1}
"""


@pytest.mark.parametrize(("args", "message"), BAD.values(), ids=BAD)
def test_bad_input_is_one_line(args, message, tmp_path, refused):
    (tmp_path / "twins.toml").write_text(TWINS)
    assert message in refused(ablate.main, *(str(tmp_path / "twins.toml") if arg == "TWINS" else arg for arg in args))


BAD_PRESETS = {
    "unknown key": ("sead = 3", "a key of preset own is 'sead': expected one of question"),
    "unknown setting": ("[factors]\n'model.kernl' = [3]", "unknown setting 'model.kernl': did you mean model.kernel"),
    "wrong type": ("[factors]\n'model.kernel' = ['3']", "model.kernel is '3': expected int"),
    "unknown base": ("[base.model]\nkernl = 3\n[factors]\n'model.depth' = [1]", "'model.kernl': did you mean"),
    "bad base": ("[base.model]\nkernel = 'x'\n[factors]\n'model.depth' = [1]", "model.kernel is 'x': expected int"),
    "no factors": ("seeds = 3", "factors is (): expected one factor or more"),
    "seeds in words": ("seeds = 'ten'\n[factors]\n'model.depth' = [1]", "own.seeds is 'ten': expected int"),
    "no TOML": ("[factors", "cannot be read"),
    "a factor without a name": (
        "[factors.' ']\na = {model.kernel = 3}",
        "a factor of preset own is ' ': expected a name",
    ),
    **{
        f"a factor called {name}": (
            f"[factors.{name}]\na = {{model.kernel = 3}}\nb = {{model.kernel = 5}}",
            f"factor is '{name}': expected another name than one of arm, seed, status, score",
        )
        for name in ("seed", "status", "arm", "test_accuracy")
    },
}


@pytest.mark.parametrize(("text", "message"), BAD_PRESETS.values(), ids=BAD_PRESETS)
def test_a_bad_preset_is_one_line(text, message, tmp_path, refused):
    (tmp_path / "own.toml").write_text(text)
    assert message in refused(ablate.main, "--preset", str(tmp_path / "own.toml"))


def test_results_of_another_grid_are_kept(finished, capsys):
    before = {path: path.read_bytes() for path in finished.rglob("*") if path.is_file()}
    assert run(*BASE, *FACTORS, "--train.epochs", "3", out=finished) == 2
    assert "holds another ablation (arm 'optim sgd, initializer zeros' differs); choose another" in last_line(capsys)
    assert run(*BASE, "--factor", "model.kernel=3,5", out=finished) == 2
    assert {path: path.read_bytes() for path in finished.rglob("*") if path.is_file()} == before


def test_files_of_somebody_else_are_kept(tmp_path, capsys):
    (tmp_path / "results.csv").write_text("family,seed\n")
    assert run(*GRID, out=tmp_path) == 2
    assert "holds files of something else (results.csv); choose another --out" in last_line(capsys)
    assert [path.name for path in tmp_path.iterdir()] == ["results.csv"]


def test_cells_of_other_code_are_not_mixed_in_silently(finished, tmp_path, capsys, trained):
    import shutil

    out = tmp_path / "out"
    shutil.copytree(finished, out)
    path = out / "cells" / row_of(out, "sgd", "zeros", 0)["cell"] / "manifest.json"
    manifest = json.loads(path.read_text())
    path.write_text(json.dumps(manifest | {"packages": manifest["packages"] | {"jax": "0.1"}}))
    assert run(*GRID, out=out) == 2
    assert "holds finished cells that others cannot be compared with" in (error := last_line(capsys))
    assert "packages.jax ('0.1' then" in error
    assert run(*GRID, "--accept-versions", out=out) == 0
    assert trained == []


def test_output_that_cannot_be_written(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert run(*GRID, out=tmp_path / "file" / "out") == 2
    assert "cannot be written" in last_line(capsys)


def test_a_full_disk_costs_one_cell(finished, tmp_path, capsys, monkeypatch):
    """The disk fills up while the sixth cell is written; later there is room again."""
    out, calls = tmp_path / "out", []
    finish = RunDirectory.finish

    def full(self, status, **facts):
        calls.append(status)
        if len(calls) >= 6:
            raise OSError(errno.ENOSPC, "No space left on device")
        finish(self, status, **facts)

    with monkeypatch.context() as patch:
        patch.setattr(RunDirectory, "finish", full)
        assert run(*GRID, out=out) == 2
    assert last_line(capsys) == "error: [Errno 28] No space left on device"
    kept = {path: path.read_bytes() for path in out.glob("cells/*/manifest.json")}
    assert len(kept) >= 6  # others were under way
    assert run(*GRID, out=out) == 0
    assert rows_of(out) == rows_of(finished)
    assert sum(path.read_bytes() == content for path, content in kept.items()) == 5
