"""The ablation: what it writes, skips and refuses; and that no finished cell is ever lost or changed."""

import csv
import errno
import html
import json
import tomllib
from dataclasses import replace

import numpy as np
import pytest
import tyro
from convnet.experiments import ablate
from convnet.experiments.ablate_cells import cells_of, parse_shard, read, share
from convnet.experiments.ablate_plan import preset_names, quickened, read_preset
from convnet.experiments.ablate_report import write_ablation
from convnet.experiments.ablate_results import analyse

from convnet import data, train
from convnet.ablation import COVERAGE, Replicates, mean_interval
from convnet.config import RunConfig
from convnet.record import RunDirectory, parameter_hash
from convnet.run import Trainer
from convnet.settings import content_hash, from_dict

BASE = [
    "--set",
    "model.name=linear",
    "--set",
    "data.limit=200",
    "--set",
    "train.epochs=2",
    "--set",
    "train.batch_size=20",
]
FACTORS = ["--factor", "optim.name=sgd,nesterov", "--factor", "model.initializer=zeros,normal"]
GRID = [*BASE, *FACTORS, "--seeds", "3"]
TIMES = ("train_seconds", "compile_seconds")


def rows_of(out, *, without=TIMES):
    with (out / "results.csv").open(encoding="utf-8", newline="") as file:
        return [{key: value for key, value in row.items() if key not in without} for row in csv.DictReader(file)]


def run(*args, out):
    return ablate.main([*args, "--out", str(out)])


def last_line(capsys):
    return capsys.readouterr().err.strip().splitlines()[-1]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    out = tmp_path_factory.mktemp("ablate") / "new" / "out"
    assert run(*GRID, out=out) == 0
    return out


@pytest.fixture
def trained(monkeypatch):
    """(arm's optimiser, initialiser, seed) of every cell that is trained from now on."""
    cells, real = [], Replicates.run_all

    def run_all(self, configs, *args, **options):
        cells.extend((c.optim.name, c.model.initializer, c.seed) for c in configs)
        return real(self, configs, *args, **options)

    monkeypatch.setattr(Replicates, "run_all", run_all)
    return cells


# --- what it writes ---------------------------------------------------------------------------------------------------


def test_one_row_per_arm_and_seed(finished):
    rows = rows_of(finished)
    assert [(row["optim.name"], row["model.initializer"], row["seed"]) for row in rows] == [
        (name, start, seed) for name in ("sgd", "nesterov") for start in ("zeros", "normal") for seed in "012"
    ]
    assert {row["status"] for row in rows} == {"finished"}
    assert all(row["score"] == row["test_accuracy"] != "" for row in rows)
    assert all(float(row["score"]) == int(row["test_hits"]) / int(row["test_images"]) for row in rows)


def test_a_cell_is_the_single_run_bit_for_bit(finished):
    row = rows_of(finished)[4]
    manifest = json.loads((finished / "cells" / row["cell"] / "manifest.json").read_text())
    config = from_dict(RunConfig, manifest["config"])
    assert (content_hash(config), config.seed, config.optim.name) == (row["cell"], 1, "sgd")
    result = Trainer(config, data.load("digits", limit=200)).run()
    assert parameter_hash(result.variables) == row["parameter_hash"] == manifest["parameter_hash"]
    assert result.test_accuracy == float(row["test_accuracy"])
    lines = (finished / "cells" / row["cell"] / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["train_loss"] for line in lines] == [record.train_loss for record in result.records]


def test_summary_is_that_of_the_rows(finished):
    summary = json.loads((finished / "summary.json").read_text())
    assert summary["cells"] == {"planned": 12, "finished": 12, "diverged": 0}
    scores = {}
    for row in rows_of(finished):
        scores.setdefault(row["arm"], []).append(float(row["test_accuracy"]))
    base, *others = summary["arms"]
    assert (base["arm"], base["effect"]) == ("optim sgd, initializer zeros", None)
    for arm in summary["arms"]:
        assert [arm["test_accuracy"], *arm["interval95"]] == pytest.approx(
            mean_interval(scores[arm["arm"]]), nan_ok=True
        )
    for arm in others:
        differences = np.subtract(scores[arm["arm"]], scores[base["arm"]])
        assert arm["effect"]["pairs"] == 3
        assert arm["effect"]["difference"][0] == pytest.approx(differences.mean())
        assert arm["effect"]["p_holm"] >= arm["effect"]["p"]


def test_the_page_holds_tables_and_figures(finished):
    page = (finished / "report.html").read_text(encoding="utf-8")
    for heading in ("Results", "Paired differences", "Curves", "Interaction", "Cost", "Settings", "Settings in common"):
        assert f"<h2>{heading}</h2>" in page
    assert "optim nesterov, initializer normal" in page
    figures = {path.name for path in (finished / "figures").iterdir()}
    assert figures - {".written.json"} == {"paired-differences.png", "curves.png", "interaction.png", "cost.png"}
    assert "<td>optim nesterov, initializer normal</td><td>normal</td><td>nesterov</td>" in page
    assert "<td>data.limit</td><td>200</td>" in page


NAMES = """
seeds = 2
[base]
model.name = "linear"
data.limit = 200
train.epochs = 2
[factors."$x_{$, 'a' \\"b\\" 数 =1+1"]
"_hidden" = {optim.learning_rate = 0.1}
"$\\\\frac{1}$ 😀" = {optim.learning_rate = 0.2}
"two\\nlines" = {optim.learning_rate = 0.3}
[factors."_second%"]
"" = {optim.name = "sgd"}
"{a}^b" = {optim.name = "nesterov"}
"""


@pytest.mark.sweep
def test_any_name_is_shown_as_it_is(tmp_path):
    (tmp_path / "names.toml").write_text(NAMES, encoding="utf-8")
    assert run("--preset", str(tmp_path / "names.toml"), out=tmp_path / "out") == 0
    factor, second = tomllib.loads(NAMES)["factors"]
    rows = rows_of(tmp_path / "out")
    assert [row[factor] for row in rows[::4]] == ["_hidden", r"$\frac{1}$ 😀", "two\nlines"]
    assert [row[second] for row in rows[:4:2]] == ["", "{a}^b"]
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert page.count("<img") == 4
    assert html.escape(factor, quote=False).replace("'", "&#39;").replace('"', "&#34;") in page


def test_a_picture_that_cannot_be_drawn_costs_its_place(finished, monkeypatch, capsys):
    def fail(*args):
        raise RuntimeError("no such colour")

    with monkeypatch.context() as patch:
        patch.setattr("convnet.report.effects.interaction", fail)
        assert run(*GRID, out=finished) == 1
    printed = capsys.readouterr()
    assert "Interaction: could not be made (RuntimeError: no such colour)" in printed.err
    assert "optim nesterov, initializer normal" in printed.out
    assert not (finished / "figures" / "interaction.png").exists()
    assert run(*GRID, out=finished) == 0
    assert (finished / "figures" / "interaction.png").exists()


def test_a_diverged_run_counts_as_guessing(tmp_path, capsys):
    """And its arm is compared, seeds and all."""
    args = [*BASE, "--set", "model.name=mlp", "--factor", "optim.learning_rate=0.02,1e38", "--seeds", "2"]
    assert run(*args, out=tmp_path / "out") == 0
    rows = rows_of(tmp_path / "out")
    assert [(row["status"], row["test_accuracy"] == "") for row in rows] == [("finished", False)] * 2 + [
        ("diverged", True)
    ] * 2
    assert {row["score"] for row in rows[2:]} == {"0.1"}
    assert all(int(row["diverged_at_step"]) >= 1 for row in rows[2:])
    good, bad = json.loads((tmp_path / "out" / "summary.json").read_text())["arms"]
    assert (good["diverged"], bad["diverged"], bad["test_accuracy"], bad["train_seconds"]) == (0, 2, 0.1, None)
    assert bad["effect"]["difference"][0] == pytest.approx(0.1 - good["test_accuracy"])
    capsys.readouterr()
    assert run(*args, out=tmp_path / "out") == 0  # divergence is a result: it is not tried again
    assert "0 of 4 cells to do" in capsys.readouterr().err


def test_traced_arms_share_a_program(tmp_path, monkeypatch):
    built, real = [], train.lower
    monkeypatch.setattr(train, "lower", lambda *args, **how: built.append(args[2].shape) or real(*args, **how))
    factors = ["--factor", "optim.learning_rate=0.01,0.02", "--factor", "optim.momentum=0,0.9"]
    assert run(*BASE, *factors, "--seeds", "2", "--traced", "--replicates", "vmapped", out=tmp_path / "out") == 0
    assert built == [(8,)]  # root keys
    assert {row["replicates"] for row in rows_of(tmp_path / "out")} == {"8"}


# --- what it says of intervals ----------------------------------------------------------------------------------------

SAME = """
seeds = 2
[base]
model.name = "linear"
data.limit = 200
train.epochs = 2
[factors.f]
"whole" = {optim.name = "sgd"}
"cropped to all" = {data.crop = 8, optim.name = "sgd"}
"other" = {optim.learning_rate = 0.002, optim.name = "sgd"}
"other, cropped to all" = {optim.learning_rate = 0.002, data.crop = 8, optim.name = "sgd"}
"""


@pytest.mark.sweep
def test_a_setting_without_effect_is_no_difference_and_no_test(tmp_path, capsys):
    """A crop of 8 pixels of images of 8: the same bits, by another program."""
    (tmp_path / "same.toml").write_text(SAME)
    assert run("--preset", str(tmp_path / "same.toml"), out=tmp_path / "out") == 0
    remarks = [f"{arm}: the same run as {other}, bit for bit: data.crop has no effect here"
               for arm, other in (("cropped to all", "whole"), ("other, cropped to all", "other"))]  # fmt: skip
    output = capsys.readouterr().out.splitlines()
    arms = {arm["arm"]: arm for arm in json.loads((tmp_path / "out" / "summary.json").read_text())["arms"]}
    page = html.unescape((tmp_path / "out" / "report.html").read_text(encoding="utf-8"))
    for remark in remarks:
        assert remark in output
        assert remark in page
    for name, same in (("cropped to all", "whole"), ("other, cropped to all", "other")):
        assert (arms[name]["same_as"], arms[name]["effect"]) == (same, None)
        assert any(line.split("  ")[0] == name and line.endswith("same run") for line in output)
    assert arms["other"]["effect"]["p_holm"] == arms["other"]["effect"]["p"]  # the only test there is


@pytest.fixture
def plan_and_cells(finished):
    plan, arms = ablate.plan_of(tyro.cli(ablate.Ablate, args=GRID))
    cells = [read(cell) for cell in cells_of(arms, range(3), finished)]
    assert all(cells)
    return ablate.describe(plan, arms), cells


def test_the_same_runs_are_no_difference_and_no_test(plan_and_cells, tmp_path):
    """As above, of cells that were not trained: another arm has the bits of the base's."""
    plan, cells = plan_and_cells
    names = [arm["name"] for arm in plan["arms"]]
    bits = {d.cell.seed: {name: d.facts[name] for name in BITS} for d in cells if d.cell.arm.name == names[0]}
    same = [replace(d, facts=d.facts | bits[d.cell.seed]) if d.cell.arm.name == names[2] else d for d in cells]
    text, _ = write_ablation(tmp_path, plan, same)
    remark = f"{names[2]}: the same run as {names[0]}, bit for bit: optim.name has no effect here"
    assert remark in text.splitlines()
    assert remark in html.unescape((tmp_path / "report.html").read_text(encoding="utf-8"))
    arms = json.loads((tmp_path / "summary.json").read_text())["arms"]
    assert [arm["same_as"] for arm in arms] == [None, None, names[0], None]
    assert [arm["effect"] is None for arm in arms] == [True, False, True, False]
    smaller, larger = sorted(arm["effect"]["p"] for arm in arms if arm["effect"])
    assert {arm["effect"]["p_holm"] for arm in arms if arm["effect"]} == {min(1, 2 * smaller), max(larger, 2 * smaller)}


BITS = ("parameter_hash", "test_loss", "test_hits", "test_accuracy")


def test_the_same_program_is_the_same_run_whatever_its_rounding(plan_and_cells):
    """On accelerators the same program may give other bits; another number of epochs makes it another run."""
    _, cells = plan_and_cells
    base = next(d for d in cells if d.facts["programs"])
    other = replace(base, facts=base.facts | {"parameter_hash": "0", "test_loss": 0.5})
    assert base.fingerprints & other.fingerprints
    for change in ({"programs": {"epoch": "0"}}, {"data": {"digest": "0"}}, {"replicates": 7}, {"traced": ["x"]}):
        assert not base.fingerprints & replace(other, facts=other.facts | change).fingerprints
    config = replace(base.cell.arm.config, train=replace(base.cell.arm.config.train, epochs=3))
    longer = replace(other, cell=replace(other.cell, arm=replace(other.cell.arm, config=config)))
    assert not base.fingerprints & longer.fingerprints
    assert not base.fingerprints & replace(base, cell=replace(base.cell, seed=9)).fingerprints


def test_a_missing_interval_has_its_reason(plan_and_cells, tmp_path):
    """Of arms that shards have not finished: one without a seed of the base's, one with one, one with two of three."""
    plan, cells = plan_and_cells
    names = [arm["name"] for arm in plan["arms"]]
    kept = {names[0]: (0, 1), names[1]: (2,), names[2]: (1,), names[3]: (0, 1, 2)}
    text, _ = write_ablation(tmp_path, plan, [d for d in cells if d.cell.seed in kept[d.cell.arm.name]])
    remarks = [
        f"{names[1]}, {names[2]}: one run has no interval: two seeds or more are needed",
        f"{names[1]}: not compared, for it has no seed in common with {names[0]}",
        f"{names[2]}: compared over the 1 of 2 seeds that {names[0]} has, too",
        f"{names[2]}: one pair has no interval and no p: two seeds or more are needed",
        f"{names[3]}: compared over the 2 of 3 seeds that {names[0]} has, too",
        "5 of 12 cells are not finished",
    ]
    assert [line for line in text.splitlines() if ": " in line or "cells" in line] == remarks
    assert html.escape(remarks[0]) in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_the_page_says_what_its_intervals_cover(finished):
    assert COVERAGE in html.unescape((finished / "report.html").read_text(encoding="utf-8"))


def without_counts(done, *names):
    facts = {name: value for name, value in done.facts.items() if name not in ("test_hits", "test_images", *names)}
    return replace(done, facts=facts | {"test_accuracy": float(np.float32(done.facts["test_accuracy"]))})


def test_hits_of_cells_that_hold_a_mean_alone_are_counted(plan_and_cells, finished):
    """As older versions wrote them, in float32."""
    plan, cells = plan_and_cells
    older = analyse(plan, [without_counts(done) for done in cells])
    assert [r.said for r in older] == [r.said for r in analyse(plan, cells)]
    with pytest.raises(ValueError, match=r"^cell \w+ tells of no test_hits, nor of how many test images there were: "):
        analyse(plan, [without_counts(done, "data") for done in cells])


# --- going on ---------------------------------------------------------------------------------------------------------


def test_finished_cells_are_skipped(finished, trained):
    before, page = rows_of(finished, without=()), (finished / "plan.json").read_bytes()
    assert run(*GRID, out=finished) == 0
    assert trained == []
    assert rows_of(finished, without=()) == before
    assert (finished / "plan.json").read_bytes() == page


BREAK = {
    "a torn manifest": lambda cell: (cell / "manifest.json").write_text('{"status": "fin'),
    "a run that was killed": lambda cell: _set_status(cell, "running"),
    "a failed run": lambda cell: _set_status(cell, "failed"),
    "a torn line": lambda cell: (cell / "metrics.jsonl").write_bytes((cell / "metrics.jsonl").read_bytes()[:-9]),
    "a missing epoch": lambda cell: (cell / "metrics.jsonl").write_text(
        (cell / "metrics.jsonl").read_text().splitlines(keepends=True)[0]
    ),
    "no directory": lambda cell: cell.rename(cell.with_name("away")),
}


def _set_status(cell, status):
    manifest = json.loads((cell / "manifest.json").read_text())
    (cell / "manifest.json").write_text(json.dumps(manifest | {"status": status}))


SWEPT = ("a failed run", "a missing epoch", "no directory")


@pytest.mark.parametrize(
    "damage", [pytest.param(b, id=n, marks=pytest.mark.sweep if n in SWEPT else ()) for n, b in BREAK.items()]
)
def test_an_unfinished_cell_is_done_again_and_is_the_same(damage, finished, trained):
    before = rows_of(finished)
    damage(finished / "cells" / before[7]["cell"])
    assert run(*GRID, out=finished) == 0
    assert trained == [("nesterov", "zeros", 1)]
    assert rows_of(finished) == before


@pytest.mark.sweep
def test_more_seeds_go_on_from_the_others(finished, tmp_path, trained):
    smaller = [*BASE, *FACTORS, "--seeds", "1"]
    assert run(*smaller, out=tmp_path / "out") == 0
    assert len(trained) == 4
    assert run(*GRID, out=tmp_path / "out") == 0
    assert len(trained) == 12
    assert rows_of(tmp_path / "out") == rows_of(finished)
    assert run(*smaller, out=tmp_path / "out") == 0  # the report is of all that is there
    assert rows_of(tmp_path / "out") == rows_of(finished)


@pytest.mark.sweep
def test_shards_make_the_whole_without_coordination(finished, tmp_path, capsys, monkeypatch):
    out = tmp_path / "out"
    assert run(*GRID, "--shard", "3/3", out=out) == 0
    assert len(rows_of(out)) == 4
    assert "8 of 12 cells are not finished" in capsys.readouterr().out
    for name, value in (("ID", "11"), ("COUNT", "3"), ("MIN", "11"), ("MAX", "13")):
        monkeypatch.setenv(f"SLURM_ARRAY_TASK_{name}", value)
    assert run(*GRID, out=out) == 0
    assert len(rows_of(out)) == 8
    assert run(*GRID, "--shard", "2/3", out=out) == 0
    assert rows_of(out) == rows_of(finished)
    page = (out / "report.html").read_bytes()
    (out / "report.html").unlink()
    assert run(*GRID, "--report-only", out=out) == 0
    assert len((out / "report.html").read_bytes()) > 0.9 * len(page)


@pytest.mark.parametrize("n", [1, 2, 3, 7, 40])
def test_shards_are_disjoint_and_complete(n):
    cells = list(range(33))
    parts = [share(cells, (i, n)) for i in range(1, n + 1)]
    assert [cell for part in parts for cell in part] == cells
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_shards_of_slurm():
    def shard(**values):
        return parse_shard(None, {f"SLURM_ARRAY_TASK_{k}": str(v) for k, v in values.items()})

    assert shard(ID=0, COUNT=4, MIN=0, STEP=1) == (1, 4)
    assert shard(ID=7, COUNT=4, MIN=1, STEP=2) == (4, 4)
    assert shard() == (1, 1)
    assert parse_shard("2/5", {"SLURM_ARRAY_TASK_ID": "0", "SLURM_ARRAY_TASK_COUNT": "9"}) == (2, 5)


@pytest.mark.parametrize("text", ["0/3", "4/3", "1", "a/b", "-1/3", "1/0"])
def test_a_bad_shard_is_refused(text):
    with pytest.raises(ValueError, match=f"shard is '{text}': expected i/n with 1 ≤ i ≤ n"):
        parse_shard(text, {})


# --- what it tells ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("args", "code"), [([], 2), (["--list"], 0), (["--seeds", "3"], 2)])
def test_without_a_question_it_lists_those_of_the_presets(args, code, tmp_path, capsys):
    assert run(*args, out=tmp_path / "out") == code
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[2 : 2 + len(preset_names())]] == preset_names()
    assert any("Do more convolutions per stage help" in line for line in lines)
    assert not (tmp_path / "out").exists()


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
    "bad base": ([*FACTORS, "--set", "train.epoch=3"], "unknown setting 'train.epoch': did you mean train.epochs"),
    "a batch too large": ([*BASE, *FACTORS, "--set", "train.batch_size=999"], "train.batch_size is 999: expected at"),
    "unknown preset": (["--preset", "initialisers"], "unknown preset 'initialisers': did you mean initializers?"),
    "no such file": (["--preset", "nowhere.toml"], "preset 'nowhere.toml' cannot be read"),
    "a setting without effect": (
        ["--factor", "model.kernel=3,5", "--set", "model.name=mlp"],
        "arms '3' and '5' are the same run: model.kernel has no effect where model.name is 'mlp'",
    ),
    "smoothing without targets": (
        ["--factor", "train.label_smoothing=0,0.1", "--set", "train.loss=crammer_singer"],
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
def test_bad_input_is_one_line(args, message, tmp_path, capsys):
    (tmp_path / "twins.toml").write_text(TWINS)
    args = [str(tmp_path / "twins.toml") if arg == "TWINS" else arg for arg in args]
    assert run(*args, out=tmp_path / "out") == 2
    error = last_line(capsys)
    assert error.startswith("error: ")
    assert message in error
    assert not (tmp_path / "out").exists()


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
def test_a_bad_preset_is_one_line(text, message, tmp_path, capsys):
    (tmp_path / "own.toml").write_text(text)
    assert run("--preset", str(tmp_path / "own.toml"), out=tmp_path / "out") == 2
    assert message in last_line(capsys)


def test_results_of_another_grid_are_kept(finished, capsys):
    before = {path: path.read_bytes() for path in finished.rglob("*") if path.is_file()}
    assert run(*BASE, *FACTORS, "--set", "train.epochs=3", out=finished) == 2
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
    path = out / "cells" / rows_of(out)[0]["cell"] / "manifest.json"
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


# --- presets ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", preset_names())
def test_a_preset_asks_a_question_and_expands(name):
    plan = read_preset(name)
    assert plan.question.endswith("?")
    assert plan.base.data.name == ("cifar10" if name.endswith("-cifar10") else "digits")
    arms = plan.arms(max_cells=1000)
    assert len(arms) >= 2
    short = quickened(arms)
    assert 2 <= len(short) <= 3
    assert all(arm.config.train.epochs <= 2 for arm in short)


@pytest.mark.sweep
@pytest.mark.parametrize("name", preset_names())
def test_a_preset_runs(name, tmp_path):
    assert run("--preset", name, "--quick", out=tmp_path / "out") == 0
    assert (tmp_path / "out" / "report.html").stat().st_size > 10_000


def test_the_presets_are_those_of_the_field():
    assert set(preset_names()) >= {
        "initializers", "batch-equal-epochs", "batch-equal-updates", "momentum", "learning-rate-batch-size", "depth",
        "width", "first-layer", "normalization", "activations", "pooling", "head", "loss", "gradients",
    }  # fmt: skip


def test_equal_updates_are_equal():
    n = len(data.load("digits").train)
    updates = {}
    for arm in read_preset("batch-equal-updates").arms():
        batch = n if arm.config.train.batch_size == "full" else arm.config.train.batch_size
        updates[arm.name] = arm.config.train.epochs * (n // batch)
    assert {updates[name] for name in ("mini-batch 32", "mini-batch 256", "batch")} == {660}


def test_the_reference_comes_first():
    plan = read_preset("width")
    assert [arm.name for arm in plan.arms()] == ["16+32", "2+4", "4+8", "8+16", "32+64"]
    with pytest.raises(ValueError, match=r"unknown reference '16': did you mean 8\+16 or 16\+32"):
        replace(plan, reference="16").arms()
